"""For tests of programs that use Windlass: `sandbox` gives an app a store in memory with a held clock, `run` runs a handler
without any store."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from windlass.app import Windlass
from windlass.declare.handler import Handler
from windlass.errors import WindlassError
from windlass.operate.views import JobId
from windlass.running.chunk import Chunk, Item, missing, take_results
from windlass.running.context import Context, Notebook
from windlass.running.steps import Paused, StepRecord, read_record
from windlass.stores import Stores
from windlass.values.clock import Duration, Micros, host_now, instant, micros, moment
from windlass.values.codec import MEBIBYTE, encode
from windlass.values.job import Claim, Enqueued, ErrorInfo, NewJob
from windlass.values.lease import Delivery
from windlass.values.outcome import Finish, completed, judge, paused
from windlass.values.states import Event

IN_MEMORY = "sqlite://:memory:"
_MOST_STEPS = 100_000
_DUE_AT_ONCE = 500


class Sent(msgspec.Struct, frozen=True):
    """One job that was enqueued in a sandbox; `job` has its options, `args` are plain values by parameter name."""

    id: str
    kind: str
    args: dict[str, Any]
    job: NewJob[Any]


class Box:
    """A sandboxed app: what it enqueued, and its clock."""

    def __init__(self, app: Windlass) -> None:
        self.app = app
        self._sent: list[Sent] = []

    def enqueued(self, handler: Handler[..., Any] | str | None = None) -> list[Sent]:
        """The new jobs since the sandbox opened, oldest first; of one handler or kind, if named."""
        kind = handler.kind if isinstance(handler, Handler) else handler
        return [sent for sent in self._sent if kind is None or sent.kind == kind]

    def assert_enqueued(
        self, handler: Handler[..., Any] | str, /, *, count: int | None = None, **args: Any
    ) -> list[Sent]:
        """Fails unless jobs of `handler` with these arguments (others may be anything) were enqueued: `count` of them, or at
        least one. Returns them."""
        wanted = cast("dict[str, Any]", msgspec.json.decode(encode(args, "", MEBIBYTE)))
        every = self.enqueued(handler)
        found = [sent for sent in every if all(_has(sent.args, *each) for each in wanted.items())]
        if len(found) != count if count is not None else not found:
            kind = handler.kind if isinstance(handler, Handler) else handler
            asked = f"{'at least one' if count is None else count} of {kind} with {wanted}"
            there = "\n".join(f"  {sent.kind} {sent.args}" for sent in every or self._sent) or "  nothing"
            raise AssertionError(f"expected {asked}, found {len(found)}; enqueued were:\n{there}")
        return found

    async def now(self) -> datetime:
        """The sandbox's time."""
        return moment(await (await self.app.store()).now())

    async def signal(self, job: JobId, name: str, data: Any = None) -> Delivery:
        """Hand a signal to a job, as `app.jobs.signal` does; `drain` then runs the handler that waited for it."""
        return await self.app.jobs.signal(job, name, data)

    async def drain(self) -> int:
        """Run every job that may run now; how many ran."""
        return await self.app.drain()

    async def advance(self, duration: Duration) -> int:
        """Let time pass, running what becomes due at its own time (a retry, then the job it enqueues, a schedule's next
        time, ...); how many ran."""
        store = await self.app.store()
        target = await store.now() + micros(duration, "duration")
        ran = await self.drain()
        for _ in range(_MOST_STEPS):
            promoted = await store.promote(_DUE_AT_ONCE)
            now = await store.now()
            scheduled = [row.due for row in await store.schedules(target + 1) if row.due is not None]
            if promoted.moved or promoted.more or min(scheduled, default=target + 1) <= now:
                ran += await self.drain()
                continue
            ahead = [*scheduled, *([] if promoted.wait is None else [now + max(promoted.wait, 1)])]
            if min(ahead, default=target + 1) > target:
                await store.hold_time(target)
                return ran + await self.drain()
            await store.hold_time(min(ahead))
        raise AssertionError(f"jobs kept becoming due {_MOST_STEPS} times; a job that retries at once for ever?")

    def saw(self, jobs: Sequence[NewJob[Any]], answers: Sequence[Enqueued]) -> None:
        """Told by the producer of every stored call."""
        for job, answer in zip(jobs, answers, strict=True):
            if answer.created:
                handler = self.app.kinds.here(job.kind)
                veil = None if handler is None else handler.veil
                args = job.args if veil is None else veil.plain_args(job.args, job.id)
                self._sent.append(Sent(job.id, job.kind, msgspec.json.decode(args), job))


@asynccontextmanager
async def sandbox(app: Windlass, *, now: datetime | None = None) -> AsyncGenerator[Box]:
    """`app`, the same object, on an empty store in memory whose clock stands at `now` (aware; default: the real time).

    Everything that uses the app meanwhile, from any thread, uses the sandbox; afterwards the app has its own store again.
    Jobs enqueued with `connection=` are there at once, whatever becomes of the transaction.
    """
    outside = app.stores
    box = Box(app)
    app.stores = Stores(IN_MEMORY, outside.namespace)
    app.stores.observers.append(box.saw)
    app.stores.takes_any_connection = True
    try:
        async with app:
            store = await app.store()
            await store.hold_time(host_now() if now is None else instant(now, "now"))
            yield box
    finally:
        with contextlib.suppress(WindlassError):
            await app.stores.close()
        app.stores = outside


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended. `outcome`: complete, retry, snooze, suspend, fail or abort. `progress`: (percent, note) in order;
    `log`: (level, text). `delay`: seconds until it would run again. `steps`: what is on record of a durable handler."""

    outcome: str
    result: Any = None
    error: ErrorInfo | None = None
    exception: BaseException | None = None
    reason: str | None = None
    delay: float = 0.0
    progress: list[tuple[float, str | None]] = []
    log: list[tuple[str, str]] = []
    steps: list[StepRecord] = []


async def run(
    handler: Handler[..., Any],
    /,
    *args: Any,
    attempt: int = 1,
    resources: Mapping[str, Any] | None = None,
    signals: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> Ran:
    """Run one attempt of a handler without a store: arguments and result go through JSON as they do in a queue, what it
    raises is judged as a worker would, progress and log lines are collected. `resources` stand in for `@app.resource`.

    A durable handler is run again from the top when it sleeps, by a clock that jumps there; `signals` are there when it waits
    for them, once each. One that waits for another signal without a timeout ends with the outcome `suspend`."""
    job = handler.job(*args, **kwargs)
    if handler.fn is None:
        raise WindlassError(f"the code of {handler.kind!r} is not in this program", kind=handler.kind)
    if handler.veil is not None:
        job = replace(job, args=handler.veil.plain_args(job.args, job.id))
    claim, notes = _claim(job, attempt), Notebook()
    book = notes.memory
    book.blocking, book.clock = handler.runtime != "async", claim.claimed_at
    book.signals = {name: encode(data, name, MEBIBYTE) for name, data in (signals or {}).items()}
    started = time.monotonic_ns()
    while True:
        context = Context(claim, notes, resources or {})
        context.home = asyncio.current_task()
        try:
            text = handler.encode_result(await _call(handler, job, context))
            end = completed(claim, text, 0)
            return _ran(notes, end, result=handler.result_from(msgspec.json.decode(text)) if text else None)
        except Paused as pause:
            if pause.event is Event.SUSPEND and not pause.delay:
                end = paused(claim, "testing", 0, pause.event, pause.reason, 0, pause.signal)
                return _ran(notes, end)
            book.clock += pause.delay
            claim = replace(claim, claimed_at=book.clock)
        except Exception as error:
            took: Micros = (time.monotonic_ns() - started) // 1_000
            return _ran(notes, judge(claim, error, handler.rules(job.options).run, "testing", took), exception=error)
        finally:
            await context.close()


def _ran(notes: Notebook, end: Finish, result: Any = None, exception: BaseException | None = None) -> Ran:
    return Ran(
        outcome=str(end.event),
        result=result,
        error=msgspec.json.decode(end.error, type=ErrorInfo) if end.error else None,
        exception=exception,
        reason=end.reason,
        delay=end.delay / 1e6,
        progress=notes.progressed,
        log=notes.lines,
        steps=[read_record(step) for _, step in sorted(notes.memory.steps.items())],
    )


def _claim(job: NewJob[Any], attempt: int) -> Claim:
    now = host_now()
    return Claim(
        id=job.id,
        lease=1,
        kind=job.kind,
        queue=job.queue,
        args=job.args,
        attempt=attempt,
        max_attempts=job.max_attempts,
        priority=job.priority,
        runtime=job.runtime,
        options=job.options,
        rescues=0,
        created_at=now,
        ready_at=now,
        claimed_at=now,
        user=job.user,
        project=job.project,
        group=job.group,
        name=job.name,
        tags=job.tags,
    )


async def _call(handler: Handler[..., Any], job: NewJob[Any], context: Context) -> Any:
    entry = handler.entry
    assert entry is not None
    positional, named = handler.decode(job.args, handler.version)
    if handler.takes_context:
        positional = (context, *positional)
    limit = handler.rules(job.options).timeout
    ends: list[tuple[Any, BaseException | None]] = []
    chunk: Chunk[Any, Any] | None = None
    if handler.chunked:

        def end(_: Item[Any, Any], result: Any, error: BaseException | None) -> None:
            ends.append((result, error))

        item: Item[Any, Any] = Item(job.id, context.attempt, positional[0], lambda: context, end)
        chunk = Chunk([item], context.desk.is_stopping)
        positional = (chunk,)
    try:
        async with asyncio.timeout(limit):
            if handler.runtime == "async":
                value = await entry(*positional, **named)
            else:
                value = await asyncio.to_thread(entry, *positional, **named)
    except BaseException as error:
        context.check_end(error)
        raise
    context.check_end(None)
    return value if chunk is None else _end_of_item(chunk, value, ends)


def _end_of_item(chunk: Chunk[Any, Any], value: Any, ends: list[tuple[Any, BaseException | None]]) -> Any:
    """The end of the only job of a chunk."""
    take_results(chunk, value)
    if not ends:
        raise missing(chunk)
    result, error = ends[0]
    if error is not None:
        raise error
    return result


def _has(args: Mapping[str, Any], name: str, value: Any) -> bool:
    return name in args and args[name] == value


__all__ = ["Box", "Ran", "Sent", "run", "sandbox"]
