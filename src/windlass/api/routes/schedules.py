"""Schedules: recurring jobs, put, paused, triggered, and previewed before they exist."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from windlass.api.operation import Call, Reply, Routes
from windlass.api.paging import Cursor, Limit, Listing, listing, read_cursor, whole
from windlass.api.problems import Flaw, Problem
from windlass.api.routes.jobs import Created
from windlass.api.specs import Duration, Instant, JobOptionsSpec, Maker
from windlass.api.views import JobView, read_include, view
from windlass.errors import ScheduleNotFound
from windlass.schedules.timing import make_rule
from windlass.schedules.view import Schedule
from windlass.values.clock import instant
from windlass.values.job import NewJob
from windlass.values.schedule import Occurrence, preview

routes = Routes("schedules", "Recurring jobs. Any worker fires them, each due time once.")

Cron = Annotated[str, Meta(min_length=1, max_length=500, examples=["0 6 * * mon-fri"])]
Zone = Annotated[str, Meta(min_length=1, max_length=100, examples=["Europe/Berlin"])]


class Timing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When: one of `cron`, `every`, `at`."""

    cron: Cron | None = None
    every: Duration | None = None
    at: Instant | None = None
    start: Instant | None = None
    timezone: Zone = "UTC"


class NewSchedule(Timing, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When to make which job, and what to do when the last one still runs or a time was missed."""

    job: JobOptionsSpec
    overlap: Literal["skip", "queue", "cancel_previous"] = "skip"
    missed: Literal["run_once", "skip", "run_all"] = "run_once"
    catch_up: Annotated[int, Meta(ge=1, le=10_000)] = 100
    jitter: Duration = 0.0
    paused: bool | None = None


class PreviewAsked(Timing, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A timing to look at, and how many times of it."""

    count: Annotated[int, Meta(ge=1, le=100)] = 10
    after: Instant | None = None


class PreviewQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many times, and from when."""

    count: Annotated[int, Meta(ge=1, le=100)] = 10
    after: Instant | None = None


class HistoryQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which page of the jobs it made."""

    include: Annotated[str, Meta(description="Of args, result, attempts, options, traceback.")] | None = None
    limit: Limit = 50
    cursor: Cursor | None = None


@routes.get("/schedules")
async def list_schedules(call: Call) -> Reply[Listing[Schedule]]:
    """List schedules by key, built-in ones included."""
    return whole(call, await call.app.schedules.list())


@routes.post("/schedules/preview", example={"cron": "30 2 * * *", "timezone": "Europe/Berlin"})
async def preview_new_schedule(call: Call, body: PreviewAsked) -> list[Occurrence]:
    """When a timing would be due, before there is a schedule; changes of the clock are marked."""
    rule = make_rule(NewJob(id="", kind="preview"), _when(body))
    begin = await (await call.app.store()).now() if body.after is None else instant(body.after, "after")
    return preview(rule, begin, body.count)


@routes.get("/schedules/{key:path}/preview")
async def preview_schedule(call: Call, key: str, query: PreviewQuery) -> list[Occurrence]:
    """When a schedule will be due next; changes of the clock are marked."""
    return await call.app.schedules.preview(key, query.count, after=query.after)


@routes.get("/schedules/{key:path}/history")
async def get_schedule_history(call: Call, key: str, query: HistoryQuery) -> Reply[Listing[JobView]]:
    """The jobs that a schedule made, newest first."""
    include = read_include(query.include)
    page = await call.app.schedules.history(key, limit=query.limit, cursor=read_cursor(key, query.cursor))
    return listing(call, key, [view(job, include) for job in page.items], page.next)


@routes.post("/schedules/{key:path}/pause", needs_body=False)
async def pause_schedule(call: Call, key: str) -> Schedule:
    """Let no time of a schedule fire until it is resumed."""
    return await call.app.schedules.pause(key, actor=call.caller.actor)


@routes.post("/schedules/{key:path}/resume", needs_body=False)
async def resume_schedule(call: Call, key: str) -> Schedule:
    """Go on with the next due time from now."""
    return await call.app.schedules.resume(key, actor=call.caller.actor)


@routes.post("/schedules/{key:path}/trigger", status=202, needs_body=False)
async def trigger_schedule(call: Call, key: str) -> Reply[Created]:
    """Make a schedule's job now, beside its due times."""
    ref = await call.app.schedules.trigger(key)
    href = call.href(f"/jobs/{ref.id}")
    made = Created(id=ref.id, kind=ref.kind, deduplicated=not ref.created, href=href)
    return Reply(made, headers={"Location": href})


@routes.get("/schedules/{key:path}", tagged=True)
async def get_schedule(call: Call, key: str) -> Schedule:
    """Show a schedule."""
    return await call.app.schedules.get(key)


@routes.put("/schedules/{key:path}", tagged=True, example={"cron": "0 6 * * *", "job": {"kind": "report"}})
async def put_schedule(call: Call, key: str, body: NewSchedule) -> Schedule:
    """Create a schedule, or replace the one of this key; its statistics stay.

    With `If-Match`, only if it still is as the client has seen it.
    """
    if "if-match" in call.request.headers:
        call.require_match(await _seen(call, key))
    job = await Maker(call).one(body.job)
    policies: Any = {name: getattr(body, name) for name in ("overlap", "missed", "catch_up", "jitter")}
    options = {**_when(body), **policies}
    return await call.app.schedules.put(key, job, paused=body.paused, actor=call.caller.actor, **options)


@routes.delete("/schedules/{key:path}")
async def delete_schedule(call: Call, key: str) -> Schedule:
    """Remove a schedule; the answer is what it was.

    One that code declares comes back when a worker of that code starts.
    """
    found = await call.app.schedules.get(key)
    call.require_match(found)
    await call.app.schedules.remove(key, actor=call.caller.actor)
    return found


async def _seen(call: Call, key: str) -> Schedule:
    try:
        return await call.app.schedules.get(key)
    except ScheduleNotFound:
        raise Problem(412, "changed-meanwhile", "there is no such schedule any more") from None


def _when(body: Timing) -> Any:
    given = {name: getattr(body, name) for name in ("cron", "every", "at", "start")}
    found = {name: value for name, value in given.items() if value is not None}
    if sum(name in found for name in ("cron", "every", "at")) != 1:
        flaw = Flaw("give exactly one of cron, every, at", "invalid", "")
        raise Problem(422, "invalid-body", "it is not clear when it is due", flaws=[flaw])
    return {**found, "timezone": body.timezone}
