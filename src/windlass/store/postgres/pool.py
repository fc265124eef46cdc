"""A small pool of connections for one event loop: opened when needed, newest first, replaced when they break."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg

from windlass.errors import StoreUnavailable
from windlass.store.postgres.address import Address
from windlass.store.postgres.connection import Connection, connect

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0


class Pool:
    """At most `size` connections. The last one given back is the next one given out, so that few stay warm."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._slots = asyncio.Semaphore(address.pool)
        self._idle: list[Connection] = []
        self._pause = 0.0
        self._closed = False

    @asynccontextmanager
    async def use(self) -> AsyncGenerator[Connection]:
        """A connection for a few statements. One that breaks, or is left inside a transaction, is thrown away."""
        async with self._slots:
            connection = await self._get()
            try:
                yield connection
            except (asyncio.CancelledError, TimeoutError, asyncpg.InternalClientError):
                # It may still be at work, or its peer is gone; asyncpg calls a farewell that it had not read yet internal.
                # A BEGIN whose answer nobody has read does not show in `is_in_transaction`: given back, the connection
                # would take the next caller's writes into a transaction that nobody commits, and call them accepted.
                connection.terminate()
                raise
            finally:
                if self._closed or connection.is_closed() or connection.is_in_transaction():
                    connection.terminate()
                else:
                    self._idle.append(connection)

    async def _get(self) -> Connection:
        if self._closed:
            raise StoreUnavailable(
                f"the store {self._address.shown} is not open", url=self._address.shown, mend="await store.open() first"
            )
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        if self._pause:
            # While the server is away every caller would try at once and again; each waits a little longer instead.
            await asyncio.sleep(self._pause)
        try:
            connection = await connect(self._address)
        except BaseException:
            self._pause = min(max(self._pause * 2, FIRST_PAUSE), LONGEST_PAUSE)
            raise
        self._pause = 0.0
        return connection

    def forget(self) -> None:
        """Throw idle connections away: the server they lead to has gone or has become a replica."""
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.terminate()

    async def close(self) -> None:
        self._closed = True
        idle, self._idle = self._idle, []
        for connection in idle:
            try:
                await connection.close(timeout=2.0)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection.terminate()
