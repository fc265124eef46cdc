"""Error groups: failures that have the same cause, and what to do about all of them."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from windlass.api.operation import Call, Reply, Routes
from windlass.api.paging import Limit, Listing, whole
from windlass.api.routes.jobs import Created
from windlass.api.views import Count
from windlass.operate.errors import ErrorFacts

routes = Routes("errors", "Failures by what they have in common: the class of the error, and where it was raised.")


class ErrorsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which groups. `new`: those that the API's own version of your code met first."""

    mark: Literal["open", "resolved", "ignored"] | None = None
    new: bool | None = None
    limit: Limit = 100


class GroupReplay(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many a second."""

    per_second: Annotated[float, Meta(ge=0.01, le=1_000_000)] | None = None


@routes.get("/errors")
async def list_errors(call: Call, query: ErrorsQuery) -> Reply[Listing[ErrorFacts]]:
    """List the groups that have dead letters, or errors in the last 24 hours, those with most letters first."""
    return whole(call, await call.app.errors.list(mark=query.mark, new=query.new, limit=query.limit))


@routes.get("/errors/{fingerprint}")
async def get_error(call: Call, fingerprint: str) -> ErrorFacts:
    """Show an error group; `none` is that of dead letters without an error."""
    return await call.app.errors.get(fingerprint)


@routes.post("/errors/{fingerprint}/retry", needs_body=False)
async def retry_error(call: Call, fingerprint: str) -> Count:
    """Run up to 10,000 dead letters of a group again, now."""
    await call.app.errors.get(fingerprint)
    return Count(int(await call.app.errors.retry(fingerprint, actor=call.caller.actor)))


@routes.post("/errors/{fingerprint}/replay", status=202, needs_body=False, example={"per_second": 50})
async def replay_error(call: Call, fingerprint: str, body: GroupReplay) -> Reply[Created]:
    """Run all dead letters of a group again, by a job that workers carry out."""
    await call.app.errors.get(fingerprint)
    ref = await call.app.errors.replay(fingerprint, per_second=body.per_second, actor=call.caller.actor)
    href = call.href(f"/jobs/{ref.id}")
    return Reply(Created(id=ref.id, kind=ref.kind, deduplicated=False, href=href), headers={"Location": href})


@routes.post("/errors/{fingerprint}/resolve", needs_body=False)
async def resolve_error(call: Call, fingerprint: str) -> ErrorFacts:
    """Say that its cause is mended; it is open again when it happens again."""
    return await call.app.errors.resolve(fingerprint, actor=call.caller.actor)


@routes.post("/errors/{fingerprint}/ignore", needs_body=False)
async def ignore_error(call: Call, fingerprint: str) -> ErrorFacts:
    """Say that nobody minds it, until it is reopened."""
    return await call.app.errors.ignore(fingerprint, actor=call.caller.actor)


@routes.post("/errors/{fingerprint}/reopen", needs_body=False)
async def reopen_error(call: Call, fingerprint: str) -> ErrorFacts:
    """Take back that it is resolved or ignored."""
    return await call.app.errors.reopen(fingerprint, actor=call.caller.actor)
