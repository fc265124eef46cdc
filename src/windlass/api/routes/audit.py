"""The audit, and the ledger of users: who did what, and whose jobs cost how much."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from windlass.api.operation import Call, Reply, Routes
from windlass.api.paging import Cursor, Listing, listing, read_cursor, whole
from windlass.api.problems import Flaw, Problem
from windlass.api.specs import Name
from windlass.observe.crew import WorkerFigures
from windlass.observe.users import UserFigures, UserMetrics
from windlass.operate.audit import Act

routes = Routes("audit", "Who did what; whose jobs came to what, and what they cost.")

Time = Annotated[
    str, Meta(pattern=r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?([Zz]|[+-]\d\d:\d\d)$", max_length=40)
]
Last = Annotated[str, Meta(pattern=r"^\d{1,6}(s|m|h|d)$", examples=["24h"])]


class ActsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which acts; all that is given must match. `target`: a job's id, `jobs`, `queue:<name>`, `schedule:<key>` ...; `target`
    and `action` may end in `*`. From `since`, before `until`."""

    target: Annotated[str, Meta(max_length=250)] | None = None
    actor: Annotated[str, Meta(max_length=250)] | None = None
    action: Annotated[str, Meta(max_length=250)] | None = None
    since: Time | None = None
    until: Time | None = None
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100
    cursor: Cursor | None = None


class UsersQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When: the `last` while, or from `since` to `until`."""

    last: Last = "24h"
    since: datetime | None = None
    until: datetime | None = None
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100


class WorkersQuery(UsersQuery, frozen=True, kw_only=True):
    """When, and perhaps of one worker only (its id)."""

    worker: Name | None = None


class UserQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When, and of which queue and kind."""

    queue: Name | None = None
    kind: Name | None = None
    last: Last = "24h"
    since: datetime | None = None
    until: datetime | None = None


@routes.get("/audit")
async def list_audit(call: Call, query: ActsQuery) -> Reply[Listing[Act]]:
    """What operators did, newest first."""
    question = (query.target, query.actor, query.action, query.since, query.until)
    page = await call.app.audit(
        target=query.target,
        actor=query.actor,
        action=query.action,
        since=_time(query.since, "since"),
        until=_time(query.until, "until"),
        limit=query.limit,
        cursor=read_cursor(question, query.cursor),
    )
    return listing(call, question, page.items, page.next)


def _time(text: str | None, field: str) -> datetime | None:
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError:
        flaw = Flaw("must be a time", "invalid", parameter=field)
        raise Problem(422, "invalid-parameter", "a parameter does not fit", flaws=[flaw]) from None


@routes.get("/metrics/workers")
async def list_worker_metrics(call: Call, query: WorkersQuery) -> Reply[Listing[WorkerFigures]]:
    """What each worker did, those that ran most first, also those that have gone."""
    found = await call.app.worker_metrics(
        worker=query.worker, last=query.last, since=query.since, until=query.until, limit=query.limit
    )
    return whole(call, list(found))


@routes.get("/metrics/users")
async def list_users(call: Call, query: UsersQuery) -> Reply[Listing[UserFigures]]:
    """What each user's jobs came to and cost, the dearest first."""
    found = await call.app.users(last=query.last, since=query.since, until=query.until, limit=query.limit)
    return whole(call, list(found))


@routes.get("/metrics/users/{user:path}")
async def get_user_metrics(call: Call, user: str, query: UserQuery) -> UserMetrics:
    """What a user's jobs came to and cost: all together, by queue, kind and day."""
    return await call.app.metrics(
        user=user, queue=query.queue, kind=query.kind, last=query.last, since=query.since, until=query.until
    )
