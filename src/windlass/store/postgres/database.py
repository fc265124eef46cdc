"""What the verbs run on: connections, statements, and what is done again by itself when nothing had happened."""

import asyncio
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
from windlass.store.postgres.statements import quoted, statements

T = TypeVar("T")
TRIES = 8
DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, UnicodeEncodeError)


class Database:
    """One handle's connections and statements; for one event loop."""

    def __init__(self, address: Address, schema: str) -> None:
        self.address = address
        self.schema = schema
        self.sql: Mapping[str, str] = statements(schema)
        self.pool = Pool(address)
        self.bell = Bell(address, schema)

    def table(self, name: str) -> str:
        """A table's name with its schema, for statements that are built."""
        return f"{quoted(self.schema)}.{name}"

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """`work` on a connection, in one statement or a transaction of its own, so that it may be made again after a
        deadlock, or when the connection had been lost before anything was sent. Other errors come as store errors."""
        for attempt in range(TRIES):
            try:
                async with self.pool.use() as connection:
                    return await work(connection)
            except (WindlassError, asyncpg.UniqueViolationError):
                raise
            except DRIVER_ERRORS as error:
                if attempt + 1 < TRIES and _again(error):
                    await asyncio.sleep(random.uniform(0, 0.002 * 2**attempt))
                    continue
                known = translate(error, self.address.shown)
                if isinstance(known, (StoreUnavailable, StoreReadOnly)):
                    self.pool.forget()
                raise known from error
        raise AssertionError("the last try returns or raises")

    async def write(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """`work` in a transaction."""

        async def inside(connection: Connection) -> T:
            async with connection.transaction():
                return await work(connection)

        return await self.run(inside)

    async def rows(self, name: str, *args: Any) -> list[Any]:
        return await self.run(lambda connection: connection.fetch(self.sql[name], *args))

    async def row(self, name: str, *args: Any) -> Any:
        return await self.run(lambda connection: connection.fetchrow(self.sql[name], *args))

    async def value(self, name: str, *args: Any) -> Any:
        return await self.run(lambda connection: connection.fetchval(self.sql[name], *args))

    async def close(self) -> None:
        await self.bell.close()
        await self.pool.close()


def _again(error: BaseException) -> bool:
    if isinstance(error, (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError)):
        return True
    return sqlstate(error) in AGAIN
