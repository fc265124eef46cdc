"""Receivers that mean harm: they stall, drip, break off, answer garbage, gigabytes or what unpacks to them."""

import asyncio
import gzip
import io
import json
import logging
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from tests.telling.receiver import Receiver
from windlass import Windlass
from windlass.alerts import channels
from windlass.api.asgi import openapi
from windlass.webhooks import delivery

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def evil(serve: Serve) -> AsyncIterator[str]:
    """A server that does what it likes with a request; its URL."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # whoever asked has gone, which is what is tested
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hooks"
    finally:
        server.close()


async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()  # until the other side leaves


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


async def drip_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"x-more: 1\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)


async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x00\xff" * 5_000 + b"\r\n\r\n")
    await writer.drain()


async def many_headers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: 1\r\n" % n for n in range(100_000)) + b"\r\n")
    await writer.drain()


async def gigabytes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n")
    while True:
        writer.write(b"x" * 65_536)
        await writer.drain()


PACKED = gzip.compress(bytes(50_000_000), 9)


async def bomb(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {len(PACKED)}\r\n\r\n"
    writer.write(head.encode() + PACKED)
    await writer.drain()


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "_TIMEOUT", 0.5)
    monkeypatch.setattr(channels, "_TIMEOUT", 0.5)


@pytest.mark.parametrize("serve", [stall, drip, drip_head, break_off, garbage, many_headers])
async def test_no_answer_is_a_failure_soon(app: Windlass, serve: Serve) -> None:
    """And one that counts: an endpoint that only drips is switched off like any other that takes nothing."""
    async with evil(serve) as url, asyncio.timeout(30), app:
        made = await app.webhooks.add(url)
        await app.webhooks.ping(made.id)
        await app.alerts.put_channel("hook", "webhook", url=url)
        told = await app.alerts.try_channel("hook")
        await app.drain()
        (lost,) = (await app.webhooks.deliveries(made.id)).items
        assert (lost.state, lost.status, lost.attempts) == ("retrying", None, 1)
        assert (await app.webhooks.get(made.id)).failing_since is not None
        # An alert's channel is asked for its status only: who has answered 200 was told, whatever it drips afterwards.
        assert (await app.jobs.get(told)).state == ("completed" if serve is drip else "retrying")


@pytest.mark.parametrize("serve", [gigabytes, bomb])
async def test_no_answer_is_too_large(app: Windlass, serve: Serve) -> None:
    async with evil(serve) as url, asyncio.timeout(60), app:
        made = await app.webhooks.add(url)
        await app.alerts.put_channel("hook", "slack", url=url)
        await app.webhooks.ping(made.id)
        await app.drain()  # whatever is loaded once is loaded
        await app.webhooks.ping(made.id)
        told = await app.alerts.try_channel("hook")
        tracemalloc.start()
        try:
            await app.drain()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 20_000_000, f"{peak:,} bytes"
        assert (await app.jobs.get(told)).state == "completed"
        for found in (await app.webhooks.deliveries(made.id)).items:
            assert found.state == "completed"
            assert len(json.dumps((await app.jobs.get(found.id)).result)) < 10_000


async def test_who_asks_to_wait_for_ever_is_switched_off_too(app: Windlass, receiver: Receiver) -> None:
    receiver.answers = [(503, {"Retry-After": "3600"})]
    async with app:
        made = await app.webhooks.add(receiver.url)
        await app.webhooks.ping(made.id)
        await app.drain()
        assert (await app.webhooks.get(made.id)).failing_since is not None


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """What any logger says at INFO."""
    stream = io.StringIO()
    handler, root = logging.StreamHandler(stream), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.mark.parametrize("answer", [200, 500])
async def test_urls_and_secrets_stay_out_of_logs_and_errors(
    app: Windlass, receiver: Receiver, logged: io.StringIO, answer: int
) -> None:
    """A chat's address is its password. Operators see those of webhooks; jobs, their errors and logs are seen by more."""
    receiver.answers = [(answer, {})] * 2
    async with app:
        made = await app.webhooks.add(f"{receiver.url}/canary-url")
        channel = await app.alerts.put_channel("chat", "slack", url=f"{receiver.url}/canary-url")
        signed = await app.alerts.put_channel("signed", "webhook", url=f"{receiver.url}/canary-url")
        await app.webhooks.ping(made.id)
        await app.alerts.try_channel("chat")
        await app.drain()
        assert len(receiver.got) == 2
        jobs = [await app.jobs.get(job.id) for job in (await app.jobs.list(queue="windlass")).items]
        acts = (await app.audit(action="put-alert-channel")).items
        told = logged.getvalue() + repr(jobs) + repr(acts) + repr([made, channel, signed])
        assert "canary-url" not in told
        assert made.secret not in told and signed.secret not in told
        async with httpx2.AsyncClient() as other:  # what others ask for is logged as before
            await other.post(f"{receiver.url}/plain-url", content=b"{}")
        assert "plain-url" in logged.getvalue()


def test_the_document_shows_no_secret() -> None:
    assert "whsec_" not in json.dumps(openapi()).replace("^whsec_", "")
