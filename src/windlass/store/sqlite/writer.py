"""Running write transactions on the event loop's own thread, one after the other, without ever blocking it on a lock.

Not in a database thread: apsw lets go of the GIL for each row, and beside a busy loop each re-taking costs up to the
interpreter's switch interval (5 ms): 200 rows would hold the database's only write lock for a second.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Collection, Generator
from typing import TypeVar

import apsw

from windlass.errors import StoreUnavailable
from windlass.store.sqlite.block import Block
from windlass.store.sqlite.connection import Connection
from windlass.store.sqlite.database import Database, forked
from windlass.store.sqlite.faults import translate
from windlass.store.sqlite.journal import publish, trim
from windlass.store.sqlite.transaction import Tx, View
from windlass.values.clock import SECOND, Micros

T = TypeVar("T")
_NAP = 0.001
"""How long to sleep between two tries for a lock that another process or thread has. SQLite's own handler goes to 100 ms."""


class Writer:
    """The write connection of one handle, used by one event loop."""

    def __init__(self, shared: Database, connection: Connection, sql: dict[str, str], place: str) -> None:
        self.connection = connection
        self._shared = shared
        self._sql = sql
        self._place = place
        self._in_memory = shared.memory is not None
        self._lock = shared.lock if self._in_memory else threading.Lock()
        self._line = shared.line
        self._turn = asyncio.Lock()
        self._waiting = 0
        self.block: Block | None = None
        self._trimmed: Micros = 0
        """When the journal was last trimmed."""
        if shared.checkpointer is not None:
            wrote = shared.checkpointer.wrote
            connection.set_wal_hook(lambda _connection, _name, pages: (wrote(pages), apsw.SQLITE_OK)[1])

    async def run(self, work: Callable[[Tx], T]) -> T:
        """One transaction. It begins, works and commits without a pause, so a cancelled caller cannot lose its outcome."""
        if self.block is not None and self.block.is_mine:
            return self.block.apply(work)
        if not self._waiting and self._begin():
            return self._transact(work)
        self._waiting += 1
        try:
            async with self._turn:
                await self._begin_patiently()
                return self._transact(work)
        finally:
            self._waiting -= 1

    async def run_in_slices(self, work: Callable[[Tx], Generator[None, None, T]]) -> T:
        """One long transaction that lets the loop breathe wherever `work` yields. Other writes wait their turn."""
        if self.block is not None and self.block.is_mine:
            return self.block.apply(lambda tx: _to_the_end(work(tx)))
        self._waiting += 1
        try:
            async with self._turn:
                await self._begin_patiently()
                tx = Tx(self.connection, self._sql, self._shared.now())
                try:
                    steps = work(tx)
                    while True:
                        try:
                            next(steps)
                        except StopIteration as end:
                            self._commit(tx)
                            return end.value
                        await asyncio.sleep(0)
                except apsw.Error as error:
                    self._undo()
                    raise translate(error, self._place) from error
                except BaseException:
                    self._undo()
                    raise
                finally:
                    self._lock.release()
                    self._line.moved_on()
                    self._shared.wake(tx.topics)
        finally:
            self._waiting -= 1

    async def hold(self) -> Block:
        """A transaction of the user's own; it ends with `let_go`."""
        self._waiting += 1
        try:
            await self._turn.acquire()
            try:
                await self._begin_patiently()
            except BaseException:
                self._turn.release()
                raise
        except BaseException:
            self._waiting -= 1
            raise
        self.block = Block(self, self._place)
        return self.block

    def let_go(self, topics: Collection[str]) -> None:
        """The user's transaction is over; `topics`: whom its commit wakes."""
        self.block = None
        self._lock.release()
        self._line.moved_on()
        self._turn.release()
        self._waiting -= 1
        self._shared.wake(topics)

    def new_tx(self) -> Tx:
        """For work inside a transaction that is open."""
        return Tx(self.connection, self._sql, self._shared.now())

    def try_look(self, look: Callable[[View], T]) -> tuple[T] | None:
        """`look` on this connection if it is free right now or inside the caller's transaction, in a tuple; else None."""
        self._check_process()
        if self.block is not None and self.block.is_mine:
            return (look(self.block.view()),)
        if not self._lock.acquire(blocking=False):
            return None
        try:
            return (look(View(self.connection, self._sql, self._shared.now())),)
        except apsw.Error as error:
            raise translate(error, self._place) from error
        finally:
            self._lock.release()

    def data_version(self) -> int | None:
        """The number that commits of other connections change; None while this connection is at work. Asked 200 times a
        second by an idle worker, hence without the layers of `try_look`."""
        if not self._lock.acquire(blocking=False):
            return None
        try:
            return self.connection.execute("pragma data_version").fetchall()[0][0]
        except apsw.Error:  # wake-ups may be lost: who listens polls as well, and is told of the fault there
            return None
        finally:
            self._lock.release()

    async def close(self) -> None:
        """After the transaction of this moment."""
        async with self._turn:
            if self._in_memory:
                return
            self.connection.set_wal_hook(None)
            await asyncio.to_thread(self.connection.close)

    def _begin(self) -> bool:
        """Take the write lock if it is free now and no other handle of this process comes first."""
        self._check_process()
        if not self._line.may_go(self) or not self._lock.acquire(blocking=False):
            return False
        try:
            self.connection.execute("begin immediate")
        except apsw.BusyError:
            self._lock.release()
            return False
        except apsw.Error as error:
            self._lock.release()
            raise translate(error, self._place) from error
        return True

    async def _begin_patiently(self) -> None:
        timeout = self._shared.address.timeout
        deadline = time.monotonic() + timeout
        with self._line.standing(self):
            while not self._begin():
                if time.monotonic() > deadline:
                    raise StoreUnavailable(
                        f"{self._place} stayed locked by another process for {timeout:g} seconds",
                        url=self._place,
                        mend="find what holds a long transaction open, or raise timeout= in the URL",
                    )
                await asyncio.sleep(_NAP)

    def _transact(self, work: Callable[[Tx], T]) -> T:
        tx = Tx(self.connection, self._sql, self._shared.now())
        try:
            outcome = work(tx)
            self._commit(tx)
        except apsw.Error as error:
            self._undo()
            raise translate(error, self._place) from error
        except BaseException:
            self._undo()
            raise
        finally:
            self._lock.release()
            self._line.moved_on()
        if tx.topics:
            self._shared.wake(tx.topics)
        return outcome

    def _commit(self, tx: Tx) -> None:
        tx.settle_sums()
        if tx.news is not None:
            publish(tx, tx.news)
            if not 0 <= tx.now - self._trimmed < SECOND:
                trim(tx)
                self._trimmed = tx.now
        self.connection.execute("commit")

    def _undo(self) -> None:
        """Roll back, unless SQLite did so by itself (a full disk)."""
        if self.connection.in_transaction:
            self.connection.execute("rollback")

    def _check_process(self) -> None:
        if os.getpid() != self._shared.pid:
            raise forked(self._place)


def _to_the_end(steps: Generator[None, None, T]) -> T:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
