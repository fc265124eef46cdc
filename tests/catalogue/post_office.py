"""A real SMTP server for tests, in the test's own loop or as a process of its own.

    python -m tests.catalogue.post_office

As a process it listens on `PORT` and appends every mail that it has accepted to the file `BOX`, a line of recipient and
Message-ID, before it says so: what is in the file was delivered, whether or not anybody heard of it. `CUT` is the share of
mails after which it hangs up without an answer.
"""

import asyncio
import contextlib
import os
import random
import sys
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import Message
from email.policy import default
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword


class Mail:
    """A mail that was accepted."""

    def __init__(self, envelope: Envelope) -> None:
        self.sender = str(envelope.mail_from)
        self.recipients = list(envelope.rcpt_tos)
        self.raw = bytes(envelope.content or b"")
        self.message: Message = message_from_bytes(self.raw, policy=default)  # type: ignore[arg-type]

    @property
    def id(self) -> str:
        return str(self.message["Message-ID"])


class PostOffice:
    """Accepts mail. `answers`: what is said instead, by command (`RCPT`, `DATA`, `MAIL`), each once; the answer `cut` accepts the
    mail and hangs up, `hang up` does so without accepting it. `refuse`: what is said of recipients, always."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self.answers: dict[str, deque[str]] = {"MAIL": deque(), "RCPT": deque(), "DATA": deque()}
        self.refuse: dict[str, str] = {}
        self.port = 0
        self.connections = 0

    async def handle_EHLO(
        self, server: Any, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        self.connections += 1
        session.host_name = hostname
        return responses

    async def handle_MAIL(self, server: Any, session: Any, envelope: Envelope, address: str, options: list[str]) -> str:
        if self.answers["MAIL"]:
            return self.answers["MAIL"].popleft()
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Envelope, address: str, options: list[str]) -> str:
        answer = self.answers["RCPT"].popleft() if self.answers["RCPT"] else "250 OK"
        if not answer.startswith("250"):
            return answer
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:
        answer = self.answers["DATA"].popleft() if self.answers["DATA"] else "250 accepted"
        if answer.startswith("250") or answer == "cut":
            self.accept(Mail(envelope))
        if answer in ("cut", "hang up"):
            server.transport.abort()
        return answer

    def accept(self, mail: Mail) -> None:
        self.mails.append(mail)

    @property
    def reached(self) -> list[str]:
        """Every recipient of every mail, in order."""
        return [recipient for mail in self.mails for recipient in mail.recipients]


class _Line(SMTP):
    """A connection that may be cut in the middle of an answer, which is no fault of the server's."""

    async def push(self, status: Any) -> None:
        with contextlib.suppress(ConnectionError):
            await super().push(status)


def _login(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (b"ann", b"hush-7-hush")
    return AuthResult(success=good, handled=good)


@asynccontextmanager
async def post_office(office: PostOffice | None = None, *, port: int = 0, **options: Any) -> AsyncIterator[PostOffice]:
    """A server that listens while the block runs. `auth=True`: it wants ann's password; `private`: and
    takes it over TLS only."""
    office = office or PostOffice()
    private = options.pop("private", False)
    if options.pop("auth", False):
        options |= {"authenticator": _login, "auth_required": True, "auth_require_tls": private}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: _Line(office, loop=loop, hostname="post.example", ident="post", **options), "127.0.0.1", port
    )
    office.port = server.sockets[0].getsockname()[1]
    try:
        yield office
    finally:
        server.close()
        await server.wait_closed()


class _Archive(PostOffice):
    def __init__(self, file: str, cut: float) -> None:
        super().__init__()
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._cut = cut

    def accept(self, mail: Mail) -> None:
        os.write(self._file, "".join(f"{to} {mail.id}\n" for to in mail.recipients).encode())

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:
        if random.random() < self._cut:
            self.answers["DATA"].append("cut")
        return await super().handle_DATA(server, session, envelope)


async def main() -> None:
    office = _Archive(os.environ["BOX"], float(os.environ.get("CUT", "0")))
    async with post_office(office, port=int(os.environ["PORT"])):
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(asyncio.run(main()))
