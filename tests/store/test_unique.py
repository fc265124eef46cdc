"""Unique keys: who holds one, for how long, and what a conflict does."""

from collections.abc import Awaitable, Callable

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
from windlass.store import Store
from windlass.values.clock import SECOND, moment
from windlass.values.job import Edge, Enqueued, UniqueKey
from windlass.values.limit import Bound
from windlass.values.outcome import Verdict
from windlass.values.query import Action, Retention
from windlass.values.states import Event, State

KEY = UniqueKey(key="k")


async def held_by(store: Store, key: UniqueKey = KEY) -> str | None:
    """The holder's id as a conflicting job would be told; None when the key was free (the trial job is removed)."""
    trial = new("trial", unique=UniqueKey(key=key.key), delay=365 * DAY)
    (answer,) = await store.enqueue([trial])
    if answer.created:
        await act(store, Action.DELETE, trial.id)
        return None
    return answer.id


@pytest.mark.parametrize("on_conflict", ["existing", "skip"])
async def test_a_second_job_gets_the_first(store: Store, on_conflict: str) -> None:
    first = new(unique=KEY, args='{"n":1}')
    second = new(unique=UniqueKey(key="k", on_conflict=on_conflict), args='{"n":2}')  # type: ignore[arg-type]
    assert await store.enqueue([first]) == [Enqueued(first.id)]
    assert await store.enqueue([second]) == [Enqueued(first.id, created=False)]
    assert await store.job(second.id) is None
    assert (await get(store, first.id)).args == {"n": 1}
    assert await counted(store) == {State.WAITING: 1}


async def test_jobs_of_one_call_see_each_other(store: Store) -> None:
    a, b, c, d = new(unique=KEY), new(unique=UniqueKey(key="other")), new(unique=KEY), new()
    answers = await store.enqueue([a, b, c, d])
    assert answers == [Enqueued(a.id), Enqueued(b.id), Enqueued(a.id, created=False), Enqueued(d.id)]
    assert await counted(store) == {State.WAITING: 3}


async def test_keys_are_of_the_whole_store(store: Store) -> None:
    first = new("one", queue="a", unique=KEY)
    await put(store, first)
    assert await store.enqueue([new("two", queue="b", unique=KEY)]) == [Enqueued(first.id, created=False)]


async def test_a_key_is_held_while_the_job_lives(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new(unique=KEY))
    hand = Hand(store)
    assert await held_by(store) == id
    claim = await hand.one()
    assert await held_by(store) == id
    await hand.finish(end(claim, Event.RETRY, delay=SECOND))
    assert await held_by(store) == id
    await clock.forward(SECOND)
    await promote_all(store)
    await hand.finish(end(await hand.one(), Event.SNOOZE, delay=SECOND))
    assert await held_by(store) == id
    await clock.forward(SECOND)
    await promote_all(store)
    await hand.finish(end(await hand.one(), Event.RELEASE))
    assert await held_by(store) == id
    await hand.complete(await hand.one())
    assert await held_by(store) is None
    await put(store, new(unique=KEY))


async def _complete(store: Store, clock: Clock, id: str) -> None:
    hand = Hand(store)
    await hand.finish(end(await hand.one(), Event.COMPLETE))


async def _fail(store: Store, clock: Clock, id: str) -> None:
    hand = Hand(store)
    await hand.finish(end(await hand.one(), Event.FAIL))


async def _abort(store: Store, clock: Clock, id: str) -> None:
    hand = Hand(store)
    await hand.finish(end(await hand.one(), Event.ABORT))


async def _cancel(store: Store, clock: Clock, id: str) -> None:
    await act(store, Action.CANCEL, id)


async def _fail_by_command(store: Store, clock: Clock, id: str) -> None:
    await act(store, Action.FAIL, id, reason="by hand")


async def _delete(store: Store, clock: Clock, id: str) -> None:
    await act(store, Action.DELETE, id)


async def _expire(store: Store, clock: Clock, id: str) -> None:
    await clock.forward(HOUR)
    await promote_all(store)


WAYS_OUT = [_complete, _fail, _abort, _cancel, _fail_by_command, _delete, _expire]


@pytest.mark.parametrize("until", ["finished", "started"])
@pytest.mark.parametrize("leave", WAYS_OUT, ids=lambda way: way.__name__[1:])
async def test_every_way_out_frees_the_key(
    store: Store, clock: Clock, leave: Callable[[Store, Clock, str], Awaitable[None]], until: str
) -> None:
    (id,) = await put(store, new(unique=UniqueKey(key="k", until=until), expires_in=HOUR))  # type: ignore[arg-type]
    await leave(store, clock, id)
    assert await held_by(store) is None


async def test_a_doomed_job_frees_its_key(store: Store) -> None:
    parent = new()
    child = new(unique=KEY, after=(Edge(parent.id),))
    await put(store, parent, child)
    assert await held_by(store) == child.id
    await act(store, Action.CANCEL, parent.id)
    assert await state_of(store, child.id) is State.CANCELLED
    assert await held_by(store) is None


async def test_until_started(store: Store) -> None:
    key = UniqueKey(key="k", until="started")
    first = new(unique=key)
    await put(store, first)
    assert await held_by(store) == first.id
    hand = Hand(store)
    claim = await hand.one()
    assert await held_by(store) is None
    (second,) = await put(store, new(unique=key))
    await hand.finish(end(claim, Event.RETRY))
    await promote_all(store)
    assert await held_by(store) == second, "a retry does not take the key back"
    claims = await hand.take()
    assert len(claims) == 2
    await hand.finish(end(next(c for c in claims if c.id == first.id), Event.COMPLETE))
    assert await held_by(store) is None


async def test_an_end_frees_only_its_own_key(store: Store) -> None:
    key = UniqueKey(key="k", until="started")
    await put(store, new(unique=key))
    hand = Hand(store)
    claim = await hand.one()
    (second,) = await put(store, new(unique=key))
    await hand.finish(end(claim, Event.COMPLETE))
    assert await held_by(store) == second


async def test_for_a_period(store: Store, clock: Clock) -> None:
    key = UniqueKey(key="k", until="period", ttl=60 * SECOND)
    first = new(unique=key)
    await put(store, first)
    hand = Hand(store)
    await hand.complete(await hand.one())
    await clock.forward(60 * SECOND - 1)
    assert await store.enqueue([new(unique=key)]) == [Enqueued(first.id, created=False)]
    await clock.forward(1)
    (second,) = await put(store, new(unique=key))
    await clock.forward(59 * SECOND)
    assert await store.enqueue([new(unique=key)]) == [Enqueued(second, created=False)]


async def test_a_period_ends_while_the_job_still_waits(store: Store, clock: Clock) -> None:
    key = UniqueKey(key="k", until="period", ttl=60 * SECOND)
    first, second = new(unique=key), new(unique=key)
    await put(store, first)
    await clock.forward(60 * SECOND)
    await put(store, second)
    await clock.forward(30 * SECOND)
    await act(store, Action.CANCEL, first.id)
    assert await store.enqueue([new(unique=key)]) == [Enqueued(second.id, created=False)]


async def test_replace_changes_a_holder_that_has_not_begun(store: Store, clock: Clock) -> None:
    first = new(unique=KEY, args='{"n":1}', tags=("old",), priority=1, max_attempts=2)
    await put(store, first)
    changed = new(
        unique=UniqueKey(key="k", on_conflict="replace"),
        args='{"n":2}',
        options='{"timeout":9.0}',
        tags=("new", "er"),
        priority=8,
        max_attempts=5,
        delay=HOUR,
    )
    assert await store.enqueue([changed]) == [Enqueued(first.id, created=False)]
    job = await get(store, first.id)
    assert (job.args, job.options, job.tags, job.priority, job.max_attempts) == (
        {"n": 2},
        {"timeout": 9.0},
        ("new", "er"),
        8,
        5,
    )
    assert (job.state, job.run_at) == (State.DELAYED, moment(T0 + HOUR))
    assert await store.job(changed.id) is None
    again = new(unique=UniqueKey(key="k", on_conflict="replace"), args='{"n":3}')
    assert await store.enqueue([again]) == [Enqueued(first.id, created=False)]
    job = await get(store, first.id)
    assert (job.args, job.priority, job.state) == ({"n": 3}, 0, State.WAITING)
    assert (await Hand(store).one()).args == '{"n":3}'


async def test_replace_takes_effect_in_the_line(store: Store) -> None:
    first, second = new(unique=KEY), new()
    await put(store, first, second)
    await store.enqueue([new(unique=UniqueKey(key="k", on_conflict="replace"), priority=-5)])
    assert [claim.id for claim in await Hand(store).take()] == [second.id, first.id]


async def test_replace_takes_over_limits(store: Store) -> None:
    """The keys of limits come from arguments as often as not, so the newest arguments bring their own."""
    (running,) = await put(store, new(limits=(Bound("full", 1),), priority=9))
    hand = Hand(store)
    claim = await hand.one()
    assert claim.id == running
    first, second = new(unique=KEY, limits=(Bound("full", 1),)), new(unique=UniqueKey(key="k2"))
    await put(store, first, second)
    assert (await hand.up_to(5))[0].id == second.id
    change = new(unique=UniqueKey(key="k", on_conflict="replace"), limits=(Bound("other", 1),))
    assert await store.enqueue([change]) == [Enqueued(first.id, created=False)]
    (taken,) = await hand.up_to(5)
    assert taken.id == first.id
    assert {info.key: info.held for info in await store.limits()} == {"full": 1, "other": 1}
    third = new(unique=UniqueKey(key="k3"), limits=(Bound("other", 1),))
    await put(store, third)
    assert await hand.up_to(5) == []
    await store.enqueue([new(unique=UniqueKey(key="k3", on_conflict="replace"))])
    assert [claim.id for claim in await hand.up_to(5)] == [third.id]


async def test_replace_leaves_a_blocked_holder_blocked(store: Store) -> None:
    parent = new()
    child = new(unique=KEY, after=(Edge(parent.id),), args='{"n":1}')
    await put(store, parent, child)
    await store.enqueue([new(unique=UniqueKey(key="k", on_conflict="replace"), args='{"n":2}')])
    job = await get(store, child.id)
    assert (job.state, job.args, job.parents) == (State.BLOCKED, {"n": 2}, (parent.id,))
    hand = Hand(store)
    await hand.complete(await hand.one())
    assert (await hand.one()).args == '{"n":2}'


@pytest.mark.parametrize("where", [State.ACTIVE, State.RETRYING])
async def test_replace_does_not_touch_a_holder_that_has_begun(store: Store, where: State) -> None:
    (first,) = await put(store, new(unique=KEY, args='{"n":1}'))
    hand = Hand(store)
    claim = await hand.one()
    if where is State.RETRYING:
        await hand.finish(end(claim, Event.RETRY, delay=HOUR))
    before = await get(store, first)
    replace = new(unique=UniqueKey(key="k", on_conflict="replace"), args='{"n":2}', priority=9)
    assert await store.enqueue([replace]) == [Enqueued(first, created=False)]
    assert await get(store, first) == before
    assert before.state is where


async def test_a_requeued_job_takes_its_key_again(store: Store) -> None:
    (id,) = await put(store, new(unique=KEY))
    hand = Hand(store)
    await hand.finish(end(await hand.one(), Event.FAIL))
    assert (await act(store, Action.REQUEUE, id)).done == (id,)
    assert await held_by(store) == id
    await hand.complete(await hand.one())
    assert await held_by(store) is None


async def test_a_requeue_against_a_held_key_is_refused(store: Store) -> None:
    first, second = new(unique=KEY), new(unique=KEY)
    await put(store, first)
    hand = Hand(store)
    await hand.finish(end(await hand.one(), Event.FAIL))
    await put(store, second)
    answer = await act(store, Action.REQUEUE, first.id)
    assert (answer.done, dict(answer.refused)) == ((), {first.id: f"unique key held by {second.id}"})
    assert await state_of(store, first.id) is State.FAILED
    assert await held_by(store) == second.id


async def test_of_two_requeued_holders_one_is_refused(store: Store) -> None:
    hand = Hand(store)
    ids: list[str] = []
    for _ in range(2):
        ids += await put(store, new(unique=KEY))
        await hand.finish(end(await hand.one(), Event.FAIL))
    answer = await act(store, Action.REQUEUE, *ids)
    assert (len(answer.done), len(answer.refused)) == (1, 1)
    assert await counted(store) == {State.WAITING: 1, State.FAILED: 1}


async def test_pruned_jobs_hold_nothing(store: Store, clock: Clock) -> None:
    await put(store, new(unique=KEY))
    hand = Hand(store)
    await hand.complete(await hand.one())
    await clock.forward(2 * DAY)
    assert await store.prune(Retention(), 100) == 1
    await put(store, new(unique=KEY))


async def test_a_stale_finish_frees_nothing(store: Store) -> None:
    (id,) = await put(store, new(unique=KEY))
    hand = Hand(store)
    old = await hand.one()
    await hand.finish(end(old, Event.RELEASE))
    claim = await hand.one()
    assert await hand.finish(end(old, Event.COMPLETE)) == [Verdict.REPEAT]
    assert await held_by(store) == id
    await hand.complete(claim)


async def test_a_parent_that_is_a_duplicate_stands_for_its_holder(store: Store) -> None:
    """A whole chain is enqueued again while its first job still runs: what comes after waits for the one that runs."""
    (holder,) = await put(store, new(unique=KEY))
    first = new(unique=KEY)
    then = new(after=(Edge(first.id),))
    answers = await store.enqueue([first, then])
    assert answers == [Enqueued(holder, created=False), Enqueued(then.id)]
    job = await get(store, then.id)
    assert (job.state, job.parents) == (State.BLOCKED, (holder,))
    hand = Hand(store)
    await hand.complete(await hand.one())
    assert await state_of(store, then.id) is State.WAITING
