"""Where a worker's attempts have their effects on record: from its own loop, and from threads that wait for it."""

import asyncio

from windlass.running.effects import SPACE, Change, Changed, Seen, read_changed, read_entry, swaps_of
from windlass.store.protocol import Store
from windlass.values.job import Claim
from windlass.values.states import State
from windlass.worker.books import LAST_WORD, patiently, wait_in_thread

_WHAT = "the record of an effect"


class LoopLedger:
    """The ledger of an attempt on the worker's loop."""

    blocking = False

    def __init__(self, store: Store, claim: Claim, limit: int) -> None:
        self.limit = limit
        self._store = store
        self._claim = claim

    async def look(self, place: str, request: str) -> Seen:
        records = await patiently(lambda: self._store.records(SPACE, [place]), _WHAT)
        entry = read_entry(records[0]) if records else None
        if entry is None:
            return Seen(None, 0)
        running = False
        if entry.job != self._claim.id and entry.state in ("prepared", "sending"):
            job = await patiently(lambda: self._store.job(entry.job), _WHAT)
            running = job is not None and job.state is State.ACTIVE and job.lease == entry.lease
        return Seen(entry, records[0].version, entry.request == request, running)

    async def put(self, change: Change) -> Changed:
        # A task of its own: who is stopped meanwhile has had the effect, and its record must not be lost.
        task = asyncio.ensure_future(self._put(change))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task], timeout=LAST_WORD)
            task.cancel()
            raise

    async def _put(self, change: Change) -> Changed:
        swaps = swaps_of(change)
        return read_changed(change, await patiently(lambda: self._store.exchange(swaps), _WHAT))


class ThreadLedger:
    """The same for a `def` handler in a thread of the worker: every call waits for the loop."""

    blocking = True

    def __init__(self, ledger: LoopLedger, loop: asyncio.AbstractEventLoop) -> None:
        self.limit = ledger.limit
        self._ledger = ledger
        self._loop = loop

    async def look(self, place: str, request: str) -> Seen:
        return wait_in_thread(self._ledger.look(place, request), self._loop)

    async def put(self, change: Change) -> Changed:
        return wait_in_thread(self._ledger.put(change), self._loop)


__all__ = ["LoopLedger", "ThreadLedger"]
