"""What operators do to jobs: each action in each state, by name and by filter, with its audit entry."""

import msgspec
import pytest

from tests.store.kit import (
    HOUR,
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
from tests.store.standing import stand
from windlass.store import Store
from windlass.values.clock import SECOND, moment
from windlass.values.job import Edge, UniqueKey
from windlass.values.lease import LogLine, Progress
from windlass.values.outcome import Verdict
from windlass.values.query import Action, AuditQuery, Command, Where
from windlass.values.queue import QueueChange
from windlass.values.states import FINAL, LIVE, PENDING, Event, State

ALLOWED = {
    Action.CANCEL: {*PENDING, State.ACTIVE},
    Action.REQUEUE: {*FINAL},
    Action.RUN_NOW: {State.DELAYED, State.RETRYING},
    Action.FAIL: {*PENDING},
    Action.DELETE: {*PENDING, *FINAL},
    Action.REPRIORITISE: {*LIVE},
    Action.EDIT: {*PENDING, State.FAILED},
}
STAYING = (Action.REPRIORITISE, Action.EDIT)
TARGET = {
    Action.CANCEL: State.CANCELLED,
    Action.REQUEUE: State.WAITING,
    Action.RUN_NOW: State.WAITING,
    Action.FAIL: State.FAILED,
    Action.DELETE: None,
}


@pytest.mark.parametrize("state", list(State), ids=str)
@pytest.mark.parametrize("action", list(Action), ids=str)
async def test_each_action_in_each_state(store: Store, clock: Clock, action: Action, state: State) -> None:
    stood = await stand(store, state)
    before = await get(store, stood.id)
    answer = await act(store, action, stood.id, priority=7, reason="because", max_attempts=7)
    if state not in ALLOWED[action]:
        assert (answer.done, answer.flagged, dict(answer.refused)) == ((), (), {stood.id: f"is {state}"})
        assert await get(store, stood.id) == before
        assert await store.audit(AuditQuery(target=stood.id)) == []
        return
    assert (answer.refused, answer.more) == ({}, False)
    (entry,) = await store.audit(AuditQuery(target=stood.id))
    assert (entry.actor, entry.action, entry.target, entry.at) == ("ops", str(action), stood.id, clock.at)
    if (action, state) == (Action.CANCEL, State.ACTIVE):
        assert (answer.done, answer.flagged) == ((), (stood.id,))
        job = await get(store, stood.id)
        assert (job.state, job.cancelling) == (State.ACTIVE, True)
        return
    assert (answer.done, answer.flagged) == ((stood.id,), ())
    assert await state_of(store, stood.id) is (state if action in STAYING else TARGET[action])


async def test_unknown_jobs_are_refused(store: Store) -> None:
    id = fresh_id()
    for action in Action:
        answer = await act(store, action, id, priority=1)
        assert dict(answer.refused) == {id: "not found"}
    assert await store.audit(AuditQuery()) == []


async def test_some_are_done_and_some_refused(store: Store) -> None:
    running, one, two = await put(store, new(priority=1), new(), new())
    await Hand(store).one()
    missing = fresh_id()
    answer = await act(store, Action.DELETE, one, running, missing, two)
    assert sorted(answer.done) == sorted([one, two])
    assert dict(answer.refused) == {running: "is active", missing: "not found"}
    (entry,) = await store.audit(AuditQuery())
    assert entry.target == "jobs"
    assert msgspec.json.decode(entry.detail)["count"] == 2


async def test_cancel_and_fail_leave_their_reason(store: Store, clock: Clock) -> None:
    one, two, three = await put(store, new(), new(), new())
    await clock.forward(SECOND)
    await act(store, Action.CANCEL, one, reason="not needed")
    await act(store, Action.FAIL, two, reason="broken upstream")
    await act(store, Action.CANCEL, three)
    jobs = [await get(store, id) for id in (one, two, three)]
    assert [(job.state, job.reason) for job in jobs] == [
        (State.CANCELLED, "not needed"),
        (State.FAILED, "broken upstream"),
        (State.CANCELLED, "cancelled"),
    ]
    assert {job.finished_at for job in jobs} == {moment(T0 + SECOND)}


async def test_requeue_begins_anew(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new(max_attempts=1))
    hand = Hand(store)
    claim = await hand.one()
    await store.report([Progress(id, claim.lease, 50, "half"), LogLine(id, claim.lease, 1, "info", "was here")])
    await hand.finish(end(claim, Event.FAIL, error='{"type":"E","message":"m"}', reason="r", rescued=True))
    await clock.forward(SECOND)
    (other,) = await put(store, new())
    await act(store, Action.REQUEUE, id)
    job = await get(store, id)
    assert (job.state, job.attempt, job.rescues, job.progress) == (State.WAITING, 0, 0, 0.0)
    assert (job.error, job.reason, job.result, job.finished_at, job.progress_note) == (None,) * 5
    assert (job.run_at, job.created_at) == (moment(T0 + SECOND), moment(T0))
    assert [attempt.outcome for attempt in job.attempts] == ["fail"], "its past stays readable"
    claims = await hand.take()
    assert [(claim.id, claim.attempt) for claim in claims] == [(other, 1), (id, 1)]


async def test_requeue_may_go_on_counting(store: Store) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    await hand.finish(end(await hand.one(), Event.FAIL))
    await act(store, Action.REQUEUE, id, keep_attempts=True)
    assert (await get(store, id)).attempt == 1
    assert (await hand.one()).attempt == 2


async def test_a_requeued_result_is_gone(store: Store) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    await hand.complete(await hand.one(), result='{"big": true}')
    await act(store, Action.REQUEUE, id)
    assert (await get(store, id)).result is None
    assert await store.outcomes([id]) == {}
    await hand.complete(await hand.one(), result="2")
    assert (await get(store, id)).result == 2


async def test_a_requeued_flag_is_down(store: Store) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    claim = await hand.one()
    await act(store, Action.CANCEL, id)
    await hand.finish(end(claim, Event.ABORT))
    await act(store, Action.REQUEUE, id)
    claim = await hand.one()
    assert not claim.cancelling
    assert (await hand.beat(claim)).cancelled == ()
    await hand.finish(end(claim, Event.RETRY, delay=HOUR))
    assert await state_of(store, id) is State.RETRYING


async def test_a_requeued_job_does_not_expire_again_at_once(store: Store, clock: Clock) -> None:
    late, early = await put(store, new(expires_in=SECOND), new(expires_in=2 * HOUR))
    await clock.forward(HOUR)
    await promote_all(store)
    await act(store, Action.CANCEL, early)
    assert await states_of(store, late, early) == [State.CANCELLED] * 2
    await act(store, Action.REQUEUE, late, early)
    await promote_all(store)
    assert await states_of(store, late, early) == [State.WAITING] * 2
    assert [(await get(store, id)).expires_at for id in (late, early)] == [None, moment(T0 + 2 * HOUR)]
    assert len(await Hand(store).take()) == 2


async def test_run_now(store: Store, clock: Clock) -> None:
    later, first = await put(store, new(delay=HOUR), new())
    await act(store, Action.RUN_NOW, later)
    assert await state_of(store, later) is State.WAITING
    assert [claim.id for claim in await Hand(store).take()] == [first, later], "at the end of the line"


async def test_reprioritise_keeps_the_place_among_equals(store: Store) -> None:
    a, b, c, d = await put(store, new(), new(priority=5), new(priority=5), new(delay=HOUR))
    await act(store, Action.REPRIORITISE, a, d, priority=5)
    assert (await get(store, a)).priority == 5
    await act(store, Action.RUN_NOW, d)
    assert [claim.id for claim in await Hand(store).take()] == [a, b, c, d]


async def test_a_new_priority_of_a_running_job_counts_when_it_comes_back(store: Store) -> None:
    low, other = await put(store, new(), new(priority=1))
    hand = Hand(store, queues=("default",))
    first, second = await hand.take(2)
    assert [first.id, second.id] == [other, low]
    await act(store, Action.REPRIORITISE, low, priority=9)
    assert (await get(store, low)).lease == second.lease
    assert await hand.finish(end(second, Event.RELEASE), end(first, Event.RELEASE)) == [Verdict.ACCEPTED] * 2
    assert [claim.id for claim in await hand.take()] == [low, other]


async def test_by_filter_only_what_may_change(store: Store) -> None:
    running, *waiting = await put(store, new("a", priority=9), new("a"), new("a", delay=HOUR))
    (other,) = await put(store, new("b"))
    await Hand(store).one()
    answer = await store.command(Command(action=Action.FAIL, reason="r"), Where(kinds=("a",)), 100, "ops")
    assert sorted(answer.done) == sorted(waiting)
    assert (answer.refused, answer.flagged, answer.more) == ({}, (), False)
    assert await states_of(store, running, other) == [State.ACTIVE, State.WAITING]
    (entry,) = await store.audit(AuditQuery(target="jobs"))
    detail = msgspec.json.decode(entry.detail)
    assert detail["count"] == 2
    assert "a" in str(detail["where"])


async def test_a_filter_that_finds_nothing_leaves_no_trace(store: Store) -> None:
    await put(store, new())
    answer = await store.command(Command(action=Action.CANCEL), Where(queues=("none",)), 100, "ops")
    assert (answer.done, answer.flagged, answer.refused, answer.more) == ((), (), {}, False)
    assert await store.audit(AuditQuery()) == []


@pytest.mark.parametrize("action", [Action.CANCEL, Action.DELETE, Action.FAIL, Action.REQUEUE, Action.RUN_NOW])
async def test_by_filter_in_bounded_steps(store: Store, action: Action) -> None:
    ids = await put(store, *(new(delay=HOUR) for _ in range(25)))
    if action is Action.REQUEUE:
        await act(store, Action.CANCEL, *ids)
    done: list[str] = []
    for _ in range(10):
        answer = await store.command(Command(action=action), Where(queues=("default",)), 10, "ops")
        assert len(answer.done) <= 10
        done += answer.done
        if not answer.more:
            break
    assert sorted(done) == sorted(ids), "each once"
    target = TARGET[action]
    assert await counted(store) == ({target: 25} if target else {})


async def until_no_more(store: Store, command: Command, where: Where, limit: int) -> list[str]:
    """Every id that a command by filter changes, asked again while there are more; it must come to an end."""
    done: list[str] = []
    for _ in range(30):
        answer = await store.command(command, where, limit, "ops")
        done += answer.done
        if not answer.more:
            return done
    raise AssertionError("there are always more")


async def test_reprioritise_by_filter_reaches_every_job_once(store: Store) -> None:
    ids = await put(store, *(new(priority=n % 2) for n in range(9)))
    command = Command(action=Action.REPRIORITISE, priority=1)
    assert sorted(await until_no_more(store, command, Where(queues=("default",)), 2)) == sorted(ids[::2])
    assert {(await get(store, id)).priority for id in ids} == {1}


async def test_jobs_that_refuse_do_not_keep_a_filter_from_the_others(store: Store) -> None:
    parents = await put(store, *(new(queue="q") for _ in range(3)))
    free = await put(store, *(new(queue="q") for _ in range(2)))
    parents += await put(store, *(new(queue="q") for _ in range(3)))
    await put(store, *(new(after=(Edge(id),)) for id in parents))
    done = await until_no_more(store, Command(action=Action.DELETE), Where(queues=("q",)), 1)
    assert sorted(done) == sorted(free)
    assert await states_of(store, *parents) == [State.WAITING] * 6


async def test_named_jobs_that_do_not_match_the_other_fields_are_refused(store: Store) -> None:
    wanted, other = await put(store, new(queue="a"), new(queue="b"))
    gone = fresh_id()
    where = Where(ids=(wanted, other, gone), queues=("a",), states=(State.WAITING,))
    answer = await store.command(Command(action=Action.CANCEL), where, 10, "ops")
    assert answer.done == (wanted,)
    assert answer.refused == {other: "does not match", gone: "not found"}
    answer = await store.command(Command(action=Action.DELETE), Where(ids=(wanted,), states=(State.FAILED,)), 10, "ops")
    assert (answer.done, answer.refused) == ((), {wanted: "does not match"})


async def test_cancel_by_filter_flags_running_jobs(store: Store) -> None:
    ids = await put(store, *(new() for _ in range(4)))
    claims = await Hand(store).take(2)
    answer = await store.command(Command(action=Action.CANCEL, reason="stop"), Where(), 100, "ops")
    assert sorted(answer.flagged) == sorted(claim.id for claim in claims)
    assert sorted(answer.done) == sorted(set(ids) - set(answer.flagged))
    assert not answer.more


async def test_deleted_jobs_are_gone_with_all_they_had(store: Store) -> None:
    (id,) = await put(store, new(unique=UniqueKey(key="k"), tags=("t",), user="u"))
    hand = Hand(store)
    claim = await hand.one()
    await store.report([LogLine(id, claim.lease, 1, "info", "line")])
    await hand.complete(claim)
    await act(store, Action.DELETE, id)
    assert await store.job(id) is None
    assert await store.log(id) == []
    assert await store.counts() == []
    for where in (Where(ids=(id,)), Where(user="u"), Where(tags=("t",)), Where(states=(State.COMPLETED,))):
        assert (await store.jobs(where)).items == []


async def test_queue_changes_are_audited(store: Store, clock: Clock) -> None:
    info = await store.put_queue("mail", QueueChange(paused=True), "anna")
    assert (info.name, info.paused, info.paused_at) == ("mail", True, T0)
    await clock.forward(SECOND)
    info = await store.put_queue("mail", QueueChange(), "ben")
    assert (info.paused, info.paused_at) == (True, T0), "None leaves it"
    await clock.forward(SECOND)
    info = await store.put_queue("mail", QueueChange(paused=False), "carl")
    assert (info.paused, info.paused_at) == (False, None)
    assert await store.queues() == [info]
    actors = [entry.actor for entry in await store.audit(AuditQuery(target="queue:mail"))]
    assert actors[0] == "carl"
    assert actors[-1] == "anna"


async def test_the_audit_is_newest_first_and_bounded(store: Store, clock: Clock) -> None:
    ids = await put(store, *(new() for _ in range(5)))
    for n, id in enumerate(ids):
        await clock.forward(SECOND)
        await act(store, Action.CANCEL, id, actor=f"actor-{n}")
    assert [entry.actor for entry in await store.audit(AuditQuery())] == [f"actor-{n}" for n in (4, 3, 2, 1, 0)]
    assert [entry.target for entry in await store.audit(AuditQuery(limit=2))] == [ids[4], ids[3]]
    assert [entry.actor for entry in await store.audit(AuditQuery(target=ids[1]))] == ["actor-1"]
