"""Durations and times: what users write, and the integers the stores keep.

Inside Windlass a duration is seconds (float) and an instant is `Micros`: whole microseconds since 1970 UTC
(1.8e15 today, below 2**53, so JSON, Lua and SQLite all keep it exactly).
"""

import math
import re
import time
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from windlass.errors import InvalidOption

Duration: TypeAlias = timedelta | float | str
Micros: TypeAlias = int

SECOND: Micros = 1_000_000
FOREVER = 100 * 365 * 86_400.0
"""The longest duration accepted, in seconds: a hundred years."""
END_OF_TIME: Micros = 2**53 - 1
"""When nothing else is set, such as for a job that waits for a signal without a limit: in the year 2255."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
_TEXT = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")
_WHOLE = re.compile(r"\s*(?:\d+(?:\.\d+)?\s*(?:ms|s|m|h|d|w)\s*)+")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_SHOWN = 100
"""Characters of a refused value that an error shows."""


def seconds(value: Duration, field: str = "duration", *, minimum: float = 0.0) -> float:
    """Seconds of `timedelta`, a number of seconds, or text such as `"250ms"`, `"30s"`, `"1h30m"`.

    Raises `InvalidOption` naming `field` for anything else, for NaN, and outside `minimum`..100 years.
    """
    if isinstance(value, timedelta):
        number = value.total_seconds()
    elif isinstance(value, bool):
        raise _bad(field, value)
    elif isinstance(value, (int, float)):
        number = _float(value)
    elif _WHOLE.fullmatch(str(value)):
        number = sum(float(n) * _UNITS[unit] for n, unit in _TEXT.findall(str(value)))
    else:
        raise _bad(field, value)
    if not minimum <= number <= FOREVER:
        shown = repr(value)[:_LONGEST_SHOWN]
        raise InvalidOption(
            f"{field} is {shown}; it must be between {minimum:g} seconds and 100 years",
            field=field,
            value=shown,
            limit=f"{minimum:g}s..36500d",
            mend="give a duration in that range",
        )
    return number


def micros(value: Duration, field: str = "duration", *, minimum: float = 0.0) -> Micros:
    """The same as `seconds`, in whole microseconds."""
    return round(seconds(value, field, minimum=minimum) * SECOND)


def instant(value: datetime, field: str = "time") -> Micros:
    """Microseconds since 1970 of an aware datetime; a naive one is refused."""
    if not isinstance(value, datetime) or value.tzinfo is None:  # pyright: ignore[reportUnnecessaryIsInstance]
        shown = repr(value)[:_LONGEST_SHOWN]
        raise InvalidOption(
            f"{field} is {shown}; it must be a datetime with a time zone",
            field=field,
            value=shown,
            limit="aware datetime",
            mend="use datetime.now(UTC) or add tzinfo=",
        )
    return (value - _EPOCH) // timedelta(microseconds=1)


def job_time(value: datetime, field: str = "time") -> Micros:
    """`instant` for a time that a store keeps: one before 1970 is long past all the same, one after `END_OF_TIME` never comes,
    and `datetime.min` and `datetime.max` are beyond what every engine can hold. (Never 0: engines look for times above it.)"""
    return min(max(instant(value, field), 1), END_OF_TIME)


def moment(at: Micros) -> datetime:
    """The aware UTC datetime of an instant."""
    return _EPOCH + timedelta(microseconds=at)


def host_now() -> Micros:
    """This machine's clock. Stores that have a clock of their own never call it."""
    return time.time_ns() // 1_000


def span_text(seconds: float) -> str:
    """Seconds for people: `0.4 s`, `12 s`, `3.5 min`, `5 min`, `2 h`, `4.1 d`."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{_short(seconds / size)} {unit}"
    return f"{_short(seconds) if seconds < 10 else format(seconds, '.0f')} s"


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer beyond any float: out of range, like infinity
        return math.inf


def _bad(field: str, value: object) -> InvalidOption:
    shown = repr(value)[:_LONGEST_SHOWN]
    return InvalidOption(
        f"{field} is {shown}; it must be a timedelta, seconds, or text such as '250ms', '30s', '5m', '2h', '7d'",
        field=field,
        value=shown,
        limit="duration",
        mend="write it as '5m' or timedelta(minutes=5)",
    )
