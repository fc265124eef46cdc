"""How far a claimer has come, and when it looks at everything again."""

from hypothesis import given
from hypothesis import strategies as st

from windlass.store.postgres.floors import EVERY, EVERYTHING, SLACK, Floors
from windlass.values.priority import order


def covered(floors: Floors, queue: str, runtime: str, ord_: int) -> bool:
    ranges = [(lo, hi) for q, r, lo, hi in zip(*floors.ranges(), strict=True) if (q, r) == (queue, runtime)]
    return not ranges or any(lo <= ord_ < hi for lo, hi in ranges)


def test_nothing_known_means_a_sweep() -> None:
    floors = Floors()
    assert floors.sweep_due(0.0)
    assert floors.ranges() == EVERYTHING


def test_what_was_claimed_long_before_is_left_out() -> None:
    floors = Floors()
    floors.claimed([("q", "async", 0, order(0, 10_000))])
    assert not covered(floors, "q", "async", order(0, 10_000 - SLACK - 1))
    assert covered(floors, "q", "async", order(0, 10_000 - SLACK))
    assert covered(floors, "q", "async", order(0, 10_001))
    assert covered(floors, "q", "thread", order(0, 1)), "another runtime is another lane"
    assert covered(floors, "p", "async", order(0, 1)), "so is another queue"


def test_a_floor_never_sinks() -> None:
    floors = Floors()
    floors.claimed([("q", "async", 0, order(0, 10_000))])
    floors.claimed([("q", "async", 0, order(0, 5_000))])
    assert not covered(floors, "q", "async", order(0, 6_000))
    floors.forget()
    assert covered(floors, "q", "async", order(0, 1))


@given(
    st.lists(st.tuples(st.integers(-100, 100), st.integers(1, 1 << 30)), min_size=1, max_size=20),
    st.integers(-100, 100),
    st.integers(1, 1 << 30),
)
def test_only_what_lies_below_its_own_priority_s_floor_is_left_out(
    claimed: list[tuple[int, int]], priority: int, sequence: int
) -> None:
    floors = Floors()
    floors.claimed(("q", "async", p, order(p, s)) for p, s in claimed)
    newest = max((s for p, s in claimed if p == priority), default=0)
    assert covered(floors, "q", "async", order(priority, sequence)) == (sequence >= newest - SLACK)


@given(st.lists(st.tuples(st.integers(-100, 100), st.integers(1, 1 << 30)), min_size=1, max_size=20))
def test_ranges_follow_each_other(claimed: list[tuple[int, int]]) -> None:
    floors = Floors()
    floors.claimed(("q", "async", p, order(p, s)) for p, s in claimed)
    _, _, los, his = floors.ranges()
    flat = [edge for pair in zip(los, his, strict=True) for edge in pair]
    assert flat == sorted(flat)


def test_sweeps_come_every_so_often_and_take_a_small_share_of_the_time() -> None:
    floors = Floors()
    floors.claimed([("q", "async", 0, order(0, 1))])
    floors.swept(100.0, took=0.001)
    assert not floors.sweep_due(100.0 + EVERY - 0.01)
    assert floors.may_sweep(100.0), "a cheap sweep may precede every empty answer"
    assert floors.sweep_due(100.0 + EVERY)
    floors.swept(150.0, took=0.1)
    assert floors.may_sweep(150.0)
    assert floors.until_sweep(150.0) is None
    assert not floors.sweep_due(151.0)
    floors.swept(200.0, took=3.0)
    assert not floors.sweep_due(230.0)
    assert not floors.may_sweep(230.0), "a dear one may not"
    assert floors.until_sweep(230.0) == 30.0, "it says when to ask again"
    assert floors.sweep_due(260.0)
