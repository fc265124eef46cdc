"""The proxy does what it says: an echo server behind it tells what arrived."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.crash.proxy import Proxy, proxy_to


class Echo:
    """Answers every request with itself, and remembers what arrived."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1_000):
                self.heard.append(data)
                writer.write(data)
        except OSError:
            return
        finally:
            writer.close()


@asynccontextmanager
async def echoing() -> AsyncIterator[tuple[Echo, Proxy]]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    async with server, proxy_to(server.sockets[0].getsockname()[1]) as proxy:
        yield echo, proxy


class Caller:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, text: bytes) -> bytes:
        self.writer.write(text)
        return await self.reader.read(1_000)


@asynccontextmanager
async def call(proxy: Proxy) -> AsyncIterator[Caller]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield Caller(reader, writer)
    finally:
        writer.transport.abort()


async def test_requests_and_answers_pass() -> None:
    async with echoing() as (echo, proxy), call(proxy) as caller:
        assert [await caller.ask(b"one"), await caller.ask(b"two")] == [b"one", b"two"]
        assert echo.heard == [b"one", b"two"]


async def test_a_lost_request_never_arrives() -> None:
    async with echoing() as (echo, proxy), call(proxy) as caller:
        assert await caller.ask(b"one") == b"one"
        proxy.lose_requests(1)
        with pytest.raises(ConnectionResetError):
            await caller.ask(b"two")
        assert (echo.heard, proxy.lost_requests) == ([b"one"], 1)


async def test_a_lost_reply_has_arrived() -> None:
    async with echoing() as (echo, proxy), call(proxy) as caller, call(proxy) as other:
        proxy.lose_replies(1)
        with pytest.raises(ConnectionResetError):
            await caller.ask(b"one")
        assert (echo.heard, proxy.lost_replies) == ([b"one"], 1)
        assert await other.ask(b"two") == b"two"


async def test_a_silent_connection_stays_open_until_it_is_reset() -> None:
    async with echoing() as (echo, proxy), call(proxy) as caller:
        assert await caller.ask(b"one") == b"one"
        assert proxy.silence(random.Random(1), 1.0) == 1
        waiting = asyncio.create_task(caller.ask(b"two"))
        async with call(proxy) as other:
            assert await other.ask(b"other") == b"other"
        assert not waiting.done()
        proxy.calm()
        with pytest.raises(ConnectionResetError):
            await waiting
        assert echo.heard == [b"one", b"other"]


async def test_without_a_store_connections_are_reset() -> None:
    async with echoing() as (_, proxy):
        proxy.target = 1
        async with call(proxy) as caller:
            with pytest.raises(ConnectionResetError):
                await caller.ask(b"one")
