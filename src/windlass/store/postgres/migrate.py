"""Numbered, up-only migrations of a schema, in one transaction under an advisory lock."""

from windlass.errors import SchemaMismatch
from windlass.store.postgres.connection import Connection
from windlass.store.postgres.statements import PACKAGE, filled, routines, statements
from windlass.store.statement import load

STEPS: tuple[tuple[str, bool], ...] = (
    ("0001_start", True),
    ("0002_operations", False),
    ("0003_fans", False),
    ("0004_past", False),
    ("0005_flags", False),
)
"""(file, breaking): workers that do not know a breaking step must stop; others may go on beside the new version."""


def known() -> int:
    return len(STEPS)


async def found(connection: Connection, schema: str) -> int:
    """The version of the schema; 0 when there is none."""
    # A look into the catalogue's tables, never to_regclass: that answers from a cache which a transaction that waited for the
    # advisory lock does not refresh, so of two that migrate at once the second would begin again.
    exists = (
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = $1 AND c.relname = 'migration')"
    )
    if not await connection.fetchval(exists, schema):
        return 0
    return await connection.fetchval(filled("SELECT coalesce(max(version), 0) FROM {schema}.migration", schema))


async def check(connection: Connection, schema: str, place: str) -> None:
    """Raises `SchemaMismatch` unless this code can work on the schema; an empty one is migrated."""
    version = await found(connection, schema)
    if version == 0:
        await migrate(connection, schema)
        return
    if version < known():
        raise SchemaMismatch(
            f"the schema {schema!r} on {place} is version {version}; this Windlass writes {known()}",
            found=version,
            known=known(),
            mend="run `windlass migrate up`",
        )
    if version > known():
        breaking = await connection.fetchval(
            filled("SELECT max(version) FROM {schema}.migration WHERE breaking", schema)
        )
        if breaking and breaking > known():
            raise SchemaMismatch(
                f"the schema {schema!r} on {place} is version {version}; this Windlass knows {known()}",
                found=version,
                known=known(),
                mend="upgrade windlass",
            )


async def migrate(connection: Connection, schema: str) -> list[str]:
    """Bring the schema to this version; the names of the steps taken. Two that run at once follow each other."""
    taken: list[str] = []
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"windlass migrate {schema}")
        version = await found(connection, schema)
        if version > known():
            return taken
        if version == 0:
            await _create(connection, schema)
        for number, (name, breaking) in enumerate(STEPS, 1):
            if number > version:
                await connection.execute(filled(load(PACKAGE, f"migrations/{name}.sql"), schema))
                await connection.execute(
                    filled("INSERT INTO {schema}.migration (version, name, breaking) VALUES ($1, $2, $3)", schema),
                    number,
                    name,
                    breaking,
                )
                taken.append(name)
        if taken:
            await set_clock(connection, schema, None)
        await connection.execute(routines(schema))
    return taken


async def _create(connection: Connection, schema: str) -> None:
    # A schema that an administrator made beforehand is taken: the role then needs no right to create one.
    exists = "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)"
    if not await connection.fetchval(exists, schema):
        await connection.execute(filled("CREATE SCHEMA {schema}", schema))
    await connection.execute(
        filled(
            "CREATE TABLE {schema}.migration (version integer PRIMARY KEY, name text NOT NULL, breaking boolean NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT clock_timestamp())",
            schema,
        )
    )


async def set_clock(connection: Connection, schema: str, at: int | None) -> None:
    """Let the schema's clock run, or hold it (tests only)."""
    sql = statements(schema)
    reading = sql["clock.real"] if at is None else f"{at}::bigint"
    await connection.execute(sql["clock.clock"].replace("{reading}", reading))


async def drop(connection: Connection, schema: str) -> None:
    """Remove the schema with everything in it, not while somebody migrates it."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"windlass migrate {schema}")
    await connection.execute(filled("DROP SCHEMA IF EXISTS {schema} CASCADE", schema))
