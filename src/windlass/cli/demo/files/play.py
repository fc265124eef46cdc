"""Playing the demo: workers, jobs, a crash, the end, and the verdict."""

import asyncio
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from windlass.cli.demo.crew import LEASE, Crew, Killed
from windlass.cli.demo.files.screen import Screen, screen
from windlass.cli.demo.files.stage import Task, deliver, new_jobs, sources, tasks
from windlass.cli.demo.files.verdict import Story, conclude
from windlass.cli.options import Plain
from windlass.demo.files import app
from windlass.errors import InvalidOption
from windlass.store.protocol import Store
from windlass.stores import Stores
from windlass.values.query import Swap, Where
from windlass.values.states import FINAL, State

WORKERS = 2
CRASH_AT = 0.2
"""The share of jobs that have ended when the worker is killed."""
PATIENCE = 120.0
_COMMAND = ["-A", "windlass.demo.files:app", "-c", "16", "--threads", "4", "--process-slots", "1"]


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
    crew = Crew([*_COMMAND, "--url", app.url], own_environment())
    try:
        await crew.hire(WORKERS)
        shown.say(f"{len(given)} jobs for {WORKERS} worker processes (lease {LEASE}), store {store.url}")
        refs = await app.enqueue_many(list(new_jobs(given)))
        killed = await _crash(store, crew, len(given), shown)
        held = len(killed.held)
        shown.say(f"kill -9 {killed.pid}: the worker held {held} job{'s' * (held != 1)}; the lease lapses in {LEASE}")
        deliver(given)
        await crew.hire()
        await _until_ended(store, crew, len(given), shown)
    finally:
        await crew.dismiss()
    return Story([ref.id for ref in refs], killed.held, killed.pid, 0.0)


def own_environment() -> dict[str, str]:
    """Ours without WINDLASS_ variables, which are meant for the user's own workers."""
    return {name: value for name, value in os.environ.items() if not name.startswith("WINDLASS_")}


async def _crash(store: Store, crew: Crew, total: int, shown: Screen) -> Killed:
    """Kill the worker that waits for the late file, once a fifth of the jobs have ended."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        counts = await _counts(store)
        shown.show(counts)
        crew.check_alive()
        waiting = await _waiting_job(store) if _ended(counts) >= total * CRASH_AT else None
        killed = None if waiting is None else await crew.kill_holder(store, waiting)
        if killed is not None:
            return killed
        await asyncio.sleep(0.02)
    raise RuntimeError(f"nobody waits for the demo's late file after {PATIENCE:g} s")


async def _waiting_job(store: Store) -> str | None:
    """The job of the late file, once it runs."""
    page = await store.jobs(Where(states=(State.ACTIVE,), kinds=("arriving",)), None, 1)
    return page.items[0].id if page.items else None


async def _until_ended(store: Store, crew: Crew, total: int, shown: Screen) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        counts = await _counts(store)
        shown.show(counts)
        if _ended(counts) >= total:
            return
        crew.check_alive()
        await asyncio.sleep(0.05)
    raise RuntimeError(f"the demo's jobs did not end in {PATIENCE:g} s; look with `windlass doctor --url {app.url}`")


async def _counts(store: Store) -> dict[State, int]:
    counts: dict[State, int] = {}
    for count in await store.counts():
        counts[count.state] = counts.get(count.state, 0) + count.n
    return counts


def _ended(counts: Mapping[State, int]) -> int:
    return sum(counts.get(state, 0) for state in FINAL)
