"""The heartbeat: a thread with its own loop and store handle, so leases are kept while a handler blocks the worker's loop.

Beats each third of a lease, naming only jobs about that old; at once when somebody cancels a running job. If leases
cannot be renewed in time, the handlers are stopped before the store may give their jobs to another worker.
"""

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Callable
from time import monotonic
from typing import Protocol

import msgspec
import psutil

from windlass.errors import StoreError, StoreFull, StoreReadOnly
from windlass.store.protocol import Store
from windlass.values.lease import Beat, Held, Pulse, WorkerInfo
from windlass.worker.every import Backoff
from windlass.worker.run import Run
from windlass.worker.runner import Runner

log = logging.getLogger("windlass.worker")

_MARGIN = 0.1
"""Part of a lease before its end at which an unrenewed handler is stopped; at most a second."""

_SOONEST, _LATEST = 0.05, 0.5


def _nothing() -> None: ...


class Listener(Protocol):
    """What the worker does on the news; called on the worker's loop."""

    def on_pulse(self, pulse: Pulse) -> None: ...

    def on_unrenewed(self, ids: list[str]) -> None: ...

    def on_rss(self, rss: int) -> None: ...


class Heartbeat:
    """Start it after the store is open; `stop` says goodbye to the store and ends the thread."""

    def __init__(
        self, open_sibling: Callable[[], Store], describe: Callable[[], WorkerInfo], runner: Runner, listener: Listener
    ) -> None:
        self._open = open_sibling
        self._describe = describe
        self._runner = runner
        self._listener = listener
        self._lease = describe().lease / 1_000_000
        self._home = asyncio.get_running_loop()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = psutil.Process()
        self._backoff = Backoff("heartbeat")
        self._rumour = False
        self._heard = 0.0
        self._patience = _SOONEST
        self._found = False
        self._stop_listening: Callable[[], None] = _nothing
        self._leaving = False
        self._farewell = True
        self._begun: asyncio.Future[None] = self._home.create_future()
        self._ended: asyncio.Future[None] = self._home.create_future()
        self._poked: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._main, name="windlass-heartbeat", daemon=True)

    async def start(self, store: Store) -> None:
        """The worker's record is in the store when this returns. `store`: the worker's own handle, for its wake-ups; a
        listener on the thread's handle would be a second poller where stores have to be polled."""
        self._stop_listening = store.listen({"cancel"}, self._on_cancel)
        self._thread.start()
        await self._begun

    async def stop(self, *, farewell: bool = True) -> None:
        """End the thread; with `farewell` the worker's record goes too."""
        self._farewell = farewell
        self._stop_listening()
        self._leaving = True
        self.poke()
        await self._ended

    def poke(self) -> None:
        """Beat now."""
        if self._loop is not None and self._poked is not None:
            with contextlib.suppress(RuntimeError):  # its loop has just closed
                self._loop.call_soon_threadsafe(self._poked.set)

    # the thread

    def _main(self) -> None:
        fault: BaseException | None = None
        try:
            asyncio.run(self._live())
        except BaseException as error:
            fault = error
        self._home_call(self._over, fault)

    def _over(self, fault: BaseException | None) -> None:
        for future in (self._begun, self._ended):
            if not future.done():
                if fault is not None and future is self._begun:
                    future.set_exception(fault)
                else:
                    future.set_result(None)
        if fault is not None and not self._leaving:
            log.critical("the heartbeat thread died; leases will lapse", exc_info=fault)

    def _home_call(self, function: Callable[..., None], *args: object) -> None:
        with contextlib.suppress(RuntimeError):  # the worker's loop has closed
            self._home.call_soon_threadsafe(function, *args)

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._poked = asyncio.Event()
        store = self._open()
        await store.open()
        try:
            await self._beat_on(store, self._poked)
        finally:
            await store.close()

    def _on_cancel(self) -> None:
        """On the worker's loop: somebody may have cancelled a running job.

        Engines may cry wolf at every commit, so it is looked into 50 ms later, and up to half a second later while nothing
        comes of it; jobs that are over by then cost nothing.
        """
        self._heard = monotonic()
        if not self._rumour and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # its loop has just closed
                self._loop.call_soon_threadsafe(self._look_in, self._patience)

    def _look_in(self, delay: float) -> None:
        if not self._rumour and self._loop is not None and self._poked is not None:
            self._rumour = True
            self._loop.call_later(delay, self._poked.set)

    async def _beat_on(self, store: Store, poked: asyncio.Event) -> None:
        due = monotonic()
        while not self._leaving:
            began = monotonic()
            poked.clear()
            if began >= due:
                due = began + await self._beat(store, self._overdue(began))
            elif self._rumour and not await self._look_into(store, began):
                due = min(due, began + self._lease / 10)
            if not self._begun.done():
                self._home_call(self._has_begun)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, due - monotonic())):
                    await poked.wait()
        if self._farewell:
            with contextlib.suppress(StoreError, TimeoutError):  # the record goes stale by itself
                async with asyncio.timeout(1.0):
                    await store.heartbeat(Beat(info=self._info("stopped"), leaving=True))

    def _has_begun(self) -> None:
        if not self._begun.done():
            self._begun.set_result(None)

    def _overdue(self, now: float) -> list[Run]:
        """The jobs whose leases are about a third used up."""
        return [run for run in self._runs() if run.renewed <= now - 0.3 * self._lease]

    def _runs(self) -> list[Run]:
        return list(self._runner.held.copy().values())

    async def _look_into(self, store: Store, now: float) -> bool:
        """Ask about everything that has run for a while; False if the store could not be asked."""
        self._rumour = False
        meant = [run for run in self._runs() if run.taken <= self._heard]
        named = [run for run in meant if run.taken <= now - _SOONEST]
        if len(named) < len(meant):  # too young to bother the store about; most will be over at the next look
            self._look_in(_SOONEST)
        if not named:
            return True
        self._found = False
        await self._beat(store, named)
        self._patience = _SOONEST if self._found else min(self._patience * 2, _LATEST)
        return not self._backoff.failing

    async def _beat(self, store: Store, named: list[Run]) -> float:
        """One beat; seconds until the next."""
        sent = monotonic()
        beat = Beat(info=self._info(None), held=tuple(Held(run.claim.id, run.claim.lease) for run in named))
        try:
            pulse = await self._sending(store, beat)
        except Exception as error:  # a defect too: without this thread the leases would lapse under running handlers
            if not isinstance(error, StoreError | TimeoutError):
                log.exception("the heartbeat failed")
            delay = min(self._backoff.failed(error), self._lease / 10)
            if not isinstance(
                error, StoreFull | StoreReadOnly
            ):  # a store that takes no writes gives no job away either
                self._fence()
            return delay
        self._backoff.worked()
        self._found = bool(pulse.cancelled)
        lost = set(pulse.lost)
        for run in named:
            if run.claim.id not in lost:
                run.renewed = sent
        self._home_call(self._listener.on_pulse, pulse)
        return self._lease / 3

    async def _sending(self, store: Store, beat: Beat) -> Pulse:
        async with asyncio.timeout(self._lease / 3):
            return await store.heartbeat(beat)

    def _fence(self) -> None:
        limit = monotonic() - self._lease + min(1.0, self._lease * _MARGIN)
        late = [run.claim.id for run in self._runs() if run.renewed < limit]
        if late:
            self._home_call(self._listener.on_unrenewed, late)

    def _info(self, state: str | None) -> WorkerInfo:
        with self._process.oneshot():
            rss = self._process.memory_info().rss
            cpu = self._process.cpu_percent()
        self._home_call(self._listener.on_rss, rss)
        info = msgspec.structs.replace(self._describe(), rss=rss, cpu=cpu, pid=os.getpid())
        return info if state is None else msgspec.structs.replace(info, state=state)
