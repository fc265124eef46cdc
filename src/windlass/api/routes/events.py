"""Live events: a stream that can be taken up again where it broke off, and the same by polling."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.responses import Response, StreamingResponse

from windlass.api.caller import Reach
from windlass.api.news import TOPICS, Wanted
from windlass.api.operation import Call, Routes
from windlass.api.problems import Flaw, Problem

routes = Routes("events", "Live events: what changed, as it changes.")

_JOB = "job:"
_MOST_JOBS = 100


class EventsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`topics`: some of `jobs`, `counts`, `settings` and `job:<id>`, separated by commas. `after`: a cursor (for the stream,
    where the header `Last-Event-ID` does not say it)."""

    topics: Annotated[str, Meta(max_length=5_000, examples=["jobs,counts"])] = "jobs,counts,settings"
    after: Annotated[str, Meta(max_length=500)] | None = None


class EventMessage(msgspec.Struct, frozen=True):
    """One message, as the stream has it: `jobs` and `settings` (`data.changes`: what changed), `counts` (`data.queues`: jobs by
    queue and state), `reset` (read anew what is shown)."""

    event: str
    data: dict[str, Any]


class EventsPage(msgspec.Struct, frozen=True, kw_only=True):
    """What came since. `cursor`: ask with it next; `reset`: something may be missing, read anew what is shown."""

    cursor: str
    events: list[EventMessage]
    reset: bool


@routes.get("/events", streams=True)
async def stream_events(call: Call, query: EventsQuery) -> Response:
    """Stream events (text/event-stream).

    Each message is small and tells what changed, not how it is. `event: jobs` with `{"changes": [{"event", "ids",
    "count"}]}`, at most four a second; `ids` is empty where one call concerned more jobs than it names, and some may be
    yours. `event: counts` with `{"queues": {queue: {state: n}}}`, at most one a second; `event: settings` for queues,
    schedules and limits; `event: reset` when something may have been missed. A stream ends after a quarter of an hour:
    come again with `Last-Event-ID`, as browsers do by themselves.
    """
    wanted, who = _wanted(query.topics, call.caller.reach), call.caller.identity
    if not call.rooms.news.has_room(who):
        raise Problem(429, "too-many-streams", "too many streams are open", headers={"Retry-After": "5"})
    cursor = call.request.headers.get("last-event-id") or query.after
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    stream = call.rooms.news.listen(wanted, cursor, lambda: _may_stay(call), who)
    return StreamingResponse(stream, 200, headers, "text/event-stream")


@routes.get("/events/poll")
async def poll_events(call: Call, query: EventsQuery) -> EventsPage:
    """Ask what came since a cursor, for clients that cannot hold a stream; without one, only for the cursor of now."""
    news, cursor = await call.rooms.news.poll(_wanted(query.topics, call.caller.reach), query.after)
    reset = any(each.event == "reset" for each in news)
    events = [EventMessage(each.event, msgspec.to_builtins(each.data)) for each in news if each.event != "reset"]
    return EventsPage(cursor=cursor, events=events, reset=reset)


async def _may_stay(call: Call) -> bool:
    """Whether whoever opened a stream is still the same caller: not signed out, no key revoked, no token expired."""
    try:
        return await call.rooms.authentication.caller(call.request) == call.caller
    except Problem:
        return False


def _wanted(text: str, reach: Reach) -> Wanted:
    names = [name.strip() for name in text.split(",") if name.strip()]
    jobs = frozenset(name.removeprefix(_JOB) for name in names if name.startswith(_JOB))
    topics = frozenset(name for name in names if not name.startswith(_JOB))
    unknown = topics - set(TOPICS)
    if unknown or not names or len(jobs) > _MOST_JOBS:
        flaw = Flaw(
            f"must be some of {', '.join(TOPICS)}, and up to {_MOST_JOBS} job:<id>", "invalid", parameter="topics"
        )
        raise Problem(422, "invalid-parameter", "a parameter does not fit", flaws=[flaw])
    return Wanted(topics, jobs, reach)
