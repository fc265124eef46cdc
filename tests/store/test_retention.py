"""What is kept, for how long, and what goes with it."""

import pytest

from tests.store.kit import DAY, HOUR, T0, Clock, Hand, act, all_ids, counted, end, new, put, states_of
from windlass.store import Store
from windlass.values.clock import SECOND
from windlass.values.job import Edge
from windlass.values.lease import LogLine
from windlass.values.metrics import MetricQuery
from windlass.values.query import SPARED, Action, AuditQuery, Retention, Swap, Where
from windlass.values.states import Event, State

FOREVER = Retention(completed=None, failed=None, cancelled=None, metrics=None, audit=None)


async def finished(store: Store, event: Event = Event.COMPLETE, **fields: str) -> str:
    hand = Hand(store)
    (id,) = await put(store, new(**fields))
    claim = await hand.one()
    assert claim.id == id
    await hand.finish(end(claim, event))
    return id


@pytest.mark.parametrize(
    ("event", "field"), [(Event.COMPLETE, "completed"), (Event.FAIL, "failed"), (Event.ABORT, "cancelled")]
)
async def test_final_jobs_go_by_their_age(store: Store, clock: Clock, event: Event, field: str) -> None:
    old = await finished(store, event)
    await clock.forward(HOUR)
    young = await finished(store, event)
    keep = Retention(**{"completed": None, "failed": None, "cancelled": None, field: 2 * HOUR})
    assert await store.prune(keep, 100) == 0
    await clock.forward(HOUR + SECOND)
    assert await store.prune(keep, 100) == 1
    assert [state is None for state in await states_of(store, old, young)] == [True, False]
    assert await store.prune(FOREVER, 100) == 0
    assert len(await all_ids(store, Where())) == 1


async def test_age_counts_from_the_end_not_the_beginning(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new())
    await clock.forward(10 * DAY)
    hand = Hand(store)
    await hand.complete(await hand.one())
    assert await store.prune(Retention(completed=HOUR), 100) == 0
    await clock.forward(HOUR + SECOND)
    assert await store.prune(Retention(completed=HOUR), 100) == 1
    assert await store.job(id) is None


async def test_live_jobs_stay_whatever_their_age(store: Store, clock: Clock) -> None:
    hand = Hand(store)
    await put(store, new())
    await hand.finish(end(await hand.one(), Event.RETRY, delay=400 * DAY))
    await put(store, new())
    await hand.one()
    (waiting,) = await put(store, new(delay=0))
    await put(store, new(delay=400 * DAY), new(after=(Edge(waiting),)))
    before = await counted(store)
    assert sum(before.values()) == 5
    await clock.forward(300 * DAY)
    assert await store.prune(Retention(completed=0, failed=0, cancelled=0), 100) == 0
    assert await counted(store) == before


async def test_at_most_so_many_a_call(store: Store, clock: Clock) -> None:
    ids = await put(store, *(new() for _ in range(25)))
    hand = Hand(store)
    await hand.complete(*await hand.take(25))
    await clock.forward(2 * DAY)
    pruned = []
    while n := await store.prune(Retention(), 10):
        assert n <= 10
        pruned.append(n)
    assert sum(pruned) == len(ids)
    assert await store.counts() == []
    assert await all_ids(store, Where()) == []


async def test_a_count_bound_keeps_the_newest_of_each_queue(store: Store, clock: Clock) -> None:
    made: dict[tuple[str, Event], list[str]] = {}
    for _ in range(5):
        for queue in ("a", "b"):
            for event in (Event.COMPLETE, Event.FAIL):
                made.setdefault((queue, event), []).append(await finished(store, event, queue=queue))
                await clock.forward(SECOND)
    keep = Retention(completed=None, failed=None, cancelled=None, keep_completed=2, keep_failed=4)
    while await store.prune(keep, 100):
        pass
    for (_, event), ids in made.items():
        kept = 2 if event is Event.COMPLETE else 4
        assert [state is None for state in await states_of(store, *ids)] == [True] * (5 - kept) + [False] * kept
    assert await store.prune(Retention(keep_completed=0), 100) == 4
    assert await counted(store) == {State.FAILED: 8}


async def test_a_count_bound_spares_members_of_workflows_for_a_day(store: Store, clock: Clock) -> None:
    """Their results are read by other members: among many workflows the newest two ends are milliseconds old."""
    plain, members = [], []
    for n in range(6):
        plain.append(await finished(store, Event.COMPLETE, queue="a"))
        members.append(await finished(store, Event.COMPLETE, queue="a", workflow=f"w{n}"))
        await clock.forward(SECOND)
    failed = [await finished(store, Event.FAIL, queue="a", workflow="w", user="u") for _ in range(3)]
    keep = Retention(completed=None, failed=None, keep_completed=2, keep_failed=1)
    while await store.prune(keep, 3):
        pass
    assert [state is None for state in await states_of(store, *plain)] == [True] * 5 + [False]
    assert None not in await states_of(store, *members, *failed)
    await clock.forward(SPARED)
    while await store.prune(keep, 3):
        pass
    assert [state is None for state in await states_of(store, *members)] == [True] * 5 + [False]
    assert [state is None for state in await states_of(store, *failed)] == [True, True, False]


async def test_a_job_that_others_wait_for_stays(store: Store, clock: Clock) -> None:
    parent = new()
    child = new(after=(Edge(parent.id, "hold"),))
    await put(store, parent, child)
    hand = Hand(store)
    await hand.finish(end(await hand.one(), Event.FAIL))
    await clock.forward(400 * DAY)
    assert await store.prune(Retention(), 100) == 0
    assert await states_of(store, parent.id, child.id) == [State.FAILED, State.BLOCKED]
    await act(store, Action.DELETE, child.id)
    assert await store.prune(Retention(), 100) == 1


async def test_a_finished_child_does_not_keep_its_parent(store: Store, clock: Clock) -> None:
    parent = new()
    child = new(after=(Edge(parent.id),))
    await put(store, parent, child)
    hand = Hand(store)
    await hand.complete(await hand.one())
    await clock.forward(2 * DAY)
    assert await store.prune(Retention(), 100) == 1
    await hand.complete(await hand.one())
    await clock.forward(2 * DAY)
    assert await store.prune(Retention(), 100) == 1


async def test_log_lines_go_with_their_job(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    claim = await hand.one()
    await store.report([LogLine(id, claim.lease, 1, "info", "line")])
    await hand.complete(claim)
    await clock.forward(2 * DAY)
    await store.prune(Retention(), 100)
    assert await store.log(id) == []


async def test_old_tallies_and_audit_go(store: Store, clock: Clock) -> None:
    await finished(store)
    (id,) = await put(store, new())
    await act(store, Action.CANCEL, id)
    every = MetricQuery(since=T0 - HOUR, until=T0 + 400 * DAY)
    await clock.forward(8 * DAY)
    await finished(store)
    await act(store, Action.DELETE, id)
    await store.prune(Retention(completed=None, cancelled=None, metrics=7 * DAY, audit=7 * DAY), 100)
    assert {point.minute > T0 + DAY for point in await store.metrics(every)} == {True}
    assert [entry.action for entry in await store.audit(AuditQuery())] == ["delete"]
    await clock.forward(50 * DAY)
    await store.prune(FOREVER, 100)
    assert await store.metrics(every) != []
    assert len(await store.audit(AuditQuery())) == 1


async def test_expired_records_go_and_others_stay(store: Store, clock: Clock) -> None:
    await store.exchange([Swap(space="s", key="brief", text="1", ttl=SECOND), Swap(space="s", key="long", text="1")])
    await clock.forward(HOUR)
    await store.prune(Retention(), 100)
    assert [record.key for record in await store.records("s")] == ["long"]
