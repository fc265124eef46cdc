"""Mail over providers' HTTP APIs: SendGrid, Resend, Postmark. Each is a way to say the message and to read the answer."""

import asyncio
import base64
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parseaddr
from typing import TYPE_CHECKING, Any

from windlass import Category, Effect, RateLimited
from windlass.catalogue.mail_errors import AnswerLost, MailRefused
from windlass.catalogue.mail_message import Envelope
from windlass.catalogue.settings import MailSettings

if TYPE_CHECKING:
    import httpx2

_AGAIN = 2
"""How often a request is repeated at once whose answer was lost, where the provider knows the key of what it has done."""
_BETWEEN = 0.3


@dataclass(frozen=True, slots=True)
class Api:
    """How one provider is spoken to. `id_of`: its own id of the message. `idempotent`: it honours `Idempotency-Key`."""

    name: str
    path: str
    headers: Callable[[str], dict[str, str]]
    body: Callable[[Envelope], dict[str, Any]]
    id_of: "Callable[[httpx2.Response], str]"
    idempotent: bool = False


class Http:
    """A provider with an HTTP API."""

    def __init__(self, api: Api, settings: MailSettings) -> None:
        self._api = api
        self._settings = settings
        self._base = {
            "sendgrid": settings.sendgrid_base_url,
            "resend": settings.resend_base_url,
            "postmark": settings.postmark_base_url,
        }[api.name].rstrip("/")
        self._client: httpx2.AsyncClient | None = None

    async def send(self, envelope: Envelope, effect: Effect) -> dict[str, Any]:
        """Hand a message over. Raises `MailRefused`, `RateLimited`, `AnswerLost`."""
        import httpx2

        if self._client is None:
            self._client = httpx2.AsyncClient(timeout=self._settings.timeout)
        headers = self._api.headers(self._settings.secret_of(self._api.name)[0].get_secret_value())
        if self._api.idempotent:
            headers["idempotency-key"] = envelope.message_id.strip("<>")[:200]
        body = self._api.body(envelope)
        await effect.sending()
        try:
            response = await self._post(self._client, headers, body)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol) as error:
            await effect.refused(type(error).__name__)
            told = f"{self._api.name} cannot be reached: {type(error).__name__}: {error}"
            raise MailRefused(told, category=Category.PROVIDER) from error
        except httpx2.TransportError as error:
            told = f"{self._api.name} was asked and its answer did not come: {type(error).__name__}: {error}"
            raise AnswerLost(told) from error
        if response.is_success:
            return {"accepted": list(envelope.recipients), "rejected": [], "answer": self._api.id_of(response)}
        await self._refused(response, effect)
        raise AssertionError("a refusal always raises")

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _post(
        self, client: "httpx2.AsyncClient", headers: dict[str, str], body: dict[str, Any]
    ) -> "httpx2.Response":
        import httpx2

        for again in range(_AGAIN + 1):
            try:
                response = await client.post(f"{self._base}{self._api.path}", headers=headers, json=body)
            except httpx2.TransportError:
                if not self._api.idempotent or again == _AGAIN:
                    raise
            else:
                if response.status_code not in (500, 502, 504) or not self._api.idempotent or again == _AGAIN:
                    return response
            await asyncio.sleep(_BETWEEN)
        raise AssertionError("the last one returns or raises")

    async def _refused(self, response: "httpx2.Response", effect: Effect) -> None:
        status = response.status_code
        told = f"{self._api.name} answered {status}: {response.text[:300]}"
        if status in (500, 502, 504):  # behind a gateway somebody may have done it
            raise AnswerLost(told)
        await effect.refused(told)
        if status == 429:
            raise RateLimited(told, after=self._pause(response))
        if status in (401, 403):
            raise MailRefused(told, category=Category.PROVIDER, status=status)
        if status == 408 or status >= 500:
            raise MailRefused(told, category=Category.PROVIDER, status=status)
        raise MailRefused(told, category=Category.PERMANENT, status=status)

    def _pause(self, response: "httpx2.Response") -> float:
        try:
            return min(max(float(response.headers["retry-after"]), 0.0), 86_400.0)
        except (KeyError, ValueError):
            return self._settings.rate_pause


def _files(envelope: Envelope) -> list[tuple[str, str, str]]:
    return [(name, kind, base64.b64encode(data).decode()) for name, kind, data in envelope.files]


_OWN = (
    "from",
    "to",
    "cc",
    "bcc",
    "subject",
    "reply-to",
    "date",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
)


def _headers(envelope: Envelope) -> dict[str, str]:
    return {name: str(value) for name, value in envelope.message.items() if name.lower() not in _OWN}


def _split(envelope: Envelope) -> tuple[str, list[str], list[str]]:
    """To, Cc, and those who get it besides."""
    to = parseaddr(str(envelope.message["To"]))[1]
    shown = [a.addr_spec for a in envelope.message["Cc"].addresses] if envelope.message["Cc"] else []
    cc = [address for address in shown if address in envelope.recipients]
    return to, cc, [address for address in envelope.recipients if address != to and address not in cc]


def _sendgrid(envelope: Envelope) -> dict[str, Any]:
    to, cc, bcc = _split(envelope)
    personal: dict[str, Any] = {"to": [{"email": to}]}
    if cc:
        personal["cc"] = [{"email": address} for address in cc]
    if bcc:
        personal["bcc"] = [{"email": address} for address in bcc]
    name, sender = parseaddr(str(envelope.message["From"]))
    body: dict[str, Any] = {
        "personalizations": [personal],
        "from": {"email": sender, **({"name": name} if name else {})},
        "subject": envelope.subject,
        "content": [
            {"type": kind, "value": value}
            for kind, value in (("text/plain", envelope.text), ("text/html", envelope.html))
            if value is not None
        ],
        "headers": _headers(envelope),
    }
    if envelope.message["Reply-To"]:
        body["reply_to"] = {"email": parseaddr(str(envelope.message["Reply-To"]))[1]}
    if envelope.files:
        body["attachments"] = [
            {"content": data, "type": kind, "filename": name, "disposition": "attachment"}
            for name, kind, data in _files(envelope)
        ]
    return body


def _resend(envelope: Envelope) -> dict[str, Any]:
    to, cc, bcc = _split(envelope)
    body: dict[str, Any] = {
        "from": str(envelope.message["From"]),
        "to": [to],
        "cc": cc,
        "bcc": bcc,
        "subject": envelope.subject,
        "text": envelope.text,
        "html": envelope.html,
        "reply_to": str(envelope.message["Reply-To"]) if envelope.message["Reply-To"] else None,
        "headers": _headers(envelope),
        "attachments": [
            {"filename": name, "content": data, "content_type": kind} for name, kind, data in _files(envelope)
        ],
    }
    return {name: value for name, value in body.items() if value}


def _postmark(envelope: Envelope) -> dict[str, Any]:
    to, cc, bcc = _split(envelope)
    body: dict[str, Any] = {
        "From": str(envelope.message["From"]),
        "To": to,
        "Cc": ",".join(cc),
        "Bcc": ",".join(bcc),
        "Subject": envelope.subject,
        "TextBody": envelope.text,
        "HtmlBody": envelope.html,
        "ReplyTo": str(envelope.message["Reply-To"]) if envelope.message["Reply-To"] else None,
        "Headers": [{"Name": name, "Value": value} for name, value in _headers(envelope).items()],
        "Attachments": [{"Name": name, "Content": data, "ContentType": kind} for name, kind, data in _files(envelope)],
    }
    return {name: value for name, value in body.items() if value}


def _member(name: str) -> "Callable[[httpx2.Response], str]":
    def read(response: "httpx2.Response") -> str:
        try:
            return str(response.json()[name])
        except (ValueError, KeyError, TypeError):  # accepted all the same: its id is for people only
            return ""

    return read


def _bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


APIS = {
    "sendgrid": Api(
        "sendgrid", "/v3/mail/send", _bearer, _sendgrid, lambda response: response.headers.get("x-message-id", "")
    ),
    "resend": Api("resend", "/emails", _bearer, _resend, _member("id"), idempotent=True),
    "postmark": Api(
        "postmark",
        "/email",
        lambda key: {"x-postmark-server-token": key, "accept": "application/json"},
        _postmark,
        _member("MessageID"),
    ),
}

__all__ = ["APIS", "Http"]
