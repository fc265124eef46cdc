"""The oracle of due times: walks a zone minute by minute with zoneinfo and its own reading of cron, sharing no code with
`windlass.values.cron`. Slow and plain, so that it can be believed."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

ZONES = (
    "UTC",
    "Europe/Berlin",
    "Europe/Dublin",  # its winter time is the exception, not its summer time
    "America/New_York",
    "America/St_Johns",  # half an hour off; changed its clock at 00:01 until 2011
    "America/Havana",  # the gap swallows midnight
    "America/Santiago",  # changes at midnight, and its rules every other year
    "Africa/Casablanca",  # four changes a year, around Ramadan
    "Asia/Kathmandu",  # a quarter of an hour off, no changes
    "Australia/Lord_Howe",  # changes by half an hour
    "Pacific/Apia",  # left out 30 December 2011
    "Antarctica/Troll",  # changes by two hours
)
YEARS = range(2010, 2017)
"""Seven years with the strangest changes of these zones."""

EXPRESSIONS = (
    "30 2 * * *",
    "0 0 * * *",
    "*/15 * * * *",
    "5 * * * *",
    "0 */3 * * *",
    "15,45 1-3 * * 0",
    "*/20 2 * * *",
    "0 12 1 * *",
    "30 1 1,15 * 1",
    "59 23 30,31 12 *",
    "10 0-2,23 * 3,4,9-12 6,0",
)
_MINUTE = 60


class Naive:
    """One five-field expression of numbers, stars, ranges, lists and steps."""

    def __init__(self, text: str) -> None:
        minute, hour, day, month, weekday = text.split()
        self.minutes = _numbers(minute, 0, 59)
        self.hours = _numbers(hour, 0, 23)
        self._days = _numbers(day, 1, 31)
        self._months = _numbers(month, 1, 12)
        self._weekdays = {number % 7 for number in _numbers(weekday, 0, 7)}
        self._both = day.startswith("*") or weekday.startswith("*")
        self.every_hour = len(self.hours) == 24
        self._known: dict[date, bool] = {}

    def matches(self, wall: datetime) -> bool:
        return wall.minute in self.minutes and wall.hour in self.hours and self._day(wall.date())

    def _day(self, day: date) -> bool:
        if day not in self._known:
            dom, dow = day.day in self._days, day.isoweekday() % 7 in self._weekdays
            self._known[day] = day.month in self._months and ((dom and dow) if self._both else (dom or dow))
        return self._known[day]


def walk(zone: str, expressions: Sequence[str], start: int, end: int) -> dict[str, list[int]]:
    """The due times (seconds since 1970) of each expression in [start, end), by looking at every minute."""
    crons = {text: Naive(text) for text in expressions}
    found: dict[str, list[int]] = {text: [] for text in expressions}
    place = ZoneInfo(zone)
    last = latest = datetime.fromtimestamp(start - _MINUTE, place).replace(tzinfo=None)
    step = timedelta(minutes=1)
    for at in range(start, end, _MINUTE):
        wall = datetime.fromtimestamp(at, place).replace(tzinfo=None, fold=0)
        left_out: list[datetime] = []
        while last + step < wall:
            last += step
            left_out.append(last)
        new = wall > latest
        for text, cron in crons.items():
            if (cron.matches(wall) and (cron.every_hour or new)) or (
                left_out and not cron.every_hour and any(map(cron.matches, left_out))
            ):
                found[text].append(at)
        last, latest = wall, max(latest, wall)
    return found


def changes(zone: str, years: Sequence[int]) -> Iterator[int]:
    """About when (to the hour) the zone's offset changes."""
    place = ZoneInfo(zone)
    start, end = span(years)
    before = None
    for at in range(start, end, 3_600):
        offset = datetime.fromtimestamp(at, place).utcoffset()
        if before is not None and offset != before:
            yield at
        before = offset


def span(years: Sequence[int]) -> tuple[int, int]:
    """The first second of the first year and of the one after the last, UTC."""
    first, last = datetime(min(years), 1, 1, tzinfo=UTC), datetime(max(years) + 1, 1, 1, tzinfo=UTC)
    return int(first.timestamp()), int(last.timestamp())


def _numbers(field: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for part in field.split(","):
        body, _, step = part.partition("/")
        first, _, last = ("*" if body == "*" else body).partition("-")
        begin = low if first == "*" else int(first)
        end = high if first == "*" or (step and not last) else int(last or first)
        found.update(range(begin, end + 1, int(step or 1)))
    return found
