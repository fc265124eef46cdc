"""Whose turn it is: queues that go by groups in turn, by class, or by age instead of strictly by priority."""

import json
from collections import Counter
from typing import Any

import pytest

from tests.store.kit import HOUR, T0, Clock, Hand, act, all_ids, end, new, promote_all, put
from tests.store.limiting import change, ids, under
from windlass.store import Store
from windlass.values.clock import SECOND
from windlass.values.job import Claim, NewJob
from windlass.values.limit import GUARD, Bound, Rate
from windlass.values.priority import Priority
from windlass.values.query import Action, AuditQuery, Where
from windlass.values.queue import AGEING, CLASS_WEIGHTS, Order, QueueChange
from windlass.values.states import Event


async def ordered(store: Store, order: Order, queue: str = "default", **fields: Any) -> None:
    info = await store.put_queue(queue, QueueChange(order=order, **fields), "ops")
    assert info.order == order


def of(group: str, weight: int = 1, **fields: Any) -> NewJob[Any]:
    return new(group=group, weight=weight, **fields)


async def singly(hand: Hand, n: int) -> list[Claim]:
    """So many claims of one job each."""
    return [claim for _ in range(n) for claim in await hand.up_to(1)]


def groups(claims: list[Claim]) -> list[str | None]:
    return [claim.group for claim in claims]


# settings


async def test_a_queue_is_strict_unless_told_otherwise(store: Store) -> None:
    await put(store, new(queue="a"))
    (info,) = await store.queues()
    assert (info.order, info.ageing) == ("strict", AGEING)
    await ordered(store, "ageing", "a", ageing=5 * SECOND)
    (info,) = await store.queues()
    assert (info.order, info.ageing, info.paused) == ("ageing", 5 * SECOND, False)
    info = await store.put_queue("a", QueueChange(paused=True), "ops")
    assert (info.order, info.ageing, info.paused) == ("ageing", 5 * SECOND, True)
    entry = (await store.audit(AuditQuery(target="queue:a")))[-1]
    assert (entry.actor, json.loads(entry.detail)["order"]) == ("ops", "ageing")


# fair


async def test_one_job_behind_ten_thousand_of_another(store: Store) -> None:
    await ordered(store, "fair")
    await put(store, *(of("a") for _ in range(10_000)))
    hand = Hand(store)
    await singly(hand, 3)
    (lone,) = await put(store, of("b"))
    assert lone in ids(await singly(hand, 2))


async def test_groups_take_turns(store: Store) -> None:
    await ordered(store, "fair")
    await put(store, *(of(name) for name in "aaaaaabbbcc"))
    got = groups(await singly(Hand(store), 11))
    assert Counter(got[:6]) == {"a": 2, "b": 2, "c": 2}
    assert Counter(got[6:8]) == {"a": 1, "b": 1}
    assert got[8:] == ["a"] * 3


async def test_turns_within_one_claim(store: Store) -> None:
    await ordered(store, "fair")
    await put(store, *(of(name) for name in "a" * 50 + "b" * 50 + "c" * 5))
    assert Counter(groups(await Hand(store).up_to(30))) == {"a": 13, "b": 12, "c": 5}


async def test_the_jobs_of_one_claim_come_in_the_order_of_turns(store: Store) -> None:
    """A worker begins them so; one that always came last, as the youngest, would be given back unbegun again and again."""
    await ordered(store, "fair")
    await put(store, *(of("large") for _ in range(300)))
    hand = Hand(store)
    await hand.up_to(20)
    (lone,) = await put(store, of("small"))
    assert lone in ids(await hand.up_to(100))[:2]


async def test_the_user_is_the_group_of_those_without(store: Store) -> None:
    await ordered(store, "fair")
    await put(store, *(new(user="u1") for _ in range(20)), new(user="u2"), of("u2", user="u1"))
    claims = await singly(Hand(store), 4)
    assert Counter(claim.group or claim.user for claim in claims) == {"u1": 2, "u2": 2}


async def test_jobs_without_group_or_user_take_turns_as_one(store: Store) -> None:
    await ordered(store, "fair")
    await put(store, *(new() for _ in range(20)), *(of("a") for _ in range(20)))
    assert Counter(groups(await singly(Hand(store), 20))) == {None: 10, "a": 10}


async def test_weights(store: Store) -> None:
    await ordered(store, "fair")
    await put(store, *(of("heavy", 3) for _ in range(60)), *(of("light", 1) for _ in range(60)))
    hand = Hand(store)
    for _ in range(2):
        found = Counter(groups(await singly(hand, 40)))
        assert abs(found["heavy"] - 30) <= 1


async def test_the_newest_weight_counts(store: Store) -> None:
    await ordered(store, "fair")
    await put(store, *(of("a", 1) for _ in range(60)), *(of("b", 1) for _ in range(60)))
    hand = Hand(store)
    await singly(hand, 10)
    await put(store, of("a", 4))
    found = Counter(groups(await singly(hand, 50)))
    assert abs(found["a"] - 40) <= 2


async def test_the_largest_weight(store: Store) -> None:
    await ordered(store, "fair")
    await put(store, *(of("a", 100) for _ in range(150)), *(of("b", 1) for _ in range(5)))
    assert Counter(groups(await Hand(store).up_to(101)))["b"] in (1, 2)


async def test_inside_a_group_priority_then_age(store: Store) -> None:
    await ordered(store, "fair")
    jobs = [of("ab"[n % 2], priority=n % 3) for n in range(12)]
    await put(store, *jobs)
    got = await singly(Hand(store), 12)
    for group in "ab":
        expected = sorted((n for n in range(12) if jobs[n].group == group), key=lambda n: (-jobs[n].priority, n))
        assert [claim.id for claim in got if claim.group == group] == [jobs[n].id for n in expected]


async def test_a_late_comer_has_saved_nothing_up(store: Store) -> None:
    await ordered(store, "fair")
    await put(store, *(of("a") for _ in range(200)))
    hand = Hand(store)
    await singly(hand, 50)
    await put(store, *(of("b") for _ in range(50)))
    found = Counter(groups(await singly(hand, 20)))
    assert abs(found["b"] - 10) <= 1


async def test_one_that_was_away_has_saved_nothing_up(store: Store) -> None:
    await ordered(store, "fair")
    await put(store, of("b"), *(of("a") for _ in range(200)))
    hand = Hand(store)
    await singly(hand, 60)
    for _ in range(3):
        await put(store, *(of("b") for _ in range(10)))
        found = Counter(groups(await singly(hand, 20)))
        assert abs(found["b"] - 10) <= 1
        await singly(hand, 15)


async def test_one_that_comes_and_goes_gets_no_more_than_its_share(store: Store) -> None:
    """A group whose line runs empty with each of its jobs is not new each time."""
    await ordered(store, "fair")
    await put(store, *(of("a", 3) for _ in range(200)))
    hand = Hand(store)
    found: Counter[str | None] = Counter()
    for _ in range(60):
        if found["b"] == len(await all_ids(store, Where(group="b"))):
            await put(store, of("b"))
        found.update(groups(await singly(hand, 1)))
    assert 13 <= found["b"] <= 17


async def test_many_groups(store: Store) -> None:
    await ordered(store, "fair")
    await put(store, *(of(f"g{n % 400}") for n in range(1_200)))
    hand = Hand(store)
    for _ in range(3):
        claims: list[Claim] = []
        while len(claims) < 400:
            claims += await hand.up_to(min(200, 400 - len(claims)))
        assert set(Counter(groups(claims)).values()) == {1}


async def test_several_runtimes(store: Store) -> None:
    await ordered(store, "fair")
    for runtime in ("async", "thread"):
        await put(store, *(of("a", runtime=runtime) for _ in range(30)), *(of("b", runtime=runtime) for _ in range(5)))
    hand = Hand(store)
    claims = (await hand.ask({"async": 6, "thread": 6})).jobs
    assert len(claims) == 12
    for runtime in ("async", "thread"):
        assert Counter(claim.group for claim in claims if claim.runtime == runtime)["b"] in (2, 3, 4)


async def test_a_paused_fair_queue_and_a_strict_one(store: Store) -> None:
    await ordered(store, "fair", "fair")
    await put(store, *(of(name, queue="fair", priority=1) for name in "aab"), new(queue="strict"))
    await store.put_queue("fair", QueueChange(paused=True), "ops")
    hand = Hand(store)
    assert [claim.queue for claim in await hand.up_to(9)] == ["strict"]
    await store.put_queue("fair", QueueChange(paused=False), "ops")
    assert [claim.queue for claim in await hand.up_to(9)] == ["fair"] * 3


async def test_several_queues_go_by_the_order_of_their_next_jobs(store: Store) -> None:
    await ordered(store, "fair", "fair")
    fair = [of("a", queue="fair", priority=priority) for priority in (8, 4)]
    strict = [new(queue="strict", priority=priority) for priority in (9, 6, 2)]
    await put(store, *fair, *strict)
    got = ids(await singly(Hand(store), 5))
    assert got == [strict[0].id, fair[0].id, strict[1].id, fair[1].id, strict[2].id]


async def test_a_released_job_keeps_its_place_in_its_group(store: Store) -> None:
    await ordered(store, "fair")
    first, second = await put(store, of("a"), of("a"))
    hand = Hand(store)
    (claim,) = await singly(hand, 1)
    await hand.finish(end(claim, Event.RELEASE))
    assert ids(await singly(hand, 2)) == [first, second]


async def test_retried_and_promoted_jobs_are_of_their_group(store: Store, clock: Clock) -> None:
    await ordered(store, "fair")
    await put(store, *(of("a", delay=SECOND) for _ in range(20)), *(of("b", delay=SECOND) for _ in range(20)))
    await clock.forward(SECOND)
    await promote_all(store)
    assert Counter(groups(await singly(Hand(store), 20))) == {"a": 10, "b": 10}


async def test_reprioritised_and_cancelled_in_a_group(store: Store) -> None:
    await ordered(store, "fair")
    first, second, third = await put(store, of("a"), of("a"), of("a"))
    await act(store, Action.REPRIORITISE, third, priority=5)
    await act(store, Action.CANCEL, first)
    assert ids(await singly(Hand(store), 3)) == [third, second]


async def test_a_full_group_gives_its_turn_away(store: Store) -> None:
    await ordered(store, "fair")
    await put(store, *(of("a", limits=(Bound("user:a", 1),)) for _ in range(10)), *(of("b") for _ in range(10)))
    hand = Hand(store)
    claims = await singly(hand, 11)
    assert Counter(groups(claims)) == {"a": 1, "b": 10}
    assert await hand.up_to(1) == []
    await hand.complete(next(claim for claim in claims if claim.group == "a"))
    assert groups(await hand.up_to(5)) == ["a"]


@pytest.mark.parametrize("n", [1, 2, 4])
async def test_a_fair_queue_under_a_limit_of_its_own(store: Store, n: int) -> None:
    """Who is woken when there is room for few goes by turns too."""
    await ordered(store, "fair")
    await change(store, "queue:default", concurrency=n)
    await put(store, *(of("a") for _ in range(50)), *(of("b") for _ in range(50)), *(of("c", 2) for _ in range(50)))
    hand = Hand(store)
    seen: Counter[str | None] = Counter()
    for _ in range(40 // n):
        claims = await hand.up_to(9)
        assert len(claims) == n
        seen.update(groups(claims))
        await hand.complete(*claims)
    assert abs(seen["a"] - 10) <= 2, seen
    assert abs(seen["b"] - 10) <= 2, seen


async def test_a_fair_queue_under_a_rate_of_its_own(store: Store, clock: Clock) -> None:
    await ordered(store, "fair")
    await change(store, "queue:default", rate=Rate(1, SECOND))
    await put(store, *(of("a") for _ in range(20)), *(of("b") for _ in range(20)))
    hand = Hand(store)
    seen: Counter[str | None] = Counter()
    for _ in range(10):
        seen.update(groups(await hand.up_to(9)))
        await clock.forward(SECOND + GUARD)
    assert seen == {"a": 5, "b": 5}


async def test_one_group_of_several_lines(store: Store) -> None:
    """A group's jobs under different keys share its turns, and priority among them holds."""
    await ordered(store, "fair")
    mine = [of("a", priority=n % 3, limits=(Bound(f"k{n % 4}", 9),)) for n in range(12)]
    await put(store, *mine, *(of("b") for _ in range(12)))
    got = await singly(Hand(store), 24)
    assert abs(Counter(groups(got[:12]))["a"] - 6) <= 1
    expected = sorted(range(12), key=lambda n: (-mine[n].priority, n))
    assert [claim.id for claim in got if claim.group == "a"] == [mine[n].id for n in expected]


# change of order


async def test_jobs_that_waited_take_turns_as_one_group(store: Store) -> None:
    before = await put(store, *(of(name, priority=n % 2) for n, name in enumerate("ab" * 10)))
    await ordered(store, "fair")
    await put(store, *(of("c") for _ in range(20)))
    got = await singly(Hand(store), 40)
    assert abs(Counter(groups(got[:20]))["c"] - 10) <= 1
    old = [claim.id for claim in got if claim.group != "c"]
    assert old == before[1::2] + before[0::2]


async def test_back_to_strict(store: Store) -> None:
    await ordered(store, "fair")
    jobs = [of("abc"[n % 3], priority=n % 2) for n in range(12)]
    await put(store, *jobs)
    await ordered(store, "strict")
    more = [of("d", priority=priority) for priority in (0, 1, 9)]
    await put(store, *more)
    made = [*jobs, *more]
    expected = [made[n].id for n in sorted(range(15), key=lambda n: (-made[n].priority, n))]
    assert ids(await singly(Hand(store), 15)) == expected


@pytest.mark.parametrize("order", ["fair", "weighted", "ageing", "strict"])
@pytest.mark.parametrize("first", ["fair", "weighted", "ageing", "strict"])
async def test_a_change_of_order_loses_nobody(store: Store, first: Order, order: Order) -> None:
    await ordered(store, first)
    made = await put(
        store, *(of("abc"[n % 3], priority=n % 12 - 5) for n in range(30)), *(under("k", n=3) for _ in range(5))
    )
    hand = Hand(store)
    running = await hand.up_to(4)
    await ordered(store, order)
    made += await put(store, *(of("cde"[n % 3], priority=n % 12 - 5) for n in range(30)))
    await hand.finish(*(end(claim, Event.RELEASE) for claim in running))
    done: list[str] = []
    while claims := await hand.up_to(7):
        await hand.complete(*claims)
        done += ids(claims)
    assert sorted(done) == sorted(made)


# weighted


CLASSES = {name: int(Priority[name.upper()]) for name in CLASS_WEIGHTS}


async def test_classes_share_by_their_weights(store: Store) -> None:
    await ordered(store, "weighted")
    await put(store, *(new(kind=name, priority=priority) for name, priority in CLASSES.items() for _ in range(100)))
    hand = Hand(store)
    for _ in range(2):
        found = Counter(claim.kind for claim in await singly(hand, sum(CLASS_WEIGHTS.values())))
        for name, weight in CLASS_WEIGHTS.items():
            assert abs(found[name] - weight) <= 1, found


async def test_an_empty_class_leaves_its_share(store: Store) -> None:
    await ordered(store, "weighted")
    await put(store, *(new(kind=name, priority=CLASSES[name]) for name in ("low", "high") for _ in range(100)))
    found = Counter(claim.kind for claim in await singly(Hand(store), 44))
    assert abs(found["low"] - 4) <= 1


async def test_inside_a_class_priority_then_age(store: Store) -> None:
    await ordered(store, "weighted")
    jobs = [new(priority=priority) for priority in (10, 15, 100, 12, 15)]
    await put(store, *jobs)
    assert ids(await singly(Hand(store), 5)) == [jobs[n].id for n in (2, 1, 4, 3, 0)]


async def test_low_never_starves(store: Store) -> None:
    await ordered(store, "weighted")
    await put(store, *(new(priority=10) for _ in range(500)))
    (low,) = await put(store, new(priority=-100))
    hand = Hand(store)
    assert low in ids(await singly(hand, 25))


async def test_weighted_batches(store: Store) -> None:
    await ordered(store, "weighted")
    await put(store, *(new(kind=name, priority=priority) for name, priority in CLASSES.items() for _ in range(100)))
    found = Counter(claim.kind for claim in await Hand(store).up_to(108))
    for name, weight in CLASS_WEIGHTS.items():
        assert abs(found[name] - 3 * weight) <= 2, found


# ageing


async def test_waiting_counts_as_priority(store: Store, clock: Clock) -> None:
    await ordered(store, "ageing", ageing=60 * SECOND)
    (low,) = await put(store, new(priority=-5))
    await clock.set(T0 + 299 * SECOND)
    (before,) = await put(store, new())
    await clock.set(T0 + 301 * SECOND)
    (after,) = await put(store, new())
    (urgent,) = await put(store, new(priority=10))
    assert ids(await singly(Hand(store), 4)) == [urgent, before, low, after]


async def test_strictly_by_age_among_equals(store: Store, clock: Clock) -> None:
    await ordered(store, "ageing")
    made = []
    for _ in range(10):
        made += await put(store, new(priority=3))
        await clock.forward(SECOND)
    assert ids(await Hand(store).up_to(20)) == made


async def test_the_rate_of_ageing_can_be_changed(store: Store, clock: Clock) -> None:
    await ordered(store, "ageing", ageing=60 * SECOND)
    (low,) = await put(store, new(priority=0))
    await clock.forward(100 * SECOND)
    (high,) = await put(store, new(priority=2))
    await ordered(store, "ageing", ageing=10 * SECOND)
    assert ids(await singly(Hand(store), 2)) == [low, high]


async def test_no_priority_starves(store: Store, clock: Clock) -> None:
    await ordered(store, "ageing", ageing=SECOND)
    (low,) = await put(store, new(priority=-100))
    hand = Hand(store)
    got: list[str] = []
    for _ in range(30):
        await put(store, new(priority=100))
        await clock.forward(10 * SECOND)
        got += ids(await singly(hand, 1))
        if low in got:
            break
    assert low in got


async def test_ageing_counts_from_when_a_job_was_ready(store: Store, clock: Clock) -> None:
    await ordered(store, "ageing", ageing=60 * SECOND)
    (delayed,) = await put(store, new(priority=0, delay=HOUR))
    await clock.forward(HOUR - 30 * SECOND)
    (older,) = await put(store, new(priority=0))
    (lower,) = await put(store, new(priority=-1))
    await clock.forward(31 * SECOND)
    await promote_all(store)
    assert ids(await singly(Hand(store), 3)) == [older, delayed, lower]


async def test_ageing_under_a_limit(store: Store, clock: Clock) -> None:
    await ordered(store, "ageing", ageing=60 * SECOND)
    await put(store, under("k"))
    hand = Hand(store)
    (running,) = await hand.up_to(5)
    (low,) = await put(store, under("k", priority=-1))
    await clock.forward(120 * SECOND)
    (high,) = await put(store, under("k", "x", priority=0))
    assert await hand.up_to(5) == []
    for expected in (low, high):
        await hand.complete(running)
        (running,) = await hand.up_to(5)
        assert running.id == expected
