"""The async lane: handlers run in a pool of lasting slot tasks, each in its own copy of the context.

A task per job would cost 10 us of the 25 us a no-op job may cost. Here one slot, the pump, takes jobs from the queue; a
handler that never suspends costs one `send`. When a handler suspends, the pump passes to another slot, which is made if
all are busy and fewer than `size` exist. The handler is driven step by step inside its own `contextvars` context, so
nothing leaks from job to job, while `asyncio.current_task()`, `asyncio.timeout` and task groups work as usual.
"""

import asyncio
import contextlib
import contextvars
import logging
import types
from collections import deque
from collections.abc import Callable, Generator, Sequence
from time import monotonic
from typing import Any

from windlass.running.capture import CURRENT, flush_partial
from windlass.running.context import Context
from windlass.values.outcome import Finish
from windlass.worker.run import STOP_GRACE, Ended, Run, Why, late_end, raised_end, stopped_end

log = logging.getLogger("windlass.worker")

BURST = 0.003
"""Seconds of back-to-back jobs after which the loop gets a turn: beats, timers, other tasks."""

_POLITE = 0.5
"""Seconds an iterable handler has to come to its next `yield` when its job is cancelled."""

_PORTION = 8
"""How many limited jobs are taken at once to begin with; it doubles until some came too late for their rates,
and grows by one from then on."""
_ONE_CLAIM = 0.2
"""Seconds in which jobs that come too late are those of one claim: they halve the portion once."""

Open = Callable[[Run], Context]
Around = Callable[..., Any]


class AsyncLane:
    """`size` slots and a bounded prefetch that grows with the rate at which jobs end."""

    def __init__(
        self,
        size: int,
        prefetch: int,
        open_context: Open,
        around: Sequence[Around],
        ended: Ended,
        room: asyncio.Event,
        worker: str,
    ) -> None:
        """`room`: set while the ends of jobs find their way to the store; while it is not, no further job starts."""
        self._size = size
        self._prefetch = prefetch
        self._open = open_context
        self._around = around
        self._ended = ended
        self._room = room
        self._worker = worker
        self.owns_signals = False
        """Ctrl-C comes to the worker as a signal, so a `KeyboardInterrupt` is the handler's own: its failure."""
        self._owner = asyncio.current_task()
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Run] = deque()
        self._slots: set[asyncio.Task[None]] = set()
        self._parked: list[asyncio.Future[None]] = []
        self._live = 0
        self._suspended = 0
        self._pumping = False
        self._breathe = False
        self._base = contextvars.copy_context()
        self._portion, self._streak, self._late_at = min(size, _PORTION), 0, 0.0
        self._rate = 0.0
        self._counted = 0
        self._counted_at = monotonic()

    # the lane

    def free(self) -> int:
        leased = len(self._queue) + self._suspended
        room = self._size - leased
        if self._queue and room < self._size // 2:  # nobody is idle: top up in good portions only
            room = 0
        ahead = (
            self._ahead()
        )  # more only when what was leased ahead before is used up: each claim would add to a heap of it
        return max(0, room + (ahead if len(self._queue) <= ahead else 0))

    def idle(self) -> int:
        """Limited jobs go before those leased ahead, so only what runs is in their way, and what ends at once is not. Handlers
        that compute before they first await hold up the others, so no more are taken at once than lately began in time."""
        limited = self._limited()
        room = min(self._portion, max(0, self._size - self._suspended, self._ahead())) - limited
        return 0 if limited and room < self._portion // 2 else max(0, room)  # top up in good portions only

    def put(self, run: Run) -> None:
        if run.claim.limited:
            self._queue.insert(self._limited(), run)
            self._streak += 1
            if self._streak >= 2 * self._portion:
                more = 1 if self._late_at else self._portion
                self._portion, self._streak = min(self._size, self._portion + more), 0
        else:
            self._queue.append(run)
        if not self._pumping:
            self._pump_elsewhere()

    def stop(self, run: Run, why: Why) -> None:
        if run.ended or run.task is None:
            return
        if run.why is None:
            run.why = why
            run.drop_timer()
            run.timer = self._loop.call_later(STOP_GRACE, self._abandon, run)
            if run.handler.iterates and why is Why.CANCELLED:
                self._loop.call_later(_POLITE, self._cancel, run)
            else:
                run.task.cancel()
        elif why is Why.LOST:
            run.why = why

    def _cancel(self, run: Run) -> None:
        if not run.ended and run.task is not None:
            run.task.cancel()

    def unstarted(self) -> list[Run]:
        runs = list(self._queue)
        self._queue.clear()
        return runs

    def breathe(self) -> None:
        """The finisher has a batch to send: give the loop a turn after this job."""
        self._breathe = True

    async def close(self) -> None:
        self._closing = True
        for slot in list(self._slots):
            slot.cancel()
        if self._slots:
            await asyncio.wait(self._slots, timeout=STOP_GRACE)

    # slots

    def _too_late(self, run: Run, now: float) -> None:
        run.ended = True
        if now - self._late_at > _ONE_CLAIM:
            self._portion = max(1, self._portion // 2)
        self._late_at, self._streak = now, 0
        self._ended(run, late_end(run, self._worker))

    def _limited(self) -> int:
        """How many limited jobs stand in front of the queue."""
        count = 0
        for run in self._queue:
            if not run.claim.limited:
                break
            count += 1
        return count

    def _ahead(self) -> int:
        """Prefetch: what ends in 20 ms at the present rate, so a slow handler's jobs stay for other workers."""
        now = monotonic()
        elapsed = now - self._counted_at
        if elapsed >= 0.002:
            self._rate += (self._counted / elapsed - self._rate) * min(1.0, elapsed / 0.01)
            self._counted, self._counted_at = 0, now
        return min(self._prefetch, int(self._rate * 0.02))

    def _pump_elsewhere(self) -> None:
        """Make another slot the pump, if there is one to spare."""
        while self._parked:
            place = self._parked.pop()
            if not place.done():
                self._pumping = True
                place.set_result(None)
                return
        if self._live < self._size:
            self._pumping = True
            self._live += 1
            slot = self._loop.create_task(self._slot(), name="windlass-slot", context=self._base.copy())
            self._slots.add(slot)
            slot.add_done_callback(self._slots.discard)

    async def _slot(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        while True:
            if await self._pump(task):
                return
            place = self._loop.create_future()
            self._parked.append(place)
            await place

    async def _pump(self, task: "asyncio.Task[None]") -> bool:
        """Run queued jobs until none are left or another slot has become the pump. True: this slot was abandoned."""
        queue = self._queue
        turn = monotonic()
        while queue:
            now = monotonic()
            if self._breathe or now - turn >= BURST:
                self._breathe = False
                await (asyncio.sleep(0) if self._room.is_set() else self._room.wait())
                now = turn = monotonic()
                if not queue:  # given back meanwhile
                    break
            run = queue.popleft()
            if run.ended:
                continue
            if now > run.late:
                self._too_late(run, now)
                continue
            run.started = now
            run.task = task
            context = self._base.copy()
            try:
                yielded = context.run(self._begin, run)
            except StopIteration as done:
                self._returned(run, done.value)
                if task.cancelling():
                    await self._forgive(task)
                continue
            except BaseException as error:
                self._raised(run, error, task)
                if task.cancelling():
                    await self._forgive(task)
                continue
            self._pumping = False
            self._suspended += 1
            if queue:
                self._pump_elsewhere()
            if run.rules.timeout is not None:
                run.timer = self._loop.call_later(run.rules.timeout, self.stop, run, Why.TIMEOUT)
            await self._carry_on(run, context, yielded, task)
            if run.abandoned:  # another slot has taken its place
                return True
            if task.cancelling():
                await self._forgive(task)
            if self._pumping:
                return False
            self._pumping = True
            turn = monotonic()
        self._pumping = False
        return False

    def _begin(self, run: Run) -> Any:
        CURRENT.set(run)
        handler = run.handler
        args, kwargs = handler.decode(run.claim.args, run.rules.version)
        is_bare = not (handler.takes_context or self._around)
        coroutine = run.call(*args, **kwargs) if is_bare else self._in_full(run, args, kwargs)
        run.coroutine = coroutine
        return coroutine.send(None)

    async def _in_full(self, run: Run, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The handler with its context and the app's middleware around it, outermost first."""
        ctx = self._open(run)
        if run.handler.takes_context:
            args = (ctx, *args)

        async def innermost() -> Any:
            ctx.home = asyncio.current_task()  # middleware may have put it into a task of its own
            return await run.call(*args, **kwargs)

        call = innermost
        for middleware in reversed(self._around):
            call = _bind(middleware, ctx, call)
        try:
            value = await call()
        except BaseException as error:
            ctx.check_end(error)
            raise
        else:
            ctx.check_end(None)
            return value
        finally:
            await ctx.close()

    async def _carry_on(self, run: Run, context: contextvars.Context, yielded: Any, task: "asyncio.Task[None]") -> None:
        try:
            value = await _drive(context, run.coroutine, yielded)
        except BaseException as error:
            self._resumed(run, task)
            self._raised(run, error, task)
        else:
            self._resumed(run, task)
            self._returned(run, value)

    def _resumed(self, run: Run, task: "asyncio.Task[None]") -> None:
        self._suspended -= not run.ended
        run.drop_timer()
        if run.why is not None:
            task.uncancel()

    def _returned(self, run: Run, value: Any) -> None:
        if run.ended:
            return
        try:
            result = None if value is None else run.handler.encode_result(value)
        except BaseException as error:  # it runs code of the result's class: nothing of it may end the slot
            self._end(run, raised_end(run, error, self._worker))
            return
        if run.why is not None and run.why is Why.LOST:
            self._end(run, None)
        else:
            self._end(run, run.completed(result))

    def _raised(self, run: Run, error: BaseException, task: "asyncio.Task[None]") -> None:
        if run.ended:
            return
        if run.why is None and self._from_outside(error, task):
            self._end(run, run.given_back(self._worker, "worker shut down"))
            raise error
        self._end(run, raised_end(run, error, self._worker))

    def _from_outside(self, error: BaseException, task: "asyncio.Task[None]") -> bool:
        """Whether it is not the handler's own: the loop is being torn down, or the user pressed Ctrl-C."""
        if isinstance(error, KeyboardInterrupt):
            return not self.owns_signals
        return isinstance(error, asyncio.CancelledError) and task.cancelling() > 0 and self._is_ending()

    def _is_ending(self) -> bool:
        """Whether somebody ends the lane or the whole worker; otherwise who cancels a slot is a handler."""
        owner = self._owner
        return self._closing or owner is None or owner.done() or owner.cancelling() > 0

    async def _forgive(self, task: "asyncio.Task[None]") -> None:
        """A handler cancelled its own task: the slot's next job is not meant."""
        if self._is_ending():
            return
        while task.cancelling():
            task.uncancel()
        # Before Python 3.13 a cancellation that has not been delivered outlives `uncancel`.
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)

    def _end(self, run: Run, finish: Finish | None) -> None:
        if run.partial:
            flush_partial(run)
        run.ended = True
        self._counted += 1
        self._ended(run, finish)

    def _abandon(self, run: Run) -> None:
        """It did not unwind in time. Its slot task stays with it; the slot itself is free again."""
        if run.ended:
            return
        log.error("%s %s ignores its cancellation; the attempt is abandoned", run.claim.kind, run.claim.id)
        self._suspended -= 1
        self._live -= 1
        run.drop_timer()
        run.abandoned = True
        self._end(run, stopped_end(run, None, self._worker))
        if self._queue and not self._pumping:
            self._pump_elsewhere()


def _bind(middleware: Around, ctx: Context, call: Callable[[], Any]) -> Callable[[], Any]:
    def bound() -> Any:
        return middleware(ctx, call)

    return bound


@types.coroutine
def _drive(context: contextvars.Context, coroutine: Any, yielded: Any) -> Generator[Any, Any, Any]:
    """Run a started coroutine to its end, each step inside `context`, passing on what it yields and what it is sent."""
    try:
        while True:
            try:
                sent = yield yielded
            except BaseException as error:
                yielded = context.run(coroutine.throw, error)
            else:
                yielded = context.run(coroutine.send, sent)
    except StopIteration as done:
        return done.value
