"""What calls of finish counted on Redis, between the call and the sums: kept, bounded, and added up once."""

from collections.abc import Iterator

import msgspec
import pytest
import redis

from tests.servers import RedisServer
from tests.store.kit import HOUR, T0, Hand, new, put
from windlass.store.redis.codec import pack
from windlass.store.redis.engine import RedisStore
from windlass.values.metrics import MINUTE, MetricQuery, TallyKey, tally
from windlass.values.outcome import Finish, completed
from windlass.values.query import Retention

EVERYTHING = MetricQuery(since=T0 - HOUR, until=T0 + HOUR, names=("*",))


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


def kept(server: RedisServer, namespace: str) -> dict[TallyKey, int]:
    """The sums as the hashes have them."""
    sums: dict[TallyKey, int] = {}
    with redis.Redis.from_url(server.url) as client:
        for key in client.scan_iter(f"{{{namespace}}}:tally:*"):
            for field, n in client.hgetall(key).items():
                of = msgspec.msgpack.decode(field, type=TallyKey)
                assert pack(of) == field, "one sum has one name"
                sums[of] = sums.get(of, 0) + int(n)
    return sums


def spooled(server: RedisServer, namespace: str) -> int:
    with redis.Redis.from_url(server.url) as client:
        return client.strlen(f"{{{namespace}}}:spool")


async def call(store: RedisStore, users: int) -> list[Finish]:
    """A call whose items have a user each; names are short and long, and of more than letters."""
    await put(store, *(new("k\0" + "k" * 40, user=f"é\0{n}" * (1 + 9 * (n % 2))) for n in range(users)))
    claims = await Hand(store).take(users)
    ends = [completed(claim, None, 1 + n * n * 100) for n, claim in enumerate(claims)]
    await store.finish(ends)
    return ends


async def test_a_call_is_counted_once_wherever_it_stands(server: RedisServer) -> None:
    store = RedisStore(server.url, "once")
    await store.open()
    await store.hold_time(T0)
    ends = await call(store, 20)
    assert kept(server, "once") == {} and spooled(server, "once") > 0
    await store.hold_time(T0 + MINUTE)
    ends += await call(store, 20)
    for _ in range(2):
        points = await store.metrics(EVERYTHING)
        assert sum(point.value for point in points) == sum(tally(ends).values())
        assert {point.minute for point in points} == {(T0 + n * MINUTE) // MINUTE * MINUTE for n in range(2)}
        assert kept(server, "once") == tally(ends) and spooled(server, "once") == 0
    ends += await call(store, 20)
    await store.prune(Retention(), 10)
    assert kept(server, "once") == tally(ends) and spooled(server, "once") == 0
    await store.close()


async def test_the_spool_is_bounded(server: RedisServer) -> None:
    store = RedisStore(server.url, "bounded")
    await store.open()
    await store.hold_time(T0)
    ends: list[Finish] = []
    most = 0
    while not kept(server, "bounded"):
        ends += await call(store, 100)
        most = max(most, spooled(server, "bounded"))
    assert spooled(server, "bounded") == 0 and 10_000 < most < 49_152
    assert kept(server, "bounded") == tally(ends)
    await store.close()


async def test_a_call_that_is_not_taken_leaves_nothing(server: RedisServer) -> None:
    store = RedisStore(server.url, "refused")
    await store.open()
    await store.hold_time(T0)
    ends = await call(store, 3)
    before = spooled(server, "refused")
    await store.finish(ends)
    assert spooled(server, "refused") == before
    await store.close()
