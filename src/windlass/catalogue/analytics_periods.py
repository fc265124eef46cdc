"""Spans of time that are aggregated and reported: hours, days, ISO weeks and months of a time zone, and ranges; half-open."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo

from windlass import Job

Grain: TypeAlias = Literal["hourly", "daily", "weekly", "monthly", "custom"]

MOST_PERIODS = 1_000
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_DUE = "due:"


@dataclass(frozen=True, slots=True)
class Period:
    """[`since`, `until`) in UTC. `zone`: whose days and hours it is made of."""

    grain: Grain
    since: datetime
    until: datetime
    zone: str = "UTC"

    @property
    def key(self) -> str:
        """What its results are kept under, less the tenant."""
        end = f"-{_stamp(self.until)}" if self.grain == "custom" else ""
        return f"{self.grain}:{self.zone}:{_stamp(self.since)}{end}"

    @property
    def label(self) -> str:
        """For people: `2026-11-21`, `2026-W47`, `2026-11`, `2026-11-21 06:00`, or both ends."""
        start = self.since.astimezone(ZoneInfo(self.zone))
        if self.grain == "custom":
            return f"{start:%Y-%m-%d %H:%M} to {self.until.astimezone(ZoneInfo(self.zone)):%Y-%m-%d %H:%M}"
        if self.grain == "weekly":
            year, week, _ = start.isocalendar()
            return f"{year}-W{week:02}"
        return start.strftime({"hourly": "%Y-%m-%d %H:00", "daily": "%Y-%m-%d", "monthly": "%Y-%m"}[self.grain])

    def before(self, count: int = 1) -> "Period":
        """The one that came `count` periods earlier; of a range, the stretch of the same length before it."""
        found = self
        for _ in range(count):
            if self.grain == "custom":
                length = found.until - found.since
                found = Period("custom", found.since - length, found.since, self.zone)
            else:
                found = period_at(self.grain, found.since - timedelta(microseconds=1), self.zone)
        return found


def period_at(grain: Grain, at: datetime, zone: str) -> Period:
    """The hour, day, week or month that holds an instant."""
    since = _start(grain, at, ZoneInfo(zone))
    return Period(grain, since, _next(grain, since, ZoneInfo(zone)), zone)


def last_closed(grain: Grain, at: datetime, zone: str) -> Period:
    """The last period that was over at an instant."""
    return period_at(grain, at, zone).before()


def periods(grain: Grain, since: datetime, until: datetime, zone: str) -> Iterator[Period]:
    """The whole periods that make up a range, which has to begin and end with one of them. Raises `ValueError`."""
    if since >= until:
        raise ValueError("the range ends before it begins")
    if grain == "custom":
        yield Period("custom", since, until, zone)
        return
    at, count = since, 0
    if _start(grain, since, ZoneInfo(zone)) != since:
        raise ValueError(f"a {grain} range begins and ends with a whole one in {zone}; others are of type custom")
    while at < until:
        following = _next(grain, at, ZoneInfo(zone))
        count += 1
        if following > until:
            raise ValueError(f"a {grain} range begins and ends with a whole one in {zone}; others are of type custom")
        if count > MOST_PERIODS:
            raise ValueError(f"the range holds more than {MOST_PERIODS:,} periods; give several jobs parts of it")
        yield Period(grain, at, following, zone)
        at = following


def read_edge(text: str, zone: str, *, is_end: bool) -> datetime:
    """An end of a range in UTC. Times without an offset are the zone's. A last second (`23:59:59Z`, as the founding documents
    write it) and a bare date mean: through to its end. Raises `ValueError`."""
    if _DATE.fullmatch(text):
        day = date.fromisoformat(text) + timedelta(days=is_end)
        return _midnight(day, ZoneInfo(zone))
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        found = found.replace(tzinfo=ZoneInfo(zone))
    found = found.astimezone(UTC)
    if is_end and found.second == 59:
        found = found.replace(second=0, microsecond=0) + timedelta(minutes=1)
    return found


def check_zone(name: str) -> str:
    """The name of a time zone; raises `ValueError`."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # no such file, a path that leads outside, a folder
        raise ValueError(f"there is no time zone {name!r}; write it as Europe/Berlin") from None
    return name


def reference(job: Job) -> datetime:
    """The instant that a job's `last day` goes by: the due time of its schedule, else when it was made; never when it happens
    to run, so that a retry after midnight is about the same day."""
    due = next((tag.removeprefix(_DUE) for tag in job.tags if tag.startswith(_DUE)), None)
    if due is not None:
        try:
            found = datetime.fromisoformat(due)
        except ValueError:  # somebody's own tag
            return job.created_at
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    return job.created_at


def _start(grain: Grain, at: datetime, zone: ZoneInfo) -> datetime:
    local = at.astimezone(zone)
    if grain == "hourly":
        into = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        return (at - into).astimezone(UTC)
    day = local.date()
    if grain == "weekly":
        day -= timedelta(days=day.weekday())
    elif grain == "monthly":
        day = day.replace(day=1)
    return _midnight(day, zone)


def _next(grain: Grain, since: datetime, zone: ZoneInfo) -> datetime:
    if grain == "hourly":
        return since + timedelta(hours=1)
    # A day may begin at 01:00 where the clock skips midnight: its date is what counts.
    day = since.astimezone(zone).date()
    if grain == "monthly":
        return _midnight((day + timedelta(days=31)).replace(day=1), zone)
    return _midnight(day + timedelta(days=7 if grain == "weekly" else 1), zone)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _stamp(at: datetime) -> str:
    return at.strftime("%Y%m%dT%H%M%S") + (f".{at.microsecond:06}" if at.microsecond else "") + "Z"


def as_text(value: object) -> object:
    """Dates and times as the text that a job carries."""
    return value.isoformat() if isinstance(value, date) else value
