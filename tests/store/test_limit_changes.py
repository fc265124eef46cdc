"""Limits changed while jobs wait and run: raised, lowered, lifted, shut, forgotten, and keys of whole queues and kinds."""

import pytest

from tests.store.kit import HOUR, T0, Clock, Hand, Place, end, new, put
from tests.store.limiting import change, held, ids, limit, under
from windlass.clock import SECOND
from windlass.job import Edge
from windlass.limit import LimitChange, Rate
from windlass.states import Event
from windlass.store import Store


async def test_raised(store: Store) -> None:
    await put(store, *(under("k") for _ in range(9)))
    hand = Hand(store)
    assert len(await hand.up_to(9)) == 1
    await change(store, "k", concurrency=4)
    assert len(await hand.up_to(9)) == 3
    assert await held(store, "k") == [4]


async def test_raised_while_several_lines_wait(store: Store) -> None:
    await put(store, *(under("k", f"user:{n}") for n in range(9)))
    hand = Hand(store)
    assert len(await hand.up_to(9)) == 1
    await change(store, "k", concurrency=4)
    assert len(await hand.up_to(9)) == 3


async def test_lowered(store: Store, place: Place) -> None:
    """Jobs that run already are not stopped; nothing more starts until they are below the limit."""
    place.lowered.add("k")
    await put(store, *(under("k", n=3) for _ in range(6)))
    hand = Hand(store)
    running = await hand.up_to(9)
    assert len(running) == 3
    await change(store, "k", concurrency=1)
    for claim in running:
        assert await hand.up_to(9) == []
        await hand.complete(claim)
    for _ in range(3):
        (claim,) = await hand.up_to(9)
        await hand.complete(claim)


async def test_lifted(store: Store) -> None:
    await put(store, *(under("k") for _ in range(9)))
    hand = Hand(store)
    assert len(await hand.up_to(9)) == 1
    await change(store, "k", concurrency=None)
    assert len(await hand.up_to(9)) == 8
    info = await limit(store, "k")
    assert (info.concurrency, info.held) == (None, 9)


async def test_a_change_leaves_what_it_does_not_name(store: Store) -> None:
    await change(store, "k", concurrency=3, rate=Rate(5, HOUR), pinned=True)
    await change(store, "k", concurrency=4)
    info = await limit(store, "k")
    assert (info.concurrency, info.rate, info.pinned) == (4, Rate(5, HOUR), True)
    await change(store, "k", rate=None)
    info = await limit(store, "k")
    assert (info.concurrency, info.rate, info.pinned) == (4, None, True)


async def test_a_rate_put_on_a_key_of_jobs_that_wait(store: Store, clock: Clock) -> None:
    await put(store, *(under("k", n=50) for _ in range(9)))
    await change(store, "k", rate=Rate(2, HOUR), concurrency=None)
    hand = Hand(store)
    assert len(await hand.up_to(9)) == 2
    await change(store, "k", rate=None)
    assert len(await hand.up_to(9)) == 7


async def test_forgotten(store: Store, place: Place) -> None:
    made = await put(store, *(under("k") for _ in range(5)))
    hand = Hand(store)
    (first,) = await hand.up_to(9)
    await change(store, "k", drop=True)
    assert await store.limits(["k"]) == []
    assert ids(await hand.up_to(9)) == made[1:]
    await hand.complete(first)
    assert await store.limits() == []


async def test_forgotten_until_one_enters_the_line_again(store: Store, place: Place) -> None:
    await put(store, *(under("k") for _ in range(3)))
    hand = Hand(store)
    (claim,) = await hand.up_to(9)
    await change(store, "k", drop=True)
    await hand.finish(end(claim, Event.RELEASE))
    info = await limit(store, "k")
    assert (info.concurrency, info.held) == (1, 0)


async def test_forgetting_what_is_not_there(store: Store) -> None:
    await change(store, "nothing", drop=True)
    assert await store.limits() == []


async def test_several_changes_of_one_call(store: Store) -> None:
    await store.put_limits([LimitChange(key=f"k{n}", concurrency=n + 1) for n in range(5)], None)
    assert [(info.key, info.concurrency) for info in await store.limits()] == [(f"k{n}", n + 1) for n in range(5)]
    assert [info.key for info in await store.limits(limit=2)] == ["k0", "k1"]
    assert [info.key for info in await store.limits(["k3", "none", "k1"])] == ["k1", "k3"]
    assert await store.limits([]) == []


async def test_a_change_is_audited_unless_the_house_makes_it(store: Store, clock: Clock) -> None:
    await clock.forward(SECOND)
    await store.put_limits([LimitChange(key="k", concurrency=2)], "anna")
    (entry,) = await store.audit("limit:k")
    assert (entry.at, entry.actor, entry.target) == (T0 + SECOND, "anna", "limit:k")
    await store.put_limits([LimitChange(key="k", concurrency=3), LimitChange(key="other", concurrency=1)], None)
    assert len(await store.audit()) == 1


# keys of whole queues and kinds

WHOLE = [("queue:mail", {"queue": "mail"}), ("kind:send", {"kind": "send"})]


@pytest.mark.parametrize(("key", "fields"), WHOLE, ids=["queue", "kind"])
async def test_a_limit_there_before_the_jobs(store: Store, key: str, fields: dict[str, str]) -> None:
    await change(store, key, concurrency=2)
    await put(store, *(new(**fields) for _ in range(5)), new(queue="other", kind="other"))
    hand = Hand(store)
    assert len(await hand.up_to(9)) == 3
    assert await held(store, key) == [2]


@pytest.mark.parametrize(("key", "fields"), WHOLE, ids=["queue", "kind"])
async def test_a_limit_that_comes_while_jobs_wait(store: Store, key: str, fields: dict[str, str]) -> None:
    jobs = [under("k", n=1_000, **fields) if n % 2 else new(**fields, priority=n % 3) for n in range(1_200)]
    await put(store, *jobs)
    await change(store, key, concurrency=3)
    hand = Hand(store)
    running = await hand.up_to(50)
    assert len(running) == 3
    assert await held(store, key) == [3]
    await hand.complete(*running)
    assert len(await hand.up_to(50)) == 3


@pytest.mark.parametrize(("key", "fields"), WHOLE, ids=["queue", "kind"])
async def test_a_limit_that_comes_while_jobs_run(store: Store, place: Place, key: str, fields: dict[str, str]) -> None:
    """Nothing more starts until those that run are below it."""
    place.lowered.add(key)
    await put(store, *(new(**fields) for _ in range(8)))
    hand = Hand(store)
    running = await hand.up_to(4)
    await change(store, key, concurrency=2)
    assert await held(store, key) == [4]
    for claim in running[:2]:
        assert await hand.up_to(9) == []
        await hand.complete(claim)
    assert await hand.up_to(9) == []
    await hand.complete(running[2])
    assert len(await hand.up_to(9)) == 1
    await hand.finish(end(running[3], Event.RELEASE))
    (claim,) = await hand.up_to(9)
    assert claim.id == running[3].id


@pytest.mark.parametrize(("key", "fields"), WHOLE, ids=["queue", "kind"])
async def test_lifted_and_forgotten(store: Store, key: str, fields: dict[str, str]) -> None:
    made = await put(store, *(new(**fields) for _ in range(9)))
    await change(store, key, concurrency=1)
    hand = Hand(store)
    taken = ids(await hand.up_to(9))
    await change(store, key, concurrency=None)
    taken += ids(await hand.up_to(2))
    await change(store, key, concurrency=4)
    taken += ids(await hand.up_to(9))
    assert len(taken) == 4
    await change(store, key, drop=True)
    taken += ids(await hand.up_to(9))
    assert taken == made
    await put(store, new(**fields))
    assert len(await hand.up_to(9)) == 1
    assert await store.limits([key]) == []


async def test_forgotten_and_put_again(store: Store) -> None:
    """The jobs that waited through all of it are under the new limit."""
    await put(store, *(new(queue="mail") for _ in range(9)))
    hand = Hand(store)
    await change(store, "queue:mail", concurrency=1)
    (claim,) = await hand.up_to(9)
    await hand.complete(claim)
    await change(store, "queue:mail", drop=True)
    await change(store, "queue:mail", concurrency=2)
    assert len(await hand.up_to(9)) == 2
    assert await held(store, "queue:mail") == [2]


async def test_a_queue_and_a_kind_and_a_key(store: Store) -> None:
    await change(store, "queue:mail", concurrency=5)
    await change(store, "kind:send", concurrency=3)
    await put(store, *(under("user:1", n=2, queue="mail", kind="send") for _ in range(4)))
    await put(store, *(under("user:2", n=2, queue="mail", kind="send") for _ in range(4)))
    await put(store, *(new(queue="mail", kind="other") for _ in range(4)))
    hand = Hand(store)
    claims = await hand.up_to(20)
    assert await held(store, "queue:mail", "kind:send", "user:1", "user:2") == [5, 3, 2, 1]
    await hand.complete(*claims)
    assert await held(store, "queue:mail", "kind:send", "user:1", "user:2") == [0, 0, 0, 0]
    assert len(await hand.up_to(20)) == 5


async def test_jobs_that_become_ready_later_know_the_key(store: Store) -> None:
    parent = new()
    await put(store, parent, *(new(queue="mail", after=(Edge(parent.id),)) for _ in range(4)))
    await change(store, "queue:mail", concurrency=1)
    hand = Hand(store)
    await hand.complete(await hand.one())
    assert len(await hand.up_to(9)) == 1


async def test_names_that_begin_alike(store: Store) -> None:
    await change(store, "queue:mail", concurrency=1)
    await change(store, "kind:mail", concurrency=50)
    await put(store, *(new(queue=queue) for queue in ("mail", "mail", "mail2", "mai", "mail:x") for _ in range(2)))
    assert len(await Hand(store).up_to(20)) == 1 + 2 + 2 + 2
