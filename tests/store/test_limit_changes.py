"""Limits changed while jobs wait and run: raised, lowered, lifted, shut, forgotten, and keys of whole queues and kinds."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.store.kit import HOUR, T0, Clock, Hand, Place, end, new, promote_all, put
from tests.store.limiting import change, held, ids, limit, rated, under
from windlass.store import Store, open_store
from windlass.values.clock import SECOND
from windlass.values.job import Edge
from windlass.values.limit import LimitChange, Rate
from windlass.values.query import Action, AuditQuery, Command, Where
from windlass.values.queue import QueueChange
from windlass.values.states import Event, State


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
    (entry,) = await store.audit(AuditQuery(target="limit:k"))
    assert (entry.at, entry.actor, entry.target) == (T0 + SECOND, "anna", "limit:k")
    await store.put_limits([LimitChange(key="k", concurrency=3), LimitChange(key="other", concurrency=1)], None)
    assert len(await store.audit(AuditQuery())) == 1


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


# other handles, which may have looked before


@asynccontextmanager
async def elsewhere(place: Place) -> AsyncIterator[Store]:
    """A handle that shares nothing with the first but the store, as another process has; a sibling where there is none."""
    other = open_store(place.url, place.namespace) if place.crosses_processes else place.handle()
    await other.open()
    try:
        yield other
    finally:
        await other.close()


async def test_a_limit_put_here_holds_for_claims_elsewhere(store: Store, place: Place) -> None:
    async with elsewhere(place) as other:
        hand = Hand(other, "w2")
        await put(other, new(queue="mail"))
        assert len(await hand.up_to(5)) == 1
        place.lowered.add("queue:mail")
        await put(other, *(new(queue="mail") for _ in range(5)))
        await change(store, "queue:mail", concurrency=3)
        assert len(await hand.up_to(5)) == 2
        await put(other, *(new(queue="mail") for _ in range(5)), new(queue="other"))
        assert [claim.queue for claim in await hand.up_to(5)] == ["other"]
        assert await held(store, "queue:mail") == [3]
        await change(store, "queue:mail", drop=True)
        assert len(await hand.up_to(20)) == 8
        await put(other, *(new(queue="mail") for _ in range(5)))
        assert len(await hand.up_to(20)) == 5


async def test_an_order_put_here_holds_for_jobs_from_elsewhere(store: Store, place: Place) -> None:
    async with elsewhere(place) as other:
        await put(other, new(group="a"))
        hand = Hand(other, "w2")
        assert len(await hand.up_to(1)) == 1
        await store.put_queue("default", QueueChange(order="fair"), "ops")
        await put(other, *(new(group="a") for _ in range(6)), *(new(group="b") for _ in range(2)))
        claims = [claim for _ in range(4) for claim in await hand.up_to(1)]
        assert sorted(claim.group or "" for claim in claims) == ["a", "a", "b", "b"]
        await store.put_queue("default", QueueChange(order="strict"), "ops")
        made = await put(other, new(group="c"), new(group="b", priority=5))
        assert (await hand.up_to(1))[0].id == made[1]


async def test_a_limit_that_an_enqueue_makes_elsewhere(store: Store, place: Place) -> None:
    async with elsewhere(place) as other:
        await put(store, new())
        assert len(await Hand(store).up_to(1)) == 1
        await put(other, *(under("k", n=2) for _ in range(3)), new())
        assert len(await Hand(store).up_to(5)) == 3
        await put(other, under("k", n=3))
        assert len(await Hand(store).up_to(5)) == 1


async def test_a_key_put_by_a_handle_that_never_looked(store: Store, place: Place) -> None:
    await put(store, *(new(queue="mail") for _ in range(700)))
    assert len(await Hand(store).up_to(2)) == 2
    place.lowered.add("queue:mail")
    async with elsewhere(place) as other:
        await change(other, "queue:mail", concurrency=5)
    assert len(await Hand(store).up_to(50)) == 3
    hand = Hand(store)
    await put(store, new(queue="mail", priority=9))
    assert await hand.up_to(5) == []


# many at once


async def test_a_thousand_cancelled_out_of_their_lines(store: Store) -> None:
    await change(store, "queue:mail", concurrency=2)
    await put(store, *(under(f"user:{n % 7}", n=50, queue="mail") for n in range(1_000)))
    hand = Hand(store)
    running = await hand.up_to(9)
    done = await store.command(Command(action=Action.CANCEL), Where(states=(State.WAITING,)), 1_000, "ops")
    while done.more:
        done = await store.command(Command(action=Action.CANCEL), Where(states=(State.WAITING,)), 1_000, "ops")
    await hand.complete(*running)
    assert await hand.up_to(9) == []
    made = await put(store, *(under(f"user:{n % 7}", n=50, queue="mail") for n in range(9)))
    assert ids(await hand.up_to(9)) == made[:2]


async def test_expired_ones_at_the_head_of_a_line(store: Store, clock: Clock) -> None:
    await put(store, *(under("k", expires_in=SECOND) for _ in range(700)))
    (alive,) = await put(store, under("k"))
    await clock.forward(HOUR)
    assert ids(await Hand(store).up_to(3)) == [alive]


async def test_a_thousand_promoted_into_their_lines(store: Store, clock: Clock) -> None:
    await put(store, *(under(f"user:{n % 9}", "k", n=3, delay=SECOND) for n in range(1_100)))
    await clock.forward(SECOND)
    await promote_all(store)
    hand = Hand(store)
    assert len(await hand.up_to(9)) == 3
    assert (await standing_line(store)) >= 1_097 // 9 - 3


async def standing_line(store: Store) -> int:
    """How many stand before the last of its line."""
    page = await store.jobs(Where(states=(State.WAITING,)), None, 1)
    standing = await store.standing(page.items[0].id)
    assert standing is not None
    assert standing.line is not None
    return standing.line


async def test_a_key_put_over_lines_of_every_sort(store: Store, clock: Clock) -> None:
    """A fair queue with limited, grouped, plain, parked and delayed jobs gets a limit of its own."""
    await put(store, *(new() for _ in range(3)))
    await store.put_queue("default", QueueChange(order="fair"), "ops")
    await put(store, *(new(group="a") for _ in range(4)), *(under("k", n=2, group="b") for _ in range(4)))
    await put(store, *(new(kind="gone") for _ in range(2)), new(delay=HOUR), new(runtime="thread"))
    hand = Hand(store)
    parked = [claim for claim in await hand.up_to(20) if claim.kind == "gone"]
    running = [job.id for job in (await store.jobs(Where(states=(State.ACTIVE,)), None, 50)).items]
    assert len(running) == 3 + 4 + 2 + 2
    await hand.finish(*(end(claim, Event.RELEASE, park="kind:gone") for claim in parked))
    assert await hand.up_to(20) == []
    await store.put_limits([LimitChange(key="queue:default", concurrency=50)], None)
    assert await held(store, "queue:default", "k") == [9, 2]
    await clock.forward(HOUR)
    await promote_all(store)
    await store.unpark("kind:gone")
    assert len(await hand.up_to(20)) == 3
    assert len(await hand.up_to(20, "thread")) == 1
    assert await held(store, "queue:default", "k") == [13, 2]


async def test_a_limit_dropped_while_a_timer_runs(store: Store, clock: Clock) -> None:
    await put(store, *(rated("k", 1, HOUR) for _ in range(3)))
    hand = Hand(store)
    assert len(await hand.up_to(5)) == 1
    await change(store, "k", drop=True)
    assert len(await hand.up_to(5)) == 2
    assert (await hand.ask(5)).wait is None
    await clock.forward(2 * HOUR)
    assert await hand.up_to(5) == []
