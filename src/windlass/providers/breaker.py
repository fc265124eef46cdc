"""A provider's circuit breaker as a value: what a run of calls makes of it. No clock and no store; `breakers.py` keeps it."""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from windlass.values.clock import SECOND, Micros

_BUCKETS = 12
"""Steps in which the window of calls moves on."""


class Numbers(msgspec.Struct, frozen=True):
    """When a breaker opens: `share` of at least `least` calls in `window` failed, or `in_a_row` did. It stays open for `pause`,
    twice as long after each probe that fails, `longest` at most."""

    share: float = 0.5
    least: int = 10
    window: Micros = 60 * SECOND
    in_a_row: int = 5
    pause: Micros = 30 * SECOND
    longest: Micros = 600 * SECOND


class Call(NamedTuple):
    """A call that told something about the provider. `began`: an instant of the store's clock."""

    ok: bool
    began: Micros
    error: str = ""


class Breaker(msgspec.Struct, frozen=True, omit_defaults=True):
    """As stored. `since`: when it got into its state. Open until `until`; from then on one probe at a time may try (half-open).
    `openings`: how often it opened since it was last closed. `calls`: (start, calls, failures) of each step of the window.
    `applied`: the gate in the store says the same. `probing`: somebody's probe outside the line, counted until then."""

    state: Literal["closed", "open"] = "closed"
    since: Micros = 0
    until: Micros = 0
    openings: int = 0
    in_a_row: int = 0
    calls: tuple[tuple[Micros, int, int], ...] = ()
    applied: bool = True
    error: str = ""
    probing: Micros = 0

    def counted(self, now: Micros, window: Micros) -> tuple[int, int]:
        """Calls and failures of the window before `now`."""
        steps = [step for step in self.calls if step[0] > now - window]
        return sum(step[1] for step in steps), sum(step[2] for step in steps)


def after(breaker: Breaker, calls: Iterable[Call], now: Micros, numbers: Numbers) -> Breaker:
    """The breaker after these calls, in the order in which they ended. While it is open, a call that began before the pause
    was over says nothing new; one that began later is a probe."""
    for call in calls:
        if breaker.state == "closed":
            breaker = _counted(breaker, call, now, numbers)
        elif call.began >= breaker.until:
            breaker = _probed(breaker, call, now, numbers)
    return breaker


def opened(breaker: Breaker, now: Micros, pause: Micros, error: str) -> Breaker:
    """Open for `pause` from now."""
    return Breaker(
        state="open", since=now, until=now + pause, openings=breaker.openings + 1, applied=False, error=error
    )


def closed(now: Micros) -> Breaker:
    """Closed, with nothing counted."""
    return Breaker(since=now, applied=False)


def pause_of(numbers: Numbers, openings: int) -> Micros:
    """How long it stays open the next time, after so many openings."""
    return min(numbers.pause << min(openings, 40), max(numbers.longest, numbers.pause))


def _counted(breaker: Breaker, call: Call, now: Micros, numbers: Numbers) -> Breaker:
    failed = not call.ok
    breaker = replace(
        breaker,
        in_a_row=breaker.in_a_row + 1 if failed else 0,
        calls=_with(breaker.calls, now, numbers.window, failed),
        error=call.error if failed else breaker.error,
    )
    if not failed:
        return breaker
    made, failures = breaker.counted(now, numbers.window)
    if breaker.in_a_row >= numbers.in_a_row or (made >= numbers.least and failures >= numbers.share * made):
        return opened(breaker, now, pause_of(numbers, breaker.openings), call.error)
    return breaker


def _probed(breaker: Breaker, call: Call, now: Micros, numbers: Numbers) -> Breaker:
    if call.ok:
        return closed(now)
    return opened(breaker, now, pause_of(numbers, breaker.openings), call.error)


def _with(
    calls: Sequence[tuple[Micros, int, int]], now: Micros, window: Micros, failed: bool
) -> tuple[tuple[Micros, int, int], ...]:
    width = max(window // _BUCKETS, 1)
    start = now - now % width
    kept = [step for step in calls if step[0] > now - window]
    if kept and kept[-1][0] >= start:  # a host whose clock is behind counts into the newest step
        at, made, failures = kept.pop()
        return (*kept, (at, made + 1, failures + failed))
    return (*kept, (start, 1, int(failed)))
