"""The async runtime: results, isolation, timeouts, cancellation, signals, and results that cannot be stored."""

import asyncio
import contextvars
import math
from dataclasses import dataclass
from typing import Any

import pytest

from tests.waiting import until
from tests.worker.kit import ended, state, working
from windlass.app import Windlass
from windlass.running.context import Context
from windlass.values.outcome import Cancel, Fail, RateLimited, Retry, Snooze
from windlass.values.retry import fixed
from windlass.worker import run, slots
from windlass.worker.worker import Worker

secret: contextvars.ContextVar[str] = contextvars.ContextVar("secret", default="clean")


async def test_every_job_runs_once_and_gives_its_result(app: Windlass) -> None:
    ran: list[int] = []

    @app.job
    async def double(n: int) -> int:
        ran.append(n)
        if n % 3 == 0:
            await asyncio.sleep(0)
        if n % 5 == 0:
            await asyncio.sleep(0.001)
        return n * 2

    async with app:
        refs = await app.enqueue_many([double.job(n) for n in range(1_000)])
        assert await app.drain() == 1_000
        assert sorted(ran) == list(range(1_000))
        assert [await ref.result(timeout=5) for ref in refs[::97]] == [n * 2 for n in range(0, 1_000, 97)]


async def test_a_drain_outlasts_claims_that_asked_for_idle_runtimes_only(app: Windlass) -> None:
    """While its async slots are taken a worker asks for thread and process jobs only; that nothing came says nothing."""

    @app.job
    async def note(n: int) -> int:
        await asyncio.sleep(0)
        return n

    async with app:
        await app.enqueue_many(note.job(n) for n in range(5_000))
        assert await app.drain() == 5_000
        assert (await app.queues.stats())["default"]["waiting"] == 0


async def test_context_variables_do_not_leak_between_jobs(app: Windlass) -> None:
    seen: list[str] = []

    @app.job
    async def spy(n: int) -> None:
        seen.append(secret.get())
        secret.set(f"job {n}")
        if n % 2:
            await asyncio.sleep(0)
        assert secret.get() == f"job {n}"

    async with app:
        await app.enqueue_many([spy.job(n) for n in range(50)])
        await app.drain()
    assert seen == ["clean"] * 50


async def test_tasks_groups_and_timeouts_of_the_handler_work(app: Windlass) -> None:
    @app.job
    async def busy() -> list[Any]:
        task = asyncio.current_task()
        assert task is not None and task.cancelling() == 0
        async with asyncio.TaskGroup() as group:
            parts = [group.create_task(asyncio.sleep(0.001, n)) for n in range(3)]
        try:
            async with asyncio.timeout(0.001):
                await asyncio.sleep(30)
        except TimeoutError:
            return [part.result() for part in parts]
        return []

    async with app:
        refs = await app.enqueue_many([busy.job() for _ in range(20)])
        await app.drain()
        assert [await ref.result(timeout=1) for ref in refs] == [[0, 1, 2]] * 20


async def test_more_jobs_than_slots_never_run_at_once(app: Windlass) -> None:
    now, most = 0, 0

    @app.job
    async def slow() -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.002)
        now -= 1

    async with app:
        await app.enqueue_many([slow.job() for _ in range(60)])
        assert await app.worker(concurrency=7).run(until_idle=True) == 60
    assert most == 7


async def test_a_timeout_cancels_the_handler(app: Windlass) -> None:
    cancelled = asyncio.Event()

    @app.job(timeout=0.05, max_attempts=1)
    async def hangs() -> None:
        try:
            await asyncio.sleep(3_600)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with app:
        ref = await hangs.enqueue()
        await app.drain()
        job = await app.jobs.get(ref.id)
    assert cancelled.is_set()
    assert job.state == "failed" and job.error is not None
    assert job.error.type == "TimeoutError" and "0.05" in job.error.message
    assert "hangs" in job.error.traceback
    assert [attempt.outcome for attempt in job.attempts] == ["fail"]


async def test_a_handler_that_swallows_its_cancellation_is_abandoned(
    app: Windlass, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "STOP_GRACE", 0.1)
    release = asyncio.Event()

    @app.job(timeout=0.05, max_attempts=1)
    async def stubborn() -> str:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return "too late"

    @app.job
    async def quick() -> str:
        return "fine"

    async with app, working(app, concurrency=1):
        first = await stubborn.enqueue()
        assert (await ended(app, first.id)).state == "failed"
        assert await (await quick.enqueue()).result(timeout=5) == "fine"  # the only slot is free again
        release.set()
        again = await quick.enqueue()
        assert await again.result(timeout=5) == "fine"
        job = await app.jobs.get(first.id)
        assert job.state == "failed" and len(job.attempts) == 1


async def test_cancelling_a_running_job_aborts_it(app: Windlass) -> None:
    started = asyncio.Event()

    @app.job
    async def long(ctx: Context) -> None:
        started.set()
        try:
            await asyncio.sleep(3_600)
        finally:
            assert ctx.cancelled

    async with app, working(app):
        ref = await long.enqueue()
        await started.wait()
        await app.jobs.cancel(ref.id)
        job = await ended(app, ref.id)
        assert job.state == "cancelled" and job.attempts[-1].outcome == "abort"


async def test_a_handler_that_finishes_despite_its_cancellation_wins(app: Windlass) -> None:
    started = asyncio.Event()

    @app.job
    async def finishes() -> str:
        started.set()
        try:
            await asyncio.sleep(3_600)
        except asyncio.CancelledError:
            return "done all the same"
        return "never"

    async with app, working(app):
        ref = await finishes.enqueue()
        await started.wait()
        await app.jobs.cancel(ref.id)
        assert await ref.result(timeout=10) == "done all the same"


async def test_a_cancelled_error_of_the_handlers_own_is_an_ordinary_failure(app: Windlass) -> None:
    @app.job(max_attempts=1)
    async def own() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    async with app:
        ref = await own.enqueue()
        await app.drain()
        job = await app.jobs.get(ref.id)
        assert job.state == "failed" and job.error is not None and job.error.type == "CancelledError"


@pytest.mark.parametrize(
    ("signal", "ends_as", "spent"),
    [
        (Retry("again", after=0), "completed", 2),
        (Snooze(0), "completed", 1),
        (RateLimited(after=0), "completed", 1),
        (Fail("no way"), "failed", 1),
        (Cancel("not wanted"), "cancelled", 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
async def test_signals(app: Windlass, signal: Exception, ends_as: str, spent: int) -> None:
    calls = 0

    @app.job(max_attempts=3)
    async def signals() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise signal

    async with app:
        ref = await signals.enqueue()
        await app.drain()
        job = await app.jobs.get(ref.id)
        assert (job.state, job.attempt) == (ends_as, spent)


async def test_retries_use_the_jobs_backoff_until_attempts_are_used_up(app: Windlass) -> None:
    attempts: list[int] = []

    @app.job(max_attempts=3, backoff=fixed(0.01))
    async def flaky(ctx: Context) -> None:
        attempts.append(ctx.attempt)
        raise ConnectionError("down")

    async with app, working(app):
        ref = await flaky.enqueue()
        job = await ended(app, ref.id)
        assert attempts == [1, 2, 3]
        assert job.state == "failed" and job.attempt == 3
        assert [a.outcome for a in job.attempts] == ["retry", "retry", "fail"]


@pytest.mark.parametrize(
    ("value", "type_"),
    [(object(), "InvalidArgs"), (math.nan, "InvalidArgs"), ("x" * (1 << 21), "TooLarge")],
    ids=["object", "nan", "large"],
)
async def test_a_result_that_cannot_be_stored_fails_the_job_once(app: Windlass, value: object, type_: str) -> None:
    calls = 0

    @app.job(max_attempts=5)
    async def bad() -> Any:
        nonlocal calls
        calls += 1
        return value

    async with app:
        ref = await bad.enqueue()
        await app.drain()
        job = await app.jobs.get(ref.id)
        assert calls == 1
        assert job.state == "failed" and job.error is not None and job.error.type == type_
        assert "result" in job.error.message


async def test_arguments_that_do_not_fit_fail_the_job_and_name_the_field(app: Windlass) -> None:
    async with app:
        loose = app.declare("strict", params=["n"])
        ref = await loose.enqueue(n="not a number")

        @app.job(kind="strict", max_attempts=5)
        async def strict(n: int) -> int:
            return n

        await app.drain()
        job = await app.jobs.get(ref.id)
        assert job.state == "failed" and job.error is not None
        assert job.error.type == "InvalidArgs" and "n" in job.error.message


async def test_higher_priority_first_then_in_order(app: Windlass) -> None:
    order: list[int] = []

    @app.job
    async def note(n: int) -> None:
        order.append(n)

    async with app:
        await app.enqueue_many([note.options(priority=n % 3).job(n) for n in range(30)])
        await app.drain()
    assert order == sorted(range(30), key=lambda n: (-(n % 3), n))


async def test_exceptions_that_are_not_exceptions_do_not_end_the_worker(app: Windlass) -> None:
    @app.job(max_attempts=1)
    async def leaves() -> None:
        raise SystemExit(3)

    @app.job
    async def after() -> str:
        return "still here"

    async with app:
        gone = await leaves.enqueue()
        ref = await after.enqueue()
        await app.drain()
        assert await ref.result(timeout=1) == "still here"
        job = await app.jobs.get(gone.id)
        assert job.state == "failed" and job.error is not None and job.error.type == "SystemExit"


async def test_a_keyboard_interrupt_that_no_key_caused_fails_its_job(app: Windlass) -> None:
    """Given back unspent it would end one worker after another."""

    @app.job(max_attempts=1)
    async def at_once() -> None:
        raise KeyboardInterrupt

    @app.job(max_attempts=1)
    async def later() -> None:
        await asyncio.sleep(0)
        raise KeyboardInterrupt

    async with app:
        refs = [await at_once.enqueue(), await later.enqueue()]
        await Worker(app, processes=0).run(until_idle=True, handle_signals=True)
        for ref in refs:
            job = await app.jobs.get(ref.id)
            assert job.state == "failed" and job.error is not None and job.error.type == "KeyboardInterrupt"


async def test_unknown_kinds_are_parked_unspent_until_a_worker_knows_them(app: Windlass) -> None:
    other = Windlass(app.url, namespace=app.namespace)
    if app.url.endswith(":memory:"):
        other.stores = app.stores

    @other.job
    async def known() -> str:
        return "ran"

    async with app:
        ref = await app.declare("known").enqueue()
        assert await app.drain() == 0
        assert await state(app, ref.id) == "waiting"
        assert await app.drain() == 0  # it is parked, not drawn again and again
        await other.drain()
        job = await app.jobs.get(ref.id)
        assert (job.state, job.result, job.attempt) == ("completed", "ran", 1)


async def test_jobs_of_other_queues_stay(app: Windlass) -> None:
    @app.job(queue="ours")
    async def mine() -> None: ...

    @app.job(queue="theirs")
    async def yours() -> None: ...

    async with app:
        await mine.enqueue()
        left = await yours.enqueue()
        assert await app.worker(queues=["ours"]).run(until_idle=True) == 1
        assert await state(app, left.id) == "waiting"


async def test_a_waiting_worker_starts_new_jobs(app: Windlass) -> None:
    @app.job
    async def echo(n: int) -> int:
        return n

    async with app, working(app) as worker:
        for n in range(20):
            assert await (await echo.enqueue(n)).result(timeout=5) == n
        await until(lambda: worker.done == 20, "twenty commits")


async def test_delayed_jobs_start_when_they_are_due(app: Windlass) -> None:
    @app.job
    async def echo() -> str:
        return "on time"

    async with app, working(app):
        ref = await echo.options(delay=0.2).enqueue()
        assert await state(app, ref.id) == "delayed"
        assert await ref.result(timeout=5) == "on time"
        job = await app.jobs.get(ref.id)
        assert job.started_at is not None and job.run_at is not None and job.started_at >= job.run_at


async def test_prefetched_jobs_that_find_no_slot_go_back(app: Windlass, monkeypatch: pytest.MonkeyPatch) -> None:
    release = asyncio.Event()

    @app.job
    async def quick() -> None: ...

    @app.job
    async def slow() -> None:
        await release.wait()

    async with app, working(app, concurrency=2, prefetch=50) as worker:
        await app.enqueue_many([quick.job() for _ in range(500)] + [slow.job() for _ in range(40)])
        await until(lambda: worker.done == 500 and worker.running == 2, "the quick ones to end, two slow ones to run")

        async def held() -> bool:
            return (await app.queues.stats())["default"]["active"] == 2

        await until(held, "only what runs to stay leased")
        release.set()
        await until(lambda: worker.done == 540, "all to run")


def test_constants_are_shared() -> None:
    assert slots.STOP_GRACE == run.STOP_GRACE == 5.0


@dataclass(frozen=True)
class Frozen(Exception):
    """An exception that refuses to have its traceback set."""

    code: int


async def test_exceptions_that_are_frozen_or_mute_do_not_stop_the_lane(app: Windlass) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise KeyboardInterrupt

    @app.job(max_attempts=1)
    async def at_once(mute: bool) -> None:
        raise Mute if mute else Frozen(1)

    @app.job(max_attempts=1)
    async def later(mute: bool) -> None:
        await asyncio.sleep(0)
        raise Mute if mute else Frozen(1)

    @app.job(max_attempts=1)
    def threaded(mute: bool) -> None:
        raise Mute if mute else Frozen(1)

    async with app, working(app, threads=1):
        refs = await app.enqueue_many([kind.job(mute) for mute in (False, True) for kind in (at_once, later, threaded)])
        for ref, type in zip(refs, ["Frozen"] * 3 + ["RuntimeError"] * 3, strict=True):
            job = await ended(app, ref.id)
            assert job.state == "failed"
            assert job.error is not None
            assert job.error.type == type


async def test_a_result_whose_encoding_exits_does_not_stop_the_lane(app: Windlass) -> None:
    class Odd:
        def model_dump(self, mode: str) -> dict[str, int]:
            raise SystemExit(3)

    @app.job(max_attempts=1)
    async def odd() -> Any:
        return Odd()

    @app.job
    async def fine() -> int:
        return 1

    async with app, working(app):
        assert (await ended(app, (await odd.enqueue()).id)).state == "failed"
        assert (await ended(app, (await fine.enqueue()).id)).state == "completed"


async def test_a_handler_that_enters_the_app_does_not_close_the_workers_store(app: Windlass) -> None:
    @app.job
    async def follow_up() -> str:
        return "ran"

    @app.job
    async def opens() -> str:
        async with app:
            return (await follow_up.enqueue()).id

    app.stores.sibling()  # a database in memory lives as long as a handle on it
    worker = Worker(app, processes=0)
    ref = await opens.enqueue()
    await worker.run(until_idle=True)
    async with app:
        assert await app.ref(await app.ref(ref).result(timeout=5)).result(timeout=5) == "ran"


@pytest.mark.parametrize("waits", ["never", "after", "before"])
async def test_a_handler_that_cancels_its_own_task_harms_no_other_job(app: Windlass, waits: str) -> None:
    @app.job(max_attempts=1)
    async def own() -> None:
        if waits == "before":
            await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        if waits == "after":
            await asyncio.sleep(0)

    @app.job(max_attempts=1)
    async def other() -> str:
        await asyncio.sleep(0)
        return "fine"

    async with app, working(app, concurrency=1):
        refs = await app.enqueue_many([own.job(), other.job(), own.job(), other.job()])
        jobs = [await ended(app, ref.id) for ref in refs]
        assert [job.state for job in jobs[1::2]] == ["completed"] * 2
        expected = "failed" if waits == "after" else "completed"
        assert [job.state for job in jobs[::2]] == [expected] * 2
