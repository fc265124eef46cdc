"""What a preset is made of: work by queue and kind with its numbers, schedules, plans, retention; data that an app applies."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from windlass.declare.bounds import Limit
from windlass.declare.options import HandlerOptions
from windlass.declare.ranking import PriorityRule
from windlass.values.queue import Order
from windlass.values.retry import DEFAULT_ATTEMPTS, DEFAULT_BACKOFF, Backoff


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """A queue with its kind of job. `concurrency`, `rate`: of the queue, over all workers. `per_user_rate`: what a user may
    submit. `limits`: what else its jobs are under. `dead_retries`: how long after their failure its dead letters are tried
    again by themselves. `gap`: the number or rule is ours, since the documents give none."""

    queue: str
    kind: str
    purpose: str
    concurrency: int | None = None
    rate: str | None = None
    per_user_rate: str | None = None
    limits: tuple[Limit, ...] = ()
    priority: int = 0
    rules: tuple[PriorityRule, ...] = ()
    max_attempts: int = DEFAULT_ATTEMPTS
    backoff: Backoff | Callable[[int], float] = DEFAULT_BACKOFF
    dead_retries: tuple[str, ...] = ()
    order: Order | None = None
    gap: tuple[str, ...] = ()

    def options(self) -> HandlerOptions:
        """Options of the kind, for a function of one's own: `@app.job(**presets.media.work("process-video").options())`."""
        found: HandlerOptions = {
            "kind": self.kind,
            "queue": self.queue,
            "priority": self.priority,
            "max_attempts": self.max_attempts,
            "backoff": self.backoff,
        }
        if self.rules:
            found["priority_rules"] = self.rules
        if self.per_user_rate is not None:
            found["per_user_rate"] = self.per_user_rate
        if self.limits:
            found["limits"] = self.limits
        return found


class Recurring(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule, in UTC. `kind` None: what Windlass does by itself, without a schedule of the preset; `purpose` says how."""

    key: str
    cron: str
    purpose: str
    kind: str | None = None
    kwargs: Mapping[str, Any] = {}


class Keep(msgspec.Struct, frozen=True, kw_only=True):
    """How long jobs that ended stay: by age in seconds, and how many of each queue. None says nothing."""

    completed: float | None = None
    failed: float | None = None
    last_completed: int | None = None
    last_failed: int | None = None


class Preset(msgspec.Struct, frozen=True, kw_only=True):
    """A founding document's numbers. `plans`: how many jobs of a user may run at once, by plan."""

    name: str
    works: tuple[Work, ...]
    schedules: tuple[Recurring, ...] = ()
    rules: tuple[PriorityRule, ...] = ()
    plans: Mapping[str, int] = {}
    keep: Keep = Keep()
    lease: float | None = None
    max_rescues: int | None = None

    def work(self, name: str) -> Work:
        """The work of a kind or queue; raises `KeyError`."""
        found = next((work for work in self.works if name in (work.kind, work.queue)), None)
        if found is None:
            raise KeyError(f"the preset {self.name} has no kind and no queue {name!r}")
        return found
