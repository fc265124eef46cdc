"""Where a worker's attempts record their steps: from its own loop, and from threads that wait for it."""

import asyncio
import concurrent.futures
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

from windlass.errors import StoreError
from windlass.store.protocol import Store
from windlass.values.clock import Micros
from windlass.values.job import Claim
from windlass.values.lease import Noted, Step, StoredStep
from windlass.worker.every import Backoff

T = TypeVar("T")

LAST_WORD = 2.0
"""Seconds that a stopped attempt waits for the record of a step that has had its effect."""

_LOOK_UP = 0.2
"""Seconds after which a waiting thread looks up, so that an exception raised in it can arrive."""


class Records(Protocol):
    """What a reporter does for books."""

    store: Store

    def begin(self, step: Step) -> None: ...

    def record(self, step: Step) -> "asyncio.Future[Noted]": ...


class LoopBook:
    """The book of an attempt on the worker's loop."""

    blocking = False

    def __init__(self, records: Records, claim: Claim, limit: int) -> None:
        self.limit = limit
        self._records = records
        self._claim = claim

    async def read(self) -> list[StoredStep]:
        return await patiently(lambda: self._records.store.steps(self._claim.id))

    async def now(self) -> Micros:
        return await patiently(self._records.store.now)

    def begin(self, step: Step) -> None:
        self._records.begin(step)

    async def write(self, step: Step) -> Noted:
        future = self._records.record(step)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            # The effect has happened: were the job given back before its record is stored, it would happen again.
            await asyncio.wait([future], timeout=LAST_WORD)
            future.cancel()
            raise


class ThreadBook:
    """The same for a `def` handler in a thread of the worker: every call waits for the loop."""

    blocking = True

    def __init__(self, book: LoopBook, loop: asyncio.AbstractEventLoop) -> None:
        self.limit = book.limit
        self._book = book
        self._loop = loop

    async def read(self) -> list[StoredStep]:
        return wait_in_thread(self._book.read(), self._loop)

    async def now(self) -> Micros:
        return wait_in_thread(self._book.now(), self._loop)

    def begin(self, step: Step) -> None:
        self._loop.call_soon_threadsafe(self._book.begin, step)

    async def write(self, step: Step) -> Noted:
        return wait_in_thread(self._book.write(step), self._loop)


def wait_in_thread(coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> T:
    """Run it on the worker's loop, and wait in this thread."""
    future = asyncio.run_coroutine_threadsafe(coroutine, loop)
    try:
        while True:
            try:
                return future.result(_LOOK_UP)
            except concurrent.futures.TimeoutError:
                if future.done():  # its own
                    raise
    finally:
        future.cancel()


async def patiently(call: Callable[[], Awaitable[T]], what: str = "reading steps") -> T:
    """Ask a store that may be in trouble, until it answers or the attempt is stopped."""
    backoff = Backoff(what)
    while True:
        try:
            return await call()
        except StoreError as error:
            await asyncio.sleep(backoff.failed(error))


__all__ = ["LAST_WORD", "LoopBook", "ThreadBook", "patiently", "wait_in_thread"]
