"""Expiry and deadlines: when a job must have started, and when it must be over whatever becomes of it."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.store.kit import Place
from tests.waiting import until
from windlass import Context, InvalidOption, RateLimited, Snooze, Windlass, fixed

SECOND = 1_000_000
START = 1_800_000_000 * SECOND


async def at(app: Windlass, seconds: float) -> None:
    await (await app.store()).hold_time(START + round(seconds * SECOND))


async def free(app: Windlass) -> None:
    await (await app.store()).hold_time(None)


async def test_times_that_no_engine_can_count_to(app: Windlass) -> None:
    @app.job
    async def work() -> None: ...

    async with app:
        await at(app, 0)
        first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
        gone = [await work.options(expires=first).enqueue(), await work.options(deadline=first).enqueue()]
        never = [await work.options(expires=last).enqueue(), await work.options(deadline=last).enqueue()]
        now, far = await work.options(run_at=first).enqueue(), await work.options(run_at=last).enqueue()
        await (await app.store()).promote(100)
        assert [(await ref.job()).reason for ref in gone] == ["expired", "expired"]
        assert [(await ref.job()).state for ref in (*never, now, far)] == ["waiting", "waiting", "waiting", "delayed"]
        await free(app)


async def test_a_job_that_has_not_started_by_its_deadline_expires(app: Windlass) -> None:
    @app.job(deadline="10s")
    async def work() -> None: ...

    async with app:
        await at(app, 0)
        ref = await work.enqueue()
        sooner = await work.options(expires="5s").enqueue()
        later = await work.options(deadline="1h").enqueue()
        kept = await work.options(expires="1h").enqueue()
        for job, seconds in ((ref, 10), (sooner, 5), (later, 3_600), (kept, 10)):
            expires_at = (await job.job()).expires_at
            assert expires_at is not None
            assert expires_at.timestamp() == START / SECOND + seconds
        await at(app, 11)
        await (await app.store()).promote(100)
        states = [((await job.job()).state, (await job.job()).reason) for job in (ref, sooner, later, kept)]
        assert states == [
            ("cancelled", "expired"),
            ("cancelled", "expired"),
            ("waiting", None),
            ("cancelled", "expired"),
        ]
        await free(app)


@pytest.mark.parametrize("how", ["error", "snooze", "limited"])
async def test_no_further_attempt_goes_past_it(app: Windlass, how: str) -> None:
    @app.job(deadline="10s", max_attempts=10, backoff=fixed("4s", jitter=0))
    async def work() -> None:
        if how == "error":
            raise ValueError("again")
        raise Snooze("4s") if how == "snooze" else RateLimited(after="4s")

    async with app:
        await at(app, 0)
        ref = await work.enqueue()
        for second in (0, 4, 8):
            await at(app, second)
            assert await app.drain() == 1
        job = await ref.job()
        assert (job.state, job.reason) == ("failed", "deadline")
        assert job.attempt == (3 if how == "error" else 1)
        assert job.error is not None
        await free(app)


async def test_a_retry_that_was_left_lying_is_not_begun(app: Windlass) -> None:
    ran: list[int] = []

    @app.job(deadline="10s", max_attempts=10, backoff=fixed("1s", jitter=0))
    async def work() -> None:
        ran.append(1)
        raise ValueError("again")

    async with app:
        await at(app, 0)
        ref = await work.enqueue()
        await app.drain()
        await at(app, 60)
        await app.drain()
        job = await ref.job()
        assert (job.state, job.reason, len(ran)) == ("failed", "deadline", 1)
        assert job.error is not None
        assert job.error.type == "DeadlinePassed"
        assert await app.jobs.requeue(ids=[ref.id]) == 1
        await app.drain()
        assert len(ran) == 2, "an operator's requeue lifts a deadline that has passed"
        await free(app)


@pytest.mark.parametrize("runtime", ["async", "thread"])
async def test_a_running_attempt_is_cut_at_it(app: Windlass, runtime: str) -> None:
    def wait() -> None:
        while True:
            time.sleep(0.01)

    async def sleep() -> None:
        await asyncio.sleep(20)

    work: Any = app.job(kind="work", timeout="15s", deadline="1s", max_attempts=5)(
        sleep if runtime == "async" else wait
    )
    async with app:
        worker = app.worker()
        running = asyncio.create_task(worker.run())
        await until(app.workers, "the worker to be known")
        ref = await work.enqueue()
        await until(lambda: _is_over(ref), "the attempt to be cut")
        job = await ref.job()
        assert (job.state, job.reason) == ("failed", "deadline")
        assert job.error is not None
        assert job.error.type == "TimeoutError"
        await worker.stop()
        await running


async def _is_over(ref: Any) -> bool:
    return bool((await ref.job()).is_final)


async def test_an_instant_and_a_duration_meet(app: Windlass) -> None:
    soon, late = datetime.now(UTC) + timedelta(hours=1), datetime.now(UTC) + timedelta(days=1)

    @app.job(expires="2h")
    async def work() -> None: ...

    async with app:

        async def ends(**options: Any) -> datetime:
            job = await (await work.options(**options).enqueue()).job()
            assert job.expires_at is not None
            return job.expires_at

        assert await ends(deadline=soon) == soon
        assert abs(await ends(deadline=late) - datetime.now(UTC) - timedelta(hours=2)) < timedelta(minutes=1)
        assert await ends(expires=soon, deadline=late) == soon
        assert await ends(expires=late, deadline=soon) == soon
        assert abs(await ends(expires=late, deadline="30m") - datetime.now(UTC) - timedelta(minutes=30)) < timedelta(
            minutes=1
        )
        assert await ends(expires=soon, deadline="2h") == soon


async def test_a_producer_by_name_knows_the_deadline(shared: Place) -> None:
    app = Windlass(shared.url, namespace=shared.namespace)

    @app.job(deadline="10s")
    async def work() -> None: ...

    async with app, Windlass(shared.url, namespace=shared.namespace) as other:
        job = await (await other.enqueue("work")).job()
        assert job.expires_at is not None
        assert job.expires_at - job.created_at == timedelta(seconds=10)


@pytest.mark.parametrize("given", ["soon", 0, -1, datetime(2030, 1, 1), []])
def test_bad_deadlines_are_refused(given: Any) -> None:
    app = Windlass("sqlite://:memory:")

    @app.job
    def work() -> None: ...

    with pytest.raises(InvalidOption, match="deadline"):
        work.options(deadline=given)
    with pytest.raises(InvalidOption, match="deadline"):
        app.job(kind="other", deadline=given)(work.fn or print)


async def test_durable_pauses_end_by_it(app: Windlass) -> None:
    @app.job(deadline="10s")
    async def sleeper(ctx: Context) -> None:
        await ctx.sleep("1h")

    @app.job(deadline="10s")
    async def napper(ctx: Context) -> str:
        await ctx.sleep("5s")
        return "rested"

    @app.job(deadline="10s")
    async def waiter(ctx: Context) -> None:
        await ctx.wait_for("go")

    async with app:
        await at(app, 0)
        asleep, rested, waits = await sleeper.enqueue(), await napper.enqueue(), await waiter.enqueue()
        await app.drain()
        assert ((await asleep.job()).state, (await asleep.job()).reason) == ("failed", "deadline")
        assert (await waits.job()).state == "blocked"
        await at(app, 6)
        await app.drain()
        assert await rested.result(timeout=1) == "rested"
        await at(app, 11)
        await app.drain()
        assert ((await waits.job()).state, (await waits.job()).reason) == ("failed", "deadline")
        await free(app)
