"""Tallies added up: the sums of a span of time, by queue and kind, from minutes and from closed hours and days.

Reading 30 days of minutes would be hundreds of thousands of sums. So an hour that is over is added up once and kept as one
record, and so is a day of 24 hours: any span is then a few days, at most two parts of a day in hours and two parts of an hour
in minutes. Whoever reads first writes the record; the hourly pruning writes those that nobody has asked for, before their
minutes go.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, TypeAlias

import msgspec

from windlass.errors import StoreError
from windlass.store.protocol import Store
from windlass.values.clock import Micros
from windlass.values.metrics import MINUTE, MetricQuery, Point
from windlass.values.query import Swap

HOUR: Micros = 60 * MINUTE
DAY: Micros = 24 * HOUR
Step: TypeAlias = Literal["minute", "hour", "day"]
WIDTH: dict[Step, Micros] = {"minute": MINUTE, "hour": HOUR, "day": DAY}

HOURS, DAYS = "metrics-hour", "metrics-day"
"""The spaces of records; the key is the instant at which the hour or day began."""
KEEP_HOURS: Micros = 90 * DAY
KEEP_DAYS: Micros = 400 * DAY
CLOSED: Micros = 2 * MINUTE
"""How long after its end an hour may still be added to: a commit takes the minute in which it began."""
_AT_ONCE = 200
"""Records read or written in one call."""
_RUN = 6 * HOUR
"""Minutes read in one call: of 500 busy kinds that is some hundred megabytes."""

_BY_ENGINE = ("cancel", "expire", "doom", "fail-by-command")
"""Jobs that ended without a worker: by command, by expiry, by a parent's end."""
_ENDS = frozenset({"complete", "fail", "retry", "snooze", "release", "abort", "suspend", "rescue", *_BY_ENGINE})
_UNTIMED = frozenset({"release", "rescue", *_BY_ENGINE})
_PLAIN = ("took_sum", "waited_sum", "cost", "cpu_sum", "memory")


class Sums:
    """What was counted of a queue's kind, or of several together: attempts by how they ended, histograms by bucket, the sums of
    run and waiting time and of CPU time in microseconds, costs in millionths, peaks of memory in bytes and how many told
    theirs."""

    __slots__ = ("cost", "cpu", "ends", "measured", "memory", "took", "took_sum", "waited", "waited_sum")

    def __init__(self) -> None:
        self.ends: dict[str, int] = {}
        self.took: dict[int, int] = {}
        self.waited: dict[int, int] = {}
        self.took_sum = 0
        self.waited_sum = 0
        self.cost = 0
        self.cpu = 0
        self.memory = 0
        self.measured = 0

    def count(self, name: str, bucket: int, value: int) -> None:
        """Add one stored sum."""
        if name == "took":
            self.took[bucket] = self.took.get(bucket, 0) + value
        elif name == "waited":
            self.waited[bucket] = self.waited.get(bucket, 0) + value
        elif name == "took_sum":
            self.took_sum += value
        elif name == "waited_sum":
            self.waited_sum += value
        elif name in _ENDS:
            self.ends[name] = self.ends.get(name, 0) + value
        elif name == "cost":
            self.cost += value
        elif name == "cpu_sum":
            self.cpu += value
        elif name == "memory" and bucket:
            self.measured += value
        elif name == "memory":
            self.memory += value

    def add(self, other: "Sums") -> None:
        """Add what another holds."""
        for mine, theirs in ((self.took, other.took), (self.waited, other.waited)):
            if not mine:
                mine.update(theirs)
                continue
            known = mine.get
            for number, n in theirs.items():
                mine[number] = known(number, 0) + n
        self.add_plain(other)

    def take(self, other: "Sums") -> None:
        """Take away what another holds, which is in here."""
        for mine, theirs in ((self.took, other.took), (self.waited, other.waited)):
            for number, n in theirs.items():
                left = mine[number] - n
                if left:
                    mine[number] = left
                else:
                    del mine[number]
        for name, n in other.ends.items():
            self.ends[name] -= n
        self.took_sum -= other.took_sum
        self.waited_sum -= other.waited_sum
        self.cost -= other.cost
        self.cpu -= other.cpu
        self.memory -= other.memory
        self.measured -= other.measured

    def add_plain(self, other: "Sums") -> None:
        """The same without histograms."""
        for name, n in other.ends.items():
            self.ends[name] = self.ends.get(name, 0) + n
        self.took_sum += other.took_sum
        self.waited_sum += other.waited_sum
        self.cost += other.cost
        self.cpu += other.cpu
        self.memory += other.memory
        self.measured += other.measured

    @property
    def timed(self) -> int:
        """Attempts whose times were taken: all but those given back and those whose worker was lost (`metrics.tally`)."""
        return sum(n for name, n in self.ends.items() if name not in _UNTIMED)


Cells: TypeAlias = dict[tuple[str, str], Sums]
"""Sums by (queue, kind)."""


class Frame(msgspec.Struct, frozen=True):
    """The sums of [`start`, `start + width`)."""

    start: Micros
    width: Micros
    cells: Cells


class _Cell(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Sums as a record holds them; histograms are bucket, count, bucket, count ..."""

    queue: str
    kind: str
    ends: dict[str, int]
    took: msgspec.Raw
    waited: msgspec.Raw
    took_sum: int
    waited_sum: int
    cost: int = 0
    cpu: int = 0
    memory: int = 0
    measured: int = 0


_READ = msgspec.json.Decoder(list[_Cell])
_HISTOGRAM = msgspec.json.Decoder(list[int])


async def frames(
    store: Store,
    since: Micros,
    until: Micros,
    now: Micros,
    *,
    most: Literal["hour", "day"] = "day",
    queues: tuple[str, ...] = (),
) -> list[Frame]:
    """Frames that together make up [`since`, `until`), whole minutes, none wider than `most`; empty stretches are left out. What
    is no whole hour comes as the part of its hour."""
    found: list[Frame] = []
    rest = [(since, until)]
    if most == "day":
        days, rest = closed(since, until, DAY, now)
        found += await days_of(store, days, now)
    parts = [closed(start, end, HOUR, now) for start, end in rest]
    found += await hours_of(store, [hour for hours, _ in parts for hour in hours])
    edges = [edge for _, edges in parts for edge in edges]
    chosen = [only(frame, queues, ()) for frame in found]
    chosen += await counted(store, edges, HOUR, queues)
    return sorted((frame for frame in chosen if frame.cells), key=lambda frame: frame.start)


async def counted(
    store: Store,
    spans: Iterable[tuple[Micros, Micros]],
    width: Micros,
    queues: tuple[str, ...] = (),
    kinds: tuple[str, ...] = (),
    *,
    plain: bool = False,
) -> list[Frame]:
    """Frames of what was counted by the minute; `plain`: without histograms, which are nine tenths of it all."""
    names = (*sorted(_ENDS), *_PLAIN) if plain else ()
    made: list[Frame] = []
    for start, end in spans:
        query = MetricQuery(since=start, until=end, queues=queues, kinds=kinds, names=names)
        made += added_up(await store.metrics(query), width)
    return made


def only(frame: Frame, queues: tuple[str, ...], kinds: tuple[str, ...]) -> Frame:
    """What a frame holds of these queues and kinds; none means all."""
    if not queues and not kinds:
        return frame
    chosen = {
        (queue, kind): sums
        for (queue, kind), sums in frame.cells.items()
        if (not queues or queue in queues) and (not kinds or kind in kinds)
    }
    return Frame(frame.start, frame.width, chosen)


async def fold(store: Store, back: Micros) -> int:
    """Write the records of closed hours and days of the last `back` microseconds; how many frames those are."""
    now = await store.now()
    since = max(now - back, 0) // DAY * DAY
    return len(await frames(store, since, now // MINUTE * MINUTE, now))


def together(frames: Iterable[Frame]) -> Cells:
    """The sums of several frames."""
    cells: Cells = {}
    for frame in frames:
        for key, sums in frame.cells.items():
            cells.setdefault(key, Sums()).add(sums)
    return cells


def closed(
    since: Micros, until: Micros, width: Micros, now: Micros
) -> tuple[list[Micros], list[tuple[Micros, Micros]]]:
    """The starts of closed frames inside a span, and what is left before and after them."""
    first = -(-since // width) * width
    last = min(until, max(now - CLOSED, 0)) // width * width
    if first >= last:
        return [], [(since, until)] if since < until else []
    edges = [(since, first), (last, until)]
    return list(range(first, last, width)), [(start, end) for start, end in edges if start < end]


async def days_of(store: Store, starts: Sequence[Micros], now: Micros) -> list[Frame]:
    found = dict(await _records(store, DAYS, starts))
    fresh: dict[Micros, Cells] = {}
    missing = [start for start in starts if start not in found]
    hours = await hours_of(store, [hour for start in missing for hour in range(start, start + DAY, HOUR)])
    for frame in hours:
        day = fresh.setdefault(frame.start // DAY * DAY, {})
        for key, sums in frame.cells.items():
            day.setdefault(key, Sums()).add(sums)
    await _keep(store, DAYS, fresh, KEEP_DAYS)
    return [Frame(start, DAY, cells) for start, cells in {**found, **fresh}.items()]


async def hours_of(store: Store, starts: Sequence[Micros], now: Micros = 0, *, shapes: bool = True) -> list[Frame]:
    found = await kept_frames(store, HOURS, starts, shapes=shapes)
    known = {frame.start for frame in found}
    for start, end in runs([start for start in starts if start not in known]):
        made = added_up(await store.metrics(MetricQuery(since=start, until=end)), HOUR)
        await keep_frames(store, HOURS, made, KEEP_HOURS)
        found += made
    return found


async def kept_frames(store: Store, space: str, starts: Sequence[Micros], *, shapes: bool = True) -> list[Frame]:
    """Those of the hours that are on record."""
    return [Frame(start, HOUR, cells) for start, cells in await _records(store, space, starts, shapes=shapes)]


async def keep_frames(store: Store, space: str, made: Iterable[Frame], keep: Micros) -> None:
    """Put them on record."""
    await _keep(store, space, {frame.start: frame.cells for frame in made}, keep)


def runs(starts: Sequence[Micros]) -> Iterator[tuple[Micros, Micros]]:
    """Hours that follow on each other, as spans that are read in one call."""
    begin = end = -1
    for start in sorted(starts):
        if start != end or end - begin >= _RUN:
            if end > begin:
                yield begin, end
            begin = start
        end = start + HOUR
    if end > begin:
        yield begin, end


def added_up(points: Iterable[Point], width: Micros) -> list[Frame]:
    """Frames of stored sums."""
    made: dict[Micros, Cells] = {}
    for point in points:
        cells = made.setdefault(point.minute // width * width, {})
        key = (point.queue, point.kind)
        sums = cells.get(key)
        if sums is None:
            sums = cells[key] = Sums()
        sums.count(point.name, point.bucket, point.value)
    return [Frame(start, width, cells) for start, cells in made.items()]


async def _records(
    store: Store, space: str, starts: Sequence[Micros], *, shapes: bool = True
) -> list[tuple[Micros, Cells]]:
    found: list[tuple[Micros, Cells]] = []
    for at in range(0, len(starts), _AT_ONCE):
        for record in await store.records(space, [str(start) for start in starts[at : at + _AT_ONCE]]):
            found.append((int(record.key), read_cells(record.text or "[]", shapes=shapes)))
    return found


async def _keep(store: Store, space: str, made: dict[Micros, Cells], keep: Micros) -> None:
    swaps = [Swap(space=space, key=str(start), text=text_of(cells), ttl=keep) for start, cells in made.items() if cells]
    # A store that is full or read-only still answers: the record only saves the next reader the work.
    with contextlib.suppress(StoreError):
        for at in range(0, len(swaps), _AT_ONCE):
            await store.exchange(swaps[at : at + _AT_ONCE])


def text_of(cells: Cells) -> str:
    """Cells as a record holds them."""
    stored = [
        _Cell(
            queue,
            kind,
            sums.ends,
            _flat(sums.took),
            _flat(sums.waited),
            sums.took_sum,
            sums.waited_sum,
            sums.cost,
            sums.cpu,
            sums.memory,
            sums.measured,
        )
        for (queue, kind), sums in sorted(cells.items())
    ]
    return msgspec.json.encode(stored).decode()


def read_cells(text: str, *, shapes: bool = True) -> Cells:
    """The cells of a record, with their histograms or without."""
    cells: Cells = {}
    for cell in _READ.decode(text):
        sums = cells[cell.queue, cell.kind] = Sums()
        sums.ends = cell.ends
        if shapes:
            sums.took, sums.waited = _pairs(cell.took), _pairs(cell.waited)
        sums.took_sum, sums.waited_sum = cell.took_sum, cell.waited_sum
        sums.cost, sums.cpu, sums.memory, sums.measured = cell.cost, cell.cpu, cell.memory, cell.measured
    return cells


def _flat(histogram: dict[int, int]) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode([number for pair in sorted(histogram.items()) for number in pair]))


def _pairs(text: msgspec.Raw) -> dict[int, int]:
    flat = iter(_HISTOGRAM.decode(text))
    return dict(zip(flat, flat, strict=True))
