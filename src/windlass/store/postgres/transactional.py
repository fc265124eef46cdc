"""Enqueue inside a user's transaction: one statement on the user's own connection, whatever driver it is.

The jobs exist if and only if the user commits. Nothing of ours waits for that transaction, and it waits for nobody but another
open transaction that took the same unique key (two seconds at most).
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from windlass.errors import SettingsError, WindlassError
from windlass.job import Enqueued, NewJob
from windlass.store.postgres.address import check_namespace
from windlass.store.postgres.bell import channel
from windlass.store.postgres.faults import translate
from windlass.store.postgres.produce import TYPES, answers, arrays, check_size
from windlass.store.postgres.statements import quoted

_PLACE = "the transaction's database"
_KNOWN = "asyncpg, psycopg, psycopg2, SQLAlchemy or Django"


async def enqueue_on(connection: Any, jobs: Sequence[NewJob[Any]], namespace: str = "windlass") -> list[Enqueued]:
    """On an async connection: asyncpg's, psycopg's AsyncConnection, SQLAlchemy's AsyncConnection or AsyncSession.

    `StoreUnavailable` when a unique key is held by another open transaction, `UnknownParent`, `SchemaMismatch`.
    """
    if not jobs:
        return []
    run = _async_runner(connection)
    check_size(jobs)
    try:
        rows = await run(connection, namespace, [*arrays(jobs), True, channel(namespace, "ready")])
    except Exception as error:
        raise _explained(error) from error
    return answers(jobs, rows)


def enqueue_on_sync(connection: Any, jobs: Sequence[NewJob[Any]], namespace: str = "windlass") -> list[Enqueued]:
    """On a blocking connection: psycopg's, psycopg2's, SQLAlchemy's Connection or Session, `django.db.connection`."""
    if not jobs:
        return []
    run = _sync_runner(connection)
    check_size(jobs)
    try:
        rows = run(connection, namespace, [*arrays(jobs), True, channel(namespace, "ready")])
    except Exception as error:
        raise _explained(error) from error
    return answers(jobs, rows)


def _explained(error: Exception) -> Exception:
    return error if isinstance(error, WindlassError) else translate(error, _PLACE)


def _statement(namespace: str, place: Callable[[int], str]) -> str:
    """The call, with `place(n)` for the n-th parameter (from 1); every one is cast, because drivers guess types by value."""
    given = [f"CAST({place(n)} AS {kind}[])" for n, kind in enumerate(TYPES, 1)]
    given += [f"CAST({place(len(TYPES) + 1)} AS boolean)", f"CAST({place(len(TYPES) + 2)} AS text)"]
    return f"SELECT n, id, outcome FROM {quoted(check_namespace(namespace))}.enqueue({', '.join(given)})"


def _libraries(connection: object) -> set[str]:
    return {cls.__module__.partition(".")[0] for cls in type(connection).__mro__}


def _is(connection: object, *names: str) -> bool:
    return any(cls.__name__ in names for cls in type(connection).__mro__)


# async


def _async_runner(connection: Any) -> Callable[[Any, str, list[Any]], Awaitable[Sequence[Any]]]:
    libraries = _libraries(connection)
    if "asyncpg" in libraries:
        return _on_asyncpg
    if "sqlalchemy" in libraries and _is(connection, "AsyncConnection", "AsyncSession"):
        return _on_async_sqlalchemy
    if "psycopg" in libraries and _is(connection, "AsyncConnection"):
        return _on_async_psycopg
    raise _unknown(connection, "async")


async def _on_asyncpg(connection: Any, namespace: str, values: list[Any]) -> Sequence[Any]:
    return await connection.fetch(_statement(namespace, lambda n: f"${n}"), *values)


async def _on_async_psycopg(connection: Any, namespace: str, values: list[Any]) -> Sequence[Any]:
    async with connection.cursor(row_factory=_tuples()) as cursor:
        await cursor.execute(_statement(namespace, lambda _: "%s"), values)
        return await cursor.fetchall()


async def _on_async_sqlalchemy(connection: Any, namespace: str, values: list[Any]) -> Sequence[Any]:
    statement, named = _sqlalchemy(namespace, values)
    return (await connection.execute(statement, named)).fetchall()


# blocking


def _sync_runner(connection: Any) -> Callable[[Any, str, list[Any]], Sequence[Any]]:
    libraries = _libraries(connection)
    if "sqlalchemy" in libraries and not _is(connection, "AsyncConnection", "AsyncSession"):
        return _on_sqlalchemy
    if "psycopg" in libraries and not _is(connection, "AsyncConnection"):
        return _on_psycopg
    if "psycopg2" in libraries or "django" in libraries:
        return _on_cursor
    raise _unknown(connection, "blocking")


def _on_psycopg(connection: Any, namespace: str, values: list[Any]) -> Sequence[Any]:
    with connection.cursor(row_factory=_tuples()) as cursor:
        cursor.execute(_statement(namespace, lambda _: "%s"), values)
        return cursor.fetchall()


def _on_cursor(connection: Any, namespace: str, values: list[Any]) -> Sequence[Any]:
    with connection.cursor() as cursor:
        cursor.execute(_statement(namespace, lambda _: "%s"), values)
        return [_row(row) for row in cursor.fetchall()]


def _on_sqlalchemy(connection: Any, namespace: str, values: list[Any]) -> Sequence[Any]:
    statement, named = _sqlalchemy(namespace, values)
    return connection.execute(statement, named).fetchall()


def _sqlalchemy(namespace: str, values: list[Any]) -> tuple[Any, dict[str, Any]]:
    from sqlalchemy import text

    return text(_statement(namespace, lambda n: f":p{n}")), {f"p{n}": value for n, value in enumerate(values, 1)}


def _tuples() -> Any:
    """Rows as tuples, whatever the user's connection makes of them."""
    from psycopg.rows import tuple_row

    return tuple_row


def _row(row: Any) -> tuple[int, str, str]:
    """A row of a cursor whose factory may give mappings (psycopg2's DictCursor gives both)."""
    if isinstance(row, dict):
        fields = cast(dict[str, Any], row)
        return fields["n"], fields["id"], fields["outcome"]
    return row[0], row[1], row[2]


def _unknown(connection: object, how: str) -> SettingsError:
    kind = f"{type(connection).__module__}.{type(connection).__qualname__}"
    return SettingsError(
        f"cannot enqueue on a {kind}: it is no {how} connection of {_KNOWN}", field="connection", value=kind
    )
