"""The thread lane: `def` handlers on lasting threads, stopped by a flag and then by an exception raised inside them.

Own threads rather than an executor: an executor joins its threads at exit, so one stuck handler would keep the process.
"""

import asyncio
import contextvars
import ctypes
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from time import monotonic, thread_time_ns

from windlass.values.outcome import Finish
from windlass.worker.plain import Around, Open, PlainCall
from windlass.worker.run import STOP_GRACE, Ended, Run, Stopped, Why, late_end, raised_end, stopped_end

log = logging.getLogger("windlass.worker")

POLITE = 0.5
"""Seconds a handler has to see `ctx.cancelled` before `Stopped` is raised inside it."""

_AGAIN = 1.0
"""Seconds between further exceptions for a handler that caught the first."""

_raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
_raise_in.argtypes = (ctypes.c_ulong, ctypes.py_object)
_raise_in.restype = ctypes.c_int


class ThreadLane:
    """Up to `size` threads. A thread whose handler was given up keeps its slot until the handler returns."""

    def __init__(self, size: int, open_context: Open, around: Sequence[Around], ended: Ended, worker: str) -> None:
        self._size = size
        self._ended = ended
        self._worker = worker
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._call = PlainCall(open_context, around, worker)
        self._queue: deque[Run] = deque()
        self._threads: list[_Thread] = []
        self._resting: list[_Thread] = []
        self._at: dict[str, _Thread] = {}
        self._landed: deque[tuple[_Thread, Run, Finish | None]] = deque()
        self._told = False
        self.stuck = 0

    def free(self) -> int:
        return self._size - len(self._at) - len(self._queue)

    def idle(self) -> int:
        return self.free()

    @property
    def is_clogged(self) -> bool:
        """A quarter of the threads (at least one) hold handlers that cannot be stopped."""
        return self.stuck > 0 and self.stuck * 4 >= self._size

    def put(self, run: Run) -> None:
        self._queue.append(run)
        self._dispatch()

    def unstarted(self) -> list[Run]:
        runs = list(self._queue)
        self._queue.clear()
        return runs

    def stop(self, run: Run, why: Why) -> None:
        thread = self._at.get(_name(run))
        if run.ended or thread is None:
            return
        if run.why is None:
            run.why = why
            run.drop_timer()
            run.timer = self._loop.call_later(POLITE, self._press, run, thread, monotonic() + STOP_GRACE - POLITE)
        elif why is Why.LOST:
            run.why = why

    async def close(self) -> None:
        for thread in self._threads:
            thread.inbox.put(None)
        self._threads.clear()

    def _dispatch(self) -> None:
        while self._queue and len(self._at) < self._size:
            run = self._queue.popleft()
            if run.ended:
                continue
            if monotonic() > run.late:
                run.ended = True
                self._ended(run, late_end(run, self._worker))
                continue
            if self._resting:
                thread = self._resting.pop()
            else:
                thread = _Thread(self._call, self._land)
                self._threads.append(thread)
            self._at[_name(run)] = thread
            run.started = monotonic()
            if run.rules.timeout is not None:
                run.timer = self._loop.call_later(run.rules.timeout, self.stop, run, Why.TIMEOUT)
            thread.inbox.put(run)

    def _press(self, run: Run, thread: "_Thread", deadline: float) -> None:
        """Raise inside the handler, again and again; past the deadline the attempt's end is recorded without it."""
        if thread.run is not run:
            return
        thread.interrupt(run)
        if not run.ended and monotonic() >= deadline:
            log.error("%s %s does not stop; its thread stays taken", run.claim.kind, run.claim.id)
            run.ended = True
            self.stuck += 1
            self._ended(run, stopped_end(run, None, self._worker))
        delay = _AGAIN if run.ended else min(_AGAIN, max(0.05, deadline - monotonic()))
        run.timer = self._loop.call_later(delay, self._press, run, thread, deadline)

    def _land(self, thread: "_Thread", run: Run, finish: Finish | None) -> None:
        """From the thread: hand the end to the loop, many ends in one call when they come quickly."""
        self._landed.append((thread, run, finish))
        if not self._told:
            self._told = True
            try:
                self._loop.call_soon_threadsafe(self._collect, context=self._context)
            except RuntimeError:  # the loop has closed: a stuck handler returned after its worker was gone
                return

    def _collect(self) -> None:
        self._told = False
        while self._landed:
            thread, run, finish = self._landed.popleft()
            run.drop_timer()
            del self._at[_name(run)]
            self._resting.append(thread)
            if run.ended:
                self.stuck -= 1
            else:
                run.ended = True
                self._ended(run, None if run.why is Why.LOST else finish)
        self._dispatch()


class _Thread:
    """One lasting daemon thread. Exceptions are raised in it only while its handler runs, guarded by a lock."""

    def __init__(self, call: PlainCall, land: Callable[["_Thread", Run, Finish | None], None]) -> None:
        self.inbox: SimpleQueue[Run | None] = SimpleQueue()
        self.run: Run | None = None
        self._call = call
        self._land = land
        self._guard = threading.Lock()
        self._interrupted = False
        self._thread = threading.Thread(target=self._work, name="windlass-thread", daemon=True)
        self._thread.start()

    def interrupt(self, run: Run) -> None:
        with self._guard:
            if self.run is run and self._thread.ident is not None:
                self._interrupted = True
                _raise_in(self._thread.ident, Stopped)

    def _work(self) -> None:
        while (run := self.inbox.get()) is not None:
            self._land(self, run, self._one(run))

    def _one(self, run: Run) -> Finish | None:
        finish: Finish | None = None
        began = thread_time_ns()
        try:
            self.run = run
            finish = self._call.do(run)
            self._leave()
        except Stopped as error:  # it came while the end was being written down; what is written stands
            self._leave()
            finish = finish or raised_end(run, error, self._call.worker)
        run.measured((thread_time_ns() - began) // 1_000, 0)
        return finish

    def _leave(self) -> None:
        """From here on nobody raises in this thread, and what was raised but not yet delivered is waited out.

        Not taken back with a NULL exception: CPython 3.11 then keeps its eval breaker set for good, which slows every
        thread and makes a profiled program spin for ever.
        """
        while True:
            try:
                with self._guard:
                    self.run = None
                if self._interrupted:
                    self._interrupted = False
                    for _ in range(3):  # each jump back is a point where a raised exception arrives
                        pass
                return
            except Stopped:
                continue


def _name(run: Run) -> str:
    return f"{run.claim.id}:{run.claim.lease}"
