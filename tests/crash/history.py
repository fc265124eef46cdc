"""What happened in a run, as JSON lines: written by the harness, the workers and the handlers, never by the store under test.

Times `t` and `sent` are seconds of the host's monotonic clock, which all processes of a run share and no fault can shift.
A call is told twice, before it is sent and when it is answered: one without an answer has an unknown outcome.
"""

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

import msgspec


class _Event(msgspec.Struct, frozen=True, tag_field="op", tag=str.lower, omit_defaults=True):
    t: float


class Wanted(msgspec.Struct, frozen=True, omit_defaults=True):
    """A job as its producer means it. `fails`: how many of its attempts fail by plan; `sum`: what it must answer."""

    id: str
    kind: str
    fails: int = 0
    max_attempts: int = 4
    delay: float = 0.0
    backoff: float = 0.0
    priority: int = 0
    unique: str | None = None
    parents: tuple[str, ...] = ()
    sum: int = 0


class Asked(_Event):
    """The producer is about to enqueue."""

    jobs: tuple[Wanted, ...]


class Acked(_Event):
    """The store said so: the ids in order, and for each the job it stands for (another one: its unique key was held)."""

    ids: tuple[str, ...]
    stored: tuple[str, ...]


class Unsure(_Event):
    """The enqueue failed with a lost connection: the jobs may exist."""

    ids: tuple[str, ...]
    error: str


class Hello(_Event):
    """A worker process has begun; `skew` is by how much its wall clock lies."""

    pid: int
    skew: float = 0.0


class Grant(msgspec.Struct, frozen=True):
    job: str
    lease: int
    attempt: int
    priority: int
    runtime: str


class Asks(_Event):
    """A worker is about to claim or rescue; `number` counts its calls."""

    pid: int
    number: int
    how: str


class Granted(_Event):
    """The answer to a claim or a rescue that was `sent`."""

    sent: float
    pid: int
    number: int
    how: str
    grants: tuple[Grant, ...] = ()


class Renewed(_Event):
    """A heartbeat was answered: these leases (job, lease) are extended."""

    sent: float
    pid: int
    held: tuple[tuple[str, int], ...]


class End(msgspec.Struct, frozen=True):
    job: str
    lease: int
    event: str
    spends: bool


class Ending(_Event):
    """A worker is about to commit ends."""

    pid: int
    number: int
    ends: tuple[End, ...]


class Judged(_Event):
    """The verdicts on the ends of that number, in order; or the error, after which nobody knows."""

    pid: int
    number: int
    verdicts: tuple[str, ...] = ()
    error: str = ""


class Began(_Event):
    """A handler began."""

    job: str
    lease: int
    attempt: int
    pid: int


class Ended(_Event):
    """A handler is about to return (`good`), or to fail by plan."""

    job: str
    lease: int
    attempt: int
    pid: int
    good: bool


class Fault(_Event):
    """What the harness did: `kill` and `stop` of a worker, `store` gone, `cut`, `silence`; or saw: `exit` of a worker by
    itself. It was over at `until`."""

    kind: str
    until: float
    pid: int = 0
    note: str = ""


class Kept(_Event):
    """A job as the store shows it at the very end."""

    job: str
    state: str
    attempt: int
    rescues: int
    lease: int | None
    reason: str | None
    result: Any


class Summed(_Event):
    """At the very end: what the store says it holds by state, and what its own audit of the sums found."""

    counts: dict[str, int]
    audit: tuple[str, ...] = ()


Event: TypeAlias = (
    Asked | Acked | Unsure | Hello | Asks | Granted | Renewed | Ending | Judged | Began | Ended | Fault | Kept | Summed
)

_DECODER = msgspec.json.Decoder(Event)
now = time.monotonic


class Recorder:
    """Appends events to the history file, each in one write, so lines of several processes never mix."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def __call__(self, event: Event) -> None:
        # It begins with a newline as well: a process killed inside a write may leave half a line behind.
        os.write(self._file, b"\n" + msgspec.json.encode(event) + b"\n")

    def close(self) -> None:
        os.close(self._file)


def read_events(lines: Iterable[bytes]) -> list[Event]:
    """The events in order of time. What a killed process wrote halfway is what it never said."""
    events: list[Event] = []
    for line in lines:
        try:
            if line.strip():
                events.append(_DECODER.decode(line))
        except msgspec.DecodeError:
            continue
    return sorted(events, key=lambda event: event.t)
