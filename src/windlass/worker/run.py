"""One attempt in a worker's hands, and how its end becomes a `Finish`."""

import asyncio
import math
from collections.abc import Callable
from enum import StrEnum
from time import monotonic
from types import TracebackType
from typing import Any, Protocol, cast

from msgspec.structs import replace

from windlass.declare.handler import Effective, Handler
from windlass.errors import BatchTooLarge
from windlass.running import iterable
from windlass.running.capture import MOST_LINES, fit
from windlass.running.context import Ack
from windlass.running.effects import Ledger
from windlass.running.steps import Book, Paused, Unwind
from windlass.store.protocol import Store
from windlass.values.clock import SECOND
from windlass.values.job import Claim, NewJob
from windlass.values.limit import GUARD
from windlass.values.outcome import (
    Finish,
    Membership,
    Signal,
    aborted,
    completed,
    judge,
    paused,
    released,
    within_deadline,
)
from windlass.values.states import Event
from windlass.workflows.parents import NO_PARENTS

STOP_GRACE = 5.0
"""Seconds an attempt has to unwind after it was told to stop; then it is abandoned or killed."""


RATED_START = 0.8 * GUARD / SECOND
"""Seconds from its grant in which a job that spent a rate must be under way, else it is given back. The rest of the guard is
for the way from here to the handler's first line, in a thread or a child process."""

_NEVER = math.inf

MOST_HANDED = 1_000
"""Jobs that one attempt may hand over with its completion."""


class Why(StrEnum):
    """Why a running attempt is told to stop."""

    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    SHUTDOWN = "shutdown"
    LOST = "lost"
    UNRENEWED = "unrenewed"


_REASONS = {Why.SHUTDOWN: "worker shut down", Why.UNRENEWED: "its lease could not be renewed in time"}


class Stopped(BaseException):
    """Raised inside a thread's or child's handler to stop it. A `BaseException`: `except Exception` must not keep it."""


class Notes(Protocol):
    """Where an attempt's progress and lines are gathered; callable from any thread."""

    @property
    def leaving(self) -> bool:
        """The worker is about to leave."""
        ...

    def progress(self, claim: Claim, percent: float, note: str | None) -> Ack: ...

    def line(self, claim: Claim, level: str, text: str) -> Ack: ...

    @property
    def store(self) -> Store | None:
        """The worker's store, where handlers run on its loop."""
        ...

    def book(self, claim: Claim, limit: int, *, blocking: bool) -> Book:
        """Where this attempt's steps are recorded; a `blocking` one is for the thread of the caller."""
        ...

    def ledger(self, claim: Claim, limit: int, *, blocking: bool) -> Ledger:
        """Where this attempt's effects are on record; the same."""
        ...


class Bill:
    """What an attempt reported to have spent (millionths), and what was measured of it: CPU microseconds, bytes at the
    highest."""

    __slots__ = ("cpu", "memory", "spent")

    def __init__(self) -> None:
        self.spent = 0
        self.cpu = 0
        self.memory = 0


class Run:
    """A claimed job from the claim to the commit of its end. It is the `Desk` of its context.

    `renewed`: monotonic time from which the store counts the lease at the earliest (when the claim or the last
    accepted beat was sent). `taken`: when it was claimed. `late`: when it is too late to start it. `started` is 0 until the
    handler starts.
    """

    __slots__ = (
        "abandoned",
        "bill",
        "call",
        "claim",
        "coroutine",
        "ended",
        "handler",
        "late",
        "lines",
        "notes",
        "outbox",
        "parents",
        "partial",
        "renewed",
        "rules",
        "started",
        "taken",
        "task",
        "timer",
        "why",
    )

    def __init__(self, claim: Claim, handler: "Handler[Any, Any]", rules: Effective, notes: Notes, renewed: float):
        self.claim = claim
        self.handler = handler
        self.call = cast("Callable[..., Any]", handler.entry)  # text: making the alias costs 2 us
        self.rules = rules
        self.notes = notes
        self.renewed = renewed
        self.taken = renewed
        self.late = _NEVER
        self.started = 0.0
        self.why: Why | None = None
        self.ended = False
        self.abandoned = False
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.coroutine: Any = None
        self.lines = 0
        self.partial = ""
        self.parents = NO_PARENTS
        self.outbox: list[NewJob[Any]] | None = None
        self.bill: Bill | None = None

    def took(self) -> int:
        return int((monotonic() - self.started) * 1e6) if self.started else 0

    def drop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def progress(self, percent: float, note: str | None) -> Ack:
        return self.notes.progress(self.claim, percent, note)

    def log(self, level: str, text: str) -> Ack:
        self.lines += 1
        if self.lines < MOST_LINES:
            return self.notes.line(self.claim, level, fit(text))
        if self.lines == MOST_LINES:
            return self.notes.line(self.claim, "warning", "this attempt wrote too much: further lines are dropped")
        return Ack()

    def line(self, level: str, text: str) -> None:
        self.log(level, text)

    def spend(self, millionths: int) -> None:
        if self.bill is None:
            self.bill = Bill()
        self.bill.spent += millionths

    def measured(self, cpu: int, memory: int) -> None:
        """What running it took."""
        if self.bill is None:
            self.bill = Bill()
        self.bill.cpu, self.bill.memory = cpu, memory

    @property
    def shares(self) -> int:
        """How many jobs its time was shared by."""
        return 1

    def is_stopping(self) -> bool:
        return self.why is not None

    def is_leaving(self) -> bool:
        return self.why is not None or self.notes.leaving

    @property
    def batch(self) -> tuple[str, Membership | None] | None:
        rules = self.rules
        if rules.callback is not None:
            return rules.callback, None
        return None if rules.batch is None else (rules.batch.id, rules.batch)

    @property
    def store(self) -> Store | None:
        return self.notes.store if self.handler.runtime == "async" else None

    def hand_over(self, job: NewJob[Any]) -> None:
        if self.outbox is None:
            self.outbox = []
        if len(self.outbox) >= MOST_HANDED:
            raise BatchTooLarge(
                f"this attempt has handed over {MOST_HANDED:,} jobs, which is the most",
                count=MOST_HANDED,
                limit=MOST_HANDED,
                mend="store large numbers with app.enqueue_many, or hand over one job that makes the others",
            )
        self.outbox.append(job)

    def book(self) -> Book:
        handler = self.handler
        return self.notes.book(self.claim, handler.door.result_limit, blocking=handler.runtime != "async")

    def ledger(self) -> Ledger:
        handler = self.handler
        return self.notes.ledger(self.claim, handler.door.result_limit, blocking=handler.runtime != "async")

    def completed(self, result: str | None) -> Finish:
        """The end of an attempt whose handler returned, with the jobs it handed over."""
        end = completed(self.claim, result, self.took())
        return end if self.outbox is None else replace(end, follow=tuple(self.outbox))

    def stopped_end(self, error: BaseException | None, worker: str) -> Finish | None:
        return _stopped_end(self, error, worker)

    def raised_end(self, error: BaseException, worker: str) -> Finish | None:
        return _raised_end(self, error, worker)

    def given_back(self, worker: str, reason: str) -> Finish | None:
        """The end of an attempt that did not come to run."""
        return released(self.claim, worker, reason)


class Lane(Protocol):
    """One runtime of a worker: its slots and what waits for them."""

    def free(self) -> int:
        """How many more jobs it wants leased now."""
        ...

    def idle(self) -> int:
        """How many it could start this moment (or so soon that it makes no difference): of limited jobs no more are leased."""
        ...

    def put(self, run: Run) -> None:
        """Start `run` as soon as a slot is free."""
        ...

    def stop(self, run: Run, why: Why) -> None:
        """Make a started attempt end; the first reason stands."""
        ...

    def unstarted(self) -> list[Run]:
        """Take back what waits for a slot."""
        ...

    async def close(self) -> None:
        """Let go of threads, tasks and processes."""
        ...


def cut_at_deadline(rules: Effective, claim: Claim, sent: float) -> Effective | None:
    """The rules of an attempt that has to be over by the job's deadline; None when it has passed. `sent`: monotonic time at
    which the claim was sent, so what is left is never overrated."""
    ends_by = rules.run.ends_by(claim)
    if ends_by is None:
        return rules
    left = (ends_by - claim.claimed_at) / SECOND - (monotonic() - sent)
    if left <= 0:
        return None
    if rules.timeout is not None and rules.timeout <= left:
        return rules
    return replace(rules, timeout=left)


Ended = Callable[[Run, Finish | None], None]
"""Told once per attempt when it is over; None: its lease is lost, nothing is to be committed."""


def late_end(run: Run, worker: str) -> Finish | None:
    """The end of a job that spent a rate and found no slot in time: its start would count in a later window."""
    return run.given_back(worker, "not started in time for its rate")


def stopped_end(run: Run, error: BaseException | None, worker: str) -> Finish | None:
    """The end of an attempt that was told to stop and did, or was abandoned (`error` None)."""
    return run.stopped_end(error, worker)


def raised_end(run: Run, error: BaseException, worker: str) -> Finish | None:
    """The end of an attempt whose handler raised. A signal (`Retry`, `Fail`, ...) counts even after a stop."""
    return run.raised_end(error, worker)


def _stopped_end(run: Run, error: BaseException | None, worker: str) -> Finish | None:
    claim, took = run.claim, run.took()
    if run.why is Why.LOST:
        return None
    if run.why is Why.CANCELLED:
        return aborted(claim, worker, "cancelled", took)
    if run.why is Why.TIMEOUT:
        limit = run.rules.timeout  # a child process does not know of a deadline's
        late = TimeoutError("stopped at its deadline" if limit is None else f"timed out after {limit:g} s")
        late.__cause__ = error if isinstance(error, Exception) else None
        if error is not None:  # where it stood tells more than where we noticed
            late.__traceback__ = error.__traceback__
        return judge(claim, late, run.rules.run, worker, took)
    return released(claim, worker, _REASONS[run.why or Why.SHUTDOWN])


def _raised_end(run: Run, error: BaseException, worker: str) -> Finish | None:
    if isinstance(error, Unwind):
        return _unwound_end(run, error, worker)
    if run.why is not None and not isinstance(error, Signal):
        return stopped_end(run, error, worker)
    # Not by assignment: the exceptions that are frozen dataclasses refuse it.
    error.with_traceback(own_frames(error.__traceback__))
    return judge(run.claim, error, run.rules.run, worker, run.took())


def _unwound_end(run: Run, error: Unwind, worker: str) -> Finish | None:
    """The end of a run that is to go on later. Who cancelled the job meanwhile does not want that."""
    if not isinstance(error, Paused):
        return None
    if run.why in (Why.LOST, Why.CANCELLED) or (run.why is not None and error.event is Event.RELEASE):
        return stopped_end(run, error, worker)
    end = paused(run.claim, worker, run.took(), error.event, error.reason, error.delay, error.signal)
    return within_deadline(end, run.claim, run.rules.run, worker) if run.rules.ends_early else end


_HERE = __file__.rpartition("run.py")[0]
_DRIVER = iterable.__file__


def own_frames(trace: TracebackType | None) -> TracebackType | None:
    """`trace` without this package's frames in front: a user wants to see the own code, and fingerprints depend on it."""
    kept = trace
    while kept is not None and ((file := kept.tb_frame.f_code.co_filename).startswith(_HERE) or file == _DRIVER):
        kept = kept.tb_next
    return kept or trace
