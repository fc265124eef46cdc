"""Schema versions: numbered steps, upwards only, each in one transaction with its record."""

import re
from functools import cache
from importlib import resources
from typing import NamedTuple

from windlass.errors import SchemaMismatch
from windlass.store.sqlite.address import TABLES, names
from windlass.store.sqlite.connection import Connection
from windlass.store.sqlite.statements import CROWDED, ERROR_FINGERPRINT, PACKAGE
from windlass.store.statement import fill, load
from windlass.values.clock import host_now

_FILE = re.compile(r"(\d{4})_(\w+)\.sql")


class Step(NamedTuple):
    """`breaking`: code that knows only older versions must not touch the schema after this step."""

    version: int
    name: str
    breaking: bool
    text: str


@cache
def steps() -> tuple[Step, ...]:
    found: list[Step] = []
    for file in sorted(each.name for each in resources.files(PACKAGE).joinpath("migrations").iterdir()):
        named = _FILE.fullmatch(file)
        if named:
            text = load(PACKAGE, f"migrations/{file}")
            found.append(Step(int(named[1]), named[2], "breaking: yes" in text.partition("\n")[0], text))
    return tuple(found)


def known() -> int:
    """The version that this code writes."""
    return steps()[-1].version


def found(connection: Connection, namespace: str) -> int:
    """The version that the database has; 0 when it has none of our tables."""
    table = names(namespace)["migration"]
    if not connection.table_exists("main", f"{namespace}_migration"):
        return 0
    return int(connection.execute(f"select coalesce(max(version), 0) from {table}").fetchall()[0][0])


def check(connection: Connection, namespace: str) -> None:
    """Raises `SchemaMismatch` when a newer version has made a breaking change."""
    version = found(connection, namespace)
    if version <= known():
        return
    table = names(namespace)["migration"]
    breaking = connection.execute(f"select max(version) from {table} where breaking = 1").fetchall()[0][0]
    if breaking is not None and breaking > known():
        raise SchemaMismatch(
            f"the database has schema version {version}, this version of Windlass knows up to {known()}",
            found=version,
            known=known(),
            mend="upgrade Windlass: pip install -U windlass",
        )


def migrate(connection: Connection, namespace: str) -> list[str]:
    """Take the missing steps; their names. Two processes that do it at once: the second finds nothing to do."""
    check(connection, namespace)
    if found(connection, namespace) >= known():
        return []
    tables = names(namespace)
    connection.execute("begin immediate")
    try:
        connection.execute(
            f"create table if not exists {tables['migration']} (version integer primary key, name text not null, "
            "breaking integer not null, applied_at integer not null)"
        )
        version = found(connection, namespace)
        missing = [step for step in steps() if step.version > version]
        for step in missing:
            connection.execute(fill(step.text, error_fingerprint=ERROR_FINGERPRINT, crowded=str(CROWDED), **tables))
            connection.execute(
                f"insert into {tables['migration']} (version, name, breaking, applied_at) values (?, ?, ?, ?)",
                (step.version, step.name, step.breaking, host_now()),
            )
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise
    return [f"{step.version:04d}_{step.name}" for step in missing]


def drop(connection: Connection, namespace: str) -> None:
    """Remove every table of a namespace, inside a transaction."""
    for table in TABLES:
        connection.execute(f"drop table if exists {names(namespace)[table]}")
