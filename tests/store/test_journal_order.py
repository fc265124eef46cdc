"""The journal read from many hands: each entry once, none passed over, and a reset where that cannot be promised."""

import asyncio
import threading
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import pytest

from tests.store.conftest import Join, MakeStore
from tests.store.kit import HOUR, Clock, Hand, Listener, Place, act, all_ids, end, listen, new, put
from tests.store.test_races import together
from tests.waiting import until
from windlass.store import Store
from windlass.values.clock import SECOND
from windlass.values.outcome import Verdict
from windlass.values.query import Action, Command, Happening, Retention, Where
from windlass.values.states import Event, State

MINUTE = 60 * SECOND
Seen = Counter[tuple[str, str]]
MAY_FOLLOW = {
    "waiting": {None, "active", "completed", "cancelled", "failed"},
    "active": {"waiting"},
    "completed": {"active"},
    "failed": {"active"},
    "cancelled": {"waiting"},
}


class Truth:
    """What happened, by the answers that the writers got."""

    def __init__(self) -> None:
        self.seen: Seen = Counter()
        self._lock = threading.Lock()

    def note(self, event: str, *ids: str) -> None:
        with self._lock:
            self.seen.update((event, id) for id in ids)


async def write(store: Store, number: int, truth: Truth, rounds: int) -> None:
    """Enqueue, claim, end, cancel and requeue, among others who do the same to the same jobs."""
    hand = Hand(store, f"w{number}")
    for step in range(rounds):
        ids = await put(store, *(new(priority=n) for n in range(1 + step % 3)))
        truth.note("waiting", *ids)
        claims = await hand.take(3)
        truth.note("active", *(claim.id for claim in claims))
        events = [(Event.COMPLETE, Event.FAIL, Event.RELEASE)[(step + n) % 3] for n in range(len(claims))]
        ends = [end(claim, event) for claim, event in zip(claims, events, strict=True)]
        for ended, verdict in zip(ends, await hand.finish(*ends), strict=True):
            assert verdict is Verdict.ACCEPTED
            states = {Event.COMPLETE: "completed", Event.FAIL: "failed", Event.RELEASE: "waiting"}
            truth.note(states[ended.event], ended.id)
        if step % 2:
            # Not one that runs: it would be flagged, and its release would end it.
            where = Where(ids=(ids[0],), states=(State.WAITING,))
            truth.note("cancelled", *(await store.command(Command(action=Action.CANCEL), where, 1, "ops")).done)
            again = [ended.id for ended in ends if ended.event is Event.FAIL]
            truth.note("waiting", *(await act(store, Action.REQUEUE, *again, ids[0])).done)


def tally(entries: list[Happening]) -> Seen:
    seen: Seen = Counter()
    for entry in entries:
        assert entry.n == len(entry.ids)
        seen.update((entry.event, id) for id in entry.ids)
    return seen


def check_order(entries: list[Happening]) -> dict[str, str]:
    """No job is told to leave a state that it has not come into; where each was last."""
    states: dict[str, str] = {}
    for entry in entries:
        for id in entry.ids:
            assert states.get(id) in MAY_FOLLOW[entry.event], f"{id}: {entry.event} after {states.get(id)}"
            states[id] = entry.event
    return states


async def test_eight_writers_and_a_reader_that_resumes(
    store: Store, clock: Clock, place: Place, make_store: MakeStore
) -> None:
    first = await listen(store, clock)
    begin = first.cursor
    second = Listener(await make_store(), begin)
    truth = Truth()
    writing = asyncio.create_task(together(place, lambda store, n: write(store, n, truth, 15), 8))
    heard: list[Happening] = []
    heard_again: list[Happening] = []
    while not writing.done():
        heard += await first.page(7)
        heard_again += await second.page(50)
        await asyncio.sleep(0)
    await writing
    heard += await first.news(7)
    heard_again += await second.news()
    assert sum(truth.seen.values()) > 400
    for entries in (heard, heard_again, await Listener(store, begin).news(3), await Listener(store, begin).news()):
        assert tally(entries) == truth.seen
        states = check_order(entries)
        page = await store.jobs(Where(), None, 1_000)
        assert states == {job.id: job.state.value for job in page.items}


async def test_a_page_asked_for_twice(store: Store, clock: Clock) -> None:
    """A lost reply: the same cursor brings all that it brought before."""
    listener = await listen(store, clock)
    for _ in range(5):
        await put(store, new())
    one = await store.feed(listener.cursor, 3)
    await put(store, new())
    two = await store.feed(listener.cursor, 500)
    assert two.entries[:3] == one.entries
    assert len(two.entries) == 6
    assert len((await store.feed(one.cursor)).entries) == 3


@pytest.mark.parametrize("limit", [1, 2, 5, 500])
async def test_pages_of_any_size(store: Store, clock: Clock, limit: int) -> None:
    listener = await listen(store, clock)
    begin = listener.cursor
    for _ in range(4):
        parent = new()
        await put(store, parent, new(delay=HOUR), new(answer="1"))
    whole = await listener.news()
    assert len(whole) == 12
    assert await Listener(store, begin).news(limit) == whole, "entries of one call may be parted"


async def test_a_cursor_is_good_on_any_handle(store: Store, clock: Clock, make_store: MakeStore) -> None:
    listener = await listen(store, clock)
    for _ in range(3):
        (id,) = await put(listener.store, new())
        other = Listener(await make_store(), listener.cursor)
        assert await other.told() == {"waiting": [id]}
        listener = other


async def test_a_listener_waits_for_another_handles_news(store: Store, clock: Clock, make_store: MakeStore) -> None:
    listener = await listen(store, clock)
    other = await make_store()
    (id,) = await put(other, new())
    assert await until(listener.told, "the news") == {"waiting": [id]}


class Thrown(Exception):
    pass


async def begun(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Work that is done, unless it has to wait for the transaction that is open here."""
    task = asyncio.create_task(work)
    await asyncio.wait({task}, timeout=0.3)
    return task


async def test_a_long_transaction_hides_nothing_and_loses_nothing(
    store: Store, clock: Clock, make_store: MakeStore, join: Join
) -> None:
    other = await make_store()
    listener = Listener(other, (await listen(store, clock)).cursor)
    (before,) = await put(other, new())
    inside, during = [new() for _ in range(3)], new()
    async with join() as connection:
        if connection is None:
            return  # no transactions of users there
        await store.enqueue_on(connection, inside)
        writing = await begun(put(other, during))
        reading = await begun(listener.told())
        if reading.done():
            seen = [before, during.id] if writing.done() else [before]
            assert reading.result() == {"waiting": sorted(seen)}
    await writing
    (after,) = await put(other, new())
    told = (await reading)["waiting"] + (await listener.told()).get("waiting", [])
    assert sorted(told) == sorted([before, during.id, after, *(job.id for job in inside)])
    assert await listener.news() == []


async def test_what_is_rolled_back_never_was(store: Store, clock: Clock, join: Join) -> None:
    listener = await listen(store, clock)
    with pytest.raises(Thrown):
        async with join() as connection:
            if connection is not None:
                await store.enqueue_on(connection, [new() for _ in range(3)])
                await store.enqueue_on(connection, [new(delay=HOUR)])
            raise Thrown
    (id,) = await put(store, new())
    assert await listener.told() == {"waiting": [id]}
    assert await all_ids(store, Where()) == [id]


async def test_transactions_that_overlap_are_told_once_each(
    store: Store, clock: Clock, place: Place, join: Join
) -> None:
    """Callers' transactions that stay open for a while beside plain verbs."""
    listener = await listen(store, clock)
    begin = listener.cursor
    truth = Truth()

    async def body(store: Store, number: int) -> None:
        for step in range(8):
            jobs = [new(queue=f"q{number}"), new(queue=f"q{number}")]
            if number % 2 == 0:
                truth.note("waiting", *(await put(store, *jobs)))
                continue
            try:
                async with join() as connection:
                    if connection is None:
                        continue
                    await store.enqueue_on(connection, jobs[:1])
                    await asyncio.sleep(0.002)  # not a wait for anything: others are to commit meanwhile
                    await store.enqueue_on(connection, jobs[1:])
                    if step % 3 == 0:
                        raise Thrown
                truth.note("waiting", *(job.id for job in jobs))
            except Thrown:
                continue

    writing = asyncio.create_task(together_here(place, body))
    heard: list[Happening] = []
    while not writing.done():
        heard += await listener.page(3)
        await asyncio.sleep(0)
    await writing
    heard += await listener.news()
    for entries in (heard, await Listener(store, begin).news()):
        assert tally(entries) == truth.seen


async def together_here(place: Place, body) -> None:  # type: ignore[no-untyped-def]
    """In this loop, since a transaction belongs to it; the plain writers have handles of their own."""
    stores = [place.first if number % 2 else await place.another() for number in range(4)]
    await asyncio.gather(*(body(store, number) for number, store in enumerate(stores)))


# beginning anew


class Follower:
    """A live view: it knows the jobs, reads anew when told to, and else goes by the news."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.cursor: str | None = None
        self.known: set[str] = set()

    async def look(self, limit: int = 5_000) -> bool:
        """One answer; whether it went on from the last and had nothing new."""
        feed = await self.store.feed(self.cursor, limit)
        self.cursor = feed.cursor
        if feed.reset:
            self.known = {*await all_ids(self.store, Where(), 1_000)}
        self.known.update(id for entry in feed.entries for id in entry.ids)
        return not feed.reset and not feed.entries


async def test_a_writer_that_thinks_nobody_listens(store: Store, make_store: MakeStore) -> None:
    """Writers may need a moment to see it. Who reads anew when told to knows every job all the same, whether it looks often or
    comes back late."""
    writer = await make_store()
    made = await put(writer, new())
    often, late = Follower(store), Follower(store)
    for follower in (often, late):
        await follower.look()
        follower.known |= {*await all_ids(store, Where(), 1_000)}
    end_of_writing = await store.now() + 3 * SECOND
    while await store.now() < end_of_writing:
        made += await put(writer, new())
        await often.look()
        await asyncio.sleep(0.005)  # the writer's pace, not a wait for anything
    for follower in (often, late):
        await until(follower.look, "the end of the news")
        assert sorted(follower.known) == sorted(made)


@pytest.mark.parametrize(
    "cursor",
    ["", "nonsense", "ü 👍", "1-2-3-x", "'; drop table job; --", "9" * 400, "-", "0x", "a" * 20_000, "1:2:/", "\t"],
)
async def test_a_cursor_nobody_can_read(store: Store, clock: Clock, cursor: str) -> None:
    await listen(store, clock)
    await put(store, new())
    feed = await store.feed(cursor)
    assert (feed.entries, feed.reset) == ([], True)
    listener = Listener(store, feed.cursor)
    (id,) = await put(store, new())
    assert await listener.told() == {"waiting": [id]}


async def test_a_cursor_of_an_earlier_waking(store: Store, clock: Clock) -> None:
    old = (await listen(store, clock)).cursor
    await put(store, new())
    await clock.forward(HOUR)
    listener = await listen(store, clock)
    await put(store, new())
    feed = await store.feed(old)
    assert (feed.entries, feed.reset) == ([], True)
    assert [entry.event for entry in await listener.news()] == ["waiting"]


async def test_a_cursor_behind_which_news_were_dropped(store: Store, clock: Clock) -> None:
    listener = await listen(store, clock)
    cursors = [(clock.at, listener.cursor)]
    for _ in range(8):
        await put(store, new())
        await clock.forward(2 * MINUTE)
        await listener.news()
        cursors.append((clock.at, listener.cursor))
    await put(store, new())
    answers = [(clock.at - at, await store.feed(cursor)) for at, cursor in cursors]
    assert [feed.reset for age, feed in answers if age > 12 * MINUTE] == [True, True]
    kept = [feed for age, feed in answers if age < 10 * MINUTE]
    assert [feed.reset for feed in kept] == [False] * 5
    assert [len(feed.entries) for feed in kept] == [5, 4, 3, 2, 1]


async def test_prune_drops_old_news_too(store: Store, clock: Clock) -> None:
    listener = await listen(store, clock)
    begin = listener.cursor
    await put(store, new())
    await listener.news()
    for _ in range(4):
        await clock.forward(3 * MINUTE)
        assert await listener.news() == [], "nothing more is written, somebody listens"
    await store.prune(Retention(), 100)
    assert (await store.feed(begin)).reset
    assert await listener.news() == []
    (id,) = await put(store, new())
    assert await listener.told() == {"waiting": [id]}


async def test_a_transaction_that_outlives_the_journal_is_not_passed_over(
    store: Store, clock: Clock, make_store: MakeStore, join: Join
) -> None:
    """Its entry is older than what is dropped when it commits: it is told, or there is a reset."""
    other = await make_store()
    listener = Listener(other, (await listen(store, clock)).cursor)
    inside = new()
    told: list[str] = []

    async def time_passes() -> None:
        for _ in range(4):
            await clock.forward(4 * MINUTE)
            await put(other, new())
            told.extend(id for entry in await listener.news() for id in entry.ids)

    async with join() as connection:
        if connection is None:
            return  # no transactions of users there
        await store.enqueue_on(connection, [inside])
        passing = await begun(time_passes())
    await passing
    feed = await store.feed(listener.cursor)
    told += [id for entry in feed.entries for id in entry.ids]
    assert feed.reset or told.count(inside.id) == 1


async def test_news_are_dropped_beside_work(store: Store, clock: Clock, place: Place) -> None:
    """Time flies, so that writers drop what is old while others write. Who begins anew when told to misses nothing."""
    follower = Follower(store)
    follower.cursor = (await listen(store, clock)).cursor

    async def body(store: Store, number: int) -> list[str]:
        made: list[str] = []
        for _ in range(60):
            made += await put(store, new(queue=f"q{number}"), new(delay=HOUR))
            await Hand(store, f"w{number}", queues=(f"q{number}",)).take(2)
            await store.prune(Retention(), 10)
        return made

    writing = asyncio.create_task(together(place, body))
    while not writing.done():
        await follower.look(20)
        await clock.forward(2 * MINUTE)
        await asyncio.sleep(0)
    made = [id for some in await writing for id in some]
    await until(follower.look, "the end of the news")
    assert sorted(follower.known) == sorted(made)


async def test_listeners_that_wake_it_together(store: Store, clock: Clock, place: Place) -> None:
    await put(store, new())
    stores = [store, *[await place.another() for _ in range(3)]]
    feeds = await asyncio.gather(*(each.feed(None) for each in stores))
    assert any(feed.reset for feed in feeds)
    assert all(feed.entries == [] for feed in feeds)
    cursors = [feed.cursor for feed in feeds]
    for _ in range(2):
        await clock.forward(3 * SECOND)
        cursors = [(await each.feed(cursor)).cursor for each, cursor in zip(stores, cursors, strict=True)]
    (id,) = await put(store, new())
    for each, cursor in zip(stores, cursors, strict=True):
        assert await Listener(each, cursor).told() == {"waiting": [id]}


@pytest.mark.slow
async def test_only_the_newest_entries_are_kept(store: Store, clock: Clock, place: Place) -> None:
    listener = await listen(store, clock)
    begin = listener.cursor

    async def body(store: Store, number: int) -> None:
        for _ in range(700):
            parent = new()
            await put(store, parent, new(delay=HOUR), new(answer="1"))

    await together(place, body)
    middle = (await store.feed(None)).cursor
    await together(place, body)
    await clock.forward(3 * SECOND)
    await together(place, body)
    more = 0

    async def trimmed() -> bool:
        nonlocal more
        more += 1
        await clock.forward(3 * SECOND)
        await put(store, new())
        return (await store.feed(begin)).reset

    await until(trimmed, "the oldest entries to go")  # by the first writer, unless another one has just looked
    assert len(await Listener(store, middle).news(5_000)) == 2 * 4 * 700 * 3 + more
    assert (await store.counts())[0].state in State
