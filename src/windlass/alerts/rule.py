"""An alert rule as a value: what is watched, from when on it is too much, and whom to tell."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeAlias, TypedDict, get_args

import msgspec

from windlass.declare.refusal import refusal
from windlass.values.clock import Duration, seconds
from windlass.values.queue import LONGEST_NAME, check_name

SPACE = "alert-rule"
Watch: TypeAlias = Literal[
    "dead-letters",
    "error-rate",
    "queue-size",
    "queue-age",
    "worker-lost",
    "health",
    "breaker-open",
    "schedule-missed",
]
WATCHES: tuple[Watch, ...] = get_args(Watch)
MOST = 20
"""Queues and channels that one rule names."""


class AlertRule(msgspec.Struct, frozen=True, kw_only=True):
    """`threshold` is what `USUAL` says for each watch, from which on the rule fires: dead letters in the last `window`
    seconds of a queue, the share of failed jobs (0 to 1, of at least `least` that ended), waiting jobs, seconds that the
    oldest waits, lost workers, the level of a queue's health (1 degraded, 2 unhealthy), open breakers, seconds that a
    schedule is late. Per group (the queue, worker, provider or schedule) it fires once, and is told as resolved once.
    After that it stays silent about the group for `cool_down` seconds. `repeat`: tell again while it lasts. `queues`:
    patterns; empty for all."""

    name: str
    watch: Watch
    threshold: float
    window: float = 300.0
    least: int = 20
    queues: tuple[str, ...] = ()
    channels: tuple[str, ...] = ("log",)
    cool_down: float = 900.0
    repeat: float | None = None
    active: bool = True

    def covers(self, queue: str) -> bool:
        """Whether it is about this queue."""
        return not self.queues or any(fnmatchcase(queue, pattern) for pattern in self.queues)


USUAL: Mapping[Watch, float] = {
    "dead-letters": 1,
    "error-rate": 0.1,
    "queue-size": 1_000,
    "queue-age": 300,
    "worker-lost": 1,
    "health": 2,
    "breaker-open": 1,
    "schedule-missed": 120,
}


class RuleOptions(TypedDict, total=False):
    """What of a rule can be set besides its name and what it watches."""

    threshold: float | None
    window: Duration
    least: int
    queues: Sequence[str] | str
    channels: Sequence[str] | str
    cool_down: Duration
    repeat: Duration | None
    active: bool


def read_rule(name: object, watch: object, options: RuleOptions) -> AlertRule:
    """A checked rule; raises `InvalidOption`."""
    known: Watch | None = next((each for each in WATCHES if each == watch), None)
    if known is None:
        raise refusal("watch", watch, ", ".join(WATCHES), "use one of them")
    unknown = set(options) - RuleOptions.__annotations__.keys()
    if unknown:
        raise refusal("rule", sorted(unknown), ", ".join(RuleOptions.__annotations__), "correct the name")
    least = options.get("least", 20)
    if isinstance(least, bool) or not isinstance(least, int) or not 1 <= least <= 1_000_000:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise refusal("least", least, "1 to 1,000,000 jobs", "use 20")
    repeat = options.get("repeat")
    return AlertRule(
        name=check_name(name, "name"),
        watch=known,
        threshold=_threshold(known, options.get("threshold")),
        window=_span(options.get("window", 300.0), "window"),
        least=least,
        queues=_texts(options.get("queues", ()), "queues", 0),
        channels=_texts(options.get("channels", "log"), "channels", 1),
        cool_down=seconds(options.get("cool_down", 900.0), "cool_down"),
        repeat=None if repeat is None else _span(repeat, "repeat"),
        active=bool(options.get("active", True)),
    )


def _span(value: Duration, field: str) -> float:
    found = seconds(value, field, minimum=60.0)
    if found > 86_400 * 7:
        raise refusal(field, value, "a minute to a week", "use 5m")
    return found


def _threshold(watch: Watch, given: float | None) -> float:
    if given is None:
        return USUAL[watch]
    most = 1.0 if watch == "error-rate" else 3.0 if watch == "health" else 1e12
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 < given <= most:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise refusal("threshold", given, f"above 0, up to {most:g}", f"use {USUAL[watch]:g}")
    return float(given)


def _texts(given: Any, field: str, fewest: int) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) else tuple(given)
    if not fewest <= len(names) <= MOST or not all(isinstance(n, str) and 0 < len(n) <= LONGEST_NAME for n in names):
        raise refusal(field, given, f"{fewest} to {MOST} names", "name them")
    return tuple(dict.fromkeys(str(name) for name in names))
