"""What PostgreSQL's errors mean for a caller of the store, by SQLSTATE, whichever driver raised them."""

from typing import Any

from windlass.errors import (
    InvalidArgs,
    SchemaMismatch,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
    WindlassError,
)

AGAIN = frozenset({"40001", "40P01"})
"""Serialization failure and deadlock: nothing happened, the same call may be made again at once."""
PARTLY = "WL409"
"""Raised by the function `complete` when some lease is gone."""

_UNAVAILABLE = ("08", "57P", "53300", "53400", "55P03", "57014", "28", "3D000", "58", "XX")
_MISSING = frozenset({"42P01", "42883", "3F000", "42703"})


def sqlstate(error: BaseException) -> str:
    """The SQLSTATE of an asyncpg, psycopg, psycopg2, SQLAlchemy or Django error; empty when it has none."""
    seen: set[int] = set()
    link: Any = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        for name in ("sqlstate", "pgcode"):
            state = getattr(link, name, None)
            if isinstance(state, str):
                return state
        link = getattr(link, "orig", None) or link.__cause__
    return ""


def translate(error: BaseException, place: str) -> WindlassError:
    """The store error of a driver's error; `place` is the URL without its password."""
    state, text = sqlstate(error), str(error) or type(error).__name__
    facts = {"url": place, "sqlstate": state or None}
    if state == "53100":
        return StoreFull(f"no space left on {place}: {text}", mend="free space; nothing was half written", **facts)
    if state in ("25006", "57P05") or "read-only" in text:
        return StoreReadOnly(
            f"{place} refuses writes: {text}", mend="connect to the primary (target_session_attrs=read-write)", **facts
        )
    if state in _MISSING:
        return SchemaMismatch(
            f"the schema on {place} is not this version's: {text}", mend="run `windlass migrate up`", **facts
        )
    if state == "42501":
        return StoreError(f"{place} does not allow it: {text}", mend="grant the role what the message names", **facts)
    if state in ("22021", "22P05") or _unencodable(error):
        return InvalidArgs(
            f"text that PostgreSQL cannot keep: {text}", field="args", mend="leave out NUL and lone surrogates"
        )
    if _lost(error) or state.startswith(_UNAVAILABLE):
        return StoreUnavailable(f"{place} cannot be reached or is busy: {text}", mend="check the server", **facts)
    return StoreError(f"{place}: {text}", **facts)


def _unencodable(error: BaseException) -> bool:
    return isinstance(error, UnicodeEncodeError) or isinstance(error.__cause__, UnicodeEncodeError)


def _lost(error: BaseException) -> bool:
    return isinstance(error, (OSError, TimeoutError)) or type(error).__name__ in (
        "InterfaceError",
        "InternalClientError",
        "OperationalError",
    )
