"""Open transactions on PostgreSQL by the libraries that people use, each with the same three verbs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any, NamedTuple

import asyncpg
import psycopg
import psycopg2
import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from tests.store.places import postgres_server as postgres

Way = tuple[Any, Callable[[], Any], Callable[[], Any]]


class Open(NamedTuple):
    """A transaction: `call` runs a function where the connection may be used; the rest is awaitable for every driver."""

    connection: Any
    is_async: bool
    call: Callable[..., Awaitable[Any]]
    commit: Callable[[], Awaitable[Any]]
    rollback: Callable[[], Awaitable[Any]]


def url(driver: str = "") -> str:
    return postgres().url.replace("postgresql://", f"postgresql{driver}://")


@asynccontextmanager
async def on_asyncpg() -> AsyncIterator[Way]:
    connection = await asyncpg.connect(url())

    async def end(how: str) -> None:
        await connection.execute(f"{how} AND CHAIN")

    await connection.execute("BEGIN")
    try:
        yield connection, lambda: end("COMMIT"), lambda: end("ROLLBACK")
    finally:
        await connection.close()


@asynccontextmanager
async def on_async_psycopg() -> AsyncIterator[Way]:
    async with await psycopg.AsyncConnection.connect(url()) as connection:
        yield connection, connection.commit, connection.rollback


@asynccontextmanager
async def on_async_sqlalchemy(driver: str) -> AsyncIterator[Way]:
    engine = create_async_engine(url(driver))
    async with engine.connect() as connection:
        yield connection, connection.commit, connection.rollback
    await engine.dispose()


@asynccontextmanager
async def on_async_session() -> AsyncIterator[Way]:
    engine = create_async_engine(url("+asyncpg"))
    async with AsyncSession(engine) as session:
        yield session, session.commit, session.rollback
    await engine.dispose()


@contextmanager
def on_psycopg(**options: Any) -> Iterator[Way]:
    with psycopg.connect(url(), **options) as connection:
        yield connection, connection.commit, connection.rollback


@contextmanager
def on_psycopg2() -> Iterator[Way]:
    connection = psycopg2.connect(url())
    yield connection, connection.commit, connection.rollback
    connection.close()


@contextmanager
def on_sqlalchemy(driver: str) -> Iterator[Way]:
    engine = sqlalchemy.create_engine(url(driver))
    with engine.connect() as connection:
        yield connection, connection.commit, connection.rollback
    engine.dispose()


@contextmanager
def on_session() -> Iterator[Way]:
    engine = sqlalchemy.create_engine(url("+psycopg"))
    with Session(engine) as session:
        yield session, session.commit, session.rollback
    engine.dispose()


@contextmanager
def on_django() -> Iterator[Way]:
    import django
    from django.conf import settings

    server = postgres()
    if not settings.configured:
        database = {"ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": "postgres"}
        settings.configure(DATABASES={"default": {**database, "HOST": "127.0.0.1", "PORT": server.port}})
        django.setup()
    from django.db import connection

    connection.set_autocommit(False)
    yield connection, connection.commit, connection.rollback
    connection.close()


ASYNC: dict[str, Callable[[], AbstractAsyncContextManager[Way]]] = {
    "asyncpg": on_asyncpg,
    "psycopg async": on_async_psycopg,
    "SQLAlchemy async, asyncpg": lambda: on_async_sqlalchemy("+asyncpg"),
    "SQLAlchemy async, psycopg": lambda: on_async_sqlalchemy("+psycopg"),
    "SQLAlchemy AsyncSession": on_async_session,
}
SYNC: dict[str, Callable[[], AbstractContextManager[Way]]] = {
    "psycopg": on_psycopg,
    "psycopg with dict rows": lambda: on_psycopg(row_factory=psycopg.rows.dict_row),
    "psycopg2": on_psycopg2,
    "SQLAlchemy, psycopg": lambda: on_sqlalchemy("+psycopg"),
    "SQLAlchemy, psycopg2": lambda: on_sqlalchemy("+psycopg2"),
    "SQLAlchemy Session": on_session,
    "Django": on_django,
}


@asynccontextmanager
async def transaction(driver: str) -> AsyncIterator[Open]:
    """An open transaction of a driver. A blocking one lives in a thread without an event loop."""
    if driver in ASYNC:
        async with ASYNC[driver]() as (connection, commit, rollback):

            async def here(call: Callable[..., Any], *args: Any) -> Any:
                return await call(*args)

            yield Open(connection, True, here, commit, rollback)
        return
    with ThreadPoolExecutor(1) as thread:

        async def there(call: Callable[..., Any], *args: Any) -> Any:
            return await asyncio.get_running_loop().run_in_executor(thread, call, *args)

        context = SYNC[driver]()
        connection, commit, rollback = await there(context.__enter__)
        try:
            yield Open(connection, False, there, lambda: there(commit), lambda: there(rollback))
        finally:
            await there(context.__exit__, None, None, None)
