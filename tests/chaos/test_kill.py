"""Workers die at random, all at once, or stand still: every job ends once, none is lost, every second run is explained.

What happened is told by the handlers' own effect file, never by the store alone.
"""

import asyncio
import random
import signal
from collections import Counter
from time import time
from typing import Any

import pytest

from tests.store.places import in_turns
from tests.waiting import until
from tests.worker import jobs
from tests.worker.crew import Crew, Effect, Process, crew_of
from windlass.app import Windlass
from windlass.values.states import State

LEASE = 2.0
ALLOWED = 0.010
"""Seconds from the end of a handler in which its commit must be on its way; only what ended in this time (plus the commit)
before a kill may run twice."""

DYING = 0.1
"""A killed worker's children are killed with it, by the kernel, a moment later."""

COMMIT = 0.25
"""What one commit may take on a machine that runs this test beside others."""


def kind(app: Windlass, name: str) -> Any:
    app.handlers.setdefault(name, jobs.app.handlers[name])
    return app.handlers[name]


async def states(app: Windlass) -> Counter[str]:
    store = await app.store()
    found: Counter[str] = Counter()
    for count in await store.counts():
        found[str(count.state)] += count.n
    return found


async def all_completed(app: Windlass, total: int) -> bool:
    return (await states(app)).get(State.COMPLETED, 0) == total


def check_ends(crew: Crew, ids: list[str], kills: list[tuple[float, float]]) -> None:
    """Every job ended at least once; every further end is explained by a kill (sent, gone) right after an earlier one."""
    ends: dict[str, list[Effect]] = {}
    for effect in crew.effects("end"):
        ends.setdefault(effect.job, []).append(effect)
    assert sorted(ends) == sorted(ids)
    for job, effects in ends.items():
        assert len({effect.lease for effect in effects}) == len(effects), f"{job} ended twice under one lease"
        for effect in sorted(effects, key=lambda effect: effect.at)[:-1]:
            close = any(sent - ALLOWED - COMMIT <= effect.at <= gone for sent, gone in kills)
            assert close, f"{job} ended at {effect.at}, no worker was killed just after that, yet it ran again"


JOBS = {"async": (2_000, 0.03), "thread": (2_000, 0.01), "process": (400, 0.01)}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("app", "runtime"), in_turns(["async"], ["thread", "process"]), indirect=["app"])
async def test_random_kills(app: Windlass, tmp_path: Any, scale: float, runtime: str) -> None:
    jobs_, seconds = JOBS[runtime]
    total = int(jobs_ * scale)
    chance = random.Random(20_26)
    async with app, crew_of(app, tmp_path, LEASE=LEASE, CONCURRENCY=20, THREADS=8, PROCESSES=2) as crew:
        refs = await app.enqueue_many([kind(app, runtime).job(seconds=seconds) for _ in range(total)], atomic=False)
        team: list[Process] = [await crew.start() for _ in range(3)]
        await until(lambda: crew.effects("begin"), "the work to begin")
        kills: list[tuple[float, float]] = []
        while not await all_completed(app, total):
            if len(crew.effects("end")) < total * 0.9:
                victim = chance.choice(team)
                sent = time()
                await crew.kill(victim)
                kills.append((sent, time() + DYING))
                team[team.index(victim)] = await crew.start()
            await asyncio.sleep(chance.uniform(0.3, 0.9))
        found = await states(app)
        assert found == {State.COMPLETED: total}
        assert len(kills) >= 1
        check_ends(crew, [ref.id for ref in refs], kills)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_thousand_jobs_in_flight(app: Windlass, tmp_path: Any, scale: float) -> None:
    total = int(1_000 * min(scale, 5))
    async with app, crew_of(app, tmp_path, LEASE=LEASE, CONCURRENCY=total) as crew:
        refs = await app.enqueue_many([kind(app, "async").job(seconds=3_600) for _ in range(total)], atomic=False)
        doomed = await crew.start()
        await until(lambda: len(crew.effects("begin")) == total, "all to be in flight", 60)
        heir = await crew.start()
        store = await app.store()

        async def both() -> bool:
            return len(await store.workers()) == 2

        await until(both, "the second worker to be at work")
        await crew.kill(doomed)
        killed = time()
        await until(lambda: len(crew.effects("begin")) == 2 * total, "all to be recovered", 60)
        last = max(effect.at for effect in crew.effects("begin"))
        assert last - killed <= LEASE + 20  # the default lease and a busy machine would be more
        again = Counter(effect.job for effect in crew.effects("begin"))
        assert again == {ref.id: 2 for ref in refs}
        heir.send_signal(signal.SIGTERM)
        heir.send_signal(signal.SIGINT)
        await heir.wait()
        assert await states(app) == {State.WAITING: total}
        job = await app.jobs.get(refs[0].id)
        assert (job.attempt, job.rescues) == (0, 1)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_worker_that_stood_still_writes_nothing_late(app: Windlass, tmp_path: Any) -> None:
    total = 40
    async with app, crew_of(app, tmp_path, LEASE=LEASE, CONCURRENCY=total) as crew:
        refs = await app.enqueue_many([kind(app, "async").job(seconds=1.0) for _ in range(total)])
        sleeper = await crew.start()
        await until(lambda: len(crew.effects("begin")) == total, "all to run")
        sleeper.send_signal(signal.SIGSTOP)
        await crew.start()
        await until(lambda: all_completed(app, total), "the other worker to do it all")
        leases = {ref.id: (await app.jobs.get(ref.id)).lease for ref in refs}
        await asyncio.sleep(LEASE)  # three leases in all
        sleeper.send_signal(signal.SIGCONT)
        # The sleeper wakes in the middle of its handlers: their leases are lost, so they are stopped or their ends refused.
        sleeper.send_signal(signal.SIGTERM)
        assert await sleeper.wait() == 0
        assert await states(app) == {State.COMPLETED: total}
        assert {ref.id: (await app.jobs.get(ref.id)).lease for ref in refs} == leases
        for ref in refs:
            job = await app.jobs.get(ref.id)
            assert (job.attempt, job.rescues) == (1, 1)
