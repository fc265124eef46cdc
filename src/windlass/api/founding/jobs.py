"""Founding paths about jobs: made, shown, listed, cancelled, tried again, removed."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from windlass.api.founding.making import create, recur, take_place, take_timing, unfit
from windlass.api.operation import Call, Reply
from windlass.api.paging import Cursor, read_cursor, write_cursor
from windlass.api.problems import Flaw, Problem
from windlass.api.routes.acts import Again, Why, cancel_job, delete_job, retry_job
from windlass.api.routes.closeup import Wait, get_job_progress, get_job_result, one_job
from windlass.api.routes.schedules import delete_schedule
from windlass.compat.shapes import fold, job_shape
from windlass.produce.results import not_found
from windlass.values.job import Job
from windlass.values.query import Where
from windlass.values.states import State

Body = dict[str, Any]
_MOST_AT_ONCE = 500


class PageQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which page, and perhaps which state."""

    state: str | None = None
    limit: Annotated[int, Meta(ge=1, le=500)] = 50
    cursor: Cursor | None = None


async def list_own(call: Call, query: PageQuery) -> Body:
    """The caller's own jobs."""
    return await _page(call, Where(user=call.caller.user), query)


async def show_own(call: Call, id: str) -> Body:
    """A job of the caller's reach."""
    return job_shape(await one_job(call, id))


async def cancel_own(call: Call, id: str, body: Why) -> Body:
    """Cancel a job of the caller's reach."""
    return await _cancel(call, id, body)


async def list_of_queue(call: Call, queue: str, query: PageQuery) -> Body:
    """The jobs of a queue."""
    return {"queueName": queue, **await _page(call, Where(queues=(queue,)), query)}


async def list_of_user(call: Call, user: str, query: PageQuery) -> Body:
    """The jobs of a user; `me` is the caller."""
    own = call.caller.reach.user
    user = call.caller.user if user == "me" else user
    if own is not None and user != own:
        raise Problem(403, "out-of-reach", "the user is not you")
    return {"userId": user, **await _page(call, Where(user=user), query)}


async def show(call: Call, queue: str, id: str) -> Body:
    """A job of that queue or type."""
    return job_shape(await named_job(call, queue, id))


async def cancel(call: Call, queue: str, id: str, body: Why) -> Body:
    """Cancel a job of that queue."""
    await named_job(call, queue, id)
    return await _cancel(call, id, body)


async def retry(call: Call, queue: str, id: str, body: Again) -> Body:
    """Run a failed job of that queue or type again."""
    await named_job(call, queue, id)
    return await retry_failed(call, id, body)


async def retry_some(call: Call, body: Body) -> Body:
    """Run failed jobs again: `jobId`, or `jobIds`; what became of each."""
    ids = body.get("jobIds", [body["jobId"]] if "jobId" in body else None)
    again = body.get("keepAttempts", False)
    extra = sorted(set(body) - {"jobId", "jobIds", "queueName", "keepAttempts"})
    if extra:
        raise unfit(f"/{extra[0]}", "there is no such field")
    if not isinstance(again, bool):
        raise unfit("/keepAttempts", "true or false")
    if not isinstance(ids, list) or not 1 <= len(ids) <= _MOST_AT_ONCE or not all(isinstance(id, str) for id in ids):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        raise unfit("/jobId", f"name one job, or up to {_MOST_AT_ONCE} in jobIds")
    queue = body.get("queueName")
    done: list[str] = []
    refused: dict[str, str] = {}
    for id in dict.fromkeys(str(each) for each in ids):  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        try:
            if queue is not None:
                await named_job(call, queue, id)
            await retry_failed(call, id, Again(keep_attempts=again))
            done.append(id)
        except Problem as problem:
            refused[id] = problem.detail
        except LookupError:
            refused[id] = "not found"
    if refused and "jobIds" not in body:
        status = 404 if "not found" in refused.values() else 409
        code = "job-not-found" if status == 404 else "wrong-state"
        raise Problem(status, code, next(iter(refused.values())))
    return {"success": bool(done), "retried": done, "refused": refused}


async def retry_failed(call: Call, id: str, body: Again) -> Body:
    """Run a job again that failed or was cancelled; what completed is left alone."""
    job = await one_job(call, id)
    if job.state is State.COMPLETED:
        raise Problem(409, "wrong-state", "the job is completed")
    await retry_job(call, id, body)
    return {"success": True, **job_shape(await one_job(call, id))}


async def create_of_type(call: Call, job_type: str, body: Body) -> Reply[Body]:
    """Create a job: the body is its data, with `priority`, `delay` and the like beside it, or `data` holds it."""
    return await create(call, job_type, body, queue=False)


async def create_delayed(call: Call, body: Body) -> Reply[Body]:
    """Create a job that runs `delay` milliseconds from now."""
    place, rest = take_place(body)
    if "delay" not in rest and "runAt" not in rest:
        raise unfit("/delay", "say in how many milliseconds")
    return await create(call, place, rest, queue=False)


async def create_recurring(call: Call, body: Body) -> Body:
    """Create a recurring job, by `cronExpression`."""
    place, rest = take_place(body)
    timing = take_timing(rest)
    if "cron" not in timing:
        raise unfit("/cronExpression", "give a cron expression, such as 0 0 * * *")
    return await recur(call, place, rest, timing)


async def remove_recurring(call: Call, id: str) -> Body:
    """Remove a recurring job; jobs that it made stay."""
    found = await delete_schedule(call, id)
    return {"success": True, "id": id, "recurringJobId": id, "executions": found.fired}


async def schedule(call: Call, body: Body) -> Reply[Body]:
    """Schedule a job: again and again with `cron` or `every`, once with `runAt`, `date` or `delay`."""
    place, rest = take_place(body)
    timing = take_timing(rest)
    if "date" in rest:
        rest["runAt"] = rest.pop("date")
    once = [word for word in ("runAt", "delay") if rest.get(word) is not None]
    if ("cron" in timing) + ("every" in timing) + len(once) != 1:
        raise unfit("", "give exactly one of cron, every, runAt, delay")
    if once:
        return await create(call, place, rest, queue=False)
    return Reply(await recur(call, place, rest, timing))


async def create_enhanced(call: Call, queue: str, body: Body) -> Reply[Body]:
    """Create a job in a queue: `name`, `data`, and `priority`, `delay`, `retryStrategy` beside them or in `options`."""
    if not isinstance(body.get("data"), dict):
        raise unfit("/data", "data must be an object")
    return await create(call, queue, body, queue=True)


async def show_progress(call: Call, queue: str, id: str) -> Body:
    """How far a job is."""
    await named_job(call, queue, id)
    found = await get_job_progress(call, id)
    return {"id": id, "state": fold(found.state), "progress": found.progress, "note": found.note}


async def show_result(call: Call, queue: str, id: str, query: Wait) -> Reply[Body]:
    """How a job ended: 200 once it has, 202 while it has not."""
    await named_job(call, queue, id)
    reply = await get_job_result(call, id, query)
    shape = job_shape(await one_job(call, id))
    kept = ("id", "state", "progress", "result", "failedReason", "finishedAt")
    return Reply({name: shape[name] for name in kept}, status=reply.status, headers=reply.headers)


async def remove(call: Call, queue: str, id: str) -> Body:
    """Remove a job. A running one is told to stop instead, and can be removed once it has."""
    job = await named_job(call, queue, id)
    if job.state is State.ACTIVE:
        await cancel_job(call, id, Why(reason=f"removed by {call.caller.actor}"))
        return {"success": True, "id": id, "removed": False, "cancelled": True}
    await delete_job(call, id)
    return {"success": True, "id": id, "removed": True, "cancelled": False}


async def named_job(call: Call, place: str, id: str) -> Job:
    """A job within reach, if it is in that queue or of that type; else it is not found."""
    job = await one_job(call, id)
    if place not in (job.queue, job.kind):
        raise not_found(id)
    return job


async def _cancel(call: Call, id: str, body: Why) -> Body:
    acted = await cancel_job(call, id, body)
    return {"success": True, "id": id, "outcome": acted.outcome, "state": fold((await one_job(call, id)).state)}


async def _page(call: Call, where: Where, query: PageQuery) -> Body:
    where = replace(where, states=read_states(query.state)) if query.state is not None else where
    found = call.caller.reach.narrow(where)
    question = ("founding", where)
    if found is None:
        return {"jobs": [], "count": 0, "nextCursor": None}
    store = await call.app.store()
    page = await store.jobs(found, read_cursor(question, query.cursor), query.limit)
    jobs = [job_shape(job) for job in page.items]
    return {"jobs": jobs, "count": len(jobs), "nextCursor": write_cursor(question, page.next)}


def read_states(text: str) -> tuple[State, ...]:
    """States in the documents' words, with commas: `delayed` are those between two attempts too."""
    found: list[State] = []
    for word in text.split(","):
        try:
            state = State(word.strip())
        except ValueError:
            flaw = Flaw("must be some of the states", "invalid", parameter="state")
            raise Problem(422, "invalid-parameter", "a parameter does not fit", flaws=[flaw]) from None
        found += [state, State.RETRYING] if state is State.DELAYED else [state]
    return tuple(dict.fromkeys(found))
