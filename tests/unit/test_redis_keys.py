"""The list of keys in docs/design/redis.md against a server after every verb has run."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from msgspec.structs import replace

from tests.servers import RedisServer
from tests.store.kit import HOUR, LEASE, T0, Hand, act, end, get, new, put
from windlass.errors import InvalidOption, WorkersAlive
from windlass.store.redis.engine import RedisStore
from windlass.store.redis.produce import CHUNK_JOBS
from windlass.values.clock import SECOND
from windlass.values.job import Ahead, Edge, UniqueKey
from windlass.values.lease import LogLine, Progress, Step
from windlass.values.limit import Bound, LimitChange, Rate, Take
from windlass.values.query import Action, Keep, Retention, Swap
from windlass.values.queue import QueueChange
from windlass.values.schedule import ScheduleRow
from windlass.values.states import Event

PAGE = Path(__file__).parent.parent.parent / "docs" / "design" / "redis.md"
ROW = re.compile(r"^\| `([^`]+)` \| (\w+) \|", re.MULTILINE)
# Kept while a call above one script is under way; the test of staged calls sees them.
PASSING = {"stage:<tx>", "stages", "commits", "settle", "reviving", "awake"}


def documented() -> dict[str, str]:
    return dict(ROW.findall(PAGE.read_text("utf-8")))


def pattern(name: str) -> re.Pattern[bytes]:
    parts = re.split(r"<\w+>", name)
    return re.compile(b".+".join(re.escape(part.encode()) for part in parts), re.DOTALL)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


async def whole_life(store: RedisStore) -> None:
    """Something of everything, left standing."""
    await store.hold_time(T0)
    hand = Hand(store)
    await put(store, new(unique=UniqueKey(key="k")), new("odd"), new("fails"), new("again"), new("runs"), new("asked"))
    claims = {claim.kind: claim for claim in await hand.take()}
    await hand.complete(claims["work"], result="1")
    await hand.finish(
        end(claims["odd"], Event.RELEASE, park="kind:odd"),
        end(claims["fails"], Event.FAIL, error='{"type":"E","message":"m"}'),
        end(claims["again"], Event.RETRY, delay=HOUR),
    )
    running = claims["runs"]
    await store.report([Progress(running.id, running.lease, 5.0), LogLine(running.id, running.lease, 1, "info", "x")])
    await store.report([Step(running.id, running.lease, 0, "s")])
    await store.signal(running.id, "go", "1", "ops")
    await act(store, Action.CANCEL, claims["asked"].id)
    await hand.beat(running)
    await store.rescue("w2", LEASE, 10)
    parent = new(runtime="thread")
    await put(store, parent, new(after=(Edge(parent.id),)), new(delay=HOUR), new(expires_in=HOUR))
    await put(store, new(unique=UniqueKey(key="p", until="period", ttl=HOUR)))
    doomed, blocked = new(after=(Edge(claims["fails"].id),)), new(after=(Edge(parent.id),))
    await put(store, doomed, blocked)
    await dead_letters(store)
    await put(store, new(before=(Ahead(blocked.id),), runtime="thread"))
    await store.put_queue("default", QueueChange(paused=True), "ops")
    await under_limits(store)
    await store.put_schedules([ScheduleRow(key="s", spec="{}", due=T0)], "ops")
    await store.exchange([Swap(space="s", key="k", text="1", ttl=SECOND)])
    await store.promote(100)
    await put(store, new(queue="brief"))
    brief = Hand(store, "brief", queues=("brief",))
    await brief.complete(await brief.one())
    await store.prune(Retention(queues={"brief": Keep(completed=0)}), 100)
    await put(store, new(queue="brief"))
    await brief.complete(await brief.one())  # prune has added up what was counted before


async def dead_letters(store: RedisStore) -> None:
    (id,) = await put(store, new(queue="letters"))
    claim = await Hand(store, "sexton", queues=("letters",)).one()
    assert claim.id == id
    ended = end(claim, Event.FAIL, error='{"type":"E","message":"m"}', fingerprint="f", ladder=(HOUR,), spent=1)
    assert await store.finish([ended]) == ["accepted"]
    await store.feed(None)


async def under_limits(store: RedisStore) -> None:
    await store.put_queue("fair", QueueChange(order="fair"), "ops")
    rate = Bound("r", rate=Rate(1, HOUR))
    await put(store, *(new(queue="fair", group="g", limits=(rate,)) for _ in range(2)), new(queue="fair", group="h"))
    hand = Hand(store, "limited", queues=("fair",))
    assert len(await hand.take(1)) == 1
    assert len(await hand.take(5)) == 1
    await put(store, new(queue="fair", group="h"))
    await store.put_limits([LimitChange(key="queue:other", concurrency=1)], "ops")
    await store.take([Take("t", Rate(2, HOUR))])


async def test_every_key_is_documented_and_every_documented_key_occurs(server: RedisServer) -> None:
    store = RedisStore(server.url, "keys")
    await store.open()
    await whole_life(store)
    assert await store.audit_counts() == []
    await store.close()
    patterns = {name: pattern(name) for name in documented()}
    seen: set[str] = set()
    with redis.Redis.from_url(server.url) as client:
        for key in client.scan_iter():
            assert key.startswith(b"{keys}:"), f"{key!r} is outside the namespace"
            names = [name for name, form in patterns.items() if form.fullmatch(key.removeprefix(b"{keys}:"))]
            assert names, f"{key!r} is not in {PAGE.name}"
            assert client.type(key).decode() == documented()[names[0]], key
            assert client.ttl(key) == -1, f"{key!r} would vanish by itself"
            seen.add(names[0])
    assert seen == set(documented()) - PASSING


async def test_a_staged_call_uses_its_keys_and_leaves_none(server: RedisServer) -> None:
    store = RedisStore(server.url, "staged")
    await store.open()
    with redis.Redis.from_url(server.url) as client:
        jobs = [new() for _ in range(3 * CHUNK_JOBS)]
        await put(store, *jobs)
        left = {key.removeprefix(b"{staged}:") for key in client.scan_iter("{staged}:*")}
    assert not {key for key in left if key.startswith((b"stage", b"commits"))}
    assert await store.audit_counts() == []
    await store.close()


async def test_what_ends_leaves_nothing_behind(server: RedisServer) -> None:
    """After the last job is pruned only what lasts for ever is left."""
    store = RedisStore(server.url, "empty")
    await store.open()
    await store.hold_time(T0)
    parent = new(unique=UniqueKey(key="k"), tags=("t",), expires_in=HOUR)
    await put(store, parent, new(after=(Edge(parent.id),)))
    hand = Hand(store)
    for _ in range(2):
        claim = await hand.one()
        await store.report([LogLine(claim.id, claim.lease, 1, "info", "x")])
        await hand.complete(claim, result="1")
    await hand.beat(leaving=True)
    await store.hold_time(T0 + 1_000 * HOUR)
    assert await store.prune(Retention(history=0), 100) == 2
    await store.hold_time(None)
    with redis.Redis.from_url(server.url) as client:
        left = {key.removeprefix(b"{empty}:").decode() for key in client.scan_iter("{empty}:*")}
    await store.close()
    assert left == {"schema", "seq", "lease", "queues", "ready:0", "idle"}


async def test_what_remains_is_taken_out_of_a_record_with_everything_in_it(server: RedisServer) -> None:
    """Each part of the immutable record has a place of its own behind those before it."""
    store = RedisStore(server.url, "parts")
    await store.open()
    await store.hold_time(T0)
    (parent,) = await put(store, new())
    parts: dict[str, dict[str, Any]] = {
        "expires": {"expires_in": HOUR},
        "parents": {"after": (Edge(parent),)},
        "key": {"unique": UniqueKey(key="k")},
        "bounds": {"limits": (Bound("b", 1),), "weight": 3},
        "who": {"user": "ann", "name": "ünï"},
        "payload": {"args": '["' + 50 * "x" + '"]', "options": '{"timeout":5}'},
        "tags": {"tags": ("x", "à")},
    }
    made: list[str] = []
    for chosen in range(2 ** len(parts)):
        job: dict[str, Any] = {}
        for number, (name, fields) in enumerate(parts.items()):
            if chosen >> number & 1:
                job |= {"unique": UniqueKey(key=f"k{chosen}")} if name == "key" else fields
        made += await put(store, new(**job))
    await act(store, Action.CANCEL, *made)
    jobs = [await get(store, id) for id in made]
    while await store.prune(Retention(cancelled=0), 100):
        pass
    gone = {"args": {}, "options": {}, "parents": ()}
    for job in jobs:
        past = await store.past(job.id)
        assert past is not None and past.gone_at == T0
        assert past.job == replace(job, **gone)
    assert await store.audit_counts() == []
    await store.close()


async def test_erasing_leaves_nothing_of_the_namespace_and_all_of_others(server: RedisServer) -> None:
    other, store = RedisStore(server.url, "erase-not"), RedisStore(server.url, "erase")
    await other.open()
    await store.open()
    (kept,) = await put(other, new())
    await put(store, *(new() for _ in range(2_500)))
    hand = Hand(store)
    await hand.beat()
    with pytest.raises(WorkersAlive) as refused:
        await store.erase()
    assert refused.value.workers == [hand.name]
    await store.erase(force=True)
    with redis.Redis.from_url(server.url) as client:
        assert list(client.scan_iter("{erase}:*")) == []
    assert (await other.job(kept)) is not None
    await other.close()
    again = store.sibling()
    await again.open()
    assert await again.counts() == []
    await again.close()


async def test_nothing_joins_a_foreign_transaction(server: RedisServer) -> None:
    store = RedisStore(server.url, "joins")
    with pytest.raises(InvalidOption):
        await store.enqueue_on(object(), [new()])
    with pytest.raises(InvalidOption):
        store.enqueue_on_sync(object(), [new()])
    with pytest.raises(InvalidOption):
        store.transaction()
