"""The thread runtime: results, timeouts by flag and by exception, stuck threads, cancellation."""

import asyncio
import logging
import threading
import time

import pytest

from tests.waiting import until
from tests.worker.kit import ended, is_gone, lines, working
from windlass.app import Windlass
from windlass.running.context import Context
from windlass.worker import threads
from windlass.worker.worker import RECYCLE, Worker


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "POLITE", 0.1)


async def test_jobs_run_beside_the_loop_and_never_more_than_there_are_threads(app: Windlass) -> None:
    lock, now, most = threading.Lock(), 0, 0

    @app.job
    def work(n: int) -> int:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.001)
        with lock:
            now -= 1
        assert threading.current_thread() is not threading.main_thread()
        return n + 1

    async with app:
        refs = await app.enqueue_many([work.job(n) for n in range(200)])
        assert await app.worker(threads=3).run(until_idle=True) == 200
        assert (await app.jobs.get(refs[7].id)).result == 8
    assert most == 3


async def test_a_handler_sees_its_timeout(app: Windlass) -> None:
    @app.job(timeout=0.05, max_attempts=1)
    def polite(ctx: Context) -> str:
        while not ctx.cancelled:
            time.sleep(0.001)
        raise RuntimeError("stopping as asked")

    async with app:
        ref = await polite.enqueue()
        await app.drain()
        job = await app.jobs.get(ref.id)
        assert job.state == "failed" and job.error is not None and job.error.type == "TimeoutError"
        assert "polite" in job.error.traceback


async def test_an_exception_is_raised_inside_a_handler_that_does_not_look(app: Windlass) -> None:
    unwound: list[str] = []

    @app.job(timeout=0.05, max_attempts=1)
    def blind() -> None:
        try:
            while True:
                try:
                    time.sleep(0.001)
                except Exception:  # what handlers write; it must not keep the thread
                    unwound.append("caught")
        finally:
            unwound.append("finally")

    @app.job
    def next_one() -> str:
        return "same thread"

    async with app, working(app, threads=1):
        ref = await blind.enqueue()
        job = await ended(app, ref.id)
        assert job.state == "failed" and job.error is not None and job.error.type == "TimeoutError"
        assert unwound == ["finally"]
        assert await (await next_one.enqueue()).result(timeout=5) == "same thread"


async def test_a_stuck_thread_keeps_its_slot_and_is_recorded_once(
    app: Windlass, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(threads, "STOP_GRACE", 0.2)
    release = threading.Event()

    @app.job(timeout=0.05, max_attempts=1)
    def stuck() -> str:
        release.wait()  # one call into C: nothing can be raised here before it returns
        return "far too late"

    @app.job
    def fine() -> str:
        return "fine"

    async with app, working(app, threads=2) as worker:
        ref = await stuck.enqueue()
        assert (await ended(app, ref.id)).state == "failed"
        with caplog.at_level(logging.ERROR):
            await until(lambda: "goes on with the others" in caplog.text, "a lone worker to say that it goes on")
        assert await (await fine.enqueue()).result(timeout=5) == "fine"
        assert worker.running == 0
        release.set()
        refs = await app.enqueue_many([fine.job() for _ in range(10)])
        assert [await ref.result(timeout=5) for ref in refs] == ["fine"] * 10
        job = await app.jobs.get(ref.id)
        assert job.state == "failed" and len(job.attempts) == 1


async def test_a_supervised_worker_recycles_when_a_quarter_of_its_threads_are_stuck(
    app: Windlass, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "STOP_GRACE", 0.2)
    release = threading.Event()

    @app.job(timeout=0.05, max_attempts=1)
    def stuck() -> None:
        release.wait()

    async with app:
        await stuck.enqueue()
        worker = Worker(app, threads=4, processes=0, supervised=True)
        async with asyncio.timeout(20):
            await worker.run()
        assert worker.exit_code == RECYCLE
        release.set()


async def test_cancelling_a_running_job(app: Windlass) -> None:
    started = threading.Event()

    @app.job
    def long(ctx: Context) -> None:
        started.set()
        while True:
            time.sleep(0.001)

    async with app, working(app):
        ref = await long.enqueue()
        await until(started.is_set, "the handler to start")
        await app.jobs.cancel(ref.id)
        assert (await ended(app, ref.id)).state == "cancelled"


async def test_injected_exceptions_never_hit_the_next_job(app: Windlass, monkeypatch: pytest.MonkeyPatch) -> None:
    """Handlers end at just about the time at which the exception is raised in them."""
    monkeypatch.setattr(threads, "POLITE", 0.002)

    @app.job(timeout=0.004, max_attempts=1)
    def racing(n: int) -> int:
        end = time.monotonic() + 0.0055 + (n % 10) * 0.0002
        while time.monotonic() < end:
            pass
        return n

    @app.job(max_attempts=1)
    def innocent(n: int) -> int:
        return sum(range(2_000)) * 0 + n

    async with app:
        await app.enqueue_many([racing.job(n) if n % 2 else innocent.job(n) for n in range(200)])
        assert await app.worker(threads=2).run(until_idle=True) == 200
        stats = (await app.queues.stats())["default"]
        page = await app.jobs.list(state="failed", limit=200)
        assert {job.kind for job in page.items} <= {"racing"}
        assert {job.error.type for job in page.items if job.error} <= {"TimeoutError"}
        assert stats["completed"] + stats["failed"] == 200


async def test_progress_log_print_and_workdir(app: Windlass, capsys: pytest.CaptureFixture[str]) -> None:
    folders: list[str] = []

    @app.job
    def talks(ctx: Context) -> None:
        ctx.progress(10)
        ctx.progress(20, "more")
        ctx.log("one", n=1)
        print("two\nthr", end="")
        print("ee")
        print("four", end="")
        logging.getLogger("tests.thread").warning("five %s", 5)
        (ctx.workdir / "file").write_text("x")
        folders.append(str(ctx.workdir))

    async with app:
        ref = await talks.enqueue()
        await app.drain()
        job = await app.jobs.get(ref.id)
        assert (job.progress, job.progress_note) == (20, "more")
        told = await lines(app, ref.id)
    assert told == [
        ("info", "one n=1"), ("info", "two"), ("info", "three"), ("warning", "five 5"), ("info", "four")
    ]  # fmt: skip
    assert "two\nthree\nfour" in capsys.readouterr().out
    assert is_gone(folders[0])
