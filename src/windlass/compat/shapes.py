"""What the founding documents show of jobs, queues and dead letters, made of ours."""

from collections.abc import Mapping
from typing import Any

from windlass.declare.handler import Handler
from windlass.operate.letters import may_help
from windlass.secrecy.veil import shown_job
from windlass.values.job import Job
from windlass.values.retry import DEFAULT_BACKOFF, Backoff
from windlass.values.states import State

FIVE = (State.WAITING, State.ACTIVE, State.COMPLETED, State.FAILED, State.DELAYED)
"""The states that the documents know. A job between two attempts is `delayed` to them; `blocked` and `cancelled` stand beside."""
DEAD_LETTER = "dead-letter"
"""The queue of the documents that holds the dead letters: every failed job, whatever its queue. Jobs count once, in their own."""


def job_shape(job: Job) -> dict[str, Any]:
    """The one representation of a job, in all replies about one."""
    job = shown_job(job)
    running = job.state is State.ACTIVE
    return {
        "id": job.id,
        "name": job.name or job.kind,
        "queueName": job.queue,
        "jobType": job.kind,
        "state": fold(job.state),
        "reason": "retry" if job.state is State.RETRYING else job.reason,
        "progress": job.progress,
        "attemptsMade": max(job.attempt - running, 0),
        "maxAttempts": job.max_attempts,
        "priority": job.priority,
        "data": job.args,
        "result": job.result,
        "failedReason": _why(job),
        "userId": job.user,
        "projectId": job.project,
        "tags": job.tags,
        "createdAt": job.created_at,
        "runAt": job.run_at,
        "startedAt": job.started_at,
        "finishedAt": job.finished_at,
    }


def fold(state: State) -> str:
    """A state in the documents' words."""
    return str(State.DELAYED if state is State.RETRYING else state)


def counts_shape(counts: Mapping[str, int]) -> dict[str, int]:
    """A queue's jobs by state: the documents' five, and what they do not know beside them."""
    folded = {str(state): counts.get(state, 0) for state in FIVE}
    folded["delayed"] += counts.get(State.RETRYING, 0)
    return folded | {str(state): counts.get(state, 0) for state in (State.BLOCKED, State.CANCELLED)}


def add_up(queues: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """The totals of several queues."""
    totals = counts_shape({})
    for counts in (counts for queue, counts in queues.items() if queue != DEAD_LETTER):
        for name, n in counts.items():
            totals[name] += n
    return totals


def letter_shape(job: Job, handler: Handler[..., Any] | None) -> dict[str, Any]:
    """A dead letter: `DeadLetterQueueItem`."""
    due, job = job.next_retry_at, shown_job(job)
    shape: dict[str, Any] = {
        "id": job.id,
        "_id": job.id,
        "name": job.name or job.kind,
        "data": job.args,
        "error": _why(job),
        "attempts": job.attempt,
        "maxAttempts": job.max_attempts,
        "failedAt": job.finished_at,
        "queueName": job.queue,
        "retryStrategy": strategy_shape(job, handler),
        "canRetry": may_help(job.error),
    }
    return shape if due is None else {**shape, "nextRetryAt": due}


def strategy_shape(job: Job, handler: Handler[..., Any] | None) -> dict[str, Any]:
    """A job's `RetryStrategy`: its own backoff, else its kind's, as far as this app knows it. Times are milliseconds."""
    own = job.options.get("backoff")
    backoff: Any = Backoff(**own) if own else handler.declared.backoff if handler else DEFAULT_BACKOFF
    if not isinstance(backoff, Backoff):
        return {"type": "custom", "maxAttempts": job.max_attempts}
    return {
        "type": backoff.shape,
        "delay": round(backoff.base * 1_000),
        "maxAttempts": job.max_attempts,
        "backoffMultiplier": backoff.factor,
        "maxDelay": round(backoff.cap * 1_000),
    }


def _why(job: Job) -> str | None:
    if job.error is None:
        return job.reason
    return f"{job.error.type}: {job.error.message}" if job.error.message else job.error.type
