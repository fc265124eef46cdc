"""Dead letters that are retried by themselves: the ladder, the sweep, and every way out of it."""

import pytest

from tests.store.kit import (
    DAY,
    HOUR,
    T0,
    Clock,
    Hand,
    Place,
    act,
    act_on_all,
    all_ids,
    bury,
    counted,
    end,
    failing,
    get,
    groups_of,
    new,
    promote_all,
    prune_all,
    put,
    state_of,
    states_of,
)
from tests.store.test_races import together
from windlass.store import Store
from windlass.values.clock import SECOND, Micros, moment
from windlass.values.job import Claim, Edge, Job, UniqueKey
from windlass.values.metrics import MINUTE
from windlass.values.outcome import Verdict
from windlass.values.query import Action, AuditQuery, Command, Commanded, Retention, Where
from windlass.values.states import FINAL, Event, State

LADDER = (MINUTE, HOUR, DAY)
SWEEP = Command(action=Action.REQUEUE, scheduled=True)
FOREVER = Retention(
    completed=None, failed=None, cancelled=None, logs=None, results=None, archive=None, metrics=None, audit=None
)


async def sweep(store: Store, clock: Clock, limit: int = 100) -> Commanded:
    """What the built-in schedule does, once."""
    return await store.command(SWEEP, Where(retry_before=clock.at), limit, "scheduler")


async def fail_next(store: Store, ladder: tuple[Micros, ...] = LADDER, fingerprint: str = "f") -> Claim:
    hand = Hand(store)
    claim = await hand.one()
    assert await hand.finish(failing(claim, fingerprint, ladder=ladder)) == [Verdict.ACCEPTED]
    return claim


def standing(job: Job) -> tuple[State, int, object]:
    return job.state, job.revivals, job.next_retry_at


async def test_the_ladder_is_climbed_a_rung_a_revival(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new(max_attempts=1))
    for revivals, wait in enumerate(LADDER):
        await fail_next(store)
        assert standing(await get(store, id)) == (State.FAILED, revivals, moment(clock.at + wait))
        await clock.forward(wait - 1)
        assert (await sweep(store, clock)).done == (), "not yet"
        await clock.forward(2)
        assert (await sweep(store, clock)).done == (id,)
        assert standing(await get(store, id)) == (State.WAITING, revivals + 1, None)
    await fail_next(store)
    assert standing(await get(store, id)) == (State.FAILED, 3, None), "the ladder is at its end"
    await clock.forward(100 * DAY)
    assert await sweep(store, clock) == Commanded()


async def test_before_is_before(store: Store, clock: Clock) -> None:
    await bury(store, new(), ladder=(HOUR,))
    assert await all_ids(store, Where(retry_before=T0 + HOUR)) == []
    assert len(await all_ids(store, Where(retry_before=T0 + HOUR + 1))) == 1


async def test_a_retried_letter_begins_anew(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new(max_attempts=1))
    await fail_next(store)
    await clock.forward(2 * MINUTE)
    (other,) = await put(store, new())
    await sweep(store, clock)
    job = await get(store, id)
    assert (job.attempt, job.error, job.reason, job.finished_at) == (0, None, None, None)
    assert job.run_at == moment(clock.at)
    assert [attempt.outcome for attempt in job.attempts] == ["fail"], "its past stays readable"
    claims = await Hand(store).take()
    assert [(claim.id, claim.attempt) for claim in claims] == [(other, 1), (id, 1)], "a new place in line"


@pytest.mark.parametrize(
    ("ladder", "wait"),
    [((), None), ((SECOND,), None), ((SECOND, 5 * SECOND), 5 * SECOND), ((1, 2, 3, 4, 5), 2)],
    ids=["none", "shorter", "other", "longer"],
)
async def test_a_ladder_of_another_length_the_next_time(
    store: Store, clock: Clock, ladder: tuple[Micros, ...], wait: Micros | None
) -> None:
    (id,) = await put(store, new())
    await fail_next(store)
    await clock.forward(HOUR)
    await sweep(store, clock)
    await fail_next(store, ladder)
    expected = None if wait is None else moment(clock.at + wait)
    assert standing(await get(store, id)) == (State.FAILED, 1, expected)


async def test_a_ladder_that_grew_is_climbed_on(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new())
    for ladder in ((MINUTE,), (MINUTE,), (MINUTE, 2 * MINUTE)):
        await fail_next(store, ladder)
        await clock.forward(HOUR)
        if not (await sweep(store, clock)).done:
            await act(store, Action.REQUEUE, id, scheduled=True)
    assert standing(await get(store, id)) == (State.WAITING, 3, None)
    await fail_next(store, (1, 2, 3, HOUR))
    assert standing(await get(store, id)) == (State.FAILED, 3, moment(clock.at + HOUR))


async def test_a_requeue_by_hand_begins_the_ladder_again(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new())
    await fail_next(store)
    await clock.forward(HOUR)
    await sweep(store, clock)
    await fail_next(store)
    assert standing(await get(store, id)) == (State.FAILED, 1, moment(clock.at + HOUR))
    await act(store, Action.REQUEUE, id)
    assert standing(await get(store, id)) == (State.WAITING, 0, None)
    await clock.forward(DAY)
    assert await sweep(store, clock) == Commanded(), "the old time is forgotten"
    await fail_next(store)
    assert standing(await get(store, id)) == (State.FAILED, 0, moment(clock.at + MINUTE))


async def test_a_scheduled_requeue_by_name_counts(store: Store, clock: Clock) -> None:
    (id,) = await bury(store, new())
    for revivals in (1, 2):
        assert (await act(store, Action.REQUEUE, id, scheduled=True)).done == (id,)
        assert standing(await get(store, id)) == (State.WAITING, revivals, None)
        await fail_next(store, ())
    await act(store, Action.REQUEUE, id, keep_attempts=True)
    assert standing(await get(store, id)) == (State.WAITING, 0, None)


async def test_what_was_revived_and_completed_tells_of_it(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new())
    await fail_next(store)
    await clock.forward(HOUR)
    await sweep(store, clock)
    hand = Hand(store)
    await hand.complete(await hand.one())
    assert standing(await get(store, id)) == (State.COMPLETED, 1, None)
    assert (await store.outcomes([id]))[id].revivals == 1
    await act(store, Action.REQUEUE, id)
    assert standing(await get(store, id)) == (State.WAITING, 0, None)


@pytest.mark.parametrize(
    "event", [Event.RETRY, Event.SNOOZE, Event.RELEASE, Event.SUSPEND, Event.ABORT, Event.COMPLETE]
)
async def test_only_a_failure_climbs(store: Store, clock: Clock, event: Event) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    await hand.finish(end(await hand.one(), event, ladder=LADDER, signal="go" if event is Event.SUSPEND else None))
    assert (await get(store, id)).next_retry_at is None
    await clock.forward(100 * DAY)
    assert await sweep(store, clock) == Commanded()


async def test_ends_that_no_attempt_made_are_not_retried(store: Store, clock: Clock) -> None:
    parent = new(queue="p")
    child = new(after=(Edge(parent.id, "fail"),))
    await put(store, parent, child)
    await fail_next(store)
    (by_command,) = await put(store, new())
    await act(store, Action.FAIL, by_command)
    assert (await get(store, parent.id)).next_retry_at == moment(T0 + MINUTE)
    for id in (child.id, by_command):
        assert standing(await get(store, id)) == (State.FAILED, 0, None)


async def test_a_failed_rescue_climbs(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    await hand.finish(failing(await hand.one(), "", ladder=LADDER, rescued=True, reason="stalled"))
    assert standing(await get(store, id)) == (State.FAILED, 0, moment(T0 + MINUTE))


async def test_a_job_asked_to_stop_that_fails_is_a_dead_letter(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    claim = await hand.one()
    await act(store, Action.CANCEL, id)
    await hand.finish(failing(claim, ladder=LADDER))
    assert standing(await get(store, id)) == (State.FAILED, 0, moment(T0 + MINUTE))
    await clock.forward(HOUR)
    await sweep(store, clock)
    assert not (await hand.one()).cancelling


async def test_refused_commands_leave_the_plan(store: Store, clock: Clock) -> None:
    (id,) = await bury(store, new(), ladder=LADDER)
    before = await get(store, id)
    for action in (Action.CANCEL, Action.FAIL, Action.RUN_NOW, Action.REPRIORITISE):
        assert (await act(store, action, id, priority=1)).refused == {id: "is failed"}
    assert await get(store, id) == before


async def test_the_deleted_and_the_pruned_are_not_found(store: Store, clock: Clock) -> None:
    deleted, pruned = await bury(store, new(), new(), ladder=LADDER)
    await act(store, Action.DELETE, deleted)
    await clock.forward(HOUR)
    assert await all_ids(store, Where(retry_before=clock.at)) == [pruned]
    assert await prune_all(store, Retention(failed=MINUTE)) == 1
    assert await all_ids(store, Where(retry_before=clock.at)) == []
    assert await sweep(store, clock) == Commanded()
    assert await store.counts() == []


async def test_archived_letters_stay_and_are_left_alone(store: Store, clock: Clock) -> None:
    (old,) = await bury(store, new(), fingerprint="f", ladder=(50 * DAY,))
    await clock.forward(20 * DAY)
    (young,) = await bury(store, new(), fingerprint="f", ladder=(50 * DAY,))
    keep = Retention(failed=None, archive=30 * DAY)
    await prune_all(store, keep)
    assert [(await get(store, id)).next_retry_at is None for id in (old, young)] == [False, False]
    await clock.forward(10 * DAY + SECOND)
    await prune_all(store, keep)
    assert standing(await get(store, old)) == (State.FAILED, 0, None)
    assert (await get(store, young)).next_retry_at == moment(T0 + 70 * DAY)
    assert (await groups_of(store))["f"].n == 2, "an archived letter is a dead letter still"
    await clock.forward(100 * DAY)
    assert (await sweep(store, clock)).done == (young,)
    await act(store, Action.REQUEUE, old)
    assert await state_of(store, old) is State.WAITING


async def test_a_letter_that_failed_again_is_archived_by_its_new_end(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new())
    await fail_next(store, (10 * DAY, 400 * DAY))
    await clock.forward(11 * DAY)
    await sweep(store, clock)
    await fail_next(store, (10 * DAY, 400 * DAY))
    keep = Retention(failed=None, archive=30 * DAY)
    await clock.forward(25 * DAY)
    await prune_all(store, keep)
    assert (await get(store, id)).next_retry_at == moment(T0 + 411 * DAY)
    await clock.forward(6 * DAY)
    await prune_all(store, keep)
    assert standing(await get(store, id)) == (State.FAILED, 1, None)


async def test_an_archive_whose_time_changes(store: Store, clock: Clock) -> None:
    """Shorter: what lies between is looked at, at once. Longer again: who has left automatic retry stays out."""
    ids: list[str] = []
    for _ in range(5):
        ids += await bury(store, new(), ladder=(400 * DAY,))
        await clock.forward(DAY)

    async def planned(archive: Micros | None) -> list[bool]:
        await prune_all(store, Retention(failed=None, archive=archive), 2)
        return [(await get(store, id)).next_retry_at is not None for id in ids]

    half = DAY // 2
    assert await planned(4 * DAY + half) == [False, True, True, True, True]
    assert await planned(2 * DAY + half) == [False, False, False, True, True]
    assert await planned(30 * DAY) == [False, False, False, True, True]
    assert await planned(None) == [False, False, False, True, True]
    await clock.forward(100 * DAY)
    assert await planned(101 * DAY + half) == [False] * 4 + [True]
    assert await planned(HOUR) == [False] * 5


async def test_a_scheduled_requeue_may_revive_what_waited(store: Store, clock: Clock) -> None:
    parent = new()
    child, failed = new(after=(Edge(parent.id),)), new(after=(Edge(parent.id, "fail"),))
    await put(store, parent, child, failed)
    await fail_next(store)
    await clock.forward(HOUR)
    command = Command(action=Action.REQUEUE, scheduled=True, revive=True)
    await store.command(command, Where(retry_before=clock.at), 10, "scheduler")
    await promote_all(store)
    assert standing(await get(store, parent.id)) == (State.WAITING, 1, None)
    assert await states_of(store, child.id, failed.id) == [State.BLOCKED] * 2
    assert await groups_of(store) == {}
    await fail_next(store)
    assert standing(await get(store, parent.id)) == (State.FAILED, 1, moment(clock.at + HOUR))


async def test_an_archive_without_end(store: Store, clock: Clock) -> None:
    (id,) = await bury(store, new(), ladder=(3_000 * DAY,))
    await clock.forward(2_000 * DAY)
    await prune_all(store, FOREVER)
    assert (await get(store, id)).next_retry_at == moment(T0 + 3_000 * DAY)


async def test_many_are_archived_in_steps(store: Store, clock: Clock) -> None:
    ids = await bury(store, *(new() for _ in range(25)), ladder=(400 * DAY,))
    await clock.forward(31 * DAY)
    keep = Retention(failed=None, archive=30 * DAY, metrics=None, audit=None)
    for _ in range(10):
        await store.prune(keep, 10)
    assert await all_ids(store, Where(retry_before=T0 + 900 * DAY)) == []
    assert [(await get(store, id)).next_retry_at for id in ids] == [None] * 25
    assert await counted(store) == {State.FAILED: 25}


# who is found


async def test_letters_are_found_by_their_time_and_more(store: Store, clock: Clock) -> None:
    soon = await bury(store, *(new(queue="a") for _ in range(3)), ladder=(MINUTE,))
    late = await bury(store, *(new("x", queue="b", user="u") for _ in range(3)), ladder=(HOUR,))
    await bury(store, new(queue="a"), new(queue="b"))
    await put(store, new(delay=MINUTE))

    async def found(**fields: object) -> list[str]:
        return sorted(await all_ids(store, Where(**fields), 2))  # type: ignore[arg-type]

    assert await found(retry_before=T0) == []
    assert await found(retry_before=T0 + MINUTE + 1) == sorted(soon)
    assert await found(retry_before=T0 + 2 * HOUR) == sorted(soon + late)
    assert await found(retry_before=T0 + 2 * HOUR, queues=("b",)) == sorted(late)
    assert await found(retry_before=T0 + 2 * HOUR, kinds=("x",), user="u") == sorted(late)
    assert await found(retry_before=T0 + 2 * HOUR, ids=(soon[0], late[1])) == sorted([soon[0], late[1]])
    assert await found(retry_before=T0 + 2 * HOUR, states=(State.FAILED, State.WAITING)) == sorted(soon + late)
    assert await found(retry_before=T0 + 2 * HOUR, states=(State.WAITING,)) == []
    wheres = [Where(retry_before=T0 + at) for at in (0, MINUTE + 1, 2 * HOUR)]
    assert await store.count(wheres, 5) == [0, 3, 5]


async def test_a_sweep_in_bounded_calls_reaches_each_once(store: Store, clock: Clock) -> None:
    due = await bury(store, *(new(queue="abc"[n % 3]) for n in range(25)), ladder=(MINUTE,))
    later = await bury(store, *(new() for _ in range(5)), ladder=(HOUR,))
    await clock.forward(2 * MINUTE)
    done: list[str] = []
    for _ in range(10):
        answer = await sweep(store, clock, 10)
        assert len(answer.done) <= 10
        done += answer.done
        if not answer.more:
            break
    assert sorted(done) == sorted(due), "each once"
    assert {standing(await get(store, id)) for id in due} == {(State.WAITING, 1, None)}
    assert {standing(await get(store, id)) for id in later} == {(State.FAILED, 0, moment(T0 + HOUR))}
    assert await sweep(store, clock, 10) == Commanded()
    acts = await store.audit(AuditQuery())
    assert {(entry.actor, entry.action) for entry in acts} == {("scheduler", "requeue")}
    assert 3 <= len(acts) <= 5, "one entry for each call that changed anything"


async def test_two_sweepers_at_once_revive_each_once(store: Store, clock: Clock, place: Place) -> None:
    ids = await bury(store, *(new() for _ in range(240)), ladder=(MINUTE, MINUTE))
    await clock.forward(HOUR)

    async def body(store: Store, number: int) -> list[str]:
        return await act_on_all(store, SWEEP, Where(retry_before=clock.at), 7, f"scheduler-{number}")

    done = [id for some in await together(place, body) for id in some]
    assert sorted(done) == sorted(ids)
    page = await store.jobs(Where(), None, 1_000)
    assert {standing(job) for job in page.items} == {(State.WAITING, 1, None)}


async def test_sweepers_and_workers_at_once(store: Store, clock: Clock, place: Place) -> None:
    """Letters that fail again at once, while others revive them: every revival belongs to one failure."""
    ids = await bury(store, *(new() for _ in range(60)), fingerprint="f", ladder=(0,) * 3)
    due = Where(retry_before=clock.at + 1)
    revived: list[str] = []

    async def body(store: Store, number: int) -> None:
        for _ in range(5_000):
            if number % 2:
                revived.extend((await store.command(SWEEP, due, 5, "scheduler")).done)
            else:
                hand = Hand(store, f"w{number}")
                claims = await hand.take(10)
                ends = [failing(claim, "fg"[claim.lease % 2], ladder=(0,) * 3) for claim in claims]
                assert set(await hand.finish(*ends)) <= {Verdict.ACCEPTED}
            if len(revived) >= 180 and await counted(store) == {State.FAILED: 60}:
                return
        raise AssertionError(f"{len(revived)} were revived")

    await together(place, body)
    assert sorted(revived) == sorted(ids * 3)
    page = await store.jobs(Where(), None, 1_000)
    assert {standing(job) for job in page.items} == {(State.FAILED, 3, None)}
    assert await sweep(store, clock) == Commanded()


async def test_letters_that_cannot_come_back_do_not_keep_the_others(store: Store, clock: Clock) -> None:
    """Their unique keys are held by other jobs now."""
    keys = [UniqueKey(key=f"k{n}") for n in range(3)]
    stuck = await bury(store, *(new(unique=key) for key in keys), ladder=(MINUTE,))
    free = await bury(store, *(new() for _ in range(3)), ladder=(MINUTE,))
    holders = await put(store, *(new(unique=key, queue="h") for key in keys))
    await clock.forward(HOUR)
    for _ in range(2):
        done = await act_on_all(store, SWEEP, Where(retry_before=clock.at), 1)
        assert sorted(done) == sorted(free)
        free = []
    assert {standing(await get(store, id)) for id in stuck} == {(State.FAILED, 0, moment(T0 + MINUTE))}
    await act(store, Action.CANCEL, *holders)
    assert sorted(await act_on_all(store, SWEEP, Where(retry_before=clock.at), 1)) == sorted(stuck)


async def test_a_parent_that_comes_back_lets_its_held_child_run(store: Store, clock: Clock) -> None:
    parent = new()
    child = new(after=(Edge(parent.id, "hold"),))
    await put(store, parent, child)
    await fail_next(store)
    await clock.forward(HOUR)
    await sweep(store, clock)
    hand = Hand(store)
    await hand.complete(await hand.one())
    await promote_all(store)
    assert await states_of(store, parent.id, child.id) == [State.COMPLETED, State.WAITING]


# crashes and lost replies


async def test_a_repeated_finish_changes_nothing(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    ended = failing(await hand.one(), "f", ladder=LADDER, spent=70)
    assert await hand.finish(ended) == [Verdict.ACCEPTED]
    before, groups = await get(store, id), await groups_of(store)
    await clock.forward(SECOND)
    for _ in range(2):
        assert await hand.finish(ended) == [Verdict.REPEAT]
        assert (await get(store, id), await groups_of(store)) == (before, groups)


async def test_a_late_repeat_does_not_bury_what_was_revived(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    ended = failing(await hand.one(), "f", ladder=LADDER, spent=70)
    await hand.finish(ended)
    await clock.forward(HOUR)
    await sweep(store, clock)
    before = await get(store, id)
    assert await hand.finish(ended) == [Verdict.REPEAT]
    assert await get(store, id) == before
    claim = await hand.one()
    running = await get(store, id)
    await hand.finish(ended)
    assert await get(store, id) == running
    await hand.complete(claim)
    assert standing(await get(store, id)) == (State.COMPLETED, 1, None)
    assert await groups_of(store) == {}


async def test_a_stale_finish_changes_nothing(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    old = await hand.one()
    taken = await store.rescue("other", hand.lease, 0)
    for _ in range(4):
        await clock.forward(hand.lease // 3)
        taken += await store.rescue("other", hand.lease, 10)
    assert [claim.id for claim in taken] == [id]
    before = await get(store, id)
    assert await hand.finish(failing(old, "f", ladder=LADDER, spent=70)) == [Verdict.STALE]
    assert await get(store, id) == before
    assert await groups_of(store) == {}
    assert await hand.finish(failing(taken[0], "g", ladder=LADDER, spent=5)) == [Verdict.ACCEPTED]
    assert await hand.finish(failing(old, "f", ladder=LADDER, spent=70)) == [Verdict.STALE]
    assert list(await groups_of(store)) == ["g"]
    assert standing(await get(store, id)) == (State.FAILED, 0, moment(clock.at + MINUTE))


async def test_a_sweep_whose_reply_was_lost_is_repeated(store: Store, clock: Clock) -> None:
    ids = await bury(store, *(new() for _ in range(5)), ladder=LADDER)
    await clock.forward(HOUR)
    await sweep(store, clock)
    assert await sweep(store, clock) == Commanded()
    assert {(await get(store, id)).revivals for id in ids} == {1}


# moves


async def test_the_plan_goes_along_in_a_move(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new())
    await fail_next(store)
    await clock.forward(HOUR)
    await sweep(store, clock)
    await fail_next(store)
    at = clock.at
    page = await store.dump()
    assert page.next is None
    (snapshot,) = page.items
    ledger = {name: snapshot.record[name] for name in ("cost", "revivals", "next_retry_at")}
    assert ledger == {"cost": 0, "revivals": 1, "next_retry_at": at + HOUR}
    await store.erase(force=True)
    await store.open()
    await clock.set(at)
    assert await store.count([Where(retry_before=at + DAY)], 10) == [0]
    assert await store.load(page.items) == 1
    assert standing(await get(store, id)) == (State.FAILED, 1, moment(at + HOUR))
    await clock.forward(2 * HOUR)
    assert (await sweep(store, clock)).done == (id,)
    await fail_next(store)
    assert standing(await get(store, id)) == (State.FAILED, 2, moment(clock.at + DAY))


async def test_an_erased_store_has_no_letters(store: Store, clock: Clock) -> None:
    await bury(store, *(new() for _ in range(3)), fingerprint="f", ladder=LADDER)
    await store.erase(force=True)
    await store.open()
    await clock.set(T0 + DAY)
    assert await sweep(store, clock) == Commanded()
    assert await store.error_groups() == []


async def test_only_failed_jobs_have_a_next_retry(store: Store, clock: Clock) -> None:
    """A walk through every state with a ladder at each failure."""
    (id,) = await put(store, new(max_attempts=9))
    hand = Hand(store)
    for event in (
        Event.FAIL,
        Event.RETRY,
        Event.FAIL,
        Event.SNOOZE,
        Event.FAIL,
        Event.ABORT,
        Event.FAIL,
        Event.COMPLETE,
    ):
        await clock.forward(HOUR)
        await promote_all(store)
        job = await get(store, id)
        if job.state in FINAL:
            await act(store, Action.REQUEUE, id)
            assert (await get(store, id)).next_retry_at is None
        await hand.finish(end(await hand.one(), event, ladder=LADDER, delay=SECOND))
        job = await get(store, id)
        assert (job.next_retry_at is not None) == (event is Event.FAIL)
