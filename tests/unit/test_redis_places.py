"""Where a Redis store can live: URLs, a Unix socket, Sentinel with a failover, a cluster."""

import asyncio
import random
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.servers import RedisServer
from tests.servers.redis import find_redis
from tests.store.kit import Hand, counted, new, put
from tests.waiting import until
from windlass.errors import InvalidOption, SettingsError, StoreUnavailable
from windlass.store import open_store
from windlass.store.redis.address import read_address
from windlass.store.redis.engine import RedisStore
from windlass.values.states import State


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:6380/3", "redis://host:6380/3"),
        ("redis://me:secret@host/0", "redis://me@host/0"),
        ("redis://:secret@host/0", "redis://host/0"),
        ("rediss://me:p%40ss@host/0", "rediss://me@host/0"),
        ("valkey://host/0", "valkey://host/0"),
        ("unix:///run/redis.sock?db=2", "unix:///run/redis.sock"),
        ("redis+sentinel://me:secret@a:1,b:2/master/4", "redis+sentinel://me@a:1,b:2/master/4"),
        ("redis+cluster://me:secret@a:1,b:2", "redis+cluster://me@a:1,b:2"),
    ],
)
def test_no_password_is_shown(url: str, shown: str) -> None:
    assert read_address(url).shown == shown
    assert "secret" not in open_store(url).url


def options_of(url: str) -> dict[str, Any]:
    return read_address(url).connect().connection_pool.connection_kwargs


def test_urls_reach_the_client() -> None:
    plain = options_of("redis://me:p%40ss@host:6380/3")
    assert (plain["host"], plain["port"], plain["db"], plain["username"], plain["password"]) == (
        "host",
        6380,
        3,
        "me",
        "p@ss",
    )
    assert options_of("valkey://host:1/0")["port"] == 1
    assert options_of("unix:///run/redis.sock?db=2")["path"] == "/run/redis.sock"
    tls = read_address("rediss://host/0").connect().connection_pool
    assert "SSL" in tls.connection_class.__name__
    trusted = options_of("rediss+sentinel://a:1/master/4?ssl_ca_certs=/ca.pem&ssl_check_hostname=false")
    assert (trusted["ssl_ca_certs"], trusted["ssl_check_hostname"]) == ("/ca.pem", False)
    sentinel = options_of("redis+sentinel://:p@a:1,b/master/4")
    assert (sentinel["db"], sentinel["password"]) == (4, "p")


def test_the_client_itself_repeats_nothing() -> None:
    retry = read_address("redis://host/0").connect().get_retry()
    assert retry is None or retry.get_retries() == 0


@pytest.mark.parametrize("url", ["redis+sentinel://a:1", "redis+sentinel://a:x/master", "redis+cluster://:1"])
def test_addresses_that_miss_something_are_refused(url: str) -> None:
    with pytest.raises(SettingsError):
        RedisStore(url, "n")


def test_a_namespace_is_a_name() -> None:
    with pytest.raises(InvalidOption):
        RedisStore("redis://host/0", "a{b}")


async def lives(store: RedisStore) -> None:
    """A job's whole life, with a wake-up, and clean sums."""
    await store.open()
    woken: list[int] = []
    store.listen({"done"}, lambda: woken.append(1))
    (id,) = await put(store, new())
    hand = Hand(store)
    await hand.complete(await hand.one(), result="1")
    assert (await store.outcomes([id]))[id].result == 1
    await until(lambda: woken, "the wake")
    assert (await store.health())["version"] != "unknown"
    assert await store.audit_counts() == []
    await store.close()


async def test_a_unix_socket() -> None:
    with RedisServer() as plain:
        path = plain.folder / "s.sock"
        with RedisServer("--unixsocket", str(path)):
            await lives(RedisStore(f"unix://{path}?db=0", "n"))


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[RedisServer, RedisServer, int]]:
    """A master, its replica, and the port of a sentinel that watches them."""
    with RedisServer() as master, RedisServer("--replicaof", "127.0.0.1", str(master.port)) as replica:
        with RedisServer() as spare:
            port = spare.port
        config = tmp_path / "sentinel.conf"
        config.write_text(
            f"port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {master.port} 1\n"
            "sentinel down-after-milliseconds main 300\nsentinel failover-timeout main 2000\n"
        )
        with (tmp_path / "sentinel.log").open("wb") as log:
            watch = subprocess.Popen(
                [find_redis(), config, "--sentinel"], cwd=tmp_path, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        yield master, replica, port
        watch.kill()
        watch.wait()


async def knows_replica(port: int) -> bool:
    with redis.Redis(port=port) as client:
        try:
            (replica,) = client.sentinel_slaves("main")
        except (redis.RedisError, ValueError):
            return False
        return replica["master-link-status"] == "ok"


async def test_sentinel_and_a_failover(pair: tuple[RedisServer, RedisServer, int]) -> None:
    master, replica, port = pair
    await until(lambda: knows_replica(port), "the sentinel to know the replica")
    store = RedisStore(f"redis+sentinel://127.0.0.1:{port}/main/0", "n")
    await store.open()
    hand = Hand(store)
    await put(store, new(), new())
    claim = await hand.one()
    with redis.Redis(port=master.port) as client:
        assert client.wait(1, 5_000) == 1
    master.kill()

    async def works_again() -> bool:
        try:
            await hand.complete(claim)
        except (StoreUnavailable, AssertionError):
            await asyncio.sleep(0.05)
            return False
        return True

    await until(works_again, "the replica to take over")
    assert await counted(store) == {State.COMPLETED: 1, State.WAITING: 1}
    assert await store.audit_counts() == []
    with redis.Redis(port=replica.port) as client:
        assert client.role()[0] == b"master"
    await store.close()


def cluster_port() -> int:
    """A port whose neighbour 10,000 above, the cluster's own, is free too (6.2 cannot be told another)."""
    while True:
        port = random.randrange(20_000, 32_000)  # below the range that outgoing connections use
        with socket.socket() as one, socket.socket() as two:
            try:
                one.bind(("127.0.0.1", port))
                two.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
        return port


@pytest.fixture
def cluster() -> Iterator[list[RedisServer]]:
    """Three masters that share the slots."""
    servers = [RedisServer("--cluster-enabled", "yes", "--cluster-node-timeout", "2000") for _ in range(3)]
    for server in servers:
        server.port = cluster_port()
        server.start()
    clients = [redis.Redis(port=server.port) for server in servers]
    for number, client in enumerate(clients):
        first, last = 16_384 * number // 3, 16_384 * (number + 1) // 3
        for start in range(first, last, 1_000):
            client.execute_command("CLUSTER ADDSLOTS", *range(start, min(start + 1_000, last)))
        client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
        client.execute_command("CLUSTER MEET", "127.0.0.1", servers[0].port)
    yield servers
    for client in clients:
        client.close()
    for server in servers:
        server.close()


def formed(servers: list[RedisServer]) -> bool:
    for server in servers:
        with redis.Redis(port=server.port) as client:
            facts = client.execute_command("CLUSTER INFO")
            if facts["cluster_state"] != "ok" or facts["cluster_known_nodes"] != "3":
                return False
    return True


async def test_a_cluster(cluster: list[RedisServer]) -> None:
    await until(lambda: formed(cluster), "the cluster to form")
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in cluster)
    for namespace in ("a", "b", "c", "d"):  # some of them on each node
        await lives(RedisStore(f"redis+cluster://{hosts}", namespace))
