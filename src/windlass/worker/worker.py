"""The worker: claims jobs, runs them in three runtimes, keeps their leases, and leaves without losing any."""

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
from collections.abc import Generator, Sequence
from contextlib import AsyncExitStack
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

import msgspec

from windlass.errors import InvalidOption, WindlassError
from windlass.running.capture import capturing
from windlass.running.context import Context
from windlass.schedules import maintenance
from windlass.store.protocol import Store
from windlass.values.clock import Duration, host_now, micros, seconds
from windlass.values.job import Runtime
from windlass.values.lease import ClaimRequest, Pulse, WorkerInfo
from windlass.values.outcome import Finish
from windlass.webhooks.relay import REFRESH, Relay
from windlass.worker import child
from windlass.worker.accounts import Accounts
from windlass.worker.aftermath import Aftermath
from windlass.worker.announcing import Announcer
from windlass.worker.children import ProcessLane
from windlass.worker.chunks import Gatherer
from windlass.worker.claimer import Claimer
from windlass.worker.every import every
from windlass.worker.finisher import Finisher
from windlass.worker.firing import Firing
from windlass.worker.lifeline import stop_signals
from windlass.worker.pulse import Heartbeat
from windlass.worker.reporter import Reporter
from windlass.worker.resources import opened
from windlass.worker.run import STOP_GRACE, Lane, Run, Why
from windlass.worker.runner import Runner
from windlass.worker.slots import AsyncLane
from windlass.worker.threads import ThreadLane
from windlass.worker.upkeep import Upkeep
from windlass.worker.witness import Witness

if TYPE_CHECKING:
    from windlass.app import Windlass

log = logging.getLogger("windlass.worker")

T = TypeVar("T")

PREFETCH = 200
"""Most async jobs leased ahead of a free slot; how many really are goes by the rate at which jobs end."""

RECYCLE = 75
"""Exit code of a worker that wants to be started afresh: too much memory, or threads that will not come back."""

_STALE_PREFETCH = 1.0
_LAST_WORDS = 5.0


class WorkerFlags(TypedDict, total=False):
    """What a worker is made with; what is left out or None goes by the app's settings."""

    queues: Sequence[str] | None
    concurrency: int | None
    threads: int | None
    processes: int | None
    lease: Duration | None
    grace: Duration | None
    prefetch: int
    max_rss: int | None
    supervised: bool


class Worker:
    """One worker process's engine. `queues` None serves all; `processes` None is one per CPU core.

    `max_rss` (bytes): above it the worker drains and `exit_code` is `RECYCLE`. `supervised`: somebody restarts this
    process, so it also recycles when a quarter of its threads are stuck; a lone worker goes on with the others.
    """

    def __init__(self, app: "Windlass", **flags: Unpack[WorkerFlags]) -> None:
        settings, get = app.settings, flags.get
        self._app = app
        queues = get("queues")
        self._queues = None if queues is None else tuple(queues)
        self._concurrency = _count(_either(get("concurrency"), settings.concurrency), "concurrency", 1)
        self._threads = _count(_either(get("threads"), settings.threads), "threads", 1)
        processes = _either(get("processes"), settings.processes)
        self._processes = _count(_either(processes, os.cpu_count() or 1), "processes", 0)
        self._lease = micros(_either(get("lease"), settings.lease), "lease", minimum=1.0)
        self._grace = seconds(_either(get("grace"), settings.grace), "grace")
        self._prefetch = _count(get("prefetch", PREFETCH), "prefetch", 0)
        self._max_rss = get("max_rss")
        self._supervised = get("supervised", False)
        self._resources: dict[str, Any] = {}
        self._stopping, self._hurry, self._over = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._begun = False
        self._parts: _Parts | None = None
        self._relay = app.webhooks.relay()
        self._clogged = False
        self.id = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self.exit_code = 0

    @property
    def done(self) -> int:
        """Attempts that ended and are committed."""
        return self._parts.runner.done if self._parts is not None else 0

    @property
    def running(self) -> int:
        """Handlers running now."""
        return self._parts.runner.running if self._parts is not None else 0

    async def run(self, until_idle: bool = False, *, handle_signals: bool = False) -> int:
        """Work until `stop()`, a signal (`handle_signals`, main thread only), or with `until_idle` until nothing is
        runnable now. Returns the number of attempts run. A worker object runs once."""
        _refuse_in_child()
        if self._begun:
            raise WindlassError("this worker has run already; make another with app.worker()")
        self._begun = True
        try:
            return await self._run(until_idle, handle_signals)
        finally:
            self._over.set()

    async def _run(self, until_idle: bool, handle_signals: bool) -> int:
        store = await self._app.store()
        maintenance.install(self._app)
        await self._app.publish_kinds()
        await self._app.timetable.deploy(store)
        await self._app.capacity.deploy(store, sweep=not until_idle)
        if not until_idle:  # one that only works off what is there leaves the store's house-keeping to others
            await maintenance.deploy(self._app, store)
        async with AsyncExitStack() as stack:
            stack.enter_context((await self._app.stores.here()).used())
            self._resources = await stack.enter_async_context(opened(self._app))
            stack.enter_context(capturing())
            if handle_signals:
                stack.enter_context(self._signals())
            self._parts = parts = self._build(store, handle_signals)
            await self._hear_of_webhooks(parts)
            await parts.heartbeat.start(store)
            try:
                await self._work(parts, until_idle)
            finally:
                await self._leave(parts)
        return self.done

    async def stop(self, grace: Duration | None = None) -> None:
        """Stop claiming, give back what has not started, let run for `grace`, then stop the rest and give it back
        unspent. Returns when the worker has left. Called again with a shorter grace it hurries."""
        if grace is not None:
            self._grace = seconds(grace, "grace")
        if self._stopping.is_set():
            self._hurry.set()
        self._stop_claiming()
        if self._begun:
            await self._over.wait()

    # assembly

    def _build(self, store: Store, owns_signals: bool) -> "_Parts":
        app = self._app
        reporter = Reporter(store)
        runner = Runner(app.handlers, self.id, reporter)
        finisher = Finisher(store, reporter, runner.settled, self.id)
        slots = AsyncLane(
            self._concurrency, self._prefetch, self._open, app.around, runner.ended, finisher.room, self.id
        )
        slots.owns_signals = owns_signals
        threads = ThreadLane(self._threads, self._open, app.around_sync, runner.ended, self.id)
        children = ProcessLane(self._processes, app.handlers, runner.ended, runner.freed, self.id)
        request = ClaimRequest(
            worker=self.id, session=secrets.token_hex(8), number=0, slots={}, lease=self._lease, queues=self._queues
        )
        claimer = Claimer(store, runner, request)
        lanes: dict[Runtime, Lane] = {"async": slots, "thread": threads, "process": children}
        runner.gatherer = Gatherer(lanes, self._open, runner.ended, self.id)
        runner.connect(finisher, lanes, slots.breathe, claimer.freed)
        aftermath = Aftermath(store, lambda name: app.provider_of(name).numbers())
        witness = Witness(store, app.settings.app_version)
        announcer = self._announcer(reporter)
        runner.watch(aftermath, Accounts(app.capacity), witness, announcer)
        info = self._describe_once(request.session)

        def describe() -> WorkerInfo:
            state = "stopping" if claimer.stopping else "quiet" if claimer.quiet else "running"
            return msgspec.structs.replace(
                info, running=runner.running, done=runner.done, failed=runner.failed, state=state
            )

        def finish(end: Finish) -> None:
            finisher.add(end, asyncio.get_running_loop().time())

        heartbeat = Heartbeat(app.open_sibling, describe, runner, _News(self, runner, claimer))
        upkeep = Upkeep(store, self.id, self._lease, app.handlers, app.settings.retention, finish, claimer.news)
        firing = Firing(store, app.stores.observers, claimer.news, app.secrecy.bind)
        return _Parts(
            runner,
            finisher,
            reporter,
            claimer,
            heartbeat,
            upkeep,
            firing,
            children,
            threads,
            aftermath,
            witness,
            announcer,
            self._relay,
        )

    def _announcer(self, reporter: Reporter) -> Announcer | None:
        """What calls the app's hooks; None, and no cost, without any."""
        if not self._app.hooks:
            return None
        announcer = Announcer(self._app.hooks, self.id)
        announcer.open()
        if "progress" in announcer.hears:
            reporter.heard = announcer.progressed
        return announcer

    def _describe_once(self, session: str) -> WorkerInfo:
        return WorkerInfo(
            id=self.id,
            session=session,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=version("windlass"),
            started_at=host_now(),
            queues=self._queues,
            kinds=self._app.kinds.own(),
            slots={"async": self._concurrency, "thread": self._threads, "process": self._processes},
            lease=self._lease,
        )

    def _open(self, run: Run) -> Context:
        return Context(run.claim, run, self._resources)

    # life

    async def _work(self, parts: "_Parts", until_idle: bool) -> None:
        if not until_idle:
            parts.children.warm()
        await parts.upkeep.unpark()
        duties = [
            asyncio.create_task(self._stopping.wait()),
            asyncio.create_task(parts.claimer.run()),
            asyncio.create_task(parts.upkeep.run()),
            asyncio.create_task(parts.firing.run()),
            asyncio.create_task(every(0.25, self._look_around, "watching the worker")),
            asyncio.create_task(every(REFRESH, lambda: self._hear_of_webhooks(parts), "reading webhooks")),
        ]
        if until_idle:
            duties.append(asyncio.create_task(self._until_idle(parts)))
        try:
            done, _ = await asyncio.wait(duties, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except asyncio.CancelledError:
            self._grace = 0.0  # whoever cancels does not want to wait
            raise
        finally:
            # The claimer ends by itself: a claim in flight may have leased jobs, and they are given back.
            self._stop_claiming()
            for duty in (duties[0], *duties[2:]):
                duty.cancel()
            await asyncio.wait(duties)

    async def _until_idle(self, parts: "_Parts") -> None:
        """Until a claim that began after everything had ended brings nothing, and nothing is due."""
        runner = parts.runner
        while True:
            # What ends after the look for due jobs may be due itself by now: a snooze of no time.
            calm, done = not runner.held, runner.done
            promoted = await self._quietly(parts)
            if await parts.claimer.ask() and calm and not promoted and not runner.held and runner.done == done:
                return
            await runner.quiet()

    async def _quietly(self, parts: "_Parts") -> bool:
        fired = await parts.firing.step()
        return 0.0 in (fired, await parts.upkeep.promote())

    async def _hear_of_webhooks(self, parts: "_Parts") -> None:
        relay = parts.relay
        await relay.refresh()
        parts.finisher.extend = None if relay.is_idle else relay.extended
        parts.runner.tell_flow = relay.with_flow if relay.flows else None

    async def _look_around(self) -> None:
        """Prefetched jobs that found no slot go back to other workers; stuck threads may mean the end."""
        assert self._parts is not None
        self._parts.runner.give_back("prefetched and not started", _STALE_PREFETCH)
        if self._parts.threads.is_clogged and not self._clogged:
            self._clogged = True
            stuck = self._parts.threads.stuck
            if self._supervised:
                self._recycle(f"{stuck} of {self._threads} threads hold handlers that cannot be stopped")
            else:
                log.error(
                    "%d of %d threads hold handlers that cannot be stopped; this worker goes on with the others; "
                    "restart it, or run it under a supervisor (-p) that does",
                    stuck,
                    self._threads,
                )

    def _recycle(self, why: str) -> None:
        if not self._stopping.is_set():
            log.warning("recycling: %s", why)
            self.exit_code = RECYCLE
            self._stop_claiming()

    def _stop_claiming(self) -> None:
        """From this moment no job starts; the rest of leaving follows on the loop."""
        self._stopping.set()
        if self._parts is not None:
            self._parts.claimer.stop()
            self._parts.runner.draining = True
            self._parts.reporter.leaving = True  # iterable jobs end at their next `yield`
            self._parts.children.leave()
            self._parts.runner.give_back("worker shut down")

    async def _leave(self, parts: "_Parts") -> None:
        """Let run, then stop, then commit what can be committed, then say goodbye."""
        runner = parts.runner
        if self._grace > 0 and runner.running:
            await self._within(self._grace, parts)
        if runner.held:
            runner.stop_all(Why.SHUTDOWN)
            await self._within(STOP_GRACE + 0.5, parts, hurried=1.0)
        await parts.children.close()
        runner.abandon_all()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS):
                await parts.finisher.drained()
                await parts.reporter.flush()
                await parts.aftermath.drained()
                await parts.witness.drained()
                if parts.announcer is not None:
                    await parts.announcer.drained()
        runner.failures.close()
        if parts.announcer is not None:
            parts.announcer.close()
        for lane in runner.lanes.values():
            await lane.close()
        await parts.heartbeat.stop()
        if runner.held:
            log.error(
                "%d jobs could not be finished or given back; they are rescued when their leases lapse",
                len(runner.held),
            )

    async def _within(self, limit: float, parts: "_Parts", *, hurried: float = 0.0) -> None:
        """Until nothing is held, `limit` seconds, or (`hurried` seconds after) a second call of `stop`."""
        quiet = asyncio.create_task(parts.runner.quiet())
        hurry = asyncio.create_task(self._hurry.wait())
        await asyncio.wait({quiet, hurry}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if not quiet.done() and hurry.done() and hurried:
            await asyncio.wait({quiet}, timeout=hurried)
        quiet.cancel()
        hurry.cancel()

    # news

    def watch_memory(self, rss: int) -> None:
        """Recycle above `max_rss`."""
        if self._max_rss is not None and rss > self._max_rss:
            self._recycle(f"{rss >> 20} MiB of memory are in use, {self._max_rss >> 20} MiB are allowed")

    def leave_soon(self, newer: int) -> None:
        """Finish the work and exit. `newer`: the store's breaking schema version, 0 when an operator asked."""
        if not self._stopping.is_set():
            why = f"the store's schema is at version {newer}, newer than this Windlass" if newer else "asked to stop"
            log.warning("%s: finishing what runs, for at most %g s, then leaving", why, self._grace)
        self._stop_claiming()

    @contextlib.contextmanager
    def _signals(self) -> Generator[None]:
        loop = asyncio.get_running_loop()
        numbers = stop_signals()
        for number in numbers:
            loop.add_signal_handler(number, self._on_signal, number)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _on_signal(self, number: signal.Signals) -> None:
        if self._stopping.is_set():
            log.warning("%s again: stopping now", number.name)
            self._hurry.set()
        else:
            log.info("%s: finishing what runs, for at most %g s; again to stop now", number.name, self._grace)
            self._stop_claiming()


class _Parts(msgspec.Struct):
    """What a running worker is made of."""

    runner: Runner
    finisher: Finisher
    reporter: Reporter
    claimer: Claimer
    heartbeat: Heartbeat
    upkeep: Upkeep
    firing: Firing
    children: ProcessLane
    threads: ThreadLane
    aftermath: Aftermath
    witness: Witness
    announcer: Announcer | None
    relay: Relay


class _News:
    """What the heartbeat tells, on the worker's loop."""

    def __init__(self, worker: Worker, runner: Runner, claimer: Claimer) -> None:
        self._worker = worker
        self._runner = runner
        self._claimer = claimer

    def on_pulse(self, pulse: Pulse) -> None:
        self._runner.stop(pulse.lost, Why.LOST)
        self._runner.stop(pulse.cancelled, Why.CANCELLED)
        if self._claimer.quiet != pulse.quiet:
            self._claimer.quiet = pulse.quiet
            self._claimer.news()
        if pulse.stop:
            self._worker.leave_soon(pulse.newer)

    def on_unrenewed(self, ids: list[str]) -> None:
        log.error("%d leases could not be renewed in time; their handlers are stopped", len(ids))
        self._runner.stop(ids, Why.UNRENEWED)

    def on_rss(self, rss: int) -> None:
        self._worker.watch_memory(rss)


def _either(given: T | None, otherwise: T) -> T:
    return otherwise if given is None else given


def _refuse_in_child() -> None:
    if child.serving:
        raise WindlassError(
            "a worker was started while a child process imported this script; "
            "put the call under `if __name__ == '__main__':`"
        )


def _count(value: int, field: str, least: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= 100_000:  # pyright: ignore[reportUnnecessaryIsInstance]
        return value
    raise InvalidOption(
        f"{field} is {value!r}; it must be a whole number from {least} to 100000",
        field=field,
        value=repr(value),
        limit=f"{least}..100000",
        mend="correct it",
    )
