"""The process runtime: results, notes, crashes, timeouts, cancellation, scripts, and no orphans."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.waiting import until
from tests.worker import crunch
from tests.worker.kit import ended, is_gone, lines, working
from windlass.app import Windlass
from windlass.worker import children


@pytest.fixture
def app(app: Windlass) -> Windlass:
    app.handlers.update(crunch.app.handlers)
    return app


async def enqueue(app: Windlass, handler: object, **args: object) -> str:
    [ref] = await app.enqueue_many([handler.job(**args)])  # type: ignore[attr-defined]
    return ref.id


async def test_results_come_back(app: Windlass) -> None:
    async with app:
        refs = await app.enqueue_many([crunch.square.job(n) for n in range(50)])
        assert await app.worker(processes=2).run(until_idle=True) == 50
        assert [(await app.jobs.get(ref.id)).result for ref in refs] == [n * n for n in range(50)]


async def test_jobs_run_in_warm_processes_of_their_own(app: Windlass) -> None:
    async with app:
        refs = await app.enqueue_many([crunch.where.job() for _ in range(30)])
        await app.worker(processes=2).run(until_idle=True)
        pids = {(await app.jobs.get(ref.id)).result for ref in refs}
        assert 1 <= len(pids) <= 2 and os.getpid() not in pids


async def test_progress_lines_prints_and_logging_travel_up(app: Windlass) -> None:
    async with app:
        id = await enqueue(app, crunch.tells)
        await app.worker(processes=1).run(until_idle=True)
        job = await app.jobs.get(id)
        assert (job.state, job.progress, job.progress_note) == ("completed", 40, "almost")
        assert is_gone(job.result)
        assert await lines(app, id) == [("warning", "logged part=1"), ("info", "printed"), ("error", "recorded")]


async def test_exceptions_and_signals_are_judged_in_the_child(app: Windlass) -> None:
    async with app:
        raised, gave_up = await enqueue(app, crunch.raises), await enqueue(app, crunch.gives_up)
        await app.worker(processes=1).run(until_idle=True)
        job = await app.jobs.get(raised)
        assert job.error is not None and job.error.type == "ZeroDivisionError" and "raises" in job.error.traceback
        assert (await app.jobs.get(gave_up)).reason == "not today"


async def test_middleware_runs_in_the_child(app: Windlass) -> None:
    async with app:
        id = await enqueue(app, crunch.wrapped)
        await app.worker(processes=1).run(until_idle=True)
        assert (await app.jobs.get(id)).result == "around handler"


async def test_exit_code_0_is_no_success(app: Windlass, tmp_path: Path) -> None:
    async with app, working(app, processes=1):
        id = await enqueue(app, crunch.exits, marker=str(tmp_path / "m"))
        job = await ended(app, id)
        assert (job.state, job.result, job.attempt) == ("completed", "second time", 2)
        error = job.attempts[0].error
        assert error is not None and error.type == "ChildDied" and "exit code 0" in error.message


async def test_a_crash_costs_only_its_own_job(app: Windlass) -> None:
    async with app, working(app, processes=2):
        crash = await enqueue(app, crunch.crashes)
        others = await app.enqueue_many([crunch.square.job(n) for n in range(20)])
        job = await ended(app, crash)
        assert job.state == "failed" and job.error is not None and "SIGSEGV" in job.error.message
        assert [(await ended(app, ref.id)).result for ref in others] == [n * n for n in range(20)]


async def test_a_timeout_unwinds_the_handler_and_replaces_the_child(app: Windlass, tmp_path: Path) -> None:
    async with app, working(app, processes=1):
        before = (await ended(app, await enqueue(app, crunch.where))).result
        id = await enqueue(app, crunch.hangs, marker=str(tmp_path / "m"))
        job = await ended(app, id)
        assert job.state == "failed" and job.error is not None and job.error.type == "TimeoutError"
        assert (tmp_path / "m").read_text() == "cleaned up"
        assert (await ended(app, await enqueue(app, crunch.where))).result != before


async def test_a_child_that_ignores_sigterm_is_killed(
    app: Windlass, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "STOP_GRACE", 0.3)
    async with app, working(app, processes=1):
        job = await ended(app, await enqueue(app, crunch.deaf, marker=str(tmp_path / "m")))
        assert job.state == "failed" and job.error is not None and job.error.type == "TimeoutError"
        pid = int((tmp_path / "m").read_text())
        await until(lambda: not psutil.pid_exists(pid), "the child to be gone")


async def test_cancelling_stops_the_child(app: Windlass, tmp_path: Path) -> None:
    async with app, working(app, processes=1):
        id = await enqueue(app, crunch.waits, marker=str(tmp_path / "m"), until=str(tmp_path / "never"))
        await until((tmp_path / "m").exists, "the handler to start")
        await app.jobs.cancel(id)
        assert (await ended(app, id)).state == "cancelled"


async def test_a_stray_sigterm_does_not_break_a_job(app: Windlass, tmp_path: Path) -> None:
    async with app, working(app, processes=1):
        marker = tmp_path / "m"
        id = await enqueue(app, crunch.waits, marker=str(marker), until=str(tmp_path / "go"))
        await until(lambda: marker.exists() and marker.read_text(), "the handler to start")
        os.kill(int(marker.read_text()), signal.SIGTERM)
        (tmp_path / "go").touch()
        assert (await ended(app, id)).result == "went on"


SCRIPT = """
import asyncio, os
from pathlib import Path
from windlass.app import Windlass
app = Windlass("sqlite:///{folder}/jobs.db", lease=2)

@app.job(runtime="process")
def cube(n: int) -> int:
    return n ** 3

@app.job(runtime="process")
def forever() -> None:
    import time
    Path("{folder}/pid").write_text(str(os.getpid()))
    while True:
        time.sleep(1)

async def main():
    async with app:
        ref = await cube.enqueue(3)
        await app.worker(processes=1).run(until_idle=True)
        print("cube", await ref.result(timeout=1), flush=True)
        await forever.enqueue()
        await app.worker(processes=1).run()

if __name__ == "__main__":
    asyncio.run(main())
"""


async def test_handlers_of_a_script_work_and_kill_9_leaves_no_orphan(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(folder=tmp_path))
    process = await asyncio.create_subprocess_exec(sys.executable, str(script), stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"cube 27\n"
    pid_file = tmp_path / "pid"
    await until(lambda: pid_file.exists() and pid_file.read_text(), "the handler to run")
    child = int(pid_file.read_text())
    assert psutil.pid_exists(child)
    process.kill()
    await process.wait()
    await until(lambda: not psutil.pid_exists(child), "the child to die with its worker")


async def test_a_forked_process_that_outlives_its_child_does_not_hide_the_death(app: Windlass, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    async with app, working(app):
        try:
            job = await ended(app, await enqueue(app, crunch.dies_before_its_fork, pid_file=str(pid_file)))
        finally:
            os.kill(int(pid_file.read_text()), signal.SIGKILL)
        assert job.state == "failed" and job.error is not None
        assert "SIGKILL" in job.error.message


async def test_a_child_that_cannot_import_says_so(app: Windlass, tmp_path: Path) -> None:
    @app.job(kind="ghost", runtime="process", max_attempts=1)
    @_at_module_level
    def ghost() -> None: ...

    async with app:
        ref = await ghost.enqueue()
        await app.worker(processes=1).run(until_idle=True)
        job = await app.jobs.get(ref.id)
        assert job.state == "failed" and job.error is not None
        assert job.error.type == "HandlerNotImportable" and "ghost" in job.error.message


def _at_module_level(fn):
    fn.__qualname__ = "ghost"
    return fn
