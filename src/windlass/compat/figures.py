"""Figures the founding way: metrics of queues and users, statistics, priorities, performance."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from windlass.app import Windlass
from windlass.compat.shapes import DEAD_LETTER, add_up, counts_shape
from windlass.declare.refusal import refusal
from windlass.observe.figures import Figures, Metrics, Times, read_metrics
from windlass.operate.retention import prune_all, retention_of
from windlass.values.clock import micros, moment
from windlass.values.job import Job
from windlass.values.priority import Priority
from windlass.values.query import Where
from windlass.values.states import LIVE, PENDING, State

RANGES: Mapping[str, timedelta] = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
MOST_SCANNED = 10_000

_STEP = 250


async def queue_metrics(app: Windlass, queue: str | None, time_range: str = "24h") -> dict[str, Any]:
    """The metrics of a queue, or of all together, over `1h`, `24h`, `7d` or `30d`. Durations are milliseconds."""
    found = await read_metrics(await app.store(), queue=queue, last=read_range(time_range))
    return metrics_shape(found.total, queue, time_range, app.settings.currency)


def metrics_shape(figures: Figures, queue: str | None, time_range: str, currency: str) -> dict[str, Any]:
    """Both documents' keys: the flat ones, and those under `metrics`. `averageMemory`: bytes, null where no job ran in a
    process of its own, which is where memory can be measured."""
    ended = figures.completed + figures.failed
    run, wait = figures.run, figures.wait
    return {
        "queueName": queue,
        "timeRange": time_range,
        "total": ended,
        "successful": figures.completed,
        "failed": figures.failed,
        "averageDuration": run and _ms(run.average),
        "averageMemory": figures.average_memory,
        "totalCost": float(figures.cost),
        "totalRetries": figures.retries,
        "currency": currency,
        "metrics": {
            "successRate": figures.success_rate,
            "failureRate": None if figures.success_rate is None else round(1 - figures.success_rate, 6),
            "averageProcessingTime": run and _ms(run.average),
            "medianProcessingTime": run and _ms(run.median),
            "p95ProcessingTime": run and _ms(run.p95),
            "p99ProcessingTime": run and _ms(run.p99),
            "averageWaitTime": wait and _ms(wait.average),
            "throughputPerMinute": figures.per_minute,
            "throughputPerHour": figures.per_hour,
            "stalled": figures.rescues,
        },
    }


async def comprehensive_metrics(app: Windlass, queue: str, time_range: str = "24h") -> dict[str, Any]:
    """The metrics of a queue and its jobs by state."""
    counts = (await queue_stats(app)).get(queue, counts_shape({}))
    return {**await queue_metrics(app, queue, time_range), "counts": counts}


async def all_metrics(app: Windlass, time_range: str = "24h") -> dict[str, Any]:
    """The metrics of every queue, and of all together."""
    found = await read_metrics(await app.store(), last=read_range(time_range))
    by_queue = {each.queue: each for each in found.queues}
    stats, currency = await queue_stats(app), app.settings.currency
    queues = {
        name: {**metrics_shape(by_queue.get(name) or Figures(queue=name), name, time_range, currency), "counts": counts}
        for name, counts in stats.items()
        if name != DEAD_LETTER
    }
    return {"queues": queues, "totals": metrics_shape(found.total, None, time_range, currency), "timeRange": time_range}


async def performance(app: Windlass, queue: str | None = None, time_range: str = "24h") -> dict[str, Any]:
    """How long jobs run and wait, how many a minute and an hour, how many fail, how busy the workers are, step by step."""
    found = await read_metrics(await app.store(), queue=queue, last=read_range(time_range))
    total = found.total
    return {
        "queueName": queue,
        "timeRange": time_range,
        "averageProcessingTime": total.run and _ms(total.run.average),
        "processingTime": _times(total.run),
        "waitTime": _times(total.wait),
        "throughput": {"jobsPerMinute": total.per_minute, "jobsPerHour": total.per_hour},
        "errorRate": None if total.success_rate is None else round(1 - total.success_rate, 6),
        "queueUtilization": await _utilization(app),
        "byType": {
            str(each.kind): {"completed": each.completed, "failed": each.failed, "processingTime": _times(each.run)}
            for each in found.kinds
        },
        "history": trend(found),
    }


def trend(found: Metrics) -> list[dict[str, Any]]:
    """Step by step: how many jobs completed and failed."""
    return [
        {"at": point.at, "completed": point.completed, "failed": point.failed, "retries": point.retries}
        for point in found.series
    ]


async def user_metrics(app: Windlass, user: str, time_range: str = "7d", within: Where | None = None) -> dict[str, Any]:
    """The metrics of a user, each attempt counted in the transaction that ended it. Seen from within a project, where those
    of the user's other projects must not show, they are counted from the jobs that are still there (`complete` false: there
    are more than were looked at)."""
    if within is not None and within.project is not None:
        return await _user_in_project(app, user, time_range, within)
    found = await app.metrics(user=user, last=read_range(time_range))
    total = found.total
    return {
        "userId": user,
        "timeRange": time_range,
        "since": found.since,
        "total": total.completed + total.failed,
        "successful": total.completed,
        "failed": total.failed,
        "averageDuration": None if total.run_average is None else _ms(total.run_average),
        "averageMemory": total.average_memory,
        "totalCost": float(total.cost),
        "totalRetries": total.retries,
        "currency": found.currency,
        "complete": True,
    }


async def _user_in_project(app: Windlass, user: str, time_range: str, within: Where) -> dict[str, Any]:
    since = await (await app.store()).now() - micros(read_range(time_range))
    states: Counter[str] = Counter()
    seen = retries = runs = 0
    took, cost = timedelta(), Decimal(0)
    async for job in scan(app, replace(within, user=user, created_from=max(since, 0))):
        seen += 1
        states[job.state] += 1
        retries += max(job.attempt - 1, 0)
        cost += job.cost
        if job.state is State.COMPLETED and job.started_at and job.finished_at:
            runs += 1
            took += job.finished_at - job.started_at
    return {
        "userId": user,
        "timeRange": time_range,
        "since": moment(max(since, 0)),
        "total": states[State.COMPLETED] + states[State.FAILED],
        "successful": states[State.COMPLETED],
        "failed": states[State.FAILED],
        "averageDuration": _ms(took.total_seconds() / runs) if runs else None,
        "averageMemory": None,
        "totalCost": float(cost),
        "totalRetries": retries,
        "currency": app.settings.currency,
        "complete": seen < MOST_SCANNED,
    }


async def queue_stats(app: Windlass) -> dict[str, dict[str, int]]:
    """Jobs by state, of each queue: the documents' five states, `blocked` and `cancelled`; also of the queue `dead-letter`,
    in which the failed jobs of all queues are seen once more."""
    found = {name: counts_shape(counts) for name, counts in (await app.queues.stats()).items()}
    dead = sum(counts["failed"] for counts in found.values())
    return {**found, DEAD_LETTER: counts_shape({"failed": dead})}


async def statistics(app: Windlass) -> dict[str, Any]:
    """Overall statistics: jobs by type and status, priorities and users of those that wait, the trend of a day, and queues."""
    queues = await queue_stats(app)
    found = await read_metrics(await app.store(), last=RANGES["24h"])
    users: Counter[str] = Counter()
    types: dict[str, Counter[str]] = {}
    spread = Spread()
    async for job in scan(app, Where(states=LIVE)):
        spread.add(job)
        types.setdefault(job.kind, Counter())[str(job.state)] += 1
        if job.user is not None:
            users[job.user] += 1
    ended = {str(each.kind): {"completed": each.completed, "failed": each.failed} for each in found.kinds}
    by_type = {name: counts_shape(types.get(name, {})) | ended.get(name, {}) for name in sorted({*types, *ended})}
    return {
        "jobs": {
            "byType": by_type,
            "byUser": dict(users.most_common(100)),
            "priorities": spread.shape(),
            "trend": trend(found),
            "complete": spread.seen < MOST_SCANNED,
        },
        "queues": queues,
        "totals": add_up(queues),
    }


async def priority_distribution(app: Windlass, queue: str) -> dict[str, Any]:
    """How many jobs of a queue that are still to run have which priority."""
    spread = Spread()
    async for job in scan(app, Where(states=PENDING, queues=(queue,))):
        spread.add(job)
    return {"queueName": queue, **spread.shape()}


class Spread:
    """Jobs by priority."""

    def __init__(self) -> None:
        self.seen = 0
        self._priorities: Counter[int] = Counter()

    def add(self, job: Job) -> None:
        """Count a job."""
        self.seen += 1
        self._priorities[job.priority] += 1

    def shape(self) -> dict[str, Any]:
        """By the four names, and by number. `complete` false: there are more than were looked at."""
        names = {level.name.lower(): 0 for level in reversed(Priority)}
        for priority, n in self._priorities.items():
            names[priority_class(priority)] += n
        numbers = {str(priority): n for priority, n in sorted(self._priorities.items(), reverse=True)}
        return {
            "total": self.seen,
            "distribution": names,
            "byNumber": numbers,
            "complete": self.seen < MOST_SCANNED,
        }


def priority_class(priority: int) -> str:
    """The named class that a number belongs to: the highest that it reaches."""
    return next((level.name.lower() for level in reversed(Priority) if priority >= level), "low")


async def scan(app: Windlass, where: Where) -> AsyncIterator[Job]:
    """Matching jobs, newest first, 10,000 at most."""
    store = await app.store()
    cursor: str | None = None
    seen = 0
    while seen < MOST_SCANNED:
        page = await store.jobs(where, cursor, _STEP)
        for job in page.items:
            yield job
        seen += len(page.items)
        cursor = page.next
        if cursor is None:
            return


async def clean_all(app: Windlass) -> int:
    """Delete at once what retention no longer keeps, in all queues; how many jobs."""
    store = await app.store()
    return await prune_all(store, replace(await retention_of(store, app.settings.retention), metrics=None))


def read_range(text: object) -> timedelta:
    """A time range in the documents' words."""
    found = RANGES.get(text) if isinstance(text, str) else None
    if found is None:
        raise refusal("timeRange", text, "|".join(RANGES), "use 24h")
    return found


async def _utilization(app: Windlass) -> float | None:
    """How many of the workers' slots are taken, 0 to 1; None without workers."""
    workers = await app.workers()
    slots = sum(sum(info.slots.values()) for info in workers)
    return round(sum(info.running for info in workers) / slots, 4) if slots else None


def _times(times: Times | None) -> dict[str, Any] | None:
    if times is None:
        return None
    return {
        "average": _ms(times.average),
        "median": _ms(times.median),
        "p95": _ms(times.p95),
        "p99": _ms(times.p99),
        "count": times.count,
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1_000, 3)
