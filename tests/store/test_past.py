"""What remains of a job that retention deleted: as it was, without what it was given and gave; for how long, and how many."""

from decimal import Decimal
from typing import Any

import pytest

from tests.store.kit import DAY, HOUR, Clock, Hand, act, end, failing, get, new, prune_all, put, state_of
from windlass.store import Store
from windlass.store.protocol import PAST_STEP
from windlass.values.clock import moment
from windlass.values.job import Edge, Job, UniqueKey
from windlass.values.lease import LogLine, Progress, Step
from windlass.values.query import Action, AuditQuery, Retention
from windlass.values.queue import HOUSE
from windlass.values.states import Event, State

GONE = {"args": {}, "result": None, "progress_note": None, "parents": (), "options": {}, "next_retry_at": None}


def keeping(**fields: Any) -> Retention:
    """Every final job goes at once; what remains of it stays, but for what is given."""
    usual = {"completed": 0, "failed": 0, "cancelled": 0, "history": None, "keep_history": None}
    return Retention(**{**usual, **fields})


def remaining(job: Job) -> dict[str, Any]:
    """What a job shows, less what does not remain."""
    return {name: getattr(job, name) for name in job.__struct_fields__} | GONE


async def ended(store: Store, n: int = 1, **fields: Any) -> list[str]:
    ids = await put(store, *(new(**fields) for _ in range(n)))
    hand = Hand(store)
    await hand.complete(*await hand.drain(), result='"secret"')
    return ids


async def known(store: Store, ids: list[str]) -> list[bool]:
    return [await store.past(id) is not None for id in ids]


async def test_everything_that_a_job_shows_but_what_it_was_given_and_gave(store: Store, clock: Clock) -> None:
    (parent,) = await ended(store)
    job = new(
        "mail.send",
        queue="mail",
        args='{"to":"ann"}',
        priority=7,
        max_attempts=2,
        options='{"timeout":5}',
        user="ann",
        project="p",
        group="g",
        workflow="wf",
        name="a name",
        tags=("x", "y"),
        unique=UniqueKey(key="k"),
        after=(Edge(parent),),
    )
    await put(store, job)
    hand = Hand(store, "w-long-name")
    claim = await hand.one()
    await hand.finish(failing(claim, "f1", event=Event.RETRY, delay=0, took=5, worker=hand.name, spent=1_250_000))
    await clock.forward(HOUR)
    await store.promote(10)
    claim = await hand.one()
    await store.report(
        [
            LogLine(claim.id, claim.lease, 2, "info", "a line"),
            Step(claim.id, claim.lease, 0, "step", "1"),
            Progress(claim.id, claim.lease, 0.5, "half"),
        ]
    )
    await hand.finish(failing(claim, "f2", took=7, worker=hand.name, reason="why", ladder=(DAY,)))
    before = await get(store, job.id)
    assert len(before.attempts) == 2 and before.next_retry_at is not None and before.cost == Decimal("1.25")
    assert await store.past(job.id) is None, "it lives"
    await clock.forward(HOUR)
    await prune_all(store, keeping())
    assert await store.job(job.id) is None
    past = await store.past(job.id)
    assert past is not None
    assert past.gone_at == clock.at
    assert remaining(past.job) == remaining(before)
    assert {name: getattr(past.job, name) for name in GONE} == GONE
    assert await store.steps(job.id) == [] and await store.log(job.id) == []


async def test_completed_and_cancelled_jobs(store: Store, clock: Clock) -> None:
    (done,) = await ended(store, args='{"é":"\\u0000 𝄞"}')
    (cancelled,) = await put(store, new(kind="other", name="ünï 𝄞"))
    await act(store, Action.CANCEL, cancelled, reason="not 'needed' \\ any \n more")
    jobs = [await get(store, id) for id in (done, cancelled)]
    await prune_all(store, keeping())
    for job in jobs:
        past = await store.past(job.id)
        assert past is not None and remaining(past.job) == remaining(job)
        assert past.job.is_final and past.job.finished_at == moment(clock.at)
    assert [attempt.outcome for attempt in jobs[0].attempts] == ["complete"]


async def test_jobs_that_go_by_their_number_remain_too(store: Store, clock: Clock) -> None:
    ids: list[str] = []
    for _ in range(4):
        ids += await ended(store)
        await clock.forward(1)
    await prune_all(store, keeping(completed=None, keep_completed=1))
    assert await known(store, ids) == [True, True, True, False]


async def test_nothing_of_what_never_was_or_lives(store: Store, clock: Clock) -> None:
    (waiting,) = await put(store, new())
    await prune_all(store, keeping())
    for id in (waiting, "never-was", "", "é'\"%"):
        assert await store.past(id) is None


async def test_it_goes_by_its_age_counted_from_the_deletion(store: Store, clock: Clock) -> None:
    (first,) = await ended(store)
    await clock.forward(DAY)
    await prune_all(store, keeping(history=2 * HOUR))
    await clock.forward(HOUR)
    (second,) = await ended(store)
    await prune_all(store, keeping(history=2 * HOUR))
    assert await known(store, [first, second]) == [True, True]
    await clock.forward(HOUR)
    await prune_all(store, keeping(history=2 * HOUR))
    assert await known(store, [first, second]) == [False, True]
    await clock.forward(400 * DAY)
    await prune_all(store, keeping())
    assert await known(store, [second]) == [True], "None keeps it for ever"
    await prune_all(store, keeping(history=DAY))
    assert await known(store, [second]) == [False]


async def test_it_goes_by_its_number_the_oldest_first(store: Store, clock: Clock) -> None:
    ids: list[str] = []
    for _ in range(5):
        ids += await ended(store)
        await clock.forward(1)
        await prune_all(store, keeping(keep_history=3))
    assert await known(store, ids) == [False, False, True, True, True]
    await prune_all(store, keeping(keep_history=1))
    assert await known(store, ids) == [False, False, False, False, True]
    await prune_all(store, keeping(keep_history=0))
    assert await known(store, ids) == [False] * 5


@pytest.mark.parametrize("fields", [{"history": 0}, {"keep_history": 0}])
async def test_none_is_kept_at_all(store: Store, clock: Clock, fields: dict[str, int]) -> None:
    old = await ended(store, 3)
    await prune_all(store, keeping())
    assert all(await known(store, old))
    ids = await ended(store, 3)
    assert await store.prune(keeping(**fields), 100) == 3
    assert not any(await known(store, ids))
    await prune_all(store, keeping(**fields))
    assert not any(await known(store, old)), "and what was kept before goes"


async def test_it_goes_in_bounded_steps_and_says_that_there_is_more(store: Store, clock: Clock) -> None:
    limit = 5
    ids = await ended(store, 3 * limit * PAST_STEP)
    assert await prune_all(store, keeping()) >= len(ids)
    await clock.forward(DAY)
    calls = 0
    while answer := await store.prune(keeping(history=HOUR), limit):
        assert answer <= limit
        calls += 1
        left = sum(await known(store, ids))
        assert left >= len(ids) - calls * limit * PAST_STEP
    assert calls >= 2
    assert not any(await known(store, ids))
    assert await store.prune(keeping(history=HOUR), limit) == 0


async def test_a_stream_of_deletions_does_not_outrun_the_bound(store: Store, clock: Clock) -> None:
    """Also while each call finds as many jobs as it may delete."""
    most, limit = 10, 5
    ids = await ended(store, 60)
    while await store.prune(keeping(keep_history=most), limit):
        assert sum(await known(store, ids)) <= most + limit
    assert sum(await known(store, ids)) == most


async def test_the_house_leaves_nothing(store: Store, clock: Clock) -> None:
    ids = [*await ended(store, queue=HOUSE), *await ended(store)]
    assert await prune_all(store, keeping()) == 2
    assert await known(store, ids) == [False, True]


async def test_what_an_operator_deletes_leaves_its_act_only(store: Store, clock: Clock) -> None:
    gone, deleted = [*await ended(store), *await ended(store)]
    await act(store, Action.DELETE, deleted)
    await prune_all(store, keeping())
    assert await known(store, [gone, deleted]) == [True, False]
    assert [entry.action for entry in await store.audit(AuditQuery(target=deleted))] == ["delete"]
    refused = await act(store, Action.DELETE, gone)
    assert refused.refused == {gone: "not found"}
    assert await known(store, [gone]) == [True]


async def test_an_id_that_comes_again(store: Store, clock: Clock) -> None:
    job = new("first")
    await put(store, job)
    hand = Hand(store)
    await hand.complete(await hand.one())
    await prune_all(store, keeping())
    await clock.forward(DAY)
    again = new("second", id=job.id)
    await put(store, again)
    assert await store.past(job.id) is None, "it lives"
    assert await state_of(store, job.id) is State.WAITING
    await hand.finish(end(await hand.one(), Event.ABORT, reason="cancelled"))
    await prune_all(store, keeping())
    past = await store.past(job.id)
    assert past is not None
    assert (past.job.kind, past.job.state, past.gone_at) == ("second", State.CANCELLED, clock.at)
    await clock.forward(HOUR)
    await prune_all(store, keeping(history=HOUR))
    assert await store.past(job.id) is None


async def test_requeued_before_it_goes_a_job_remains_as_it_was_last(store: Store, clock: Clock) -> None:
    (id,) = await ended(store)
    await act(store, Action.REQUEUE, id)
    hand = Hand(store)
    await hand.finish(failing(await hand.one(), "f"))
    before = await get(store, id)
    await prune_all(store, keeping())
    past = await store.past(id)
    assert past is not None and remaining(past.job) == remaining(before)


async def test_erasing_leaves_nothing(store: Store, clock: Clock) -> None:
    (id,) = await ended(store)
    await prune_all(store, keeping())
    await store.erase()
    await store.open()
    await store.hold_time(clock.at)
    assert await store.past(id) is None


async def test_a_dump_does_not_carry_it(store: Store, clock: Clock) -> None:
    (id,) = await ended(store)
    await prune_all(store, keeping())
    page = await store.dump()
    assert page.items == [] and page.next is None
    assert await store.past(id) is not None
