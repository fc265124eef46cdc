"""What follows an attempt's end: results for the cache, calls for the breakers.

Results and calls that went well are written once the store has accepted the end, out of the job's way. A call that failed is
counted before the end is committed: the commit frees the job's place, and while a breaker is half-open the next job that takes
it would be a second probe.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from windlass.declare.handler import Effective, Handler
from windlass.errors import StoreError
from windlass.flowcontrol import cache
from windlass.flowcontrol.cache import CacheRule
from windlass.providers.breaker import Call
from windlass.providers.breakers import Desk, NumbersOf
from windlass.store.protocol import Store
from windlass.values.failure import Category
from windlass.values.job import Claim, ErrorInfo, Trail
from windlass.values.outcome import Finish
from windlass.values.query import Swap
from windlass.values.states import Event
from windlass.worker.every import Backoff

log = logging.getLogger("windlass.worker")

GATHER = 0.25
"""Seconds for which calls that went well are gathered; results go at once."""

_MOST_RESULTS = 500
_PATIENCE = 2.0
"""Seconds that the end of an attempt waits for its breaker."""
_LONGEST_ERROR = 300
_TRAIL = msgspec.json.Decoder(Trail)


class Watched(Protocol):
    """A run whose end is looked at."""

    claim: Claim
    handler: Handler[Any, Any]
    rules: Effective


class Aftermath:
    """`saw` from the worker's loop. Its task lives while there is something to write."""

    def __init__(self, store: Store, numbers_of: NumbersOf) -> None:
        self._store = store
        self._desk = Desk(store, numbers_of)
        self._swaps: list[Swap] = []
        self._hurry = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._telling: set[asyncio.Task[None]] = set()
        self._leaving = False
        self._backoff = Backoff("counting calls of providers")

    def saw(self, run: Watched, finish: Finish) -> None:
        """An end of this run was accepted."""
        rule = run.handler.declared.cache
        if rule is not None and finish.event is Event.COMPLETE:
            self._keep(run, rule, finish)
        if run.rules.provider is not None and finish.event is Event.COMPLETE:
            self._desk.note(run.rules.provider, Call(True, run.claim.claimed_at))
            if self._desk.urgent:
                self._hurry.set()
        if self._task is None and (self._swaps or self._desk.pending):
            self._task = asyncio.create_task(self._work(), name="windlass-aftermath")

    def foresee(self, run: Watched, finish: Finish, then: Callable[[Finish], None]) -> bool:
        """Whether this end is bad news about its provider; if so `then(finish)` is called once the store knows them, or cannot
        be told in time."""
        provider = run.rules.provider
        if provider is None or not self._note(provider, run.claim, finish):
            return False
        task = asyncio.create_task(self._tell(finish, then), name="windlass-breaker")
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)
        return True

    async def drained(self) -> None:
        """Until everything seen is written; raises nothing."""
        self._leaving = True
        self._hurry.set()
        if self._task is None and self._desk.pending:
            self._task = asyncio.create_task(self._work(), name="windlass-aftermath")
        while self._task is not None:
            await asyncio.wait([self._task])

    def _keep(self, run: Watched, rule: CacheRule, finish: Finish) -> None:
        claim = run.claim
        call = cache.Call(claim.kind, run.rules.version, claim.args, claim.user, claim.project)
        veil = run.rules.veil
        swap = cache.keep(call, rule, claim.id, finish.result, None if veil is None else veil.digest)
        if swap is None:
            log.debug("the result of %s %s is too large for its cache", claim.kind, claim.id)
        else:
            self._swaps.append(swap)
            self._hurry.set()

    def _note(self, provider: str, claim: Claim, finish: Finish) -> bool:
        error = _TRAIL.decode(finish.trail).error if finish.trail else None
        if error is not None and error.category == Category.PROVIDER:
            self._desk.note(provider, Call(False, claim.claimed_at, _line(error)))
        elif error is not None and error.category == Category.RATE_LIMIT and error.retry_after is not None:
            self._desk.note_limit(provider, error.retry_after)
        else:
            return False
        return True

    async def _tell(self, finish: Finish, then: Callable[[Finish], None]) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._desk.flush()
        except (StoreError, TimeoutError) as error:  # it stays noted
            log.warning("a failed call of a provider could not be counted yet: %r", error)
        except Exception:
            log.exception("counting calls of providers failed")
            self._desk.forget()
        finally:
            then(finish)

    async def _work(self) -> None:
        try:
            while self._swaps or self._desk.pending:
                self._hurry.clear()
                await self._write_results()
                await self._write_calls()
                if not (self._swaps or self._desk.urgent or self._leaving):
                    await self._gather()
        finally:
            self._task = None

    async def _write_results(self) -> None:
        while self._swaps:
            swaps, self._swaps = self._swaps[:_MOST_RESULTS], self._swaps[_MOST_RESULTS:]
            try:
                await self._store.exchange(swaps)
            except Exception as error:  # a result that is not kept is computed again
                log.warning("%d results could not be kept in the cache: %s", len(swaps), error)

    async def _write_calls(self) -> None:
        if not self._desk.pending:
            return
        try:
            await self._desk.flush()
        except Exception as error:
            if not isinstance(error, StoreError):
                log.exception("counting calls of providers failed")
                self._desk.forget()
            elif self._leaving:
                self._desk.forget()
            else:
                await asyncio.sleep(self._backoff.failed(error))
            return
        self._backoff.worked()

    async def _gather(self) -> None:
        try:
            async with asyncio.timeout(GATHER):
                await self._hurry.wait()
        except TimeoutError:
            return


def _line(error: ErrorInfo) -> str:
    return f"{error.type}: {error.message}".split("\n")[0][:_LONGEST_ERROR]
