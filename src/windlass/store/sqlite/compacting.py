"""Giving the space that deleted jobs left in the file back to the disk."""

import time

import apsw

from windlass.store.sqlite.address import Address
from windlass.store.sqlite.connection import Connection, attach, free_of
from windlass.store.sqlite.faults import translate
from windlass.store.sqlite.transaction import View

_MUCH = 64 << 20
"""Bytes that are worth a word, if they are half of the file too."""


def compact(address: Address, place: str) -> None:
    """Write the file anew, without free pages. Others read meanwhile and wait with writes; blocks."""
    assert address.path is not None
    connection = attach(address.path)
    try:
        connection.set_busy_timeout(round(address.timeout * 1_000))
        connection.execute("pragma temp_store = file")  # the copy: as large as the jobs that are there
        connection.execute("vacuum")
        _empty_log(connection, address.timeout)
    except apsw.Error as error:
        raise translate(error, place) from error
    finally:
        connection.close()


def _empty_log(connection: Connection, timeout: float) -> None:
    """SQLite waits for readers and writers, but not for a worker's checkpoint. The file is written by then, so one that goes
    on and on is no failure: the log is that worker's to empty."""
    until = time.monotonic() + timeout
    while True:
        try:
            connection.wal_checkpoint(None, apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.BusyError:
            if time.monotonic() < until:
                time.sleep(0.005)
                continue
        return


def loose(view: View) -> list[str]:
    """What is to be said of free space in the file."""
    free, whole = free_of(view.db)
    if free < _MUCH or free * 2 < whole:
        return []
    said = f"{free >> 20:,} MiB of the file's {whole >> 20:,} MiB are free"
    return [f"{said}; new jobs fill them, or `windlass compact` gives them back to the disk"]
