"""How attempts end: every event, the fence around it, what stays on the job."""

import msgspec
import pytest

from tests.store.kit import (
    HOUR,
    LEASE,
    T0,
    Clock,
    Hand,
    act,
    counted,
    end,
    fresh_id,
    get,
    new,
    promote_all,
    put,
    state_of,
    states_of,
)
from windlass.store import Store
from windlass.store.protocol import MOST_FINISHED
from windlass.values.clock import SECOND, moment
from windlass.values.job import ErrorInfo, UniqueKey
from windlass.values.outcome import DEFAULT_RULES, Finish, Verdict, completed, judge, released
from windlass.values.query import Action
from windlass.values.states import Event, State

ERROR = msgspec.json.encode(ErrorInfo(type="Boom", message="it broke", fingerprint="f" * 16)).decode()
TAKEN, REPEAT, STALE = Verdict.ACCEPTED, Verdict.REPEAT, Verdict.STALE


async def test_complete(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    claim = await hand.one()
    await clock.forward(3 * SECOND)
    assert await hand.finish(completed(claim, '{"n": [1, null]}', 2 * SECOND)) == [TAKEN]
    job = await get(store, id)
    assert (job.state, job.result, job.error, job.reason) == (State.COMPLETED, {"n": [1, None]}, None, None)
    assert (job.started_at, job.finished_at) == (moment(T0 + SECOND), moment(T0 + 3 * SECOND))
    assert (job.attempt, job.worker) == (1, "w1")
    assert [(a.number, a.outcome, a.worker) for a in job.attempts] == [(1, "complete", "w1")]
    assert await counted(store) == {State.COMPLETED: 1}


async def test_fail(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    claim = await hand.one()
    await clock.forward(SECOND)
    ended = end(claim, Event.FAIL, error=ERROR, reason="attempts used up", took=SECOND)
    assert await hand.finish(ended) == [TAKEN]
    job = await get(store, id)
    assert (job.state, job.reason, job.attempt, job.result) == (State.FAILED, "attempts used up", 1, None)
    assert job.error is not None
    assert (job.error.type, job.error.message) == ("Boom", "it broke")
    assert job.finished_at == moment(T0 + SECOND)
    assert [(a.number, a.outcome, a.worker, a.finished_at) for a in job.attempts] == [
        (1, "fail", "w1", moment(T0 + SECOND))
    ]


async def test_abort(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    assert await hand.finish(end(await hand.one(), Event.ABORT, reason="not needed")) == [TAKEN]
    job = await get(store, id)
    assert (job.state, job.reason, job.finished_at) == (State.CANCELLED, "not needed", moment(T0))
    assert [a.outcome for a in job.attempts] == ["abort"]


async def test_retry(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    assert await hand.finish(end(await hand.one(), Event.RETRY, error=ERROR, delay=8 * SECOND)) == [TAKEN]
    job = await get(store, id)
    assert (job.state, job.attempt, job.run_at) == (State.RETRYING, 1, moment(T0 + 8 * SECOND))
    assert (job.worker, job.finished_at) == (None, None)
    assert job.error is not None
    assert [(a.number, a.outcome) for a in job.attempts] == [(1, "retry")]
    await clock.forward(8 * SECOND - 1)
    assert await promote_all(store) == 0
    await clock.forward(1)
    assert await promote_all(store) == 1
    claim = await hand.one()
    assert (claim.id, claim.attempt, claim.ready_at) == (id, 2, T0 + 8 * SECOND)
    await hand.complete(claim)
    job = await get(store, id)
    assert [(a.number, a.outcome) for a in job.attempts] == [(1, "retry"), (2, "complete")]


async def test_snooze_spends_nothing(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    assert await hand.finish(end(await hand.one(), Event.SNOOZE, delay=5 * SECOND, reason="later")) == [TAKEN]
    job = await get(store, id)
    assert (job.state, job.attempt, job.run_at) == (State.DELAYED, 0, moment(T0 + 5 * SECOND))
    assert [(a.number, a.outcome, a.reason) for a in job.attempts] == [(1, "snooze", "later")]
    await clock.forward(5 * SECOND)
    await promote_all(store)
    assert (await hand.one()).attempt == 1


async def test_release_keeps_the_place_in_line(store: Store, clock: Clock) -> None:
    first, second = await put(store, new(), new())
    hand = Hand(store)
    claim = await hand.one()
    await clock.forward(SECOND)
    assert await hand.finish(released(claim, "w1", "shutdown")) == [TAKEN]
    job = await get(store, first)
    assert (job.state, job.attempt, job.run_at, job.worker) == (State.WAITING, 0, moment(T0), None)
    assert [claim.id for claim in await hand.take()] == [first, second]


async def test_release_with_a_delay(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    assert await hand.finish(end(await hand.one(), Event.RELEASE, delay=5 * SECOND)) == [TAKEN]
    assert await state_of(store, id) in (State.DELAYED, State.WAITING)
    assert await hand.take() == []
    await clock.forward(5 * SECOND)
    await promote_all(store)
    assert (await hand.one()).attempt == 1


async def test_a_retry_goes_to_the_end_of_the_line(store: Store, clock: Clock) -> None:
    first, second = await put(store, new(), new())
    hand = Hand(store)
    await hand.finish(end(await hand.one(), Event.RETRY))
    await promote_all(store)
    assert [claim.id for claim in await hand.take()] == [second, first]


async def test_a_judged_lapse_raises_rescues_and_spends_nothing(store: Store) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    claim = await hand.one()
    ended = end(claim, Event.RELEASE, rescued=True, outcome="rescue", reason="rescued")
    assert await hand.finish(ended) == [TAKEN]
    job = await get(store, id)
    assert (job.state, job.rescues, job.attempt) == (State.WAITING, 1, 0)
    assert [(a.number, a.outcome) for a in job.attempts] == [(1, "rescue")]
    assert (await hand.one()).rescues == 1


async def test_an_end_that_spends_nothing_leaves_the_count(store: Store) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    await hand.finish(end(await hand.one(), Event.FAIL, spends=False, reason="stalled", rescued=True))
    job = await get(store, id)
    assert (job.state, job.attempt, job.rescues) == (State.FAILED, 0, 1)


@pytest.mark.parametrize("event", [Event.COMPLETE, Event.RETRY, Event.SNOOZE, Event.RELEASE, Event.FAIL, Event.ABORT])
async def test_the_fence(store: Store, clock: Clock, event: Event) -> None:
    """A lease that is not the job's changes nothing: one never given, one of before, one for an unknown job."""
    (id,) = await put(store, new())
    hand = Hand(store)
    old = await hand.one()
    await hand.finish(end(old, Event.RETRY, delay=0))
    await promote_all(store)
    claim = await hand.one()
    before = await get(store, id)
    forged = msgspec.structs.replace(claim, lease=claim.lease + 1)
    unknown = msgspec.structs.replace(claim, id=fresh_id())
    garbled = msgspec.structs.replace(claim, id="no-such-job")
    ends = [end(each, event, delay=HOUR, error=ERROR, result="1") for each in (forged, unknown, garbled, old)]
    # The old lease was settled last, so its finish is the repeat of one that was taken.
    assert await hand.finish(*ends) == [STALE, STALE, STALE, REPEAT]
    assert await get(store, id) == before
    await hand.complete(claim)


async def test_the_fence_after_a_rescue(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new())
    await store.rescue("w2", LEASE, 10)
    slow = Hand(store)
    claim = await slow.one()
    for _ in range(3):
        await clock.forward(LEASE // 3)
        taken = await store.rescue("w2", LEASE, 10)
    assert [each.id for each in taken] == [id]
    assert await slow.finish(completed(claim, '"late"', 1)) == [STALE]
    assert await slow.finish(completed(taken[0], '"in time"', 1)) == [TAKEN]
    assert await slow.finish(completed(claim, '"late"', 1)) == [STALE]
    assert (await get(store, id)).result == "in time"


@pytest.mark.parametrize("event", [Event.COMPLETE, Event.RETRY, Event.SNOOZE, Event.RELEASE, Event.FAIL, Event.ABORT])
async def test_a_repeat_has_no_effect(store: Store, clock: Clock, event: Event) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    follow = new()
    ended = end(await hand.one(), event, delay=5 * SECOND, took=SECOND, follow=(follow,))
    assert await hand.finish(ended) == [TAKEN]
    before, counts = await get(store, id), await counted(store)
    await clock.forward(SECOND)
    assert await hand.finish(ended) == [REPEAT]
    assert await get(store, id) == before
    assert await counted(store) == counts


async def test_the_same_end_twice_in_one_call(store: Store) -> None:
    await put(store, new())
    hand = Hand(store)
    ended = end(await hand.one(), Event.COMPLETE, result="1")
    assert await hand.finish(ended, ended) == [TAKEN, REPEAT]
    assert await counted(store) == {State.COMPLETED: 1}


async def test_no_ends_no_verdicts(store: Store) -> None:
    assert await store.finish([]) == []


async def test_verdicts_keep_the_order_of_a_full_mixed_batch(store: Store) -> None:
    ids = await put(store, *(new(args=f'{{"n":{n}}}') for n in range(MOST_FINISHED)))
    hand = Hand(store)
    claims = await hand.take(MOST_FINISHED)
    events = [Event.COMPLETE, Event.RETRY, Event.FAIL, Event.RELEASE, Event.SNOOZE, Event.ABORT]
    ends: list[Finish] = []
    expected: list[Verdict] = []
    for n, claim in enumerate(claims):
        stale = n % 7 == 3
        held = msgspec.structs.replace(claim, lease=claim.lease + 9) if stale else claim
        ends.append(
            end(held, events[n % 6], result=str(n) if n % 6 == 0 else None, delay=HOUR if n % 6 in (1, 4) else 0)
        )
        expected.append(STALE if stale else TAKEN)
    assert await hand.finish(*ends) == expected
    targets = [State.COMPLETED, State.RETRYING, State.FAILED, State.WAITING, State.DELAYED, State.CANCELLED]
    found = await states_of(store, *ids)
    assert found == [State.ACTIVE if n % 7 == 3 else targets[n % 6] for n in range(len(ids))]
    assert (await get(store, ids[0])).result == 0
    assert (await get(store, ids[12])).result == 12


async def test_a_trail_tells_every_attempt(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new(max_attempts=5))
    hand = Hand(store)
    for event in (Event.SNOOZE, Event.RETRY, Event.RELEASE, Event.RETRY, Event.FAIL):
        await clock.forward(SECOND)
        await promote_all(store)
        await hand.finish(end(await hand.one(), event, reason=event.value, took=1))
    job = await get(store, id)
    assert [(a.number, a.outcome, a.reason) for a in job.attempts] == [
        (1, "snooze", "snooze"),
        (1, "retry", "retry"),
        (2, "release", "release"),
        (2, "retry", "retry"),
        (3, "fail", "fail"),
    ]
    assert [a.finished_at for a in job.attempts] == [moment(T0 + n * SECOND) for n in (1, 2, 3, 4, 5)]
    assert job.attempt == 3


async def test_a_trail_keeps_its_newest_lines(store: Store) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    for n in range(60):
        await hand.finish(end(await hand.one(), Event.RELEASE, reason=f"r{n}"))
    attempts = (await get(store, id)).attempts
    assert [a.reason for a in attempts] == [f"r{n}" for n in range(10, 60)]


async def test_judged_ends_are_taken_as_they_are(store: Store, clock: Clock) -> None:
    """What `outcome.judge` makes of a real exception lands: the error, its trail, the next attempt's number."""
    (id,) = await put(store, new(max_attempts=2))
    hand = Hand(store)
    claim = await hand.one()
    await hand.finish(judge(claim, ConnectionError("gone\x00\ud800"), DEFAULT_RULES, "w1", SECOND))
    job = await get(store, id)
    assert job.state is State.RETRYING
    assert job.error is not None
    assert (job.error.type, job.error.message) == ("ConnectionError", "gone\\x00\\ud800")
    await clock.forward(HOUR)
    await promote_all(store)
    await hand.finish(judge(await hand.one(), ConnectionError("gone again"), DEFAULT_RULES, "w1", SECOND))
    job = await get(store, id)
    assert (job.state, job.reason, job.attempt) == (State.FAILED, "attempts used up", 2)
    assert [a.error.message for a in job.attempts if a.error] == ["gone\\x00\\ud800", "gone again"]


async def test_follow_up_jobs_come_with_the_end(store: Store) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    one, two = new("callback", delay=HOUR), new("callback", queue="hooks")
    assert await hand.finish(end(await hand.one(), Event.COMPLETE, follow=(one, two))) == [TAKEN]
    assert await states_of(store, id, one.id, two.id) == [State.COMPLETED, State.DELAYED, State.WAITING]


async def test_a_refused_end_brings_no_follow_up_jobs(store: Store) -> None:
    await put(store, new())
    hand = Hand(store)
    claim = await hand.one()
    follow = new("callback")
    assert await hand.finish(end(msgspec.structs.replace(claim, lease=1 << 40), Event.COMPLETE, follow=(follow,))) == [
        STALE
    ]
    assert await store.job(follow.id) is None


async def test_a_follow_up_job_may_take_the_key_that_this_end_frees(store: Store) -> None:
    key = UniqueKey(key="poll")
    await put(store, new(unique=key))
    hand = Hand(store)
    follow = new(unique=key)
    await hand.finish(end(await hand.one(), Event.COMPLETE, follow=(follow,)))
    assert await state_of(store, follow.id) is State.WAITING


@pytest.mark.parametrize("event", [Event.RETRY, Event.SNOOZE, Event.RELEASE])
async def test_a_job_asked_to_stop_does_not_come_back(store: Store, clock: Clock, event: Event) -> None:
    key = UniqueKey(key="k")
    (id,) = await put(store, new(unique=key))
    hand = Hand(store)
    claim = await hand.one()
    assert (await act(store, Action.CANCEL, id, reason="by hand")).flagged == (id,)
    assert await hand.finish(end(claim, event, delay=SECOND)) == [TAKEN]
    job = await get(store, id)
    assert (job.state, job.reason, job.finished_at) == (State.CANCELLED, "by hand", moment(T0))
    await put(store, new(unique=key))
    await clock.forward(HOUR)
    assert await promote_all(store) == 0


async def test_the_reason_is_plain_when_the_command_gave_none(store: Store) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    claim = await hand.one()
    await act(store, Action.CANCEL, id)
    await hand.finish(end(claim, Event.RETRY))
    job = await get(store, id)
    assert (job.state, job.reason) == (State.CANCELLED, "cancelled")


@pytest.mark.parametrize(("event", "state"), [(Event.COMPLETE, State.COMPLETED), (Event.FAIL, State.FAILED)])
async def test_an_end_of_its_own_stands_against_the_flag(store: Store, event: Event, state: State) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    claim = await hand.one()
    await act(store, Action.CANCEL, id)
    assert await hand.finish(end(claim, event, result="1" if event is Event.COMPLETE else None)) == [TAKEN]
    assert await state_of(store, id) is state


async def test_completion_after_failures_keeps_the_trail_and_drops_the_reason(store: Store) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    await hand.finish(end(await hand.one(), Event.RETRY, error=ERROR, reason="once more"))
    await promote_all(store)
    await hand.complete(await hand.one(), result="3")
    job = await get(store, id)
    assert (job.state, job.reason, job.result) == (State.COMPLETED, None, 3)
    assert [a.outcome for a in job.attempts] == ["retry", "complete"]


async def test_outcomes_are_final_jobs_only(store: Store) -> None:
    done, waiting, gone = await put(store, new(priority=1), new(), new())
    hand = Hand(store)
    await hand.complete(await hand.one(), result="[]")
    await act(store, Action.CANCEL, gone)
    found = await store.outcomes([done, waiting, gone, fresh_id()])
    assert sorted(found) == sorted([done, gone])
    assert found[done].result == []
    assert found[gone].state is State.CANCELLED
    assert await store.outcomes([]) == {}
