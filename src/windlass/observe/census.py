"""What a judgement of health goes by: the state of each queue now, its rates of late, its workers, and what holds its jobs."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

import msgspec

from windlass.observe.frames import DAY, HOUR, Frame, frames, together
from windlass.operate.explain import Crew, Explanation, Recent, explain
from windlass.providers.breakers import BreakerState, states
from windlass.store.protocol import Store
from windlass.values.clock import SECOND, Micros, instant
from windlass.values.job import Job
from windlass.values.lease import WorkerInfo
from windlass.values.limit import PROVIDER, LimitInfo
from windlass.values.metrics import MINUTE, MetricQuery, Point, percentiles
from windlass.values.query import Standing, Where
from windlass.values.queue import QueueInfo
from windlass.values.states import State

WINDOW = 15 * MINUTE
"""How far back failures are counted."""
RECENT = 5 * MINUTE
"""How far back rates look."""

_SWEEP = 2_000
"""So many waiting jobs are looked at one by one; beyond that the oldest is found by a few questions, as a lower bound."""
_RUNGS = (30 * DAY, 7 * DAY, 3 * DAY, DAY, 12 * HOUR, 4 * HOUR, HOUR, 15 * MINUTE, 5 * MINUTE, MINUTE)
_SAMPLE = 8
"""Waiting jobs of a queue whose standing is looked at."""
_ARRIVALS = 1_000
_MOST_ACTIVE = 1_000
_MOST_LIMITS = 1_000


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Attempts of the last `WINDOW` by how they ended; jobs that ended and that were created per second in the last `RECENT`;
    the 95th percentile of waiting (seconds) over the last day, None if nothing ran."""

    completed: int = 0
    failed: int = 0
    retried: int = 0
    rescued: int = 0
    served: float = 0.0
    arrived: float = 0.0
    usual_wait: float | None = None


class Ward(msgspec.Struct, frozen=True, kw_only=True):
    """A queue under examination. `oldest`: seconds since the job that waits longest could run, None if none waits; a lower
    bound unless `exact`. `samples`: why some of its waiting jobs do not run."""

    info: QueueInfo
    counts: Mapping[State, int]
    rates: Rates
    oldest: float | None = None
    exact: bool = True
    samples: Sequence[Explanation] = ()

    @property
    def waiting(self) -> int:
        return self.counts.get(State.WAITING, 0)


class Census(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is looked at. `running`: jobs by worker. `limits`: keys for which jobs wait; `breakers`: by provider."""

    now: Micros
    wards: Sequence[Ward]
    workers: Sequence[WorkerInfo]
    running: Mapping[str, int]
    limits: Sequence[LimitInfo]
    breakers: Mapping[str, BreakerState]


async def take_census(store: Store, queue: str | None = None) -> Census:
    """Look at all queues, or one. The work is bounded, whatever the number of jobs."""
    now = await store.now()
    counts: dict[str, dict[State, int]] = defaultdict(dict)
    for count in await store.counts():
        counts[count.queue][count.state] = count.n
    infos = {info.name: info for info in await store.queues()}
    names = sorted({*counts, *infos}) if queue is None else [queue]
    workers = await store.workers()
    running = await _running(store)
    waiting = await _waiting(store, now, {name: counts[name].get(State.WAITING, 0) for name in names})
    rates = await _rates(store, now, names)
    limits = await store.limits(limit=_MOST_LIMITS)
    providers = [limit.key.removeprefix(PROVIDER) for limit in limits if limit.key.startswith(PROVIDER)]
    breakers = await states(store, providers) if providers else {}
    wards: list[Ward] = []
    for name in names:
        line = waiting.get(name, _Line())
        wards.append(
            Ward(
                info=infos.get(name) or QueueInfo(name=name),
                counts=counts[name],
                rates=rates[name],
                oldest=line.oldest(now),
                exact=line.exact,
                samples=await _samples(store, line, workers, running, breakers),
            )
        )
    return Census(now=now, wards=wards, workers=workers, running=running, limits=limits, breakers=breakers)


class _Line(msgspec.Struct, frozen=True):
    """Waiting jobs of a queue, as far as they were looked at, the longest waiting first."""

    jobs: Sequence[Job] = ()
    exact: bool = True

    def oldest(self, now: Micros) -> float | None:
        return max(now - _since(self.jobs[0]), 0) / SECOND if self.jobs else None


def _since(job: Job) -> Micros:
    """Since when it could run."""
    return instant(job.run_at or job.created_at)


async def _running(store: Store) -> Counter[str]:
    active = await store.jobs(Where(states=(State.ACTIVE,)), limit=_MOST_ACTIVE)
    return Counter(job.worker for job in active.items if job.worker)


async def _waiting(store: Store, now: Micros, counts: Mapping[str, int]) -> dict[str, _Line]:
    held = {name: n for name, n in counts.items() if n}
    if not held:
        return {}
    if sum(held.values()) <= _SWEEP:
        return await _sweep(store, tuple(held))
    return {name: await _rungs(store, now, name) for name in held}


async def _sweep(store: Store, queues: tuple[str, ...]) -> dict[str, _Line]:
    where = Where(states=(State.WAITING,), queues=queues)
    found: dict[str, list[Job]] = defaultdict(list)
    cursor: str | None = None
    for _ in range(2 * _SWEEP // 1_000 + 2):  # they may grow meanwhile, but not for ever
        page = await store.jobs(where, cursor, 1_000)
        for job in page.items:
            found[job.queue].append(job)
        cursor = page.next
        if cursor is None:
            break
    return {name: _Line(sorted(jobs, key=_since), cursor is None) for name, jobs in found.items()}


async def _rungs(store: Store, now: Micros, queue: str) -> _Line:
    """Jobs created at least a month, a week ... a minute ago that wait still: the first question that finds some answers. A page
    looks at a bounded part of the store, so what it finds is a lower bound."""
    where = Where(states=(State.WAITING,), queues=(queue,))
    for back in (*_RUNGS, 0):
        page = await store.jobs(where, _id_at(now - back) if back else None, _SAMPLE)
        if page.items:
            return _Line(sorted(page.items, key=_since), exact=False)
    return _Line()


def _id_at(at: Micros) -> str:
    """The smallest id that a job created at an instant may have: pages go on by id, and ids are UUIDv7."""
    return str(UUID(int=(max(at, 0) // 1_000 << 80) | 0x7 << 76 | 0x2 << 62))


async def _samples(
    store: Store,
    line: _Line,
    workers: Sequence[WorkerInfo],
    running: Mapping[str, int],
    breakers: Mapping[str, BreakerState],
) -> list[Explanation]:
    """Why some of a line's jobs do not run: the oldest, the youngest and some between, those of different kinds first."""
    if not line.jobs:
        return []
    kinds = {job.kind: job for job in reversed(line.jobs)}
    step = max(len(line.jobs) // _SAMPLE, 1)
    chosen = {job.id: job for job in (line.jobs[0], *kinds.values(), line.jobs[-1], *line.jobs[::step])}
    told: list[Explanation] = []
    for id in list(chosen)[:_SAMPLE]:
        standing = await store.standing(id)
        if standing is not None and standing.job.state is State.WAITING:
            told.append(explain(standing, _crew(standing, workers, running), Recent(), breakers))
    return told


def _crew(standing: Standing, workers: Sequence[WorkerInfo], running: Mapping[str, int]) -> Crew:
    alive = [worker for worker in workers if standing.now - worker.seen_at <= worker.lease]
    return Crew(alive, running)


async def _rates(store: Store, now: Micros, names: Sequence[str]) -> dict[str, Rates]:
    ends = ("complete", "fail", "retry", "rescue", "abort")
    queues = tuple(names) if len(names) == 1 else ()
    points = await store.metrics(MetricQuery(since=now - WINDOW, until=now + MINUTE, queues=queues, names=ends))
    # A day in closed hours; the running hour is left out, it would be read minute by minute.
    hour = now // HOUR * HOUR
    usual = _usual(await frames(store, hour - DAY, hour, now, most="hour", queues=queues)) if now > DAY else {}
    by_queue: dict[str, list[Point]] = defaultdict(list)
    for point in points:
        by_queue[point.queue].append(point)
    found: dict[str, Rates] = {}
    for name in names:
        own = by_queue[name]
        late = [point for point in own if point.minute >= now - RECENT and point.name in ("complete", "fail", "abort")]
        span = max(now - max(min((point.minute for point in late), default=now), now - RECENT), SECOND) / SECOND
        found[name] = Rates(
            completed=_sum(own, "complete"),
            failed=_sum(own, "fail"),
            retried=_sum(own, "retry"),
            rescued=_sum(own, "rescue"),
            served=sum(point.value for point in late) / span,
            arrived=await _arrivals(store, now, name),
            usual_wait=usual.get(name),
        )
    return found


def _usual(hours: Iterable[Frame]) -> dict[str, float]:
    merged: dict[str, Counter[int]] = defaultdict(Counter)
    for (queue, _), sums in together(hours).items():
        merged[queue].update(sums.waited)
    return {queue: percentiles(histogram, (0.95,))[0] / SECOND for queue, histogram in merged.items() if histogram}


async def _arrivals(store: Store, now: Micros, queue: str) -> float:
    """Jobs created per second: of the newest ones, at most the last five minutes."""
    page = await store.jobs(Where(queues=(queue,), created_from=now - RECENT), limit=_ARRIVALS)
    if not page.items:
        return 0.0
    full = len(page.items) == _ARRIVALS
    span = now - instant(page.items[-1].created_at) if full else RECENT
    return len(page.items) / max(span / SECOND, 1.0)


def _sum(points: Iterable[Point], name: str) -> int:
    return sum(point.value for point in points if point.name == name)
