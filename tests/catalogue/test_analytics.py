"""`analytics-aggregation`: periods to the second, metrics against a plain count, the queue's own, one record each."""

import itertools
import statistics
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.catalogue.tools import ENGINES, Studio, studio
from windlass.catalogue.analytics import AnalyticsInput, Span, analytics_of
from windlass.catalogue.analytics_periods import Period, last_closed, period_at, periods, read_edge
from windlass.catalogue.analytics_queue import RangeRefused, step_for
from windlass.catalogue.analytics_tallies import BadRows, Tally
from windlass.errors import InvalidArgs, InvalidOption


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


DAY = datetime(2026, 3, 2, tzinfo=UTC)


def shop(it: Studio, orders: list[dict[str, Any]], views: int = 40) -> list[Span]:
    """A shop's metrics; the spans that its sources are asked for."""
    asked: list[Span] = []
    analytics = analytics_of(it.app)

    @analytics.source("orders")
    async def _(span: Span) -> AsyncIterator[dict[str, Any]]:
        asked.append(span)
        for order in orders:
            if span.since <= order["at"] < span.until:
                yield order

    @analytics.source("views")
    def _(span: Span) -> list[dict[str, Any]]:
        return [{"page": f"/{n % 7}"} for n in range(views)]

    analytics.metric("page_views", "views")
    analytics.metric("pages", "views", "distinct", "page")
    analytics.metric("purchases", "orders", where=lambda order: order["paid"])
    analytics.metric("revenue", "orders", "sum", "price", where=lambda order: order["paid"])
    analytics.metric("dearest", "orders", "max", "price")
    analytics.ratio("conversion_rate", "purchases", "page_views")
    return asked


def order(hours: float, price: float | Decimal | str = 10, paid: bool = True) -> dict[str, Any]:
    return {"at": DAY + timedelta(hours=hours), "price": price, "paid": paid}


async def test_a_day_by_the_founding_document(engine: str, tmp_path: Path) -> None:
    async with studio(engine, tmp_path, "analytics") as it:
        # The last second of the day is in it, the first of the next one is not; a tenth and two tenths are three.
        orders = [order(0, 0.1), order(12, 0.2), order(23.9999, "99"), order(13, 500, paid=False), order(24, 1_000)]
        asked = shop(it, orders)
        found = await it.done(
            "analytics-aggregation",
            type="daily",
            dateRange={"start": "2026-03-02T00:00:00Z", "end": "2026-03-02T23:59:59Z"},
            metrics=["page_views", "purchases", "conversion_rate", "revenue", "dearest", "pages"],
        )
        assert (found["periods"], found["rows"]) == (1, 44)
        assert asked == [Span(DAY, DAY + timedelta(days=1), "default")]
        [bucket] = found["newest"]
        expected = {"page_views": 40, "purchases": 3, "conversion_rate": 0.075, "revenue": 99.3}
        assert bucket["values"] == expected | {"dearest": 500, "pages": 7}
        assert (bucket["label"], bucket["complete"]) == ("2026-03-02", True)


async def test_run_again_it_is_the_same_record(engine: str, tmp_path: Path) -> None:
    async with studio(engine, tmp_path, "analytics") as it:
        orders = [order(1), order(2)]
        shop(it, orders)
        day = period_at("daily", DAY, "UTC")
        given: dict[str, Any] = {"type": "daily", "dateRange": {"start": DAY, "end": day.until}}
        for _ in range(2):
            await it.done("analytics-aggregation", **given, metrics=["purchases", "revenue"])
        orders.append(order(3))
        await it.done("analytics-aggregation", **given, metrics=["purchases"])
        analytics = analytics_of(it.app)
        [bucket] = await analytics.read(day)
        assert bucket.values == {"purchases": 3, "revenue": 20}, "the other metric stays as it was"
        assert not await analytics.read(day, tenant="other")
        await it.done("analytics-aggregation", **given, metrics=["revenue"], tenant="other")
        assert [b.values for b in await analytics.read(day, tenant="other")] == [{"revenue": 30}]
        assert len(await (await it.app.store()).records("app.analytics")) == 2


async def test_every_grain_and_ranges(engine: str, tmp_path: Path) -> None:
    async with studio(engine, tmp_path, "analytics") as it:
        asked = shop(it, [order(hours) for hours in range(24 * 14)])
        week = {"start": "2026-03-02", "end": "2026-03-15"}
        for grain, count, first in (("hourly", 336, 1), ("daily", 14, 24), ("weekly", 2, 168)):
            asked.clear()
            found = await it.done("analytics-aggregation", type=grain, dateRange=week, metrics=["purchases"])
            assert (found["periods"], found["rows"]) == (count, 336)
            assert [b["values"]["purchases"] for b in found["newest"]] == [first] * min(count, 50)
            assert all(a.until == b.since for a, b in itertools.pairwise(asked)), "no gap, no overlap"
        month = {"start": "2026-03-01", "end": "2026-03-31"}
        found = await it.done("analytics-aggregation", type="monthly", dateRange=month, metrics=["purchases"])
        assert found["newest"][0]["label"] == "2026-03" and found["newest"][0]["values"]["purchases"] == 336
        odd = {"start": "2026-03-02T00:30:00+01:00", "end": "2026-03-02T05:00:00Z"}
        found = await it.done("analytics-aggregation", type="custom", dateRange=odd, metrics=["purchases"])
        assert found["newest"][0]["values"]["purchases"] == 5
        assert asked[-1].since == DAY - timedelta(minutes=30)


async def test_what_no_schedule_asked_for_is_made_up(engine: str, tmp_path: Path) -> None:
    async with studio(engine, tmp_path, "analytics", worker=True) as it:
        asked = shop(it, [])
        due = "due:2026-03-02T12:05:00+00:00"
        handler = it.handlers["analytics-aggregation"].options(tags=(due,))
        first = await (await handler.enqueue(type="hourly", metrics=["revenue"], catchUp=3)).result("20s")
        assert [written.label for written in first.newest] == [f"2026-03-02 {hour:02}:00" for hour in (8, 9, 10, 11)]
        later = it.handlers["analytics-aggregation"].options(tags=("due:2026-03-02T15:05:00+00:00",))
        again = await (await later.enqueue(type="hourly", metrics=["revenue"], catchUp=5)).result("20s")
        assert [written.label[-5:] for written in again.newest] == ["12:00", "13:00", "14:00"], "others are there"
        assert again.newest[-1].values == {"revenue": 0}
        assert len(asked) == 7


async def test_the_queue_s_own_figures(engine: str, tmp_path: Path) -> None:
    async with studio(engine, tmp_path, "analytics") as it:

        @it.app.job(queue="work", max_attempts=1)
        async def work(ok: bool) -> None:
            if not ok:
                raise ValueError("no")

        refs = [await work.enqueue(ok) for ok in (True, True, True, False)]
        from tests.worker.kit import ended

        for ref in refs:
            await ended(it.app, ref.id)
        now = datetime.now(UTC).replace(second=0, microsecond=0)
        span = {"start": now - timedelta(minutes=5), "end": now + timedelta(minutes=5)}
        found = await it.done("analytics-aggregation", type="custom", dateRange=span)
        values = found["newest"][0]["values"]
        assert (values["jobs.completed"], values["jobs.failed"], values["jobs.success_rate"]) == (3, 1, 0.75)
        assert values["jobs.run_average"] >= 0 and values["jobs.cost"] == 0
        assert not found["newest"][0]["complete"], "the range is not over"
        long = {"start": "2026-01-01T00:30:00Z", "end": "2026-01-09T00:00:00Z"}
        said = await it.refused("analytics-aggregation", type="custom", dateRange=long, metrics=["jobs.cost"])
        assert "RangeRefused" in said and "whole hour" in said


async def test_what_is_refused(engine: str, tmp_path: Path) -> None:
    async with studio(engine, tmp_path, "analytics") as it:
        shop(it, [order(1, "a lot")])
        day = {"start": "2026-03-02", "end": "2026-03-02"}
        said = await it.refused("analytics-aggregation", dateRange=day, metrics=["clicks"])
        assert said.startswith("UnknownMetric") and "page_views" in said and "jobs.completed" in said
        said = await it.refused("analytics-aggregation", dateRange=day, metrics=["revenue"])
        assert said.startswith("BadRows") and "'a lot'" in said
        analytics_of(it.app).metric("taxes", "orders", "sum", "tax")
        assert "without the field 'tax'" in await it.refused("analytics-aggregation", dateRange=day, metrics=["taxes"])
        analytics_of(it.app).metric("lost", "nowhere")
        assert "no source 'nowhere'" in await it.refused("analytics-aggregation", dateRange=day, metrics=["lost"])
        analytics = analytics_of(it.app)
        for wrong in (
            lambda: analytics.metric("taxes", "orders"),
            lambda: analytics.metric("jobs.mine", "orders"),
            lambda: analytics.metric("tax", "orders", "sum"),
            lambda: analytics.ratio("rate", "purchases", "nothing"),
            lambda: analytics.ratio("rate", "conversion_rate", "purchases"),
            lambda: analytics.source("orders")(list),
        ):
            with pytest.raises(InvalidOption):
                wrong()


@pytest.mark.parametrize(
    "bad",
    [
        {"type": "yearly"},
        {"type": "custom"},
        {"dateRange": {"start": "2026-03-03", "end": "2026-03-01"}},
        {"dateRange": {"start": "2026-03-03T01:00:00Z", "end": "2026-03-04"}},
        {"dateRange": {"start": "2026-03-03", "end": "2026-03-04T11:00:00Z"}},
        {"type": "weekly", "dateRange": {"start": "2026-03-03", "end": "2026-03-09"}},
        {"type": "hourly", "dateRange": {"start": "2020-01-01", "end": "2026-01-01"}},
        {"dateRange": {"start": "yesterday", "end": "today"}},
        {"dateRange": {"start": "2026-03-03"}},
        {"timezone": "Mars/Olympus"},
        {"timezone": "../../etc/passwd"},
        {"catchUp": 100_000},
    ],
)
async def test_bad_inputs_are_refused_when_they_are_enqueued(bad: dict[str, Any], tmp_path: Path) -> None:
    async with studio(ENGINES[0], tmp_path, "analytics", worker=False) as it:
        with pytest.raises(InvalidArgs):
            await it.handlers["analytics-aggregation"].enqueue(**bad)


def test_schedules_by_the_clock() -> None:
    from windlass import Windlass, catalogue, presets

    app = Windlass("sqlite://:memory:")
    catalogue.install(app, families=["analytics"], schedules=True)
    presets.apply(app, presets.marketplace)
    crons = {
        "marketplace.analytics-hourly": "5 * * * *",
        "marketplace.analytics-daily": "0 1 * * *",
        "marketplace.analytics-weekly": "30 1 * * mon",
        "marketplace.analytics-monthly": "30 2 1 * *",
    }
    assert all(app.timetable.has(key) for key in crons)
    for work in catalogue.all_kinds()["analytics-aggregation"].schedules:
        assert crons[work.key] == work.cron
        AnalyticsInput.model_validate(dict(work.kwargs))


def test_days_are_as_long_as_they_are() -> None:
    zone = "Europe/Berlin"
    spring = period_at("daily", datetime(2026, 3, 29, 12, tzinfo=UTC), zone)
    autumn = period_at("daily", datetime(2026, 10, 25, 12, tzinfo=UTC), zone)
    assert (spring.until - spring.since, autumn.until - autumn.since) == (timedelta(hours=23), timedelta(hours=25))
    assert len(list(periods("hourly", autumn.since, autumn.until, zone))) == 25
    assert period_at("weekly", datetime(2027, 1, 1, 12, tzinfo=UTC), "UTC").label == "2026-W53"
    assert last_closed("monthly", datetime(2026, 3, 1, tzinfo=UTC), "UTC").label == "2026-02"
    # The clock of this zone skips midnight: the day begins at one.
    skipping = period_at("daily", datetime(2018, 11, 4, 12, tzinfo=UTC), "America/Sao_Paulo")
    assert skipping.since.astimezone(ZoneInfo("America/Sao_Paulo")).hour == 1
    assert skipping.until - skipping.since == timedelta(hours=23)
    half = period_at("hourly", datetime(2026, 3, 1, 12, 10, tzinfo=UTC), "Asia/Kolkata")
    assert half.since.minute == 30
    assert Period("custom", DAY, DAY + timedelta(hours=3)).before().since == DAY - timedelta(hours=3)


def test_ends_as_people_write_them() -> None:
    for text in ("2026-03-02", "2026-03-02T23:59:59Z", "2026-03-02T23:59:59.999Z", "2026-03-03T00:00:00Z"):
        assert read_edge(text, "UTC", is_end=True) == DAY + timedelta(days=1), text
    assert read_edge("2026-03-02T10:00:59Z", "UTC", is_end=False) == DAY + timedelta(hours=10, seconds=59)
    assert read_edge("2026-03-02", "Europe/Berlin", is_end=False) == DAY - timedelta(hours=1)
    assert read_edge("2026-03-02T01:00", "Europe/Berlin", is_end=False) == DAY
    with pytest.raises(RangeRefused):
        step_for(DAY + timedelta(seconds=1), DAY + timedelta(hours=1))


zones = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kolkata", "Australia/Lord_Howe", "America/Havana"]
)


@given(
    st.datetimes(datetime(2015, 1, 1), datetime(2030, 1, 1)),
    zones,
    st.sampled_from(["hourly", "daily", "weekly", "monthly"]),
)
def test_periods_follow_on_each_other(at: datetime, zone: str, grain: Any) -> None:
    at = at.replace(tzinfo=UTC)
    found = period_at(grain, at, zone)
    assert found.since <= at < found.until
    following = period_at(grain, found.until, zone)
    assert following.since == found.until and following.before() == found
    assert list(periods(grain, found.since, following.until, zone)) == [found, following]


@given(st.lists(st.one_of(st.integers(-(10**6), 10**6), st.decimals(-1000, 1000, places=2)), min_size=1, max_size=60))
def test_tallies_against_plain_python(numbers: list[Any]) -> None:
    rows = [{"n": n} for n in numbers]

    def tallied(how: Any) -> float | None:
        tally = Tally("m", "s", how, "n")
        for row in rows:
            tally.add(row)
        return tally.value

    exact = [Decimal(n) for n in numbers]
    assert tallied("count") == len(numbers)
    assert tallied("sum") == float(sum(exact))
    assert tallied("average") == pytest.approx(float(sum(exact)) / len(exact))
    assert (tallied("min"), tallied("max")) == (float(min(exact)), float(max(exact)))
    assert tallied("distinct") == len(set(numbers))
    assert tallied("p50") == float(statistics.median_low(exact))
    share = sorted(exact)[max(0, -(-95 * len(exact) // 100) - 1)]
    assert tallied("p95") == float(share)


def test_tallies_of_nothing_and_of_what_is_no_number() -> None:
    assert [Tally("m", "s", how, "n").value for how in ("count", "sum", "average", "p95")] == [0, 0, None, None]  # type: ignore[arg-type]
    empty = Tally("m", "s", "sum", "n")
    empty.add({"n": None})
    assert empty.value == 0
    for wrong in ("x", float("nan"), float("inf"), [], {}):
        with pytest.raises(BadRows):
            Tally("m", "s", "sum", "n").add({"n": wrong})
    with pytest.raises(BadRows):
        Tally("m", "s", "distinct", "n").add({"n": []})
