"""The queue's own metrics, by the names `jobs.completed`, `jobs.cost`, `jobs.run_p95` and the like."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from windlass import Windlass, WindlassError
from windlass.catalogue.analytics_periods import Period

_MOST_STEPS = 1_500
"""Steps that `app.metrics` gives at most."""
_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)


class RangeRefused(WindlassError, ValueError):
    """`since`, `until`: the queue's own metrics are not kept in so fine steps."""

    code = "range-refused"
    retryable = False


def _times(which: str, part: str) -> Callable[[Any], float | None]:
    def read(found: Any) -> float | None:
        times = getattr(found, which)
        return None if times is None else getattr(times, part)

    return read


def _plain(name: str) -> Callable[[Any], float | None]:
    def read(found: Any) -> float | None:
        value = getattr(found, name)
        return value if value is None or isinstance(value, int) else float(value)

    return read


OWN: Mapping[str, Callable[[Any], float | None]] = {
    **{f"jobs.{name}": _plain(name) for name in ("completed", "failed", "cancelled", "retries", "rescues")},
    "jobs.success_rate": _plain("success_rate"),
    "jobs.cost": _plain("cost"),
    "jobs.cpu": _plain("cpu"),
    "jobs.run_average": _times("run", "average"),
    "jobs.run_p95": _times("run", "p95"),
    "jobs.wait_average": _times("wait", "average"),
    "jobs.wait_p95": _times("wait", "p95"),
}


async def own_figures(app: Windlass, period: Period, names: Sequence[str]) -> dict[str, float | None]:
    """The queue's figures of a period. Raises `RangeRefused`."""
    step = step_for(period.since, period.until)
    found = (await app.metrics(since=period.since, until=period.until, step=step)).total
    return {name: OWN[name](found) for name in names}


def step_for(since: datetime, until: datetime) -> Literal["minute", "hour", "day"]:
    """The finest steps in which the metrics of so long a span can be read; they have to begin with one. Raises
    `RangeRefused`: a span that is rounded would tell other numbers than it says."""
    if until.second or until.microsecond or since.second or since.microsecond:
        raise _refuse(since, until, "minute")
    length = until - since
    if length <= _MOST_STEPS * _MINUTE:
        return "minute"
    if since.minute:
        raise _refuse(since, until, "hour (UTC)")
    if length <= _MOST_STEPS * _HOUR:
        return "hour"
    if since.hour:
        raise _refuse(since, until, "day (UTC)")
    return "day"


def _refuse(since: datetime, until: datetime, what: str) -> RangeRefused:
    return RangeRefused(
        f"metrics of jobs from {since.isoformat()} to {until.isoformat()} have to begin at a whole {what}",
        since=since.isoformat(),
        until=until.isoformat(),
        mend="give a range that does, or leave the metrics jobs.* out",
    )
