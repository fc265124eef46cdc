"""Stores behind TLS: the certificate is checked, and everything works as without."""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.servers import PostgresServer, RedisServer
from tests.store.kit import Hand, new
from tests.tls import Authority, tls_front
from tests.waiting import until
from windlass.errors import StoreUnavailable
from windlass.store import Store, open_store
from windlass.values.states import State


async def works(store: Store) -> None:
    """A job goes through, and a listener is woken by it."""
    await store.open()
    woken = asyncio.Event()
    stop = store.listen({"ready"}, woken.set)
    await until(woken.is_set, "the subscription stands")
    woken.clear()
    [enqueued] = await store.enqueue([new("hello")])
    await until(woken.is_set, "the listener hears of the job")
    hand = Hand(store)
    claim = await hand.one()
    await hand.complete(claim)
    job = await store.job(enqueued.id)
    assert job is not None
    assert job.state is State.COMPLETED
    stop()
    await store.close()


async def test_redis_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with RedisServer().start() as server:
        async with tls_front(server.port, authority) as port:
            await works(open_store(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={authority.file}"))


async def test_redis_with_a_certificate_nobody_vouches_for(tmp_path: Path) -> None:
    with RedisServer().start() as server:
        async with tls_front(server.port, Authority(tmp_path)) as port:
            store = open_store(f"rediss://127.0.0.1:{port}/0")
            with pytest.raises(StoreUnavailable, match=r"(?i)certificate"):
                await store.open()
            await store.close()


async def test_postgres_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with PostgresServer().start() as server:
        async with tls_front(server.port, authority, upgrade=True) as port:
            plain = urlsplit(server.url)
            url = f"{plain.scheme}://postgres@127.0.0.1:{port}{plain.path}"
            await works(open_store(f"{url}?sslmode=verify-full&sslrootcert={authority.file}"))


async def test_postgres_with_a_certificate_nobody_vouches_for(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path), tmp_path / "other"
    other.mkdir()
    stranger = Authority(other)
    with PostgresServer().start() as server:
        async with tls_front(server.port, authority, upgrade=True) as port:
            url = f"postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=verify-full&sslrootcert={stranger.file}"
            store = open_store(url)
            with pytest.raises(StoreUnavailable, match=r"(?i)certificate"):
                await store.open()
            await store.close()
