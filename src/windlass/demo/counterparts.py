"""Whom the story's jobs talk to: a mail server that says no once, and a board that hangs up after it has posted."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec

BUSY = "451 4.3.0 mailbox busy"


class Letter(msgspec.Struct, frozen=True):
    """A mail that was accepted, and the file that holds it."""

    to: tuple[str, ...]
    path: Path
    message: EmailMessage


class PostOffice:
    """Accepts mail and keeps it as `.eml` files. `refuse_once`: the recipient whose first mail is answered with 451."""

    def __init__(self, folder: Path, refuse_once: str) -> None:
        self.letters: list[Letter] = []
        self.refusals: list[str] = []
        self.port = 0
        self._folder = folder
        self._refuse_once = refuse_once

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """The answer to a message that has come in whole."""
        to = tuple(map(str, envelope.rcpt_tos))
        if self._refuse_once in to and not self.refusals:
            self.refusals.append(BUSY)
            return BUSY
        path = self._folder / f"{len(self.letters) + 1}.eml"
        await asyncio.to_thread(path.write_bytes, envelope.content)
        message = message_from_bytes(envelope.content, policy=default)
        self.letters.append(Letter(to, path, message))
        return "250 accepted"

    def got(self, address: str) -> list[Letter]:
        """What this recipient got."""
        return [letter for letter in self.letters if address in letter.to]


@asynccontextmanager
async def post_office(folder: Path, refuse_once: str) -> AsyncGenerator[PostOffice, None]:
    """A real SMTP server on this machine while the block runs; `folder` is there."""
    from aiosmtpd.smtp import SMTP  # the extra `demo`

    office = PostOffice(folder, refuse_once)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(office, loop=loop, hostname="post.demo", ident="windlass demo"), "127.0.0.1", 0
    )
    office.port = server.sockets[0].getsockname()[1]
    try:
        yield office
    finally:
        server.close()
        await server.wait_closed()


class Board:
    """Where posts appear, over HTTP: `POST /posts` appends one, `GET /posts/<key>` finds it. It is naive: who posts twice is
    shown twice. After the first post it hangs up instead of answering."""

    def __init__(self) -> None:
        self.posts: list[dict[str, str]] = []
        self.heard: list[str] = []
        """What was asked of it, in order."""
        self.port = 0
        self._cuts = deque(["cut"])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, *headers = head.split("\r\n")
            method, path, _ = line.split(" ", 2)
            sizes = [each.partition(":")[2] for each in headers if each.lower().startswith("content-length:")]
            body = await reader.readexactly(int(sizes[0]) if sizes else 0)
            if method == "POST":
                self.posts.append(json.loads(body))
                if self._cuts:
                    self.heard.append(self._cuts.popleft())
                    writer.transport.abort()
                    return
            self.heard.append(method)
            answer = self.posts[-1] if method == "POST" else self._find(unquote(path.rpartition("/")[2]))
            await _answer(writer, answer)
        writer.close()

    def _find(self, key: str) -> dict[str, str] | None:
        return next((post for post in self.posts if post["key"] == key), None)


async def _answer(writer: asyncio.StreamWriter, answer: dict[str, str] | None) -> None:
    body = json.dumps(answer).encode()
    status = b"404 Not Found" if answer is None else b"200 OK"
    writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status, len(body), body))
    await writer.drain()


@asynccontextmanager
async def board() -> AsyncGenerator[Board, None]:
    """The board on this machine while the block runs."""
    made = Board()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await server.wait_closed()
