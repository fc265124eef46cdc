"""Backoffs, retry policies, both dict spellings."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windlass.errors import InvalidOption
from windlass.values.retry import (
    DEFAULT_BACKOFF,
    LONGEST_DELAY,
    Backoff,
    RetryPolicy,
    check_attempts,
    delay_after,
    exponential,
    fixed,
    linear,
    read_policy,
)


def test_shapes() -> None:
    assert [exponential("2s", jitter=0)(n) for n in (1, 2, 3, 4)] == [2, 4, 8, 16]
    assert [exponential(1, factor=3, cap="10s", jitter=0)(n) for n in (1, 2, 3, 4)] == [1, 3, 9, 10]
    assert [linear("5s", cap="12s", jitter=0)(n) for n in (1, 2, 3)] == [5, 10, 12]
    assert [fixed("7s")(n) for n in (1, 9)] == [7, 7]
    assert fixed("2h")(1) == 7_200, "the cap never cuts a fixed delay"


def test_huge_attempts_end_at_the_cap() -> None:
    assert exponential("2s", factor=100, cap="5m", jitter=0)(1_000) == 300
    assert exponential("2s", factor=2, cap="5m", jitter=0)(100_000) == 300


@given(st.integers(1, 1_000), st.floats(0, 1))
def test_jitter_stays_in_its_share(attempt: int, jitter: float) -> None:
    delay = exponential("2s", jitter=jitter)(attempt)
    plain = min(2.0 * 2.0 ** min(attempt - 1, 500), 300.0)
    assert plain * (1 - jitter) - 1e-9 <= delay <= plain * (1 + jitter) + 1e-9


def test_jitter_spreads() -> None:
    assert len({fixed("10s", jitter=0.5)(1) for _ in range(50)}) > 40


@pytest.mark.parametrize(
    "make",
    [
        lambda: exponential(-1),
        lambda: exponential("soon"),
        lambda: exponential(1, factor=0.5),
        lambda: exponential(1, factor=101),
        lambda: exponential(1, jitter=1.5),
        lambda: linear(1, jitter=-0.1),
        lambda: fixed(math.nan),
        lambda: RetryPolicy(max_attempts=0),
        lambda: RetryPolicy(backoff=5),  # type: ignore[arg-type]
        lambda: check_attempts(1_001),
        lambda: check_attempts(True),
        lambda: check_attempts(2.0),
    ],
)
def test_wrong_values_are_refused(make) -> None:
    with pytest.raises(InvalidOption):
        make()


def test_a_backoff_travels_as_json() -> None:
    for backoff in (exponential("3s", factor=1.5), linear("1s"), fixed("9s"), Backoff()):
        assert msgspec.json.decode(msgspec.json.encode(backoff), type=Backoff) == backoff


@pytest.mark.parametrize("broken", [lambda n: 1 / 0, lambda n: None, lambda n: -5, lambda n: math.nan, lambda n: "x"])
def test_a_broken_backoff_falls_back(broken) -> None:
    assert 0 < delay_after(broken, 1) <= DEFAULT_BACKOFF.base * 1.2


def test_no_delay_is_endless() -> None:
    assert delay_after(lambda n: math.inf, 1) == LONGEST_DELAY
    assert delay_after(lambda n: 1e300, 1) == LONGEST_DELAY
    assert delay_after(lambda n: n * 2, 4) == 8


@pytest.mark.parametrize(
    ("given", "attempts", "backoff"),
    [
        ({}, 3, exponential(2.0)),
        ({"attempts": 5}, 5, exponential(2.0)),
        ({"attempts": 3, "backoff": {"type": "exponential", "delay": 2000}}, 3, exponential(2.0)),
        ({"attempts": 2, "backoff": {"type": "fixed", "delay": 500}}, 2, fixed(0.5, jitter=0.2)),
        ({"attempts": 2, "backoff": 1500}, 2, fixed(1.5, jitter=0.2)),
        ({"type": "linear", "delay": 1000, "maxAttempts": 4, "maxDelay": 9000}, 4, linear(1, cap=9)),
        (
            {"type": "exponential", "delay": 2000, "maxAttempts": 5, "backoffMultiplier": 3, "maxDelay": 60000},
            5,
            exponential(2, factor=3, cap=60),
        ),
        ({"type": "fixed", "delay": 1000, "jitter": 0}, 3, fixed(1)),
    ],
)
def test_both_spellings(given: dict, attempts: int, backoff: Backoff) -> None:
    assert read_policy(given) == RetryPolicy(max_attempts=attempts, backoff=backoff)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"atempts": 3}, "retry"),
        ({"attempts": 0}, "retry.maxAttempts"),
        ({"type": "quadratic"}, "retry.type"),
        ({"backoff": {"type": "quadratic"}}, "retry.backoff.type"),
        ({"backoff": {"type": "fixed", "delay": -1}}, "retry.backoff.delay"),
        ({"type": "fixed", "delay": "soon"}, "retry.delay"),
        ({"backoff": {"type": "fixed", "dely": 5}}, "retry.backoff"),
        ({"backoff": "often"}, "retry.backoff"),
        ({"jitter": "much"}, "retry.jitter"),
    ],
)
def test_wrong_spellings_name_the_field(given: dict, field: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        read_policy(given)
    assert refused.value.field == field
