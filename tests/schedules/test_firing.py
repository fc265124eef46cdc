"""Firing: once per due time whoever races, overlap, missed runs, jitter, and workers that stand still or die."""

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.schedules.kit import hold
from tests.store.kit import HOUR, T0
from tests.waiting import until
from tests.worker.crew import ROOT
from tests.worker.kit import working
from windlass.app import Windlass
from windlass.running.context import Context
from windlass.store import Store
from windlass.values.clock import SECOND, moment
from windlass.values.job import NewJob
from windlass.values.query import AuditQuery
from windlass.values.schedule import Rule, ScheduleRow, jitter, job_for, plan, read_rule
from windlass.values.states import State
from windlass.worker.firing import Firing

NOW = moment(T0)


async def row_of(store: Store, key: str) -> ScheduleRow:
    return next(row for row in await store.schedules() if row.key == key)


async def due_times(app: Windlass, key: str) -> list[datetime]:
    """The due times that the schedule's jobs were made for, oldest first."""
    page = await app.schedules.history(key, limit=1_000)
    assert page.next is None
    tags = [[tag for tag in job.tags if tag.startswith("due:")] for job in page.items]
    return sorted(datetime.fromisoformat(due.removeprefix("due:")) for (due,) in tags)


async def dues(app: Windlass, key: str) -> list[int]:
    """The same in seconds since T0."""
    return [round((at - NOW).total_seconds()) for at in await due_times(app, key)]


def quiet(app: Windlass, store: Store) -> Firing:
    return Firing(store, app.stores.observers, lambda: None)


async def fire_all(firing: Firing) -> None:
    while await firing.step() == 0.0:
        pass


async def test_a_due_time_is_slept_for_exactly(app: Windlass) -> None:
    started: list[float] = []

    @app.job
    async def tick(ctx: Context) -> None:
        started.append(ctx.job.run_at.timestamp() if ctx.job.run_at else 0.0)

    async with app:
        store = await app.store()
        at = moment(await store.now() + 1_500_000)
        await app.schedules.put("once", tick.job(), at=at)
        async with working(app):
            await until(lambda: started, "the one-time schedule to fire")
            (job,) = (await app.schedules.history("once")).items
        assert job.created_at >= at
        row = await row_of(store, "once")
        assert (row.due, row.fired, row.last_job) == (None, 1, job.id)


async def test_eight_racing_workers_make_every_job_once(app: Windlass) -> None:
    """Eight workers on handles of their own, many schedules, a clock that jumps: no time twice, none left out."""
    rounds, schedules = 12, 10

    @app.job
    async def tick() -> None: ...

    async with app, AsyncExitStack() as stack:
        store = await app.store()
        await hold(app, T0)
        for number in range(schedules):
            await app.schedules.put(f"s{number}", tick.job(), every="10s", overlap="queue")
        firings: list[Firing] = []
        for _ in range(8):
            own = app.open_sibling()
            await own.open()
            stack.push_async_callback(own.close)
            firings.append(quiet(app, own))
        for step in range(1, rounds + 1):
            await hold(app, T0 + step * 10 * SECOND)
            await asyncio.gather(*map(fire_all, firings))
        for number in range(schedules):
            assert await dues(app, f"s{number}") == [10 * step for step in range(1, rounds + 1)]
            assert (await row_of(store, f"s{number}")).fired == rounds


async def test_racing_workers_catch_up_once(app: Windlass) -> None:
    @app.job
    async def tick() -> None: ...

    async with app:
        store = await app.store()
        await hold(app)
        await app.schedules.put("all", tick.job(), every="1m", overlap="queue", missed="run_all", catch_up=25)
        await app.schedules.put("once", tick.job(), every="1m", missed="run_once")
        await app.schedules.put("none", tick.job(), every="1h", missed="skip")
        await hold(app, T0 + 90 * 60 * SECOND)
        await asyncio.gather(*(fire_all(quiet(app, store)) for _ in range(8)))
        assert await dues(app, "all") == [60 * minute for minute in range(66, 91)]
        assert await dues(app, "once") == [90 * 60]
        assert await dues(app, "none") == []
        assert [row.due for row in await store.schedules()] == [
            T0 + 91 * 60 * SECOND,
            T0 + 2 * HOUR,
            T0 + 91 * 60 * SECOND,
        ]


async def test_skip_waits_for_the_run_before(app: Windlass) -> None:
    @app.job
    async def tick() -> None: ...

    async with app:
        firing = quiet(app, await app.store())
        await hold(app)
        await app.schedules.put("tick", tick.job(), every="1m")
        for minute in (1, 2, 3):
            await hold(app, T0 + minute * 60 * SECOND)
            await fire_all(firing)
        assert await dues(app, "tick") == [60], "the first still waits"
        row = await row_of(await app.store(), "tick")
        assert (row.fired, row.last_due) == (1, T0 + 180 * SECOND)
        await app.drain()
        await hold(app, T0 + 240 * SECOND)
        await fire_all(firing)
        assert await dues(app, "tick") == [60, 240]


async def test_queue_lets_runs_pile_up(app: Windlass) -> None:
    @app.job
    async def tick() -> None: ...

    async with app:
        firing = quiet(app, await app.store())
        await hold(app)
        await app.schedules.put("tick", tick.job(), every="1m", overlap="queue")
        for minute in (1, 2, 3):
            await hold(app, T0 + minute * 60 * SECOND)
            await fire_all(firing)
        assert await dues(app, "tick") == [60, 120, 180]


async def test_cancel_previous_stops_the_run_before(app: Windlass) -> None:
    begun: list[str] = []

    @app.job
    async def slow(ctx: Context) -> None:
        begun.append(ctx.id)
        await asyncio.sleep(3_600)

    async with app:
        store = await app.store()
        await hold(app)
        await app.schedules.put("slow", slow.job(), every="1m", overlap="cancel_previous")
        async with working(app):
            await hold(app, T0 + 60 * SECOND)
            await until(lambda: len(begun) == 1, "the first run")
            await hold(app, T0 + 120 * SECOND)
            await until(lambda: len(begun) == 2, "the second run")
            first, second = begun

            async def stopped() -> bool:
                return (await app.jobs.get(first)).state is State.CANCELLED

            await until(stopped, "the first run to be stopped")
            assert (await app.jobs.get(second)).state is State.ACTIVE
            assert [entry.actor for entry in await store.audit(AuditQuery(target=first))] == ["schedule:slow"]


async def test_jitter_delays_the_job_not_the_schedule(app: Windlass) -> None:
    @app.job
    async def tick() -> None: ...

    async with app:
        store = await app.store()
        firing = quiet(app, store)
        await hold(app)
        await app.schedules.put("tick", tick.job(), every="1h", overlap="queue", jitter="50m")
        for hour in (1, 2, 3):
            await hold(app, T0 + hour * HOUR)
            await fire_all(firing)
        rule = read_rule((await row_of(store, "tick")).spec)
        assert await dues(app, "tick") == [3_600, 7_200, 10_800]
        jobs = (await app.schedules.history("tick")).items
        wanted = [moment(T0 + hour * HOUR + jitter(rule, "tick", T0 + hour * HOUR)) for hour in (3, 2, 1)]
        assert [job.run_at for job in jobs] == wanted
        assert jobs[0].state is State.DELAYED


async def test_one_that_cannot_be_fired_does_not_stop_the_others(app: Windlass) -> None:
    @app.job
    async def tick() -> None: ...

    async with app:
        store = await app.store()
        await hold(app)
        strange = Rule(job=NewJob(id="", kind="tick"), cron="* * * * *", timezone="Mars/Olympus")
        spec = __import__("msgspec").json.encode(strange).decode()
        await store.put_schedules(
            [ScheduleRow(key="a", spec=spec, due=T0), ScheduleRow(key="b", spec="?", due=T0)], "x"
        )
        await app.schedules.put("z", tick.job(), every="1m")
        await hold(app, T0 + 60 * SECOND)
        await fire_all(quiet(app, store))
        assert await dues(app, "z") == [60]
        assert [row.due for row in await store.schedules()][:2] == [T0, T0]


async def test_a_decision_from_before_a_change_makes_nothing(app: Windlass) -> None:
    """The row was read, then the world went on: fired by another, paused, removed. The late commit finds the time gone."""

    @app.job
    async def tick() -> None: ...

    async def late(key: str, rows: dict[str, ScheduleRow]) -> bool:
        row = rows[key]
        assert row.due is not None
        rule = read_rule(row.spec)
        (step,) = plan(rule, row.due, row.last_due, row.due)
        store = await app.store()
        return await store.fire(key, step.due, step.next_due, job_for(rule, key, step.due, tick.job().id)) is not None

    async with app:
        store = await app.store()
        await hold(app)
        for key in ("fired", "paused", "removed", "resumed"):
            await app.schedules.put(key, tick.job(), every="1m")
        await hold(app, T0 + 60 * SECOND)
        rows = {row.key: row for row in await store.schedules()}
        await app.schedules.pause("paused")
        await app.schedules.pause("resumed")
        await app.schedules.resume("resumed")
        await app.schedules.remove("removed")
        await fire_all(quiet(app, store))
        for key in rows:
            assert not await late(key, rows), key
        assert await dues(app, "fired") == [60]
        for key in ("paused", "removed", "resumed"):
            assert await dues(app, key) == [], key


async def test_a_row_written_back_does_not_fire_a_second_time(app: Windlass) -> None:
    """A deploy read the row, another worker fired it, and the deploy writes what it had read."""

    @app.job
    async def tick() -> None: ...

    async with app:
        store = await app.store()
        await hold(app)
        await app.schedules.put("tick", tick.job(), every="1m", overlap="queue")
        await hold(app, T0 + 60 * SECOND)
        read = await row_of(store, "tick")
        await fire_all(quiet(app, store))
        await store.put_schedules([read], "deploy")
        await fire_all(quiet(app, store))
        assert await dues(app, "tick") == [60]
        row = await row_of(store, "tick")
        assert (row.due, row.fired) == (T0 + 120 * SECOND, 1)


@asynccontextmanager
async def program(app: Windlass, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`tests.schedules.racer` on the app's store, gone when the block ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.schedules.racer", app.url, app.namespace, *words, cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def said(process: asyncio.subprocess.Process, word: str) -> None:
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 30)
    assert line.decode().strip() == word


async def test_a_worker_frozen_between_deciding_and_firing_does_no_harm(shared: Windlass) -> None:
    @shared.job
    async def tick() -> None: ...

    async with shared, program(shared, "freeze") as frozen:
        store = await shared.store()
        await said(frozen, "ready")
        await shared.schedules.put("tick", tick.job(), every="1s", overlap="queue")
        await said(frozen, "decided")  # and stopped itself with SIGSTOP, holding no lock
        row = await row_of(store, "tick")
        assert row.due is not None
        firing = quiet(shared, store)

        async def went_on() -> bool:
            await fire_all(firing)
            return (await row_of(store, "tick")).fired >= 3

        await until(went_on, "the others to go on")
        before = await dues(shared, "tick")
        assert len(set(before)) == len(before)
        frozen.send_signal(signal.SIGCONT)
        await said(frozen, "lost")
        after = await dues(shared, "tick")
        assert len(set(after)) == len(after)


async def test_eight_processes_fire_a_seconds_schedule_once_a_second(shared: Windlass, scale: float) -> None:
    """Real worker processes, real time; one after the other is killed and started again."""
    lasting = round(6 * scale)

    @shared.job
    async def tick() -> None: ...

    async with shared, AsyncExitStack() as stack:
        store = await shared.store()
        begin = moment((await store.now() // SECOND + 4) * SECOND)
        end = begin + timedelta(seconds=lasting)
        for number in range(5):
            await shared.schedules.put(
                f"s{number}", tick.job(), every="1s", start=begin, overlap="queue", missed="run_all"
            )
        team = [await stack.enter_async_context(program(shared, "work")) for _ in range(8)]
        for process in team:
            await said(process, "ready")
        for second in range(lasting):
            await until(lambda second=second: _reached(store, begin + timedelta(seconds=second)), "the next second")
            team[second % 8].kill()
            team[second % 8] = await stack.enter_async_context(program(shared, "work"))

        async def all_fired() -> bool:
            dues = [row.due for row in await store.schedules()]
            return all(due is not None and moment(due) > end for due in dues)

        await until(all_fired, "every time to have fired")
        for number in range(5):
            times = Counter(at for at in await due_times(shared, f"s{number}") if at < end)
            assert times == {begin + timedelta(seconds=second): 1 for second in range(lasting)}


async def _reached(store: Store, at: Any) -> bool:
    return moment(await store.now()) >= at


@pytest.fixture
def scale() -> float:
    import os

    return min(5.0, float(os.environ.get("WINDLASS_TEST_SCALE", "1")))
