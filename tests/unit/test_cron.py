"""Due times of cron expressions: against the oracle, at changes of the clock, and what is refused."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice, takewhile
from random import Random

import pytest

from tests.unit.cron_oracle import EXPRESSIONS, YEARS, ZONES, changes, span, walk
from windlass.errors import ScheduleError
from windlass.values.clock import SECOND, instant, moment
from windlass.values.cron import due_times, read_cron, read_zone

WHOLE = float(os.environ.get("WINDLASS_TEST_SCALE", "1")) >= 10
_DAY = 86_400


def stretches(zone: str) -> Iterator[tuple[int, int]]:
    """What is compared: all seven years at full scale, else two days around every change of the clock and some months."""
    if WHOLE:
        yield span(YEARS)
        return
    for at in changes(zone, YEARS):
        yield at - 2 * _DAY, at + 2 * _DAY
    start, end = span(YEARS)
    begin = Random(zone).randrange(start, end - 40 * _DAY) // 60 * 60
    yield begin, begin + 40 * _DAY


def walked(text: str, zone: str, start: int, end: int) -> list[int]:
    """The due times in [start, end), in seconds."""
    times = due_times(read_cron(text), read_zone(zone), start * SECOND - 1)
    return [at // SECOND for at, _ in takewhile(lambda due: due[0] < end * SECOND, times)]


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("zone", ZONES)
def test_due_times_are_those_of_the_oracle(zone: str) -> None:
    for start, end in stretches(zone):
        expected = walk(zone, EXPRESSIONS, start, end)
        for text in EXPRESSIONS:
            assert walked(text, zone, start, end) == expected[text], f"{text} in {zone}"


@pytest.mark.parametrize("zone", ZONES)
def test_walking_on_from_any_instant_gives_the_same_times(zone: str) -> None:
    """Each due time is found again when the walk starts right before it, or anywhere since the one before."""
    random = Random(7)
    for at in [*changes(zone, YEARS)][:6] or [span(YEARS)[0]]:
        start = (at - _DAY) * SECOND
        for text in EXPRESSIONS[:7]:
            times = [due for due, _ in islice(due_times(read_cron(text), read_zone(zone), start), 12)]
            for before, after in zip([start, *times], times, strict=False):
                for begin in (before, after - 1, random.randrange(before, after)):
                    assert next(due_times(read_cron(text), read_zone(zone), begin))[0] == after


def due(text: str, zone: str, after: datetime, count: int) -> list[tuple[str, str | None]]:
    times = due_times(read_cron(text), read_zone(zone), instant(after))
    return [(moment(at).astimezone(read_zone(zone)).isoformat(" "), mark) for at, mark in islice(times, count)]


def test_a_gap_moves_a_named_time_to_the_first_minute_after_it() -> None:
    assert due("30 2 * * *", "Europe/Berlin", datetime(2026, 3, 28, 12, tzinfo=UTC), 2) == [
        ("2026-03-29 03:00:00+02:00", "gap"),
        ("2026-03-30 02:30:00+02:00", None),
    ]
    assert due("*/20 2,3 * * *", "Europe/Berlin", datetime(2026, 3, 28, 12, tzinfo=UTC), 3) == [
        ("2026-03-29 03:00:00+02:00", "gap"),
        ("2026-03-29 03:20:00+02:00", None),
        ("2026-03-29 03:40:00+02:00", None),
    ], "several times that one gap swallows are one"


def test_a_named_time_that_comes_twice_fires_once() -> None:
    assert due("30 2 * * *", "Europe/Berlin", datetime(2026, 10, 24, 12, tzinfo=UTC), 2) == [
        ("2026-10-25 02:30:00+02:00", "fold"),
        ("2026-10-26 02:30:00+01:00", None),
    ]


def test_what_means_every_hour_goes_on_through_both() -> None:
    assert [at for at, _ in due("0 * * * *", "Europe/Berlin", datetime(2026, 10, 24, 23, 30, tzinfo=UTC), 4)] == [
        "2026-10-25 02:00:00+02:00",
        "2026-10-25 02:00:00+01:00",
        "2026-10-25 03:00:00+01:00",
        "2026-10-25 04:00:00+01:00",
    ]
    assert [at for at, _ in due("15 * * * *", "Europe/Berlin", datetime(2026, 3, 29, 0, tzinfo=UTC), 3)] == [
        "2026-03-29 01:15:00+01:00",
        "2026-03-29 03:15:00+02:00",
        "2026-03-29 04:15:00+02:00",
    ]


def test_a_day_that_never_was() -> None:
    assert due("0 12 30 12 *", "Pacific/Apia", datetime(2011, 12, 1, tzinfo=UTC), 2) == [
        ("2011-12-31 00:00:00+14:00", "gap"),
        ("2012-12-30 12:00:00+14:00", None),
    ]


def test_six_fields_begin_with_seconds_and_go_by_the_same_rules() -> None:
    assert due("15 30 2 * * *", "Europe/Berlin", datetime(2026, 3, 28, 0, tzinfo=UTC), 3) == [
        ("2026-03-28 02:30:15+01:00", None),
        ("2026-03-29 03:00:00+02:00", "gap"),
        ("2026-03-30 02:30:15+02:00", None),
    ]
    assert len(due("*/10 * * * * *", "UTC", datetime(2026, 1, 1, tzinfo=UTC), 6)) == 6
    assert due("*/10 * * * * *", "UTC", datetime(2026, 1, 1, tzinfo=UTC), 1) == [("2026-01-01 00:00:10+00:00", None)]


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("@hourly", "2026-05-06 08:00:00+00:00"),
        ("@daily", "2026-05-07 00:00:00+00:00"),
        ("@Midnight", "2026-05-07 00:00:00+00:00"),
        ("@weekly", "2026-05-10 00:00:00+00:00"),
        ("@monthly", "2026-06-01 00:00:00+00:00"),
        ("@yearly", "2027-01-01 00:00:00+00:00"),
        ("@annually", "2027-01-01 00:00:00+00:00"),
        ("0 6 * * mon-fri", "2026-05-07 06:00:00+00:00"),
        ("0 6 L * *", "2026-05-31 06:00:00+00:00"),
        ("0 6 29 2 *", "2028-02-29 06:00:00+00:00"),
    ],
)
def test_names_and_extras(name: str, first: str) -> None:
    assert due(name, "UTC", datetime(2026, 5, 6, 7, 8, 9, 10, tzinfo=UTC), 1)[0][0] == first


@pytest.mark.parametrize(
    "text",
    [
        "",
        "* * * *",
        "* * * * * * *",
        "61 * * * *",
        "a b c d e",
        "@never",
        "0 0 30 2 *",
        "0 0 * * MON#1/2",
        "1 " * 200,
        "🕛",
    ],
)
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        read_cron(text)
    assert caught.value.facts["field"] == "cron"
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "name", ["Europe/Berln", "", "../etc/passwd", "/etc/localtime", "America", "a\x00b", "x" * 5_000]
)
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(ScheduleError, match="time zone"):
        read_zone(name)


def test_a_misspelt_zone_is_suggested() -> None:
    with pytest.raises(ScheduleError, match="'Europe/Berlin'"):
        read_zone("Europe/Berln")
