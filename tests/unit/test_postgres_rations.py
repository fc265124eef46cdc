"""How far back an index by time is read."""

from windlass.store.postgres.rations import SLACK, Ration
from windlass.values.clock import SECOND


class Watch:
    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def looked(ration: Ration, watch: Watch, at: int, *, took: float = 0.0, all_of_it: bool = True) -> int:
    """One look that took so long; where it began."""
    with ration.look(watch) as look:
        watch.at += took
        look.saw(at, all_of_it=all_of_it)
    return look.since


def test_a_look_at_all_of_it_is_rationed_when_it_is_dear() -> None:
    ration, watch = Ration(), Watch()
    assert looked(ration, watch, 1_000 * SECOND, took=2.0) == 0
    watch.at += 39.0
    assert looked(ration, watch, 1_041 * SECOND, took=0.001) == 1_000 * SECOND - SLACK
    watch.at += 1.0
    assert looked(ration, watch, 1_042 * SECOND, took=0.001) == 0


def test_what_was_not_worked_off_is_looked_at_again() -> None:
    ration, watch = Ration(), Watch()
    looked(ration, watch, 1_000 * SECOND, took=2.0, all_of_it=False)
    assert looked(ration, watch, 1_001 * SECOND, took=2.0) == 0
    assert looked(ration, watch, 1_002 * SECOND) > 0


def test_a_clock_set_back_begins_anew() -> None:
    ration, watch = Ration(), Watch()
    looked(ration, watch, 1_000 * SECOND, took=2.0)
    looked(ration, watch, 500 * SECOND)
    assert looked(ration, watch, 501 * SECOND) == 0


def test_a_look_that_failed_teaches_nothing() -> None:
    ration, watch = Ration(), Watch()
    try:
        with ration.look(watch):
            raise ConnectionError
    except ConnectionError:
        pass
    assert looked(ration, watch, 1_000 * SECOND) == 0
