"""Tallies: what counts, and percentiles that are right within two per cent."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windlass.values.metrics import TallyKey, bucket, bucket_top, percentiles, tally
from windlass.values.outcome import Finish
from windlass.values.states import Event


def end(event: Event, **fields: object) -> Finish:
    return Finish("j", 1, event, "q", "k", **fields)  # type: ignore[arg-type]


@given(st.integers(2, 10**15))
def test_a_bucket_holds_its_durations_within_two_per_cent(duration: int) -> None:
    top = bucket_top(bucket(duration))
    assert duration <= top * (1 + 1e-9)
    assert top <= duration * 1.02 * (1 + 1e-9)


@pytest.mark.parametrize("duration", [-5, 0, 1])
def test_no_time_is_bucket_zero(duration: int) -> None:
    assert bucket(duration) == 0


def test_buckets_never_fall() -> None:
    numbers = [bucket(n) for n in range(5_000)]
    assert numbers == sorted(numbers)


def test_percentiles() -> None:
    durations = [random.randint(1, 10**7) for _ in range(2_000)]
    histogram: dict[int, int] = {}
    for duration in durations:
        histogram[bucket(duration)] = histogram.get(bucket(duration), 0) + 1
    durations.sort()
    shares = (0.01, 0.5, 0.95, 0.99, 1.0)
    for share, found in zip(shares, percentiles(histogram, shares), strict=True):
        exact = durations[max(0, round(share * len(durations)) - 1)]
        assert found == pytest.approx(exact, rel=0.011)
    assert percentiles({0: 3}, (0.5,)) == [1.0]


def test_what_is_tallied() -> None:
    sums = tally(
        [
            end(Event.COMPLETE, took=100, waited=50),
            end(Event.COMPLETE, took=100, waited=70),
            end(Event.FAIL, took=9, waited=0),
            end(Event.RELEASE, took=9, waited=9),
            end(Event.RELEASE, rescued=True),
            end(Event.FAIL, rescued=True, took=9),
        ]
    )

    def of(name: str, number: int = 0) -> int:
        return sums.get(TallyKey("q", "k", name, number), 0)

    assert (of("complete"), of("fail"), of("release"), of("rescue")) == (2, 1, 1, 2)
    assert (of("took_sum"), of("waited_sum")) == (209, 120)
    assert of("took", bucket(100)) == 2
    assert sum(value for key, value in sums.items() if key.name == "took") == 3
    assert tally([]) == {}
