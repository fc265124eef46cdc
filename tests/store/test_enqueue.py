"""Jobs come in: all fields, all or nothing, repeats, delays."""

import pytest

from tests.store.kit import HOUR, LEASE, T0, Clock, Hand, act, counted, fresh_id, get, new, put, state_of
from windlass.errors import UnknownParent
from windlass.store import Store
from windlass.values.clock import SECOND, moment
from windlass.values.job import Edge, Enqueued, UniqueKey
from windlass.values.query import Action
from windlass.values.states import State


async def test_every_field_reads_back(store: Store, clock: Clock) -> None:
    (parent,) = await put(store, new())
    job = new(
        "mail.send",
        queue="mail",
        args='{"to": "a@x", "n": [1, 2]}',
        runtime="thread",
        priority=7,
        max_attempts=9,
        run_at=T0 + HOUR,
        expires_at=T0 + 2 * HOUR,
        options='{"timeout": 3.5}',
        user="u1",
        project="p1",
        group="g1",
        workflow="w1",
        name="n1",
        tags=("red", "blue"),
        unique=UniqueKey(key="welcome:1"),
        after=(Edge(parent),),
    )
    await put(store, job)
    kept = await get(store, job.id)
    assert (kept.kind, kept.queue, kept.runtime, kept.priority, kept.max_attempts) == (
        "mail.send",
        "mail",
        "thread",
        7,
        9,
    )
    assert (kept.args, kept.options) == ({"to": "a@x", "n": [1, 2]}, {"timeout": 3.5})
    assert (kept.user, kept.project, kept.group, kept.workflow, kept.name) == ("u1", "p1", "g1", "w1", "n1")
    assert (kept.tags, kept.unique, kept.parents) == (("red", "blue"), "welcome:1", (parent,))
    assert (kept.created_at, kept.run_at, kept.expires_at) == (moment(T0), moment(T0 + HOUR), moment(T0 + 2 * HOUR))
    assert kept.state is State.BLOCKED


async def test_a_time_that_has_passed_is_now(store: Store, clock: Clock) -> None:
    """Else it would go before older jobs of an ageing queue, and count as having waited since."""
    late = [new(run_at=at, unique=UniqueKey(key=f"k{at}", on_conflict="replace", latest=HOUR)) for at in (0, T0 - HOUR)]
    await put(store, *late)
    for job in late:
        kept = await get(store, job.id)
        assert (kept.state, kept.run_at) == (State.WAITING, moment(T0))
    await clock.forward(2 * HOUR)
    for job in late:
        await store.enqueue([new(run_at=job.run_at, unique=job.unique)])
        assert (await get(store, job.id)).run_at == moment(T0 + 2 * HOUR)


async def test_a_plain_job_has_the_plain_values(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new())
    job = await get(store, id)
    assert (job.state, job.queue, job.runtime, job.priority, job.max_attempts) == (
        State.WAITING,
        "default",
        "async",
        0,
        3,
    )
    assert (job.args, job.options, job.tags, job.parents, job.attempts) == ({}, {}, (), (), ())
    assert (job.result, job.error, job.reason, job.worker, job.lease, job.unique) == (None,) * 6
    assert (job.user, job.project, job.group, job.workflow, job.name, job.progress_note) == (None,) * 6
    assert (job.attempt, job.rescues, job.progress, job.cancelling) == (0, 0, 0.0, False)
    assert (job.created_at, job.run_at) == (moment(T0), moment(T0))
    assert (job.started_at, job.finished_at, job.expires_at) == (None, None, None)


async def test_no_jobs_is_no_work(store: Store) -> None:
    assert await store.enqueue([]) == []
    assert await store.counts() == []


async def test_a_known_id_is_not_stored_again(store: Store) -> None:
    job = new(args='{"n": 1}', queue="one")
    changed = new(args='{"n": 2}', queue="two")
    repeated = [job, new(), job]
    assert await store.enqueue([job]) == [Enqueued(job.id)]
    answers = await store.enqueue(repeated)
    assert answers == [Enqueued(each.id) for each in repeated]
    assert (await get(store, job.id)).args == {"n": 1}
    assert await counted(store) == {State.WAITING: 2}
    assert await store.enqueue([changed, changed]) == [Enqueued(changed.id)] * 2
    assert await counted(store, "two") == {State.WAITING: 1}


@pytest.mark.parametrize("where", ["active", "completed"])
async def test_a_repeat_does_not_run_the_job_again(store: Store, where: str) -> None:
    job, hand = new(), Hand(store)
    await put(store, job)
    claim = await hand.one()
    if where == "completed":
        await hand.complete(claim)
    assert await store.enqueue([job]) == [Enqueued(job.id)]
    assert await hand.take() == []
    assert await state_of(store, job.id) is State(where)


async def test_a_repeat_of_a_unique_job_answers_its_own_id(store: Store) -> None:
    job = new(unique=UniqueKey(key="k"))
    assert await store.enqueue([job]) == [Enqueued(job.id)]
    assert await store.enqueue([job]) == [Enqueued(job.id)]


async def test_delays_count_from_the_stores_clock(store: Store, clock: Clock) -> None:
    soon, late, now, zero = new(delay=5 * SECOND), new(run_at=T0 + HOUR), new(), new(delay=0)
    await put(store, soon, late, now, zero)
    assert [(await get(store, j.id)).state for j in (soon, late, now, zero)] == [
        State.DELAYED,
        State.DELAYED,
        State.WAITING,
        State.WAITING,
    ]
    assert (await get(store, soon.id)).run_at == moment(T0 + 5 * SECOND)
    assert (await get(store, late.id)).run_at == moment(T0 + HOUR)


async def test_a_time_that_is_not_ahead_means_now(store: Store, clock: Clock) -> None:
    past, exactly, barely = new(run_at=T0 - HOUR), new(run_at=T0), new(run_at=T0 + 1)
    await put(store, past, exactly, barely)
    assert await state_of(store, past.id) is State.WAITING
    assert await state_of(store, exactly.id) is State.WAITING
    assert await state_of(store, barely.id) is State.DELAYED
    claims = await Hand(store).take()
    assert [claim.id for claim in claims] == [past.id, exactly.id]


async def test_expiry_counts_from_the_stores_clock(store: Store, clock: Clock) -> None:
    after, at = new(expires_in=60 * SECOND), new(expires_at=T0 + HOUR)
    await put(store, after, at)
    assert (await get(store, after.id)).expires_at == moment(T0 + 60 * SECOND)
    assert (await get(store, at.id)).expires_at == moment(T0 + HOUR)


async def test_a_large_call_keeps_its_order(store: Store) -> None:
    jobs = [new(args=f'{{"n": {n}}}') for n in range(1_201)]
    ids = await put(store, *jobs)
    assert await counted(store) == {State.WAITING: 1_201}
    claims = await Hand(store).drain()
    assert [claim.id for claim in claims] == ids


async def test_an_unknown_parent_stores_nothing_of_the_call(store: Store) -> None:
    jobs = [new(unique=UniqueKey(key=f"k{n}"), queue="q") for n in range(700)]
    orphan = new(after=(Edge(fresh_id()),), queue="q")
    with pytest.raises(UnknownParent) as refused:
        await store.enqueue([*jobs, orphan])
    assert refused.value.parent == orphan.after[0].parent
    assert await store.counts() == []
    assert await store.job(jobs[0].id) is None
    assert (await Hand(store).ask()).jobs == []
    await put(store, *jobs)  # the keys are free as well


async def test_queues_are_known_by_use(store: Store) -> None:
    await put(store, new(queue="b"), new(queue="a"), new(queue="b"))
    assert [(queue.name, queue.paused) for queue in await store.queues()] == [("a", False), ("b", False)]
    assert await counted(store, "b") == {State.WAITING: 2}


async def test_a_job_deleted_may_come_again_under_its_id(store: Store) -> None:
    job = new()
    await put(store, job)
    await act(store, Action.DELETE, job.id)
    assert await store.enqueue([job]) == [Enqueued(job.id)]
    assert (await Hand(store, lease=LEASE).one()).id == job.id
