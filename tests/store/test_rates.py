"""Rates: no window holds more starts than allowed; buckets refill; keys are shut and tried; submissions take all or nothing."""

from typing import Any

import pytest

from tests.store.kit import HOUR, LEASE, T0, Clock, Hand, act, end, new, put
from tests.store.limiting import change, ids, limit, rated, under
from windlass.store import Store
from windlass.values.clock import SECOND
from windlass.values.job import NewJob
from windlass.values.limit import BUCKETS, EXACT, GUARD, Bound, Rate, Take
from windlass.values.outcome import DEFAULT_RULES, lapsed
from windlass.values.query import Action
from windlass.values.states import Event

WINDOW = 10 * SECOND


async def test_no_more_starts_than_the_window_allows(store: Store, clock: Clock) -> None:
    made = await put(store, *(rated("k", 3, WINDOW) for _ in range(8)))
    hand = Hand(store)
    assert ids(await hand.up_to(9)) == made[:3]
    assert await hand.up_to(9) == []
    await clock.set(T0 + WINDOW + GUARD - 1)
    assert await hand.up_to(9) == [], "a start may come so long after its grant"
    await clock.forward(1)
    assert ids(await hand.up_to(9)) == made[3:6]
    await clock.forward(WINDOW + GUARD)
    assert ids(await hand.up_to(9)) == made[6:]


async def test_the_window_slides(store: Store, clock: Clock) -> None:
    """Starts at the end of one window and at the begin of the next are in one window too."""
    await put(store, *(rated("k", 4, WINDOW) for _ in range(12)))
    hand = Hand(store)
    assert len(await hand.up_to(1)) == 1
    await clock.set(T0 + WINDOW - SECOND)
    assert len(await hand.up_to(9)) == 3
    await clock.set(T0 + WINDOW + GUARD)
    assert len(await hand.up_to(9)) == 1
    await clock.set(T0 + 2 * WINDOW - SECOND + GUARD - 1)
    assert len(await hand.up_to(9)) == 0
    await clock.forward(1)
    assert len(await hand.up_to(9)) == 3


async def test_a_claim_says_when_the_window_opens(store: Store, clock: Clock) -> None:
    await put(store, *(rated("k", 2, WINDOW) for _ in range(5)))
    hand = Hand(store)
    assert len(await hand.up_to(1)) == 1
    await clock.forward(4 * SECOND)
    assert len(await hand.up_to(1)) == 1
    claimed = await hand.ask(5)
    assert (claimed.jobs, claimed.wait) == ([], 6 * SECOND + GUARD)
    await put(store, new(delay=2 * SECOND))
    assert (await hand.ask(5)).wait == 2 * SECOND
    await put(store, rated("other", 1, SECOND), rated("other", 1, SECOND))
    assert len(await hand.up_to(5)) == 1
    assert (await hand.ask(5)).wait == SECOND + GUARD


async def test_the_wait_is_of_the_workers_queues(store: Store, clock: Clock) -> None:
    await put(store, *(rated("k", 1, WINDOW, queue="a") for _ in range(2)))
    assert len(await Hand(store).up_to(5)) == 1
    assert (await Hand(store, queues=("a",)).ask(5)).wait == WINDOW + GUARD


async def test_claims_say_that_a_job_spent_a_rate(store: Store) -> None:
    await put(store, rated("k", 1, WINDOW))
    (claim,) = await Hand(store).up_to(1)
    assert (claim.limited, claim.rated) == (True, True)


@pytest.mark.parametrize("event", [Event.COMPLETE, Event.FAIL, Event.RETRY, Event.SNOOZE, Event.RELEASE], ids=str)
async def test_what_is_spent_stays_spent(store: Store, clock: Clock, event: Event) -> None:
    """Also what was given back unrun: the safe side."""
    await put(store, rated("k", 1, WINDOW), rated("k", 1, WINDOW))
    hand = Hand(store)
    (claim,) = await hand.up_to(5)
    await hand.finish(end(claim, event, delay=0 if event is Event.RELEASE else HOUR))
    assert await hand.up_to(5) == []
    info = await limit(store, "k")
    assert (info.used, info.held, info.opens_at) == (1, 0, T0 + WINDOW + GUARD)


async def test_a_repeated_claim_and_a_rescue_spend_nothing(store: Store, clock: Clock) -> None:
    await put(store, *(rated("k", 3, HOUR) for _ in range(3)))
    await store.rescue("watch", LEASE, 10)
    hand = Hand(store)
    (claim,) = (await hand.ask(1)).jobs
    (again,) = (await hand.ask(1, again=True)).jobs
    assert (again.id, again.rated) == (claim.id, True)
    assert (await limit(store, "k")).used == 1
    taken = []
    while not taken:
        await clock.forward(LEASE // 3)
        taken = await store.rescue("watch", LEASE, 10)
    await store.finish([lapsed(taken[0], DEFAULT_RULES, "watch")])
    assert (await limit(store, "k")).used == 1
    assert len(await hand.up_to(5)) == 2


async def test_costs(store: Store, clock: Clock) -> None:
    made = await put(store, *(rated("k", 10, WINDOW, cost=cost) for cost in (4, 4, 4, 1, 1)))
    hand = Hand(store)
    assert ids(await hand.up_to(9)) == made[:2]
    assert (await limit(store, "k")).used == 8
    await clock.forward(WINDOW + GUARD)
    assert ids(await hand.up_to(9)) == made[2:]
    assert (await limit(store, "k")).used == 6


async def test_a_cost_above_the_limit_counts_as_the_limit(store: Store, clock: Clock) -> None:
    made = await put(store, *(rated("k", 5, WINDOW, cost=cost) for cost in (1, 50, 7)))
    hand = Hand(store)
    for expected in made:
        assert ids(await hand.up_to(9)) == [expected]
        assert await hand.up_to(9) == []
        await clock.forward(WINDOW + GUARD)


async def test_a_costly_head_is_reached_while_cheap_ones_come(store: Store, clock: Clock) -> None:
    """What stands behind it in its line does not eat up what it waits for."""
    await put(store, rated("k", 4, WINDOW), rated("k", 4, WINDOW))
    hand = Hand(store)
    assert len(await hand.up_to(2)) == 2
    (costly,) = await put(store, rated("k", 4, WINDOW, cost=4))
    await put(store, *(rated("k", 4, WINDOW) for _ in range(10)))
    await clock.forward(5 * SECOND)
    assert await hand.up_to(9) == []
    await clock.set(T0 + WINDOW + GUARD)
    assert ids(await hand.up_to(9)) == [costly]


async def test_hundreds_of_costly_lines_before_a_cheap_one(store: Store, clock: Clock) -> None:
    """There is room for the cheap one only; and nobody is sent round for ever for the others."""

    def costing(cost: int, user: str) -> NewJob[Any]:
        return new(limits=(Bound("k", rate=Rate(10, WINDOW), cost=cost), Bound(user, 1)))

    await put(store, costing(8, "first"))
    hand = Hand(store)
    assert len(await hand.up_to(5)) == 1
    await put(store, *(costing(5, f"user:{n}") for n in range(300)))
    (cheap,) = await put(store, costing(1, "last"))
    assert ids(await hand.up_to(5)) == [cheap]
    await clock.forward(WINDOW + GUARD)
    assert len(await hand.up_to(5)) == 2
    assert await hand.up_to(5) == []


async def test_without_an_idle_slot_nobody_is_sent_round(store: Store) -> None:
    """A worker that has no slot for a limited job now is not told to ask again at once."""
    await put(store, *(under("k", f"user:{n}", n=500) for n in range(200)))
    hand = Hand(store)
    claimed = await hand.ask(5, idle=0)
    rounds = 0
    while claimed.more:
        claimed = await hand.ask(5, idle=0)
        rounds += 1
        assert rounds < 50
    assert claimed.jobs == []
    assert len(await hand.up_to(100)) == 100


async def test_a_rate_and_a_limit_together(store: Store, clock: Clock) -> None:
    both = Bound("k", 2, Rate(3, WINDOW))
    await put(store, *(new(limits=(both,)) for _ in range(9)))
    hand = Hand(store)
    running = await hand.up_to(9)
    assert len(running) == 2
    await hand.complete(*running)
    assert len(await hand.up_to(9)) == 1
    await clock.forward(WINDOW + GUARD)
    assert len(await hand.up_to(9)) == 1, "one still runs"


async def test_two_rates(store: Store, clock: Clock) -> None:
    bounds = (Bound("a", rate=Rate(2, WINDOW)), Bound("b", rate=Rate(3, HOUR)))
    await put(store, *(new(limits=bounds) for _ in range(5)))
    hand = Hand(store)
    assert len(await hand.up_to(9)) == 2
    assert (await limit(store, "b")).used == 2, "what one key refused was not spent on the other"
    await clock.forward(WINDOW + GUARD)
    assert len(await hand.up_to(9)) == 1
    assert [(await limit(store, key)).used for key in ("a", "b")] == [1, 3]
    assert (await hand.ask(9)).jobs == []


async def test_a_rate_of_a_queue(store: Store, clock: Clock) -> None:
    await put(store, *(new(queue="mail") for _ in range(9)), new(queue="other"))
    await change(store, "queue:mail", rate=Rate(2, WINDOW))
    hand = Hand(store)
    assert sorted(claim.queue for claim in await hand.up_to(20)) == ["mail", "mail", "other"]
    await clock.forward(WINDOW + GUARD)
    assert len(await hand.up_to(20)) == 2


async def test_how_a_rate_stands(store: Store, clock: Clock) -> None:
    await put(store, *(rated("k", 2, WINDOW) for _ in range(4)))
    hand = Hand(store)
    info = await limit(store, "k")
    assert (info.rate, info.used, info.opens_at, info.waiting) == (Rate(2, WINDOW), 0, None, False)
    await hand.up_to(1)
    info = await limit(store, "k")
    assert (info.used, info.opens_at, info.waiting, info.held) == (1, None, False, 1)
    await clock.forward(SECOND)
    await hand.up_to(9)
    info = await limit(store, "k")
    assert (info.used, info.opens_at, info.waiting) == (2, T0 + WINDOW + GUARD, True)
    await clock.set(T0 + WINDOW + GUARD)
    info = await limit(store, "k")
    assert (info.used, info.opens_at) == (1, None)


async def test_a_changed_rate_holds_for_what_was_spent_before(store: Store, clock: Clock) -> None:
    await put(store, *(rated("k", 2, WINDOW) for _ in range(12)))
    hand = Hand(store)
    assert len(await hand.up_to(9)) == 2
    await change(store, "k", rate=Rate(5, WINDOW))
    assert len(await hand.up_to(9)) == 3
    await change(store, "k", rate=Rate(1, WINDOW))
    assert await hand.up_to(9) == []
    await clock.forward(WINDOW + GUARD)
    assert len(await hand.up_to(9)) == 1


async def test_a_random_walk_never_exceeds_a_window(store: Store, clock: Clock) -> None:
    steps = [137_000, 2_900_000, 1, 0, 733_333, 1_500_000, 10, 99_999, 400_000, 3_000_001]
    await put(store, *(rated("k", 7, WINDOW) for _ in range(300)))
    hand = Hand(store)
    starts: list[int] = []
    for n in range(120):
        starts += [clock.at] * len(await hand.up_to(1 + n % 5))
        await clock.forward(steps[n % len(steps)] + n * 1_001)
    for at in starts:
        assert sum(at <= other < at + WINDOW + GUARD for other in starts) <= 7
    span = clock.at - T0
    assert len(starts) >= 7 * (span // (2 * WINDOW)), "and it does not sleep either"


# windows of very many


async def test_large_windows_never_exceed_either(store: Store, clock: Clock) -> None:
    n = EXACT + 500
    await put(store, *(rated("k", n, WINDOW, cost=500) for _ in range(80)))
    hand = Hand(store)
    starts: list[int] = []
    for step in range(150):
        starts += [clock.at] * len(await hand.up_to(1 + step % 3))
        await clock.forward(SECOND // 4 + step * 977)
    for at in starts:
        assert sum(500 for other in starts if at <= other < at + WINDOW + GUARD) <= n
    assert len(starts) == 80, "four windows and more have gone by"


async def test_a_large_window_opens_a_step_late_at_most(store: Store, clock: Clock) -> None:
    n = EXACT * 2
    await put(store, rated("k", n, WINDOW, cost=n), rated("k", n, WINDOW, cost=n))
    hand = Hand(store)
    assert len(await hand.up_to(5)) == 1
    await clock.set(T0 + WINDOW + GUARD - 1)
    claimed = await hand.ask(5)
    assert claimed.jobs == []
    assert claimed.wait is not None
    assert 1 <= claimed.wait <= WINDOW // BUCKETS + 2
    await clock.set(T0 + WINDOW + GUARD + WINDOW // BUCKETS + 1)
    assert len(await hand.up_to(5)) == 1


# buckets of tokens


async def test_a_bucket_catches_up(store: Store, clock: Clock) -> None:
    await put(store, *(rated("k", 2, WINDOW, burst=5) for _ in range(30)))
    hand = Hand(store)
    assert len(await hand.up_to(20)) == 5
    assert await hand.up_to(20) == []
    info = await limit(store, "k")
    assert info.used == 5, "what is missing of a full bucket"
    await clock.forward(WINDOW // 2 - SECOND // 10)
    assert await hand.up_to(20) == []
    await clock.forward(SECOND // 10 + 1_000)
    assert len(await hand.up_to(20)) == 1
    await clock.forward(HOUR)
    assert len(await hand.up_to(20)) == 5, "it never holds more than its size"


async def test_a_bucket_says_when(store: Store, clock: Clock) -> None:
    await put(store, *(rated("k", 1, WINDOW, burst=2) for _ in range(9)))
    hand = Hand(store)
    assert len(await hand.up_to(9)) == 2
    claimed = await hand.ask(9)
    assert claimed.jobs == []
    assert claimed.wait is not None
    assert abs(claimed.wait - WINDOW) <= GUARD
    opens = (await limit(store, "k")).opens_at
    assert opens is not None
    assert abs(opens - T0 - WINDOW) <= GUARD
    await clock.forward(claimed.wait)
    assert len(await hand.up_to(9)) == 1


async def test_costs_of_a_bucket(store: Store, clock: Clock) -> None:
    made = await put(store, *(rated("k", 10, WINDOW, burst=10, cost=cost) for cost in (6, 6, 100)))
    hand = Hand(store)
    assert ids(await hand.up_to(9)) == made[:1]
    await clock.forward(2 * SECOND + GUARD)
    assert ids(await hand.up_to(9)) == made[1:2]
    await clock.forward(WINDOW + GUARD)
    assert ids(await hand.up_to(9)) == made[2:], "more than the bucket counts as the bucket"


# shut keys


async def test_a_shut_key_lets_nothing_start(store: Store, clock: Clock) -> None:
    await put(store, under("k", n=2), *(under("k", n=2) for _ in range(5)))
    hand = Hand(store)
    (running,) = await hand.up_to(1)
    await change(store, "k", shut_for=60 * SECOND)
    claimed = await hand.ask(9)
    assert (claimed.jobs, claimed.wait) == ([], 60 * SECOND)
    info = await limit(store, "k")
    assert (info.shut_until, info.trial, info.opens_at, info.held) == (T0 + 60 * SECOND, None, T0 + 60 * SECOND, 1)
    await hand.complete(running)
    await put(store, under("k", n=2))
    await clock.set(T0 + 60 * SECOND - 1)
    assert await hand.up_to(9) == []
    await clock.forward(1)
    assert len(await hand.up_to(9)) == 2


async def test_a_trial_after_it_was_shut(store: Store, clock: Clock) -> None:
    await put(store, *(new(limits=(Bound("provider:x"),)) for _ in range(9)))
    await change(store, "provider:x", shut_for=30 * SECOND, trial=1)
    hand = Hand(store)
    assert await hand.up_to(9) == []
    await clock.forward(30 * SECOND)
    for _ in range(3):
        (probe,) = await hand.up_to(9)
        assert await hand.up_to(9) == [], "one at once"
        await hand.complete(probe)
    assert (await limit(store, "provider:x")).trial == 1
    await change(store, "provider:x", shut_for=30 * SECOND, trial=1)
    assert await hand.up_to(9) == []
    await clock.forward(30 * SECOND)
    (probe,) = await hand.up_to(9)
    await change(store, "provider:x", shut_for=None)
    assert len(await hand.up_to(9)) == 5
    info = await limit(store, "provider:x")
    assert (info.shut_until, info.trial, info.held) == (None, None, 6)


async def test_an_enqueue_opens_no_shut_key(store: Store, clock: Clock) -> None:
    await change(store, "provider:x", shut_for=30 * SECOND)
    await put(store, new(limits=(Bound("provider:x", 5),)), new(limits=(Bound("provider:x"),)))
    hand = Hand(store)
    assert await hand.up_to(9) == []
    assert (await limit(store, "provider:x")).shut_until == T0 + 30 * SECOND
    await clock.forward(30 * SECOND)
    assert len(await hand.up_to(9)) == 2


async def test_a_shut_queue_and_a_shut_kind(store: Store, clock: Clock) -> None:
    await put(store, new(queue="a"), new(kind="x"), new())
    await change(store, "queue:a", shut_for=30 * SECOND)
    await change(store, "kind:x", shut_for=60 * SECOND)
    hand = Hand(store)
    assert len(await hand.up_to(9)) == 1
    await clock.forward(30 * SECOND)
    (claim,) = await hand.up_to(9)
    assert claim.queue == "a"
    await change(store, "kind:x", shut_for=None)
    (claim,) = await hand.up_to(9)
    assert claim.kind == "x"


async def test_a_shut_key_takes_no_other_keys_turn(store: Store, clock: Clock) -> None:
    await change(store, "shut", shut_for=HOUR)
    await put(store, under("k"))
    hand = Hand(store)
    (running,) = await hand.up_to(5)
    _, second = await put(store, under("k", "shut", priority=5), under("k", "open"))
    await hand.complete(running)
    assert ids(await hand.up_to(5)) == [second]


async def test_what_waits_for_a_rate_can_be_cancelled(store: Store, clock: Clock) -> None:
    made = await put(store, *(rated("k", 1, WINDOW) for _ in range(3)))
    hand = Hand(store)
    assert ids(await hand.up_to(5)) == made[:1]
    await act(store, Action.CANCEL, made[1])
    await clock.forward(WINDOW + GUARD)
    assert ids(await hand.up_to(5)) == made[2:]
    assert (await hand.ask(5)).wait is None, "nobody waits for the window any more"


# submissions


def takes(cost: int = 1, *keys: str, n: int = 3, burst: int | None = None) -> list[Take]:
    return [Take(key, Rate(n, WINDOW, burst), cost) for key in keys or ("u",)]


async def test_a_take_counts(store: Store, clock: Clock) -> None:
    for count in (1, 2, 3):
        (taken,) = await store.take(takes())
        assert (taken.key, taken.granted, taken.count, taken.limit, taken.remaining) == ("u", True, count, 3, 3 - count)
        assert taken.reset_at == clock.at
        await clock.forward(SECOND)
    (taken,) = await store.take(takes())
    assert (taken.granted, taken.count, taken.remaining, taken.reset_at) == (False, 3, 0, T0 + WINDOW)
    (taken,) = await store.take(takes(2))
    assert (taken.granted, taken.reset_at) == (False, T0 + WINDOW + SECOND)
    await clock.set(T0 + WINDOW - 1)
    assert not (await store.take(takes()))[0].granted
    await clock.forward(1)
    (taken,) = await store.take(takes())
    assert (taken.granted, taken.count) == (True, 3), "there is no guard: a submission happens when it is taken"


async def test_all_or_nothing(store: Store, clock: Clock) -> None:
    await store.take(takes(3, "full"))
    first, full = await store.take(takes(1, "free", "full"))
    assert (first.key, first.granted, first.count, first.remaining) == ("free", False, 0, 3)
    assert (full.key, full.granted, full.count, full.reset_at) == ("full", False, 3, T0 + WINDOW)
    assert [taken.granted for taken in await store.take(takes(3, "free"))] == [True]
    assert await store.take([]) == []


async def test_a_look_takes_nothing(store: Store, clock: Clock) -> None:
    for _ in range(5):
        (taken,) = await store.take(takes(0))
        assert (taken.granted, taken.count, taken.remaining) == (True, 0, 3)
    await store.take(takes(3))
    for _ in range(2):
        (taken,) = await store.take(takes(0))
        assert (taken.granted, taken.count, taken.remaining, taken.reset_at) == (False, 3, 0, T0 + WINDOW)


async def test_a_take_above_the_limit_counts_as_the_limit(store: Store, clock: Clock) -> None:
    (taken,) = await store.take(takes(50))
    assert (taken.granted, taken.count, taken.remaining) == (True, 3, 0)
    assert not (await store.take(takes(50)))[0].granted
    await clock.forward(WINDOW)
    assert (await store.take(takes(50)))[0].granted


async def test_a_bucket_of_takes(store: Store, clock: Clock) -> None:
    assert [(await store.take(takes(1, n=1, burst=3)))[0].granted for _ in range(4)] == [True, True, True, False]
    (taken,) = await store.take(takes(1, n=1, burst=3))
    assert abs(taken.reset_at - T0 - WINDOW) <= 1_000
    await clock.forward(WINDOW + 1_000)
    assert [(await store.take(takes(1, n=1, burst=3)))[0].granted for _ in range(2)] == [True, False]


async def test_takes_and_starts_do_not_meet(store: Store, clock: Clock) -> None:
    await store.take(takes(3, "k"))
    await put(store, *(rated("k", 3, WINDOW) for _ in range(3)))
    assert len(await Hand(store).up_to(5)) == 3
    assert not (await store.take(takes(1, "k")))[0].granted
    assert [info.key for info in await store.limits()] == ["k"]


async def test_a_take_by_another_rate(store: Store, clock: Clock) -> None:
    """The newest rate asks; what was taken before counts."""
    await store.take(takes(3))
    (taken,) = await store.take([Take("u", Rate(5, WINDOW))])
    assert (taken.granted, taken.count, taken.limit, taken.remaining) == (True, 4, 5, 1)
