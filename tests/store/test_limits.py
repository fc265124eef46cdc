"""Concurrency limits: never more than allowed, nobody behind a full key waits for it, and the order stays."""

import pytest

from tests.store.conftest import Join
from tests.store.kit import HOUR, Clock, Hand, Place, act, counted, end, new, promote_all, put, states_of
from tests.store.limiting import change, held, ids, limit, under
from tests.waiting import until
from windlass.store import Store
from windlass.values.clock import SECOND
from windlass.values.job import Edge
from windlass.values.limit import Bound
from windlass.values.outcome import Verdict
from windlass.values.query import Action
from windlass.values.queue import QueueChange
from windlass.values.schedule import ScheduleRow
from windlass.values.states import Event, State


async def test_no_more_than_the_limit_at_once(store: Store) -> None:
    made = await put(store, *(under("k", n=2) for _ in range(7)))
    hand = Hand(store)
    running = await hand.up_to(10)
    assert ids(running) == made[:2]
    assert await held(store, "k") == [2]
    done: list[str] = []
    while running:
        assert await hand.up_to(10) == []
        first = running.pop(0)
        await hand.complete(first)
        done.append(first.id)
        running += await hand.up_to(10)
        assert await held(store, "k") == [len(running)]
    assert done == made, "in the order they came"


async def test_claims_say_that_a_job_is_limited(store: Store) -> None:
    limited, plain = await put(store, under("k"), new())
    claims = {claim.id: claim for claim in await Hand(store).up_to(2)}
    assert (claims[limited].limited, claims[limited].rated) == (True, False)
    assert (claims[plain].limited, claims[plain].rated) == (False, False)


async def test_a_limit_is_of_all_workers(store: Store) -> None:
    await put(store, *(under("k", n=3) for _ in range(9)))
    hands = [Hand(store, f"w{n}") for n in range(4)]
    taken = [claim for hand in hands for claim in await hand.up_to(2)]
    assert len(taken) == 3


async def test_a_key_is_one_over_queues_kinds_and_runtimes(store: Store) -> None:
    await put(
        store,
        under("user:1", queue="a", kind="x"),
        under("user:1", queue="b", kind="y"),
        under("user:1", queue="a", kind="z", runtime="thread"),
        under("user:2", queue="b", kind="x"),
    )
    hand = Hand(store)
    seen = []
    for _ in range(3):
        claims = (await hand.ask({"async": 5, "thread": 5})).jobs
        while (claimed := await hand.ask({"async": 5, "thread": 5})).more:
            claims += claimed.jobs
        seen.append(len(claims))
        await hand.complete(*claims)
    assert seen == [2, 1, 1]


async def test_a_job_needs_room_in_all_its_keys(store: Store) -> None:
    a, both, b = await put(store, under("a"), under("a", "b"), under("b"))
    hand = Hand(store)
    claims = {claim.id: claim for claim in await hand.up_to(5)}
    assert set(claims) == {a, b}
    assert await held(store, "a", "b") == [1, 1]
    await hand.complete(claims[a])
    assert await hand.up_to(5) == []
    assert await held(store, "a", "b") == [0, 1], "what waits holds nothing"
    await hand.complete(claims[b])
    (claim,) = await hand.up_to(5)
    assert claim.id == both
    assert await held(store, "a", "b") == [1, 1]
    await hand.complete(claim)
    assert await held(store, "a", "b") == [0, 0]


async def test_the_order_in_which_a_job_names_its_keys_means_nothing(store: Store) -> None:
    first, second, third = await put(store, under("a", "b"), under("b", "a"), under("a", "b"))
    hand = Hand(store)
    for id in (first, second, third):
        (claim,) = await hand.up_to(5)
        assert claim.id == id
        await hand.complete(claim)


AWKWARD = [
    "a,b",
    "c",
    "a",
    "b,c",
    "a b",
    "a\nb",
    "{a}",
    "a:b",
    "%s",
    "'a'",
    '"a"',
    "a\\b",
    "é",
    "e\u0301",
    "👍",
    "A",
    "[1]",
]


async def test_keys_may_hold_any_text(store: Store) -> None:
    """No two of these are one key, alone or in pairs."""
    alone = await put(store, *(under(key) for key in AWKWARD), *(under(key) for key in AWKWARD))
    hand = Hand(store)
    claims = await hand.up_to(100)
    assert ids(claims) == alone[: len(AWKWARD)]
    assert sorted(info.key for info in await store.limits()) == sorted(AWKWARD)
    assert await held(store, *AWKWARD) == [1] * len(AWKWARD)
    await hand.complete(*claims)
    await hand.complete(*await hand.up_to(100))
    pairs = await put(store, under("a,b", "c"), under("a", "b,c"), under("a", "c"), under("b", "a,b"))
    assert ids(await hand.up_to(100)) == pairs[:2]


async def test_a_full_key_delays_nobody_else(store: Store) -> None:
    await put(store, *(under("full", priority=9) for _ in range(1_000)))
    hand = Hand(store)
    await hand.up_to(5)
    (plain,) = await put(store, new())
    assert ids((await hand.ask(1)).jobs or (await hand.ask(1)).jobs) == [plain]
    (free,) = await put(store, under("free"))
    assert ids(await hand.up_to(5)) == [free]


async def test_many_full_keys_delay_nobody_else(store: Store) -> None:
    """More lines than a claim looks at in one go: it says that there is more to do."""
    await put(store, *(under(f"user:{n}", priority=9) for _ in range(3) for n in range(300)))
    hand = Hand(store)
    running = await hand.drain(200)
    assert len(running) == 300
    plain, last = await put(store, new(), under("one more"))
    assert ids(await hand.up_to(5)) == [plain, last]
    await hand.complete(*running[:200])
    await hand.complete(*running[200:])
    again = await hand.drain(200)
    assert len(again) == 300
    assert len({claim.id for claim in again} & {claim.id for claim in running}) == 0


async def test_one_order_over_plain_and_limited_lines(store: Store) -> None:
    jobs = [
        under(f"k{n % 3}", n=50, priority=n % 4, queue="ab"[n % 2]) if n % 2 else new(priority=n % 4, queue="ab"[n % 2])
        for n in range(40)
    ]
    await put(store, *jobs)
    expected = [jobs[n].id for n in sorted(range(40), key=lambda n: (-jobs[n].priority, n))]
    hand = Hand(store)
    assert ids([*await hand.up_to(1), *await hand.up_to(9), *await hand.up_to(40)]) == expected


async def test_a_freed_slot_goes_to_the_most_urgent(store: Store) -> None:
    """Lines that wait for one key, woken by age of waiting, would turn priorities round."""
    await put(store, under("k", "queue-of-low", n=1))
    hand = Hand(store)
    (running,) = await hand.up_to(5)
    low, high, middle = await put(
        store, under("k", "x", priority=-5), under("k", "y", priority=5), under("k", "z", priority=0)
    )
    assert await hand.up_to(5) == []
    for expected in (high, middle, low):
        await hand.complete(running)
        (running,) = await hand.up_to(5)
        assert running.id == expected


async def test_a_late_urgent_job_of_a_waiting_line_goes_first(store: Store) -> None:
    await put(store, under("k"))
    hand = Hand(store)
    (running,) = await hand.up_to(5)
    (other,) = await put(store, under("k", "x", priority=1))
    (late,) = await put(store, under("k", priority=0))
    assert await hand.up_to(5) == []
    (urgent,) = await put(store, under("k", priority=5))
    for expected in (urgent, other, late):
        await hand.complete(running)
        (running,) = await hand.up_to(5)
        assert running.id == expected


async def test_no_more_limited_jobs_than_could_start_now(store: Store) -> None:
    await put(store, *(under("k", n=50, priority=1) for _ in range(10)), *(new() for _ in range(10)))
    hand = Hand(store)
    claims = (await hand.ask(8, idle=3)).jobs
    assert [claim.limited for claim in claims].count(True) == 3
    assert len(claims) == 8, "the other slots are for jobs that hold nothing"
    assert await held(store, "k") == [3]
    claims = (await hand.ask(4, idle=0)).jobs
    assert [claim.limited for claim in claims] == [False] * 4
    claims = (await hand.ask(20)).jobs
    assert [claim.limited for claim in claims].count(True) == 7


async def test_a_repeated_claim_holds_once(store: Store) -> None:
    await put(store, *(under("k", n=2) for _ in range(4)))
    hand = Hand(store)
    claims = (await hand.ask(5)).jobs
    assert len(claims) == 2
    again = (await hand.ask(5, again=True)).jobs
    assert [(claim.id, claim.limited) for claim in again] == [(claim.id, True) for claim in claims]
    assert await held(store, "k") == [2]
    await hand.complete(claims[0])
    assert ids((await hand.ask(5, again=True)).jobs) == [claims[1].id]
    assert await held(store, "k") == [1]


async def test_a_stale_finish_frees_nothing(store: Store) -> None:
    await put(store, *(under("k") for _ in range(2)))
    hand = Hand(store)
    (old,) = await hand.up_to(5)
    await hand.finish(end(old, Event.RELEASE))
    (claim,) = await hand.up_to(5)
    assert claim.id == old.id
    assert await hand.finish(end(old, Event.COMPLETE)) == [Verdict.REPEAT]
    assert await held(store, "k") == [1]
    assert await hand.up_to(5) == []
    await hand.complete(claim)
    assert await hand.finish(end(claim, Event.COMPLETE)) == [Verdict.REPEAT]
    assert await held(store, "k") == [0]
    (last,) = await hand.up_to(5)
    assert await hand.finish(end(claim, Event.FAIL), end(old, Event.RETRY)) == [Verdict.REPEAT, Verdict.STALE]
    assert await held(store, "k") == [1]
    await hand.complete(last)


async def test_ends_of_one_call_free_all(store: Store) -> None:
    await put(store, *(under("k", f"user:{n % 5}", n=50) for n in range(100)))
    hand = Hand(store)
    claims = await hand.drain(100)
    assert len(claims) == 50
    await hand.complete(*claims)
    assert await held(store, "k", *(f"user:{n}" for n in range(5))) == [0] * 6
    assert len(await hand.drain(100)) == 50


async def test_every_way_into_the_line_knows_the_limit(store: Store, clock: Clock) -> None:
    """Enqueued, promoted, unblocked, revived by an operator, fired by a schedule, followed up, retried: each is counted."""
    hand = Hand(store)
    parent = new()
    doomed = under("k")
    await put(store, parent, doomed, under("k", after=(Edge(parent.id),)), under("k", delay=SECOND))
    await act(store, Action.CANCEL, doomed.id)
    await act(store, Action.REQUEUE, doomed.id)
    await store.put_schedules([ScheduleRow(key="s", spec="{}", due=clock.at)], "ops")
    await store.fire("s", clock.at, None, under("k"))
    (claim,) = [claim for claim in await hand.up_to(1) if claim.id == parent.id]
    await hand.finish(end(claim, Event.COMPLETE, follow=(under("k"),)))
    await clock.forward(SECOND)
    await promote_all(store)
    assert await counted(store) == {State.COMPLETED: 1, State.WAITING: 5}
    for n in range(5):
        (claim,) = await hand.up_to(9)
        await hand.finish(end(claim, Event.COMPLETE if n else Event.RETRY))
    await promote_all(store)
    (claim,) = await hand.up_to(9)
    assert await counted(store) == {State.COMPLETED: 5, State.ACTIVE: 1}


async def test_the_newest_enqueue_sets_the_limit(store: Store, place: Place) -> None:
    await put(store, *(under("k", n=1) for _ in range(6)))
    hand = Hand(store)
    assert len(await hand.up_to(9)) == 1
    await put(store, under("k", n=4))
    assert (await limit(store, "k")).concurrency == 4
    assert len(await hand.up_to(9)) == 3
    place.lowered.add("k")
    await put(store, under("k", n=2))
    assert await hand.up_to(9) == []
    await put(store, new(limits=(Bound("k"),)))
    assert (await limit(store, "k")).concurrency is None
    assert len(await hand.up_to(9)) == 5


async def test_a_pinned_limit_stays(store: Store) -> None:
    await change(store, "k", concurrency=1, pinned=True)
    await put(store, *(under("k", n=5) for _ in range(3)))
    info = await limit(store, "k")
    assert (info.concurrency, info.pinned) == (1, True)
    hand = Hand(store)
    assert len(await hand.up_to(9)) == 1
    await change(store, "k", pinned=False)
    assert (await limit(store, "k")).concurrency == 1
    await put(store, under("k", n=5))
    assert (await limit(store, "k")).concurrency == 5
    assert len(await hand.up_to(9)) == 3


async def test_jobs_of_one_call_each_with_its_keys(store: Store) -> None:
    jobs = [under(*(f"k{m}" for m in range(n % 4)), n=100) for n in range(600)]
    await put(store, *jobs)
    hand = Hand(store)
    assert len(await hand.drain(200)) == 150 + 100, "all plain ones, and of the limited what their least key allows"
    assert await held(store, "k0") == [100]


async def test_a_paused_queue_under_a_limit(store: Store) -> None:
    await store.put_queue("a", QueueChange(paused=True), "ops")
    a, b = await put(store, under("k", queue="a", priority=9), under("k", queue="b"))
    hand = Hand(store)
    (claim,) = await hand.up_to(5)
    assert claim.id == b
    await hand.complete(claim)
    assert await hand.up_to(5) == []
    await store.put_queue("a", QueueChange(paused=False), "ops")
    assert ids(await hand.up_to(5)) == [a]


async def test_workers_of_other_queues_and_runtimes(store: Store) -> None:
    a, thread, b = await put(
        store, under("k", queue="a", priority=9), under("k", runtime="thread", priority=5), under("k", queue="b")
    )
    hand = Hand(store, queues=("b",))
    (claim,) = await hand.up_to(5)
    assert claim.id == b
    other = Hand(store, "w2", queues=("a", "default"))
    assert await other.up_to(5) == []
    assert await other.up_to(5, "thread") == []
    await hand.complete(claim)
    (claim,) = await other.up_to(5, "thread")
    assert claim.id == thread
    await other.complete(claim)
    assert ids(await other.up_to(5)) == [a]


async def test_parked_kinds_hold_nothing_and_come_back(store: Store) -> None:
    first, second = await put(store, under("k", kind="x"), under("k", kind="y"))
    hand = Hand(store)
    (claim,) = await hand.up_to(5)
    await hand.finish(end(claim, Event.RELEASE, park="kind:x"))
    assert await held(store, "k") == [0]
    (other,) = await hand.up_to(5)
    assert other.id == second, "what is parked stands in nobody's way"
    assert await store.unpark("kind:x") == 1
    assert await hand.up_to(5) == []
    await hand.complete(other)
    (claim,) = await hand.up_to(5)
    assert claim.id == first


async def test_unparked_into_its_old_place(store: Store) -> None:
    made = await put(store, *(under("k", n=9, kind="x") for _ in range(6)))
    hand = Hand(store)
    claims = await hand.up_to(3)
    await hand.finish(*(end(claim, Event.RELEASE, park="kind:x") for claim in claims))
    await store.unpark("kind:x")
    assert ids(await hand.up_to(9)) == made


async def test_workers_are_told_of_room(store: Store, place: Place) -> None:
    await put(store, under("k"), under("k"))
    hand = Hand(store)
    (claim,) = await hand.up_to(5)
    other = await place.another()
    calls: list[int] = []
    stop = other.listen(("ready",), lambda: calls.append(1))
    try:
        await until(lambda: True, "the loop to turn")
        calls.clear()
        await hand.complete(claim)
        await until(lambda: calls, "the word that a slot is free")
    finally:
        stop()


@pytest.mark.parametrize("event", [Event.RETRY, Event.SNOOZE, Event.SUSPEND], ids=str)
async def test_back_after_a_while_in_the_same_line(store: Store, clock: Clock, event: Event) -> None:
    first, second = await put(store, under("k"), under("k"))
    hand = Hand(store)
    (claim,) = await hand.up_to(5)
    await hand.finish(end(claim, event, delay=HOUR, signal="go" if event is Event.SUSPEND else None))
    (other,) = await hand.up_to(5)
    assert other.id == second
    await clock.forward(HOUR)
    await promote_all(store)
    assert await states_of(store, first, second) == [State.WAITING, State.ACTIVE]
    assert await hand.up_to(5) == []
    await hand.complete(other)
    assert ids(await hand.up_to(5)) == [first]


class Thrown(Exception):
    pass


async def test_jobs_of_a_callers_transaction(store: Store, join: Join) -> None:
    """Plain, limited and fair ones are lined up like others, and an undone transaction leaves no key."""
    await store.put_queue("fair", QueueChange(order="fair"), "ops")
    await change(store, "kind:whole", concurrency=1)
    limited = [under("k", n=2) for _ in range(4)]
    fair = [new(queue="fair", group="ab"[n % 2]) for n in range(4)]
    whole = [new("whole", queue="whole") for _ in range(3)]
    answered = new(answer="1")
    try:
        async with join() as connection:
            if connection is None:
                return  # no tables of users there, so nothing to join
            await store.enqueue_on(connection, [*limited, *fair, *whole])
            raise Thrown
    except Thrown:
        assert await counted(store) == {}
        assert [info.key for info in await store.limits()] == ["kind:whole"]
    async with join() as connection:
        answers = await store.enqueue_on(connection, [*limited, *fair, *whole, answered])
        assert all(answer.created for answer in answers)
    hand = Hand(store)
    claims = await hand.up_to(20)
    assert sorted(ids(claims)) == sorted(job.id for job in [*limited[:2], *fair, whole[0]])
    assert await held(store, "k", "kind:whole") == [2, 1]
    assert await states_of(store, answered.id) == [State.COMPLETED]
