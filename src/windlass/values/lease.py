"""Claiming work and keeping it: what a worker asks of the store, and what it is told."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from windlass.values.clock import Micros
from windlass.values.job import Claim, Runtime


class ClaimRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Up to `slots[runtime]` jobs for each runtime, from `queues` (None: every queue), leased for `lease` microseconds.

    `session` names one life of one worker process; `number` grows by one for each new claim of it. The same number again
    (a lost reply) returns the same jobs, those still held, with fresh expiry.
    `idle`: how many of the slots could start a job this moment; no more limited jobs than that are given, since a job that
    sits in a worker's hand holds its slots for nothing (None: all of them).
    """

    worker: str
    session: str
    number: int
    slots: Mapping[Runtime, int]
    lease: Micros
    queues: tuple[str, ...] | None = None
    idle: Mapping[Runtime, int] | None = None


class Claimed(msgspec.Struct, frozen=True, gc=False):
    """The jobs of one claim, in order of priority then age. When `jobs` is empty, `wait` is how long (microseconds) until
    a delayed job of these queues is due, None if none is known. `more`: ask again at once, the store did a bounded part."""

    jobs: list[Claim]
    wait: Micros | None = None
    more: bool = False


class WorkerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A worker process as it describes itself. `claimed_at`: its last claim that brought jobs (health is "claims lately").
    `done`: attempts that ended, `failed`: those of them that failed. `seen_at`, `claimed_at` are the store's."""

    id: str
    session: str
    host: str
    pid: int
    version: str
    started_at: Micros
    queues: tuple[str, ...] | None
    kinds: tuple[str, ...]
    slots: Mapping[str, int]
    lease: Micros
    running: int = 0
    done: int = 0
    failed: int = 0
    rss: int = 0
    cpu: float = 0.0
    state: str = "running"
    seen_at: Micros = 0
    claimed_at: Micros | None = None


class Held(msgspec.Struct, frozen=True, gc=False):
    """A lease to extend."""

    id: str
    lease: int


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """A heartbeat: the worker's own record and the leases to extend to now + `info.lease`.

    Name a job only once it has run for a third of its lease: short jobs cost no heartbeat. Unnamed leases lapse.
    `leaving`: the worker says goodbye and its record is removed.
    """

    info: WorkerInfo
    held: tuple[Held, ...] = ()
    leaving: bool = False


ORDERS = "worker-orders"
"""The space of records by which operators steer workers: key is the worker's id, text `quiet` or `stop`."""


class Pulse(msgspec.Struct, frozen=True):
    """The answer: `lost` leases (the job is no longer this worker's: stop it), `cancelled` jobs (somebody asked to stop
    them), `quiet` (stop claiming), `stop` (a newer breaking schema or an operator: finish the work and exit). `newer`: the
    version of a breaking schema that this code does not know, 0 when it is not for that."""

    lost: tuple[str, ...] = ()
    cancelled: tuple[str, ...] = ()
    quiet: bool = False
    stop: bool = False
    newer: int = 0


class Promoted(msgspec.Struct, frozen=True):
    """`moved`: jobs that became waiting or ended by expiry, and edges settled. `wait`: microseconds until the next is due,
    None if none is known. `more`: there is more to do right now."""

    moved: int
    wait: Micros | None = None
    more: bool = False


class Progress(msgspec.Struct, frozen=True, gc=False):
    """How far a running job is, 0..100, and a short note."""

    id: str
    lease: int
    percent: float
    note: str | None = None


class LogLine(msgspec.Struct, frozen=True, gc=False):
    """One line that a running attempt wrote. `age`: microseconds between the writing and the report."""

    id: str
    lease: int
    attempt: int
    level: str
    text: str
    age: Micros = 0


class Step(msgspec.Struct, frozen=True, gc=False):
    """A step of a durable handler, by its position from 0; the same position again overwrites it. But what is done stays so, so
    that a report may be repeated: to a done step, a note of its name that is not done writes nothing, and one that asks for a
    signal is answered with the value on record.

    `value`: JSON text. `done` false: it was begun (a sleep or a wait; `value` says until when). With `signal`: if a signal of
    that name has come, the oldest is taken and its data is the value of the done step, whatever `value` and `done` say.
    """

    id: str
    lease: int
    position: int
    name: str
    value: str | None = None
    done: bool = True
    signal: str | None = None


Note = Progress | LogLine | Step


class Noted(msgspec.Struct, frozen=True, gc=False):
    """What became of a note. `accepted` false: the lease is gone, nothing was written. `value` of a step that asked for a
    signal: its data if one was taken."""

    accepted: bool = True
    value: str | None = None


class StoredStep(msgspec.Struct, frozen=True, gc=False):
    """A step as kept; `at` is when its last note came, `attempt` the number of the attempt that wrote it."""

    position: int
    name: str
    value: str | None
    done: bool
    at: Micros
    attempt: int


class Delivery(StrEnum):
    """What became of a signal: the job waited for it and goes on; kept until it asks; it is over; it is not known."""

    WOKEN = "woken"
    KEPT = "kept"
    OVER = "over"
    UNKNOWN = "unknown"


class StoredLine(msgspec.Struct, frozen=True):
    """A log line as kept: store time, attempt, level, text."""

    at: Micros
    attempt: int
    level: str
    text: str


__all__ = [
    "Beat",
    "Claim",
    "ClaimRequest",
    "Claimed",
    "Delivery",
    "Held",
    "LogLine",
    "Note",
    "Noted",
    "Progress",
    "Promoted",
    "Pulse",
    "Step",
    "StoredLine",
    "StoredStep",
    "WorkerInfo",
]
