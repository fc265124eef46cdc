"""Where each engine's stores live during tests; the only file here that knows engines by name.

`WINDLASS_TEST_ENGINES` picks engines (comma list of ids); by default all run.
"""

import atexit
import functools
import itertools
import os
import shutil
import time
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import apsw
import asyncpg
import psycopg
import pytest
import redis.asyncio as redis_client

from tests.servers import PostgresServer, RedisServer
from tests.store.kit import Place
from windlass.store.postgres import migrate
from windlass.store.postgres.statements import statements

ENGINES = ("sqlite-file", "sqlite-memory", "redis", "postgres")

_numbers = itertools.count(1)


def chosen_engines(*, processes: bool = False) -> list[str]:
    """The engines to test on; with `processes` only those that several processes reach."""
    chosen = [name.strip() for name in os.environ.get("WINDLASS_TEST_ENGINES", "").split(",") if name.strip()]
    unknown = sorted(set(chosen) - set(ENGINES))
    if unknown:
        raise pytest.UsageError(f"WINDLASS_TEST_ENGINES names {unknown}; there are {sorted(ENGINES)}")
    return [name for name in chosen or ENGINES if not (processes and name == "sqlite-memory")]


SCALE = float(os.environ.get("WINDLASS_TEST_SCALE", "1"))


def a_file_and_a_server(module: str) -> list[str]:
    """For tests of what stands on the store and knows no engine, such as the command line: SQLite and one server's engine, which
    one differs from module to module. All in the soak. That engines do the same is told by `tests/store`."""
    engines = chosen_engines(processes=True)
    servers = [name for name in engines if not name.startswith("sqlite")]
    if SCALE > 1 or len(servers) < 2:
        return engines
    theirs = servers[zlib.crc32(module.encode()) % len(servers)]
    return [name for name in engines if name == theirs or name not in servers]


def in_turns(everywhere: Sequence[str], in_turn: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Pairs of an engine that processes reach and a variant: the first ones on every engine, of the others one after the other on
    the next engine, as what they vary is above the store. All on all in the soak."""
    engines = chosen_engines(processes=True)
    if SCALE > 1:
        everywhere, in_turn = [*everywhere, *in_turn], ()
    pairs = [(engine, variant) for engine in engines for variant in everywhere]
    return pairs + list(zip(itertools.cycle(engines), in_turn, strict=False))


def _fresh_namespace() -> str:
    # One database may serve several pytest processes when a server was given from outside. The end keeps one test's namespace
    # from being another's that a test makes by adding or taking away a character.
    return f"t{os.getpid()}x{next(_numbers)}y"


@contextmanager
def place_for(engine: str) -> Iterator[Place]:
    """A place that nothing else uses, where no jobs have been."""
    if engine == "sqlite-file":
        with TemporaryDirectory(prefix="windlass-test-", dir=_fast_folder()) as folder:
            yield Place(f"sqlite:///{Path(folder) / 'jobs.db'}", "windlass", crosses_processes=True)
    elif engine == "sqlite-memory":
        yield Place("sqlite://:memory:", "windlass", crosses_processes=False)
    elif engine == "redis":
        yield Place(redis_server().url, _fresh_namespace(), crosses_processes=True)
    else:
        with _schema() as namespace:
            yield Place(postgres_server().url, namespace, crosses_processes=True)


@contextmanager
def bare_place_for(engine: str) -> Iterator[Place]:
    """The same for tests that look whether anything has been made there: not even a schema has."""
    if engine != "postgres":
        with place_for(engine) as place:
            yield place
        return
    yield Place(postgres_server().url, _fresh_namespace(), crosses_processes=True)


ROOM = 1 << 30
"""Bytes that a file system in memory must have free, for the largest stores of tests run side by side."""


@functools.cache
def _fast_folder() -> str | None:
    """A folder in memory where there is one: a disk takes longer to sync a commit than most tests take. What a process has
    written survives its kill in either."""
    folder = Path("/dev/shm")
    if not (folder.is_dir() and os.access(folder, os.W_OK)) or shutil.disk_usage(folder).free < ROOM:
        return None
    return str(folder)


@contextmanager
def _schema() -> Iterator[str]:
    """A PostgreSQL schema. Making one takes longer than most tests, so it is emptied and used again where nobody was left
    behind who may still use it."""
    before = _sessions()
    namespace = _empty_schemas.pop() if _empty_schemas else _fresh_namespace()
    yield namespace
    if _gone(before) and _empty(namespace):
        _empty_schemas.append(namespace)


def _sessions() -> set[int]:
    """The server processes of everybody else who is connected."""
    rows = _connection().execute(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    return {pid for (pid,) in rows}


def _gone(before: set[int]) -> bool:
    """Whether all who came since then have left; those just closing get a moment."""
    end = time.monotonic() + 0.5
    while _sessions() - before:
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


_empty_schemas: list[str] = []
_CONTENTS = """
SELECT c.oid::regclass::text, c.relkind = 'S', pg_relation_size(c.oid) > 1000000
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname <> 'migration' AND c.relkind IN ('r', 'S')
ORDER BY 1
"""


def _empty(schema: str) -> bool:
    """Make a schema as it was when its migration had run; False where a test has left it in no state for that."""
    sql = statements(schema)
    run_the_clock = sql["clock.clock"].replace("{reading}", sql["clock.real"])
    database = _connection()
    try:
        newest = database.execute(f'SELECT max(version) FROM "{schema}".migration').fetchone()
        if newest != (migrate.known(),):
            return False  # a newer version's step may have left tables behind
        contents = database.execute(_CONTENTS, [schema], prepare=True).fetchall()
        big = [name for name, _, is_big in contents if is_big]
        if big:
            database.execute(f"TRUNCATE {', '.join(big)}")
        database.execute(_emptying(schema, tuple((name, counts) for name, counts, _ in contents)), prepare=True)
        database.execute(run_the_clock)
    except psycopg.Error:
        return False
    return True


@functools.cache
def _emptying(schema: str, contents: tuple[tuple[str, bool], ...]) -> str:
    """One statement, which the server plans once, for every table and sequence."""
    tables = [name for name, counts in contents if not counts]
    parts = [f"d{n} AS (DELETE FROM {name})" for n, name in enumerate(tables)]
    again = [f"setval('{name}', 1, false)" for name, counts in contents if counts]
    return f"WITH {', '.join(parts)} SELECT {', '.join(again) or '1'}"


@functools.cache
def _connection() -> psycopg.Connection:
    connection = psycopg.connect(postgres_server().url, autocommit=True, options="-c lock_timeout=2s")
    atexit.register(connection.close)
    return connection


@functools.cache
def redis_server() -> RedisServer:
    """This test process's Redis, started at its first use."""
    return RedisServer().start()


@functools.cache
def postgres_server() -> PostgresServer:
    """Without fsync, which only a crash of the machine would tell from one with it, and which is most of what commits cost."""
    return PostgresServer(fsync="off").start()


FUTURE = 999


async def make_future(engine: str, place: Place) -> bool:
    """Write into the store what a much newer version with a breaking schema would have; False where nobody else can write."""
    if engine == "sqlite-memory":
        return False  # a database in memory dies with the process whose code made it
    if engine == "sqlite-file":
        connection = apsw.Connection(place.url.removeprefix("sqlite:///"))
        connection.execute(f"insert into {place.namespace}_migration values ({FUTURE}, 'future', 1, 0)")
        connection.close()
    elif engine == "redis":
        async with redis_client.from_url(place.url) as client:
            await client.set(f"{{{place.namespace}}}:schema", FUTURE)
    else:
        connection = await asyncpg.connect(place.url)
        await connection.execute(
            f"insert into \"{place.namespace}\".migration (version, name, breaking) values ({FUTURE}, 'future', true)"
        )
        await connection.close()
    return True


@asynccontextmanager
async def transaction_of(engine: str, place: Place) -> AsyncIterator[Any]:
    """A transaction of a user's on the database of the store, for `enqueue_on`; None where there are none."""
    if engine.startswith("sqlite"):
        async with place.first.transaction() as transaction:
            yield transaction
    elif engine == "postgres":
        connection = await asyncpg.connect(place.url)
        try:
            async with connection.transaction():
                yield connection
        finally:
            await connection.close()
    else:
        yield None
