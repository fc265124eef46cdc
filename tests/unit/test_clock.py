"""Durations and instants: every spelling, every refusal."""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windlass.errors import InvalidOption
from windlass.values.clock import (
    END_OF_TIME,
    FOREVER,
    SECOND,
    host_now,
    instant,
    job_time,
    micros,
    moment,
    seconds,
    span_text,
)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (0, 0.0),
        (1.5, 1.5),
        (timedelta(minutes=2), 120.0),
        ("250ms", 0.25),
        ("30s", 30.0),
        ("5m", 300.0),
        ("2h", 7_200.0),
        ("7d", 604_800.0),
        ("1w", 604_800.0),
        ("1h30m", 5_400.0),
        ("1h 30m 15s", 5_415.0),
        (" 1.5 h ", 5_400.0),
        ("36500d", FOREVER),
    ],
)
def test_durations(given: object, expected: float) -> None:
    assert seconds(given) == pytest.approx(expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        *("", "5", "5 parsecs", "m5", "-5s", "5m x", "1h,30m", "five minutes", "5M"),
        *(True, None, [], b"5s", -1, -0.001, timedelta(seconds=-1)),
        *(math.nan, math.inf, -math.inf, FOREVER * 1.01, 10**400),
    ],
    ids=repr,
)
def test_wrong_durations_name_the_field(wrong: object) -> None:
    with pytest.raises(InvalidOption) as refused:
        seconds(wrong, "timeout")  # type: ignore[arg-type]
    assert refused.value.field == "timeout"
    assert "timeout" in str(refused.value)
    assert refused.value.mend


def test_a_minimum_is_kept() -> None:
    assert seconds(1, minimum=1) == 1.0
    with pytest.raises(InvalidOption):
        seconds(0.99, minimum=1)


def test_micros_are_whole() -> None:
    assert micros("1ms") == 1_000
    assert micros(0.1 + 0.2) == 300_000
    assert isinstance(micros(1 / 3), int)


@given(st.datetimes(timezones=st.just(UTC)))
def test_instants_come_back_exactly(at: datetime) -> None:
    assert moment(instant(at)) == at


def test_instants_of_other_zones() -> None:
    there = datetime(2026, 3, 29, 2, 30, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    assert moment(instant(there)) == there
    assert moment(0) == datetime(1970, 1, 1, tzinfo=UTC)
    assert moment(1).microsecond == 1


@pytest.mark.parametrize("wrong", [datetime(2026, 1, 1), "2026-01-01", 5, None])
def test_naive_times_are_refused(wrong: object) -> None:
    with pytest.raises(InvalidOption) as refused:
        instant(wrong, "run_at")  # type: ignore[arg-type]
    assert refused.value.field == "run_at"


def test_times_of_jobs_stay_where_every_engine_can_keep_them() -> None:
    assert job_time(datetime.min.replace(tzinfo=UTC)) == job_time(datetime(1969, 1, 1, tzinfo=UTC)) == 1
    assert job_time(datetime.max.replace(tzinfo=UTC)) == END_OF_TIME
    assert moment(job_time(datetime(2200, 1, 1, tzinfo=UTC))) == datetime(2200, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("read", [seconds, instant])
def test_a_refused_value_is_not_shown_at_any_length(read: Callable[[Any], object]) -> None:
    with pytest.raises(InvalidOption) as refused:
        read("x" * 10_000)
    assert len(str(refused.value)) < 300
    assert len(refused.value.value) <= 100


def test_the_hosts_clock_is_in_micros_and_exact_in_a_double() -> None:
    now = host_now()
    assert abs(now - datetime.now(UTC).timestamp() * SECOND) < 60 * SECOND
    assert now < 2**53


def test_durations_for_people_have_no_empty_decimals() -> None:
    told = {0.42: "0.4 s", 5.0: "5 s", 12.6: "13 s", 300.0: "5 min", 210: "3.5 min", 7_200: "2 h", 354_000: "4.1 d"}
    assert {seconds: span_text(seconds) for seconds in told} == told
