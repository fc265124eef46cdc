"""Durable steps: what a handler did is recorded by position, so a run that starts again from the top finds it there."""

import asyncio
import inspect
import logging
from collections.abc import Callable, Coroutine
from datetime import datetime
from functools import partial
from typing import Any, NoReturn, ParamSpec, Protocol, TypeVar, cast

import msgspec

from windlass.declare.signature import read_hints
from windlass.errors import InsideLoop, InvalidOption, InvalidStep, SignalTimeout, StepsChanged
from windlass.values.clock import SECOND, Duration, Micros, micros, moment
from windlass.values.codec import MEBIBYTE, convert, encode
from windlass.values.job import Claim
from windlass.values.lease import Noted, Step, StoredStep
from windlass.values.queue import check_name
from windlass.values.states import Event

log = logging.getLogger("windlass.steps")

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

MOST_STEPS = 10_000
"""Steps of one job; every run reads them all. A longer loop is an iterable job, which keeps one cursor."""

LONGEST_NAME = 200
SLEEP = "sleep"
SIGNAL = "signal "
"""Names under which sleeps and waits are recorded; a user's step may not look like one."""


class Unwind(BaseException):
    """Raised through a handler whose run ends here although nothing failed. Not an `Exception`, so that `except Exception`
    lets it pass."""


class Ousted(Unwind):
    """The lease is another's: a note of this attempt was refused. Nothing of it is to be committed."""


class Paused(Unwind):
    """The handler is to be run again from the top: after `delay` (snooze), on a signal (suspend), or anywhere (release)."""

    def __init__(self, event: Event, reason: str, *, delay: Micros = 0, signal: str | None = None) -> None:
        super().__init__(reason)
        self.event = event
        self.reason = reason
        self.delay = delay
        self.signal = signal


class StepRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A step as readers see it. `what`: a `step`, a `sleep`, or the wait for a `signal` (`name` is the signal's then).
    `done` False: it is under way, or (sleep and signal) `until` is its limit, None for none. `result`: what it gave to the
    handler. `timed_out`: the signal did not come. `attempt` wrote the record, at `at`."""

    position: int
    what: str
    name: str
    done: bool
    at: datetime
    attempt: int
    result: Any = None
    until: datetime | None = None
    timed_out: bool = False


def read_record(step: StoredStep) -> StepRecord:
    """The record of a stored step."""
    what = "signal" if step.name.startswith(SIGNAL) else "sleep" if step.name == SLEEP else "step"
    value = msgspec.json.decode(step.value) if step.value else None
    is_limit = isinstance(value, int) and (what == "sleep" or (what == "signal" and not step.done))
    return StepRecord(
        position=step.position,
        what=what,
        name=step.name.removeprefix(SIGNAL) if what == "signal" else step.name,
        done=step.done,
        at=moment(step.at),
        attempt=step.attempt,
        result=None if is_limit else value,
        until=moment(cast("int", value)) if is_limit else None,
        timed_out=what == "signal" and step.done and step.value is None,
    )


class Book(Protocol):
    """Where the steps of one attempt are kept. A `blocking` book's coroutines never suspend."""

    blocking: bool
    limit: int
    """Bytes of one value."""

    async def read(self) -> list[StoredStep]:
        """The steps of the job's earlier runs."""
        ...

    async def write(self, step: Step) -> Noted:
        """Record a step; it is in the store when this returns."""
        ...

    def begin(self, step: Step) -> None:
        """Tell readers that a step is under way, if it takes long enough to be seen."""
        ...

    async def now(self) -> Micros:
        """The store's clock."""
        ...


class Steps:
    """The steps of one run of a handler, in the order of the calls."""

    def __init__(self, claim: Claim, book: Book, version: int, tell: Callable[[str, str], None], home: Any) -> None:
        """`home`: the task of an async handler. `tell`: writes a line (level, text) to the job's log."""
        self._claim = claim
        self._book = book
        self._version = version
        self._tell = tell
        self._home = home
        self._next = 0
        self._open = 0
        self._inside = False
        self._known: dict[int, StoredStep] | None = None
        self._quiet = not (claim.rescues or claim.attempt > 1)
        self.unwinding: Unwind | None = None
        """What was raised to end the run; a handler that goes on all the same has caught it."""

    # what handlers call; each takes its position now, and does its work when awaited

    def step(self, name: str, fn: Callable[..., Any], args: Any, kwargs: Any) -> Coroutine[Any, Any, Any]:
        return self._run(self._take(_step_name(name)), name, fn, args, kwargs)

    def sleep(self, duration: Duration) -> Coroutine[Any, Any, None]:
        delay = micros(duration, "duration")
        return self._sleep(self._take(SLEEP), delay)

    def wait_for(self, signal: str, timeout: Duration | None) -> Coroutine[Any, Any, Any]:
        limit = None if timeout is None else micros(timeout, "timeout")
        return self._wait(self._take(SIGNAL + check_name(signal, "signal")), signal, limit)

    def _take(self, name: str) -> int:
        if self.unwinding is not None:  # a `finally:` or a caught suspension: this run is over
            raise self.unwinding
        if self._inside or (self._book.blocking and self._open):
            raise _misused(name, "is called inside another step", "call it after the step, from the handler itself")
        if not self._book.blocking and not self._is_home():
            raise _misused(
                name,
                "is called in a task beside the handler's own, so the order of the steps is left to chance",
                "call ctx.step in the handler itself, and gather what it returns: gather(ctx.step(...), ctx.step(...))",
            )
        if self._next >= MOST_STEPS:
            raise _misused(
                name, f"would be more than {MOST_STEPS:,} steps", "use an iterable job, which keeps a cursor"
            )
        self._next += 1
        return self._next - 1

    # steps

    async def _run(self, position: int, name: str, fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        self._open += 1
        try:
            known = await self._meet(position, name)
            if known is not None and known.done:
                return _rebuilt(known.value, fn)
            self._announce(position, name, known)
            self._book.begin(self._note(position, name, None, done=False))
            call = partial(fn, *args, **kwargs)
            if self._book.blocking or inspect.iscoroutinefunction(fn):
                return _rebuilt(await self._do(position, name, call), fn)
            return _rebuilt(await _to_the_end(self._do(position, name, call)), fn)
        finally:
            self._open -= 1

    async def _do(self, position: int, name: str, call: "partial[Any]") -> str:
        """Have the effect and record it."""
        is_home = not self._book.blocking and self._is_home()
        self._inside = self._inside or is_home
        try:
            value = await self._value(name, call)
        finally:
            self._inside = self._inside and not is_home
        text = encode(value, f"steps.{name}", self._book.limit, "the result of a step")
        await self._write(self._note(position, name, text))
        return text

    async def _value(self, name: str, call: "partial[Any]") -> Any:
        if self._book.blocking:
            value = call()
            if inspect.isawaitable(value):
                if inspect.iscoroutine(value):
                    value.close()
                raise _misused(
                    name, "is a coroutine function, and this handler is a plain def", "make the job async def"
                )
            return value
        value = call() if inspect.iscoroutinefunction(call.func) else await asyncio.to_thread(call)
        return await value if inspect.isawaitable(value) else value

    async def _sleep(self, position: int, delay: Micros) -> None:
        self._open += 1
        try:
            known = await self._meet(position, SLEEP)
            if known is not None and known.done:
                return
            if known is None:
                now = await self._book.now()
                until = now + delay
            else:
                now, until = self._claim.claimed_at, int(known.value or 0)
                now = now if now >= until else await self._book.now()
            if now >= until:
                await self._write(self._note(position, SLEEP, str(until)))
                return
            if known is None:
                await self._write(self._note(position, SLEEP, str(until), done=False))
            self._pause(SLEEP, Paused(Event.SNOOZE, "sleeps", delay=until - now))
        finally:
            self._open -= 1

    async def _wait(self, position: int, signal: str, limit: Micros | None) -> Any:
        name = SIGNAL + signal
        self._open += 1
        try:
            known = await self._meet(position, name)
            if known is not None and known.done:
                return self._heard(known.value, signal, limit)
            now = self._claim.claimed_at
            until = None if known is None else _begun_until(known)
            if limit is not None and known is None:
                now = await self._book.now()
                until = now + limit
            elif until is not None and now < until:
                now = await self._book.now()
            if until is not None and now >= until:
                # One note for both: a signal that comes in this moment is taken, or the timeout is on record.
                noted = await self._write(self._note(position, name, None, signal=signal))
                return self._heard(noted.value, signal, limit)
            begun = self._note(position, name, "null" if until is None else str(until), done=False, signal=signal)
            noted = await self._write(begun)
            if noted.value is not None:
                return self._heard(noted.value, signal, limit)
            delay = 0 if until is None else until - now
            self._pause(name, Paused(Event.SUSPEND, f"waits for {signal}", delay=delay, signal=signal))
        finally:
            self._open -= 1

    def _heard(self, value: str | None, signal: str, limit: Micros | None) -> Any:
        if value is not None:
            return msgspec.json.decode(value)
        waited = None if limit is None else limit / SECOND
        told = "" if waited is None else f" within {waited:g} s"
        raise SignalTimeout(f"the signal {signal!r} did not come{told}", signal=signal, timeout=waited)

    # records

    async def _meet(self, position: int, name: str) -> StoredStep | None:
        """What is on record at this position, if it is this step."""
        if self._known is None:
            self._known = {step.position: step for step in await self._book.read()}
        known = self._known.get(position)
        if known is not None and known.name != name:
            raise StepsChanged(
                f"step {position} is {name!r}, but {known.name!r} is on record there (payload version {self._version}): raise "
                "the handler's version= and branch on ctx.version, or requeue the job, which starts over",
                position=position,
                expected=known.name,
                got=name,
                version=self._version,
            )
        return known

    async def _write(self, step: Step) -> Noted:
        noted = await self._book.write(step)
        if not noted.accepted:
            self.unwinding = Ousted("the lease of this attempt is lost")
            raise self.unwinding
        return noted

    def _note(
        self, position: int, name: str, value: str | None, *, done: bool = True, signal: str | None = None
    ) -> Step:
        return Step(self._claim.id, self._claim.lease, position, name, value, done, signal)

    def _announce(self, position: int, name: str, known: StoredStep | None) -> None:
        """The history says from where a later run goes on, and which step may have had its effect before."""
        if known is not None:
            self._tell("warning", f"step {position} {name!r} began before and left no record: it runs again")
        elif not self._quiet:
            self._tell("info", f"goes on at step {position} {name!r}, which may have run before without a record")
        self._quiet = True

    def _is_home(self) -> bool:
        try:
            return asyncio.current_task() is self._home
        except RuntimeError:  # a thread without a loop: where plain functions of steps run
            return False

    def _pause(self, name: str, pause: Paused) -> NoReturn:
        if self._open > 1 or not (self._book.blocking or self._is_home()):
            raise _misused(
                name,
                "would end this run while other steps are under way",
                "await it by itself, not in gather or wait_for",
            )
        self.unwinding = pause
        raise pause


class MemoryBook:
    """A book without a store, whose clock the reader moves. `signals`: data by name, each there once."""

    blocking = False
    limit = MEBIBYTE

    def __init__(self, signals: dict[str, str] | None = None, now: Micros = 0) -> None:
        self.steps: dict[int, StoredStep] = {}
        self.signals = signals or {}
        self.clock = now

    async def read(self) -> list[StoredStep]:
        return [self.steps[position] for position in sorted(self.steps)]

    async def write(self, step: Step) -> Noted:
        value, done = step.value, step.done
        data = None if step.signal is None else self.signals.pop(step.signal, None)
        if data is not None:
            value, done = data, True
        self.steps[step.position] = StoredStep(step.position, step.name, value, done, self.clock, 1)
        return Noted(value=data)

    def begin(self, step: Step) -> None:
        """Nobody looks on."""

    async def now(self) -> Micros:
        return self.clock


def check_end(steps: Steps, error: BaseException | None) -> None:
    """The handler ended, by `error` or (None) by returning: complain if it kept its suspension from ending the run."""
    unwinding = steps.unwinding
    if unwinding is None or error is unwinding:
        return
    if isinstance(unwinding, Ousted):
        raise unwinding
    if isinstance(error, BaseExceptionGroup):  # a TaskGroup around it
        others = cast("BaseExceptionGroup[BaseException]", error).split(Unwind)[1]
        if others is None:
            raise unwinding
    raise InvalidStep(
        f"the handler caught what ends its run when it {unwinding}, and went on: catch Exception rather than BaseException, "
        "and end a bare `except:` with `raise`"
    ) from error


def wrong_door(blocking: bool) -> Exception:
    """The error for `ctx.sync` in an async handler, or for `ctx.step` in a plain one."""
    if blocking:
        return InvalidStep(
            "ctx.step, ctx.sleep, ctx.wait_for and ctx.effect are for async handlers, and this one is a plain def: call "
            "ctx.sync.step, ctx.sync.sleep, ctx.sync.wait_for and ctx.sync.effect"
        )
    return InsideLoop(
        "ctx.sync blocks, and this handler runs on the event loop: use ctx.step, ctx.sleep, ctx.wait_for or ctx.effect"
    )


def _step_name(name: object) -> str:
    if (
        isinstance(name, str)
        and 0 < len(name) <= LONGEST_NAME
        and name.isprintable()
        and name != SLEEP
        and not name.startswith(SIGNAL)
    ):
        return name
    shown = repr(name)[:100]
    raise InvalidOption(
        f"the step's name is {shown}; it must be 1 to {LONGEST_NAME} printable characters, not {SLEEP!r} and not beginning "
        f"with {SIGNAL!r}",
        field="name",
        value=shown,
        limit=f"1..{LONGEST_NAME} characters",
        mend="give the step a name of its own",
    )


def _misused(name: str, wrong: str, mend: str) -> InvalidStep:
    # The job keeps the message alone, so it also says what to do.
    return InvalidStep(f"step {name!r} {wrong}: {mend}", step=name)


def _begun_until(known: StoredStep) -> Micros | None:
    return msgspec.json.decode(known.value, type=int | None) if known.value else None


def _rebuilt(text: str | None, fn: Callable[..., Any]) -> Any:
    """The value on record, as the step's return type where it has one: the first run gets what later ones will get."""
    value = msgspec.json.decode(text) if text else None
    hint = read_hints(fn).get("return", Any) if value is not None else Any
    if hint is Any:
        return value
    try:
        return convert(value, hint)
    except (ValueError, TypeError, RecursionError):  # a type that cannot be rebuilt from JSON
        return value


async def _to_the_end(doing: Coroutine[Any, Any, str]) -> str:
    """A plain function in a thread cannot be stopped: when the handler is, its effect is still waited for and recorded."""
    task = asyncio.ensure_future(doing)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()) is not None:
            log.info("a step that outlived its stopped handler failed: %r", error)
        raise


def through(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, as those of blocking books do not."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return cast("T", done.value)
    finally:
        coroutine.close()
    raise AssertionError("a blocking step suspended")


__all__ = [
    "MOST_STEPS",
    "Book",
    "MemoryBook",
    "Ousted",
    "Paused",
    "StepRecord",
    "Steps",
    "Unwind",
    "check_end",
    "read_record",
    "through",
    "wrong_door",
]
