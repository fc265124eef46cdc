"""What follows from how an attempt ended: `judge` and its kin, decision by decision."""

from dataclasses import dataclass

import msgspec
import pytest

from windlass.errors import InvalidOption, WindlassError
from windlass.values.clock import SECOND
from windlass.values.failure import Category
from windlass.values.job import Claim, ErrorInfo, Trail
from windlass.values.outcome import (
    DEFAULT_RULES,
    Cancel,
    Fail,
    Finish,
    RateLimited,
    Retry,
    RunOptions,
    RunRules,
    Signal,
    Snooze,
    aborted,
    completed,
    judge,
    lapsed,
    released,
)
from windlass.values.retry import exponential, fixed
from windlass.values.states import Event

RULES = RunRules(backoff=fixed("10s"))
T0 = 1_800_000_000 * SECOND


def claim(**fields: object) -> Claim:
    plain: dict[str, object] = {"id": "j1", "lease": 5, "kind": "k", "queue": "q", "args": "{}", "options": ""}
    plain |= {"attempt": 1, "max_attempts": 3, "priority": 0, "runtime": "async", "rescues": 0}
    plain |= {"created_at": T0, "ready_at": T0, "claimed_at": T0 + SECOND}
    return Claim(**{**plain, **fields})  # type: ignore[arg-type]


def trail(end: Finish) -> Trail:
    assert end.trail is not None
    return msgspec.json.decode(end.trail, type=Trail)


def error(end: Finish) -> ErrorInfo:
    assert end.error is not None
    return msgspec.json.decode(end.error, type=ErrorInfo)


def test_completed() -> None:
    end = completed(claim(), "[1]", 77)
    assert end == Finish("j1", 5, Event.COMPLETE, "q", "k", result="[1]", took=77, waited=SECOND)
    assert (end.spends, end.rescued, end.trail, end.follow) == (True, False, None, ())


@pytest.mark.parametrize(
    ("raised", "event", "delay", "spends", "reason"),
    [
        (ValueError("x"), Event.RETRY, 10 * SECOND, True, None),
        (TimeoutError(), Event.RETRY, 10 * SECOND, True, None),
        (Retry(), Event.RETRY, 10 * SECOND, True, None),
        (Retry(after="3s"), Event.RETRY, 3 * SECOND, True, None),
        (Retry(after=0), Event.RETRY, 0, True, None),
        (Snooze("1m"), Event.SNOOZE, 60 * SECOND, False, None),
        (Snooze("1m", "too early"), Event.SNOOZE, 60 * SECOND, False, "too early"),
        (RateLimited(after=2), Event.SNOOZE, 2 * SECOND, False, "rate limited"),
        (RateLimited("theirs", after=2), Event.SNOOZE, 2 * SECOND, False, "theirs"),
        (Fail("no hope"), Event.FAIL, 0, True, "no hope"),
        (Cancel("not wanted"), Event.ABORT, 0, True, "not wanted"),
        (TypeError("x"), Event.FAIL, 0, True, "permanent error"),
    ],
    ids=repr,
)
def test_the_first_attempt(raised: BaseException, event: Event, delay: int, spends: bool, reason: str | None) -> None:
    end = judge(claim(), raised, RULES, "w1", 5)
    assert (end.id, end.lease, end.queue, end.kind) == ("j1", 5, "q", "k")
    assert (end.event, end.delay, end.spends, end.reason) == (event, delay, spends, reason)
    assert (end.took, end.waited, end.rescued, end.park) == (5, SECOND, False, None)
    assert (trail(end).outcome, trail(end).worker, trail(end).took) == (event.value, "w1", 5)


def test_the_last_attempt() -> None:
    last = claim(attempt=3)
    for raised in (ValueError("x"), Retry("again"), Retry(after="1s")):
        end = judge(last, raised, RULES, "w1", 5)
        assert (end.event, end.reason) == (Event.FAIL, "attempts used up")
    assert judge(last, Snooze(5), RULES, "w1", 5).event is Event.SNOOZE
    assert judge(last, RateLimited(after=5), RULES, "w1", 5).event is Event.SNOOZE
    assert judge(claim(attempt=1, max_attempts=1), ValueError(), RULES, "w1", 5).event is Event.FAIL


def test_attempts_beyond_the_last_fail() -> None:
    assert judge(claim(attempt=9), ValueError(), RULES, "w1", 5).event is Event.FAIL


def test_the_backoff_is_asked_for_the_attempt_that_failed() -> None:
    rules = RunRules(backoff=exponential("2s", jitter=0))
    delays = [judge(claim(attempt=n, max_attempts=9), ValueError(), rules, "w", 0).delay for n in (1, 2, 3)]
    assert delays == [2 * SECOND, 4 * SECOND, 8 * SECOND]


def test_an_error_may_ask_for_its_own_delay() -> None:
    raised = ConnectionError("busy")
    raised.retry_after = 42  # type: ignore[attr-defined]
    assert judge(claim(), raised, RULES, "w", 0).delay == 42 * SECOND


def test_the_error_is_kept_with_its_category() -> None:
    end = judge(claim(), ValueError("x\x00"), RunRules(errors={ValueError: "provider"}), "w", 0)
    assert (error(end).type, error(end).message, error(end).category) == ("ValueError", "x\\x00", "provider")
    assert trail(end).error == error(end)
    assert error(judge(claim(), Fail("r"), RULES, "w", 0)).category == Category.PERMANENT
    assert judge(claim(), Snooze(1), RULES, "w", 0).error is None
    assert judge(claim(), Cancel("r"), RULES, "w", 0).error is None


def test_a_rule_that_raises_does_not_hide_the_error() -> None:
    def rule(_: BaseException) -> str:
        raise RuntimeError("broken rule")

    end = judge(claim(), TypeError("the real one"), RunRules(errors=rule), "w", 0)
    assert (end.event, error(end).message) == (Event.FAIL, "the real one")
    end = judge(claim(), ValueError("x"), RunRules(errors=lambda _: "no such category"), "w", 0)
    assert end.event is Event.RETRY


def test_reasons_are_bounded_and_safe() -> None:
    end = judge(claim(), Fail("x" * 10_000 + "\x00"), RULES, "w", 0)
    assert end.reason is not None
    assert len(end.reason) <= 500
    assert "\x00" not in end.reason


def test_a_trail_is_one_line() -> None:
    end = judge(claim(), ValueError("two\nlines\r\u2028"), RULES, "w", 0)
    assert end.trail is not None
    assert "\n" not in end.trail


def test_lapsed() -> None:
    end = lapsed(claim(), DEFAULT_RULES, "w2")
    assert (end.event, end.spends, end.rescued, end.reason) == (Event.RELEASE, False, True, "rescued")
    assert (trail(end).outcome, trail(end).worker) == ("rescue", "w2")


def test_lapsed_once_too_often() -> None:
    rules = RunRules(max_rescues=2)
    assert lapsed(claim(rescues=1), rules, "w").event is Event.RELEASE
    end = lapsed(claim(rescues=2), rules, "w")
    assert (end.event, end.reason, end.rescued) == (Event.FAIL, "stalled", True)
    assert (error(end).type, error(end).reason) == ("WorkerLost", "stalled")
    assert "3 times" in error(end).message
    assert lapsed(claim(), RunRules(max_rescues=0), "w").event is Event.FAIL


def test_lapsed_while_asked_to_stop() -> None:
    end = lapsed(claim(cancelling=True, rescues=99), DEFAULT_RULES, "w")
    assert (end.event, end.rescued) == (Event.ABORT, True)


def test_released_and_aborted() -> None:
    end = released(claim(), "w", "shutdown", park="kind:k")
    assert (end.event, end.spends, end.park, end.reason, end.delay) == (Event.RELEASE, False, "kind:k", "shutdown", 0)
    end = aborted(claim(), "w", "cancelled", 9)
    assert (end.event, end.spends, end.reason, end.took) == (Event.ABORT, True, "cancelled", 9)


@pytest.mark.parametrize(
    "make",
    [lambda: Snooze(-1), lambda: Snooze("soon"), lambda: Retry(after=-1), lambda: RateLimited(after=float("nan"))],
)
def test_wrong_times_in_signals_are_told_where_they_are_made(make) -> None:
    with pytest.raises(InvalidOption):
        make()


def test_signals_are_not_errors_of_ours() -> None:
    for cls in (Retry, Snooze, Fail, Cancel, RateLimited):
        assert issubclass(cls, Signal)
        assert not issubclass(cls, WindlassError)


def test_options_travel_as_json_and_leave_out_what_is_plain() -> None:
    assert msgspec.json.encode(RunOptions()) == b"{}"
    options = RunOptions(timeout=3.5, backoff=fixed("9s"), max_rescues=2, version=3, plan="pro", trace={"a": "b"})
    assert msgspec.json.decode(msgspec.json.encode(options), type=RunOptions) == options


@dataclass(frozen=True)
class Frozen(Exception):
    code: int


class Mute(Fail):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class MuteForGood(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt


class OddStatus(Exception):
    class status_code(int):
        def __eq__(self, other: object) -> bool:
            raise ZeroDivisionError

        __hash__ = int.__hash__

    status = status_code(429)


class OddHeaders(Exception):
    class response:
        class headers:
            @staticmethod
            def get(name: str) -> str:
                raise TypeError("takes no arguments")


@pytest.mark.parametrize(
    ("broken", "event", "text"),
    [
        (Frozen(3), Event.RETRY, ""),
        (Mute("x"), Event.FAIL, "<Mute whose text cannot be made: RuntimeError>"),
        (MuteForGood(), Event.RETRY, "a MuteForGood that cannot be looked at: KeyboardInterrupt"),
        (OddStatus(), Event.RETRY, "a OddStatus that cannot be looked at: ZeroDivisionError"),
        (OddHeaders(), Event.RETRY, ""),
    ],
)
def test_an_error_that_resists_being_looked_at_still_ends_its_attempt(
    broken: BaseException, event: Event, text: str
) -> None:
    end = judge(claim(), broken, RULES, "w", 1)
    assert end.event is event
    assert text in error(end).message
