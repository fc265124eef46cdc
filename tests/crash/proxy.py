"""A TCP proxy in front of a store, which loses requests, loses replies, cuts connections, or lets them fall silent."""

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_CHUNK = 1 << 16


class Proxy:
    """Listens on a free loopback port. Faults are armed for the next requests of any connection."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.lost_requests = 0
        self.lost_replies = 0
        self._before = 0
        self._after = 0
        self._made = 0
        self._wires: set[_Wire] = set()
        self._carrying: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        if self._carrying:
            await asyncio.wait(self._carrying)
        await self._server.wait_closed()

    def lose_requests(self, n: int) -> None:
        """The next `n` requests do not reach the store; their connections are cut."""
        self._before += n

    def lose_replies(self, n: int) -> None:
        """The next `n` requests reach the store and are answered; their connections are cut before the answer passes."""
        self._after += n

    def cut(self) -> None:
        """Cut every connection now, as a firewall that restarts does."""
        for wire in list(self._wires):
            wire.cut()

    def silence(self, chance: random.Random, part: float) -> int:
        """Let a part of the connections go silent: they stay open, and nothing passes any more; how many."""
        wires = sorted((wire for wire in self._wires if not wire.silent), key=lambda wire: wire.number)
        chosen = chance.sample(wires, min(len(wires), max(1, round(len(wires) * part))))
        for wire in chosen:
            wire.silent = True
        return len(chosen)

    def cut_silent(self) -> None:
        """What was silent is reset, as when the other host is back and knows nothing of the connection."""
        for wire in list(self._wires):
            if wire.silent:
                wire.cut()

    def calm(self) -> None:
        """No more faults; silent connections are reset."""
        self._before = self._after = 0
        self.cut_silent()

    def takes_request(self) -> bool:
        """Whether a request that just came is to be lost."""
        taken = self._before > 0
        self._before -= taken
        self.lost_requests += taken
        return taken

    def takes_reply(self) -> bool:
        """Whether the answer to a request that just came is to be lost."""
        taken = self._after > 0
        self._after -= taken
        self.lost_replies += taken
        return taken

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._made += 1
        wire = _Wire(self, self._made, reader, writer)
        self._wires.add(wire)
        task = asyncio.current_task()
        assert task is not None
        self._carrying.add(task)
        try:
            await wire.carry(self.target)
        finally:
            self._wires.discard(wire)
            self._carrying.discard(task)


class _Wire:
    """One client's connection and its other half to the store."""

    def __init__(self, proxy: Proxy, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.silent = False
        self._proxy = proxy
        self._reader = reader
        self._writer = writer
        self._store: asyncio.StreamWriter | None = None
        self._deaf = False

    async def carry(self, target: int) -> None:
        try:
            answers, self._store = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            self.cut()
            return
        ways = [asyncio.create_task(self._requests()), asyncio.create_task(self._answers(answers))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.cut()
            for way in ways:
                way.cancel()
            await asyncio.wait(ways)

    async def _requests(self) -> None:
        with contextlib.suppress(OSError):
            while data := await self._reader.read(_CHUNK):
                if self.silent:
                    continue
                if self._proxy.takes_request():
                    return
                self._deaf = self._deaf or self._proxy.takes_reply()
                assert self._store is not None
                self._store.write(data)
                await self._store.drain()

    async def _answers(self, answers: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while data := await answers.read(_CHUNK):
                if self._deaf:
                    return
                if not self.silent:
                    self._writer.write(data)
                    await self._writer.drain()

    def cut(self) -> None:
        """Reset both halves."""
        for writer in (self._writer, self._store):
            if writer is not None and not writer.transport.is_closing():
                own: socket.socket = writer.get_extra_info("socket")
                with contextlib.suppress(OSError):
                    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()


@asynccontextmanager
async def proxy_to(target: int) -> AsyncIterator[Proxy]:
    proxy = Proxy(target)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.close()
