"""Looks at the database: short ones on the loop, longer ones in a thread on a connection of their own."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import apsw

from windlass.store.sqlite.connection import Connection, connect
from windlass.store.sqlite.database import Database
from windlass.store.sqlite.faults import translate
from windlass.store.sqlite.transaction import View
from windlass.store.sqlite.writer import Writer

T = TypeVar("T")


class Reader:
    """The read connection of one handle. Every look is one or few statements read to their end, so that no snapshot
    stays open and keeps the write-ahead log from being started over."""

    def __init__(self, shared: Database, writer: Writer, sql: dict[str, str], place: str) -> None:
        self._shared = shared
        self._writer = writer
        self._sql = sql
        self._place = place
        self._connection: Connection | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="windlass-read")

    async def look(self, what: Callable[[View], T]) -> T:
        """A short look: on the write connection here and now if it is free."""
        seen = self._writer.try_look(what)
        return await self.scan(what) if seen is None else seen[0]

    async def scan(self, what: Callable[[View], T]) -> T:
        """A look that may take long."""
        block = self._writer.block
        if block is not None and block.is_mine:
            return what(block.view())
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._scan, what)

    def _scan(self, what: Callable[[View], T]) -> T:
        try:
            if self._shared.memory is not None:
                with self._shared.lock:
                    return what(View(self._shared.memory, self._sql, self._shared.now()))
            self._connection = self._connection or connect(self._shared.address, reads=True)
            return what(View(self._connection, self._sql, self._shared.now()))
        except apsw.Error as error:
            raise translate(error, self._place) from error

    async def close(self) -> None:
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._thread.shutdown()
        if self._connection is not None:
            self._connection.close()
            self._connection = None
