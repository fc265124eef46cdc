"""Opening SQLite connections with the settings that every one of ours has."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast

import apsw

from windlass.store.sqlite.address import Address

Row: TypeAlias = tuple[Any, ...]


class Cursor(Protocol):
    """The part of an apsw cursor that we use; apsw's own stub leaves row values partly unknown to a strict checker."""

    def __iter__(self) -> Iterator[Row]: ...
    def fetchall(self) -> list[Row]: ...
    def fetchone(self) -> Row | None: ...


class Connection(Protocol):
    """The part of an apsw connection that we use."""

    @property
    def in_transaction(self) -> bool: ...
    def execute(self, statements: str, bindings: Sequence[Any] | Mapping[str, Any] = ()) -> Cursor: ...
    def executemany(self, statements: str, sequenceofbindings: Iterable[Sequence[Any]]) -> Cursor: ...
    def changes(self) -> int: ...
    def last_insert_rowid(self) -> int: ...
    def readonly(self, name: str) -> bool: ...
    def table_exists(self, dbname: str | None, table_name: str) -> bool: ...
    def set_busy_timeout(self, milliseconds: int) -> None: ...
    def set_busy_handler(self, callable: Callable[[int], bool] | None) -> None: ...
    def set_commit_hook(self, callable: Callable[[], bool] | None) -> None: ...
    def set_progress_handler(self, callable: Callable[[], bool] | None, nsteps: int = 100) -> None: ...
    def set_wal_hook(self, callable: Callable[[Any, str, int], int] | None) -> None: ...
    def wal_autocheckpoint(self, n: int) -> None: ...
    def wal_checkpoint(self, dbname: str | None = None, mode: int = 0) -> tuple[int, int]: ...
    def close(self) -> None: ...


_STATEMENTS = 1_024
"""Prepared statements kept per connection. apsw forgets what was not used in so many executions, however few statements
there are, and a claim over lines may run several hundred."""


def connect(address: Address, *, reads: bool = False) -> Connection:
    """A connection in WAL mode. Checkpoints are left to the checkpointer. Raises apsw errors."""
    if address.path is None:
        connection = attach(":memory:")
        connection.execute("pragma temp_store = memory")
        return connection
    connection = attach(address.path)
    try:
        connection.set_busy_timeout(5_000)
        connection.execute("pragma temp_store = memory")
        if connection.readonly("main"):
            return connection
        _enter_wal(connection)
        connection.execute(f"pragma synchronous = {address.synchronous}")
        connection.wal_autocheckpoint(0)
        if reads:
            connection.execute("pragma query_only = on")
        else:
            connection.execute(f"pragma cache_size = {-1024 * address.cache}")
    except BaseException:
        connection.close()
        raise
    return connection


def attach(path: str) -> Connection:
    """A bare connection."""
    return cast("Connection", apsw.Connection(path, statementcachesize=_STATEMENTS))


def _enter_wal(connection: Connection) -> None:
    """Two processes that turn a new file to WAL at once: one is told "busy" without the busy handler being asked."""
    deadline = time.monotonic() + 10
    while True:
        try:
            connection.execute("pragma journal_mode = wal").fetchall()
            return
        except apsw.BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.002)


def free_of(connection: Connection) -> tuple[int, int]:
    """Bytes of the file's free pages, and of all."""
    (free,), (pages,), (each,) = [
        connection.execute(f"pragma {name}").fetchall()[0] for name in ("freelist_count", "page_count", "page_size")
    ]
    return free * each, pages * each


def size_of(path: str) -> int:
    """Bytes on disk: the database and its write-ahead log."""
    total = 0
    for file in (Path(path), Path(path + "-wal")):
        try:
            total += file.stat().st_size
        except FileNotFoundError:
            continue
    return total
