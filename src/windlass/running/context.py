"""What a running handler sees of its job: `ctx`."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, cast, overload

import msgspec
from msgspec.structs import replace

from windlass.declare.handler import Handler
from windlass.declare.pricing import Amount, read_amount, to_millionths
from windlass.errors import InvalidOption, InvalidStep
from windlass.observe.carrying import carrying
from windlass.produce.ref import JobRef
from windlass.running.capture import CONTEXT, MOST_LINES, Sink, fit
from windlass.running.effects import KEPT, Effect, InDoubt, Ledger, Lookup, MemoryLedger, read_effect
from windlass.running.iterable import Checkpoints
from windlass.running.steps import Book, MemoryBook, Steps, check_end, wrong_door
from windlass.running.sync import Blocking
from windlass.secrecy.veil import OpenClaim, opened_job
from windlass.store.protocol import Store
from windlass.values.clock import Duration, Micros, host_now, moment
from windlass.values.job import Claim, Job, NewJob
from windlass.values.outcome import Membership, RunOptions
from windlass.values.states import State
from windlass.workflows.parents import NO_PARENTS, Parents

if TYPE_CHECKING:
    from windlass.workflows.membership import Batch

P = ParamSpec("P")
R = TypeVar("R")

LEVELS = ("debug", "info", "warning", "error", "critical")
LONGEST_NOTE = 1_000


class Ack:
    """The call has already taken effect. Awaiting is optional: it waits until the store has it, which is back-pressure."""

    __slots__ = ("_flush",)

    def __init__(self, flush: Callable[[], Awaitable[None]] | None = None) -> None:
        self._flush = flush

    def __await__(self) -> Generator[Any, None, None]:
        if self._flush is not None:
            yield from self._flush().__await__()


_DONE = Ack()


class Desk(Sink, Protocol):
    """Where a context's calls go: the worker's attempt, a child process's pipe, or a list."""

    def progress(self, percent: float, note: str | None) -> Ack: ...

    def log(self, level: str, text: str) -> Ack: ...

    def is_stopping(self) -> bool: ...

    def is_leaving(self) -> bool:
        """Whether it is time to end at a `yield`: it was asked to stop, or its worker leaves."""
        ...

    @property
    def parents(self) -> Parents:
        """What the job's parents returned."""
        ...

    @property
    def batch(self) -> tuple[str, Membership | None] | None:
        """The id of the batch that the job is a callback or member of; of a member also what further ones need."""
        ...

    @property
    def store(self) -> Store | None:
        """The worker's store, where the handler shares its event loop."""
        ...

    def hand_over(self, job: NewJob[Any]) -> None:
        """Store this job together with the attempt's completion."""
        ...

    def spend(self, millionths: int) -> None:
        """Book what the attempt spent elsewhere."""
        ...

    def book(self) -> Book:
        """Where the attempt's steps are recorded."""
        ...

    def ledger(self) -> Ledger:
        """Where the attempt's effects are on record."""
        ...


class Context:
    """The job as its handler sees it, for one attempt. Made only for handlers that take it."""

    __slots__ = (
        "_claim",
        "_is_blocking",
        "_job",
        "_no_steps",
        "_resources",
        "_spent",
        "_steps",
        "_workdir",
        "carrier",
        "cursor",
        "desk",
        "home",
    )

    def __init__(self, claim: Claim, desk: Desk, resources: Mapping[str, Any]) -> None:
        self._claim = claim
        self.desk = desk
        self._resources = resources
        self._job: Job | None = None
        self._spent = Decimal(0)
        self._workdir: Path | None = None
        CONTEXT.set(self)
        self._steps: Steps | None = None
        self._is_blocking = False
        self._no_steps: str | None = None
        self.home: asyncio.Task[Any] | None = None
        """The task in which an async handler runs."""
        self.carrier: Mapping[str, str] | None = None
        """The trace context that jobs handed over carry, if the app is traced."""
        self.cursor: Any = None
        """What an iterable handler last yielded in an earlier run, None in the first."""

    @classmethod
    def detached(
        cls, kind: str = "detached", *, resources: Mapping[str, Any] | None = None, **fields: Any
    ) -> "Context":
        """A context without a store: its `desk` is a `Notebook` that collects its notes. `fields`: those of `Claim`."""
        now = host_now()
        facts: dict[str, Any] = {
            "id": "detached",
            "lease": 1,
            "queue": "default",
            "args": "{}",
            "attempt": 1,
            "max_attempts": 3,
            "priority": 0,
            "runtime": "async",
            "options": "",
            "rescues": 0,
            "created_at": now,
            "ready_at": now,
            "claimed_at": now,
        }
        made = cls(Claim(kind=kind, **(facts | fields)), Notebook(), resources or {})
        with contextlib.suppress(RuntimeError):  # made outside a loop
            made.home = asyncio.current_task()
        return made

    @property
    def job(self) -> Job:
        """The job as it was claimed."""
        if self._job is None:
            self._job = _job_of(self._claim)
            if isinstance(self._claim, OpenClaim):
                self._job = opened_job(self._job)
        return self._job

    @property
    def id(self) -> str:
        """The job's id."""
        return self._claim.id

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""
        return self._claim.attempt

    @property
    def lease(self) -> str:
        """The fencing token: grows with every lease of this job, so another system can refuse a late writer."""
        return str(self._claim.lease)

    @property
    def cancelled(self) -> bool:
        """Whether this attempt was asked to stop: cancelled, timed out, its lease lost, or the worker is leaving."""
        return self.desk.is_stopping()

    @property
    def spent(self) -> float:
        """What was reported through `cost` so far, in the app's currency; middleware reads it after the call."""
        return float(self._spent)

    @property
    def resources(self) -> Mapping[str, Any]:
        """What `@app.resource` opened in this process, by name."""
        return self._resources

    def resource(self, name: str) -> Any:
        """One resource; `LookupError` naming those there are."""
        try:
            return self._resources[name]
        except KeyError:
            known = ", ".join(sorted(self._resources)) or "none"
            raise LookupError(f"no resource {name!r} is open in this worker (there are: {known})") from None

    def progress(self, percent: float, note: str | None = None) -> Ack:
        """How far the job is, 0..100, with a short note. Acts when called."""
        if not isinstance(percent, (int, float)) or not 0 <= percent <= 100:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption(
                f"progress is {percent!r}; it must be a number from 0 to 100",
                field="percent",
                value=repr(percent),
                limit="0..100",
                mend="give a percentage",
            )
        return self.desk.progress(float(percent), None if note is None else fit(str(note))[:LONGEST_NOTE])

    def log(self, text: str, *, level: str = "info", **fields: Any) -> Ack:
        """A line of the job's log: at most 8 KiB, 1,000 lines a job. `fields` are appended as `name=value`."""
        if level not in LEVELS:
            raise InvalidOption(
                f"level is {level!r}; it must be one of {', '.join(LEVELS)}",
                field="level",
                value=repr(level),
                limit=list(LEVELS),
                mend="use 'info'",
            )
        told = "".join(f" {name}={value!r}" for name, value in fields.items())
        return self.desk.log(level, f"{text}{told}")

    @property
    def parents(self) -> Parents:
        """The results of the job's parents, read before the handler started."""
        return self.desk.parents

    @property
    def batch(self) -> "Batch":
        """The batch whose callback or member this job is; `LookupError` when there is none."""
        from windlass.workflows.membership import Batch  # few handlers ask

        found = self.desk.batch
        if found is None:
            raise LookupError(f"job {self._claim.id} belongs to no batch")
        id, membership = found
        return Batch(id, membership, self._claim.workflow or "", self.desk.store, self)

    def enqueue(self, handler: Handler[P, R], /, *args: P.args, **kwargs: P.kwargs) -> JobRef[R]:
        """Store a job together with this attempt's completion: in one transaction, and not at all if the attempt ends
        otherwise. It joins this job's workflow."""
        return self.hand_over(handler.job(*args, **kwargs))

    def hand_over(self, job: NewJob[R]) -> JobRef[R]:
        """As `enqueue`, with a job that `handler.job(...)` made; it may wait for this one: `options(after=[ctx.id])`."""
        if job.workflow is None and self._claim.workflow is not None:
            job = replace(job, workflow=self._claim.workflow)
        if self.carrier is not None:
            job = cast("NewJob[R]", carrying(job, self.carrier))
        self.desk.hand_over(job)
        return JobRef(job.id, job.kind)

    @property
    def version(self) -> int:
        """The payload version with which the job was made: a handler whose steps changed goes on by it."""
        text = self._claim.options
        return msgspec.json.decode(text, type=RunOptions).version if text else 1

    @overload
    def step(
        self, name: str, fn: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, R]: ...
    @overload
    def step(self, name: str, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]: ...
    def step(self, name: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        """Call `fn` once in the life of the job, and give what it returned then to every later run. Await it, or gather
        several. A plain function runs in a thread. Raises `StepsChanged`, `InvalidStep`; `InvalidArgs` for a result that
        is no JSON; what `fn` raises, which leaves no record."""
        return self.steps(blocking=False).step(name, fn, args, kwargs)

    def sleep(self, duration: Duration) -> Coroutine[Any, Any, None]:
        """End this run, freeing its slot; the handler starts again from the top when the time has passed, and comes by here
        at once. Spends no attempt."""
        return self.steps(blocking=False).sleep(duration)

    def wait_for(self, signal: str, timeout: Duration | None = None) -> Coroutine[Any, Any, Any]:
        """The data of a signal to this job (`app.jobs.signal`); until one comes, the run ends as with `sleep`. Raises
        `SignalTimeout`, then and in every later run."""
        return self.steps(blocking=False).wait_for(signal, timeout)

    def effect(
        self,
        name: str,
        key: str,
        request: Any = None,
        *,
        in_doubt: InDoubt = "hold",
        lookup: Lookup | None = None,
        epoch: int = 1,
        keep: Duration = KEPT,
    ) -> Effect:
        """What is to happen once outside, under a key that names the business operation and not the job:
        `async with ctx.effect("charge", order_id, request) as effect`. See `docs/guides/effects.md`.

        `request`: another one under the same key raises `EffectMismatch`. `in_doubt`: what to do when an earlier run was sending
        and left no outcome: `resend`, `lookup` (asks `lookup(prepared)`, None for not found), `rebroadcast` what was prepared, or
        `hold`, which raises `OutcomeUnknown`. `epoch`: 2 for a second execution that is meant. `keep`: how long it is
        remembered once it is done.
        """
        return self.effects(read_effect(name, key, request, in_doubt, lookup, epoch, keep), blocking=False)

    def effects(self, asked: Any, *, blocking: bool) -> Effect:
        """An effect of this run; `blocking` says by which door it is had."""
        ledger = self.desk.ledger()
        if ledger.blocking is not blocking:
            raise wrong_door(ledger.blocking)
        return Effect(self._claim, ledger, self.desk.line, asked)

    @property
    def sync(self) -> Blocking:
        """`step`, `sleep`, `wait_for` and `effect` for `def` handlers."""
        return Blocking(lambda: self.steps(blocking=True), lambda asked: self.effects(asked, blocking=True))

    def steps(self, blocking: bool) -> Steps:
        """The steps of this run; `blocking` says by which door they are called."""
        if self._no_steps is not None:
            raise InvalidStep(self._no_steps)
        if self._steps is None:
            book = self.desk.book()
            self._is_blocking = book.blocking
            if blocking is book.blocking:
                self._steps = Steps(self._claim, book, self.version, self.desk.line, self.home)
        if self._steps is None or blocking is not self._is_blocking:
            raise wrong_door(self._is_blocking)
        return self._steps

    def refuse_steps(self, why: str) -> None:
        """From now on `step`, `sleep` and `wait_for` raise `InvalidStep`."""
        self._no_steps = why

    def checkpoints(self, slice: float | None) -> Checkpoints:
        """The cursor of an iterable job, which has that instead of steps."""
        self.refuse_steps("an iterable job keeps a cursor, which it yields, and no steps")
        return Checkpoints(self._claim, self.desk.book(), self.version, self.desk.is_leaving, slice)

    def check_end(self, error: BaseException | None) -> None:
        """The handler ended, by `error` or (None) by returning. Raises `InvalidStep` if it caught its own suspension."""
        if self._steps is not None and not self.desk.is_stopping():
            check_end(self._steps, error)

    def cost(self, amount: Amount) -> None:
        """Adds what this attempt spent elsewhere, in the app's currency (US dollars unless the settings say otherwise), to the
        job's cost, however the attempt ends: text, a `Decimal` or a number. Kept to a millionth."""
        spent = read_amount(amount, "cost")
        self._spent += spent
        self.desk.spend(to_millionths(spent))

    @property
    def workdir(self) -> Path:
        """A private empty folder of this attempt, made at first use and removed when the attempt ends."""
        if self._workdir is None:
            self._workdir = Path(tempfile.mkdtemp(prefix=f"windlass-{self._claim.id[-12:]}-"))
        return self._workdir

    async def close(self) -> None:
        """The attempt is over (async runtime): the folder goes, without holding up the loop."""
        if self._workdir is not None:
            await asyncio.to_thread(self.close_now)

    def close_now(self) -> None:
        """The attempt is over (thread and process runtimes)."""
        folder, self._workdir = self._workdir, None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


class Notebook:
    """A `Desk` without a store: notes are collected in lists."""

    def __init__(self) -> None:
        self.partial = ""
        self.progressed: list[tuple[float, str | None]] = []
        self.lines: list[tuple[str, str]] = []
        self.jobs: list[NewJob[Any]] = []
        self.parents = NO_PARENTS
        self.batch: tuple[str, Membership | None] | None = None
        self.store: Store | None = None
        self.stopping = False
        self.spent = 0
        self.memory = MemoryBook()
        self.effects = MemoryLedger()

    def book(self) -> Book:
        return self.memory

    def ledger(self) -> Ledger:
        return self.effects

    def progress(self, percent: float, note: str | None) -> Ack:
        self.progressed.append((percent, note))
        return _DONE

    def log(self, level: str, text: str) -> Ack:
        self.line(level, text)
        return _DONE

    def line(self, level: str, text: str) -> None:
        if len(self.lines) < MOST_LINES:
            self.lines.append((level, fit(text)))

    def is_stopping(self) -> bool:
        return self.stopping

    def is_leaving(self) -> bool:
        return self.stopping

    def hand_over(self, job: NewJob[Any]) -> None:
        self.jobs.append(job)

    def spend(self, millionths: int) -> None:
        self.spent += millionths


def _job_of(claim: Claim) -> Job:
    return Job(
        id=claim.id,
        kind=claim.kind,
        queue=claim.queue,
        state=State.ACTIVE,
        runtime=claim.runtime,
        priority=claim.priority,
        args=_object(claim.args),
        result=None,
        error=None,
        reason=None,
        attempt=claim.attempt,
        max_attempts=claim.max_attempts,
        rescues=claim.rescues,
        attempts=(),
        created_at=moment(claim.created_at),
        run_at=moment(claim.ready_at),
        started_at=moment(claim.claimed_at),
        finished_at=None,
        expires_at=_moment(claim.expires_at),
        progress=0.0,
        progress_note=None,
        worker=None,
        lease=claim.lease,
        tags=claim.tags,
        user=claim.user,
        project=claim.project,
        group=claim.group,
        workflow=claim.workflow,
        name=claim.name,
        unique=None,
        parents=(),
        options=_object(claim.options or "{}"),
        cancelling=claim.cancelling,
    )


def _object(text: str) -> dict[str, Any]:
    return msgspec.json.decode(text, type=dict[str, Any])


def _moment(at: Micros | None) -> Any:
    return None if at is None else moment(at)


__all__ = ["Ack", "Context", "Desk", "Notebook"]
