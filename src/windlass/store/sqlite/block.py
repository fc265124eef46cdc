"""A user's own transaction on the write connection: their statements and our jobs, committed together or not at all."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import apsw

from windlass.errors import InvalidOption, StoreError
from windlass.store.sqlite.faults import translate
from windlass.store.sqlite.journal import publish
from windlass.store.sqlite.transaction import Row, Tx, Uneven, View

if TYPE_CHECKING:
    from windlass.store.sqlite.writer import Writer

T = TypeVar("T")
LONGEST = 1.0
"""Seconds. Nobody else can write meanwhile, and leases have to be extended."""
_STEPS = 20_000
"""Instructions of SQLite's between two looks at the clock: about a millisecond."""


class Block:
    """Open from the start of the block until its end, or until it has held the writer for `LONGEST` seconds."""

    def __init__(self, writer: "Writer", place: str) -> None:
        self.writer = writer
        self._place = place
        self._task = asyncio.current_task()
        self._deadline = time.monotonic() + LONGEST
        self._fault: StoreError | None = None
        self._over = False
        self._topics: set[str] = set()
        self._timer = asyncio.get_running_loop().call_later(LONGEST, self._expire)
        writer.connection.set_progress_handler(self._is_late, _STEPS)
        writer.connection.set_commit_hook(_refuse)

    @property
    def is_open(self) -> bool:
        return not self._over and self._fault is None

    @property
    def is_mine(self) -> bool:
        """Whether the task that opened it asks."""
        return self.is_open and asyncio.current_task() is self._task

    def execute(self, sql: str, params: Sequence[Any] | Mapping[str, Any] = ()) -> list[Row]:
        """Run one statement now, on the tables of the same file; its rows. Raises apsw's errors."""
        self._check()
        db = self.writer.connection
        try:
            return db.execute(sql, params).fetchall()
        except apsw.InterruptError:
            self._too_late()
            raise self._fault_now() from None
        finally:
            if not db.in_transaction and self._fault is None:
                self._fault = StoreError(
                    f"the statement {sql[:100]!r} ended the transaction; nothing of it was kept",
                    url=self._place,
                    mend="leave commit and rollback to the block",
                )

    def apply(self, work: Callable[[Tx], T], carefully: Callable[[Tx], T] | None = None) -> T:
        """Work of the store's own inside it; what fails is undone alone."""
        self._check()
        try:
            return self._apply(work)
        except Uneven:
            return self._apply(carefully or work)

    def _apply(self, work: Callable[[Tx], T]) -> T:
        db = self.writer.connection
        db.execute("savepoint windlass")
        tx = self.writer.new_tx()
        try:
            outcome = work(tx)
            tx.settle_sums()
            if tx.news is not None:
                publish(tx, tx.news)
        except BaseException as error:
            if db.in_transaction:
                db.execute("rollback to windlass; release windlass")
            elif isinstance(error, apsw.InterruptError):
                self._too_late()
                raise self._fault_now() from None
            else:
                self._fault = StoreError(f"the transaction on {self._place} is lost: {error}", url=self._place)
            if isinstance(error, apsw.Error):
                raise translate(error, self._place) from error
            raise
        db.execute("release windlass")
        self._topics |= tx.topics
        return outcome

    def view(self) -> View:
        """For looks that see what it has written."""
        return self.writer.new_tx()

    def commit(self) -> None:
        """The end of the block; raises if there is nothing left to commit."""
        if self._is_late():
            self._too_late()
        if self._fault is not None:
            self.undo()
            raise self._fault
        db = self.writer.connection
        db.set_commit_hook(None)
        try:
            db.execute("commit")
        except apsw.Error as error:
            self._topics.clear()
            raise translate(error, self._place) from error
        finally:
            self._leave()

    def undo(self) -> None:
        """Roll back and let others write. Idempotent."""
        self._topics.clear()
        self._leave()

    def _leave(self) -> None:
        if self._over:
            return
        self._over = True
        self._timer.cancel()
        db = self.writer.connection
        db.set_commit_hook(None)
        db.set_progress_handler(None)
        try:
            if db.in_transaction:
                db.execute("rollback")
        finally:
            self.writer.let_go(self._topics)

    def _check(self) -> None:
        if self._is_late():
            self._too_late()
        if self._fault is not None:
            raise self._fault_now()
        if self._over:
            raise InvalidOption(
                "the transaction has ended",
                field="connection",
                limit="an open transaction",
                mend="enqueue inside its block",
            )

    def _fault_now(self) -> StoreError:
        assert self._fault is not None
        return self._fault

    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline

    def _expire(self) -> None:
        self._too_late()

    def _too_late(self) -> None:
        if self._over or self._fault is not None:
            return
        self._fault = StoreError(
            f"the transaction held the writer of {self._place} for more than {LONGEST:g} s and was rolled back",
            url=self._place,
            limit=LONGEST,
            mend="do slow work before the block: nobody else can write while it is open",
        )
        self.undo()


@asynccontextmanager
async def opened(writer: "Writer", place: str) -> AsyncGenerator[Block]:
    """The block itself."""
    if writer.block is not None and writer.block.is_mine:
        raise InvalidOption(
            "a transaction is open here already",
            field="transaction",
            limit="one at a time",
            mend="use the one that is open",
        )
    block = await writer.hold()
    try:
        yield block
    except BaseException:
        block.undo()
        raise
    block.commit()


def _refuse() -> bool:
    """A commit of the user's own becomes a rollback."""
    return True
