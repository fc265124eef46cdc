"""Gathers progress and log lines of running attempts, from any thread, and reports them in batches."""

import asyncio
import contextvars
import logging
from collections import deque
from time import monotonic

from windlass.context import Ack
from windlass.errors import StoreError
from windlass.job import Claim
from windlass.lease import LogLine, Note, Progress
from windlass.store.protocol import Store

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
        self._loop = asyncio.get_running_loop()
        self._notes: deque[_Entry] = deque(maxlen=_MOST_KEPT)
        self._armed = False
        self._context = contextvars.copy_context()  # ours: the flush must not run inside a handler's context
        self._lock = asyncio.Lock()
        self._ack = Ack(self.flush)

    def progress(self, claim: Claim, percent: float, note: str | None) -> Ack:
        self._add((claim, monotonic(), None, percent, note or ""))
        return self._ack

    def line(self, claim: Claim, level: str, text: str) -> Ack:
        self._add((claim, monotonic(), level, None, text))
        return self._ack

    @property
    def pending(self) -> bool:
        return bool(self._notes)

    async def flush(self) -> None:
        """Everything noted before this call is in the store afterwards, unless the store is in trouble."""
        async with self._lock:
            while self._notes:
                batch = [self._notes.popleft() for _ in range(min(_MOST_REPORTED, len(self._notes)))]
                try:
                    await self.store.report(_notes_of(batch))
                except StoreError:  # told by the beats and finishes, which fail as well
                    self._keep(batch)
                    self._arm()
                    return
                except Exception:  # notes are lost rather than the ends of jobs that wait behind them
                    log.exception("%d notes of running jobs cannot be stored", len(batch))

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
        self._task = self._loop.create_task(self.flush())

    def _keep(self, batch: list[_Entry]) -> None:
        room = _MOST_KEPT - len(self._notes)
        self._notes.extendleft(reversed(batch[-room:] if room else []))


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
