"""Suspended jobs: blocked without a parent until a signal, a time or an operator wakes or ends them."""

import pytest

from tests.store.kit import DAY, HOUR, T0, Clock, Hand, act, counted, end, get, new, promote_all, put, state_of
from windlass.store import Store
from windlass.values.clock import SECOND, moment
from windlass.values.job import Claim, Edge, Enqueued, UniqueKey
from windlass.values.lease import Delivery
from windlass.values.outcome import Verdict
from windlass.values.query import Action
from windlass.values.queue import QueueChange
from windlass.values.states import Event, State


def suspend(claim: Claim, name: str = "go", delay: int = 0, **fields: object):
    return end(claim, Event.SUSPEND, signal=name, delay=delay, **fields)


async def suspended(store: Store, hand: Hand | None = None, name: str = "go", delay: int = 0, **fields: object) -> str:
    (id,) = await put(store, new(**fields))
    hand = hand or Hand(store)
    claim = await hand.one()
    assert claim.id == id
    assert await hand.finish(suspend(claim, name, delay)) == [Verdict.ACCEPTED]
    return id


async def test_it_is_blocked_and_says_for_what(store: Store) -> None:
    id = await suspended(store, name="approval")
    job = await get(store, id)
    assert (job.state, job.reason, job.worker, job.parents) == (State.BLOCKED, "waits for approval", None, ())
    assert (job.attempt, job.error, job.finished_at) == (0, None, None), "it spends no attempt"
    assert [(attempt.outcome, attempt.worker) for attempt in job.attempts] == [("suspend", "w1")]
    assert job.run_at is not None
    assert job.run_at > moment(T0 + 365 * 20 * DAY), "without a limit it waits for ever"
    assert await Hand(store).take() == []
    assert await counted(store) == {State.BLOCKED: 1}


async def test_a_repeated_and_a_stale_suspend(store: Store) -> None:
    await put(store, new())
    hand = Hand(store)
    old = await hand.one()
    await hand.finish(end(old, Event.RELEASE))
    claim = await hand.one()
    assert await hand.finish(suspend(claim)) == [Verdict.ACCEPTED]
    assert await hand.finish(suspend(claim)) == [Verdict.REPEAT]
    await store.signal(claim.id, "go", "1", "ops")
    again = await hand.one()
    assert await hand.finish(suspend(old), suspend(claim)) == [Verdict.STALE, Verdict.REPEAT]
    assert await hand.finish(suspend(again, "another")) == [Verdict.ACCEPTED]
    assert await counted(store) == {State.BLOCKED: 1}


async def test_a_signal_gives_it_a_new_place(store: Store) -> None:
    id = await suspended(store)
    (other,) = await put(store, new())
    assert await store.signal(id, "go", "1", "ops") is Delivery.WOKEN
    assert [claim.id for claim in await Hand(store).take()] == [other, id]


async def test_a_woken_job_was_ready_when_it_woke(store: Store, clock: Clock) -> None:
    hand = Hand(store)
    id = await suspended(store, hand, delay=HOUR)
    await clock.forward(60 * SECOND)
    await store.signal(id, "go", "1", "ops")
    await clock.forward(SECOND)
    claim = await hand.one()
    assert (claim.ready_at, claim.attempt) == (T0 + 60 * SECOND, 1)


async def test_attempts_are_counted_on(store: Store) -> None:
    hand = Hand(store)
    (id,) = await put(store, new())
    await hand.finish(end(await hand.one(), Event.RETRY))
    await promote_all(store)
    await hand.finish(suspend(await hand.one()))
    await store.signal(id, "go", "1", "ops")
    claim = await hand.one()
    assert claim.attempt == 2
    await hand.complete(claim)
    assert [(a.number, a.outcome) for a in (await get(store, id)).attempts] == [
        (1, "retry"),
        (2, "suspend"),
        (2, "complete"),
    ]


async def test_the_signal_was_there_first(store: Store) -> None:
    """Between the step that found no signal and the end of the attempt one came: the job must not sleep through it."""
    (id,) = await put(store, new())
    hand = Hand(store)
    claim = await hand.one()
    assert await store.signal(id, "go", "1", "ops") is Delivery.KEPT
    assert await hand.finish(suspend(claim)) == [Verdict.ACCEPTED]
    assert await state_of(store, id) is State.WAITING
    assert (await hand.one()).id == id


async def test_another_signal_was_there_first(store: Store) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    claim = await hand.one()
    await store.signal(id, "stop", "1", "ops")
    await hand.finish(suspend(claim, "go"))
    assert await state_of(store, id) is State.BLOCKED


async def test_its_time_wakes_it(store: Store, clock: Clock) -> None:
    id = await suspended(store, delay=60 * SECOND)
    assert (await get(store, id)).run_at == moment(T0 + 60 * SECOND)
    await clock.forward(60 * SECOND - 1)
    assert await promote_all(store) == 0
    assert await state_of(store, id) is State.BLOCKED
    await clock.forward(1)
    assert await promote_all(store) == 1
    assert await state_of(store, id) is State.WAITING
    assert await store.signal(id, "go", "1", "ops") is Delivery.KEPT, "it does not wait for it any more"
    claim = await Hand(store).one()
    assert claim.ready_at == T0 + 60 * SECOND


async def test_for_ever_is_never_due(store: Store, clock: Clock) -> None:
    id = await suspended(store)
    assert (await store.promote(500)).wait is None
    assert (await Hand(store).ask()).wait is None
    await clock.forward(3_650 * DAY)
    assert await promote_all(store) == 0
    assert await state_of(store, id) is State.BLOCKED


async def test_the_due_time_counts_in_waits(store: Store, clock: Clock) -> None:
    await suspended(store, delay=60 * SECOND)
    assert (await store.promote(500)).wait == 60 * SECOND
    assert (await Hand(store).ask()).wait == 60 * SECOND
    await clock.forward(20 * SECOND)
    await put(store, new(delay=10 * SECOND))
    assert (await store.promote(500)).wait == 10 * SECOND
    await clock.forward(10 * SECOND)
    assert await promote_all(store) == 1
    assert (await store.promote(500)).wait == 30 * SECOND


async def test_due_ones_wake_in_bounded_steps(store: Store, clock: Clock) -> None:
    await put(store, *(new() for _ in range(60)))
    hand = Hand(store)
    await hand.finish(*(suspend(claim, delay=SECOND) for claim in await hand.take(60)))
    await clock.forward(SECOND)
    first = await store.promote(25)
    assert (first.moved, first.more) == (25, True)
    assert await promote_all(store) == 35
    assert await counted(store) == {State.WAITING: 60}


async def test_an_operator_wakes_it(store: Store) -> None:
    hand = Hand(store)
    id = await suspended(store, hand)
    (other,) = await put(store, new())
    assert (await act(store, Action.RUN_NOW, id)).done == (id,)
    assert await store.signal(id, "go", "1", "ops") is Delivery.KEPT
    assert [claim.id for claim in await hand.take()] == [other, id]


async def test_run_now_does_not_reach_jobs_that_wait_for_parents(store: Store) -> None:
    parent = new()
    child = new(after=(Edge(parent.id),))
    await put(store, parent, child)
    assert dict((await act(store, Action.RUN_NOW, child.id)).refused) == {child.id: "is blocked"}


@pytest.mark.parametrize(
    ("action", "state"),
    [(Action.CANCEL, State.CANCELLED), (Action.FAIL, State.FAILED), (Action.DELETE, None)],
    ids=str,
)
async def test_an_operator_ends_it(store: Store, clock: Clock, action: Action, state: State | None) -> None:
    id = await suspended(store, delay=60 * SECOND)
    assert (await act(store, action, id, reason="by hand")).done == (id,)
    assert await state_of(store, id) is state
    assert await store.signal(id, "go", "1", "ops") is (Delivery.UNKNOWN if state is None else Delivery.OVER)
    await clock.forward(60 * SECOND)
    assert await promote_all(store) == 0
    assert await state_of(store, id) is state
    assert await Hand(store).take() == []


async def test_one_that_was_asked_to_stop_ends(store: Store) -> None:
    """Else it would wait, perhaps for ever, for a signal that nobody sends any more."""
    (id,) = await put(store, new())
    hand = Hand(store)
    claim = await hand.one()
    assert (await act(store, Action.CANCEL, id, reason="enough")).flagged == (id,)
    assert await hand.finish(suspend(claim)) == [Verdict.ACCEPTED]
    job = await get(store, id)
    assert (job.state, job.reason) == (State.CANCELLED, "enough")


async def test_a_requeued_job_waits_for_nothing(store: Store, clock: Clock) -> None:
    hand = Hand(store)
    id = await suspended(store, hand, delay=60 * SECOND)
    await act(store, Action.CANCEL, id)
    await act(store, Action.REQUEUE, id)
    claim = await hand.one()
    await hand.finish(end(claim, Event.SNOOZE, delay=HOUR))
    assert await store.signal(id, "go", "1", "ops") is Delivery.KEPT
    assert await state_of(store, id) is State.DELAYED


async def test_dependents_wait_on(store: Store) -> None:
    parent = new()
    child = new(after=(Edge(parent.id),))
    await put(store, parent, child)
    hand = Hand(store)
    await hand.finish(suspend(await hand.one()))
    await promote_all(store)
    assert await state_of(store, child.id) is State.BLOCKED
    await store.signal(parent.id, "go", "1", "ops")
    await hand.complete(await hand.one())
    assert await state_of(store, child.id) is State.WAITING


async def test_a_child_of_finished_parents_can_suspend(store: Store) -> None:
    parent = new()
    child = new(after=(Edge(parent.id),))
    await put(store, parent, child)
    hand = Hand(store)
    await hand.complete(await hand.one())
    await hand.finish(suspend(await hand.one()))
    assert await state_of(store, child.id) is State.BLOCKED
    assert await store.signal(child.id, "go", "1", "ops") is Delivery.WOKEN
    await hand.complete(await hand.one())
    assert await counted(store) == {State.COMPLETED: 2}


async def test_it_keeps_its_unique_key(store: Store) -> None:
    key = UniqueKey(key="k")
    hand = Hand(store)
    id = await suspended(store, hand, unique=key)
    assert await store.enqueue([new(unique=key)]) == [Enqueued(id, created=False)]
    await store.signal(id, "go", "1", "ops")
    await hand.complete(await hand.one())
    await put(store, new(unique=key))


async def test_follow_up_jobs_come_with_it(store: Store) -> None:
    await put(store, new())
    hand = Hand(store)
    follow = new("follow")
    await hand.finish(suspend(await hand.one(), follow=(follow,)))
    assert [claim.id for claim in await hand.take()] == [follow.id]


async def test_again_and_again(store: Store, clock: Clock) -> None:
    hand = Hand(store)
    (id,) = await put(store, new())
    for n in range(10):
        claim = await hand.one()
        await hand.finish(suspend(claim, f"s{n}", delay=60 * SECOND if n % 2 else 0))
        assert (await get(store, id)).reason == f"waits for s{n}"
        if n % 2:
            await clock.forward(60 * SECOND)
            await promote_all(store)
        else:
            assert await store.signal(id, f"s{n}", str(n), "ops") is Delivery.WOKEN
    await hand.complete(await hand.one())
    job = await get(store, id)
    assert (job.state, job.attempt, job.reason) == (State.COMPLETED, 1, None)


async def test_woken_in_a_paused_queue_it_waits_there(store: Store) -> None:
    hand = Hand(store)
    id = await suspended(store, hand, queue="a")
    await store.put_queue("a", QueueChange(paused=True), "ops")
    assert await store.signal(id, "go", "1", "ops") is Delivery.WOKEN
    assert await hand.take() == []
    await store.put_queue("a", QueueChange(paused=False), "ops")
    assert (await hand.one()).id == id


async def test_it_can_be_reprioritised(store: Store) -> None:
    hand = Hand(store)
    id = await suspended(store, hand)
    (other,) = await put(store, new())
    await act(store, Action.REPRIORITISE, id, priority=9)
    assert await state_of(store, id) is State.BLOCKED
    await store.signal(id, "go", "1", "ops")
    assert [claim.id for claim in await hand.take()] == [id, other]


@pytest.mark.parametrize("delay", [0, 3 * HOUR])
async def test_it_has_started_so_it_does_not_expire(store: Store, clock: Clock, delay: int) -> None:
    id = await suspended(store, delay=delay, expires_in=HOUR)
    await clock.forward(2 * HOUR)
    await promote_all(store)
    assert await state_of(store, id) is State.BLOCKED
    assert await store.signal(id, "go", "1", "ada") is Delivery.WOKEN
    claim = await Hand(store).one()
    assert (claim.id, claim.expires_at) == (id, None)
