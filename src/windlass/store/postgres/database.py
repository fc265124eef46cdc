"""What the verbs run on: connections, statements, and what is done again by itself when nothing had happened."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import asyncpg

from windlass.errors import StoreReadOnly, StoreUnavailable, WindlassError
from windlass.store.postgres.address import Address
from windlass.store.postgres.bell import Bell
from windlass.store.postgres.connection import Connection
from windlass.store.postgres.faults import AGAIN, sqlstate, translate
from windlass.store.postgres.pool import Pool
from windlass.store.postgres.rations import Ration
from windlass.store.postgres.statements import quoted, statements

T = TypeVar("T")
TRIES = 8
DRIVER_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
    UnicodeEncodeError,
)


class _Cut(Exception):
    """The connection was gone before anything was committed on it."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


class Database:
    """One handle's connections and statements; for one event loop."""

    def __init__(self, address: Address, schema: str) -> None:
        self.address = address
        self.schema = schema
        self.sql: Mapping[str, str] = statements(schema)
        self.pool = Pool(address)
        self.bell = Bell(address, schema)
        self.promoted = Ration()

    def table(self, name: str) -> str:
        """A table's name with its schema, for statements that are built."""
        return f"{quoted(self.schema)}.{name}"

    async def run(self, work: Callable[[Connection], Awaitable[T]], *, repeatable: bool = False) -> T:
        """`work` on a connection, in one statement or a transaction of its own: made again after a deadlock. `repeatable`:
        also when the connection breaks, once, because a connection that lay idle may have been cut unnoticed.
        Other errors come as store errors."""
        for attempt in range(TRIES):
            try:
                async with self.pool.use() as connection:
                    return await work(connection)
            except (WindlassError, asyncpg.UniqueViolationError):
                raise
            except _Cut as cut:
                if attempt:
                    raise translate(cut.error, self.address.shown) from cut.error
                self.pool.forget()
            except DRIVER_ERRORS as error:
                if attempt + 1 < TRIES and _again(error):
                    await asyncio.sleep(random.uniform(0, 0.002 * 2**attempt))
                    continue
                known = translate(error, self.address.shown)
                if isinstance(known, (StoreUnavailable, StoreReadOnly)):
                    self.pool.forget()
                if attempt or not repeatable or not isinstance(known, StoreUnavailable):
                    raise known from error
        raise AssertionError("the last try returns or raises")

    async def write(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """`work` in a transaction. If it loses its connection before the commit, nothing has happened and another is tried."""

        async def inside(connection: Connection) -> T:
            transaction = connection.transaction()
            try:
                await transaction.start()
            except DRIVER_ERRORS as error:
                raise _Cut(error) from error
            try:
                told = await work(connection)
            except BaseException as error:
                if not connection.is_closed():
                    # A rollback that fails (the pool then drops the connection) must not hide why it was asked for.
                    with contextlib.suppress(*DRIVER_ERRORS):
                        await transaction.rollback()
                elif isinstance(error, DRIVER_ERRORS):
                    raise _Cut(error) from error
                raise
            await transaction.commit()
            return told

        return await self.run(inside)

    # One statement each, of verbs that may be repeated as they are.

    async def rows(self, name: str, *args: Any) -> list[Any]:
        return await self.run(lambda connection: connection.fetch(self.sql[name], *args), repeatable=True)

    async def row(self, name: str, *args: Any) -> Any:
        return await self.run(lambda connection: connection.fetchrow(self.sql[name], *args), repeatable=True)

    async def value(self, name: str, *args: Any) -> Any:
        return await self.run(lambda connection: connection.fetchval(self.sql[name], *args), repeatable=True)

    async def close(self) -> None:
        await self.bell.close()
        await self.pool.close()


def _again(error: BaseException) -> bool:
    if isinstance(error, (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError)):
        return True
    return sqlstate(error) in AGAIN
