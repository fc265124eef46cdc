"""Where a worker's attempts have their effects on record: from its own loop, and from threads that wait for it."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from windlass.errors import StoreError
from windlass.running.effects import SPACE, Change, Changed, Seen, read_changed, read_entry, swaps_of
from windlass.store.protocol import Store
from windlass.values.job import Claim, Job
from windlass.values.query import Record, Swap
from windlass.values.states import State
from windlass.worker.books import LAST_WORD, patiently, wait_in_thread
from windlass.worker.every import Backoff

Q = TypeVar("Q")
A = TypeVar("A")

_WHAT = "the record of an effect"
_MOST_AT_ONCE = 100


class Gathering(Generic[Q, A]):
    """Calls of many attempts made as one: what comes while a call is under way goes with the next. Asks until the store
    answers; a call that cannot be made is made for each by itself, so that one of them fails alone."""

    def __init__(self, call: Callable[[list[Q]], Awaitable[list[A]]], context: contextvars.Context) -> None:
        """`context`: in which the calls are made, rather than that of the handler who happens to be first."""
        self._call = call
        self._context = context
        self._asked: list[tuple[Q, asyncio.Future[A]]] = []
        self._task: asyncio.Task[None] | None = None

    async def ask(self, question: Q) -> A:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[A] = loop.create_future()
        self._asked.append((question, future))
        if self._task is None:
            self._task = loop.create_task(self._work(), context=self._context)
        return await future

    async def _work(self) -> None:
        try:
            while self._asked:
                batch, self._asked = self._asked[:_MOST_AT_ONCE], self._asked[_MOST_AT_ONCE:]
                await self._answer([each for each in batch if not each[1].done()])
        finally:
            self._task = None

    async def _answer(self, batch: "list[tuple[Q, asyncio.Future[A]]]") -> None:
        backoff = Backoff(_WHAT)
        while batch:
            try:
                answers = await self._call([question for question, _ in batch])
            except StoreError as error:
                await asyncio.sleep(backoff.failed(error))
                batch = [each for each in batch if not each[1].done()]  # who was stopped meanwhile needs no answer
                continue
            except Exception as error:
                await self._fail(batch, error)
                return
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
            return

    async def _fail(self, batch: "list[tuple[Q, asyncio.Future[A]]]", error: Exception) -> None:
        if len(batch) > 1:
            for each in batch:
                await self._answer([each])
        elif not batch[0][1].done():
            batch[0][1].set_exception(error)


class Registry:
    """The effects' records as the attempts of one worker read and write them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        context = contextvars.copy_context()
        self.read = Gathering(self._read, context)
        self.write = Gathering(self._write, context)

    async def job(self, id: str) -> Job | None:
        return await patiently(lambda: self._store.job(id), _WHAT)

    async def _read(self, places: list[str]) -> list[Record | None]:
        found = {record.key: record for record in await self._store.records(SPACE, sorted({*places}))}
        return [found.get(place) for place in places]

    async def _write(self, changes: list[list[Swap]]) -> list[list[Record]]:
        records = iter(await self._store.exchange([swap for swaps in changes for swap in swaps]))
        return [[next(records) for _ in swaps] for swaps in changes]


class LoopLedger:
    """The ledger of an attempt on the worker's loop."""

    blocking = False

    def __init__(self, registry: Registry, claim: Claim, limit: int) -> None:
        self.limit = limit
        self._registry = registry
        self._claim = claim

    async def look(self, place: str, request: str) -> Seen:
        record = await self._registry.read.ask(place)
        entry = None if record is None else read_entry(record)
        if record is None or entry is None:
            return Seen(None, 0)
        running = False
        if entry.job != self._claim.id and entry.state in ("prepared", "sending"):
            job = await self._registry.job(entry.job)
            running = job is not None and job.state is State.ACTIVE and job.lease == entry.lease
        return Seen(entry, record.version, entry.request == request, running)

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
        return read_changed(change, await self._registry.write.ask(swaps_of(change)))


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


__all__ = ["LoopLedger", "Registry", "ThreadLedger"]
