"""Moving the write-ahead log into the database from a thread of its own, so that no commit waits for a disk sync."""

import threading
import time

import apsw

from windlass.store.sqlite.address import Address
from windlass.store.sqlite.connection import Connection, attach
from windlass.store.sqlite.line import Line

PAGES = 4_000
"""Checkpoint when the log has grown by so many pages (16 MiB); below that once a second."""
MOST_PAGES = 16_000
"""A log longer than this is started over even if writers have to wait a moment (64 MiB)."""


class Checkpointer:
    """One per database file and process. A passive checkpoint disturbs nobody but cannot start the log over while writers
    keep coming; only past `MOST_PAGES`, or when nobody writes, writers are held off for that."""

    def __init__(self, address: Address, line: Line) -> None:
        self._line = line
        self._path = address.path or ""
        self._synchronous = address.synchronous
        self._written = threading.Event()
        self._many = threading.Event()
        self._closing = False
        self._due = PAGES
        self._thread = threading.Thread(target=self._work, name="windlass-checkpoint", daemon=True)
        self._thread.start()

    def wrote(self, pages: int) -> None:
        """After each commit: how many pages the log has."""
        if not self._written.is_set():
            self._written.set()
        if pages >= self._due and not self._many.is_set():
            self._many.set()

    def close(self) -> None:
        self._closing = True
        self._many.set()
        self._written.set()
        self._thread.join()

    def _work(self) -> None:
        connection: Connection | None = None
        while not self._closing:
            self._written.wait()
            self._many.wait(1.0)
            if self._closing:
                break
            self._written.clear()
            self._many.clear()
            try:
                connection = connection or self._connect()
                self._move(connection)
            except apsw.Error:
                # A full disk or a busy log: the pages stay in the log, nothing is lost, the next commit tries again.
                self._due += PAGES
        if connection is not None:
            connection.close()

    def _connect(self) -> Connection:
        connection = attach(self._path)
        connection.set_busy_handler(_wait_a_moment)
        connection.execute(f"pragma synchronous = {self._synchronous}")
        connection.wal_autocheckpoint(0)
        return connection

    def _move(self, connection: Connection) -> None:
        length, moved = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        if length > MOST_PAGES:
            self._start_over(connection, length - moved)
            moved = 0
        elif length == moved and length > PAGES and not self._written.is_set():
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            moved = 0
        self._due = moved + PAGES

    def _start_over(self, connection: Connection, rest: int) -> None:
        """Nobody can write while this goes on, so the bulk is moved before."""
        for _ in range(3):
            if rest <= PAGES:
                break
            length, moved = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            rest = length - moved
        with self._line.standing(self):
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)


def _wait_a_moment(tries: int) -> bool:
    """SQLite's own handler sleeps up to 100 ms at a time, and a busy writer's pauses are short."""
    time.sleep(0.0005)
    return tries < 200
