"""The numbers of a report, read once: the queue's figures, what failed, the app's analytics; all beside those before."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from zoneinfo import ZoneInfo

import msgspec

from windlass import Windlass
from windlass.catalogue.analytics_figures import analytics_of
from windlass.catalogue.analytics_periods import Period
from windlass.catalogue.analytics_queue import step_for

if TYPE_CHECKING:
    from windlass.observe.figures import Figures, Metrics

Number: TypeAlias = int | float | None

_MOST_ROWS = 100
_MOST_FAILURES = 20


class Compared(msgspec.Struct, frozen=True):
    """A number, what it was before, and by which share it changed; None where there is nothing to tell."""

    name: str
    value: Number
    before: Number = None
    change: float | None = None


class Line(msgspec.Struct, frozen=True):
    """A queue or a kind. Times are seconds, `before` the jobs completed in the period before."""

    name: str
    completed: int
    failed: int
    retries: int
    success_rate: Number
    run_average: Number
    run_p95: Number
    wait_average: Number
    cost: float
    before: int | None


class Failure(msgspec.Struct, frozen=True):
    """Dead letters that have an error in common."""

    type: str
    message: str
    letters: int
    kinds: tuple[str, ...]


class Bar(msgspec.Struct, frozen=True):
    """An hour or a day of the chart."""

    label: str
    completed: int
    failed: int
    before: int | None


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What all formats of a report are made of. `before`: the period that it is compared with, None if nothing is known of it."""

    kind: Literal["daily", "weekly"]
    period: str
    since: datetime
    until: datetime
    timezone: str
    tenant: str
    currency: str
    before: str | None
    totals: tuple[Compared, ...]
    queues: tuple[Line, ...]
    kinds: tuple[Line, ...]
    failures: tuple[Failure, ...]
    analytics: tuple[Compared, ...]
    bars: tuple[Bar, ...]


async def snapshot(
    app: Windlass, kind: Literal["daily", "weekly"], period: Period, tenant: str, other: Period | None
) -> Snapshot:
    """Read all numbers of a report. Raises `RangeRefused` for weeks that begin inside an hour of UTC."""
    now = await _metrics(app, period)
    then = None if other is None else await _metrics(app, other)
    if then is not None and not then.queues:
        then = None
    return Snapshot(
        kind=kind,
        period=period.label,
        since=period.since,
        until=period.until,
        timezone=period.zone,
        tenant=tenant,
        currency=now.currency,
        before=other.label if other is not None and then is not None else None,
        totals=_totals(now, then),
        queues=_lines(now.queues, [] if then is None else then.queues, "queue", then is not None),
        kinds=_lines(now.kinds, [] if then is None else then.kinds, "kind", then is not None),
        failures=await _failures(app, period),
        analytics=await _analytics(app, period, other, tenant),
        bars=_bars(now, then, kind, period.zone),
    )


def compared(name: str, value: Number, before: Number) -> Compared:
    """A number beside the one before."""
    change = None
    if value is not None and before:
        change = round((value - before) / abs(before), 4)
    return Compared(name, value, before, change)


async def _metrics(app: Windlass, period: Period) -> "Metrics":
    step = step_for(period.since, period.until)
    if step == "minute" and not period.since.minute:
        step = "hour"
    return await app.metrics(since=period.since, until=period.until, step=step)


def _totals(now: "Metrics", then: "Metrics | None") -> tuple[Compared, ...]:
    before = None if then is None else _figures(then.total)
    return tuple(
        compared(name, value, None if before is None else before[name]) for name, value in _figures(now.total).items()
    )


def _figures(found: "Figures") -> dict[str, Number]:
    return {
        "completed": found.completed,
        "failed": found.failed,
        "success_rate": found.success_rate,
        "retries": found.retries,
        "rescues": found.rescues,
        "run_average": None if found.run is None else found.run.average,
        "run_p95": None if found.run is None else found.run.p95,
        "wait_average": None if found.wait is None else found.wait.average,
        "cost": float(found.cost),
    }


def _lines(
    now: "Sequence[Figures]", then: "Iterable[Figures]", which: Literal["queue", "kind"], is_compared: bool
) -> tuple[Line, ...]:
    before = {getattr(each, which): each.completed for each in then}
    ordered = sorted(now, key=lambda each: (-(each.completed + each.failed), getattr(each, which)))
    return tuple(
        Line(
            name=getattr(each, which),
            completed=each.completed,
            failed=each.failed,
            retries=each.retries,
            success_rate=each.success_rate,
            run_average=None if each.run is None else each.run.average,
            run_p95=None if each.run is None else each.run.p95,
            wait_average=None if each.wait is None else each.wait.average,
            cost=float(each.cost),
            before=before.get(getattr(each, which), 0) if is_compared else None,
        )
        for each in ordered[:_MOST_ROWS]
    )


async def _failures(app: Windlass, period: Period) -> tuple[Failure, ...]:
    """Error groups whose dead letters fell in the period, as far as those are still there."""
    found = await app.errors.list()
    there = [
        each for each in found if each.last and each.first and each.last >= period.since and each.first < period.until
    ]
    there.sort(key=lambda each: (-each.letters, each.type, each.message))
    return tuple(
        Failure(each.type, each.message[:200], each.letters, tuple(sorted(each.kinds)))
        for each in there[:_MOST_FAILURES]
    )


async def _analytics(app: Windlass, period: Period, other: Period | None, tenant: str) -> tuple[Compared, ...]:
    """What was aggregated of the period, the queue's own figures left out: those are in the report anyway."""
    wanted = [period] if other is None else [period, other]
    found = {bucket.period: bucket.values for bucket in await analytics_of(app).read(*wanted, tenant=tenant)}
    before: Mapping[str, Any] = {} if other is None else found.get(other, {})
    return tuple(
        compared(name, value, before.get(name))
        for name, value in found.get(period, {}).items()
        if not name.startswith("jobs.")
    )


def _bars(now: "Metrics", then: "Metrics | None", kind: Literal["daily", "weekly"], zone: str) -> tuple[Bar, ...]:
    mine = _by_label(now, kind, zone)
    theirs = None if then is None else list(_by_label(then, kind, zone).values())
    found: list[Bar] = []
    for number, (label, (completed, failed)) in enumerate(mine.items()):
        before = theirs[number][0] if theirs is not None and number < len(theirs) else None
        found.append(Bar(label, completed, failed, before))
    return tuple(found)


def _by_label(found: "Metrics", kind: Literal["daily", "weekly"], zone: str) -> dict[str, tuple[int, int]]:
    """Completed and failed by local hour or day, in their order; an hour that the clock repeats is one bar."""
    form, local = ("%H" if kind == "daily" else "%a %d"), ZoneInfo(zone)
    sums: dict[str, tuple[int, int]] = {}
    for point in found.series:
        label = point.at.astimezone(local).strftime(form)
        completed, failed = sums.get(label, (0, 0))
        sums[label] = (completed + point.completed, failed + point.failed)
    return sums


def as_json(taken: Snapshot) -> bytes:
    """The snapshot as the format `json`, and as what its address is made of: the same numbers, the same bytes."""
    return msgspec.json.format(msgspec.json.encode(taken, order="deterministic"), indent=2) + b"\n"


__all__ = ["Bar", "Compared", "Failure", "Line", "Snapshot", "as_json", "compared", "snapshot"]
