"""Gathers progress and log lines of running attempts, from any thread, and reports them in batches; records steps at once."""

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Callable
from time import monotonic

from windlass.errors import StoreError
from windlass.running.context import Ack
from windlass.running.effects import Ledger
from windlass.running.steps import Book
from windlass.store.protocol import Store
from windlass.values.job import Claim
from windlass.values.lease import LogLine, Note, Noted, Progress, Step
from windlass.worker.books import LoopBook, ThreadBook
from windlass.worker.every import Backoff
from windlass.worker.ledgers import LoopLedger, Registry, ThreadLedger

log = logging.getLogger("windlass.worker")

COALESCE = 0.05
"""Seconds that notes wait for company, so that a chatty handler costs twenty store calls a second at most."""

_MOST_KEPT = 20_000
_MOST_REPORTED = 500

_Entry = tuple[Claim, float, "str | None", "float | None", str]
"""claim, stamp, level (None: progress), percent, text."""


class Reporter:
    """The `Notes` of a worker. Notes are kept while the store is away, the newest 20,000 of them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.leaving = False
        self.heard: Callable[[Claim, float, str | None], None] | None = None
        """Told of progress that the store has accepted, if a hook wants to know."""
        self._loop = asyncio.get_running_loop()
        self._notes: deque[_Entry] = deque(maxlen=_MOST_KEPT)
        self._armed = False
        self._context = contextvars.copy_context()  # ours: the flush must not run inside a handler's context
        self._lock = asyncio.Lock()
        self._steps: list[tuple[Step, asyncio.Future[Noted]]] = []
        self._begun: dict[tuple[str, int], Step] = {}
        self._recording: asyncio.Task[None] | None = None
        self._backoff = Backoff("recording steps")
        self._ack = Ack(self.flush)
        self._registry = Registry(store)

    def progress(self, claim: Claim, percent: float, note: str | None) -> Ack:
        self._add((claim, monotonic(), None, percent, note or ""))
        return self._ack

    def line(self, claim: Claim, level: str, text: str) -> Ack:
        self._add((claim, monotonic(), level, None, text))
        return self._ack

    def book(self, claim: Claim, limit: int, *, blocking: bool) -> Book:
        own = LoopBook(self, claim, limit)
        return ThreadBook(own, self._loop) if blocking else own

    def ledger(self, claim: Claim, limit: int, *, blocking: bool) -> Ledger:
        own = LoopLedger(self._registry, claim, limit)
        return ThreadLedger(own, self._loop) if blocking else own

    def begin(self, step: Step) -> None:
        """A step is under way: told with the other notes, and not at all if its record comes first. On our loop."""
        self._begun[step.id, step.position] = step
        if not self._armed:
            self._arm()

    def record(self, step: Step) -> "asyncio.Future[Noted]":
        """Store a step, together with what else comes while the store is busy. On our loop; done once the store has it."""
        future: asyncio.Future[Noted] = self._loop.create_future()
        self._begun.pop((step.id, step.position), None)
        self._steps.append((step, future))
        if self._recording is None:
            self._recording = self._loop.create_task(self._record(), context=self._context)
        return future

    @property
    def pending(self) -> bool:
        return bool(self._notes or self._begun)

    async def flush(self) -> None:
        """Everything noted before this call is in the store afterwards, unless the store is in trouble."""
        async with self._lock:
            while self._notes or self._begun:
                batch = [self._notes.popleft() for _ in range(min(_MOST_REPORTED, len(self._notes)))]
                begun, self._begun = self._begun, {}
                try:
                    notes = [*_notes_of(batch), *begun.values()]
                    self._announce(batch, notes, await self.store.report(notes))
                except StoreError:  # told by the beats and finishes, which fail as well
                    self._keep(batch)
                    self._arm()
                    return
                except Exception:  # notes are lost rather than the ends of jobs that wait behind them
                    log.exception("%d notes of running jobs cannot be stored", len(batch))

    def _announce(self, batch: list[_Entry], notes: list[Note], answers: list[Noted]) -> None:
        if self.heard is None:
            return
        claims = {(claim.id, claim.lease): claim for claim, *_ in batch}
        for note, answer in zip(notes, answers, strict=True):
            if isinstance(note, Progress) and answer.accepted:
                self.heard(claims[note.id, note.lease], note.percent, note.note)

    async def _record(self) -> None:
        """One batch of steps at a time. Under the lock, or a late `begin` could overwrite a record."""
        try:
            while self._steps:
                async with self._lock:
                    batch = [each for each in self._steps[:_MOST_REPORTED] if not each[1].done()]
                    self._steps = self._steps[_MOST_REPORTED:]
                    try:
                        await self._store_steps(batch)
                    except Exception as error:  # an engine's defect must not leave handlers waiting for ever
                        log.exception("%d steps cannot be recorded", len(batch))
                        for _, future in batch:
                            _answer(future, error)
        finally:
            self._recording = None

    async def _store_steps(self, batch: list[tuple[Step, "asyncio.Future[Noted]"]]) -> None:
        """For as long as it takes; a step whose attempt was stopped meanwhile is given up."""
        while batch:
            try:
                answers = await self.store.report([step for step, _ in batch])
            except StoreError as error:
                await asyncio.sleep(self._backoff.failed(error))
                batch = [each for each in batch if not each[1].done()]
                continue
            except Exception as error:
                if len(batch) == 1:
                    _answer(batch[0][1], error)
                    return
                for each in batch:  # one of them cannot be stored
                    await self._store_steps([each])
                return
            self._backoff.worked()
            for (_, future), answer in zip(batch, answers, strict=True):
                _answer(future, answer)
            return

    def _add(self, entry: _Entry) -> None:
        self._notes.append(entry)
        if not self._armed:
            self._armed = True
            self._loop.call_soon_threadsafe(self._arm, context=self._context)

    def _arm(self) -> None:
        self._armed = True
        self._loop.call_later(COALESCE, self._due)

    def _due(self) -> None:
        self._armed = False
        if self.pending:  # what was flushed meanwhile needs no task, which a loop that ends now would leave behind
            self._task = self._loop.create_task(self.flush())

    def _keep(self, batch: list[_Entry]) -> None:
        room = _MOST_KEPT - len(self._notes)
        self._notes.extendleft(reversed(batch[-room:] if room else []))


def _answer(future: "asyncio.Future[Noted]", answer: Noted | Exception) -> None:
    if future.done():
        return
    if isinstance(answer, Noted):
        future.set_result(answer)
    else:
        future.set_exception(answer)


def _notes_of(batch: list[_Entry]) -> list[Note]:
    """The store's notes, in order; of one attempt's progress only the newest."""
    now = monotonic()
    newest = {(claim.id, claim.lease): index for index, (claim, _, level, _, _) in enumerate(batch) if level is None}
    notes: list[Note] = []
    for index, (claim, stamp, level, percent, text) in enumerate(batch):
        if level is not None:
            notes.append(LogLine(claim.id, claim.lease, claim.attempt, level, text, int((now - stamp) * 1e6)))
        elif newest[claim.id, claim.lease] == index:
            notes.append(Progress(claim.id, claim.lease, percent or 0.0, text or None))
    return notes


__all__ = ["Reporter"]
