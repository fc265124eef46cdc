"""`every(interval, step)`: the one loop that runs a step again and again, through store trouble, without ever spinning."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from windlass.errors import StoreError

log = logging.getLogger("windlass.worker")

_FIRST, _LONGEST = 0.05, 2.0


class Backoff:
    """Waits after failures: 50 ms, doubling up to 2 s; says once that trouble began and once that it ended."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._next = _FIRST
        self.failing = False

    def failed(self, error: BaseException) -> float:
        """Seconds to wait before trying again."""
        if not self.failing:
            self.failing = True
            log.warning("%s: %s: %s; trying again", self._what, type(error).__name__, error)
        delay, self._next = self._next, min(self._next * 2, _LONGEST)
        return delay

    def worked(self) -> None:
        if self.failing:
            self.failing = False
            self._next = _FIRST
            log.info("%s: works again", self._what)


class Every:
    """Runs `step` until stopped. The step returns seconds until it wants to run again; None means `interval`.

    `poke` runs it sooner, but not before `floor` seconds after its last start, so a storm of pokes costs little.
    """

    def __init__(
        self, interval: float, step: Callable[[], Awaitable[float | None]], what: str, *, floor: float = 0.0
    ) -> None:
        self._interval = interval
        self._step = step
        self.floor = floor
        self._poked = asyncio.Event()
        self._backoff = Backoff(what)
        self._what = what

    def poke(self) -> None:
        self._poked.set()

    async def run(self) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        while True:
            began = loop.time()
            self._poked.clear()
            try:
                delay = await self._step()
                self._backoff.worked()
            except StoreError as error:
                await asyncio.sleep(self._backoff.failed(error))
                continue
            except Exception as error:  # a fault of ours in one duty must not end a worker that runs jobs
                log.exception("%s failed", self._what)
                await asyncio.sleep(self._backoff.failed(error))
                continue
            if task is not None and task.cancelling():  # a driver swallowed it inside the step
                raise asyncio.CancelledError
            await self._rest(self._interval if delay is None else delay, began + self.floor)

    async def _rest(self, delay: float, earliest: float) -> None:
        if delay > 0:
            try:
                async with asyncio.timeout(delay):
                    await self._poked.wait()
            except TimeoutError:
                return
        pause = earliest - asyncio.get_running_loop().time()
        await asyncio.sleep(max(0.0, min(pause, delay)))


async def every(interval: float, step: Callable[[], Awaitable[float | None]], what: str) -> None:
    """Run `step` each `interval` seconds, or when it asks to, until cancelled."""
    await Every(interval, step, what).run()
