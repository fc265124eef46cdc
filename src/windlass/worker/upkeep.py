"""What any worker does for the whole installation: due jobs, lapsed leases, parked kinds, old records. No leader."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from windlass.declare.handler import Handler
from windlass.operate.retention import retention_of
from windlass.store.protocol import Store
from windlass.values.clock import SECOND, Micros
from windlass.values.job import Claim
from windlass.values.outcome import DEFAULT_RULES, Finish, RunRules, lapsed
from windlass.values.query import Retention
from windlass.worker.every import Every

STEP = 500
PROMOTE = 0.5
"""Seconds between looks for due jobs when the store knows of none nearer; wake-ups and claims bring it forward."""

_PROMOTE_FLOOR, _PROMOTE_AGAIN = 0.02, 0.005
_UNPARK = 5.0
_PRUNE = 60.0
_PRUNE_MORE = 0.02
"""Between steps while there is more: 25,000 jobs a second, so that pruning keeps up with any worker."""


class Upkeep:
    """Its loops live as long as the worker claims; every step is bounded and safe to run in many workers at once."""

    def __init__(
        self,
        store: Store,
        worker: str,
        lease: Micros,
        handlers: Mapping[str, Handler[Any, Any]],
        retention: Retention,
        finish: Callable[[Finish], None],
        news: Callable[[], None],
    ) -> None:
        self._store = store
        self._worker = worker
        self._lease = lease
        self._handlers = handlers
        self._retention = retention
        self._finish = finish
        self._news = news
        seconds = lease / SECOND
        # Rescue's marks must be closer together than half a lease, or the store takes us for having stood still.
        self._rescue_each = min(1.0, seconds / 4)
        self._promote = Every(PROMOTE, self.promote, "promoting due jobs", floor=_PROMOTE_FLOOR)
        self._loops = (
            self._promote,
            Every(self._rescue_each, self.rescue, "rescuing lapsed jobs"),
            Every(_UNPARK, self.unpark, "re-admitting parked jobs"),
            Every(_PRUNE, self.prune, "pruning old jobs"),
        )

    def look(self) -> None:
        """Something may be due sooner than was known."""
        self._promote.poke()

    async def run(self) -> None:
        """All duties, until cancelled."""
        stop_listening = self._store.listen({"ready"}, self.look)
        try:
            await asyncio.gather(*(loop.run() for loop in self._loops))
        finally:
            stop_listening()

    async def promote(self) -> float | None:
        """Due jobs become waiting; returns the time until the next is due."""
        promoted = await self._store.promote(STEP)
        if promoted.moved:
            self._news()
        # Where one look found something the next one likely will: a graph's levels follow each other quickly.
        self._promote.floor = _PROMOTE_AGAIN if promoted.moved or promoted.more else _PROMOTE_FLOOR
        if promoted.more:
            return 0.0
        return None if promoted.wait is None else min(PROMOTE, promoted.wait / SECOND)

    async def rescue(self) -> float | None:
        """Jobs whose worker was lost are judged and given back."""
        claims = await self._store.rescue(self._worker, self._lease, STEP)
        for claim in claims:
            self._finish(lapsed(claim, self._rules(claim), self._worker))
        return 0.0 if claims else None  # engines take over less than a step at a time

    async def unpark(self) -> float | None:
        """Jobs that other workers could not run because they did not know the kind come back into line."""
        for kind in self._handlers:
            while await self._store.unpark(f"kind:{kind}") >= STEP:
                self._news()
        return None

    async def prune(self) -> float | None:
        """Drop what retention no longer keeps, a bounded part at a time."""
        pruned = await self._store.prune(await retention_of(self._store, self._retention), STEP)
        return _PRUNE_MORE if pruned >= STEP else None

    def _rules(self, claim: Claim) -> RunRules:
        handler = self._handlers.get(claim.kind)
        return DEFAULT_RULES if handler is None else handler.rules(claim.options).run
