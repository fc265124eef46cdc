"""Jobs whose result is known already: they are born completed and never run."""

import pytest

from tests.store.kit import DAY, HOUR, T0, Clock, Hand, all_ids, counted, end, get, new, put, state_of, states_of
from tests.store.test_text import JSON_TEXTS
from windlass.store import Store
from windlass.values.clock import moment
from windlass.values.job import Edge, Enqueued, UniqueKey
from windlass.values.limit import Bound
from windlass.values.query import Action, Command, Retention, Where
from windlass.values.states import Event, State


async def test_it_is_born_completed(store: Store, clock: Clock) -> None:
    job = new(answer='{"sum": 7}', tags=("t",), user="u", args='{"a": 3}')
    assert await store.enqueue([job]) == [Enqueued(job.id)]
    found = await get(store, job.id)
    assert (found.state, found.result, found.args, found.tags, found.user) == (
        State.COMPLETED,
        {"sum": 7},
        {"a": 3},
        ("t",),
        "u",
    )
    assert (found.attempt, found.attempts, found.error, found.reason, found.worker) == (0, (), None, None, None)
    assert (found.created_at, found.finished_at) == (moment(T0), moment(T0))
    assert await counted(store) == {State.COMPLETED: 1}
    assert await Hand(store).take() == []
    assert set(await store.outcomes([job.id])) == {job.id}
    assert await all_ids(store, Where(states=(State.COMPLETED,), tags=("t",))) == [job.id]


@pytest.mark.parametrize("fields", [{"delay": HOUR}, {"expires_in": HOUR}, {"limits": (Bound("k", 1),)}], ids=str)
async def test_nothing_holds_it_back(store: Store, clock: Clock, fields: dict) -> None:
    job = new(answer="1", **fields)
    await put(store, job)
    assert await state_of(store, job.id) is State.COMPLETED
    await clock.forward(2 * HOUR)
    assert (await store.promote(500)).moved == 0
    assert await state_of(store, job.id) is State.COMPLETED
    assert all(limit.held == 0 for limit in await store.limits())


@pytest.mark.parametrize("name", JSON_TEXTS)
async def test_an_answer_is_read_like_a_result(store: Store, name: str) -> None:
    known, ran = new(answer=JSON_TEXTS[name]), new()
    await put(store, known, ran)
    hand = Hand(store)
    await hand.complete(await hand.one(), result=JSON_TEXTS[name])
    assert repr((await get(store, known.id)).result) == repr((await get(store, ran.id)).result)


async def test_again_with_the_same_id(store: Store) -> None:
    job = new(answer="1")
    await put(store, job)
    assert await store.enqueue([job]) == [Enqueued(job.id)]
    assert await counted(store) == {State.COMPLETED: 1}


async def test_children_do_not_wait_for_it(store: Store) -> None:
    known, asked = new(answer="1"), new()
    both, alone = new(after=(Edge(known.id), Edge(asked.id))), new(after=(Edge(known.id),))
    await put(store, known, asked, both, alone)
    assert await states_of(store, both.id, alone.id) == [State.BLOCKED, State.WAITING]
    hand = Hand(store)
    await hand.complete(next(claim for claim in await hand.take() if claim.id == asked.id))
    assert await state_of(store, both.id) is State.WAITING
    (later,) = await put(store, new(after=(Edge(known.id),)))
    assert await state_of(store, later) is State.WAITING


async def test_it_holds_no_unique_key(store: Store) -> None:
    key = UniqueKey(key="k")
    await put(store, new(unique=key, answer="1"))
    (second,) = await put(store, new(unique=key))
    third = new(unique=key, answer="2")
    assert await store.enqueue([third]) == [Enqueued(second, created=False)], (
        "who asks while it runs gets the one that runs"
    )
    assert await store.job(third.id) is None
    hand = Hand(store)
    await hand.complete(await hand.one())
    await put(store, new(unique=key))


async def test_it_can_be_made_to_run_after_all(store: Store) -> None:
    (id,) = await put(store, new(answer="1"))
    answer = await store.command(Command(action=Action.REQUEUE), Where(ids=(id,)), 10, "ops")
    assert answer.done == (id,)
    hand = Hand(store)
    await hand.complete(await hand.one(), result="2")
    assert (await get(store, id)).result == 2


async def test_it_is_pruned_by_its_age(store: Store, clock: Clock) -> None:
    await put(store, *(new(answer="1") for _ in range(3)))
    await clock.forward(DAY - 1)
    assert await store.prune(Retention(), 10) == 0
    await clock.forward(1)
    assert await store.prune(Retention(), 10) == 3
    assert await store.counts() == []


async def test_many_among_others(store: Store) -> None:
    jobs = [new(answer="1" if n % 3 else None) for n in range(900)]
    await put(store, *jobs)
    assert await counted(store) == {State.COMPLETED: 600, State.WAITING: 300}
    assert [claim.id for claim in await Hand(store).drain()] == [job.id for job in jobs if job.answer is None]


async def test_as_a_follow_up(store: Store) -> None:
    await put(store, new())
    hand = Hand(store)
    claim = await hand.one()
    known = new(answer="1")
    child = new(after=(Edge(known.id),))
    await hand.finish(end(claim, Event.COMPLETE, follow=(known, child)))
    assert await states_of(store, known.id, child.id) == [State.COMPLETED, State.WAITING]
