"""Tallies: counted with the finish itself, once, by minute."""

import msgspec

from tests.store.kit import HOUR, T0, Clock, Hand, end, new, promote_all, put
from windlass.store import Store
from windlass.values.clock import SECOND
from windlass.values.metrics import MINUTE, MetricQuery, Point, TallyKey, bucket, tally
from windlass.values.outcome import Finish, Verdict, completed
from windlass.values.query import Retention
from windlass.values.states import Event

ALL = MetricQuery(since=T0 - HOUR, until=T0 + 10 * HOUR)


def summed(points: list[Point]) -> dict[TallyKey, int]:
    sums: dict[TallyKey, int] = {}
    for point in points:
        key = TallyKey(point.queue, point.kind, point.name, point.bucket)
        sums[key] = sums.get(key, 0) + point.value
    return sums


async def test_what_was_finished_is_what_is_told(store: Store, clock: Clock) -> None:
    jobs = [new(f"k{n % 3}", queue="ab"[n % 2]) for n in range(60)]
    await put(store, *jobs)
    await clock.forward(7 * SECOND)
    hand = Hand(store)
    events = [Event.COMPLETE, Event.RETRY, Event.SNOOZE, Event.RELEASE, Event.FAIL, Event.ABORT]
    ends: list[Finish] = []
    for n, claim in enumerate(await hand.drain()):
        ended = end(claim, events[n % 6], delay=HOUR, took=n * 1_000, rescued=n % 12 == 3)
        ends.append(msgspec.structs.replace(ended, waited=claim.claimed_at - claim.ready_at))
    assert set(await hand.finish(*ends)) == {Verdict.ACCEPTED}
    assert summed(await store.metrics(ALL)) == tally(ends)


async def test_only_accepted_ends_count_and_each_once(store: Store, clock: Clock) -> None:
    await put(store, *(new() for _ in range(3)))
    hand = Hand(store)
    claims = await hand.take()
    good = [completed(claim, None, 5) for claim in claims[:2]]
    stale = completed(msgspec.structs.replace(claims[2], lease=1 << 40), None, 5)
    assert await hand.finish(good[0], stale, good[1]) == [Verdict.ACCEPTED, Verdict.STALE, Verdict.ACCEPTED]
    assert set(await hand.finish(*good)) == {Verdict.REPEAT}
    assert summed(await store.metrics(ALL)) == tally(good)


async def test_sums_are_by_the_minute_of_the_end(store: Store, clock: Clock) -> None:
    await put(store, *(new() for _ in range(4)))
    hand = Hand(store)
    start = T0 // MINUTE * MINUTE
    for at in (start, start + MINUTE - 1, start + MINUTE, start + 5 * MINUTE):
        await clock.set(at)
        await hand.complete(await hand.one())
    points = await store.metrics(MetricQuery(since=start, until=start + HOUR, names=("complete",)))
    assert sorted((point.minute, point.value) for point in points) == [
        (start, 2),
        (start + MINUTE, 1),
        (start + 5 * MINUTE, 1),
    ]
    points = await store.metrics(MetricQuery(since=start + MINUTE, until=start + 5 * MINUTE, names=("complete",)))
    assert [(point.minute, point.value) for point in points] == [(start + MINUTE, 1)], "until is exclusive"


async def test_filters(store: Store, clock: Clock) -> None:
    await put(store, new("x", queue="a"), new("y", queue="a"), new("x", queue="b"))
    hand = Hand(store)
    await hand.complete(*await hand.take())

    async def runs(**fields: tuple[str, ...]) -> set[tuple[str, str]]:
        query = MetricQuery(since=T0 - HOUR, until=T0 + HOUR, names=("complete",), **fields)
        return {(point.queue, point.kind) for point in await store.metrics(query)}

    assert await runs() == {("a", "x"), ("a", "y"), ("b", "x")}
    assert await runs(queues=("a",)) == {("a", "x"), ("a", "y")}
    assert await runs(kinds=("x",)) == {("a", "x"), ("b", "x")}
    assert await runs(queues=("a", "c"), kinds=("x", "z")) == {("a", "x")}
    points = await store.metrics(MetricQuery(since=T0 - HOUR, until=T0 + HOUR, names=("took", "waited_sum")))
    assert {point.name for point in points} <= {"took", "waited_sum"}
    assert {point.bucket for point in points if point.name == "took"} == {bucket(1_000)}


async def test_attempts_of_one_job_all_count(store: Store, clock: Clock) -> None:
    await put(store, new())
    hand = Hand(store)
    for event in (Event.RETRY, Event.RETRY, Event.COMPLETE):
        await hand.finish(end(await hand.one(), event, took=1))
        await clock.forward(MINUTE)
        await promote_all(store)
    sums = summed(await store.metrics(ALL))
    assert sums[TallyKey("default", "work", "retry", 0)] == 2
    assert sums[TallyKey("default", "work", "complete", 0)] == 1


async def test_workers_are_counted_apart(store: Store, clock: Clock) -> None:
    await put(store, *(new(f"k{n % 3}", queue="ab"[n % 2]) for n in range(40)))
    hand = Hand(store)
    ends: list[Finish] = []
    for n, claim in enumerate(await hand.drain()):
        events = (Event.COMPLETE, Event.RETRY, Event.RELEASE, Event.COMPLETE)
        ended = end(claim, events[n % 4], delay=HOUR, took=n * 1_000, rescued=n % 8 == 2, spent=n)
        ends.append(msgspec.structs.replace(ended, waited=n * 100, worker=f"w{n % 3}"))
    await hand.finish(*ends[:30])
    await clock.forward(MINUTE)
    await hand.finish(*ends[30:])
    found = await store.metrics(msgspec.structs.replace(ALL, names=("worker:*",)))
    wanted = {key: value for key, value in tally(ends).items() if key.name.startswith("worker:")}
    assert summed(found) == wanted and {key.name for key in wanted} == {"worker:w0", "worker:w1", "worker:w2"}
    assert {key.queue + key.kind for key in wanted} == {""}
    assert not any(":" in point.name for point in await store.metrics(ALL))


async def test_many_calls_add_up(store: Store, clock: Clock) -> None:
    """However a store writes down what each call counts."""
    ends: list[Finish] = []
    hand = Hand(store)
    for n in range(150):
        await put(store, *(new(user=f"u{n % 7}") for _ in range(3)))
        some = [completed(claim, None, 100 * n) for claim in await hand.take(3)]
        await hand.finish(*some)
        ends += some
        if n % 50 == 0:
            await clock.forward(MINUTE)
    everything = msgspec.structs.replace(ALL, names=("complete", "took", "took_sum", "waited", "waited_sum", "user:*"))
    assert summed(await store.metrics(everything)) == tally(ends)
    some = msgspec.structs.replace(ALL, names=("user:u3",), queues=("default",), kinds=("work",))
    assert summed(await store.metrics(some)) == {k: n for k, n in tally(ends).items() if k.name == "user:u3"}
    assert await store.metrics(msgspec.structs.replace(some, queues=("other",))) == []
    await store.prune(Retention(), 10)
    assert summed(await store.metrics(everything)) == tally(ends)
