"""Claiming work and keeping it: what a worker asks of the store, and what it is told."""

from collections.abc import Mapping

import msgspec

from windlass.clock import Micros
from windlass.job import Claim, Runtime


class ClaimRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Up to `slots[runtime]` jobs for each runtime, from `queues` (None: every queue), leased for `lease` microseconds.

    `session` names one life of one worker process; `number` grows by one for each new claim of it. The same number again
    (a lost reply) returns the same jobs, those still held, with fresh expiry.
    """

    worker: str
    session: str
    number: int
    slots: Mapping[Runtime, int]
    lease: Micros
    queues: tuple[str, ...] | None = None


class Claimed(msgspec.Struct, frozen=True, gc=False):
    """The jobs of one claim, in order of priority then age. When `jobs` is empty, `wait` is how long (microseconds) until
    a delayed job of these queues is due, None if none is known. `more`: ask again at once, the store did a bounded part."""

    jobs: list[Claim]
    wait: Micros | None = None
    more: bool = False


class WorkerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A worker process as it describes itself. `claimed_at`: its last claim that brought jobs (health is "claims lately").
    `quiet`: an operator asked it to stop claiming. `seen_at`, `claimed_at` are the store's."""

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


Note = Progress | LogLine


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
    "Held",
    "LogLine",
    "Note",
    "Progress",
    "Promoted",
    "Pulse",
    "StoredLine",
    "WorkerInfo",
]
