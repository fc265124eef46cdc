"""Playing the demo: workers, jobs, a crash, the end, and the verdict."""

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from windlass.cli.demo.screen import Screen, screen
from windlass.cli.demo.stage import Task, deliver, new_jobs, sources, tasks
from windlass.cli.demo.verdict import Story, conclude
from windlass.cli.options import Plain
from windlass.demo import app
from windlass.errors import InvalidOption
from windlass.store.protocol import Store
from windlass.stores import Stores
from windlass.values.lease import WorkerInfo
from windlass.values.query import Swap, Where
from windlass.values.states import FINAL, State
from windlass.worker.process import SUPERVISOR

LEASE = "2s"
WORKERS = 2
CRASH_AT = 0.2
"""The share of jobs that have ended when the worker is killed."""
PATIENCE = 120.0


class Plan(NamedTuple):
    """What the command line asked for."""

    folder: Path | None
    files: int | None
    database: Path
    form: Plain


def play(plan: Plan) -> int:
    """Play it; the exit code: 0 if everything came out as computed without the queue."""
    app.stores = Stores(f"sqlite:///{plan.database}", "windlass")
    with tempfile.TemporaryDirectory(prefix="windlass-demo-") as folder:
        given = tasks(sources(plan.folder, plan.files), Path(folder))
        if plan.database.exists():
            asyncio.run(_clear(plan.database))
        return asyncio.run(_play(plan, given))


async def _play(plan: Plan, given: list[Task]) -> int:
    began = time.monotonic()
    async with app:
        store = await app.store()
        await store.exchange([Swap(space="demo", key="made", text="{}")])
        shown = screen(len(given), plan.form is Plain.JSON)
        try:
            story = await _perform(store, given, shown)
        finally:
            shown.close()
        story = story._replace(seconds=time.monotonic() - began)
        return await conclude(store, given, story, plan.form)


async def _clear(database: Path) -> None:
    """Remove the database of an earlier demo; another file of that name is refused."""
    async with app:
        made = await (await app.store()).records("demo")
    if not made:
        raise InvalidOption(
            f"{database} is there and no demo made it", field="db", value=str(database), mend="give another --db"
        )
    for suffix in ("", "-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)


async def _perform(store: Store, given: list[Task], shown: Screen) -> Story:
    crew = [await _worker() for _ in range(WORKERS)]
    try:
        shown.say(f"{len(given)} jobs for {WORKERS} worker processes (lease {LEASE}), store {store.url}")
        refs = await app.enqueue_many(list(new_jobs(given)))
        held, victim = await _crash(store, crew, len(given), shown)
        shown.say(
            f"kill -9 {victim}: the worker held {len(held)} job{'s' * (len(held) != 1)}; the lease lapses in {LEASE}"
        )
        deliver(given)
        crew.append(await _worker())
        await _until_ended(store, crew, victim, len(given), shown)
    finally:
        await asyncio.gather(*(_dismiss(worker) for worker in crew))
    return Story([ref.id for ref in refs], held, victim, 0.0)


async def _worker() -> asyncio.subprocess.Process:
    command = ["worker", "-A", "windlass.demo:app", "--url", app.url, "--lease", LEASE, "--grace", "5s"]
    slots = ["-c", "16", "--threads", "4", "--process-slots", "1", "--log-level", "error"]
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "windlass", *command, *slots, stdout=asyncio.subprocess.DEVNULL, env=_environment()
    )


def _environment() -> dict[str, str]:
    """Ours without WINDLASS_ variables, which are meant for the user's own workers; the demo's leave when it dies."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WINDLASS_")}
    return kept | {SUPERVISOR: str(os.getpid())}


async def _dismiss(worker: asyncio.subprocess.Process) -> None:
    if worker.returncode is None:
        with suppress(ProcessLookupError):
            worker.terminate()
        try:
            async with asyncio.timeout(10):
                await worker.wait()
        except TimeoutError:
            worker.kill()
            await worker.wait()


async def _crash(
    store: Store, crew: list[asyncio.subprocess.Process], total: int, shown: Screen
) -> tuple[list[str], int]:
    """Kill the worker that waits for the late file, once a fifth of the jobs have ended: which jobs it held, and its pid.
    It is stopped first, so that the list is exact."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        counts = await _counts(store)
        shown.show(counts)
        _check_alive(crew)
        victim = await _holder(store) if _ended(counts) >= total * CRASH_AT else None
        if victim is not None:
            os.kill(victim.pid, signal.SIGSTOP)
            page = await store.jobs(Where(states=(State.ACTIVE,)), None, 1_000)
            process = next(worker for worker in crew if worker.pid == victim.pid)
            process.kill()
            await process.wait()
            return [job.id for job in page.items if job.worker == victim.id], victim.pid
        await asyncio.sleep(0.02)
    raise RuntimeError(f"nobody waits for the demo's late file after {PATIENCE:g} s")


async def _holder(store: Store) -> WorkerInfo | None:
    """The worker that runs the job of the late file."""
    page = await store.jobs(Where(states=(State.ACTIVE,), kinds=("arriving",)), None, 1)
    names = {job.worker for job in page.items}
    return next((info for info in await store.workers() if info.id in names), None)


async def _until_ended(
    store: Store, crew: list[asyncio.subprocess.Process], killed: int, total: int, shown: Screen
) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        counts = await _counts(store)
        shown.show(counts)
        if _ended(counts) >= total:
            return
        _check_alive([worker for worker in crew if worker.pid != killed])
        await asyncio.sleep(0.05)
    raise RuntimeError(f"the demo's jobs did not end in {PATIENCE:g} s; look with `windlass doctor --url {app.url}`")


def _check_alive(crew: list[asyncio.subprocess.Process]) -> None:
    for worker in crew:
        if worker.returncode is not None:
            raise RuntimeError(f"a worker of the demo ended by itself with code {worker.returncode}")


async def _counts(store: Store) -> dict[State, int]:
    counts: dict[State, int] = {}
    for count in await store.counts():
        counts[count.state] = counts.get(count.state, 0) + count.n
    return counts


def _ended(counts: Mapping[State, int]) -> int:
    return sum(counts.get(state, 0) for state in FINAL)
