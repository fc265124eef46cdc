"""Founding paths about queues, dead letters and figures."""

from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta

from windlass.api.founding.jobs import read_states, retry_failed
from windlass.api.operation import Call
from windlass.api.permissions import Permission, may
from windlass.api.problems import Problem
from windlass.api.routes.acts import Again
from windlass.api.routes.closeup import one_job
from windlass.api.routes.insight import list_kinds, list_workers
from windlass.api.routes.queues import get_queue, pause_queue, resume_queue
from windlass.compat import figures, letters
from windlass.compat.services import health_shape
from windlass.compat.shapes import DEAD_LETTER, add_up, counts_shape
from windlass.operate.views import act_on
from windlass.values.query import Action, Command, Where
from windlass.values.states import PENDING, State

Body = dict[str, Any]


class RangeQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Over which time."""

    time_range: Literal["1h", "24h", "7d", "30d"] = "24h"


class UserRangeQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Over which time."""

    time_range: Literal["1h", "24h", "7d", "30d"] = "7d"


class LettersQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Which dead letters."""

    queue_name: str | None = None
    limit: Annotated[int, Meta(ge=1, le=letters.MOST_LISTED)] = 100


class LimitQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many."""

    limit: Annotated[int, Meta(ge=1, le=letters.MOST_LISTED)] = 50


class Age(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """How old dead letters are that may go; left out, those that retention no longer keeps (90 days; at 30 they are archived)."""

    older_than_days: Annotated[float, Meta(ge=0, le=36_500)] | None = None
    days: Annotated[float, Meta(ge=0, le=36_500)] | None = None

    @property
    def age(self) -> float | None:
        """In days, in either spelling."""
        return self.older_than_days if self.days is None else self.days


class ClearQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Which states to clear; those that wait and those that are delayed, if left out."""

    states: str = "waiting,delayed"
    dry_run: bool = False


# queues


async def stats_of_queue(call: Call, queue: str) -> Body:
    """A queue's jobs by state; `dead-letter` is the queue of the dead letters of all queues."""
    if queue == DEAD_LETTER:
        return {"queueName": queue, **(await figures.queue_stats(call.app))[DEAD_LETTER]}
    return {"queueName": queue, **counts_shape((await get_queue(call, queue)).counts)}


async def stats_of_queues(call: Call) -> Body:
    """The jobs of every queue by state."""
    return dict(await figures.queue_stats(call.app))


async def statistics(call: Call) -> Body:
    """Statistics of jobs and of queues, and totals."""
    return await figures.statistics(call.app)


async def dashboard(call: Call) -> Body:
    """What a dashboard shows, as far as the caller may see it."""
    queues = await figures.queue_stats(call.app)
    paused = [info.name for info in await call.app.queues.list() if info.paused]
    totals = add_up(queues)
    found: Body = {"queues": queues, "totals": totals, "paused": paused, "deadLetters": totals["failed"]}
    if may(call.caller, Permission.METRICS_READ):
        found["metrics"] = await figures.queue_metrics(call.app, None, "24h")
    if may(call.caller, Permission.WORKERS_READ):
        found["workers"] = (await list_workers(call)).value.items
    if may(call.caller, Permission.JOBS_READ):
        within = call.caller.reach.narrow(Where())
        found["recentFailures"] = await letters.dead_letters(call.app, None, 10, within)
    return found


async def show_queue(call: Call, queue: str) -> Body:
    """A queue in detail."""
    found = await get_queue(call, queue)
    limit = await call.app.limits.get(f"queue:{queue}")
    detail: Body = {
        "name": queue,
        "queueName": queue,
        "isPaused": found.paused,
        "order": found.order,
        "counts": counts_shape(found.counts),
        "concurrency": limit and limit.concurrency,
        "rateLimit": limit and limit.rate,
        "priorities": await figures.priority_distribution(call.app, queue),
    }
    if may(call.caller, Permission.METRICS_READ):
        detail["metrics"] = await figures.queue_metrics(call.app, queue)
    return detail


async def pause(call: Call, queue: str) -> Body:
    """Hand out no more jobs of a queue; running ones go on."""
    return {"success": True, "queueName": queue, "isPaused": (await pause_queue(call, queue)).paused}


async def resume(call: Call, queue: str) -> Body:
    """Hand out a queue's jobs again."""
    return {"success": True, "queueName": queue, "isPaused": (await resume_queue(call, queue)).paused}


async def clear(call: Call, queue: str, query: ClearQuery) -> Body:
    """Delete a queue's jobs that wait or are delayed, or those in `states`; running ones stay. `dryRun` only counts."""
    counts = (await get_queue(call, queue)).counts
    states = read_states(query.states)
    allowed = {*PENDING, State.COMPLETED, State.FAILED, State.CANCELLED}
    if not set(states) <= allowed:
        raise Problem(422, "invalid-parameter", "running jobs cannot be cleared; cancel them")
    matching = sum(counts[str(state)] for state in states)
    if query.dry_run:
        return {"success": True, "queueName": queue, "cleared": 0, "matching": matching, "dryRun": True}
    where = Where(queues=(queue,), states=states)
    acted = await act_on(await call.app.store(), Command(action=Action.DELETE), [where], call.caller.actor)
    return {"success": True, "queueName": queue, "cleared": int(acted), "matching": matching, "dryRun": False}


async def types(call: Call) -> Body:
    """The job types that can be created."""
    found = [
        {
            "name": kind.name,
            "jobType": kind.name,
            "queueName": kind.queue,
            "priority": kind.priority,
            "maxAttempts": kind.max_attempts,
            "schema": kind.schema,
        }
        for kind in (await list_kinds(call)).value.items
    ]
    return {"types": found, "count": len(found)}


# dead letters


async def list_letters(call: Call, query: LettersQuery) -> Body:
    """Dead letters, newest first."""
    return await _letters(call, query.queue_name, query.limit)


async def list_letters_of(call: Call, queue: str, query: LimitQuery) -> Body:
    """A queue's dead letters, newest first."""
    return await _letters(call, queue, query.limit)


async def letter_stats(call: Call, queue: str) -> Body:
    """How many dead letters a queue has, and what they failed of."""
    return await letters.dead_letter_stats(call.app, queue, _reach(call))


async def retry_letter(call: Call, id: str, body: Again) -> Body:
    """Run a dead letter again."""
    return await _retry_letter(call, None, id, body)


async def retry_letter_of(call: Call, queue: str, id: str, body: Again) -> Body:
    """Run a dead letter of a queue again."""
    return await _retry_letter(call, queue, id, body)


async def process_retries(call: Call, queue: str) -> Body:
    """Run the dead letters of a queue again that are due."""
    done = await letters.process_scheduled_retries(call.app, queue, _reach(call), call.caller.actor)
    return {"success": True, "queueName": queue, "retried": done, "count": len(done)}


async def clean_up_letters(call: Call, body: Age) -> Body:
    """Delete old dead letters of all queues."""
    return await _purge(call, None, body.age)


async def purge_letters(call: Call, queue: str, query: Age) -> Body:
    """Delete old dead letters of a queue."""
    return await _purge(call, queue, query.age)


# figures


async def metrics_of_queue(call: Call, queue: str, query: RangeQuery) -> Body:
    """A queue's metrics."""
    await get_queue(call, queue)
    return await figures.queue_metrics(call.app, queue, query.time_range)


async def metrics_of_user(call: Call, query: UserRangeQuery) -> Body:
    """The caller's own metrics."""
    return await figures.user_metrics(call.app, call.caller.user, query.time_range, _reach(call))


async def full_metrics_of_queue(call: Call, queue: str, query: RangeQuery) -> Body:
    """A queue's metrics, and its jobs by state."""
    await get_queue(call, queue)
    return await figures.comprehensive_metrics(call.app, queue, query.time_range)


async def all_metrics(call: Call, query: RangeQuery) -> Body:
    """The metrics of every queue."""
    return await figures.all_metrics(call.app, query.time_range)


async def performance(call: Call, query: RangeQuery) -> Body:
    """How long jobs run and wait, all queues together."""
    return await figures.performance(call.app, None, query.time_range)


async def performance_of_queue(call: Call, queue: str, query: RangeQuery) -> Body:
    """How long a queue's jobs run and wait."""
    await get_queue(call, queue)
    return await figures.performance(call.app, queue, query.time_range)


async def priorities(call: Call, queue: str) -> Body:
    """A queue's jobs that are still to run, by priority."""
    await get_queue(call, queue)
    return await figures.priority_distribution(call.app, queue)


async def health(call: Call) -> Body:
    """The health of all queues: the worst of theirs."""
    found = await call.app.health()
    return {
        "status": found.status,
        "issues": [issue.text for issue in found.issues],
        "recommendations": [f"{each.text}: {each.command}" for each in found.recommendations],
        "queues": {each.queue: health_shape(each) for each in found.queues},
        "timestamp": found.at,
    }


async def health_of_queue(call: Call, queue: str) -> Body:
    """A queue's health."""
    await get_queue(call, queue)
    return health_shape(await call.app.health(queue))


def _reach(call: Call) -> Where:
    found = call.caller.reach.narrow(Where())
    return cast("Where", found)  # narrowing nothing always leaves something


async def _letters(call: Call, queue: str | None, limit: int) -> Body:
    items = await letters.dead_letters(call.app, queue, limit, _reach(call))
    return {"jobs": items, "items": items, "count": len(items)}


async def _retry_letter(call: Call, queue: str | None, id: str, body: Again) -> Body:
    job = await one_job(call, id)
    if queue not in (None, job.queue):
        raise Problem(404, "job-not-found", "there is no such dead letter in this queue")
    if job.state is not State.FAILED:
        raise Problem(409, "wrong-state", f"the job is {job.state}, not a dead letter")
    return {**await retry_failed(call, id, body), "_id": id}


async def _purge(call: Call, queue: str | None, days: float | None) -> Body:
    if days is None:
        kept = call.app.settings.keep_failed
        if kept is None:
            return {"success": True, "deleted": 0, "olderThanDays": None}
        days = kept / 86_400
    acted = await letters.purge_dead_letters(call.app, days, queue, _reach(call), call.caller.actor)
    return {"success": True, "deleted": int(acted), "olderThanDays": days}
