"""Dead letters the founding way: listed, tried again by hand or when they are due, cleaned up by age."""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from windlass.app import Windlass
from windlass.compat.shapes import letter_shape
from windlass.compat.wording import read_days
from windlass.declare.refusal import refusal
from windlass.errors import JobNotFound
from windlass.operate.letters import may_help
from windlass.operate.views import Acted, act_on
from windlass.produce.ref import JobRef
from windlass.values.clock import micros
from windlass.values.job import Job
from windlass.values.query import Action, Command, Where
from windlass.values.states import State

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
    return [letter_shape(job, app.handlers.get(job.kind)) for job in found]


async def dead_letter_stats(app: Windlass, queue: str | None = None, within: Where | None = None) -> dict[str, Any]:
    """How many dead letters there are, how many of them may be tried again, and what they failed of."""
    total, retryable = 0, 0
    errors: Counter[str] = Counter()
    dates: list[datetime] = []
    async for job in failed_jobs(app, queue, within or Where()):
        total += 1
        retryable += may_help(job.error)
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
    """Run the dead letters of a queue again that are due: as long after their failure as the queue's `dead_retries` say (15
    minutes, 1 hour, 6 hours in the preset of the document), never those that failed by a permanent error. Their ids. The
    built-in schedule `windlass.retry-dead` does the same for all queues every minute."""
    store = await app.store()
    within = within or Where()
    due = replace(within, queues=(queue,), states=(), retry_before=await store.now() + 1)
    return list((await act_on(store, Command(action=Action.REQUEUE, scheduled=True), [due], actor)).ids)


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
