"""Several worker processes: starts them, restarts the dead, scales with the backlog, passes signals on."""

import asyncio
import logging
import math
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from time import monotonic

from windlass.errors import InvalidOption, StoreError
from windlass.store.protocol import Store
from windlass.values.clock import Duration, seconds
from windlass.values.states import State
from windlass.worker.lifeline import stop_signals
from windlass.worker.process import RECYCLE, SUPERVISOR

log = logging.getLogger("windlass.supervisor")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0
_HEALTHY = 10.0
"""A worker that lived this long did not die of how it starts: the pause begins anew."""

_SCALE_EACH = 2.0
_CALM_ROUNDS = 3


def read_processes(text: str | int) -> tuple[int, int]:
    """`4` is four workers; `"2:8"` is two to eight, by the backlog."""
    low, _, high = str(text).partition(":")
    if low.isdigit() and (not high or high.isdigit()):
        bounds = int(low), int(high or low)
        if 1 <= bounds[0] <= bounds[1] <= 1_000:
            return bounds
    raise InvalidOption(
        f"processes is {text!r}; it must be a number of workers or LOW:HIGH",
        field="processes",
        value=str(text),
        limit="1..1000, LOW <= HIGH",
        mend="use 4 or 2:8",
    )


def wanted(backlog: int, rate: float, now: int, bounds: tuple[int, int], target: float) -> int:
    """How many workers empty `backlog` in `target` seconds, when one ends `rate` jobs a second; one more if that is unknown."""
    if not backlog:
        need = bounds[0]
    elif rate <= 0:
        need = now + 1
    else:
        need = math.ceil(backlog / (rate * target))
    return max(bounds[0], min(bounds[1], need))


class Supervisor:
    """Keeps `processes` (low, high) workers alive. `command` starts one worker. `queues`: whose backlog counts.

    A worker that exits with 0 is done (`--until-idle`) and is not replaced; `RECYCLE` is replaced at once, every other
    end after a pause that grows from 0.2 to 10 s. Workers stop gracefully when the supervisor is killed.
    """

    def __init__(
        self,
        command: Sequence[str],
        processes: tuple[int, int],
        *,
        store: Callable[[], Store] | None = None,
        queues: Sequence[str] | None = None,
        target: Duration = "30s",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command = list(command)
        self._low, self._high = processes
        self._open = store
        self._queues = None if queues is None else frozenset(queues)
        self._target = seconds(target, "target", minimum=1.0)
        self._environment = dict(os.environ if environment is None else environment)
        self._slots: list[_Slot] = []
        self._stopping = asyncio.Event()
        self._signals = 0

    @property
    def pids(self) -> list[int]:
        """The processes that run now."""
        return [slot.process.pid for slot in self._slots if slot.process is not None]

    def stop(self) -> None:
        """Pass SIGTERM to the workers and return from `run` when they have gone. A second call makes them hurry."""
        self._stopping.set()
        for slot in self._slots:
            slot.signal(signal.SIGTERM)

    async def run(self, *, handle_signals: bool = True) -> int:
        """Until a signal or until all workers are done; the exit code."""
        loop = asyncio.get_running_loop()
        numbers = stop_signals() if handle_signals else ()
        for number in numbers:
            loop.add_signal_handler(number, self.stop)
        scaling = loop.create_task(self._scale()) if self._high > self._low and self._open is not None else None
        try:
            self._resize(self._low)
            while any(slot.task is not None and not slot.task.done() for slot in self._slots):
                tasks = [slot.task for slot in self._slots if slot.task is not None and not slot.task.done()]
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)
            if scaling is not None:
                scaling.cancel()
                await asyncio.wait({scaling})
            await self._kill_rest()
        return 0

    def _resize(self, count: int) -> None:
        """Grow by starting slots, shrink by letting the newest leave gracefully."""
        running = [slot for slot in self._slots if slot.is_wanted and slot.task is not None and not slot.task.done()]
        for slot in running[count:]:
            slot.is_wanted = False
            slot.signal(signal.SIGTERM)
        for _ in range(count - len(running)):
            slot = _Slot()
            slot.task = asyncio.get_running_loop().create_task(self._keep(slot))
            self._slots.append(slot)
        self._slots = [slot for slot in self._slots if slot.task is not None and not slot.task.done()]

    async def _keep(self, slot: "_Slot") -> None:
        """One worker after the other in one place."""
        pause = _FIRST_PAUSE
        while slot.is_wanted and not self._stopping.is_set():
            began = monotonic()
            slot.process = process = await asyncio.create_subprocess_exec(
                *self._command, env={**self._environment, SUPERVISOR: str(os.getpid())}, process_group=0
            )
            if self._stopping.is_set():  # the signal came while it was being started
                slot.signal(signal.SIGTERM)
            code = await process.wait()
            slot.process = None
            if code == 0 or self._stopping.is_set() or not slot.is_wanted:
                return
            if code == RECYCLE:
                log.info("worker %d asked to be started afresh", process.pid)
                continue
            pause = _FIRST_PAUSE if monotonic() - began >= _HEALTHY else pause
            log.error("worker %d %s; starting another in %.1f s", process.pid, _told(code), pause)
            await self._rest(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _rest(self, pause: float) -> None:
        try:
            async with asyncio.timeout(pause):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _kill_rest(self) -> None:
        for slot in self._slots:
            slot.signal(signal.SIGKILL)
        tasks = [slot.task for slot in self._slots if slot.task is not None]
        if tasks:
            self._stopping.set()
            await asyncio.wait(tasks)

    async def _scale(self) -> None:
        """Every 2 s: as many workers as empty the backlog in the target time; fewer only after three calm looks."""
        assert self._open is not None
        store = self._open()
        await store.open()
        calm, before = 0, await self._look(store)
        try:
            while True:
                await asyncio.sleep(_SCALE_EACH)
                look = await self._look(store)
                if look is None or before is None:
                    before = look
                    continue
                count = sum(slot.is_wanted for slot in self._slots)
                rate = max(0, look["ended"] - before["ended"]) / _SCALE_EACH / max(1, count)
                need = wanted(look["backlog"], rate, count, (self._low, self._high), self._target)
                before = look
                calm = calm + 1 if need < count else 0
                if need > count or calm >= _CALM_ROUNDS:
                    log.info("%d jobs wait: %d -> %d workers", look["backlog"], count, need)
                    self._resize(need)
                    calm = 0
        finally:
            await store.close()

    async def _look(self, store: Store) -> dict[str, int] | None:
        try:
            counts = await store.counts()
        except StoreError as error:
            log.warning("scaling rests: %s", error)
            return None
        ours = [count for count in counts if self._queues is None or count.queue in self._queues]
        return {
            "backlog": sum(count.n for count in ours if count.state is State.WAITING),
            "ended": sum(count.n for count in ours if count.state in (State.COMPLETED, State.FAILED)),
        }


class _Slot:
    """A place for one worker process."""

    def __init__(self) -> None:
        self.process: asyncio.subprocess.Process | None = None
        self.task: asyncio.Task[None] | None = None
        self.is_wanted = True

    def signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)


def _told(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
