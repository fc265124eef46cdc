"""Rates in every form that users write, and what is refused."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windlass import InvalidOption
from windlass.declare.rates import MOST, read_rate, write_rate
from windlass.values.limit import Rate

SECOND = 1_000_000


@pytest.mark.parametrize(
    ("written", "n", "window"),
    [
        ("5/m", 5, 60 * SECOND),
        ("10/s", 10, SECOND),
        ("100/h", 100, 3_600 * SECOND),
        ("1/d", 1, 86_400 * SECOND),
        ("2/w", 2, 604_800 * SECOND),
        (" 5 / minute ", 5, 60 * SECOND),
        ("3/30s", 3, 30 * SECOND),
        ("3/1h30m", 3, 5_400 * SECOND),
        ("7/250ms", 7, SECOND // 4),
        ("7/ms", 7, 1_000),
        ((10, 3600), 10, 3_600 * SECOND),
        ([10, 0.5], 10, SECOND // 2),
        ((10, "2m"), 10, 120 * SECOND),
        ((10, timedelta(hours=1)), 10, 3_600 * SECOND),
        ({"max": 10, "window": 3_600_000}, 10, 3_600 * SECOND),
        ({"max": 10, "window": 1}, 10, 1_000),
        (Rate(4, SECOND), 4, SECOND),
    ],
)
def test_every_form_is_read(written: Any, n: int, window: int) -> None:
    assert read_rate(written, "rate") == Rate(n, window)


@pytest.mark.parametrize(
    "written",
    [
        *(
            "",
            "5",
            "5/",
            "/m",
            "five/m",
            "5/fortnight",
            "-5/m",
            "5.5/m",
            "0/m",
            "5/0s",
            "5/0.1ms",
            "5/m/s",
            "5/200000d",
        ),
        *((0, 60), (-1, 60), (5, 0), (5, -1), (5,), (5, 60, 1), (True, 60), (5.0, 60), (5, True), (5, float("nan"))),
        *({"max": 5}, {"max": 5, "window": 0}, {"max": 5, "window": True}, {"max": 5, "window": "1m"}),
        *({"max": True, "window": 60_000}, {"max": 5, "window": 1, "more": 1}, {"window": 1}, {}),
        *(5, 5.0, True, None, object(), ("5", 60), (10**10, 60), "99999999999999/m"),
    ],
)
def test_what_makes_no_rate_is_refused_by_name(written: Any) -> None:
    with pytest.raises(InvalidOption) as refused:
        read_rate(written, "rate_limit")
    error = refused.value
    assert error.field.startswith("rate_limit")
    assert error.field in str(error)
    assert error.limit
    assert error.mend


@pytest.mark.parametrize("burst", [0, -1, True, 1.5, "5", MOST + 1])
def test_a_burst_is_a_whole_number_from_one(burst: Any) -> None:
    with pytest.raises(InvalidOption) as refused:
        read_rate("5/m", "rate", burst)
    assert refused.value.field == "rate.burst"


def test_nought_is_told_apart() -> None:
    with pytest.raises(InvalidOption, match="pause the queue"):
        read_rate("0/m", "rate")


@given(st.integers(1, MOST), st.integers(1, 10**12))
def test_what_is_written_is_read_again(n: int, milliseconds: int) -> None:
    rate = Rate(n, milliseconds * 1_000)
    assert read_rate(write_rate(rate), "rate") == rate
