"""Priorities and the order of claims."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windlass.errors import InvalidOption
from windlass.values.priority import HIGHEST, LOWEST, Priority, check_priority, order, reorder

PRIORITIES = st.integers(LOWEST, HIGHEST)
SEQUENCES = st.integers(0, (1 << 45) - 1)


@pytest.mark.parametrize(
    ("given", "expected"),
    [(0, 0), (-100, -100), (100, 100), (Priority.HIGH, 5), ("high", 5), ("CRITICAL", 10), ("Low", -5)],
)
def test_priorities(given: int | str, expected: int) -> None:
    found = check_priority(given)
    assert (found, type(found)) == (expected, int)


@pytest.mark.parametrize("wrong", [101, -101, 1.0, "urgent", "", True, None, "5"], ids=repr)
def test_wrong_priorities(wrong: object) -> None:
    with pytest.raises(InvalidOption) as refused:
        check_priority(wrong)  # type: ignore[arg-type]
    assert refused.value.limit == "-100..100"


@given(PRIORITIES, SEQUENCES, PRIORITIES, SEQUENCES)
def test_the_order_is_priority_then_age(p1: int, s1: int, p2: int, s2: int) -> None:
    assert (order(p1, s1) < order(p2, s2)) == ((-p1, s1) < (-p2, s2))
    assert 0 <= order(p1, s1) < 2**53


@given(PRIORITIES, SEQUENCES, PRIORITIES)
def test_reorder_keeps_the_place(old: int, sequence: int, new: int) -> None:
    assert reorder(order(old, sequence), new) == order(new, sequence)
