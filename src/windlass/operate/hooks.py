"""`@app.on("failed")`: functions that the worker calls when something happened to a job, once the store has accepted it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeAlias, TypeVar, cast, get_args

import msgspec

from windlass.declare.refusal import refusal
from windlass.declare.suggest import did_you_mean
from windlass.errors import InvalidOption
from windlass.values.job import ErrorInfo
from windlass.values.queue import check_name
from windlass.values.states import Event

EventName: TypeAlias = Literal[
    "active", "progress", "completed", "failed", "cancelled", "retrying", "delayed", "blocked", "waiting", "error"
]
EVENTS: tuple[EventName, ...] = get_args(EventName)

BY_END: Mapping[Event, EventName] = {
    Event.COMPLETE: "completed",
    Event.FAIL: "failed",
    Event.ABORT: "cancelled",
    Event.RETRY: "retrying",
    Event.SNOOZE: "delayed",
    Event.SUSPEND: "blocked",
    Event.RELEASE: "waiting",
}
"""What an attempt's end makes of its job."""

Hook: TypeAlias = "Callable[[JobEvent], Any]"
F = TypeVar("F", bound="Callable[[JobEvent], Any]")


class JobEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What happened, as hooks are told. `event`: `active` (the worker took the job), `progress`, how an attempt ended
    (`completed`, `failed` for good, `cancelled`, `retrying`; `delayed`, `blocked`, `waiting`: it goes on later), or `error`:
    the worker itself warns, and only `text`, `worker` and `at` say anything. `took`: seconds. `delay`: seconds until the next
    attempt. Results and errors of encrypted kinds read `[encrypted]`."""

    event: EventName
    at: datetime
    worker: str
    id: str = ""
    kind: str = ""
    queue: str = ""
    attempt: int = 0
    user: str | None = None
    project: str | None = None
    workflow: str | None = None
    tags: tuple[str, ...] = ()
    took: float = 0.0
    delay: float = 0.0
    result: Any = None
    error: ErrorInfo | None = None
    reason: str | None = None
    progress: float | None = None
    note: str | None = None
    text: str | None = None


class Wanted(msgspec.Struct, frozen=True):
    """A hook and what it wants to hear of; empty means every queue, every kind."""

    hook: Hook
    events: frozenset[str]
    queues: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()

    def wants(self, event: str, queue: str, kind: str) -> bool:
        """Whether it is to be called."""
        if event not in self.events:
            return False
        if event == "error":
            return True
        return (not self.queues or queue in self.queues) and (not self.kinds or kind in self.kinds)


class Hooks(list[Wanted]):
    """An app's hooks, in the order in which they were declared."""

    def on(
        self, events: Sequence[str], queue: str | Sequence[str] | None, kind: str | Sequence[str] | None
    ) -> Callable[[F], F]:
        """The decorator that adds one; raises `InvalidOption`."""
        wrong = next((name for name in events if name not in EVENTS), None)
        if wrong is not None or not events:
            hint = did_you_mean(wrong, EVENTS) if isinstance(wrong, str) else ""
            raise InvalidOption(
                f"there is no event {wrong!r}{hint}",
                field="event",
                value=repr(wrong)[:100],
                limit=EVENTS,
                mend='use @app.on("failed")',
            )
        chosen = (frozenset(events), _names(queue, "queue"), _names(kind, "kind"))

        def add(fn: F) -> F:
            if not callable(fn):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise refusal("hook", fn, "a function of one argument", 'decorate one with @app.on("failed")')
            self.append(Wanted(cast("Hook", fn), *chosen))
            return fn

        return add


def _names(given: str | Sequence[str] | None, field: str) -> frozenset[str]:
    if given is None:
        return frozenset()
    names = [given] if isinstance(given, str) else list(given)
    if not names:
        raise refusal(field, given, "one or more names", "leave it out to mean any")
    return frozenset(check_name(name, field) for name in names)
