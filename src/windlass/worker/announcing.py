"""Calls the app's hooks, each in a line of its own, so that none holds up jobs, the worker or another hook."""

import asyncio
import contextlib
import inspect
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from windlass.operate.hooks import BY_END, JobEvent, Wanted
from windlass.secrecy.marks import shown
from windlass.secrecy.veil import shown_error
from windlass.values.clock import SECOND, host_now, moment
from windlass.values.job import Claim, Trail
from windlass.values.outcome import Finish

log = logging.getLogger("windlass.hooks")

MOST_WAITING = 10_000
"""Events that wait for a hook which is slow; beyond that the oldest go."""

LONGEST_CALL = 30.0
"""Seconds after which a call is given up and the next event comes; a plain function goes on in its thread."""

_TRAIL = msgspec.json.Decoder(Trail)


class Announcer:
    """One per worker that has hooks. Called from the worker's loop only."""

    def __init__(self, hooks: Sequence[Wanted], worker: str) -> None:
        self._worker = worker
        self._lines = [_Line(hook) for hook in hooks]
        self._loop = asyncio.get_running_loop()
        self.hears = frozenset[str]().union(*(hook.events for hook in hooks))
        """The events that any hook wants."""
        self._ear = _Ear(self)

    def open(self) -> None:
        """From now on the worker's own warnings are heard too, if a hook wants them."""
        if "error" in self.hears:
            logging.getLogger("windlass.worker").addHandler(self._ear)

    def started(self, claim: Claim) -> None:
        """The worker took a job."""
        if "active" in self.hears:
            self._tell(self._event("active", claim))

    def progressed(self, claim: Claim, percent: float, note: str | None) -> None:
        """A running job told how far it is, and the store has it."""
        if "progress" in self.hears:
            self._tell(self._event("progress", claim, progress=percent, note=note))

    def ended(self, finish: Finish, claim: Claim | None) -> None:
        """An attempt's end was accepted; `claim` None: it was another worker's that is gone."""
        name = BY_END.get(finish.event)
        if name is None or name not in self.hears:
            return
        told = _TRAIL.decode(finish.trail) if finish.trail else None
        facts: dict[str, Any] = {
            "id": finish.id,
            "kind": finish.kind,
            "queue": finish.queue,
            "took": finish.took / SECOND,
            "delay": finish.delay / SECOND,
            "result": shown(msgspec.json.decode(finish.result)) if finish.result else None,
            "error": None if told is None else shown_error(told.error),
            "reason": finish.reason,
        }
        self._tell(self._event(name, claim, **facts))

    def warned(self, text: str) -> None:
        """The worker itself has trouble."""
        self._tell(self._event("error", None, text=text))

    async def drained(self) -> None:
        """Until what was told so far has been heard."""
        logging.getLogger("windlass.worker").removeHandler(self._ear)
        tasks = [line.task for line in self._lines if line.task is not None]
        if tasks:
            await asyncio.wait(tasks)

    def close(self) -> None:
        """Whatever is not heard by now is not heard at all."""
        logging.getLogger("windlass.worker").removeHandler(self._ear)
        for line in self._lines:
            if line.task is not None:
                line.task.cancel()

    def _event(self, name: Any, claim: Claim | None, **facts: Any) -> JobEvent:
        if claim is not None:
            own = ("id", "kind", "queue", "attempt", "user", "project", "workflow", "tags")
            facts = {field: getattr(claim, field) for field in own} | facts
        return JobEvent(event=name, at=moment(host_now()), worker=self._worker, **facts)

    def _tell(self, event: JobEvent) -> None:
        for line in self._lines:
            if line.wanted.wants(event.event, event.queue, event.kind):
                line.add(event, self._loop)


class _Line:
    """The events that wait for one hook, in order."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.task: asyncio.Task[None] | None = None
        self._events: deque[JobEvent] = deque()
        self._dropped = 0
        call: Any = type(wanted.hook).__call__  # of an object that is called like a function
        self._is_async = any(map(inspect.iscoroutinefunction, (wanted.hook, call)))

    def add(self, event: JobEvent, loop: asyncio.AbstractEventLoop) -> None:
        if len(self._events) >= MOST_WAITING:
            self._events.popleft()
            self._dropped += 1
            if self._dropped == 1:
                log.warning("the hook %s is too slow: the oldest events go unheard", _name(self.wanted.hook))
        self._events.append(event)
        if self.task is None:
            self.task = loop.create_task(self._work(), name="windlass-hook")

    async def _work(self) -> None:
        try:
            while self._events:
                await self._call(self._events.popleft())
        finally:
            self.task = None
        if self._dropped:
            log.warning("the hook %s missed %d events", _name(self.wanted.hook), self._dropped)
            self._dropped = 0

    async def _call(self, event: JobEvent) -> None:
        hook = self.wanted.hook
        try:
            async with asyncio.timeout(LONGEST_CALL):
                await (hook(event) if self._is_async else _in_thread(hook, event))
        except Exception:  # a hook harms nothing: neither the job, nor the hooks beside it
            log.exception("the hook %s failed on %s of %s", _name(hook), event.event, event.id or event.worker)


class _Ear(logging.Handler):
    """Hears what the worker's loops log as a warning or an error, from any thread."""

    def __init__(self, announcer: Announcer) -> None:
        super().__init__(logging.WARNING)
        self._announcer = announcer
        self._home = asyncio.get_running_loop()

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed
            self._home.call_soon_threadsafe(self._announcer.warned, record.getMessage())


async def _in_thread(hook: Callable[[JobEvent], Any], event: JobEvent) -> None:
    """Call a plain function. A thread of its own: a pool waits for its threads at exit, so one stuck hook would keep the
    process."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def settle(error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def call() -> None:
        error: BaseException | None = None
        try:
            hook(event)
        except Exception as own:
            error = own
        with contextlib.suppress(RuntimeError):  # the loop has closed meanwhile
            loop.call_soon_threadsafe(settle, error)

    threading.Thread(target=call, name="windlass-hook", daemon=True).start()
    await done


def _name(hook: Any) -> str:
    return getattr(hook, "__qualname__", repr(hook))
