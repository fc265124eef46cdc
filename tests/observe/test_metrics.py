"""`app.metrics` against what is known to have happened: counts exactly, times within 3 %."""

import asyncio
import random
from datetime import UTC, datetime, timedelta

import pytest

from tests.observe.truth import START, Truth, at, live, rank
from tests.store.kit import HOUR
from windlass import InvalidOption, Windlass, fixed
from windlass.observe import windows
from windlass.observe.figures import Figures, Times
from windlass.observe.frames import DAY, DAYS, HOURS, fold
from windlass.operate.retention import prune_all
from windlass.values.clock import SECOND, moment
from windlass.values.metrics import MINUTE
from windlass.values.query import Retention
from windlass.values.states import Event


def near(found: float, true: float) -> bool:
    return abs(found - true) <= 0.03 * true


def check_times(found: Times | None, true: list[float]) -> None:
    assert found is not None
    assert found.count == len(true)
    assert found.average == pytest.approx(sum(true) / len(true), abs=2e-6)
    assert near(found.median, rank(true, 0.50)), (found, rank(true, 0.50))
    assert near(found.p95, rank(true, 0.95)), (found, rank(true, 0.95))
    assert near(found.p99, rank(true, 0.99)), (found, rank(true, 0.99))


def check_counts(found: Figures, truth: Truth) -> None:
    wanted = {
        "completed": Event.COMPLETE,
        "failed": Event.FAIL,
        "cancelled": Event.ABORT,
        "retries": Event.RETRY,
        "snoozed": Event.SNOOZE,
    }
    for name, event in wanted.items():
        assert getattr(found, name) == truth.count(event, found.queue, found.kind), (name, found)
    completed, failed = found.completed, found.failed
    assert found.success_rate == pytest.approx(completed / (completed + failed), abs=1e-6)


async def test_thousands_of_jobs(app: Windlass) -> None:
    truth, rng = Truth(), random.Random(7)
    async with app:
        store = await app.store()
        for back in (26 * HOUR, 25 * HOUR, 3 * HOUR + 5 * MINUTE, HOUR, 40 * MINUTE, MINUTE):
            await live(store, START + 2 * DAY - back, 500, truth, rng)
        await at(app, START + 2 * DAY)
        week = await app.metrics(last="7d")
        again = await app.metrics(last="7d")
        assert again == week, "what was added up in advance says the same"
        check_counts(week.total, truth)
        check_times(week.total.run, [x for each in truth.took.values() for x in each])
        check_times(week.total.wait, [x for each in truth.waited.values() for x in each])
        assert [figures.queue for figures in week.queues] == ["q0", "q1"]
        assert [figures.kind for figures in week.kinds] == ["k0", "k1", "k2"]
        assert len(week.pairs) == 6
        for figures in (*week.queues, *week.kinds, *week.pairs):
            check_counts(figures, truth)
        for figures in week.pairs:
            assert figures.queue and figures.kind
            check_times(figures.run, truth.took[figures.queue, figures.kind])
            check_times(figures.wait, truth.waited[figures.queue, figures.kind])
        one = await app.metrics(queue="q1", kind="k2", last="30d")
        check_counts(one.total, truth)
        check_times(one.total.run, truth.took["q1", "k2"])
        assert one.step == "day"
        assert sum(point.completed for point in one.series) == one.total.completed


async def test_ranges_and_steps(app: Windlass) -> None:
    truth, rng = Truth(), random.Random(8)
    async with app:
        store = await app.store()
        times = [START - 30 * MINUTE, START + 10 * MINUTE, START + 11 * MINUTE, START + 2 * HOUR]
        for instant in times:
            await live(store, instant, 60, truth, rng)
        await at(app, START + 3 * HOUR)
        done = [truth.at[instant, Event.COMPLETE] for instant in times]
        part = await app.metrics(since=moment(START), until=moment(START + HOUR), step="minute")
        assert part.total.completed == done[1] + done[2]
        assert len(part.series) == 60
        assert {point.at: point.completed for point in part.series if point.completed} == {
            moment(times[1]): done[1],
            moment(times[2]): done[2],
        }
        assert part.total.per_hour == pytest.approx(done[1] + done[2], abs=0.01)
        assert part.total.per_minute == pytest.approx((done[1] + done[2]) / 60, abs=0.01)
        hours = await app.metrics(last="4h", step="hour")
        assert [point.completed for point in hours.series] == [done[0], done[1] + done[2], 0, done[3], 0]
        assert hours.oldest == moment(START - HOUR)
        day = await app.metrics(last="24h")
        assert (day.step, len(day.series)) == ("hour", 25)
        assert day.total.completed == sum(done)
        assert (await app.metrics(last="1h")).total.completed == done[3]
        assert (await app.metrics(last="1h")).step == "minute"


async def test_hours_and_days_outlive_minutes(app: Windlass) -> None:
    truth, rng = Truth(), random.Random(9)
    async with app:
        store = await app.store()
        for days in (3, 2, 1):
            await live(store, START + 5 * DAY - days * DAY, 40, truth, rng)
        await at(app, START + 5 * DAY)
        assert await fold(store, 7 * DAY) > 0
        assert len(await store.records(DAYS)) >= 2
        before = await app.metrics(last="30d")
        check_counts(before.total, truth)
        await prune_all(store, Retention(completed=None, failed=None, cancelled=None, metrics=HOUR, audit=None))
        after = await app.metrics(last="30d")
        assert after == before


async def test_the_running_hour_is_never_kept(app: Windlass) -> None:
    truth, rng = Truth(), random.Random(10)
    async with app:
        store = await app.store()
        await live(store, START + 59 * MINUTE, 30, truth, rng)
        await at(app, START + HOUR + MINUTE)  # over, but a commit that began within it may still come
        check_counts((await app.metrics(last="24h")).total, truth)
        assert await store.records(HOURS) == []
        await live(store, START + 59 * MINUTE + 30 * SECOND, 30, truth, rng)
        await at(app, START + HOUR + 2 * MINUTE)
        check_counts((await app.metrics(last="24h")).total, truth)
        assert len(await store.records(HOURS)) == 1


async def test_two_readers_at_once(app: Windlass) -> None:
    truth, rng = Truth(), random.Random(11)
    async with app:
        store = await app.store()
        await live(store, START + MINUTE, 100, truth, rng)
        await at(app, START + 5 * HOUR)
        both = await asyncio.gather(*(app.metrics(last="24h") for _ in range(5)))
        assert all(each == both[0] for each in both)
        check_counts(both[0].total, truth)


async def test_a_worker_s_own_tallies(app: Windlass) -> None:
    """No held time, a real worker: every attempt is counted once, retries and failures told apart."""

    @app.job(kind="flaky", queue="odd", max_attempts=3, backoff=fixed(0))
    async def flaky(n: int) -> None:
        if n % 4 == 0:
            raise ValueError(n)

    @app.job(kind="fine", queue="even")
    def fine(n: int) -> int:
        return n

    async with app:
        await app.enqueue_many([flaky.job(n) for n in range(200)])
        await app.enqueue_many([fine.job(n) for n in range(200)])
        counts = {}
        for _ in range(10):
            await app.drain()
            counts = (await app.queues.stats())["odd"]
            if not counts["retrying"] + counts["waiting"] + counts["delayed"]:
                break
        found = await app.metrics(last="1h")
        by_kind = {figures.kind: figures for figures in found.kinds}
        assert (by_kind["flaky"].completed, by_kind["flaky"].failed, by_kind["flaky"].retries) == (150, 50, 100)
        assert by_kind["flaky"].success_rate == 0.75
        assert (by_kind["fine"].completed, by_kind["fine"].failed) == (200, 0)
        assert by_kind["flaky"].run is not None and by_kind["flaky"].run.count == 300


async def test_nothing_ran(app: Windlass) -> None:
    async with app:
        found = await app.metrics()
        assert found.total == Figures()
        assert (found.queues, found.kinds, found.pairs, found.oldest) == ((), (), (), None)
        assert all(point.completed == 0 and point.run_average is None for point in found.series)


@pytest.mark.parametrize(
    "asked",
    [
        {"last": "10s"},
        {"last": "soon"},
        {"since": datetime(2026, 1, 1)},
        {"since": datetime.now(UTC) + timedelta(days=1)},
        {"since": datetime(2020, 1, 1, tzinfo=UTC)},
        {"last": "30d", "step": "minute"},
        {"step": "week"},
        {"queue": "no such name!"},
    ],
)
async def test_what_cannot_be_asked(asked: dict[str, object]) -> None:
    async with Windlass("sqlite://:memory:") as app:
        with pytest.raises(InvalidOption):
            await app.metrics(**asked)  # type: ignore[arg-type]


async def test_windows_move_along_and_stay_exact(app: Windlass) -> None:
    """What is kept between questions is added to and taken from: every answer is what a fresh process says."""
    truth, rng = Truth(), random.Random(12)
    async with app:
        store = await app.store()
        for day in range(6):
            for hour in (1, 9):
                await live(store, START + day * DAY + hour * HOUR, 25, truth, rng)
            await at(app, START + day * DAY + 12 * HOUR)
            for last in ("2d", "4d", "30d", "5h"):
                found = await app.metrics(last=last)
                kept = windows._KEPT.pop(store)  # pyright: ignore[reportPrivateUsage]
                assert await app.metrics(last=last) == found, (day, last)
                windows._KEPT[store] = kept  # pyright: ignore[reportPrivateUsage]
        check_counts((await app.metrics(last="30d")).total, truth)
        one = await app.metrics(last="30d", queue="q0")
        check_counts(one.total, truth)
        check_times(one.total.run, [x for (queue, _), each in truth.took.items() if queue == "q0" for x in each])
