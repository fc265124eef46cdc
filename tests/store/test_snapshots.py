"""What a move takes along of limits, groups, steps and signals; and that an erased or pruned store has forgotten them."""

import pytest

from tests.store.kit import DAY, HOUR, T0, Clock, Hand, act, end, get, new, promote_all, put, state_of
from tests.store.limiting import change, held, ids, limit, rated, under
from windlass.store import Store
from windlass.values.clock import SECOND
from windlass.values.job import UniqueKey
from windlass.values.lease import Delivery, Noted, Step
from windlass.values.limit import Bound, Rate, Take
from windlass.values.query import Action, Retention
from windlass.values.queue import QueueChange
from windlass.values.snapshot import Snapshot
from windlass.values.states import Event, State


async def dumped(store: Store) -> dict[str, Snapshot]:
    found: dict[str, Snapshot] = {}
    cursor: str | None = None
    while True:
        page = await store.dump(cursor, 7)
        found |= {item.record["id"]: item for item in page.items}
        if page.next is None:
            return found
        cursor = page.next


async def moved(store: Store, clock: Clock) -> dict[str, Snapshot]:
    """All jobs out of the store, and into it again after it was erased."""
    snapshots = await dumped(store)
    await store.erase(force=True)
    await store.open()
    await clock.set(clock.at)
    assert await store.load(list(snapshots.values())) == len(snapshots)
    assert await store.load(list(snapshots.values())) == 0
    again = await dumped(store)
    assert {id: _kept(snapshot) for id, snapshot in again.items()} == {id: _kept(snapshots[id]) for id in snapshots}
    return snapshots


def _kept(snapshot: Snapshot) -> tuple[object, ...]:
    bounds = sorted(snapshot.limits, key=lambda bound: bound.key)
    return snapshot.order, bounds, snapshot.weight, snapshot.signal, snapshot.steps, snapshot.signals, snapshot.edges


async def test_limits_and_weights_go_along(store: Store, clock: Clock) -> None:
    bounds = (Bound("a", 2), Bound("b,c", None, Rate(5, HOUR), 3), Bound("d", 1, Rate(7, HOUR, 9)))
    job = new(limits=bounds, group="g", weight=7)
    plain = new()
    await put(store, job, plain)
    snapshots = await moved(store, clock)
    assert sorted(snapshots[job.id].limits, key=lambda bound: bound.key) == list(bounds)
    assert (snapshots[job.id].weight, snapshots[plain.id].weight, snapshots[plain.id].limits) == (7, 1, ())
    info = await limit(store, "d")
    assert (info.concurrency, info.rate, info.held) == (1, Rate(7, HOUR, 9), 0)


async def test_limits_hold_after_a_move(store: Store, clock: Clock) -> None:
    await put(
        store,
        *(under("k", n=2) for _ in range(4)),
        under("k", n=2, delay=HOUR),
        rated("r", 1, HOUR),
        rated("r", 1, HOUR),
    )
    hand = Hand(store)
    assert len(await hand.up_to(9)) == 3
    await moved(store, clock)
    assert await held(store, "k", "r") == [0, 0], "what was active waits again"
    hand = Hand(store)
    claims = await hand.up_to(9)
    assert len(claims) == 3
    await clock.forward(HOUR)
    await promote_all(store)
    assert await hand.up_to(9) == []
    await hand.complete(*claims)
    assert len([claim for claim in await hand.up_to(9) if not claim.rated]) == 2


async def test_a_dead_letter_under_a_limit(store: Store, clock: Clock) -> None:
    first, second = await put(store, under("k"), under("k"))
    hand = Hand(store)
    (claim,) = await hand.up_to(5)
    await hand.finish(end(claim, Event.FAIL))
    await moved(store, clock)
    await act(store, Action.REQUEUE, first)
    (claim,) = await Hand(store).up_to(5)
    assert claim.id == second
    await hand.complete(claim)
    assert ids(await Hand(store).up_to(5)) == [first]


async def test_groups_take_turns_after_a_move(store: Store, clock: Clock) -> None:
    await store.put_queue("default", QueueChange(order="fair"), "ops")
    await put(store, *(new(group="a") for _ in range(20)), *(new(group="b") for _ in range(5)))
    snapshots = await dumped(store)
    await store.erase(force=True)
    await store.open()
    await clock.set(clock.at)
    await store.put_queue("default", QueueChange(order="fair"), "ops")
    await store.load(list(snapshots.values()))
    claims = [claim for _ in range(10) for claim in await Hand(store).up_to(1)]
    assert [claim.group for claim in claims].count("b") == 5


async def test_steps_and_signals_go_along(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    claim = await hand.one()
    await store.report([Step(id, claim.lease, 0, "one", '{"a":1}'), Step(id, claim.lease, 1, "two", None, False)])
    for n in range(12):
        await store.signal(id, "ab"[n % 2], str(n), "ops")
    await hand.finish(end(claim, Event.SUSPEND, signal="go", delay=HOUR))
    before = await store.steps(id)
    snapshot = (await moved(store, clock))[id]
    assert (snapshot.signal, snapshot.steps) == ("go", tuple(before))
    assert snapshot.signals == tuple(("ab"[n % 2], str(n)) for n in range(12))
    assert await store.steps(id) == before
    job = await get(store, id)
    assert (job.state, job.reason) == (State.BLOCKED, "waits for go")
    assert await store.signal(id, "go", '"now"', "ops") is Delivery.WOKEN
    claim = await Hand(store).one()
    steps = [Step(id, claim.lease, 2 + n, "wait", signal=name) for n, name in enumerate(("b", "a", "go", "go"))]
    assert [noted.value for noted in await store.report(steps)] == ["1", "0", '"now"', None]


async def test_a_suspended_job_wakes_in_time_after_a_move(store: Store, clock: Clock) -> None:
    brief, long = await put(store, new(), new())
    hand = Hand(store)
    claims = {claim.id: claim for claim in await hand.take(2)}
    await hand.finish(
        end(claims[brief], Event.SUSPEND, signal="go", delay=HOUR), end(claims[long], Event.SUSPEND, signal="go")
    )
    await moved(store, clock)
    assert (await store.promote(10)).wait == HOUR
    await clock.forward(HOUR)
    await promote_all(store)
    assert await state_of(store, brief) is State.WAITING
    assert await state_of(store, long) is State.BLOCKED


async def test_a_follower_still_follows_after_a_move(store: Store, clock: Clock) -> None:
    rerun = UniqueKey(key="k", on_conflict="rerun")
    holder, follower = new(unique=rerun, args='{"n":1}'), new(unique=rerun, args='{"n":2}')
    await put(store, holder)
    hand = Hand(store)
    await hand.finish(end(await hand.one(), Event.RETRY))
    await put(store, follower)
    await moved(store, clock)
    await promote_all(store)
    (claim,) = await Hand(store).up_to(5)
    assert claim.id == holder.id
    await hand.complete(claim)
    (claim,) = await Hand(store).up_to(5)
    assert claim.id == follower.id


# nothing is left


async def fill(store: Store) -> None:
    await change(store, "pinned", concurrency=1, pinned=True)
    await change(store, "queue:default", rate=Rate(50, HOUR))
    await store.put_queue("default", QueueChange(order="fair"), "ops")
    await put(store, under("k", group="g"), under("k", group="g"), rated("r", 1, HOUR), rated("r", 1, HOUR), new())
    hand = Hand(store)
    claims = await hand.up_to(9)
    await store.report([Step(claims[0].id, claims[0].lease, 0, "one", "1")])
    await store.signal(claims[0].id, "later", "1", "ops")
    await hand.finish(end(claims[0], Event.SUSPEND, signal="go"))
    await hand.up_to(9)
    await store.take([Take("u", Rate(1, HOUR))])


async def test_an_erased_store_has_forgotten_all(store: Store, clock: Clock) -> None:
    await fill(store)
    await store.erase(force=True)
    await store.open()
    await clock.set(T0)
    assert await store.limits() == []
    assert await store.queues() == []
    assert (await store.take([Take("u", Rate(1, HOUR))]))[0].granted
    made = await put(store, under("k", group="g"), rated("r", 1, HOUR), under("pinned", n=3), new())
    assert ids(await Hand(store).up_to(9)) == made
    assert (await limit(store, "pinned")).concurrency == 3


async def test_pruned_jobs_leave_no_steps_and_no_signals(store: Store, clock: Clock) -> None:
    job = under("k")
    await put(store, job)
    hand = Hand(store)
    (claim,) = await hand.up_to(1)
    await store.report([Step(job.id, claim.lease, 0, "one", "1")])
    await store.signal(job.id, "go", "1", "ops")
    await hand.complete(claim)
    await clock.forward(2 * DAY)
    assert await store.prune(Retention(), 10) == 1
    assert await store.steps(job.id) == []
    assert await store.signal(job.id, "go", "1", "ops") is Delivery.UNKNOWN
    await put(store, job)
    (claim,) = await hand.up_to(1)
    assert await store.report([Step(job.id, claim.lease, 0, "wait", signal="go")]) == [Noted()]


@pytest.mark.parametrize("way", ["prune", "delete"])
async def test_what_is_gone_holds_nothing(store: Store, clock: Clock, way: str) -> None:
    hand = Hand(store)
    for _ in range(3):
        (id,) = await put(store, under("k"))
        (claim,) = await hand.up_to(5)
        await hand.complete(claim)
        if way == "delete":
            await act(store, Action.DELETE, id)
        else:
            await clock.forward(2 * DAY)
            await store.prune(Retention(), 10)
        assert await store.job(id) is None
        await clock.forward(SECOND)
    assert [info.held for info in await store.limits()] in ([0], [])
