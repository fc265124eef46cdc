"""Workers as processes: signals, exit codes, and the supervisor that keeps them."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from tests.store.places import chosen_engines
from tests.waiting import until
from tests.worker import jobs
from tests.worker.crew import ROOT, crew_of
from windlass.app import Windlass
from windlass.errors import InvalidOption
from windlass.worker.supervisor import Supervisor, read_processes, wanted

BETWEEN_PROCESSES = pytest.mark.parametrize("app", chosen_engines(processes=True), indirect=True)


def kind(app: Windlass, name: str):
    app.handlers.setdefault(name, jobs.app.handlers[name])
    return app.handlers[name]


@BETWEEN_PROCESSES
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_lets_run_and_exits_0(app: Windlass, tmp_path: Path, number: signal.Signals) -> None:
    async with app, crew_of(app, tmp_path) as crew:
        refs = await app.enqueue_many([kind(app, "async").job(seconds=0.3) for _ in range(5)])
        process = await crew.start()
        await until(lambda: len(crew.effects("begin")) == 5, "all to start")
        process.send_signal(number)
        assert await process.wait() == 0
        assert [(await app.jobs.get(ref.id)).state for ref in refs] == ["completed"] * 5


@BETWEEN_PROCESSES
@pytest.mark.parametrize("runtime", ["async", "thread", "process"])
async def test_the_second_signal_means_now_and_nothing_is_spent(app: Windlass, tmp_path: Path, runtime: str) -> None:
    async with app, crew_of(app, tmp_path, GRACE=600) as crew:
        [ref] = await app.enqueue_many([kind(app, runtime).job(seconds=3 if runtime == "thread" else 600)])
        process = await crew.start()
        await until(lambda: crew.effects("begin"), "the job to start")
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)

        assert await process.wait() == 0
        job = await app.jobs.get(ref.id)
        if job.state != "completed":
            assert (job.state, job.attempt) == ("waiting", 0)


def command() -> list[str]:
    return [sys.executable, "-m", "tests.worker.jobs"]


@BETWEEN_PROCESSES
async def test_a_dead_worker_is_replaced_and_all_leave_together(app: Windlass, tmp_path: Path) -> None:
    async with app, crew_of(app, tmp_path) as crew:
        supervisor = Supervisor(command(), (2, 2), environment=crew.environment)
        task = asyncio.create_task(supervisor.run(handle_signals=False))
        store = await app.store()

        async def two() -> list[int]:
            found = {worker.pid for worker in await store.workers()} & set(supervisor.pids)
            return sorted(found) if len(found) == 2 else []

        first = await until(two, "two workers")
        os.kill(first[0], signal.SIGKILL)
        second = await until(lambda: _without(two, first[0]), "another in its place")
        assert first[1] in second
        supervisor.stop()
        assert await task == 0
        await until(lambda: not any(map(psutil.pid_exists, second)), "both to leave")


async def _without(two, pid: int) -> list[int]:
    found = await two()
    return [] if pid in found else found


@BETWEEN_PROCESSES
async def test_workers_leave_when_their_supervisor_is_killed(app: Windlass, tmp_path: Path) -> None:
    script = (
        "import asyncio, sys; from windlass.worker.supervisor import Supervisor; "
        "asyncio.run(Supervisor([sys.executable, '-m', 'tests.worker.jobs'], (2, 2)).run())"
    )
    async with app, crew_of(app, tmp_path) as crew:
        boss = await asyncio.create_subprocess_exec(sys.executable, "-c", script, env=crew.environment, cwd=ROOT)
        try:
            store = await app.store()

            async def two() -> list[int]:
                found = [worker.pid for worker in await store.workers()]
                return found if len(found) == 2 else []

            pids = await until(two, "two workers")
        finally:
            boss.kill()
            await boss.wait()
        await until(lambda: not any(map(psutil.pid_exists, pids)), "the workers to leave")
        assert await store.workers() == []


@BETWEEN_PROCESSES
async def test_a_worker_whose_supervisor_died_meanwhile_does_not_begin(app: Windlass, tmp_path: Path) -> None:
    async with app, crew_of(app, tmp_path) as crew:
        gone = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
        await gone.wait()
        worker = await crew.start(WINDLASS_SUPERVISOR=gone.pid)
        assert await asyncio.wait_for(worker.wait(), 60) == 1
        assert await (await app.store()).workers() == []


@BETWEEN_PROCESSES
async def test_until_idle_workers_are_not_replaced(app: Windlass, tmp_path: Path) -> None:
    async with app, crew_of(app, tmp_path) as crew:
        refs = await app.enqueue_many([kind(app, "async").job(seconds=0) for _ in range(100)])
        supervisor = Supervisor([*command(), "--until-idle"], (2, 2), environment=crew.environment)
        assert await supervisor.run(handle_signals=False) == 0
        assert {str((await app.jobs.get(ref.id)).state) for ref in refs} == {"completed"}


@pytest.mark.parametrize(
    ("backlog", "rate", "now", "result"),
    [(0, 10, 5, 2), (10_000, 0, 3, 4), (3_000, 20, 2, 5), (100_000, 1, 2, 8), (100, 50, 4, 2)],
)
def test_how_many_workers_are_wanted(backlog: int, rate: float, now: int, result: int) -> None:
    assert wanted(backlog, rate, now, (2, 8), 30) == result


def test_reading_how_many() -> None:
    assert read_processes("4") == (4, 4) and read_processes("2:8") == (2, 8) and read_processes(3) == (3, 3)
    for bad in ("0", "8:2", "x", "-1", "", "2:x"):
        with pytest.raises(InvalidOption):
            read_processes(bad)
