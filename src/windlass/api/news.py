"""Live news: one reader of the store's journal for each server, and what each listener gets of it, in its own measure.

News are small: what changed, not how it is now; clients read again what they show. A listener that is too slow gets one `reset`
instead of what it missed.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from time import monotonic
from typing import Any
from weakref import WeakSet

import msgspec

from windlass.api.caller import Reach
from windlass.errors import StoreError
from windlass.store.protocol import Store
from windlass.values.query import Feed, Happening, Where

log = logging.getLogger("windlass.api")

TICK = 0.25
"""Seconds between looks into the journal: the most that news wait, and four a second at most."""
COUNTS = 1.0
"""Seconds between two tellings of the counts."""
PING = 15.0
"""Seconds after which a listener that got nothing gets a sign of life."""
LONGEST = 900.0
"""Seconds that one stream lasts: then the client comes again, and is asked again who it is."""
RECHECK = 30.0
"""Seconds after which it is asked again whether a listener may listen."""
MOST_LISTENERS, MOST_OF_ONE = 5_000, 100
"""Streams of one server, and of one caller."""
MOST_IDS = 100
_ROOM = 64
"""Ticks that a slow listener may be behind."""
_PAGE = 500
_LOOKED_UP = 500
"""Ids of an event that are looked up for a listener who may see some jobs only: its own are among everybody's."""
_SETTINGS = frozenset({"queue", "schedule", "limit"})
TOPICS = ("jobs", "counts", "settings")


class Change(msgspec.Struct, frozen=True):
    """What changed: `event` is the state that jobs came into, `progress`, `edited`, `deleted`, or `queue`, `schedule`, `limit`;
    `ids` are up to 100 of the jobs (or names), `count` is how many there were. No ids and a count of 0, told to callers who
    see some jobs only: one call concerned more jobs than it names, and some may be the caller's."""

    event: str
    ids: tuple[str, ...]
    count: int


class News(msgspec.Struct, frozen=True):
    """One message of the stream. `cursor`: where to go on behind it, None inside a tick."""

    event: str
    data: Any
    cursor: str | None = None

    def frame(self) -> bytes:
        """As text/event-stream has it."""
        head = f"id: {self.cursor}\n" if self.cursor is not None else ""
        return f"{head}event: {self.event}\ndata: {msgspec.json.encode(self.data).decode()}\n\n".encode()


class Wanted(msgspec.Struct, frozen=True):
    """What a listener wants: topics, perhaps only these jobs, within its reach."""

    topics: frozenset[str]
    jobs: frozenset[str]
    reach: Reach


_ROOMS: "WeakSet[Newsroom]" = WeakSet()


async def _always() -> bool:
    return True


class Newsroom:
    """One per server. Reads the journal only while somebody listens, so the journal sleeps when nobody does."""

    def __init__(self, store: Callable[[], Awaitable[Store]]) -> None:
        self._store = store
        self._listeners: set[_Listener] = set()
        self._reading: asyncio.Task[None] | None = None
        self._counts: dict[str, dict[str, int]] = {}
        self._counted = 0.0
        self.closed = asyncio.Event()
        _ROOMS.add(self)

    def close(self) -> None:
        """End every stream: the server is leaving, and waits for them."""
        self.closed.set()
        for listener in self._listeners:
            listener.end()

    async def listen(
        self, wanted: Wanted, cursor: str | None, may_stay: Callable[[], Awaitable[bool]] = _always, who: str = ""
    ) -> AsyncGenerator[bytes, None]:
        """The stream of one listener, from `cursor` on (None: from now). `may_stay` is asked again and again whether whoever
        listens still may, so that it ends soon after a key is revoked."""
        listener = _Listener(who)
        self._listeners.add(listener)
        until, check = monotonic() + LONGEST, monotonic() + RECHECK
        try:
            start = await self._catch_up(cursor, listener)
            yield b"retry: 2000\n\n"
            for news in await self._told(wanted, start):
                yield news.frame()
            if "counts" in wanted.topics and wanted.reach.everything:
                yield News("counts", {"queues": await self._count()}).frame()
            if self._reading is None or self._reading.done():
                self._reading = asyncio.create_task(self._read(start.cursor), name="windlass-news")
            while not self.closed.is_set() and (left := until - monotonic()) > 0:
                tick = await listener.next(min(PING, left))
                if monotonic() >= check:
                    if not await may_stay():
                        return
                    check = monotonic() + RECHECK
                if tick is None:
                    yield b": ping\n\n"
                    continue
                for news in await self._told(wanted, tick):
                    yield news.frame()
        except StoreError as error:  # the client comes again, and goes on where it was
            log.warning("a stream of live news ends: %s", type(error).__name__)
        finally:
            self._listeners.discard(listener)
            if not self._listeners and self._reading is not None:
                self._reading.cancel()
                self._reading = None

    def has_room(self, who: str) -> bool:
        """Whether another listener of this caller can be served."""
        own = sum(listener.who == who for listener in self._listeners)
        return len(self._listeners) < MOST_LISTENERS and own < MOST_OF_ONE

    async def poll(self, wanted: Wanted, cursor: str | None) -> tuple[list[News], str]:
        """What came since `cursor`, for clients that cannot hold a stream."""
        feed = await (await self._store()).feed(cursor, _PAGE)
        news = await self._told(wanted, _Tick(feed.entries, feed.cursor, reset=feed.reset and cursor is not None))
        return [each for each in news if each.event != "cursor"], feed.cursor

    async def _catch_up(self, cursor: str | None, listener: "_Listener") -> "_Tick":
        """What a listener missed. It hears of what comes meanwhile twice rather than never."""
        store = await self._store()
        entries: list[Happening] = []
        reset = False
        while True:
            feed = await store.feed(cursor, _PAGE)
            reset = reset or (feed.reset and cursor is not None)
            entries += feed.entries
            cursor = feed.cursor
            if len(feed.entries) < _PAGE or len(entries) > _ROOM * _PAGE:
                return _Tick(entries, cursor, reset)

    async def _read(self, cursor: str) -> None:
        """Read on from where the first listener has caught up: what came since is news to it."""
        while True:
            began = monotonic()
            try:
                feed = await (await self._store()).feed(cursor, _PAGE)
                tick = _Tick(feed.entries, feed.cursor, feed.reset, await self._new_counts(feed))
                cursor = feed.cursor
            except StoreError as error:
                log.warning("live news: %s", type(error).__name__)
                await asyncio.sleep(1.0)
                continue
            if tick.is_news:
                for listener in list(self._listeners):
                    listener.put(tick)
            if len(feed.entries) < _PAGE:
                await asyncio.sleep(max(0.01, TICK - (monotonic() - began)))

    async def _new_counts(self, feed: Feed) -> Mapping[str, Any] | None:
        """The counts if they changed; looked at once a second."""
        if monotonic() - self._counted < COUNTS:
            return None
        self._counted = monotonic()
        before, now = self._counts, await self._count()
        return None if now == before else now

    async def _count(self) -> dict[str, dict[str, int]]:
        counts: dict[str, dict[str, int]] = {}
        for count in await (await self._store()).counts():
            counts.setdefault(count.queue, {})[count.state.value] = count.n
        self._counts = counts
        return counts

    async def _told(self, wanted: Wanted, tick: "_Tick") -> list[News]:
        """A tick as one listener gets it."""
        if tick.reset:
            return [News("reset", {}, tick.cursor)]
        jobs = [each for each in tick.entries if each.event not in _SETTINGS]
        if wanted.jobs:
            jobs = await self._named(wanted, jobs)
        found: list[News] = []
        if changes := await self._within(wanted, jobs):
            found.append(News("jobs", {"changes": changes}))
        topics = wanted.topics if wanted.reach.everything else frozenset[str]()
        settings = [each for each in tick.entries if each.event in _SETTINGS]
        if settings and "settings" in topics:
            found.append(News("settings", {"changes": _merged(settings)}))
        if tick.counts is not None and "counts" in topics:
            found.append(News("counts", {"queues": tick.counts}))
        if found:
            found[-1] = News(found[-1].event, found[-1].data, tick.cursor)
        return found

    async def _named(self, wanted: Wanted, entries: list[Happening]) -> list[Happening]:
        """What concerns the jobs that a listener has named. An entry that does not name all of its jobs may be about one of
        them: then it is told where they are now."""
        own = [(each, tuple(id for id in each.ids if id in wanted.jobs)) for each in entries]
        found = [Happening(each.at, each.event, ids, len(ids)) for each, ids in own if ids]
        cut = [each for each in entries if each.n > len(each.ids)]
        if cut:
            where = Where(ids=tuple(wanted.jobs))
            page = await (await self._store()).jobs(where, None, len(wanted.jobs))
            found += [Happening(cut[-1].at, job.state, (job.id,), 1) for job in page.items]
        return found

    async def _within(self, wanted: Wanted, entries: list[Happening]) -> list[Change]:
        """The changes of jobs that a listener wants and may see. A call that concerned more jobs than it names is told to whoever
        sees some jobs only without ids: its own may be among those that nobody can look up."""
        if not wanted.jobs and "jobs" not in wanted.topics:
            return []
        if wanted.reach.everything or not entries:
            return _merged(entries)
        changes = _merged(entries, _LOOKED_UP)
        unnamed = {each.event for each in entries if each.n > len(each.ids)}
        unnamed |= {each.event for each in changes if len(each.ids) == _LOOKED_UP}
        ids = tuple({id for each in changes for id in each.ids if each.event != "deleted"})
        page = await (await self._store()).jobs(wanted.reach.of(ids), None, 1_000) if ids else None
        seen = {job.id for job in page.items} if page else set[str]()
        own = [(each.event, tuple(id for id in each.ids if id in seen)[-MOST_IDS:]) for each in changes]
        return [Change(event, ids, len(ids)) for event, ids in own if ids or event in unnamed]


class _Tick(msgspec.Struct, frozen=True):
    entries: list[Happening]
    cursor: str
    reset: bool = False
    counts: Mapping[str, Any] | None = None

    @property
    def is_news(self) -> bool:
        return bool(self.entries) or self.reset or self.counts is not None


class _Listener:
    """The ticks that wait for one stream."""

    def __init__(self, who: str = "") -> None:
        self.who = who
        self._ticks: asyncio.Queue[_Tick | None] = asyncio.Queue(_ROOM)

    def put(self, tick: _Tick) -> None:
        if self._ticks.full():  # too slow: it reads everything anew
            while not self._ticks.empty():
                self._ticks.get_nowait()
            tick = _Tick([], tick.cursor, reset=True)
        self._ticks.put_nowait(tick)

    def end(self) -> None:
        while not self._ticks.empty():
            self._ticks.get_nowait()
        self._ticks.put_nowait(None)

    async def next(self, limit: float) -> _Tick | None:
        """The next tick; None after `limit` seconds, or when it is to end."""
        try:
            async with asyncio.timeout(limit):
                return await self._ticks.get()
        except TimeoutError:
            return None


def _merged(entries: Iterable[Happening], most: int = MOST_IDS) -> list[Change]:
    """Entries of a tick by event, in the order of their last ones: a job that went on is told last where it is now."""
    found: dict[str, tuple[dict[str, None], int]] = {}
    for each in entries:
        ids, count = found.pop(each.event, ({}, 0))
        ids.update(dict.fromkeys(each.ids))
        found[each.event] = (ids, count + each.n)
    return [Change(event, tuple(ids)[-most:], count) for event, (ids, count) in found.items()]


def close_all() -> None:
    """End every stream of this process."""
    for room in list(_ROOMS):
        room.close()
