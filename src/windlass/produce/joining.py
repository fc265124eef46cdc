"""Enqueueing inside transactions: on the caller's own connection, or in a block of `app.transaction()`."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from itertools import islice
from typing import Any, NamedTuple, Protocol

from windlass.produce.producer import check_batch, check_job, read_jobs
from windlass.store.protocol import Transaction
from windlass.stores import Opened, Stores
from windlass.values.job import Enqueued, NewJob

_CHUNK = 2_000


class StoresDoor(Protocol):
    """What is asked of the app, whose stores a sandbox replaces."""

    stores: Stores

    async def admitted(self, jobs: list[NewJob[Any]]) -> list[NewJob[Any]]: ...


class _Block(NamedTuple):
    """An open block, and what was enqueued in it: observers hear of it when it has been committed."""

    stores: Stores
    tx: Transaction
    told: list[tuple[Sequence[NewJob[Any]], list[Enqueued]]]


_blocks: ContextVar[tuple[_Block, ...]] = ContextVar("windlass_transactions", default=())


class Joining:
    """An app's enqueues that others commit."""

    def __init__(self, door: StoresDoor) -> None:
        self._door = door

    def here(self) -> Transaction | None:
        """The transaction of the block around the caller, which tasks started in the block share."""
        for block in _blocks.get():
            if block.stores is self._door.stores and block.tx.is_open:
                return block.tx
        return None

    async def put(self, connection: Any, jobs: Sequence[NewJob[Any]]) -> list[Enqueued]:
        """Store jobs in one statement of the connection's transaction."""
        opened = await self._door.stores.here()
        jobs = await self._door.admitted(list(jobs))
        if self._door.stores.takes_any_connection and connection is not self.here():
            return await opened.producer.atomic(jobs)
        answers = await opened.store.enqueue_on(connection, jobs)
        self._note(connection, jobs, answers)
        return answers

    def put_blocking(self, opened: Opened, connection: Any, jobs: Sequence[NewJob[Any]]) -> list[Enqueued]:
        """The same in this thread, on a blocking connection."""
        answers = opened.store.enqueue_on_sync(connection, jobs)
        self._note(connection, jobs, answers)
        return answers

    async def put_many(
        self, connection: Any, jobs: Iterable[NewJob[Any]], atomic: bool
    ) -> list[tuple[NewJob[Any], Enqueued]]:
        """Many jobs; not `atomic`: any number, a statement for each chunk, still all or nothing by the transaction."""
        found: list[tuple[NewJob[Any], Enqueued]] = []
        for part in chunks(jobs, atomic):
            found += zip(part, await self.put(connection, part), strict=True)
        return found

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Transaction]:
        """A block whose enqueues are committed at its end or not at all."""
        stores = self._door.stores
        opened = await stores.here()
        before = _blocks.get()
        told: list[tuple[Sequence[NewJob[Any]], list[Enqueued]]] = []
        try:
            async with opened.store.transaction() as tx:
                _blocks.set((_Block(stores, tx, told), *before))
                try:
                    yield tx
                finally:
                    _blocks.set(before)
        finally:
            stores.uncommitted.discard(answer.id for _, answers in told for answer in answers)
        for jobs, answers in told:
            _tell(stores, jobs, answers)

    def _note(self, connection: Any, jobs: Sequence[NewJob[Any]], answers: list[Enqueued]) -> None:
        stores = self._door.stores
        stores.uncommitted.add(answer.id for answer in answers if answer.created)
        for block in _blocks.get():
            if block.tx is connection:
                block.told.append((jobs, answers))
                return
        _tell(stores, jobs, answers)


def chunks(jobs: Iterable[NewJob[Any]], atomic: bool) -> Iterable[list[NewJob[Any]]]:
    """The jobs of each statement; raises `BatchTooLarge` when one must take them all."""
    if atomic:
        every = [check_job(job) for job in read_jobs(jobs)]
        check_batch(every)
        yield every
        return
    source = iter(read_jobs(jobs))
    while part := [check_job(job) for job in islice(source, _CHUNK)]:
        yield part


def _tell(stores: Stores, jobs: Sequence[NewJob[Any]], answers: list[Enqueued]) -> None:
    for observer in stores.observers:
        observer(jobs, answers)
