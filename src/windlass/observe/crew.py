"""What each worker did: counts, run and waiting times, CPU, memory and costs, long after it has gone.

Workers are counted by the minute, over all queues and kinds. An hour that is over is added up once, like those of queues and
kinds, with the worker's name in the place of the queue's.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

import msgspec

from windlass.observe.figures import Figures, Span, figures_of, read_span
from windlass.observe.frames import HOUR, KEEP_HOURS, Frame, added_up, closed, keep_frames, kept_frames, runs, together
from windlass.store.protocol import Store
from windlass.values.clock import Duration, Micros
from windlass.values.metrics import COARSE, TOOK, WAITED, WORKER, MetricQuery, Point
from windlass.values.queue import check_name

HOURS = "metrics-worker"
"""The space of records; the key is the instant at which the hour began."""
_PREFIX = "worker:"


class WorkerFigures(Figures, frozen=True, kw_only=True):
    """What became of a worker's attempts, as of a queue's; `median`, `p95`, `p99` within 5 %. What was taken from it when it was
    lost is nobody's."""

    worker: str


async def read_worker_metrics(
    store: Store,
    *,
    worker: str | None = None,
    last: Duration = "24h",
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 100,
) -> list[WorkerFigures]:
    """What each worker did, those that ran most first; `worker`: only this one."""
    name = "*" if worker is None else check_name(worker, "worker")
    span = read_span(await store.now(), last, since, until, None)
    cells = together(await _frames(store, span, name))
    found = [
        _figures(each, figures_of(sums, span, None, None))
        for (each, _), sums in cells.items()
        if worker in (None, each)
    ]
    found.sort(key=lambda each: (-each.completed - each.failed - each.retries, each.worker))
    return found[:limit]


async def fold_workers(store: Store, back: Micros) -> int:
    """Write the records of closed hours of the last `back` microseconds; how many there are."""
    now = await store.now()
    hours, _ = closed(max(now - back, 0) // HOUR * HOUR, now, HOUR, now)
    return len(await _hours(store, hours))


async def _frames(store: Store, span: Span, name: str) -> list[Frame]:
    hours, edges = closed(span.since, span.until, HOUR, span.now)
    found = await _hours(store, hours)
    for start, end in edges:
        found += await _counted(store, start, end, name)
    return found


async def _hours(store: Store, hours: list[Micros]) -> list[Frame]:
    found = await kept_frames(store, HOURS, hours)
    known = {frame.start for frame in found}
    for start, end in runs([hour for hour in hours if hour not in known]):
        made = await _counted(store, start, end, "*")
        await keep_frames(store, HOURS, made, KEEP_HOURS)
        found += made
    return found


async def _counted(store: Store, since: Micros, until: Micros, name: str) -> list[Frame]:
    query = MetricQuery(since=since, until=until, names=(_PREFIX + name,))
    return added_up(_plain(await store.metrics(query)), HOUR)


def _plain(points: Iterable[Point]) -> Iterator[Point]:
    """A worker's numbers as sums by name; the widest of a coarse bucket's durations but one stands for all."""
    for point in points:
        number = point.bucket
        if number < len(WORKER):
            name, bucket = WORKER[number], 0
            if name == "memory_runs":
                name, bucket = "memory", 1
        else:
            name, first = ("took", TOOK) if number < WAITED else ("waited", WAITED)
            bucket = max((number - first) * COARSE - 1, 0)
        yield Point(point.minute, point.name.removeprefix(_PREFIX), "", name, bucket, point.value)


def _figures(worker: str, figures: Figures) -> WorkerFigures:
    return WorkerFigures(worker=worker, **msgspec.structs.asdict(figures))
