"""Cron expressions in time zones: checked, and walked from one due time to the next.

An expression names wall-clock times. Two rules say what a change of the clock does to them:

- Hours are named (`30 2 * * *`, `0 */6 * * *`): each wall time fires once a day. One that a spring gap leaves out fires at
  the first instant after the gap; one that an autumn fold repeats fires at its first pass.
- Every hour is meant (`*/15 * * * *`): the schedule follows elapsed time, so it goes on through both passes of a repeated
  hour, and a gap leaves out nothing.

Walking is done on naive times (cronsim's own rules for zones differ for six fields, stars and half-hour changes).
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim

from windlass.errors import ScheduleError
from windlass.values.clock import SECOND, Micros, moment

Mark: TypeAlias = Literal["gap", "fold"]
Due: TypeAlias = tuple[Micros, Mark | None]
"""An instant, and whether a gap moved it or its wall time comes twice."""

NAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_LONGEST = 200
_EPOCH = datetime(1970, 1, 1)
_ANY = datetime(2000, 1, 1)
_DAY: Micros = 86_400 * SECOND
_LAST_YEAR = 9_900
"""Beyond it datetimes run out; nothing is due there."""


@lru_cache(maxsize=1024)
def read_cron(text: str) -> str:
    """The expression as it is kept: five fields, or six with seconds first. Raises `ScheduleError`."""
    plain = " ".join(text.split())
    plain = NAMES.get(plain.lower(), plain)
    if len(plain) > _LONGEST or plain.startswith("@"):
        raise _bad(text, f"at most {_LONGEST} characters, or one of {', '.join(NAMES)}")
    try:
        CronSim(plain, _ANY)
    except Exception as error:  # it also leaves assertions and type errors to odd expressions
        raise _bad(text, str(error) or "not an expression") from error
    if next(iter(CronSim(plain, _ANY)), None) is None:
        raise _bad(text, "it never fires")
    return plain


@lru_cache(maxsize=256)
def read_zone(name: str) -> tzinfo:
    """The zone of an IANA name; raises `ScheduleError`, with suggestions."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        from windlass.declare.suggest import did_you_mean

        raise ScheduleError(
            f"there is no time zone {name!r}{did_you_mean(name, available_timezones())}",
            field="timezone",
            value=name[:100],
            mend="use an IANA name such as 'Europe/Berlin'",
        ) from error


def due_times(cron: str, zone: tzinfo, after: Micros) -> Iterator[Due]:
    """The due times of a checked expression later than `after`, in order."""
    if every_hour(cron):
        return _elapsed(cron, zone, after)
    return _named(cron, zone, after)


@lru_cache(maxsize=1024)
def every_hour(cron: str) -> bool:
    """Whether the expression means every hour, so that it follows elapsed time."""
    return CronSim(cron, _ANY).hours.issuperset(range(24))


def _named(cron: str, zone: tzinfo, after: Micros) -> Iterator[Due]:
    """Each wall time at its first pass, or right after the gap it fell into. That mapping never runs backwards, so walking
    on from the wall time of `after` misses nothing; several wall times of one gap are one instant."""
    wall = _wall(after, zone)
    last = after
    for named in CronSim(cron, wall):
        if named.year > _LAST_YEAR:
            return
        local = named.replace(tzinfo=zone)
        before, behind = _offset_of(local), _offset_of(local.replace(fold=1))
        due = _micros(named) - before
        mark: Mark | None = None
        if behind > before:  # only in a gap is the offset behind the change the greater one
            due, mark = _change(zone, _micros(named) - behind, due), "gap"
        elif behind < before:
            mark = "fold"
        if due > last:
            yield due, mark
            last = due


def _elapsed(cron: str, zone: tzinfo, after: Micros) -> Iterator[Due]:
    """Every instant whose wall time matches: stretch by stretch of one offset."""
    start, offset, seen = after, _offset(zone, after), after
    while True:
        for named in CronSim(cron, _EPOCH + timedelta(microseconds=start + offset)):
            if named.year > _LAST_YEAR:
                return
            due = _micros(named) - offset
            changed = _first_change(zone, seen, due)
            if changed is not None:
                # Go on under the new offset, with the instant of the change itself as the first candidate.
                start, offset, seen = changed - SECOND, _offset(zone, changed), changed
                break
            yield due, _fold(zone, due)
            seen = due
        else:
            return


def _fold(zone: tzinfo, at: Micros) -> Mark | None:
    local = moment(at).astimezone(zone)
    return None if _offset_of(local.replace(fold=0)) == _offset_of(local.replace(fold=1)) else "fold"


def _first_change(zone: tzinfo, start: Micros, end: Micros) -> Micros | None:
    """The first instant in (start, end] at which the offset is another one than just before."""
    offset = _offset(zone, start)
    low = start
    while low < end:
        high = min(low + _DAY, end)  # no zone changes its clock twice within a day
        if _offset(zone, high) != offset:
            return _change(zone, low, high)
        low = high
    return None


def _change(zone: tzinfo, low: Micros, high: Micros) -> Micros:
    """The second at which the offset changes, in (low, high]."""
    low, high = low // SECOND, -(-high // SECOND)
    offset = _offset(zone, low * SECOND)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, middle * SECOND) == offset:
            low = middle
        else:
            high = middle
    return high * SECOND


def _wall(at: Micros, zone: tzinfo) -> datetime:
    return moment(at).astimezone(zone).replace(tzinfo=None)


def _offset(zone: tzinfo, at: Micros) -> Micros:
    return _offset_of(moment(at).astimezone(zone))


def _offset_of(local: datetime) -> Micros:
    offset = local.utcoffset()
    assert offset is not None  # of an aware time
    return offset // timedelta(microseconds=1)


def _micros(naive: datetime) -> Micros:
    return (naive - _EPOCH) // timedelta(microseconds=1)


def _bad(text: str, why: str) -> ScheduleError:
    shown = repr(text)[:100]
    return ScheduleError(
        f"cron is {shown}: {why}",
        field="cron",
        value=shown,
        limit="minute hour day month weekday, or seconds before them",
        mend="write it as '0 6 * * mon-fri' or '@daily'",
    )
