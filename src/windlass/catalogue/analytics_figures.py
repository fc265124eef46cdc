"""What is aggregated: sources of rows that an app registers, metrics by name made of them, the queue's own; and the records."""

import inspect
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias, TypeVar, cast
from weakref import WeakKeyDictionary

from windlass import InvalidOption, Windlass, WindlassError
from windlass.catalogue.analytics_periods import Grain, Period
from windlass.catalogue.analytics_queue import OWN, own_figures
from windlass.catalogue.analytics_tallies import BadRows, How, Tally
from windlass.keyed import Keyed

F = TypeVar("F", bound=Callable[..., Any])
Row: TypeAlias = Mapping[str, Any]

_KEEP: Mapping[Grain, str] = {
    "hourly": "90d",
    "daily": "800d",
    "weekly": "3650d",
    "monthly": "3650d",
    "custom": "400d",
}
_TRIES = 20


class UnknownMetric(WindlassError, ValueError):
    """`metric`, `known`: nobody has said what it is."""

    code = "unknown-metric"
    retryable = False


@dataclass(frozen=True, slots=True)
class Span:
    """What a source is asked for: the rows of [`since`, `until`), in UTC, of a tenant."""

    since: datetime
    until: datetime
    tenant: str


@dataclass(frozen=True, slots=True)
class Metric:
    """How a metric is made. `over`, `under`: a ratio of two others."""

    name: str
    source: str = ""
    how: How = "count"
    field: str = ""
    where: Callable[[Any], object] | None = None
    over: str = ""
    under: str = ""


@dataclass(frozen=True, slots=True)
class Bucket:
    """The figures of a period. `complete`: it was over when they were reckoned. None: there was nothing to reckon it of."""

    period: Period
    values: Mapping[str, float | None]
    rows: int
    complete: bool


class Analytics:
    """The metrics of an app: `analytics_of(app)`."""

    def __init__(self, app: Windlass) -> None:
        self._app = app
        self._sources: dict[str, Callable[[Span], Any]] = {}
        self._metrics: dict[str, Metric] = {}
        self._kept = Keyed(app, "analytics")

    def source(self, name: str) -> Callable[[F], F]:
        """Register what gives rows: `@analytics.source("orders")` above a function of a `Span`. It returns mappings, or yields
        them; async or not."""

        def register(fn: F) -> F:
            if name in self._sources:
                raise InvalidOption(f"there is a source {name!r} already", field="source", value=name)
            self._sources[name] = fn
            return fn

        return register

    def metric(
        self,
        name: str,
        source: str,
        how: How = "count",
        field: str = "",
        *,
        where: Callable[[Any], object] | None = None,
    ) -> None:
        """A metric of a source's rows: how many, or what a field comes to. `where`: only of the rows for which it is true."""
        if how != "count" and not field:
            raise InvalidOption(f"the metric {name!r} needs a field", field="field", value=field, mend="name a field")
        self._put(Metric(name, source, how, field, where))

    def ratio(self, name: str, over: str, under: str) -> None:
        """A metric that is one by another, as `conversion_rate` is `purchases` by `page_views`; of the sums of each period,
        never an average of ratios."""
        self._put(Metric(name, over=over, under=under))

    def known(self) -> tuple[str, ...]:
        """All metrics: the app's, then the queue's own."""
        return (*self._metrics, *OWN)

    def choose(self, names: Sequence[str]) -> tuple[str, ...]:
        """The names if all of them are known, all metrics if there are none. Raises `UnknownMetric`."""
        for name in names:
            if name not in self._metrics and name not in OWN:
                raise UnknownMetric(
                    f"there is no metric {name!r}; there are: {', '.join(self.known())}",
                    metric=name,
                    known=list(self.known()),
                    mend="declare it with analytics_of(app).metric(...) in the program of the workers",
                )
        return tuple(dict.fromkeys(names)) or self.known()

    async def aggregate(self, period: Period, names: Sequence[str], tenant: str = "default") -> Bucket:
        """Reckon the metrics of a period and write its record; metrics of it that are not asked for stay."""
        is_over = period.until <= datetime.now(UTC)
        values, rows = await self._reckon(period, names, tenant)
        key = _key(tenant, period)
        for _ in range(_TRIES):
            there = (await self._kept.get_many([key])).get(key)
            before: dict[str, Any] = {} if there is None else there.value["values"]
            merged = {**before, **values}
            record = {"values": merged, "rows": rows, "complete": is_over}
            expect = 0 if there is None else there.version
            if await self._kept.put(key, record, expect=expect, ttl=_KEEP[period.grain]) is not None:
                return Bucket(period, {name: values[name] for name in names}, rows, is_over)
        raise ConnectionError(f"{_TRIES} others were writing the record {key}")  # temporary: the job comes again

    async def read(self, *wanted: Period, tenant: str = "default") -> list[Bucket]:
        """The records of these periods, as far as there are any."""
        keys = {_key(tenant, period): period for period in wanted}
        found = await self._kept.get_many(keys)
        return [
            Bucket(period, found[key].value["values"], found[key].value["rows"], found[key].value["complete"])
            for key, period in keys.items()
            if key in found
        ]

    def _put(self, metric: Metric) -> None:
        if metric.name in self._metrics or metric.name.startswith("jobs."):
            raise InvalidOption(f"there is a metric {metric.name!r} already", field="metric", value=metric.name)
        for part in (metric.over, metric.under):
            known = self._metrics.get(part)
            if part and part not in OWN and (known is None or known.over):
                raise InvalidOption(
                    f"there is no metric {part!r} to make {metric.name!r} of", field="metric", value=part
                )
        self._metrics[metric.name] = metric

    async def _reckon(self, period: Period, names: Sequence[str], tenant: str) -> tuple[dict[str, float | None], int]:
        wanted = dict.fromkeys(part for name in names for part in self._parts(name))
        values: dict[str, float | None] = {}
        rows = 0
        by_source: dict[str, list[Metric]] = {}
        for name in wanted:
            metric = self._metrics.get(name)
            if metric is not None and metric.source:
                by_source.setdefault(metric.source, []).append(metric)
        for source, metrics in by_source.items():
            tallies = {metric.name: Tally(metric.name, source, metric.how, metric.field) for metric in metrics}
            async for row in self._rows(source, Span(period.since, period.until, tenant)):
                rows += 1
                for metric in metrics:
                    if metric.where is None or metric.where(row):
                        tallies[metric.name].add(row)
            values |= {name: tally.value for name, tally in tallies.items()}
        if any(name in OWN for name in wanted):
            values |= await own_figures(self._app, period, [name for name in wanted if name in OWN])
        for name in names:
            metric = self._metrics.get(name)
            if metric is not None and metric.over:
                over, under = values[metric.over], values[metric.under]
                values[name] = round(over / under, 9) if over is not None and under else None
        return {name: values[name] for name in wanted}, rows

    def _parts(self, name: str) -> list[str]:
        metric = self._metrics.get(name)
        return [name] if metric is None or not metric.over else [metric.over, metric.under, name]

    async def _rows(self, name: str, span: Span) -> AsyncIterator[Row]:
        fn = self._sources.get(name)
        if fn is None:
            raise UnknownMetric(f"there is no source {name!r}", metric=name, known=list(self._sources))
        found: Any = fn(span)
        if inspect.isawaitable(found):
            found = await found
        if hasattr(found, "__aiter__"):
            async for row in cast("AsyncIterator[Row]", found):
                yield row
            return
        for row in cast("Iterable[Row]", found):
            yield row


def _key(tenant: str, period: Period) -> str:
    return f"{tenant}:{period.key}"


_OF: "WeakKeyDictionary[Windlass, Analytics]" = WeakKeyDictionary()


def analytics_of(app: Windlass) -> Analytics:
    """The sources and metrics of an app, to declare them and to read their figures."""
    found = _OF.get(app)
    if found is None:
        found = _OF[app] = Analytics(app)
    return found


__all__ = ["Analytics", "BadRows", "Bucket", "How", "Span", "UnknownMetric", "analytics_of"]
