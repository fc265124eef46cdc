"""What is decided about dead letters by their facts: whether trying again may help, and whether they are archived."""

from windlass.values.clock import Micros, instant
from windlass.values.job import ErrorInfo, Job
from windlass.values.outcome import DEADLINE

_NEVER = frozenset({"permanent", "held"})
"""Categories of errors after which nothing tries a job again by itself; `held`: its effect may have happened, somebody
decides."""


def may_help(error: ErrorInfo | None) -> bool:
    """Whether trying it again may help: not after a permanent error, nor while its outcome is unknown."""
    return error is None or error.category not in _NEVER


def comes_back(error: ErrorInfo | None, reason: str | None) -> bool:
    """Whether it may be tried again by itself: neither what is permanent or held, nor what is too late."""
    return reason != DEADLINE and may_help(error)


def is_archived(job: Job, before: Micros | None) -> bool:
    """Whether a dead letter failed so long ago that it is archived."""
    return before is not None and job.finished_at is not None and instant(job.finished_at) < before
