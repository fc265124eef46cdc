"""Dead letters on Redis next to a Windlass that knows no groups of them: an older store, and older programs beside this one."""

from collections.abc import Iterator

import pytest
import redis

from tests.servers import RedisServer
from tests.store.kit import HOUR, T0, bury, get, groups_of, new
from windlass.errors import SchemaMismatch
from windlass.store.redis.engine import RedisStore
from windlass.values.metrics import MINUTE
from windlass.values.query import Action, AuditQuery, Command, Retention, Where

KEYS = ("failures", "failures:f", "fingerprints", "retries", "acts", "walked")


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


def forget_groups(server: RedisServer, namespace: str, schema: str = "2 1") -> None:
    """Make a store look as if a Windlass of the first schema had written it."""
    with redis.Redis.from_url(server.url) as client:
        client.delete(*(f"{{{namespace}}}:{key}" for key in KEYS))
        client.set(f"{{{namespace}}}:schema", schema)
        for key in client.scan_iter(f"{{{namespace}}}:job:*"):
            ledgers = [field for field in client.hkeys(key) if len(field) == 17 and field.endswith(b"l")]
            if ledgers:
                client.hdel(key, *ledgers)


async def test_letters_of_an_older_store_join_their_groups(server: RedisServer) -> None:
    store = RedisStore(server.url, "older")
    await store.open()
    ids = await bury(store, *(new() for _ in range(1_200)), fingerprint="f")
    (other,) = await bury(store, new(queue="b"))
    await store.put_schedules([], "ops")
    await store.command(Command(action=Action.FAIL), Where(ids=(other,)), 1, "ops")
    await store.command(Command(action=Action.REQUEUE), Where(ids=(ids[0],)), 1, "ops")
    await store.command(Command(action=Action.FAIL), Where(ids=(ids[0],)), 1, "ops")
    forget_groups(server, "older", "1 1")
    with pytest.raises(SchemaMismatch):
        await store.sibling().open()
    assert await store.migrate() == ["0002_ledgers"]
    assert {name: group.n for name, group in (await groups_of(store)).items()} == {"f": 1_199, "": 2}
    assert await store.audit_counts() == []
    entries = await store.audit(AuditQuery())
    assert [int(entry.id) for entry in entries] == [2, 1], "acts from before have numbers too"
    await store.close()


async def test_a_letter_that_an_older_program_made_joins_its_group(server: RedisServer) -> None:
    store = RedisStore(server.url, "beside")
    await store.open()
    await bury(store, *(new() for _ in range(5)), fingerprint="f")
    forget_groups(server, "beside")
    assert await groups_of(store) == {}
    await store.prune(Retention(), 500)
    assert (await groups_of(store))["f"].n == 5
    assert await store.audit_counts() == []
    await store.close()


async def test_a_letter_that_an_older_program_brought_back_leaves_its_group(server: RedisServer) -> None:
    store = RedisStore(server.url, "strays")
    await store.open()
    await store.hold_time(T0)
    ids = await bury(store, *(new() for _ in range(600)), fingerprint="f", ladder=(MINUTE,))
    copies = [f"{{strays}}:{key}" for key in ("failures:f", "fingerprints", "retries")]
    with redis.Redis.from_url(server.url) as client:
        for key in copies:
            client.copy(key, key + "-")
        await store.command(Command(action=Action.REQUEUE), Where(ids=tuple(ids[:300])), 1_000, "ops")
        for key in copies:
            client.rename(key + "-", key)
    await store.hold_time(T0 + HOUR)
    swept = await store.command(Command(action=Action.REQUEUE, scheduled=True), Where(retry_before=T0 + HOUR), 10, "s")
    assert set(swept.done) <= set(ids[300:]), "what is no dead letter is not revived"
    for _ in range(200):
        if not await store.prune(Retention(), 500) and (await groups_of(store))["f"].n == 290:
            break
    assert (await groups_of(store))["f"].n == 290
    assert (await get(store, ids[0])).next_retry_at is None
    assert await store.audit_counts() == []
    await store.close()
