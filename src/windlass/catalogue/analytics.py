"""`analytics-aggregation`: metrics by name over hours, days, weeks, months and ranges; run again, the same record is written."""

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from windlass import Context
from windlass.catalogue.analytics_figures import (
    Analytics,
    BadRows,
    Bucket,
    How,
    Span,
    UnknownMetric,
    analytics_of,
)
from windlass.catalogue.analytics_periods import (
    Grain,
    Period,
    as_text,
    check_zone,
    last_closed,
    periods,
    read_edge,
    reference,
)
from windlass.catalogue.inputs import JobInput, Output, Part
from windlass.catalogue.installing import kit_of

Edge = Annotated[str, BeforeValidator(as_text), Field(min_length=4, max_length=40)]
MetricName = Annotated[str, Field(min_length=1, max_length=100)]

_SHOWN = 50


class DateRange(Part):
    """From `start` to before `end`; see `read_edge` for ends that are written as a last second."""

    start: Edge
    end: Edge


class AnalyticsInput(JobInput):
    """What to aggregate. Without `date_range`: the last period that was over when the job was due, and up to `catch_up` earlier
    ones that have no record yet. `metrics`: by name; none means all that the app has."""

    type: Grain = "daily"
    date_range: DateRange | None = None
    metrics: Annotated[tuple[MetricName, ...], Field(max_length=200)] = ()
    timezone: Annotated[str, Field(max_length=64)] = "UTC"
    catch_up: Annotated[int, Field(ge=0, le=168)] = 24

    @model_validator(mode="after")
    def _fits(self) -> Self:
        check_zone(self.timezone)
        if self.date_range is not None:
            list(self.spans())
        elif self.type == "custom":
            raise ValueError("type custom needs a dateRange")
        return self

    def spans(self) -> "list[Period]":
        """The periods of the range."""
        if self.date_range is None:
            return []
        since = read_edge(self.date_range.start, self.timezone, is_end=False)
        until = read_edge(self.date_range.end, self.timezone, is_end=True)
        return list(periods(self.type, since, until, self.timezone))


class Written(Output):
    """The figures of one period. `complete`: it was over when they were reckoned."""

    label: str
    since: str
    until: str
    values: dict[str, int | float | None]
    complete: bool


class AnalyticsOutput(Output):
    """What was written. `periods`: how many; `newest`: the last 50 of them; `rows`: how many rows the sources gave."""

    type: str
    periods: int
    rows: int
    metrics: tuple[str, ...]
    newest: tuple[Written, ...]


async def aggregate(ctx: Context, given: AnalyticsInput) -> AnalyticsOutput:
    """Reckon the figures of each period and keep them under the period's key, over what an earlier run left there."""
    kit = kit_of(ctx)
    analytics = analytics_of(kit.app)
    names = analytics.choose(given.metrics)
    wanted = given.spans() or await _due(ctx, given, analytics)
    made: list[Bucket] = []
    for number, period in enumerate(wanted):
        ctx.progress(100 * number / len(wanted), period.label)
        made.append(await analytics.aggregate(period, names, given.tenant))
    return AnalyticsOutput(
        type=given.type,
        periods=len(made),
        rows=sum(bucket.rows for bucket in made),
        metrics=names,
        newest=tuple(_written(bucket) for bucket in made[-_SHOWN:]),
    )


async def _due(ctx: Context, given: AnalyticsInput, analytics: Analytics) -> list[Period]:
    """The last closed period, behind those before it that nobody aggregated: while no worker ran, the schedule fired once."""
    last = last_closed(given.type, reference(ctx.job), given.timezone)
    earlier: list[Period] = []
    for _ in range(given.catch_up):
        earlier.append((earlier[-1] if earlier else last).before())
    known = {bucket.period.key for bucket in await analytics.read(*earlier, tenant=given.tenant) if bucket.complete}
    return [*(period for period in reversed(earlier) if period.key not in known), last]


def _written(bucket: Bucket) -> Written:
    period = bucket.period
    facts: dict[str, Any] = {"label": period.label, "values": bucket.values, "complete": bucket.complete}
    return Written(since=period.since.isoformat(), until=period.until.isoformat(), **facts)


__all__ = [
    "Analytics",
    "AnalyticsInput",
    "AnalyticsOutput",
    "BadRows",
    "Bucket",
    "How",
    "Span",
    "UnknownMetric",
    "aggregate",
    "analytics_of",
]
