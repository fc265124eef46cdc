"""Listing by segments, moving between namespaces, and what operators tell workers."""

import os
from collections.abc import Iterator

import pytest

from tests.servers import RedisServer
from tests.store.kit import HOUR, T0, Hand, act, all_ids, counted, end, get, new, put
from windlass.errors import InvalidOption
from windlass.store.moving import digest, move
from windlass.store.redis import reading
from windlass.store.redis.codec import id_bytes, id_text
from windlass.store.redis.engine import RedisStore
from windlass.values.clock import SECOND
from windlass.values.job import Edge, NewJob, UniqueKey
from windlass.values.lease import ORDERS, Progress
from windlass.values.query import Action, Swap, Where
from windlass.values.states import Event, State


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


async def opened(server: RedisServer, namespace: str) -> RedisStore:
    store = RedisStore(server.url, namespace)
    await store.open()
    return store


def made_at(millisecond: int) -> str:
    """A UUIDv7 of that millisecond."""
    tail = bytearray(os.urandom(10))
    tail[0] = 0x70 | tail[0] & 0x0F
    tail[2] = 0x80 | tail[2] & 0x3F
    return id_text(millisecond.to_bytes(6, "big") + bytes(tail))


async def test_a_burst_in_one_segment_is_listed_whole_and_in_order(server: RedisServer) -> None:
    store = await opened(server, "burst")
    ids = sorted((made_at(1_800_000_000_000) for _ in range(9_500)), reverse=True)
    await store.enqueue([NewJob(id=id, kind="work") for id in ids])
    assert await all_ids(store, Where(), 1_000) == ids
    assert await all_ids(store, Where(kinds=("work",)), 1_000) == ids
    dumped = [snapshot.record["id"] for snapshot in (await store.dump(None, 9_000)).items]
    assert dumped == ids[: -len(dumped) - 1 : -1]
    assert await store.audit_counts() == []
    await store.close()


async def test_pages_go_over_far_apart_segments(server: RedisServer) -> None:
    store = await opened(server, "apart")
    start = 1_800_000_000_000
    ids = [made_at(start + step) for step in (0, 63, 64, 65_535, 65_536, 10_000_000, 10_000_001, 4_000_000_000)]
    await store.enqueue([NewJob(id=id, kind="work") for id in ids])
    for size in (1, 2, 3, 50):
        assert await all_ids(store, Where(), size) == ids[::-1]
    await act(store, Action.DELETE, ids[2], ids[3], ids[7])
    assert await all_ids(store, Where(), 2) == [ids[at] for at in (6, 5, 4, 1, 0)]
    assert await store.audit_counts() == []
    await store.close()


async def test_a_selective_filter_gives_short_pages_that_go_on(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await opened(server, "short")
    (rare,) = await put(store, new("rare"))
    await put(store, *(new("common") for _ in range(1_200)))
    whole = reading.scan
    monkeypatch.setattr(reading, "scan", lambda *a, **k: whole(*a, **{**k, "most": 300}))
    pages = 0
    cursor: str | None = None
    found: list[str] = []
    while True:
        page = await store.jobs(Where(kinds=("rare",)), cursor, 50)
        pages += 1
        found += [job.id for job in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert found == [rare]
    assert pages >= 3, "each looked at a bounded part"
    await store.close()


async def test_a_cursor_of_another_kind_is_refused(server: RedisServer) -> None:
    store = await opened(server, "cursor")
    with pytest.raises(InvalidOption):
        await store.jobs(Where(), "page-2", 10)
    await store.close()


async def test_frequent_states_are_found_by_walking(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await opened(server, "walk")
    ids = await put(store, *(new() for _ in range(60)))
    await put(store, new(delay=HOUR))
    monkeypatch.setattr(reading, "SCANNED", 50)
    assert await all_ids(store, Where(states=(State.WAITING,)), 7) == ids[::-1]
    await store.close()


@pytest.mark.parametrize("text", ["", "nope", "0" * 32, "0190A1B2-0000-7000-8000-000000000000", "é" * 36])
def test_only_canonical_ids_name_a_job(text: str) -> None:
    assert id_bytes(text) is None


async def test_an_id_that_is_no_uuid_is_refused_by_name(server: RedisServer) -> None:
    store = await opened(server, "ids")
    with pytest.raises(InvalidOption) as refused:
        await store.enqueue([NewJob(id="job-1", kind="work")])
    assert refused.value.field == "id"
    await store.close()


async def test_a_worker_is_told_to_be_quiet(server: RedisServer) -> None:
    store = await opened(server, "quiet")
    hand = Hand(store)
    assert not (await hand.beat()).quiet
    await store.exchange([Swap(space=ORDERS, key=hand.name, text="quiet")])
    pulse = await hand.beat()
    assert (pulse.quiet, pulse.stop) == (True, False)
    await store.exchange([Swap(space=ORDERS, key=hand.name, text="stop")])
    assert (await hand.beat()).stop
    await store.exchange([Swap(space=ORDERS, key=hand.name, text=None)])
    pulse = await hand.beat()
    assert (pulse.quiet, pulse.stop) == (False, False)
    await store.close()


async def test_a_move_to_another_namespace_keeps_everything(server: RedisServer) -> None:
    source, target = await opened(server, "source"), await opened(server, "target")
    await source.hold_time(T0)
    await target.hold_time(T0)
    hand = Hand(source)
    rich = {
        "user": "ü",
        "project": "p",
        "group": "g",
        "workflow": "w",
        "name": "n",
        "tags": ("a", "b"),
        "options": "{}",
    }
    await put(source, new("fails", **rich), new("retries"), new("runs"), new("parked"), new("done"))
    claims = {claim.kind: claim for claim in await hand.take()}
    await source.report([Progress(claims["retries"].id, claims["retries"].lease, 42.5, "half")])
    await hand.finish(
        end(claims["fails"], Event.FAIL, error='{"type":"E","message":"m"}', reason="broken"),
        end(claims["retries"], Event.RETRY, delay=HOUR),
        end(claims["parked"], Event.RELEASE, park="kind:parked"),
        end(claims["done"], Event.COMPLETE, result="1"),
    )
    parent = new(priority=7, unique=UniqueKey(key="k"), expires_in=HOUR)
    child = new(after=(Edge(parent.id, "hold"),), unique=UniqueKey(key="p", until="period", ttl=HOUR))
    later = new(delay=HOUR, runtime="process", max_attempts=9)
    await put(source, parent, child, later)
    before = {page.record["id"]: digest(page) for page in (await source.dump(None, 100)).items}
    moved = await move(source, target)
    assert (moved.jobs, moved.new) == (7, 7)
    assert {page.record["id"]: digest(page) for page in (await target.dump(None, 100)).items} == before
    assert (await move(source, target)).new == 0, "a move may be repeated"
    assert await target.audit_counts() == []
    job = await get(target, claims["retries"].id)
    assert (job.progress, job.progress_note, job.state) == (42.5, "half", State.RETRYING)
    assert await counted(target) == {
        State.FAILED: 1,
        State.RETRYING: 1,
        State.WAITING: 3,
        State.BLOCKED: 1,
        State.DELAYED: 1,
    }
    (late,) = await put(target, new())
    line = Hand(target)
    assert [claim.id for claim in await line.take()] == [parent.id, claims["runs"].id, late], "in their old places"
    (answer,) = await target.enqueue([new(unique=UniqueKey(key="p"))])
    assert (answer.id, answer.created) == (child.id, False)
    assert await target.unpark("kind:parked") == 1
    await target.hold_time(T0 + SECOND)
    assert await target.audit_counts() == []
    await source.close()
    await target.close()
