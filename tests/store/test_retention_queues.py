"""What each queue keeps; log lines, steps and results that go before their job; and the marks behind which they go."""

import functools
import random
from typing import Any, NamedTuple

import pytest

from tests.store.kit import (
    DAY,
    HOUR,
    T0,
    Clock,
    Hand,
    Place,
    act,
    all_ids,
    bury,
    counted,
    end,
    get,
    new,
    prune_all,
    put,
    state_of,
    states_of,
)
from tests.store.test_races import together
from tests.waiting import until
from windlass.store import Store
from windlass.values.clock import SECOND
from windlass.values.job import Claim, Edge
from windlass.values.lease import LogLine, Step
from windlass.values.query import Action, Keep, Retention, Where
from windlass.values.states import Event, State

ALWAYS = Retention(
    completed=None, failed=None, cancelled=None, logs=None, results=None, archive=None, metrics=None, audit=None
)
KEPT = Keep(completed=None, failed=None, cancelled=None)


def keeping(**fields: object) -> Retention:
    """Everything for ever, but for what is given."""
    named = {"completed": None, "failed": None, "cancelled": None, "logs": None, "archive": None, "metrics": None}
    return Retention(**{**named, "audit": None, **fields})  # type: ignore[arg-type]


async def written(store: Store, claim: Claim, text: str = "line") -> None:
    await store.report(
        [LogLine(claim.id, claim.lease, 1, "info", text), Step(claim.id, claim.lease, 0, "step", f'"{text}"')]
    )


async def ended(store: Store, n: int = 1, event: Event = Event.COMPLETE, queue: str = "default") -> list[str]:
    """Jobs that ran and left a log line, a step and a result."""
    ids = await put(store, *(new(queue=queue) for _ in range(n)))
    hand = Hand(store, queues=(queue,))
    for claim in await hand.drain():
        await written(store, claim)
        await hand.finish(end(claim, event, result='{"n":1}' if event is Event.COMPLETE else None))
    return ids


async def lines(store: Store, *ids: str) -> list[int]:
    """How many log lines each has; steps go with them."""
    found = [len(await store.log(id)) for id in ids]
    assert [bool(await store.steps(id)) for id in ids] == [n > 0 for n in found]
    return found


async def results(store: Store, *ids: str) -> list[bool]:
    return [(await get(store, id)).result is not None for id in ids]


# by queue


@pytest.mark.parametrize(
    ("event", "field"), [(Event.COMPLETE, "completed"), (Event.FAIL, "failed"), (Event.ABORT, "cancelled")]
)
async def test_a_queue_of_its_own_age(store: Store, clock: Clock, event: Event, field: str) -> None:
    (short,), (long,), (plain,) = [await ended(store, 1, event, queue) for queue in ("short", "long", "plain")]
    queues = {"short": Keep(**{field: HOUR}), "long": Keep(**{field: 10 * DAY})}
    keep = keeping(queues=queues, **{field: DAY})
    await clock.forward(HOUR - SECOND)
    assert await prune_all(store, keep) == 0
    await clock.forward(2 * SECOND)
    assert await prune_all(store, keep) == 1
    assert [state is None for state in await states_of(store, short, plain, long)] == [True, False, False]
    await clock.forward(DAY)
    assert await prune_all(store, keep) == 1
    assert [state is None for state in await states_of(store, plain, long)] == [True, False]
    await clock.forward(10 * DAY)
    assert await prune_all(store, keep) == 1
    assert await store.counts() == []


async def test_a_named_queue_goes_by_its_own_fields_alone(store: Store, clock: Clock) -> None:
    """What its `Keep` leaves at the default is the default of `Keep`, not what holds for the others."""
    for event in (Event.COMPLETE, Event.FAIL, Event.ABORT):
        for queue in ("forever", "named", "other"):
            await ended(store, 1, event, queue)
    keep = Retention(
        completed=None, failed=HOUR, cancelled=HOUR, queues={"forever": KEPT, "named": Keep(), "none": Keep(failed=0)}
    )
    await clock.forward(2 * DAY)
    await prune_all(store, keep)
    assert await counted(store, "forever") == {State.COMPLETED: 1, State.FAILED: 1, State.CANCELLED: 1}
    assert await counted(store, "named") == {State.FAILED: 1, State.CANCELLED: 1}
    assert await counted(store, "other") == {State.COMPLETED: 1}
    await clock.forward(6 * DAY)
    await prune_all(store, keep)
    assert await counted(store, "named") == {State.FAILED: 1}


async def test_a_queue_of_its_own_number(store: Store, clock: Clock) -> None:
    made: dict[tuple[str, Event], list[str]] = {}
    for _ in range(6):
        for queue in ("few", "many", "other"):
            for event in (Event.COMPLETE, Event.FAIL):
                made.setdefault((queue, event), []).extend(await ended(store, 1, event, queue))
                await clock.forward(SECOND)
    few = Keep(completed=None, failed=None, keep_completed=1, keep_failed=2)
    many = Keep(completed=None, failed=None, keep_completed=4)
    await prune_all(store, keeping(queues={"few": few, "many": many}, keep_completed=3, keep_failed=5), 7)
    for (queue, event), ids in made.items():
        kept = {"few": (1, 2), "many": (4, 6), "other": (3, 5)}[queue][event is Event.FAIL]
        assert [state is None for state in await states_of(store, *ids)] == [True] * (6 - kept) + [False] * kept


async def test_age_and_number_together(store: Store, clock: Clock) -> None:
    old = await ended(store, 3, queue="q")
    await clock.forward(HOUR)
    young = await ended(store, 3, queue="q")
    await clock.forward(HOUR)
    keep = keeping(queues={"q": Keep(completed=HOUR + SECOND, keep_completed=2)})
    await prune_all(store, keep)
    assert [state is None for state in await states_of(store, *old)] == [True] * 3
    assert await counted(store) == {State.COMPLETED: 2}
    assert {*await all_ids(store, Where())} <= {*young}


async def test_many_queues(store: Store, clock: Clock) -> None:
    queues = {f"q{n}": Keep(completed=(n + 1) * HOUR) for n in range(40)}
    for name in queues:
        await ended(store, 1, queue=name)
    for hour in range(1, 41):
        await clock.set(T0 + hour * HOUR + SECOND)
        assert await prune_all(store, keeping(queues=queues), 10) == 1
        assert sum((await counted(store)).values()) == 40 - hour


async def test_live_jobs_stay_whatever_their_queue_keeps(store: Store, clock: Clock) -> None:
    nothing = Keep(completed=0, failed=0, cancelled=0, keep_completed=0, keep_failed=0)
    await put(store, *(new(queue="q", delay=400 * DAY if n else None) for n in range(3)), new(queue="q"))
    await Hand(store).one()
    await clock.forward(100 * DAY)
    assert await prune_all(store, keeping(queues={"q": nothing}, logs=0, results=0)) == 0
    assert await counted(store) == {State.ACTIVE: 1, State.WAITING: 1, State.DELAYED: 2}


async def test_never_a_job_that_others_wait_for(store: Store, clock: Clock) -> None:
    parents = [new(queue="q") for _ in range(3)]
    children = [new(queue="c", after=(Edge(parent.id, "hold"),)) for parent in parents]
    free = [new(queue="q") for _ in range(3)]
    await put(store, *parents, *free, *children)
    hand = Hand(store)
    await hand.finish(*(end(claim, Event.FAIL) for claim in await hand.take()))
    await clock.forward(DAY)
    keep = keeping(queues={"q": Keep(failed=HOUR, keep_failed=0)})
    assert await prune_all(store, keep, 2) == 3, "the others do not hide behind them"
    assert await states_of(store, *(job.id for job in parents)) == [State.FAILED] * 3
    assert await states_of(store, *(job.id for job in free)) == [None] * 3
    await act(store, Action.DELETE, children[0].id)
    assert await prune_all(store, keep, 2) == 1
    assert await counted(store) == {State.FAILED: 2, State.BLOCKED: 2}
    assert await prune_all(store, keeping(failed=HOUR, logs=HOUR), 1) == 0


async def test_each_call_is_bounded(store: Store, clock: Clock) -> None:
    await ended(store, 12, queue="a")
    await ended(store, 13, queue="b")
    await clock.forward(DAY)
    keep = keeping(queues={"a": Keep(completed=HOUR), "b": Keep(keep_completed=0)})
    left = 25
    for _ in range(30):
        n = await store.prune(keep, 4)
        now_left = sum((await counted(store)).values())
        assert left - now_left == n <= 4
        left = now_left
        if not n:
            break
    assert left == 0


# log lines, steps and results


async def test_log_lines_and_steps_go_before_their_job(store: Store, clock: Clock) -> None:
    old = await ended(store, 2)
    (failed,) = await ended(store, 1, Event.FAIL)
    await clock.forward(HOUR)
    young = await ended(store, 2)
    keep = keeping(logs=DAY)
    assert await prune_all(store, keep) == 0
    await clock.forward(DAY - HOUR + SECOND)
    assert await prune_all(store, keep) == 3
    assert await lines(store, *old, failed, *young) == [0, 0, 0, 1, 1]
    assert await results(store, *old, *young) == [True] * 4
    assert await state_of(store, failed) is State.FAILED
    await clock.forward(HOUR)
    await prune_all(store, keep)
    assert await lines(store, *young) == [0, 0]
    assert await counted(store) == {State.COMPLETED: 4, State.FAILED: 1}


async def test_results_go_before_their_job(store: Store, clock: Clock) -> None:
    old = await ended(store, 2)
    await clock.forward(HOUR)
    young = await ended(store, 2)
    keep = keeping(results=DAY)
    await clock.forward(DAY - HOUR + SECOND)
    assert await prune_all(store, keep) == 2
    assert await results(store, *old, *young) == [False, False, True, True]
    job = await get(store, old[0])
    assert (job.state, job.result, job.attempt) == (State.COMPLETED, None, 1)
    assert (await store.outcomes(old))[old[1]].result is None
    assert await lines(store, *old) == [1, 1], "only the result"


async def test_logs_and_results_each_by_their_own_time(store: Store, clock: Clock) -> None:
    ids = await ended(store, 3)
    keep = keeping(results=HOUR, logs=DAY, completed=2 * DAY)
    await clock.forward(HOUR + SECOND)
    await prune_all(store, keep)
    assert (await lines(store, *ids), await results(store, *ids)) == ([1] * 3, [False] * 3)
    await clock.forward(DAY)
    await prune_all(store, keep)
    assert (await lines(store, *ids), await results(store, *ids)) == ([0] * 3, [False] * 3)
    await clock.forward(DAY)
    await prune_all(store, keep)
    assert await states_of(store, *ids) == [None] * 3


async def test_kept_signals_go_with_the_log(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new())
    await store.signal(id, "go", "1", "ops")
    hand = Hand(store)
    await hand.complete(await hand.one())
    await clock.forward(DAY)
    await prune_all(store, keeping(logs=HOUR))
    await act(store, Action.REQUEUE, id, keep_attempts=True)
    claim = await hand.one()
    (noted,) = await store.report([Step(id, claim.lease, 0, "wait", signal="go")])
    assert noted.value is None


async def test_none_keeps_them_as_long_as_the_job(store: Store, clock: Clock) -> None:
    ids = await ended(store, 2)
    await clock.forward(1_000 * DAY)
    assert await prune_all(store, ALWAYS) == 0
    assert (await lines(store, *ids), await results(store, *ids)) == ([1, 1], [True, True])


async def test_the_lines_of_live_jobs_stay(store: Store, clock: Clock) -> None:
    running, retrying, suspended = await put(store, *(new(priority=-n) for n in range(3)))
    hand = Hand(store)
    claims = await hand.take(3)
    for claim in claims:
        await written(store, claim)
    await hand.finish(end(claims[1], Event.RETRY, delay=900 * DAY), end(claims[2], Event.SUSPEND, signal="go"))
    await clock.forward(100 * DAY)
    await prune_all(store, keeping(logs=0, results=0))
    assert await lines(store, running, retrying, suspended) == [1, 1, 1]


async def test_jobs_without_lines_do_not_keep_the_others(store: Store, clock: Clock) -> None:
    bare = await put(store, *(new() for _ in range(60)))
    hand = Hand(store)
    await hand.complete(*await hand.drain())
    await clock.forward(SECOND)
    ids = await ended(store, 3)
    await clock.forward(DAY)
    for _ in range(40):
        await store.prune(keeping(logs=HOUR, results=HOUR), 5)
    assert (await lines(store, *ids), await results(store, *ids)) == ([0] * 3, [False] * 3)
    assert await states_of(store, *bare) == [State.COMPLETED] * 60


async def test_many_that_ended_at_one_instant_go_in_steps(store: Store, clock: Clock) -> None:
    ids = await ended(store, 35)
    await clock.forward(DAY)
    keep = keeping(logs=HOUR, results=HOUR)
    left = 70
    for _ in range(30):
        n = await store.prune(keep, 4)
        assert n <= 8, "as many of each"
        now_left = sum(await lines(store, *ids)) + sum(await results(store, *ids))
        assert 0 <= left - now_left <= 8
        left = now_left
        if not left:
            break
    assert left == 0
    assert await prune_all(store, keep, 4) == 0, "and then it has nothing to do"
    assert await counted(store) == {State.COMPLETED: 35}


async def test_what_was_requeued_and_ended_again_comes_by_again(store: Store, clock: Clock) -> None:
    one, two = await ended(store, 2)
    keep = keeping(logs=DAY, results=DAY)
    await clock.forward(2 * DAY)
    await prune_all(store, keep)
    assert (await lines(store, one), await results(store, one)) == ([0], [False])
    await act(store, Action.REQUEUE, one)
    hand = Hand(store)
    claim = await hand.one()
    await written(store, claim, "again")
    await hand.finish(end(claim, Event.COMPLETE, result="2"))
    await clock.forward(HOUR)
    await prune_all(store, keep)
    assert [line.text for line in await store.log(one)] == ["again"], "its time counts from its new end"
    assert (await get(store, one)).result == 2
    await clock.forward(DAY)
    await prune_all(store, keep)
    assert (await lines(store, one, two), await results(store, one, two)) == ([0, 0], [False, False])


async def test_a_requeued_job_is_alive_and_keeps_its_lines(store: Store, clock: Clock) -> None:
    (id,) = await ended(store, 1, Event.FAIL)
    await act(store, Action.REQUEUE, id, keep_attempts=True)
    await clock.forward(2 * DAY)
    await prune_all(store, keeping(logs=HOUR))
    assert len(await store.log(id)) == 1
    assert len(await store.steps(id)) == 1


async def test_times_that_change(store: Store, clock: Clock) -> None:
    """Shorter: what lies between is looked at, at once. Longer again: what is gone is gone, what is there stays longer."""
    by_hour: list[str] = []
    for _ in range(10):
        by_hour += await ended(store, 1)
        await clock.forward(HOUR)

    async def there(logs: int | None) -> list[int]:
        await prune_all(store, keeping(logs=logs, results=logs), 3)
        found = await lines(store, *by_hour)
        assert await results(store, *by_hour) == [n > 0 for n in found]
        return found

    half = HOUR // 2
    assert await there(8 * HOUR + half) == [0] * 2 + [1] * 8
    assert await there(3 * HOUR + half) == [0] * 7 + [1] * 3
    assert await there(8 * HOUR + half) == [0] * 7 + [1] * 3
    await clock.forward(HOUR)
    assert await there(3 * HOUR + half) == [0] * 8 + [1] * 2
    assert await there(None) == [0] * 8 + [1] * 2
    await clock.forward(100 * HOUR)
    assert await there(None) == [0] * 8 + [1] * 2
    assert await there(102 * HOUR + half) == [0] * 9 + [1]
    assert await there(HOUR) == [0] * 10


async def test_jobs_that_ended_while_it_was_walked(store: Store, clock: Clock) -> None:
    """Between two calls of one walk others end; nobody is passed over."""
    ids = await ended(store, 10)
    keep = keeping(logs=HOUR, results=HOUR)
    for _ in range(30):
        await clock.forward(10 * 60 * SECOND)
        ids += await ended(store, 2)
        await store.prune(keep, 3)
    await clock.forward(2 * HOUR)
    await prune_all(store, keep, 3)
    assert await lines(store, *ids) == [0] * 70
    assert await results(store, *ids) == [False] * 70


async def test_dead_letters_lose_lines_and_keep_all_else(store: Store, clock: Clock) -> None:
    ids = await bury(store, *(new(args='{"n":1}') for _ in range(3)), fingerprint="f", ladder=(400 * DAY,))
    before = [await get(store, id) for id in ids]
    await clock.forward(8 * DAY)
    await prune_all(store, Retention())
    assert [await get(store, id) for id in ids] == before
    assert [group.n for group in await store.error_groups()] == [3]


async def test_pruned_letters_leave_no_plan(store: Store, clock: Clock) -> None:
    await bury(store, *(new(queue="ab"[n % 2]) for n in range(6)), fingerprint="f", ladder=(HOUR,))
    await clock.forward(DAY)
    keep = keeping(queues={"a": Keep(failed=HOUR)})
    assert await prune_all(store, keep, 2) == 3
    assert [group.n for group in await store.error_groups()] == [3]
    assert await store.count([Where(retry_before=clock.at), Where(fingerprints=("f",))], 10) == [3, 3]


async def test_the_defaults_keep_what_they_say(store: Store, clock: Clock) -> None:
    (done,), (failed,), (over,) = [await ended(store, 1, event) for event in (Event.COMPLETE, Event.FAIL, Event.ABORT)]
    seen: dict[int, list[object]] = {}
    for day in (0, 2, 8, 89, 91):
        await clock.set(T0 + day * DAY)
        await prune_all(store, Retention())
        seen[day] = [await state_of(store, id) is not None for id in (done, failed, over)] + await lines(store, failed)
    assert seen == {
        0: [True, True, True, 1],
        2: [False, True, True, 1],
        8: [False, True, False, 0],
        89: [False, True, False, 0],
        91: [False, False, False, 0],
    }


QUEUES = ("a", "b", "c", "d")
EVENTS = {Event.COMPLETE: "completed", Event.FAIL: "failed", Event.ABORT: "cancelled"}


class Ended(NamedTuple):
    queue: str
    state: str
    at: int


def drawn(dice: random.Random) -> Retention:
    """Never to the second, so that nothing is exactly as old as something is kept."""
    ages = [None, None, *(n * HOUR + 500_000 for n in (1, 5, 20, 60))]
    counts = [None, None, 0, 1, 4]

    def keep() -> dict[str, Any]:
        by_age = {field: dice.choice(ages) for field in EVENTS.values()}
        return by_age | {field: dice.choice(counts) for field in ("keep_completed", "keep_failed")}

    named = {queue: Keep(**keep()) for queue in dice.sample(QUEUES, 2)}
    return keeping(queues=named, logs=dice.choice(ages), results=dice.choice(ages), **keep())


def kept(known: dict[str, Ended], retention: Retention, now: int) -> set[str]:
    """The ids that stay, said plainly."""
    left: set[str] = set()
    for queue in QUEUES:
        keep = retention.queues.get(queue, retention)
        for state in EVENTS.values():
            ids = [id for id, job in known.items() if (job.queue, job.state) == (queue, state)]
            age, most = getattr(keep, state), getattr(keep, f"keep_{state}", None)
            newest = sorted(ids, key=lambda id: -known[id].at)[:most]
            left |= {id for id in newest if age is None or now - known[id].at < age}
    return left


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_retention_against_plain_words(store: Store, clock: Clock, seed: int) -> None:
    dice = random.Random(seed)
    known: dict[str, Ended] = {}
    written_still: set[str] = set()
    result_still: set[str] = set()
    for _ in range(8):
        for _ in range(12):
            await clock.forward(dice.randrange(1, 3_000) * SECOND)
            queue, event = dice.choice(QUEUES), dice.choice([*EVENTS])
            old = [id for id in known if known[id].queue == queue]
            if old and dice.random() < 0.3:
                id = dice.choice(old)
                await act(store, Action.REQUEUE, id)
                hand = Hand(store, queues=(queue,))
                claim = await hand.one()
                await written(store, claim)
                await hand.finish(end(claim, event, result="1" if event is Event.COMPLETE else None))
            else:
                (id,) = await ended(store, 1, event, queue)
            known[id] = Ended(queue, EVENTS[event], clock.at)
            written_still.add(id)
            (result_still.add if event is Event.COMPLETE else result_still.discard)(id)
        retention = drawn(dice)
        await prune_all(store, retention, dice.choice([1, 3, 500]))
        left = kept(known, retention, clock.at)
        assert {*await all_ids(store, Where())} == left
        known = {id: known[id] for id in left}
        for ids, age in ((written_still, retention.logs), (result_still, retention.results)):
            ids &= {id for id in left if age is None or clock.at - known[id].at < age}
        assert {id for id in left if await store.log(id)} == written_still
        assert {id for id in left if (await get(store, id)).result is not None} == result_still


async def test_what_comes_back_while_it_prunes_keeps_what_it_writes(store: Store, clock: Clock, place: Place) -> None:
    """Old jobs are requeued, run and end again, while their old lines and results are being dropped."""
    ids = await ended(store, 60)
    await clock.forward(2 * DAY)
    keep = keeping(logs=DAY, results=DAY)

    async def body(store: Store, number: int) -> None:
        if number:
            for _ in range(40):
                await store.prune(keep, 3)
            return
        hand = Hand(store)
        for id in reversed(ids):
            assert (await act(store, Action.REQUEUE, id, keep_attempts=True)).done == (id,)
            # A claim passes over what another has locked, and comes again.
            (claim,) = await until(functools.partial(hand.up_to, 1), "the job that came back")
            await written(store, claim, "again")
            await hand.finish(end(claim, Event.COMPLETE, result="2"))

    await together(place, body, 3)
    await prune_all(store, keep, 10)
    for id in ids:
        assert [line.text for line in await store.log(id)][-1:] == ["again"]
        assert [step.value for step in await store.steps(id)] == ['"again"']
        assert (await get(store, id)).result == 2
    await clock.forward(2 * DAY)
    await prune_all(store, keep, 10)
    assert (await lines(store, *ids), await results(store, *ids)) == ([0] * 60, [False] * 60)


async def test_work_goes_on_while_it_prunes(store: Store, clock: Clock, place: Place) -> None:
    """Two prune while two work; the audit after the test compares all sums with the jobs."""
    await ended(store, 50)
    await clock.forward(DAY)
    keep = keeping(queues={"a": Keep(keep_completed=10, completed=None)}, completed=HOUR, logs=0, results=0)

    async def body(store: Store, number: int) -> int:
        done = 0
        for _ in range(20):
            if number % 2:
                await store.prune(keep, 7)
            else:
                await put(store, *(new(queue="a") for _ in range(3)))
                hand = Hand(store, f"w{number}")
                for claim in await hand.drain():  # a claim may bring fewer where another claims the same
                    await written(store, claim)
                    await hand.finish(end(claim, Event.COMPLETE, result="1"))
                    done += 1
        return done

    assert sum(await together(place, body)) == 120
    await clock.forward(60 * SECOND)  # an engine may look again at what ended in the last seconds, and no further
    await prune_all(store, keep, 7)
    assert await counted(store) == {State.COMPLETED: 10}
    left = await all_ids(store, Where())
    assert await lines(store, *left) == [0] * 10
    assert await results(store, *left) == [False] * 10
