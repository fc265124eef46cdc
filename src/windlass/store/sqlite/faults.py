"""What SQLite's errors mean for a caller of the store."""

import errno

import apsw

from windlass.errors import StoreError, StoreFull, StoreReadOnly, StoreUnavailable


def translate(error: apsw.Error, place: str) -> StoreError:
    """The store error of an apsw error; `place` names the database."""
    text = str(error)
    if isinstance(error, apsw.FullError) or _out_of_space(error):
        return StoreFull(f"no space left for {place}: {text}", url=place, mend="free space; nothing was half written")
    if isinstance(error, apsw.ReadOnlyError):
        return StoreReadOnly(f"{place} cannot be written: {text}", url=place, mend="check the file's permissions")
    if isinstance(error, (apsw.BusyError, apsw.LockedError)):
        return StoreUnavailable(
            f"{place} is locked by another process: {text}", url=place, mend="find what holds a long transaction open"
        )
    if isinstance(error, apsw.CantOpenError):
        return StoreUnavailable(
            f"{place} cannot be opened: {text}", url=place, mend="check that the folder exists and may be written"
        )
    if isinstance(error, (apsw.NotADBError, apsw.CorruptError)):
        return StoreError(
            f"{place} is not a sound SQLite database: {text}",
            url=place,
            mend="restore it from a backup or name another",
        )
    if isinstance(error, (apsw.IOError, apsw.PermissionsError, apsw.ProtocolError, apsw.NoMemError)):
        return StoreUnavailable(f"{place} failed: {text}", url=place, mend="check the disk and the file's permissions")
    return StoreError(f"{place}: {text}", url=place)


def _out_of_space(error: apsw.Error) -> bool:
    """Whether an I/O error is a full disk: growing the -shm file has a code of its own, other writes tell by errno."""
    if not isinstance(error, apsw.IOError):
        return False
    extended = getattr(error, "extendedresult", 0)
    return extended == apsw.SQLITE_IOERR_SHMSIZE or f"errno {errno.ENOSPC}" in str(error)
