"""`rerun`: once more after the run that goes on, and only once; and the longest wait of a debounce (`latest`)."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.store.kit import (
    DAY,
    HOUR,
    T0,
    Clock,
    Hand,
    act,
    counted,
    end,
    get,
    new,
    promote_all,
    put,
    state_of,
)
from tests.store.test_unique import held_by
from windlass.store import Store
from windlass.values.clock import SECOND, moment
from windlass.values.job import Claim, Enqueued, NewJob, UniqueKey
from windlass.values.query import Action, Retention
from windlass.values.states import Event, State

RERUN = UniqueKey(key="k", on_conflict="rerun")


def again(**fields: Any) -> NewJob[Any]:
    return new(unique=RERUN, **fields)


async def running(store: Store, hand: Hand, **fields: Any) -> Claim:
    await put(store, again(**fields))
    return await hand.one()


async def test_without_a_holder_it_is_a_job_like_others(store: Store) -> None:
    (id,) = await put(store, again())
    assert await held_by(store) == id
    hand = Hand(store)
    await hand.complete(await hand.one())
    assert await held_by(store) is None
    await put(store, again())


@pytest.mark.parametrize("fields", [{}, {"delay": HOUR}], ids=["waiting", "delayed"])
async def test_a_holder_that_has_not_started_is_replaced(store: Store, clock: Clock, fields: dict[str, Any]) -> None:
    (first,) = await put(store, again(args='{"n":1}', **fields))
    second = again(args='{"n":2}', priority=3, tags=("b",))
    assert await store.enqueue([second]) == [Enqueued(first, created=False)]
    job = await get(store, first)
    assert (job.args, job.priority, job.tags, job.state) == ({"n": 2}, 3, ("b",), State.WAITING)
    assert await counted(store) == {State.WAITING: 1}


async def test_behind_a_running_holder_it_waits(store: Store) -> None:
    hand = Hand(store)
    claim = await running(store, hand, args='{"n":1}')
    follower = again(args='{"n":2}')
    assert await store.enqueue([follower]) == [Enqueued(follower.id, created=True)]
    job = await get(store, follower.id)
    assert (job.state, job.args, job.unique) == (State.BLOCKED, {"n": 2}, "k")
    assert await held_by(store) == claim.id
    assert await hand.take() == []
    await hand.complete(claim)
    assert await state_of(store, follower.id) is State.WAITING
    assert await held_by(store) == follower.id
    taken = await hand.one()
    assert (taken.id, taken.args) == (follower.id, '{"n":2}')
    await hand.complete(taken)
    assert await held_by(store) is None
    assert await counted(store) == {State.COMPLETED: 2}


async def test_there_is_one_follower_and_the_newest_counts(store: Store) -> None:
    hand = Hand(store)
    claim = await running(store, hand)
    follower = again(args='{"n":1}')
    await put(store, follower)
    for n in range(2, 9):
        later = again(args=f'{{"n":{n}}}', priority=n)
        assert await store.enqueue([later]) == [Enqueued(follower.id, created=False)]
        assert await store.job(later.id) is None
    job = await get(store, follower.id)
    assert (job.state, job.args, job.priority) == (State.BLOCKED, {"n": 8}, 8)
    assert await counted(store) == {State.ACTIVE: 1, State.BLOCKED: 1}
    await hand.complete(claim)
    assert (await hand.one()).args == '{"n":8}'


async def test_the_follower_has_a_follower_when_it_runs(store: Store) -> None:
    hand = Hand(store)
    claim = await running(store, hand)
    chain = [claim.id]
    for n in range(5):
        (id,) = await put(store, again(args=f'{{"n":{n}}}'))
        assert await state_of(store, id) is State.BLOCKED
        await hand.complete(claim)
        claim = await hand.one()
        assert claim.id == id
        chain.append(id)
    await hand.complete(claim)
    assert await counted(store) == {State.COMPLETED: 6}
    assert await held_by(store) is None


async def test_jobs_of_one_call(store: Store) -> None:
    hand = Hand(store)
    await running(store, hand)
    first, second, third = again(args='{"n":1}'), again(args='{"n":2}'), again(args='{"n":3}')
    answers = await store.enqueue([first, second, third])
    assert answers == [Enqueued(first.id), Enqueued(first.id, created=False), Enqueued(first.id, created=False)]
    assert (await get(store, first.id)).args == {"n": 3}


async def test_a_call_repeated(store: Store) -> None:
    hand = Hand(store)
    await running(store, hand)
    follower = again()
    for _ in range(3):
        assert await store.enqueue([follower]) == [Enqueued(follower.id)]
    assert await counted(store) == {State.ACTIVE: 1, State.BLOCKED: 1}


async def test_the_holder_keeps_its_key_between_attempts(store: Store, clock: Clock) -> None:
    hand = Hand(store)
    claim = await running(store, hand)
    await hand.finish(end(claim, Event.RETRY, delay=HOUR))
    follower = again()
    assert await store.enqueue([follower]) == [Enqueued(follower.id)], "a job between attempts has started"
    assert await state_of(store, follower.id) is State.BLOCKED
    await clock.forward(HOUR)
    await promote_all(store)
    second = await hand.one()
    assert second.id == claim.id
    assert await held_by(store) == claim.id
    await hand.complete(second)
    assert await held_by(store) == follower.id


async def _complete(store: Store, claim: Claim) -> None:
    await Hand(store).complete(claim)


async def _fail(store: Store, claim: Claim) -> None:
    await store.finish([end(claim, Event.FAIL)])


async def _abort(store: Store, claim: Claim) -> None:
    await store.finish([end(claim, Event.ABORT)])


async def _cancel_between(store: Store, claim: Claim) -> None:
    await store.finish([end(claim, Event.RETRY, delay=HOUR)])
    assert (await act(store, Action.CANCEL, claim.id)).done == (claim.id,)


async def _fail_between(store: Store, claim: Claim) -> None:
    await store.finish([end(claim, Event.RETRY, delay=HOUR)])
    assert (await act(store, Action.FAIL, claim.id)).done == (claim.id,)


async def _cancel_running(store: Store, claim: Claim) -> None:
    await act(store, Action.CANCEL, claim.id)
    await store.finish([end(claim, Event.RETRY, delay=HOUR)])


async def _cancel_suspended(store: Store, claim: Claim) -> None:
    await store.finish([end(claim, Event.SUSPEND, signal="go")])
    assert (await act(store, Action.CANCEL, claim.id)).done == (claim.id,)


WAYS_OUT = [_complete, _fail, _abort, _cancel_between, _fail_between, _cancel_running, _cancel_suspended]


@pytest.mark.parametrize("leave", WAYS_OUT, ids=lambda way: way.__name__[1:])
async def test_every_way_out_of_the_holder(
    store: Store, clock: Clock, leave: Callable[[Store, Claim], Awaitable[None]]
) -> None:
    hand = Hand(store)
    claim = await running(store, hand)
    (follower,) = await put(store, again())
    await leave(store, claim)
    assert await state_of(store, follower) is State.WAITING
    assert await held_by(store) == follower
    await hand.complete(await hand.one())
    assert await held_by(store) is None


async def test_a_child_of_its_own_ends_with_the_holder(store: Store) -> None:
    """The follower is the key's, not the holder's dependent: the holder's failure does not end it."""
    hand = Hand(store)
    claim = await running(store, hand)
    (follower,) = await put(store, new(unique=RERUN, on_failure="cancel"))
    await hand.finish(end(claim, Event.FAIL))
    assert await state_of(store, follower) is State.WAITING


@pytest.mark.parametrize("action", [Action.CANCEL, Action.FAIL, Action.DELETE], ids=str)
async def test_every_way_out_of_the_follower(store: Store, action: Action) -> None:
    hand = Hand(store)
    claim = await running(store, hand)
    first, second = again(), again()
    await put(store, first)
    assert (await act(store, action, first.id)).done == (first.id,)
    assert await held_by(store) == claim.id, "the holder is still the holder"
    assert await store.enqueue([second]) == [Enqueued(second.id)]
    assert await state_of(store, second.id) is State.BLOCKED
    await hand.complete(claim)
    assert await held_by(store) == second.id
    await hand.complete(await hand.one())
    assert await held_by(store) is None


async def test_an_expired_follower_is_none(store: Store, clock: Clock) -> None:
    hand = Hand(store)
    claim = await running(store, hand)
    await put(store, again(expires_in=60 * SECOND))
    await clock.forward(60 * SECOND)
    await promote_all(store)
    (second,) = await put(store, again())
    await hand.complete(claim)
    assert await held_by(store) == second


async def test_a_follower_with_a_time_ahead(store: Store, clock: Clock) -> None:
    hand = Hand(store)
    claim = await running(store, hand)
    (follower,) = await put(store, again(delay=HOUR))
    await hand.complete(claim)
    assert await state_of(store, follower) is State.DELAYED
    assert await held_by(store) == follower
    assert await store.enqueue([again(args='{"n":2}')]) == [Enqueued(follower, created=False)]
    assert await state_of(store, follower) is State.WAITING


async def test_a_requeued_holder_finds_the_key_taken(store: Store) -> None:
    hand = Hand(store)
    claim = await running(store, hand)
    (follower,) = await put(store, again())
    await hand.finish(end(claim, Event.FAIL))
    answer = await act(store, Action.REQUEUE, claim.id)
    assert dict(answer.refused) == {claim.id: f"unique key held by {follower}"}


async def test_other_answers_to_a_conflict_see_the_holder(store: Store) -> None:
    hand = Hand(store)
    claim = await running(store, hand)
    (follower,) = await put(store, again())
    for conflict in ("existing", "skip", "replace"):
        other = new(unique=UniqueKey(key="k", on_conflict=conflict))  # type: ignore[arg-type]
        assert await store.enqueue([other]) == [Enqueued(claim.id, created=False)]
    await hand.complete(claim)
    plain = new(unique=UniqueKey(key="k"))
    assert await store.enqueue([plain]) == [Enqueued(follower, created=False)]


async def test_pruned_jobs_leave_nothing(store: Store, clock: Clock) -> None:
    hand = Hand(store)
    claim = await running(store, hand)
    await put(store, again())
    await hand.complete(claim)
    await hand.complete(await hand.one())
    await clock.forward(2 * DAY)
    assert await store.prune(Retention(), 100) == 2
    (id,) = await put(store, again())
    assert await state_of(store, id) is State.WAITING


async def test_other_keys_are_other_keys(store: Store) -> None:
    hand = Hand(store)
    await running(store, hand)
    await put(store, again())
    (other,) = await put(store, new(unique=UniqueKey(key="k2", on_conflict="rerun")))
    assert await state_of(store, other) is State.WAITING


# `latest`


def debounced(delay: int, latest: int | None, **fields: Any) -> NewJob[Any]:
    return new(unique=UniqueKey(key="d", on_conflict="replace", latest=latest), delay=delay, **fields)


async def test_a_debounce_waits_no_longer_than_this(store: Store, clock: Clock) -> None:
    (id,) = await put(store, debounced(10 * SECOND, 25 * SECOND))
    for at, due in ((8, 18), (15, 25), (16, 25), (24, 25)):
        await clock.set(T0 + at * SECOND)
        answer = await store.enqueue([debounced(10 * SECOND, 25 * SECOND, args=f'{{"at":{at}}}')])
        assert answer == [Enqueued(id, created=False)]
        job = await get(store, id)
        assert (job.run_at, job.state, job.args) == (moment(T0 + due * SECOND), State.DELAYED, {"at": at})
    await clock.set(T0 + 25 * SECOND)
    await promote_all(store)
    assert await state_of(store, id) is State.WAITING


async def test_a_call_past_the_longest_wait_makes_it_ready(store: Store, clock: Clock) -> None:
    (id,) = await put(store, debounced(10 * SECOND, 25 * SECOND))
    await clock.forward(40 * SECOND)
    await store.enqueue([debounced(10 * SECOND, 25 * SECOND, args='{"n":2}')])
    assert await state_of(store, id) is State.WAITING
    assert (await Hand(store).one()).args == '{"n":2}'


async def test_without_it_a_debounce_may_wait_for_ever(store: Store, clock: Clock) -> None:
    (id,) = await put(store, debounced(10 * SECOND, None))
    for _ in range(20):
        await clock.forward(8 * SECOND)
        await store.enqueue([debounced(10 * SECOND, None)])
    assert (await get(store, id)).run_at == moment(clock.at + 10 * SECOND)


async def test_it_does_not_bind_the_first(store: Store, clock: Clock) -> None:
    (id,) = await put(store, debounced(HOUR, 25 * SECOND))
    assert (await get(store, id)).run_at == moment(T0 + HOUR)
