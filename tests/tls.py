"""A TLS front for a store that has none: terminates TLS on a free loopback port and passes the plain bytes on."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import trustme

_CHUNK = 1 << 16
_SSL_REQUEST = 8
"""Bytes of the packet by which a PostgreSQL client asks for TLS; the server answers `S` and the handshake begins."""


class Authority:
    """A certificate authority of one test, with a certificate for this machine."""

    def __init__(self, folder: Path) -> None:
        self._root = trustme.CA()
        self._leaf = self._root.issue_cert("127.0.0.1", "localhost")
        self.file = folder / "ca.pem"
        self._root.cert_pem.write_to_path(str(self.file))

    def server_side(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._leaf.configure_cert(context)
        return context


@asynccontextmanager
async def tls_front(target: int, authority: Authority, *, upgrade: bool = False) -> AsyncGenerator[int]:
    """The port of a TLS server in front of the loopback port `target`. `upgrade`: TLS begins after PostgreSQL's request."""
    context = authority.server_side()
    carrying: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        carrying.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            if upgrade:
                await reader.readexactly(_SSL_REQUEST)
                writer.write(b"S")
                await writer.drain()
                await writer.start_tls(context)
            await _carry(target, reader, writer)
        carrying.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=None if upgrade else context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(carrying):
            task.cancel()
        if carrying:
            await asyncio.wait(carrying)


async def _carry(target: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    answers, store = await asyncio.open_connection("127.0.0.1", target)
    ways = [asyncio.create_task(_pass(reader, store)), asyncio.create_task(_pass(answers, writer))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.wait(ways)
        for end in (store, writer):
            end.transport.abort()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
