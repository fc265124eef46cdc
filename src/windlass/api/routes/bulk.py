"""Bulk operations: one act on all jobs of a filter, tried first, watched, stopped, and for a while undone."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from windlass.api.bulk import Bulk, Status
from windlass.api.caller import Reach
from windlass.api.operation import Call, Reply, Routes
from windlass.api.paging import Listing, Total, whole
from windlass.api.permissions import Permission, may
from windlass.api.problems import Flaw, Problem
from windlass.api.specs import Duration, JobId, Priority
from windlass.api.views import JobView, view
from windlass.operate.search import Search, read_search, scan
from windlass.produce.ids import new_id
from windlass.values.clock import instant, moment, seconds
from windlass.values.priority import check_priority
from windlass.values.query import Action, Command, Page, Where, actionable
from windlass.values.states import State

routes = Routes("bulk", "Act on many jobs: by ids or by a filter, as an object that can be watched and stopped.")

LONGEST_UNDO = 300.0
MOST_RUNNING = 100
_COUNTED = 1_000
_SAMPLES = 5

Act = Literal["cancel", "retry", "run-now", "fail", "delete", "reprioritise"]
_ACTIONS: dict[str, Action] = {
    "cancel": Action.CANCEL,
    "retry": Action.REQUEUE,
    "run-now": Action.RUN_NOW,
    "fail": Action.FAIL,
    "delete": Action.DELETE,
    "reprioritise": Action.REPRIORITISE,
}


class NewBulk(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An act on the jobs named by `ids`, or described by `q`. With `dry_run` nothing is done, and the answer says how many it
    would reach. `undo_window`: it begins so much later, and until then cancelling it undoes it."""

    action: Act
    q: Annotated[str, Meta(min_length=1, max_length=2_000)] | None = None
    ids: Annotated[tuple[JobId, ...], Meta(min_length=1, max_length=10_000)] | None = None
    dry_run: bool = False
    undo_window: Duration = 0.0
    reason: Annotated[str, Meta(max_length=500)] | None = None
    priority: Priority | None = None
    keep_attempts: bool = False
    revive: bool = False


class BulkView(msgspec.Struct, frozen=True, kw_only=True):
    """A bulk operation. `matched`: jobs it came by so far; `done`: changed; `flagged`: running ones asked to stop; `refused`:
    those it could not be done to."""

    id: str
    action: Act
    q: str | None
    status: Status
    cancelling: bool
    matched: int
    done: int
    flagged: int
    refused: int
    code: str | None
    created_by: str
    created_at: datetime
    starts_at: datetime
    finished_at: datetime | None
    href: str


class BulkPreview(msgspec.Struct, frozen=True, kw_only=True):
    """What it would reach: how many, counted up to 1,000, and some of them."""

    action: Act
    total: Total
    samples: list[JobView]


@routes.post(
    "/bulk",
    status=202,
    answer=BulkView,
    others={200: BulkPreview},
    example={"action": "retry", "q": "state:failed", "dry_run": True},
)
async def create_bulk(call: Call, body: NewBulk) -> Reply[Any]:
    """Act on many jobs.

    Answers 202 and an object to watch; with `dry_run`, 200 and what it would reach.
    """
    if body.action == "delete" and not may(call.caller, Permission.JOBS_DELETE):
        raise Problem(403, "forbidden", f"this takes the permission {Permission.JOBS_DELETE}")
    if (body.q is None) == (body.ids is None):
        raise _unfit("/q", "give either q or ids")
    if (body.priority is None) == (body.action == "reprioritise"):
        raise _unfit("/priority", "belongs to reprioritise, which needs it")
    store = await call.app.store()
    now = moment(await store.now())
    bulk = _make(call, body, now)
    if body.dry_run:
        return Reply(await _preview(call, body, bulk), status=200)
    if call.rooms.bulk.running >= MOST_RUNNING:
        raise Problem(429, "too-many-bulk-operations", "too many are running", headers={"Retry-After": "5"})
    bulk = await call.rooms.bulk.create(bulk)
    shown = _view(call, bulk)
    return Reply(shown, headers={"Location": shown.href})


def _make(call: Call, body: NewBulk, now: datetime) -> Bulk:
    """The operation that a body describes; raises `InvalidOption` for a filter that cannot be read."""
    undo = seconds(body.undo_window, "undo_window")
    if undo > LONGEST_UNDO:
        raise _unfit("/undo_window", f"is at most {LONGEST_UNDO:g} seconds")
    at = instant(now)
    search = read_search(body.q or "", at)
    named = search.where.states or any(True for term in (body.q or "").split() if term.lstrip("-").startswith("state:"))
    action = _ACTIONS[body.action]
    states = () if named else (State.FAILED,) if action is Action.REQUEUE else actionable(action)
    where = call.caller.reach.narrow(Where(states=states, created_to=at + 1))
    if where is None or call.caller.reach.narrow(search.where) is None:
        raise Problem(403, "out-of-reach", "that user or project is not yours")
    priority = None if body.priority is None else check_priority(body.priority)
    reason = body.reason or (f"failed by {call.caller.actor}" if action is Action.FAIL else None)
    return Bulk(
        id=call.seed or new_id(),
        command=Command(
            action=action, reason=reason, priority=priority, keep_attempts=body.keep_attempts, revive=body.revive
        ),
        q=body.q or "",
        where=where,
        ids=None if body.ids is None else tuple(dict.fromkeys(body.ids)),
        reach=call.caller.reach,
        actor=call.caller.actor,
        created_at=now,
        starts_at=now + timedelta(seconds=undo),
    )


async def _preview(call: Call, body: NewBulk, bulk: Bulk) -> BulkPreview:
    store = await call.app.store()
    samples: list[JobView] = []
    search = read_search(bulk.q, instant(bulk.created_at), bulk.where)
    parts = [search]
    if bulk.ids is not None:
        steps = range(0, len(bulk.ids), 500)
        parts = [Search(replace(bulk.where, states=(), ids=bulk.ids[at : at + 500])) for at in steps]
    count, exact = 0, True
    for part in parts:
        place: str | None = None
        while exact:
            page: Page[Any] = await scan(store, part, place, 250)
            samples += [view(job, ()) for job in page.items[: _SAMPLES - len(samples)]]
            count, place = count + len(page.items), page.next
            if place is None:
                break
            exact = count < _COUNTED and bool(page.items)
    return BulkPreview(action=body.action, total=Total(count, "eq" if exact else "gte"), samples=samples)


@routes.get("/bulk")
async def list_bulk(call: Call) -> Reply[Listing[BulkView]]:
    """List bulk operations of the last week, newest first."""
    found = [bulk for bulk in await call.rooms.bulk.list() if _sees(call.caller.reach, bulk)]
    return whole(call, [_view(call, bulk) for bulk in found])


@routes.get("/bulk/{id}")
async def get_bulk(call: Call, id: str) -> BulkView:
    """Show a bulk operation, with how far it is."""
    return _view(call, await _one(call, id))


@routes.post("/bulk/{id}/cancel", needs_body=False)
async def cancel_bulk(call: Call, id: str) -> BulkView:
    """Stop a bulk operation.

    Within its undo window nothing has happened yet; later, what is done stays done.
    """
    await _one(call, id)
    return _view(call, await call.rooms.bulk.cancel(id) or await _one(call, id))


async def _one(call: Call, id: str) -> Bulk:
    bulk = await call.rooms.bulk.get(id)
    if bulk is None or not _sees(call.caller.reach, bulk):
        raise Problem(404, "bulk-not-found", f"no bulk operation {id!r}")
    return bulk


def _sees(reach: Reach, bulk: Bulk) -> bool:
    """Whoever reaches all that it reaches may see it."""
    return reach.user in (None, bulk.reach.user) and reach.project in (None, bulk.reach.project)


def _view(call: Call, bulk: Bulk) -> BulkView:
    action = next(name for name, action in _ACTIONS.items() if action is bulk.command.action)
    return BulkView(
        id=bulk.id,
        action=action,  # type: ignore[arg-type]
        q=bulk.q or None,
        status=bulk.status,
        cancelling=bulk.cancelling,
        matched=bulk.matched,
        done=bulk.done,
        flagged=bulk.flagged,
        refused=bulk.refused,
        code=bulk.code,
        created_by=bulk.actor,
        created_at=bulk.created_at,
        starts_at=bulk.starts_at,
        finished_at=bulk.finished_at,
        href=call.href(f"/bulk/{bulk.id}"),
    )


def _unfit(pointer: str, message: str) -> Problem:
    return Problem(422, "invalid-body", message, flaws=[Flaw(message, "invalid", pointer)])
