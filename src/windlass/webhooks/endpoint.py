"""An endpoint: where events go, which ones, and what its receiver's signatures are made with."""

from datetime import datetime
from fnmatch import fnmatchcase
from typing import Literal, cast
from urllib.parse import urlsplit

import msgspec

from windlass.errors import InvalidOption
from windlass.values.queue import LONGEST_NAME

SPACE = "webhook"
EVENTS = (
    "job.completed",
    "job.failed",
    "job.cancelled",
    "job.retrying",
    "workflow.finished",
    "batch.finished",
    "alert.firing",
    "alert.resolved",
    "ping",
)
"""What can be told. `job.retrying`: an attempt failed and another will be made."""
MOST_EVENTS = 50
MOST_ENDPOINTS = 1_000
"""Of an installation: an end that all of them want stores a job for each, in its own transaction."""
DETAILS = ("args", "result")


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where events go. `events`: names, or patterns such as `job.*`; `queues`, `kinds`: patterns, empty for all. `include`:
    which parts of a job go along, `args` and `result`; never those of encrypted kinds. `retired_secret`: still signed with until
    `retires_at`. `failing_since`: since when no delivery arrived, None if the last one did. `active` false: nothing is sent;
    `reason` says why if nobody switched it off."""

    id: str
    url: str
    secret: str
    events: tuple[str, ...] = ("*",)
    queues: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    include: tuple[Literal["args", "result"], ...] = ()
    description: str = ""
    active: bool = True
    reason: str | None = None
    created_at: datetime
    created_by: str
    retired_secret: str | None = None
    retires_at: datetime | None = None
    failing_since: datetime | None = None

    def __repr__(self) -> str:
        return f"Endpoint(id={self.id!r}, host={self.host!r}, events={self.events!r}, active={self.active!r})"

    @property
    def host(self) -> str:
        """Where it is, without the rest of the URL, which often is a secret: for logs and errors, that more people read."""
        return urlsplit(self.url).netloc

    def wants(self, event: str, queue: str = "", kind: str = "") -> bool:
        """Whether an event is for it."""
        return (
            self.active
            and _any(event, self.events)
            and (not self.queues or not queue or _any(queue, self.queues))
            and (not self.kinds or not kind or _any(kind, self.kinds))
        )

    def secrets_at(self, now: datetime) -> tuple[str, ...]:
        """What a message sent now is signed with."""
        old = self.retired_secret
        return (
            (self.secret,) if old is None or self.retires_at is None or now >= self.retires_at else (self.secret, old)
        )


def check_events(given: object) -> tuple[str, ...]:
    """Event names and patterns, each of which means at least one event that there is."""
    names = _names(given)
    if names and all(any(fnmatchcase(event, name) for event in EVENTS) for name in names):
        return names
    raise _bad("events", given, ", ".join(EVENTS), "use names or patterns such as job.*")


def check_patterns(given: object, field: str) -> tuple[str, ...]:
    """Names or patterns of queues or kinds."""
    names = _names(given)
    if names is not None and all(0 < len(name) <= LONGEST_NAME for name in names):
        return names
    raise _bad(field, given, f"up to {MOST_EVENTS} names or patterns", "use names or patterns such as mail-*")


def _names(given: object) -> tuple[str, ...] | None:
    """Texts, each once; None if it is something else."""
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, (list, tuple)) or len(cast("list[object]", given)) > MOST_EVENTS:
        return None
    names = [name for name in cast("list[object]", given) if isinstance(name, str)]
    return tuple(dict.fromkeys(names)) if len(names) == len(cast("list[object]", given)) else None


def _bad(field: str, given: object, limit: str, mend: str) -> InvalidOption:
    shown = repr(given)[:100]
    return InvalidOption(f"{field} is {shown}; it must be {limit}", field=field, value=shown, limit=limit, mend=mend)


def _any(name: str, patterns: tuple[str, ...]) -> bool:
    return any(pattern == "*" or pattern == name or fnmatchcase(name, pattern) for pattern in patterns)
