"""Slots come back by every way a job leaves, and a key with room never forgets who waits for it."""

from collections.abc import Awaitable, Callable

import pytest

from tests.store.kit import HOUR, LEASE, Clock, Hand, act, end, get, new, promote_all, put, state_of
from tests.store.limiting import held, ids, under
from windlass.store import Store
from windlass.values.clock import SECOND
from windlass.values.job import Claim, Edge
from windlass.values.limit import LimitChange
from windlass.values.outcome import DEFAULT_RULES, RunRules, Verdict, lapsed
from windlass.values.query import Action
from windlass.values.queue import Order, QueueChange
from windlass.values.states import Event, State

EVENTS = [Event.COMPLETE, Event.FAIL, Event.ABORT, Event.RETRY, Event.SNOOZE, Event.RELEASE, Event.SUSPEND]


@pytest.mark.parametrize("event", EVENTS, ids=str)
async def test_every_end_of_an_attempt_frees_the_slots(store: Store, event: Event) -> None:
    first, second = await put(store, under("a", "b", priority=0), under("a", "b", priority=-1))
    hand = Hand(store)
    (claim,) = await hand.up_to(5)
    assert await held(store, "a", "b") == [1, 1]
    delay = 0 if event is Event.RELEASE else HOUR
    ended = end(claim, event, delay=delay, signal="go" if event is Event.SUSPEND else None)
    assert await hand.finish(ended) == [Verdict.ACCEPTED]
    assert await held(store, "a", "b") == [0, 0]
    (claim,) = await hand.up_to(5)
    assert claim.id == (first if event is Event.RELEASE else second), "a release keeps its place in line"


@pytest.mark.parametrize("event", EVENTS, ids=str)
async def test_an_end_that_a_cancel_turned_frees_the_slots(store: Store, event: Event) -> None:
    first, second = await put(store, under("k"), under("k"))
    hand = Hand(store)
    (claim,) = await hand.up_to(5)
    assert (await act(store, Action.CANCEL, first)).flagged == (first,)
    assert await held(store, "k") == [1], "it runs until its worker says that it does not"
    await hand.finish(end(claim, event, signal="go" if event is Event.SUSPEND else None))
    assert (await get(store, first)).is_final
    assert ids(await hand.up_to(5)) == [second]


async def test_a_release_with_a_delay(store: Store, clock: Clock) -> None:
    first, second = await put(store, under("k"), under("k"))
    hand = Hand(store)
    (claim,) = await hand.up_to(5)
    await hand.finish(end(claim, Event.RELEASE, delay=SECOND))
    (claim,) = await hand.up_to(5)
    assert claim.id == second
    await hand.complete(claim)
    await clock.forward(SECOND)
    await promote_all(store)
    assert ids(await hand.up_to(5)) == [first]


async def lapse(store: Store, clock: Clock) -> Claim:
    """Time goes by until a lease is taken over."""
    while True:
        taken = await store.rescue("watch", LEASE, 10)
        if taken:
            (claim,) = taken
            return claim
        await clock.forward(LEASE // 3)


async def test_a_rescue_keeps_the_slots_and_the_judgement_frees_them(store: Store, clock: Clock) -> None:
    first, second = await put(store, under("k"), under("k"))
    await store.rescue("watch", LEASE, 10)
    hand = Hand(store)
    (dead,) = await hand.up_to(5)
    claim = await lapse(store, clock)
    assert (claim.id, claim.limited) == (first, True)
    assert await held(store, "k") == [1]
    assert await hand.up_to(5) == [], "the rescued job may still be running somewhere"
    assert await hand.finish(end(dead, Event.COMPLETE)) == [Verdict.STALE]
    assert await held(store, "k") == [1]
    assert await store.finish([lapsed(claim, DEFAULT_RULES, "watch")]) == [Verdict.ACCEPTED]
    assert await held(store, "k") == [0]
    (again,) = await hand.up_to(5)
    assert (again.id, again.rescues) == (first, 1)
    await hand.complete(again)
    assert ids(await hand.up_to(5)) == [second]


async def test_a_rescue_that_gives_up_frees_the_slots(store: Store, clock: Clock) -> None:
    _, second = await put(store, under("k"), under("k"))
    await store.rescue("watch", LEASE, 10)
    hand = Hand(store)
    await hand.up_to(5)
    claim = await lapse(store, clock)
    await store.finish([lapsed(claim, RunRules(max_rescues=0), "watch")])
    assert await state_of(store, claim.id) is State.FAILED
    assert ids(await hand.up_to(5)) == [second]


async def test_a_rescued_lease_can_lapse_again(store: Store, clock: Clock) -> None:
    await put(store, under("k"))
    await store.rescue("watch", LEASE, 10)
    await Hand(store).up_to(5)
    first = await lapse(store, clock)
    second = await lapse(store, clock)
    assert second.lease > first.lease
    assert await held(store, "k") == [1]
    await store.finish([lapsed(second, DEFAULT_RULES, "watch")])
    assert await held(store, "k") == [0]


# what waits


async def _cancel(store: Store, clock: Clock, id: str) -> None:
    assert (await act(store, Action.CANCEL, id)).done == (id,)


async def _fail(store: Store, clock: Clock, id: str) -> None:
    assert (await act(store, Action.FAIL, id)).done == (id,)


async def _delete(store: Store, clock: Clock, id: str) -> None:
    assert (await act(store, Action.DELETE, id)).done == (id,)


async def _expire(store: Store, clock: Clock, id: str) -> None:
    await clock.forward(HOUR)
    await promote_all(store)


async def _expire_unseen(store: Store, clock: Clock, id: str) -> None:
    await clock.forward(HOUR)


async def _pause(store: Store, clock: Clock, id: str) -> None:
    await store.put_queue("thief", QueueChange(paused=True), "ops")


async def _nothing(store: Store, clock: Clock, id: str) -> None:
    """It meets a second full key, or its worker is not there."""


AWAY: list[Callable[[Store, Clock, str], Awaitable[None]]] = [_cancel, _fail, _delete, _expire, _expire_unseen, _pause]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("go", AWAY, ids=lambda go: go.__name__[1:])
async def test_one_that_is_gone_takes_nobodys_turn(
    store: Store, clock: Clock, go: Callable[[Store, Clock, str], Awaitable[None]], when: str
) -> None:
    """`first` is next for the slot and goes away, before the slot is free or after it was told so: `second` gets it."""
    await put(store, under("k"))
    hand = Hand(store)
    (running,) = await hand.up_to(5)
    first = under("k", queue="thief", priority=5, expires_in=HOUR)
    second = under("k", "other", queue="q")
    await put(store, first, second)
    assert await hand.up_to(5) == []
    if when == "before":
        await go(store, clock, first.id)
        await hand.complete(running)
    else:
        await hand.complete(running)
        await go(store, clock, first.id)
    assert ids(await hand.up_to(5)) == [second.id]


@pytest.mark.parametrize("go", AWAY, ids=lambda go: go.__name__[1:])
async def test_the_next_of_a_line_comes_when_its_head_is_gone(
    store: Store, clock: Clock, go: Callable[[Store, Clock, str], Awaitable[None]]
) -> None:
    await put(store, under("k"))
    hand = Hand(store)
    (running,) = await hand.up_to(5)
    first = under("k", queue="thief", expires_in=HOUR)
    second = under("k", queue="thief")
    await put(store, first, second)
    assert await hand.up_to(5) == []
    await go(store, clock, first.id)
    await hand.complete(running)
    got = await hand.up_to(5)
    if go is _pause:
        assert got == []
        await store.put_queue("thief", QueueChange(paused=False), "ops")
        assert ids(await hand.up_to(5)) == [first.id]
    else:
        assert ids(got) == [second.id]


async def test_one_that_meets_a_second_full_key_takes_nobodys_turn(store: Store) -> None:
    await put(store, under("k"), under("second"))
    hand = Hand(store)
    claims = {claim.kind + str(n): claim for n, claim in enumerate(await hand.up_to(5))}
    running, other = claims["work0"], claims["work1"]
    both, alone = await put(store, under("k", "second", priority=5), under("k"))
    assert await hand.up_to(5) == []
    await hand.complete(running)
    (claim,) = await hand.up_to(5)
    assert claim.id == alone
    await hand.complete(other)
    assert await hand.up_to(5) == []
    await hand.complete(claim)
    assert ids(await hand.up_to(5)) == [both]


async def test_a_long_row_that_meets_full_keys_of_its_own(store: Store) -> None:
    """A hundred lines are next for the slot and none can use it: the last one, which can, gets it."""
    await put(store, under("k"), *(under(f"own:{n}") for n in range(100)))
    hand = Hand(store)
    claims = await hand.drain(200)
    assert len(claims) == 101
    await put(store, *(under("k", f"own:{n}", priority=5) for n in range(100)))
    (last,) = await put(store, under("k", "free"))
    assert await hand.up_to(5) == []
    await hand.complete(claims[0])
    (claim,) = await hand.up_to(5)
    assert claim.id == last
    await hand.complete(claim, *claims[1:])
    done = 0
    while claims := await hand.up_to(5):
        assert len(claims) == 1
        await hand.complete(*claims)
        done += 1
    assert done == 100


@pytest.mark.parametrize("where", ["runtime", "queue"])
async def test_one_whose_worker_is_not_there_takes_nobodys_turn(store: Store, where: str) -> None:
    await put(store, under("k", queue="q"))
    hand = Hand(store, queues=("q",))
    (running,) = await hand.up_to(5)
    fields = {"runtime": "process", "queue": "q"} if where == "runtime" else {"queue": "elsewhere"}
    _, second = await put(store, under("k", priority=5, **fields), under("k", queue="q"))
    assert await hand.up_to(5) == []
    await hand.complete(running)
    assert ids(await hand.up_to(5)) == [second]


async def test_several_slots_free_at_once(store: Store) -> None:
    await put(store, *(under("k", n=10) for _ in range(10)))
    hand = Hand(store)
    running = await hand.up_to(20)
    assert len(running) == 10
    await put(store, *(under("k", f"user:{n}", n=10) for n in range(20)))
    assert await hand.up_to(20) == []
    await hand.complete(*running[:7])
    got = await hand.up_to(20)
    assert len(got) == 7
    await hand.complete(*running[7:], *got)
    assert len(await hand.up_to(20)) == 10


@pytest.mark.parametrize("order", ["strict", "fair", "weighted", "ageing"])
@pytest.mark.parametrize("turns", [1, 3, 40])
async def test_hundreds_of_lines_wait_for_one_key(store: Store, order: Order, turns: int) -> None:
    """Each user a line, all of them behind one key, in groups: whenever there is room and somebody waits, somebody gets it."""
    await store.put_queue("default", QueueChange(order=order), "ops")
    jobs = [under("house", f"user:{n}", n=5, group=f"g{n % turns}", priority=n % 3 * 5) for n in range(500)]
    await put(store, *jobs)
    hand = Hand(store)
    done = 0
    for _ in range(20):
        claims = await hand.up_to(20)
        assert len(claims) == 5, f"{done} done, {500 - done} left, nobody runs"
        await hand.complete(*claims)
        done += 5


STANDS_ASIDE = ["runtime", "queue", "paused", "full", "shut", "expired", "cancelled", "parked"]


@pytest.mark.parametrize("order", ["strict", "fair"])
@pytest.mark.parametrize("why", STANDS_ASIDE)
async def test_hundreds_before_it_cannot_run(store: Store, clock: Clock, why: str, order: Order) -> None:
    """Three hundred lines are before the last one for the slot of one key, and none of them can use it."""
    await store.put_queue("default", QueueChange(order=order), "ops")
    await put(store, under("house"), under("own"))
    hand = Hand(store, queues=("default",) if why == "queue" else None)
    running = await hand.up_to(5)
    assert len(running) == 2
    fields = {
        "runtime": {"runtime": "thread"},
        "queue": {"queue": "elsewhere"},
        "paused": {"queue": "still"},
        "expired": {"expires_in": SECOND},
    }.get(why, {})
    second = {"full": ("own",), "shut": ("shut",)}.get(why, ())
    if why == "shut":
        await store.put_limits([LimitChange(key="shut", shut_for=HOUR)], None)
    before = [
        under("house", f"user:{n}", *second, group=f"g{n % 7}", priority=5, kind="old", **fields) for n in range(300)
    ]
    last = under("house", "user:last", group="last")
    await put(store, *before, last)
    assert await hand.up_to(5) == []
    if why == "expired":
        await clock.forward(HOUR)
    if why == "paused":
        await store.put_queue("still", QueueChange(paused=True), "ops")
    if why == "cancelled":
        await act(store, Action.CANCEL, *(job.id for job in before))
    await hand.complete(running[0])
    if why == "parked":
        for _ in before:
            (claim,) = await hand.up_to(5)
            if claim.id == last.id:
                return  # a fair queue comes to it sooner
            await hand.finish(end(claim, Event.RELEASE, park="kind:old"))
    assert ids(await hand.up_to(5)) == [last.id]


async def test_claims_of_one_slot_share_what_is_free(store: Store) -> None:
    await put(store, *(under("k", n=5) for _ in range(5)))
    hand = Hand(store)
    running = await hand.up_to(20)
    await put(store, *(under("k", f"user:{n}", n=5) for n in range(10)))
    assert await hand.up_to(20) == []
    await hand.complete(*running)
    others = [Hand(store, f"w{n}") for n in range(7)]
    got = [len(await other.up_to(1)) for other in others]
    assert sum(got) == 5


async def test_reprioritised_while_it_waits(store: Store) -> None:
    await put(store, under("k"))
    hand = Hand(store)
    (running,) = await hand.up_to(5)
    first, second, third = await put(store, under("k"), under("k"), under("k", "other"))
    assert await hand.up_to(5) == []
    await act(store, Action.REPRIORITISE, second, priority=5)
    await act(store, Action.REPRIORITISE, third, priority=9)
    for expected in (third, second, first):
        await hand.complete(running)
        (running,) = await hand.up_to(5)
        assert running.id == expected


async def test_put_last_while_it_waits(store: Store) -> None:
    await put(store, under("k"))
    hand = Hand(store)
    (running,) = await hand.up_to(5)
    first, second = await put(store, under("k"), under("k", "other"))
    assert await hand.up_to(5) == []
    await act(store, Action.REPRIORITISE, first, priority=-5)
    for expected in (second, first):
        await hand.complete(running)
        (running,) = await hand.up_to(5)
        assert running.id == expected


async def test_requeued_it_is_under_its_limit_again(store: Store) -> None:
    first, second = await put(store, under("k"), under("k"))
    hand = Hand(store)
    (claim,) = await hand.up_to(5)
    await hand.finish(end(claim, Event.FAIL))
    (claim,) = await hand.up_to(5)
    assert claim.id == second
    await act(store, Action.REQUEUE, first)
    assert await hand.up_to(5) == []
    await hand.complete(claim)
    assert ids(await hand.up_to(5)) == [first]


async def test_what_ends_by_its_parent_holds_nothing(store: Store) -> None:
    parent = new()
    child = under("k", after=(Edge(parent.id),))
    await put(store, parent, child, under("k"))
    hand = Hand(store)
    claims = {claim.id: claim for claim in await hand.up_to(5)}
    assert len(claims) == 2
    await hand.finish(end(claims[parent.id], Event.FAIL))
    assert await state_of(store, child.id) is State.CANCELLED
    assert await held(store, "k") == [1]
