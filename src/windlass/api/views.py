"""What clients see of jobs: payloads only where they are asked for."""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from windlass.api.problems import Flaw, Problem
from windlass.secrecy.veil import shown_job
from windlass.values.job import Attempt, ErrorInfo, Job
from windlass.values.states import State

PARTS = ("args", "result", "attempts", "options", "traceback")
"""What `include` adds to a job."""
PREVIEW = "preview"
"""What it adds to the jobs of a list beside them: a line of the arguments, however large they are."""
_LINE = 400


class ErrorView(msgspec.Struct, frozen=True, kw_only=True):
    """Why a job's last attempt failed."""

    type: str
    message: str
    category: str
    fingerprint: str
    traceback: str | UnsetType = UNSET


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    """One execution. `outcome`: complete, retry, fail, abort, active; or snooze, release, rescue, which spend no attempt."""

    number: int
    outcome: str
    started_at: datetime | None
    finished_at: datetime | None
    worker: str | None
    error: ErrorView | None
    reason: str | None


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """A job. `attempt` counts the attempts made, a running one included. Times are UTC. `cost`: what its attempts cost so far;
    `revivals`: automatic retries that it had as a dead letter, the next of which is due at `next_retry_at`. The last five
    fields are there if `include` asks for them."""

    id: str
    kind: str
    queue: str
    state: State
    priority: int
    runtime: str
    attempt: int
    max_attempts: int
    rescues: int
    created_at: datetime
    run_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None
    progress: float
    progress_note: str | None
    cancelling: bool
    reason: str | None
    error: ErrorView | None
    worker: str | None
    user: str | None
    project: str | None
    group: str | None
    workflow: str | None
    name: str | None
    unique: str | None
    tags: tuple[str, ...]
    parents: tuple[str, ...]
    cost: Decimal
    revivals: int
    next_retry_at: datetime | None
    args: dict[str, Any] | UnsetType = UNSET
    result: Any | UnsetType = UNSET
    attempts: list[AttemptView] | UnsetType = UNSET
    options: dict[str, Any] | UnsetType = UNSET
    preview: (
        Annotated[str, Meta(description="The arguments as JSON text, cut off after 400 characters.")] | UnsetType
    ) = UNSET


_SAME = tuple(
    name
    for name in JobView.__struct_fields__
    if name not in ("error", "args", "result", "attempts", "options", PREVIEW)
)


def view(job: Job, include: Collection[str] = PARTS) -> JobView:
    """A job as clients see it, with the parts named."""
    job = shown_job(job)
    parts: dict[str, Any] = {name: getattr(job, name) for name in ("args", "result", "options") if name in include}
    trace = "traceback" in include
    if PREVIEW in include:
        parts[PREVIEW] = _line(job.args)
    if "attempts" in include:
        parts["attempts"] = [_attempt(each, trace) for each in job.attempts]
    return JobView(**{name: getattr(job, name) for name in _SAME}, error=_error(job.error, trace), **parts)


def read_include(text: str | None) -> tuple[str, ...]:
    """The parts that `include=args,result` names."""
    parts = tuple(part.strip() for part in (text or "").split(",") if part.strip())
    wrong = [part for part in parts if part not in (*PARTS, PREVIEW)]
    if wrong:
        flaw = Flaw(f"must be some of {', '.join((*PARTS, PREVIEW))}", "invalid", parameter="include")
        raise Problem(422, "invalid-parameter", "a parameter does not fit", flaws=[flaw])
    return parts


def _line(args: dict[str, Any]) -> str:
    text = msgspec.json.encode(args).decode()
    return text if len(text) <= _LINE else text[:_LINE]


def _error(error: ErrorInfo | None, trace: bool) -> ErrorView | None:
    if error is None:
        return None
    return ErrorView(
        type=error.type,
        message=error.message,
        category=error.category,
        fingerprint=error.fingerprint,
        traceback=error.traceback if trace else UNSET,
    )


def _attempt(attempt: Attempt, trace: bool) -> AttemptView:
    return AttemptView(
        number=attempt.number,
        outcome=attempt.outcome,
        started_at=attempt.started_at,
        finished_at=attempt.finished_at,
        worker=attempt.worker,
        error=_error(attempt.error, trace),
        reason=attempt.reason,
    )


class Acted(msgspec.Struct, frozen=True, kw_only=True):
    """What an act on one job did: `done` changed it, `asked` told its running handler to stop."""

    id: str
    outcome: str


class Count(msgspec.Struct, frozen=True):
    """How many."""

    count: int
