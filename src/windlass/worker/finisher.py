"""Collects the ends of attempts and commits them in batches: at once when idle, never later than a few milliseconds."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from time import monotonic

from msgspec.structs import force_setattr

from windlass.errors import InvalidArgs, StoreError
from windlass.store.protocol import MOST_FINISHED, Store
from windlass.values.outcome import Finish, Verdict
from windlass.values.states import Event
from windlass.worker.every import Backoff
from windlass.worker.reporter import Reporter

log = logging.getLogger("windlass.worker")

COMPANY = 0.002
"""Seconds a finish waits for company while jobs run back to back. A crash re-runs what is not committed, so it is short."""

_FLIGHTS = 2

_TRIES = 5
"""How often an end that a store refuses for no known reason is tried by itself, 1.5 s in all: a driver may have a defect of
its own when a connection breaks (uvloop raises RuntimeError there), and a job that has ended well must not fail for it."""


class Finisher:
    """`add` from the worker's loop; `settled` hears each verdict. Store trouble delays commits and loses none."""

    def __init__(
        self, store: Store, reporter: Reporter, settled: Callable[[Finish, Verdict | None], None], worker: str = ""
    ) -> None:
        self._store = store
        self._reporter = reporter
        self._settled = settled
        self._worker = worker
        self._loop = asyncio.get_running_loop()
        self._pending: list[Finish] = []
        self.extend: Callable[[Finish], Finish] | None = None
        """Adds the jobs that tell of an end, while somebody wants to know."""
        self._oldest = 0.0
        self._called = False
        self._flights: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self.room = asyncio.Event()
        """Cleared while a full batch waits for a flight: jobs that ended then would only wait longer for their commit."""
        self.room.set()
        self._backoff = Backoff("committing finished jobs")

    def add(self, finish: Finish, now: float) -> bool:
        """Take an end. True asks the caller to let the loop breathe, so that the batch is on its way."""
        pending = self._pending
        if self.extend is not None:
            finish = self.extend(finish)
        force_setattr(finish, "worker", self._worker)  # a copy of each would cost a hundredth of a drain
        pending.append(finish)
        if len(pending) == 1:
            self._oldest = now
            self._idle.clear()
            self._call()
            return False
        if len(pending) >= MOST_FINISHED or now - self._oldest >= COMPANY:
            self._start()
            if len(self._pending) >= MOST_FINISHED:
                self.room.clear()
            return True
        return False

    @property
    def unsettled(self) -> int:
        """Ends not yet waiting in a flight; bounds what a worker may still claim."""
        return len(self._pending)

    async def drained(self) -> None:
        """Until everything added is settled."""
        await self._idle.wait()

    def _call(self) -> None:
        if not self._called:
            self._called = True
            self._loop.call_soon(self._start)

    def _start(self) -> None:
        """A flight takes off when none is in the air; a second one when its batch is full or has waited."""
        self._called = False
        while self._pending and len(self._flights) < _FLIGHTS:
            waited = monotonic() - self._oldest >= COMPANY
            if self._flights and len(self._pending) < MOST_FINISHED and not waited:
                return
            batch, self._pending = self._pending[:MOST_FINISHED], self._pending[MOST_FINISHED:]
            self._oldest = monotonic()
            flight = self._loop.create_task(self._fly(batch))
            self._flights.add(flight)
            flight.add_done_callback(self._landed)
            if len(self._pending) < MOST_FINISHED:
                self.room.set()

    def _landed(self, flight: asyncio.Task[None]) -> None:
        self._flights.discard(flight)
        self._start()
        if not self._pending and not self._flights:
            self._idle.set()
        if not flight.cancelled() and (error := flight.exception()) is not None:
            log.error("committing finished jobs failed", exc_info=error)

    async def _fly(self, batch: list[Finish]) -> None:
        if self._reporter.pending:
            await self._reporter.flush()
        try:
            verdicts = await self._persist(batch)
        except Exception:
            log.exception("a batch of %d finished jobs was refused; committing them one by one", len(batch))
            for finish in batch:
                await self._alone(finish)
            return
        self._tell(batch, verdicts)

    async def _persist(self, batch: Sequence[Finish]) -> list[Verdict]:
        """Commit, for as long as it takes: a full or absent store keeps the jobs' ends here, not the worker down."""
        while True:
            try:
                verdicts = await self._store.finish(batch)
            except StoreError as error:
                await asyncio.sleep(self._backoff.failed(error))
                continue
            self._backoff.worked()
            return verdicts

    async def _alone(self, finish: Finish) -> None:
        """One end by itself: if the store cannot take its text, the job fails with what can always be written."""
        plain = Finish(
            finish.id, finish.lease, Event.FAIL, finish.queue, finish.kind, reason="its end cannot be stored"
        )
        if not (await self._insist(finish) or await self._insist(plain)):
            self._settled(finish, None)

    async def _insist(self, finish: Finish) -> bool:
        """Commit one end, trying again a few times; False if the store does not take it."""
        for _ in range(_TRIES):
            try:
                self._tell([finish], await self._persist([finish]))
            except InvalidArgs:  # it was read and cannot be kept: the next answer would be the same
                log.exception("job %s cannot be finished as %s", finish.id, finish.event.value)
                return False
            except Exception as error:
                log.exception("job %s cannot be finished as %s", finish.id, finish.event.value)
                await asyncio.sleep(self._backoff.failed(error))
            else:
                return True
        return False

    def _tell(self, batch: Sequence[Finish], verdicts: Sequence[Verdict]) -> None:
        for finish, verdict in zip(batch, verdicts, strict=True):
            self._settled(finish, verdict)
