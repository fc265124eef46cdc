"""Dead letters the founding way: listed, tried again by hand or when they are due, cleaned up by age."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from windlass.app import Windlass
from windlass.compat.shapes import can_retry, letter_shape, next_retry
from windlass.compat.wording import read_days
from windlass.declare.refusal import refusal
from windlass.errors import JobNotFound
from windlass.operate.views import Acted, act_on
from windlass.produce.ref import JobRef
from windlass.values.clock import SECOND, micros, moment
from windlass.values.job import Job
from windlass.values.query import Action, Command, Swap, Where
from windlass.values.states import State

TRIED = "dead-letter-retries"
"""The space of records that say how often a dead letter was tried again by itself."""

_KEPT = 90 * 86_400 * SECOND
_STEP = 200
MOST_LISTED = 1_000


async def dead_letters(
    app: Windlass, queue: str | None = None, limit: int = 100, within: Where | None = None
) -> list[dict[str, Any]]:
    """The newest dead letters of a queue, or of all queues."""
    if not 1 <= limit <= MOST_LISTED:
        raise refusal("limit", limit, f"1..{MOST_LISTED}", "use 100")
    found: list[Job] = []
    async for job in failed_jobs(app, queue, within or Where()):
        found.append(job)
        if len(found) == limit:
            break
    tried = await _tried(app, [job.id for job in found])
    return [letter_shape(job, app.handlers.get(job.kind), tried.get(job.id, (0, 0))[0]) for job in found]


async def dead_letter_stats(app: Windlass, queue: str | None = None, within: Where | None = None) -> dict[str, Any]:
    """How many dead letters there are, how many of them may be tried again, and what they failed of."""
    total, retryable = 0, 0
    errors: Counter[str] = Counter()
    dates: list[datetime] = []
    async for job in failed_jobs(app, queue, within or Where()):
        total += 1
        retryable += can_retry(job)
        errors[job.error.type if job.error else job.reason or "unknown"] += 1
        if job.finished_at is not None:
            dates.append(job.finished_at)
    return {
        "queueName": queue,
        "total": total,
        "retryable": retryable,
        "nonRetryable": total - retryable,
        "byError": dict(errors.most_common(20)),
        "oldest": min(dates, default=None),
        "newest": max(dates, default=None),
    }


async def retry_dead_letter(app: Windlass, id: str, queue: str | None = None) -> JobRef[Any]:
    """Run a dead letter again; raises `JobNotFound` if there is none of this id (in this queue)."""
    job = await app.jobs.get(id)
    if job.state is not State.FAILED or queue not in (None, job.queue):
        raise JobNotFound(f"there is no dead letter {id!r}" + (f" in the queue {queue!r}" if queue else ""), id=id)
    await app.jobs.requeue(ids=[id])
    return app.ref(id)


async def retried(app: Windlass, queue: str, id: str) -> bool:
    """Run a dead letter of a queue again; whether there was one."""
    try:
        await retry_dead_letter(app, id, queue)
    except JobNotFound:
        return False
    return True


async def process_scheduled_retries(
    app: Windlass, queue: str, within: Where | None = None, actor: str = "app"
) -> list[str]:
    """Run the dead letters of a queue again that are due: 15 minutes, then 1 hour, then 6 hours after they failed, and no more
    after that; never those that failed for good by a permanent error. Their ids."""
    store = await app.store()
    now = moment(await store.now())
    due: list[Job] = []
    async for job in failed_jobs(app, queue, within or Where()):
        if can_retry(job) and job.finished_at is not None and job.finished_at <= now:
            due.append(job)
    done: list[str] = []
    for start in range(0, len(due), _STEP):
        part = due[start : start + _STEP]
        tried = await _tried(app, [job.id for job in part])
        ready: list[Job] = []
        for job in part:
            at = next_retry(job, tried.get(job.id, (0, 0))[0])
            if at is not None and at <= now:
                ready.append(job)
        if not ready:
            continue
        # Counted before it runs: of two that come at the same time one finds another version, and leaves the job alone.
        swaps = [_count(job.id, *tried.get(job.id, (0, 0))) for job in ready]
        records = await store.exchange(swaps)
        mine = tuple(record.key for record in records if record.swapped)
        if mine:
            acted = await act_on(store, Command(action=Action.REQUEUE), [Where(ids=mine)], actor)
            done += acted.ids
    return done


async def purge_dead_letters(
    app: Windlass, days: float = 30, queue: str | None = None, within: Where | None = None, actor: str = "app"
) -> Acted:
    """Delete the dead letters that failed so many days ago or earlier."""
    store = await app.store()
    before = await store.now() - micros(timedelta(days=read_days(days)))
    where = _failed(queue, within or Where())
    return await act_on(store, Command(action=Action.DELETE), [replace(where, finished_to=max(before, 0))], actor)


async def cleanup_dead_letters(app: Windlass, days: float = 30) -> int:
    """Delete the dead letters of all queues that are older than so many days; how many."""
    return int(await purge_dead_letters(app, days))


async def failed_jobs(app: Windlass, queue: str | None, within: Where) -> AsyncIterator[Job]:
    """The failed jobs of a queue, newest first."""
    store = await app.store()
    cursor: str | None = None
    while True:
        page = await store.jobs(_failed(queue, within), cursor, _STEP)
        for job in page.items:
            yield job
        cursor = page.next
        if cursor is None:
            return


def _failed(queue: str | None, within: Where) -> Where:
    return replace(within, states=(State.FAILED,), queues=within.queues if queue is None else (queue,))


async def _tried(app: Windlass, ids: Sequence[str]) -> dict[str, tuple[int, int]]:
    """How often each was tried again by itself, and the version of the record that says so."""
    if not ids:
        return {}
    records = await (await app.store()).records(TRIED, list(ids))
    return {record.key: (int(record.text), record.version) for record in records if record.text}


def _count(id: str, made: int, version: int) -> Swap:
    return Swap(space=TRIED, key=id, text=str(made + 1), expect=version, ttl=_KEPT)
