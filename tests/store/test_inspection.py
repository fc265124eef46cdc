"""Asking: filters, pages, counts, outcomes."""

from collections.abc import Callable

import pytest

from tests.store.kit import (
    HOUR,
    T0,
    Clock,
    Hand,
    act,
    all_ids,
    counted,
    end,
    fresh_id,
    get,
    new,
    put,
)
from windlass.store import Store
from windlass.values.clock import SECOND
from windlass.values.job import Edge, NewJob, UniqueKey
from windlass.values.query import Action, Where
from windlass.values.states import Event, State

Filter = tuple[Where, Callable[[NewJob], bool]]

FILTERS: dict[str, Filter] = {
    "everything": (Where(), lambda job: True),
    "queue": (Where(queues=("a",)), lambda job: job.queue == "a"),
    "queues": (Where(queues=("a", "c", "unused")), lambda job: job.queue in "ac"),
    "kind": (Where(kinds=("mail.send",)), lambda job: job.kind == "mail.send"),
    "kinds by prefix": (Where(kinds=("mail*",)), lambda job: job.kind.startswith("mail")),
    "a prefix is literal": (Where(kinds=("m_il*",)), lambda job: job.kind.startswith("m_il")),
    "kind or prefix": (Where(kinds=("other", "mail.s*")), lambda job: job.kind in ("other", "mail.send")),
    "all kinds": (Where(kinds=("*",)), lambda job: True),
    "user": (Where(user="u1"), lambda job: job.user == "u1"),
    "project": (Where(project="p1"), lambda job: job.project == "p1"),
    "group": (Where(group="g1"), lambda job: job.group == "g1"),
    "workflow": (Where(workflow="w1"), lambda job: job.workflow == "w1"),
    "unique": (Where(unique="k3"), lambda job: job.unique is not None and job.unique.key == "k3"),
    "tag": (Where(tags=("red",)), lambda job: "red" in job.tags),
    "either tag": (Where(tags=("red", "blue")), lambda job: bool({"red", "blue"} & {*job.tags})),
    "no part of a tag": (Where(tags=("re",)), lambda job: False),
    "waiting": (Where(states=(State.WAITING,)), lambda job: job.delay is None),
    "delayed": (Where(states=(State.DELAYED, State.FAILED)), lambda job: job.delay is not None),
    "several fields": (
        Where(queues=("a",), kinds=("mail*",), states=(State.WAITING,)),
        lambda job: job.queue == "a" and job.kind.startswith("mail") and job.delay is None,
    ),
    "nobody": (Where(user="nobody"), lambda job: False),
}


def population() -> list[NewJob]:
    kinds = ["mail.send", "mail.open", "m_il.x", "other"]
    return [
        new(
            kinds[n % 4],
            queue="abc"[n % 3],
            user=f"u{n % 5}",
            project=f"p{n % 2}",
            group=f"g{n % 7}",
            workflow=f"w{n % 3}",
            tags=[(), ("red",), ("red", "blue"), ("blue", "reddish")][n % 4],
            unique=UniqueKey(key=f"k{n}") if n % 2 else None,
            delay=HOUR if n % 6 == 5 else None,
        )
        for n in range(60)
    ]


@pytest.mark.parametrize("name", FILTERS)
async def test_filters(store: Store, name: str) -> None:
    jobs = population()
    await put(store, *jobs)
    where, match = FILTERS[name]
    expected = [job.id for job in jobs if match(job)][::-1]
    assert await all_ids(store, where, 7) == expected, "newest first, each once"
    assert expected or name in ("nobody", "no part of a tag")


async def test_by_ids(store: Store) -> None:
    jobs = population()
    await put(store, *jobs)
    some = (jobs[3].id, jobs[9].id, fresh_id(), jobs[4].id)
    assert await all_ids(store, Where(ids=some)) == [jobs[9].id, jobs[4].id, jobs[3].id]
    assert await all_ids(store, Where(ids=some, kinds=(jobs[9].kind,))) == [jobs[9].id]


@pytest.mark.parametrize("state", list(State), ids=str)
async def test_by_each_state(store: Store, state: State) -> None:
    expected = await _one_in_each_state(store)
    assert await all_ids(store, Where(states=(state,))) == expected[state]
    everything = sorted((id for ids in expected.values() for id in ids), reverse=True)
    assert await all_ids(store, Where()) == everything
    assert await counted(store) == {state: len(ids) for state, ids in expected.items()}


async def _one_in_each_state(store: Store) -> dict[State, list[str]]:
    hand = Hand(store)
    made: dict[State, list[str]] = {}
    for state, event in (
        (State.COMPLETED, Event.COMPLETE),
        (State.FAILED, Event.FAIL),
        (State.CANCELLED, Event.ABORT),
        (State.RETRYING, Event.RETRY),
    ):
        made[state] = await put(store, new())
        await hand.finish(end(await hand.one(), event, delay=HOUR))
    made[State.ACTIVE] = await put(store, new())
    await hand.one()
    made[State.WAITING] = await put(store, new())
    made[State.DELAYED] = await put(store, new(delay=HOUR))
    made[State.BLOCKED] = await put(store, new(after=(Edge(made[State.WAITING][0]),)))
    return made


async def test_by_time(store: Store, clock: Clock) -> None:
    hand = Hand(store)
    ids: list[str] = []
    for _ in range(4):
        ids += await put(store, new())
        await hand.complete(await hand.one())
        await clock.forward(SECOND)
    assert await all_ids(store, Where(created_from=T0 + SECOND)) == [ids[3], ids[2], ids[1]]
    assert await all_ids(store, Where(created_to=T0 + SECOND)) == [ids[0]], "to is exclusive"
    assert await all_ids(store, Where(created_from=T0 + SECOND, created_to=T0 + 3 * SECOND)) == [ids[2], ids[1]]
    assert await all_ids(store, Where(finished_from=T0 + 2 * SECOND)) == [ids[3], ids[2]]
    assert await all_ids(store, Where(finished_to=T0 + SECOND)) == [ids[0]]


async def test_pages_are_complete_and_steady_while_jobs_come(store: Store) -> None:
    ids = await put(store, *(new() for _ in range(95)))
    seen: list[str] = []
    cursor: str | None = None
    pages = 0
    while True:
        page = await store.jobs(Where(queues=("default",)), cursor, 10)
        assert len(page.items) <= 10
        seen += [job.id for job in page.items]
        pages += 1
        await put(store, new(), new())
        if page.next is None:
            break
        cursor = page.next
    assert seen == ids[::-1]
    assert pages >= 10


async def test_pages_are_steady_while_jobs_go(store: Store) -> None:
    ids = await put(store, *(new() for _ in range(30)))
    first = await store.jobs(Where(), None, 10)
    await act(store, Action.DELETE, *(job.id for job in first.items), ids[5])
    seen = [job.id for job in first.items]
    cursor = first.next
    while cursor is not None:
        page = await store.jobs(Where(), cursor, 10)
        seen += [job.id for job in page.items]
        cursor = page.next
    assert seen == [id for id in ids[::-1] if id != ids[5]]


async def test_a_page_has_its_limits(store: Store) -> None:
    await put(store, *(new() for _ in range(1_050)))
    assert len((await store.jobs(Where())).items) == 50
    assert len((await store.jobs(Where(), None, 1)).items) == 1
    assert len((await store.jobs(Where(), None, 100_000)).items) <= 1_000
    assert len(await all_ids(store, Where(), 1_000)) == 1_050


async def test_an_exact_last_page_is_the_end(store: Store) -> None:
    ids = await put(store, *(new() for _ in range(20)))
    assert len(await all_ids(store, Where(), 10)) == len(ids)
    assert (await store.jobs(Where(user="nobody"), None, 10)).items == []


async def test_counts_are_per_queue_and_leave_zeros_out(store: Store) -> None:
    assert await store.counts() == []
    await put(store, new(queue="a"), new(queue="a"), new(queue="b", delay=HOUR))
    hand = Hand(store)
    await hand.complete(await hand.one())
    found = {(count.queue, count.state): count.n for count in await store.counts()}
    assert found == {("a", State.WAITING): 1, ("a", State.COMPLETED): 1, ("b", State.DELAYED): 1}


async def test_an_unknown_id_is_none(store: Store) -> None:
    assert await store.job(fresh_id()) is None
    assert await store.job("not an id") is None
    assert await store.job("") is None
    assert await store.outcomes(["not an id"]) == {}
    assert await store.log("not an id") == []


async def test_a_second_handle_sees_the_same(store: Store, make_store) -> None:
    other = await make_store()
    (id,) = await put(store, new())
    assert (await get(other, id)) == (await get(store, id))
    assert await other.now() <= await store.now()


async def test_held_time_holds_for_every_handle(store: Store, clock: Clock, make_store) -> None:
    other = await make_store()
    assert await other.now() == T0
    await other.hold_time(T0 + HOUR)
    assert await store.now() == T0 + HOUR
    (id,) = await put(store, new(delay=SECOND))
    assert (await get(store, id)).state is State.DELAYED
    await store.hold_time(None)
    assert await other.now() != T0 + HOUR


async def test_health_tells_the_facts(store: Store) -> None:
    await put(store, new())
    facts = await store.health()
    assert {"engine", "version", "durability", "size", "warnings"} <= set(facts)
    assert isinstance(facts["size"], int)
    assert all(isinstance(warning, str) for warning in facts["warnings"])


async def test_the_address_tells_no_password(store: Store) -> None:
    assert "://" in store.url
    assert (await store.schema())[0] == (await store.schema())[1]
