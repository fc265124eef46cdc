"""Random graphs with failures while workers are killed: order, every end, doomed subtrees, callbacks exactly once.

What must become of each job follows from the graph alone; when it ran is told by the handlers' own effect file.
"""

import asyncio
import os
import random
import signal
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.store.places import chosen_engines, place_for
from tests.waiting import until
from tests.worker.crew import ROOT, Crew, Effect, Process
from tests.workflows import jobs
from windlass import Windlass, batch, group
from windlass.values.job import NOT_TRIGGERED, Job, NewJob, OnFailure
from windlass.values.states import State
from windlass.workflows.workflow import Workflow, assemble

SCALE = float(os.environ.get("WINDLASS_TEST_SCALE", "1"))
DAGS, SIZE, MEMBERS = max(2, round(10 * SCALE)), 100, 20
SEED = int(os.environ.get("WINDLASS_TEST_SEED", "2026"))
POLICIES: tuple[OnFailure, ...] = ("cancel", "cancel", "cancel", "run", "fail", "trigger")
FAILS = ("never",) * 16 + ("once",) * 3 + ("always",)


@pytest.fixture(params=chosen_engines(processes=True))
def app(request: pytest.FixtureRequest) -> Iterator[Windlass]:
    with place_for(request.param) as place:
        app = Windlass(place.url, namespace=place.namespace)
        app.handlers["dag"] = jobs.app.handlers["dag"]
        yield app


class Team(Crew):
    """Workers that know the kind `dag`."""

    async def start(self, *arguments: str, **environment: object) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.workflows.jobs", *arguments, env=self.environment, cwd=ROOT
        )
        self.processes.append(process)
        return process


def random_graph(app: Windlass, chance: random.Random) -> Workflow[Any]:
    """About 100 jobs, each behind up to three older ones, and a batch of 20 of them with all three callbacks."""
    dag: Any = app.handlers["dag"]

    def make(older: list[NewJob[Any]]) -> NewJob[Any]:
        parents = chance.sample(older, min(len(older), chance.choice((0, 1, 1, 2, 3))))
        handler = dag.options(after=parents, on_failure=chance.choice(POLICIES)) if parents else dag
        return handler.options(queue=chance.choice(("a", "b"))).job(chance.uniform(0, 0.02), chance.choice(FAILS))

    made: list[NewJob[Any]] = []
    for _ in range(SIZE - MEMBERS - 3):
        made.append(make(made))
    members = [make(made[-10:]) for _ in range(MEMBERS)]
    calls = [dag.options(name=name).job(0.0, "never") for name in ("then", "success", "failure")]
    return group(*made, batch(members, then=calls[0], on_success=calls[1], on_failure=calls[2]))


def expected(jobs: list[NewJob[Any]]) -> dict[str, State]:
    """How each job must end. All edges of a job have one policy, so the order of events does not matter."""
    ends: dict[str, State] = {}
    for job in jobs:
        bad = [edge for edge in job.after if ends[edge.parent] is not State.COMPLETED]
        policy = job.after[0].on_failure if job.after else "run"
        if policy == "trigger" and not bad:
            ends[job.id] = State.CANCELLED
        elif bad and policy in ("cancel", "fail"):
            ends[job.id] = State.CANCELLED if policy == "cancel" else State.FAILED
        else:
            ends[job.id] = State.FAILED if '"always"' in job.args else State.COMPLETED
    return ends


@pytest.mark.slow
@pytest.mark.timeout(120 + 120 * SCALE)
async def test_random_graphs_survive_failures_and_kills(app: Windlass, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    plan = [assemble(random_graph(app, chance), f"dag-{n}")[0] for n in range(DAGS)]
    crew = Team(app, tmp_path, LEASE=1, CONCURRENCY=20)
    async with app:
        try:
            for stored in plan:
                await app.enqueue_many(stored)
            assert await run_all(app, crew, sum(map(len, plan)), chance) >= 3
        finally:
            for process in crew.processes:
                await crew.kill(process)
        effects: dict[str, list[Effect]] = defaultdict(list)
        for what in ("begin", "end", "fail"):
            for effect in crew.effects(what):
                effects[effect.job].append(effect)
        for number, stored in enumerate(plan):
            found = {job.id: job for job in await app.workflows.jobs(f"dag-{number}")}
            check(stored, found, effects)


async def run_all(app: Windlass, crew: Team, total: int, chance: random.Random) -> int:
    """Two workers, one of them killed after every 4 % of the work until most of it is done; how many were."""

    async def ended() -> int:
        counts = await (await app.store()).counts()
        return sum(count.n for count in counts if count.state in (State.COMPLETED, State.FAILED, State.CANCELLED))

    team = [await crew.start() for _ in range(2)]
    await until(lambda: crew.effects("begin"), "the work to begin")
    seen = await ended()
    kills = 0
    while seen < total * 0.9:
        enough = len(crew.effects("begin")) + total * 0.04

        async def worked(enough: float = enough) -> bool:
            """Many that are left may be cancelled, and never begin."""
            return len(crew.effects("begin")) > enough or await ended() >= total * 0.9

        await until(worked, "some work", 60)
        victim = chance.randrange(len(team))
        team[victim].send_signal(signal.SIGKILL)
        await team[victim].wait()
        team[victim] = await crew.start()
        kills += 1
        seen = await ended()

    async def all_ended() -> bool:
        return await ended() == total

    await until(all_ended, "every job to end", 60 + 60 * SCALE)
    return kills


def check(stored: list[NewJob[Any]], found: dict[str, Job], effects: dict[str, list[Effect]]) -> None:
    ends = expected(stored)
    assert {id: job.state for id, job in found.items()} == ends
    for job in stored:
        ran = effects[job.id]
        begun = [effect.at for effect in ran if effect.what == "begin"]
        closed = [effect for effect in ran if effect.what != "begin"]
        assert len({effect.lease for effect in closed}) == len(closed), f"{job.id} ended twice under one lease"
        if found[job.id].state is State.COMPLETED or ('"always"' in job.args and begun):
            assert closed, f"{job.id} is {found[job.id].state} and its handler never ended"
        if ends[job.id] is State.CANCELLED:
            assert not begun, f"{job.id} was doomed and ran"
        if begun:
            in_order(job, min(begun), ends, effects)
        reason = found[job.id].reason or ""
        if ends[job.id] is State.CANCELLED:
            assert reason == NOT_TRIGGERED or reason.startswith("parent ")


def in_order(job: NewJob[Any], began: float, ends: dict[str, State], effects: dict[str, list[Effect]]) -> None:
    """A job begins behind the handlers of all its parents; one that a failure releases, behind the first that failed."""
    closed = {
        edge.parent: min(effect.at for effect in effects[edge.parent] if effect.what != "begin")
        for edge in job.after
        if any(effect.what != "begin" for effect in effects[edge.parent])
    }
    if job.after and job.after[0].on_failure == "trigger":
        ran_badly = [
            closed[edge.parent] for edge in job.after if ends[edge.parent] is State.FAILED and edge.parent in closed
        ]
        doomed = any(edge.parent not in closed for edge in job.after)
        assert doomed or (ran_badly and min(ran_badly) <= began), f"{job.id} was released before anything failed"
        return
    for parent, at in closed.items():
        assert at <= began, f"{job.id} began before its parent {parent} had ended"
