"""When to try again: backoff builders, the retry policy, and both dict spellings of the founding documents."""

import random
from collections.abc import Callable, Mapping, Set
from typing import Any, Literal, TypeAlias, cast

import msgspec

from windlass.errors import InvalidOption
from windlass.values.clock import Duration, seconds

DEFAULT_ATTEMPTS = 3
MOST_ATTEMPTS = 1_000
LONGEST_DELAY = 365 * 86_400.0
"""No retry waits longer than a year, whatever the formula says."""


class Backoff(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A backoff that can be stored with a job. Call it with the number of the attempt that failed (1, 2, ...).

    Returns seconds. `jitter` 0.2 spreads each delay evenly over ±20 %, so that 10,000 failures do not return together.
    """

    shape: Literal["exponential", "linear", "fixed"] = "exponential"
    base: float = 2.0
    factor: float = 2.0
    cap: float = 300.0
    jitter: float = 0.2

    def __call__(self, attempt: int) -> float:
        return _spread(min(self._plain(attempt), self.cap), self.jitter)

    def _plain(self, attempt: int) -> float:
        if self.shape == "fixed":
            return self.base
        if self.shape == "linear":
            return self.base * attempt
        try:
            return self.base * self.factor ** (attempt - 1)
        except OverflowError:
            return self.cap


BackoffLike: TypeAlias = Callable[[int], float]


def exponential(base: Duration, *, factor: float = 2, cap: Duration = "5m", jitter: float = 0.2) -> Backoff:
    """`base`, `base * factor`, `base * factor**2`, ... never above `cap`."""
    if not 1 <= factor <= 100:
        raise InvalidOption(
            f"factor is {factor!r}; it must be from 1 to 100",
            field="factor",
            value=factor,
            limit="1..100",
            mend="use 2",
        )
    return Backoff(
        shape="exponential",
        base=seconds(base, "base"),
        factor=float(factor),
        cap=seconds(cap, "cap"),
        jitter=_jitter(jitter),
    )


def linear(step: Duration, *, cap: Duration = "5m", jitter: float = 0.2) -> Backoff:
    """`step`, `2 * step`, `3 * step`, ... never above `cap`."""
    return Backoff(shape="linear", base=seconds(step, "step"), cap=seconds(cap, "cap"), jitter=_jitter(jitter))


def fixed(delay: Duration, *, jitter: float = 0.0) -> Backoff:
    """Always `delay`."""
    base = seconds(delay, "delay")
    return Backoff(shape="fixed", base=base, cap=max(base, 300.0), jitter=_jitter(jitter))


DEFAULT_BACKOFF = Backoff()


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How often and how soon a failed job runs again. `max_attempts` counts the first run.

    `backoff` may be any callable (attempt: int) -> seconds; only `Backoff` values can travel with a single job.
    """

    max_attempts: int = DEFAULT_ATTEMPTS
    backoff: BackoffLike = DEFAULT_BACKOFF

    def __post_init__(self) -> None:
        check_attempts(self.max_attempts)
        if not callable(self.backoff):
            shown = repr(self.backoff)[:100]
            raise InvalidOption(
                f"backoff is {shown}; it must be exponential(...), linear(...), fixed(...) or a callable",
                field="backoff",
                value=shown,
                limit="callable (attempt) -> seconds",
                mend="use exponential('2s')",
            )


def check_attempts(value: object, field: str = "max_attempts") -> int:
    """`value` if it is a whole number from 1 to 1,000; else `InvalidOption`."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_ATTEMPTS:
        return value
    shown = repr(value)[:100]
    raise InvalidOption(
        f"{field} is {shown}; it must be a whole number from 1 to {MOST_ATTEMPTS} (it counts the first run)",
        field=field,
        value=shown,
        limit=f"1..{MOST_ATTEMPTS}",
        mend="use 1 for a job that must not be tried again",
    )


def delay_after(backoff: BackoffLike, attempt: int) -> float:
    """Seconds to wait after failed attempt `attempt`; a backoff that raises or returns nonsense falls back to the default."""
    try:
        delay = float(backoff(attempt))
    except Exception:
        delay = -1.0
    if not delay >= 0.0:  # also NaN
        delay = DEFAULT_BACKOFF(attempt)
    return min(delay, LONGEST_DELAY)


def read_policy(given: Mapping[str, Any]) -> RetryPolicy:
    """A policy from either founding spelling; numbers are milliseconds there.

    `{"attempts": 3, "backoff": {"type": "exponential", "delay": 2000}}` or
    `{"type": "exponential", "delay": 2000, "maxAttempts": 5, "backoffMultiplier": 2, "maxDelay": 300000}`.
    """
    _check_keys(given, {"attempts", "maxAttempts", "backoff", *_BACKOFF_KEYS}, "retry")
    attempts = check_attempts(given.get("maxAttempts", given.get("attempts", DEFAULT_ATTEMPTS)), "retry.maxAttempts")
    if "backoff" not in given:
        return RetryPolicy(max_attempts=attempts, backoff=_read_backoff(given, "retry"))
    inner: Any = given["backoff"]
    if isinstance(inner, (int, float)):
        inner = {"type": "fixed", "delay": inner}
    if not isinstance(inner, Mapping):
        raise _wrong("retry.backoff", inner, "dict or milliseconds", "write {'type': 'exponential', 'delay': 2000}")
    backoff = cast(Mapping[str, Any], inner)
    _check_keys(backoff, _BACKOFF_KEYS, "retry.backoff")
    return RetryPolicy(max_attempts=attempts, backoff=_read_backoff(backoff, "retry.backoff"))


_BACKOFF_KEYS = frozenset({"type", "delay", "backoffMultiplier", "maxDelay", "jitter"})


def _read_backoff(given: Mapping[str, Any], where: str) -> Backoff:
    base = _number(given, "delay", 2_000, where) / 1_000
    cap = _number(given, "maxDelay", 300_000, where) / 1_000
    jitter = _number(given, "jitter", 0.2, where)
    shape = given.get("type", "exponential")
    if shape == "exponential":
        return exponential(base, factor=_number(given, "backoffMultiplier", 2, where), cap=cap, jitter=jitter)
    if shape == "linear":
        return linear(base, cap=cap, jitter=jitter)
    if shape == "fixed":
        return fixed(base, jitter=jitter)
    raise _wrong(f"{where}.type", shape, "exponential, linear or fixed", "or pass a callable as backoff=")


def _number(given: Mapping[str, Any], name: str, default: float, where: str) -> float:
    value = given.get(name, default)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= LONGEST_DELAY * 1_000:
        return float(value)
    raise _wrong(f"{where}.{name}", value, "a number that is not negative", "times are in milliseconds here")


def _check_keys(given: Mapping[str, Any], allowed: Set[str], field: str) -> None:
    unknown = sorted(set(given) - allowed)
    if unknown:
        raise InvalidOption(
            f"{field} has unknown keys {unknown}", field=field, value=unknown, limit=sorted(allowed), mend="remove them"
        )


def _wrong(field: str, value: object, limit: str, mend: str) -> InvalidOption:
    shown = repr(value)[:100]
    return InvalidOption(f"{field} is {shown}; it must be {limit}", field=field, value=shown, limit=limit, mend=mend)


def _jitter(value: float) -> float:
    if not 0 <= value <= 1:
        raise InvalidOption(
            f"jitter is {value!r}; it must be from 0 to 1", field="jitter", value=value, limit="0..1", mend="use 0.2"
        )
    return float(value)


def _spread(delay: float, jitter: float) -> float:
    return delay * random.uniform(1 - jitter, 1 + jitter) if jitter else delay
