"""Mail over SMTP: connections are kept for a moment, and what may have been sent is told from what was not."""

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from windlass import Category, Effect
from windlass.catalogue.mail_errors import AnswerLost, MailRefused, refuse
from windlass.catalogue.mail_message import Envelope, Rejected
from windlass.catalogue.settings import MailSettings

if TYPE_CHECKING:
    from aiosmtplib import SMTP

_IDLE = 20.0
"""Seconds that a connection is kept; servers end theirs after a few minutes."""
_MOST_IDLE = 10
_SECURITY: dict[str, dict[str, bool | None]] = {
    "tls": {"use_tls": True, "start_tls": False},
    "starttls": {"use_tls": False, "start_tls": True},
    "none": {"use_tls": False, "start_tls": False},
    "auto": {"use_tls": False, "start_tls": None},
}


class Smtp:
    """The provider `smtp`."""

    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings
        self._idle: deque[tuple[SMTP, float]] = deque()

    async def send(self, envelope: Envelope, effect: Effect) -> dict[str, Any]:
        """Hand a message over; what the server said of each recipient. Raises `MailRefused`, `RateLimited`, `AnswerLost`."""
        from aiosmtplib import SMTPServerDisconnected

        smtp, fresh = await self._take()
        try:
            try:
                rejected = await self._address(smtp, envelope)
            except (SMTPServerDisconnected, ConnectionError):
                if fresh:
                    raise
                # The server has ended a connection that we kept; nothing of this mail was said on it that counts.
                smtp.close()
                smtp = await self._connect()
                rejected = await self._address(smtp, envelope)
            answer = await self._transfer(smtp, envelope, effect)
        except (SMTPServerDisconnected, ConnectionError, TimeoutError) as error:
            smtp.close()
            told = f"the mail server left before the message was sent: {type(error).__name__}: {error}"
            raise MailRefused(told, category=Category.PROVIDER) from error
        except BaseException:
            smtp.close()
            raise
        self._idle.append((smtp, time.monotonic()))
        if len(self._idle) > _MOST_IDLE:
            self._idle.popleft()[0].close()
        refused = {each.address for each in rejected}
        return {
            "accepted": [address for address in envelope.recipients if address not in refused],
            "rejected": rejected,
            "answer": answer,
        }

    async def aclose(self) -> None:
        """Close the connections that are kept."""
        while self._idle:
            self._idle.popleft()[0].close()

    async def _address(self, smtp: "SMTP", envelope: Envelope) -> list[Rejected]:
        """Everything before the message itself: until here nothing is sent."""
        from aiosmtplib import SMTPRecipientRefused, SMTPResponseException

        pause = self._settings.rate_pause
        rejected: list[Rejected] = []
        try:
            size = [f"size={len(envelope.message.as_bytes())}"] if smtp.supports_extension("size") else []
            await smtp.mail(envelope.sender, options=size)
            for address in envelope.recipients:
                try:
                    await smtp.rcpt(address)
                except SMTPRecipientRefused as error:
                    if error.code == 421:
                        raise
                    told = error.message[:500]
                    rejected.append(
                        Rejected(address=address, code=error.code, message=told, permanent=error.code >= 500)
                    )
        except SMTPResponseException as error:
            refuse(error.code, error.message, pause)
        if len(rejected) == len(envelope.recipients):
            passing = next((each for each in rejected if not each.permanent), rejected[0])
            refuse(passing.code, passing.message, pause, passing.address)
        return rejected

    async def _transfer(self, smtp: "SMTP", envelope: Envelope, effect: Effect) -> str:
        from aiosmtplib import SMTPDataError, SMTPServerDisconnected, SMTPTimeoutError

        await effect.sending()
        try:
            answer = await smtp.data(envelope.message.as_bytes())
        except SMTPDataError as error:
            await effect.refused(f"{error.code} {error.message}")
            refuse(error.code, error.message, self._settings.rate_pause)
        except (SMTPServerDisconnected, SMTPTimeoutError, OSError) as error:
            told = f"the message was sent and the mail server's answer did not come: {type(error).__name__}: {error}"
            raise AnswerLost(told) from error
        return answer.message[:500]

    async def _take(self) -> "tuple[SMTP, bool]":
        """A connection, and whether it is new."""
        now = time.monotonic()
        while self._idle:
            smtp, since = self._idle.pop()
            if now - since < _IDLE and smtp.is_connected:
                return smtp, False
            smtp.close()
        return await self._connect(), True

    async def _connect(self) -> "SMTP":
        from aiosmtplib import SMTP, SMTPException, SMTPResponseException

        settings = self._settings
        security = "tls" if settings.smtp_security == "auto" and settings.smtp_port == 465 else settings.smtp_security
        smtp = SMTP(
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            timeout=settings.timeout,
            cert_bundle=None if settings.smtp_ca is None else str(settings.smtp_ca),
            **_SECURITY[security],  # pyright: ignore[reportArgumentType]
        )
        try:
            await smtp.connect()
            if settings.smtp_user:
                self._check_private(smtp, security)
                await smtp.login(settings.smtp_user, settings.smtp_password.get_secret_value())
        except SMTPResponseException as error:
            smtp.close()
            refuse(error.code, error.message, settings.rate_pause)
        except (SMTPException, OSError) as error:
            smtp.close()
            told = f"the mail server cannot be reached: {type(error).__name__}: {error}"
            raise MailRefused(told, category=Category.PROVIDER) from error
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _check_private(self, smtp: "SMTP", security: str) -> None:
        """A password does not go over a line that anybody may read, unless the settings say so."""
        if security != "none" and smtp.get_transport_info("sslcontext") is None:
            raise MailRefused(
                "the mail server offers no TLS, and a password is not sent without: set WINDLASS_SMTP_SECURITY=none to do it",
                category=Category.PROVIDER,
            )


__all__ = ["Smtp"]
