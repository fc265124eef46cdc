"""One job, closely: all about it, its result, progress, steps, log and history, and why it is not running."""

import contextlib
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import replace

from windlass.api.operation import Call, Reply, Routes
from windlass.api.views import AttemptView, ErrorView, JobView, read_include, view
from windlass.errors import JobCancelled, JobFailed, JobNotFound, ResultTimeout
from windlass.operate.explain import Explanation
from windlass.operate.history import Happened
from windlass.operate.views import job_id
from windlass.produce.results import not_found
from windlass.running.steps import StepRecord
from windlass.secrecy.marks import shown, shown_text
from windlass.secrecy.veil import shown_job
from windlass.values.clock import moment, seconds
from windlass.values.job import Job
from windlass.values.lease import StoredLine
from windlass.values.query import AuditEntry, AuditQuery
from windlass.values.states import State

routes = Routes("jobs", "Create jobs, look at them, act on them.")

LONGEST_WAIT = 60.0


class OneJob(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to show of it; everything, if left out."""

    include: Annotated[str, Meta(description="Of args, result, attempts, options, traceback.")] | None = None


class Wait(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long to wait for the end, up to a minute."""

    wait: Annotated[str, Meta(pattern=r"^\d{1,5}(\.\d{1,3})?(ms|s|m)?$", description="Such as 30s or 30.")] = "0"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a job ended, or where it stands. `result` is there once it completed."""

    id: str
    state: State
    final: bool
    progress: float
    reason: str | None
    error: ErrorView | None
    result: Any | UnsetType = UNSET


class ProgressView(msgspec.Struct, frozen=True, kw_only=True):
    """How far it is."""

    id: str
    state: State
    progress: float
    note: str | None
    attempt: int
    started_at: datetime | None
    finished_at: datetime | None


class LogView(msgspec.Struct, frozen=True, kw_only=True):
    """A line that a handler logged."""

    at: datetime
    attempt: int
    level: str
    text: str


class ActView(msgspec.Struct, frozen=True, kw_only=True):
    """Something that somebody did."""

    at: datetime
    actor: str
    action: str
    target: str
    detail: Any


class History(msgspec.Struct, frozen=True, kw_only=True):
    """The attempts of a job, what operators did to it, and the timeline of all of it, oldest first, with what is ahead.

    `gone_at`: when retention deleted it; its history is kept for a while.
    """

    id: str
    gone_at: datetime | None
    attempts: list[AttemptView]
    acts: list[ActView]
    timeline: list[Happened]


@routes.get("/jobs/{id}", tagged=True)
async def get_job(call: Call, id: str, query: OneJob) -> JobView:
    """Show a job."""
    job = await one_job(call, id)
    return view(job) if query.include is None else view(job, read_include(query.include))


async def one_job(call: Call, id: str) -> Job:
    """A job within reach; others answer exactly as those that do not exist."""
    try:
        job = await call.app.jobs.get(id)
    except JobNotFound:
        job = None
    if job is None or not call.caller.reach.sees(job):
        raise not_found(id)
    return job


@routes.get("/jobs/{id}/result", others={202: Outcome})
async def get_job_result(call: Call, id: str, query: Wait) -> Reply[Outcome]:
    """How a job ended: 200 once it has, 202 while it has not.

    `wait` holds the answer back until the job ends, a minute at most.
    """
    job = await one_job(call, id)
    wait = seconds(float(query.wait) if query.wait[-1].isdigit() else query.wait, "wait")
    if wait and not job.is_final:
        with contextlib.suppress(JobFailed, JobCancelled, ResultTimeout):  # the job tells it below
            await call.app.result_of(id, min(wait, LONGEST_WAIT))
        job = await one_job(call, id)
    found = view(job, ("result",))
    outcome = Outcome(
        id=job.id,
        state=job.state,
        final=job.is_final,
        progress=job.progress,
        reason=job.reason,
        error=found.error,
        result=found.result if job.state is State.COMPLETED else UNSET,
    )
    return Reply(outcome) if job.is_final else Reply(outcome, status=202, headers={"Retry-After": "1"})


@routes.get("/jobs/{id}/progress")
async def get_job_progress(call: Call, id: str) -> ProgressView:
    """How far a job is."""
    job = await one_job(call, id)
    return ProgressView(
        id=job.id,
        state=job.state,
        progress=job.progress,
        note=job.progress_note,
        attempt=job.attempt,
        started_at=job.started_at,
        finished_at=job.finished_at,
    )


@routes.get("/jobs/{id}/explain")
async def explain_job(call: Call, id: str) -> Explanation:
    """Why a job is not running: every reason, its place in line, when it may start.

    Callers with a reach of their own get the reasons' codes and times, not their facts, which name jobs and keys of others.
    """
    await one_job(call, id)
    found = await call.app.jobs.explain(id)
    if call.caller.reach.everything:
        return found
    plain = [replace(reason, text=reason.code, facts={}, mend=None) for reason in found.reasons]
    return replace(found, reasons=tuple(plain), position=None)


@routes.get("/jobs/{id}/steps")
async def get_job_steps(call: Call, id: str) -> list[StepRecord]:
    """The steps of a durable job that are on record."""
    await one_job(call, id)
    return [replace(step, result=shown(step.result)) for step in await call.app.jobs.steps(id)]


@routes.get("/jobs/{id}/log")
async def get_job_log(call: Call, id: str) -> list[LogView]:
    """What a job's handlers logged, oldest first; the newest 1,000 lines are kept."""
    await one_job(call, id)
    return [log_view(line) for line in await call.app.jobs.log(id)]


@routes.get("/jobs/{id}/history")
async def get_job_history(call: Call, id: str) -> History:
    """A job's attempts, and what was done to it from outside; also of a job that retention has deleted."""
    job, gone_at = await _one_known(call, id)
    acts = await (await call.app.store()).audit(AuditQuery(target=id))
    return History(
        id=id,
        gone_at=gone_at,
        attempts=view(job, ("attempts", "traceback")).attempts or [],
        acts=[act_view(act) for act in acts],
        timeline=await call.app.jobs.history(id),
    )


async def _one_known(call: Call, id: str) -> tuple[Job, datetime | None]:
    """A job within reach, or what remains of one that retention deleted, and when."""
    try:
        return await one_job(call, id), None
    except JobNotFound:
        past = await (await call.app.store()).past(job_id(id))
        if past is None or not call.caller.reach.sees(past.job):
            raise
        return shown_job(past.job), moment(past.gone_at)


def log_view(line: StoredLine) -> LogView:
    """A log line as clients see it."""
    return LogView(at=moment(line.at), attempt=line.attempt, level=line.level, text=shown_text(line.text))


def act_view(entry: AuditEntry) -> ActView:
    """An entry of the audit as clients see it."""
    detail = msgspec.json.decode(entry.detail)
    return ActView(at=moment(entry.at), actor=entry.actor, action=entry.action, target=entry.target, detail=detail)
