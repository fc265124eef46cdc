"""Schedules as rows: kept, listed when due, fired once."""

from tests.store.kit import HOUR, T0, Clock, counted, get, new, put, state_of
from windlass.store import Store
from windlass.values.clock import SECOND
from windlass.values.job import Enqueued, UniqueKey
from windlass.values.query import AuditQuery
from windlass.values.schedule import ScheduleRow
from windlass.values.states import State


def row(key: str, due: int | None = T0, **fields: object) -> ScheduleRow:
    return ScheduleRow(key=key, spec='{"cron": "* * * * *"}', due=due, **fields)  # type: ignore[arg-type]


async def only(store: Store, key: str) -> ScheduleRow:
    return next(row for row in await store.schedules() if row.key == key)


async def test_schedules_read_back_by_key(store: Store) -> None:
    assert await store.schedules() == []
    b = row("b", owner="app", paused=True)
    a = row("a", due=None)
    await store.put_schedules([b, a], "ops")
    assert await store.schedules() == [a, b]


async def test_due_ones_only(store: Store) -> None:
    await store.put_schedules(
        [row("due", T0), row("later", T0 + HOUR), row("never", None), row("paused", T0, paused=True)], "ops"
    )
    assert [r.key for r in await store.schedules(due_before=T0 + 1)] == ["due"]
    assert await store.schedules(due_before=T0) == [], "before is before"
    assert [r.key for r in await store.schedules(due_before=T0 + 2 * HOUR)] == ["due", "later"]


async def test_a_new_version_keeps_what_happened(store: Store, clock: Clock) -> None:
    await store.put_schedules([row("s")], "ops")
    job = new()
    assert await store.fire("s", T0, T0 + HOUR, job) == Enqueued(job.id)
    await store.put_schedules([row("s", T0 + 5 * HOUR, owner="next", paused=True)], "ops")
    kept = await only(store, "s")
    assert (kept.due, kept.owner, kept.paused) == (T0 + 5 * HOUR, "next", True)
    assert (kept.last_due, kept.last_job, kept.fired) == (T0, job.id, 1)


async def test_firing_moves_the_due_time_and_makes_the_job(store: Store, clock: Clock) -> None:
    await store.put_schedules([row("s")], "ops")
    job = new("tick", queue="ticks", delay=SECOND)
    assert await store.fire("s", T0, T0 + HOUR, job) == Enqueued(job.id)
    assert (await get(store, job.id)).state is State.DELAYED
    fired = await only(store, "s")
    assert (fired.due, fired.last_due, fired.last_job, fired.fired) == (T0 + HOUR, T0, job.id, 1)


async def test_a_due_time_fires_once(store: Store) -> None:
    await store.put_schedules([row("s")], "ops")
    first, second = new(), new()
    assert await store.fire("s", T0, T0 + HOUR, first) is not None
    assert await store.fire("s", T0, T0 + HOUR, second) is None
    assert await store.job(second.id) is None
    assert (await only(store, "s")).fired == 1
    assert await counted(store) == {State.WAITING: 1}


async def test_a_schedule_that_moved_or_is_gone_does_not_fire(store: Store) -> None:
    await store.put_schedules([row("moved", T0 + HOUR), row("never", None)], "ops")
    for key in ("moved", "never", "unknown"):
        assert await store.fire(key, T0, T0 + HOUR, new()) is None
    assert await store.counts() == []
    assert (await only(store, "moved")).due == T0 + HOUR


async def test_a_time_may_be_skipped(store: Store) -> None:
    await store.put_schedules([row("s")], "ops")
    await store.fire("s", T0, T0 + HOUR, None)
    kept = await only(store, "s")
    assert (kept.due, kept.last_job, kept.fired) == (T0 + HOUR, None, 0)
    assert await store.counts() == []


async def test_the_last_time_ends_it(store: Store) -> None:
    await store.put_schedules([row("once")], "ops")
    job = new()
    assert await store.fire("once", T0, None, job) == Enqueued(job.id)
    assert (await only(store, "once")).due is None
    assert await store.schedules(due_before=T0 + 100 * HOUR) == []


async def test_a_fire_that_meets_a_held_key_says_who_holds_it(store: Store) -> None:
    (holder,) = await put(store, new(unique=UniqueKey(key="tick")))
    await store.put_schedules([row("s")], "ops")
    job = new(unique=UniqueKey(key="tick"))
    assert await store.fire("s", T0, T0 + HOUR, job) == Enqueued(holder, created=False)
    assert (await only(store, "s")).due == T0 + HOUR
    assert await state_of(store, job.id) is None


async def test_schedules_are_dropped(store: Store) -> None:
    await store.put_schedules([row("a"), row("b"), row("c")], "ops")
    assert await store.drop_schedules(["a", "c", "unknown"], "ops") == 2
    assert await store.drop_schedules(["a"], "ops") == 0
    assert [r.key for r in await store.schedules()] == ["b"]


async def test_changes_are_audited(store: Store, clock: Clock) -> None:
    await store.put_schedules([row("a"), row("b")], "anna")
    await clock.forward(SECOND)
    await store.drop_schedules(["a"], "ben")
    entries = await store.audit(AuditQuery(target="schedule:a"))
    assert [(e.at, e.actor, e.target) for e in entries] == [
        (T0 + SECOND, "ben", "schedule:a"),
        (T0, "anna", "schedule:a"),
    ]
    assert len(await store.audit(AuditQuery(target="schedule:b"))) == 1
