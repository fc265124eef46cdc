"""The circuit breaker as a value: when it opens, what a probe does, what late news are worth."""

from windlass.providers.breaker import Breaker, Call, Numbers, after, closed, opened, pause_of
from windlass.values.clock import SECOND

N = Numbers()
T = 1_000_000 * SECOND


def calls(pattern: str, began: int = T) -> list[Call]:
    return [Call(mark == ".", began, "" if mark == "." else "Down: 503") for mark in pattern]


def test_five_failures_in_a_row_open_it() -> None:
    four = after(Breaker(), calls("xxxx"), T, N)
    assert (four.state, four.in_a_row) == ("closed", 4)
    five = after(four, calls("x"), T, N)
    assert (five.state, five.until, five.openings, five.applied, five.error) == (
        "open",
        T + 30 * SECOND,
        1,
        False,
        "Down: 503",
    )
    assert after(four, calls(".xxxx"), T, N).state == "closed"


def test_half_of_at_least_ten_calls_open_it() -> None:
    assert after(Breaker(), calls("x.x.x.x.x"), T, N).state == "closed"
    assert after(Breaker(), calls("x.x.x.x..x"), T, N).state == "open"
    assert after(Breaker(), calls("x.x.x.x..."), T, N).counted(T, N.window) == (10, 4)
    assert after(Breaker(), calls("x.x.x.x..."), T, N).state == "closed"


def test_calls_leave_the_window() -> None:
    early = after(Breaker(), calls("x.x.x.x."), T, N)
    assert early.counted(T, N.window) == (8, 4)
    later = T + 61 * SECOND
    assert early.counted(later, N.window) == (0, 0)
    assert after(early, calls("..x"), later, N).state == "closed"
    steady = Breaker()
    for second in range(600):
        steady = after(steady, calls("." if second % 3 else "x"), T + second * SECOND, N)
        assert steady.state == "closed"
        assert len(steady.calls) <= 14


def test_a_probe_closes_it_or_doubles_the_pause() -> None:
    breaker = after(Breaker(), calls("xxxxx"), T, N)
    pauses = []
    for _ in range(8):
        until = breaker.until
        pauses.append((until - breaker.since) // SECOND)
        assert after(breaker, calls(".x.xxxxx", began=until - 1), until, N) == breaker, "calls from before say nothing"
        breaker = after(breaker, calls("x", began=until), until, N)
    assert pauses == [30, 60, 120, 240, 480, 600, 600, 600]
    mended = after(breaker, calls(".", began=breaker.until), breaker.until, N)
    assert (mended.state, mended.openings, mended.in_a_row, mended.applied) == ("closed", 0, 0, False)
    assert pause_of(N, 100) == N.longest


def test_news_in_one_batch_go_in_order() -> None:
    breaker = after(Breaker(), calls("xxxxx....."), T, N)
    assert breaker.state == "open", "what began before the pause was over is no probe"
    breaker = opened(Breaker(), T, SECOND, "by hand")
    assert after(breaker, calls(".x", began=T + 2 * SECOND), T + 3 * SECOND, N).in_a_row == 1
    assert after(breaker, calls("x.", began=T + 2 * SECOND), T + 3 * SECOND, N).state == "open"
    assert closed(T).since == T
