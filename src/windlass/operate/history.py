"""The timeline of a job: creation, every attempt, operators' acts, steps and the end, put together from facts that are stored
once."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from windlass.errors import JobNotFound
from windlass.operate.audit import Act, act_of
from windlass.running.steps import StepRecord, read_record
from windlass.secrecy.marks import shown
from windlass.secrecy.veil import shown_job
from windlass.store.protocol import Store
from windlass.values.clock import moment
from windlass.values.job import Attempt, ErrorInfo, Job
from windlass.values.query import AuditQuery
from windlass.values.states import State

_MOST_ACTS = 1_000
_BY_OUTCOME: Mapping[str, str] = {
    "complete": "completed",
    "retry": "retrying",
    "fail": "failed",
    "abort": "cancelled",
    "snooze": "delayed",
    "suspend": "blocked",
    "release": "waiting",
    "rescue": "rescued",
}


class Happened(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a timeline. `what`: `created`, `started`, how an attempt ended (`completed`, `retrying`, `failed`,
    `cancelled`, `delayed`, `blocked`, `waiting`, `rescued`), `step`, `act` (`detail` says which), `ended` (without an attempt
    of its own), `due` (ahead: it runs or is tried again then), `deleted` (by retention). `cause`: why; `actor`: who did it, of
    an act."""

    at: datetime
    what: str
    cause: str | None = None
    attempt: int | None = None
    worker: str | None = None
    actor: str | None = None
    error: ErrorInfo | None = None
    detail: dict[str, Any] = {}


async def read_history(store: Store, id: str) -> list[Happened]:
    """The timeline of a job, oldest first. Of a job that retention deleted all but its steps is told, for as long as the history
    is kept; of one that somebody deleted the acts are left, for as long as the audit is kept. Raises `JobNotFound` if nothing is
    left."""
    job, past = await store.job(id), None
    acts = [act_of(entry) for entry in await store.audit(AuditQuery(target=id, limit=_MOST_ACTS))]
    entries = [_acted(act) for act in reversed(acts)]
    if job is not None:
        entries += [_stepped(read_record(step)) for step in await store.steps(id)]
    else:
        past = await store.past(id)
    if past is not None:
        job = past.job
        entries.append(Happened(at=moment(past.gone_at), what="deleted", cause="retention"))
    if job is not None:
        entries = [*_of_job(shown_job(job)), *entries]
    if not entries:
        raise JobNotFound(f"there is no job {id!r}", id=id, mend="look at the id")
    return sorted(entries, key=lambda entry: (entry.at, _ORDER.get(entry.what, 3)))


_ORDER: Mapping[str, int] = {"created": 0, "started": 1, "step": 2, "deleted": 8, "due": 9}
"""Of what happened in the same microsecond, which is told first."""


def _of_job(job: Job) -> Iterator[Happened]:
    made = {"kind": job.kind, "queue": job.queue, "priority": job.priority, "user": job.user, "workflow": job.workflow}
    cause = f"in the workflow {job.workflow}" if job.workflow else None
    detail = {name: value for name, value in made.items() if value is not None}
    yield Happened(at=job.created_at, what="created", cause=cause, detail=detail)
    for attempt in job.attempts:
        yield from _of_attempt(attempt, job.created_at)
    last = job.attempts[-1] if job.attempts else None
    told = last is not None and last.finished_at == job.finished_at
    if job.is_final and job.finished_at is not None and not told:
        yield Happened(
            at=job.finished_at, what="ended", cause=job.reason, error=job.error, detail={"state": str(job.state)}
        )
    if job.state in (State.DELAYED, State.RETRYING) and job.run_at is not None:
        yield Happened(at=job.run_at, what="due", cause="it runs then", attempt=job.attempt + 1)
    if job.next_retry_at is not None:
        cause = f"automatic retry {job.revivals + 1} of the dead letter"
        yield Happened(at=job.next_retry_at, what="due", cause=cause)


def _of_attempt(attempt: Attempt, created_at: datetime) -> Iterator[Happened]:
    if attempt.started_at is not None:  # its end less its length, by two clocks
        started = max(attempt.started_at, created_at)
        yield Happened(at=started, what="started", attempt=attempt.number, worker=attempt.worker)
    what = _BY_OUTCOME.get(attempt.outcome)
    if attempt.finished_at is not None and what is not None:
        yield Happened(
            at=attempt.finished_at,
            what=what,
            cause=attempt.reason,
            attempt=attempt.number,
            worker=attempt.worker,
            error=attempt.error,
        )


def _acted(act: Act) -> Happened:
    return Happened(at=act.at, what="act", actor=act.actor, cause=act.action, detail=act.detail)


def _stepped(step: StepRecord) -> Happened:
    detail: dict[str, Any] = {"step": step.name, "position": step.position, "what": step.what, "done": step.done}
    return Happened(at=step.at, what="step", attempt=step.attempt, detail=detail | {"result": shown(step.result)})
