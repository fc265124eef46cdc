"""Iterable jobs: a generator handler whose cursor is kept, so that it can be interrupted at any `yield` and go on elsewhere."""

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import aclosing
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec

from windlass.declare.refusal import refusal
from windlass.errors import StepsChanged
from windlass.running.steps import Book, Ousted, Paused, through
from windlass.values.clock import seconds
from windlass.values.codec import encode
from windlass.values.job import Claim
from windlass.values.lease import Step
from windlass.values.states import Event

if TYPE_CHECKING:
    from windlass.running.context import Context

CHECKPOINT = 0.25
"""Seconds between two cursors that are stored while a handler runs; the last one is always stored when it stops. A worker
that is killed repeats what it did in that time."""

BREATH = 0.005
"""Seconds after which an async generator lets the loop run, if it did not by itself."""

CURSOR = "cursor"
"""The name under which the cursor is on record, at position 0."""

_SHORTEST_SLICE = 0.1


class Checkpoints:
    """The cursor of one run."""

    def __init__(
        self, claim: Claim, book: Book, version: int, leaving: Callable[[], bool], slice: float | None
    ) -> None:
        self._claim = claim
        self._book = book
        self._version = version
        self._leaving = leaving
        self._slice = slice
        self._began = self._stored_at = self._breathed = monotonic()
        self._cursor: str | None = None
        self._stored: str | None = None

    async def last(self) -> Any:
        """What an earlier run kept, None if there was none."""
        found = next(iter(await self._book.read()), None)
        if found is not None and found.name != CURSOR:
            raise StepsChanged(
                f"the handler is a generator, but its job has begun with the step {found.name!r}: requeue it, which starts over",
                position=found.position,
                expected=found.name,
                got=CURSOR,
                version=self._version,
            )
        self._cursor = self._stored = None if found is None else found.value
        self._began = self._stored_at = monotonic()
        return None if self._cursor is None else msgspec.json.decode(self._cursor)

    async def passed(self, value: Any) -> None:
        """The handler yielded `value`: keep it, and end the run here if it has to end."""
        self._cursor = encode(value, CURSOR, self._book.limit, "a cursor")
        now = monotonic()
        pause = self._pause(now)
        if pause is not None or now - self._stored_at >= CHECKPOINT:
            await self.store()
        if pause is not None:
            raise pause

    def is_out_of_breath(self) -> bool:
        """Whether the loop is to have a turn: a generator that awaits nothing would keep it."""
        now = monotonic()
        if now - self._breathed < BREATH:
            return False
        self._breathed = now
        return True

    async def store(self) -> None:
        """Store the newest cursor, if it is not stored."""
        if self._cursor is None or self._cursor == self._stored:
            return
        note = Step(self._claim.id, self._claim.lease, 0, CURSOR, self._cursor, done=False)
        noted = await self._book.write(note)
        if not noted.accepted:
            raise Ousted("the lease of this attempt is lost")
        self._stored, self._stored_at = self._cursor, monotonic()

    def _pause(self, now: float) -> Paused | None:
        if self._leaving():
            return Paused(Event.RELEASE, "worker shut down")
        if self._slice is not None and now - self._began >= self._slice:
            # Not given back but put off by no time: it goes behind what has waited meanwhile.
            return Paused(Event.SNOOZE, "time slice used up")
        return None


async def iterate(
    fn: Callable[..., AsyncGenerator[Any, None]], slice: float | None, ctx: "Context", *args: Any, **kwargs: Any
) -> None:
    """Run an async generator handler to its end, or to the `yield` at which this run ends."""
    checkpoints = ctx.checkpoints(slice)
    ctx.cursor = await checkpoints.last()
    try:
        async with aclosing(fn(ctx, *args, **kwargs)) as rows:
            async for value in rows:
                await checkpoints.passed(value)
                if checkpoints.is_out_of_breath():
                    await asyncio.sleep(0)
    except (Ousted, GeneratorExit):
        raise
    except BaseException:  # whatever ends it, what it has done is kept
        await checkpoints.store()
        raise
    await checkpoints.store()


def iterate_sync(
    fn: Callable[..., Generator[Any, None, Any]], slice: float | None, ctx: "Context", *args: Any, **kwargs: Any
) -> Any:
    """The same for a generator in a thread or child process; what it returns is the job's result."""
    checkpoints = ctx.checkpoints(slice)
    ctx.cursor = through(checkpoints.last())
    rows = fn(ctx, *args, **kwargs)
    try:
        result = _rows(rows, checkpoints)
    except Ousted:
        raise
    except BaseException:
        through(checkpoints.store())
        raise
    finally:
        rows.close()
    through(checkpoints.store())
    return result


def _rows(rows: Generator[Any, None, Any], checkpoints: Checkpoints) -> Any:
    while True:
        try:
            value = next(rows)
        except StopIteration as done:
            return done.value
        through(checkpoints.passed(value))


def is_generator(fn: Callable[..., Any]) -> bool:
    """Whether the function yields, in either way."""
    call: Any = type(fn).__call__  # of an object that is called like a function
    return yields_async(fn) or any(map(inspect.isgeneratorfunction, (fn, call)))


def yields_async(fn: Callable[..., Any]) -> bool:
    """Whether it is an `async def` that yields."""
    call: Any = type(fn).__call__
    return any(map(inspect.isasyncgenfunction, (fn, call)))


def generator_entry(fn: Callable[..., Any], slice: float | None) -> Callable[..., Any]:
    """What a worker calls in place of a generator function."""
    return partial(iterate if yields_async(fn) else iterate_sync, fn, slice)


def read_slice(given: Mapping[str, Any], *, iterable: bool) -> float | None:
    """The checked option `slice` of a kind."""
    value = given.get("slice")
    if value is None:
        return None
    if not iterable:
        raise refusal("slice", value, "given to a generator handler only", "yield a cursor after each part of the work")
    return seconds(value, "slice", minimum=_SHORTEST_SLICE)


__all__ = [
    "CHECKPOINT",
    "CURSOR",
    "Checkpoints",
    "generator_entry",
    "is_generator",
    "read_slice",
    "yields_async",
]
