"""Rates as they are written: `"5/m"`, `"10/30s"`, `(10, 3600)`, `{"max": 10, "window": 3600000}`, read into `Rate`."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeAlias, TypedDict, cast

from windlass.declare.refusal import refusal
from windlass.errors import InvalidOption
from windlass.values.clock import SECOND, Micros, micros
from windlass.values.limit import Rate

MOST = 1_000_000_000
_SHORTEST = 0.001
_FORMS = "a rate such as '5/m', '10/30s', (10, 3600) in seconds, or {'max': 10, 'window': 3600000} in milliseconds"
_TEXT = re.compile(r"\s*(\d{1,18})\s*/\s*(.*?)\s*")
_UNITS: Mapping[str, Micros] = {
    **dict.fromkeys(("s", "sec", "second"), SECOND),
    **dict.fromkeys(("m", "min", "minute"), 60 * SECOND),
    **dict.fromkeys(("h", "hr", "hour"), 3_600 * SECOND),
    **dict.fromkeys(("d", "day"), 86_400 * SECOND),
    **dict.fromkeys(("w", "week"), 604_800 * SECOND),
    "ms": 1_000,
}
_SHOWN: Sequence[tuple[Micros, str]] = (
    (86_400 * SECOND, "d"), (3_600 * SECOND, "h"), (60 * SECOND, "m"), (SECOND, "s"), (1_000, "ms"),
)  # fmt: skip


class RateDict(TypedDict):
    """The founding documents' form: `max` in any `window` of so many milliseconds."""

    max: int
    window: int


RateLike: TypeAlias = str | tuple[int, float | str | timedelta] | RateDict


def read_rate(given: object, field: str, burst: object = None) -> Rate:
    """The rate of any form that users write; raises `InvalidOption` naming `field`."""
    if isinstance(given, Rate):
        n, window = given.n, given.window
    elif isinstance(given, str):
        n, window = _of_text(given, field)
    elif is_rate_dict(given):
        n, window = _of_dict(cast("Mapping[str, Any]", given), field)
    elif isinstance(given, (tuple, list)):
        n, window = _of_pair(cast("Sequence[Any]", given), field)
    else:
        raise refusal(field, given, _FORMS, "write it as '5/m'")
    most = read_most(n, field)
    return Rate(most, window, None if burst is None else read_most(burst, f"{field}.burst"))


def is_rate_dict(given: object) -> bool:
    """Whether it is the form with `max` and `window`, not a mapping by plan."""
    return isinstance(given, Mapping) and bool({"max", "window"} & set(cast("Mapping[Any, Any]", given)))


def read_most(value: object, field: str, most: int = MOST) -> int:
    """A limit: a whole number from 1. Nought would hold its jobs for ever, so it is refused too."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most:
        return int(value)
    mend = "use a whole number in that range"
    if value == 0 and not isinstance(value, bool):
        mend = "jobs under a limit of 0 would wait for ever; pause the queue to stop it"
    raise refusal(field, value, f"1..{most}", mend)


def write_rate(rate: Rate) -> str:
    """A rate as it is written: `5/m`, `10/30s`."""
    for size, unit in _SHOWN:
        if rate.window % size == 0:
            count = rate.window // size
            return f"{rate.n}/{'' if count == 1 else count}{unit}"
    return f"{rate.n}/{rate.window / 1_000:g}ms"


def _of_text(given: str, field: str) -> tuple[int, Micros]:
    found = _TEXT.fullmatch(given)
    if found is None:
        raise refusal(field, given, _FORMS, "write it as '5/m'")
    number, unit = found.groups()
    return int(number), _UNITS.get(unit) or _window(unit, given, field)


def _of_pair(given: Sequence[Any], field: str) -> tuple[int, Micros]:
    if len(given) != 2:
        raise refusal(field, given, _FORMS, "give the number and the window in seconds")
    return given[0], _window(given[1], given, field)


def _of_dict(given: Mapping[str, Any], field: str) -> tuple[int, Micros]:
    window = given.get("window")
    if set(given) != {"max", "window"} or isinstance(window, bool) or not isinstance(window, (int, float)):
        raise refusal(field, dict(given), _FORMS, "give max, and window in milliseconds")
    return given["max"], _window(window / 1_000, given, field)


def _window(value: Any, given: object, field: str) -> Micros:
    try:
        return micros(value, f"{field}.window", minimum=_SHORTEST)
    except InvalidOption as error:
        raise refusal(field, given, "counted over a window of 1 ms to 100 years", error.facts["mend"]) from None
