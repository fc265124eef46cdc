"""Enqueue inside a user's transaction: one statement on the user's own connection, whatever driver it is.

The jobs exist if and only if the user commits. Nothing of ours waits for that transaction, and it waits for nobody but another
open transaction that took the same unique key (two seconds at most).
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, cast
from weakref import WeakKeyDictionary

from windlass.errors import InvalidArgs, InvalidOption, SchemaMismatch, SettingsError, WindlassError
from windlass.store.postgres.address import check_namespace
from windlass.store.postgres.bell import channel
from windlass.store.postgres.faults import translate
from windlass.store.postgres.produce import TYPES, answers, arrays, check_size
from windlass.store.postgres.statements import quoted
from windlass.values.job import Enqueued, NewJob

_PLACE = "the transaction's database"
_KNOWN = "asyncpg, psycopg, psycopg2, SQLAlchemy or Django"
_HOME = """SELECT current_database() AS database, EXISTS (
    SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = '{namespace}' AND c.relname = 'migration'
) AS there"""
_BORN = "SELECT (extract(epoch FROM min(applied_at)) * 1000000)::bigint AS born FROM {schema}.migration"


class Home(NamedTuple):
    """Which store it is: the database's name, and when its schema was made (a copy under another name is another store)."""

    database: str
    born: int


class Joiner:
    """Enqueues of one store on connections of others. `home` is None until the store was opened."""

    def __init__(self, namespace: str, place: str) -> None:
        self._namespace = check_namespace(namespace)
        self._place = place
        self.home: Home | None = None
        self._seen: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()

    async def enqueue(self, connection: Any, jobs: Sequence[NewJob[Any]]) -> list[Enqueued]:
        """On any connection: asyncpg's, psycopg's AsyncConnection, SQLAlchemy's AsyncConnection or AsyncSession; a blocking
        one blocks, as the caller's own statements on it do."""
        if not jobs:
            return []
        run = _async_runner(connection)
        if run is None:
            return self.enqueue_sync(connection, jobs)
        values = _values(jobs, self._namespace)
        try:
            if not self._knows(connection):
                ((database, there),) = await run(connection, self._home_text(), [])
                born = (await run(connection, self._born_text(), []))[0][0] if there else None
                self._compare(connection, database, born)
            return answers(jobs, await run(connection, _call(self._namespace), values))
        except Exception as error:
            raise _explained(error) from error

    def enqueue_sync(self, connection: Any, jobs: Sequence[NewJob[Any]]) -> list[Enqueued]:
        """On a blocking connection: psycopg's, psycopg2's, SQLAlchemy's Connection or Session, `django.db.connection`."""
        if not jobs:
            return []
        run = _sync_runner(connection)
        values = _values(jobs, self._namespace)
        try:
            if not self._knows(connection):
                ((database, there),) = run(connection, self._home_text(), [])
                born = run(connection, self._born_text(), [])[0][0] if there else None
                self._compare(connection, database, born)
            return answers(jobs, run(connection, _call(self._namespace), values))
        except Exception as error:
            raise _explained(error) from error

    # A statement that fails would spoil the caller's transaction, so these two look before anything can.

    def _home_text(self) -> "_Text":
        return _plain(_HOME.replace("{namespace}", self._namespace))

    def _born_text(self) -> "_Text":
        return _plain(_BORN.replace("{schema}", quoted(self._namespace)))

    def _knows(self, connection: Any) -> bool:
        try:
            return _root(connection) in self._seen
        except TypeError:  # one that cannot be referred to weakly is looked at each time
            return False

    def _compare(self, connection: Any, database: str, born: int | None) -> None:
        if born is None:
            raise SchemaMismatch(
                f"the transaction's database {database!r} has no schema {self._namespace!r}",
                found=0,
                url=self._place,
                mend="enqueue on a connection to the database that holds the store, or run `windlass migrate up` there",
            )
        if self.home is not None and self.home != Home(database, int(born)):
            raise SettingsError(
                f"the transaction is on the database {database!r} with a store of its own; "
                f"this app's store is {self._place} (database {self.home.database!r})",
                field="connection",
                value=database,
                limit=self.home.database,
                mend="use a connection to the app's database, or give Windlass the URL of this one",
            )
        try:
            self._seen[_root(connection)] = True
        except TypeError:
            return


def _values(jobs: Sequence[NewJob[Any]], namespace: str) -> list[Any]:
    """What the statement takes. NUL is looked for here: drivers differ in how they refuse it, and some spoil the transaction."""
    check_size(jobs)
    values: list[Any] = [*arrays(jobs), True, channel(namespace, "ready")]
    for column in values[: len(TYPES)]:
        for text in column or ():
            if isinstance(text, str) and "\x00" in text:
                raise InvalidArgs(
                    "text that PostgreSQL cannot keep: it holds a NUL", field="args", mend="leave out NUL characters"
                )
    return values


def _root(connection: Any) -> Any:
    """What stays the same: a pool of asyncpg's hands out a new proxy each time."""
    if type(connection).__name__ == "PoolConnectionProxy":
        return connection._con
    return connection


def _explained(error: Exception) -> Exception:
    return error if isinstance(error, WindlassError) else translate(error, _PLACE)


_Text = Callable[[Callable[[int], str]], str]
"""A statement, given how a driver writes its n-th parameter."""


def _plain(text: str) -> _Text:
    return lambda _: text


def _call(namespace: str) -> _Text:
    return lambda place: _statement(namespace, place)


def _statement(namespace: str, place: Callable[[int], str]) -> str:
    """The call, with `place(n)` for the n-th parameter (from 1); every one is cast, because drivers guess types by value."""
    given = [f"CAST({place(n)} AS {kind}[])" for n, kind in enumerate(TYPES, 1)]
    given += [f"CAST({place(len(TYPES) + 1)} AS boolean)", f"CAST({place(len(TYPES) + 2)} AS text)"]
    return f"SELECT n, id, outcome FROM {quoted(namespace)}.enqueue({', '.join(given)})"


def _libraries(connection: object) -> set[str]:
    return {cls.__module__.partition(".")[0] for cls in type(connection).__mro__}


def _is(connection: object, *names: str) -> bool:
    return any(cls.__name__ in names for cls in type(connection).__mro__)


# async

_AsyncRun = Callable[[Any, _Text, list[Any]], Awaitable[Sequence[Any]]]
_SyncRun = Callable[[Any, _Text, list[Any]], Sequence[Any]]


def _async_runner(connection: Any) -> _AsyncRun | None:
    """None for a connection that is not async."""
    libraries = _libraries(connection)
    if "asyncpg" in libraries:
        return _on_asyncpg
    if "sqlalchemy" in libraries and _is(connection, *_SQLALCHEMY_ASYNC):
        return _on_async_sqlalchemy
    if "psycopg" in libraries and _is(connection, "AsyncConnection"):
        return _on_async_psycopg
    return None


async def _on_asyncpg(connection: Any, text: _Text, values: list[Any]) -> Sequence[Any]:
    return await connection.fetch(text(lambda n: f"${n}"), *values)


async def _on_async_psycopg(connection: Any, text: _Text, values: list[Any]) -> Sequence[Any]:
    async with connection.cursor(row_factory=_tuples()) as cursor:
        await cursor.execute(text(lambda _: "%s"), values or None)
        return await cursor.fetchall()


async def _on_async_sqlalchemy(connection: Any, text: _Text, values: list[Any]) -> Sequence[Any]:
    statement, named = _sqlalchemy(text, values)
    return (await connection.execute(statement, named)).fetchall()


# blocking

_SQLALCHEMY_ASYNC = ("AsyncConnection", "AsyncSession", "async_scoped_session")


def _sync_runner(connection: Any) -> _SyncRun:
    libraries = _libraries(connection)
    if _async_runner(connection) is not None:
        raise InvalidOption(
            f"connection is a {_kind(connection)}, which is async",
            field="connection",
            value=_kind(connection),
            limit="a blocking connection",
            mend="await handler.options(connection=...).enqueue(...) on it",
        )
    if "sqlalchemy" in libraries:
        return _on_sqlalchemy
    if "psycopg" in libraries:
        return _on_psycopg
    if "psycopg2" in libraries or "django" in libraries:
        return _on_cursor
    raise InvalidOption(
        f"cannot enqueue on a {_kind(connection)}: it is no connection of {_KNOWN}",
        field="connection",
        value=_kind(connection),
        limit=_KNOWN,
        mend="pass the connection or session whose transaction is open",
    )


def _on_psycopg(connection: Any, text: _Text, values: list[Any]) -> Sequence[Any]:
    with connection.cursor(row_factory=_tuples()) as cursor:
        cursor.execute(text(lambda _: "%s"), values or None)
        return cursor.fetchall()


def _on_cursor(connection: Any, text: _Text, values: list[Any]) -> Sequence[Any]:
    with connection.cursor() as cursor:
        cursor.execute(text(lambda _: "%s"), values or None)
        return [_row(row) for row in cursor.fetchall()]


def _on_sqlalchemy(connection: Any, text: _Text, values: list[Any]) -> Sequence[Any]:
    statement, named = _sqlalchemy(text, values)
    return connection.execute(statement, named).fetchall()


def _sqlalchemy(text: _Text, values: list[Any]) -> tuple[Any, dict[str, Any]]:
    from sqlalchemy import text as statement

    return statement(text(lambda n: f":p{n}")), {f"p{n}": value for n, value in enumerate(values, 1)}


def _tuples() -> Any:
    """Rows as tuples, whatever the user's connection makes of them."""
    from psycopg.rows import tuple_row

    return tuple_row


def _row(row: Any) -> tuple[Any, ...]:
    """A row of a cursor whose factory may give mappings, in the order of the columns."""
    return tuple(cast("dict[str, Any]", row).values()) if isinstance(row, dict) else tuple(row)


def _kind(connection: object) -> str:
    return f"{type(connection).__module__}.{type(connection).__qualname__}"
