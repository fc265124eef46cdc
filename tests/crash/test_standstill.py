"""A worker stands still for three leases, its first commit in hand and its handlers running: every late write is refused."""

import tempfile
from pathlib import Path
from typing import Any
from zlib import crc32

import psutil
import pytest

from tests.crash import program
from tests.crash.checker import Rules, duplicates
from tests.crash.history import Acked, Asked, Wanted, now
from tests.crash.run import Outcome, Plan, drain, judge, read_all, scene_for
from tests.crash.summary import summary
from tests.waiting import until
from windlass.values.states import State

LEASE = 1.5
JOBS = 20
SHORT, LONG = 0.2, 1.0


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_sleeper_writes_nothing_late(engine: str) -> None:
    outcome, sleeper = await stand_still(engine)
    told = f"{summary(outcome)}\n{outcome.logs}"
    assert not outcome.violations, told
    assert not any(outcome.exit_codes), told
    assert {kept.state for kept in outcome.book.kept.values()} == {State.COMPLETED}, told
    assert {kept.rescues for kept in outcome.book.kept.values()} == {1}, told
    assert all(found.why.startswith("lease lapsed") for found in duplicates(outcome.book, outcome.rules)), told
    assert late_verdicts(outcome, sleeper) == {"stale"}, told


async def stand_still(engine: str) -> tuple[Outcome, int]:
    """The sleeper takes all jobs and stops; another worker does them; the sleeper wakes."""
    folder = Path(tempfile.mkdtemp(prefix="windlass-crash-"))

    async with scene_for(engine, folder, LEASE) as scene:
        handler = program.app.handlers["plain"]
        jobs: list[Any] = [handler.job(seconds=SHORT if n % 2 else LONG, fails=0, pad="") for n in range(JOBS)]
        ids = tuple(job.id for job in jobs)
        wanted = tuple(Wanted(id, "plain", max_attempts=program.ATTEMPTS, sum=crc32(b"")) for id in ids)
        scene.record(Asked(now(), wanted))
        await scene.app.enqueue_many(jobs)
        scene.record(Acked(now(), ids, ids))

        team = scene.front.team
        sleeper = await team.start(HESITATES=1)
        process = psutil.Process(sleeper.pid)
        await until(lambda: process.status() == psutil.STATUS_STOPPED, "the sleeper to stand still")
        await team.start()
        await team.freeze(sleeper, 3 * LEASE)
        await drain(scene)
        codes = await team.dismiss()
        await read_all(scene)
        logs = team.logs()
    return judge(
        Plan(engine, 0, 0, LEASE), Rules(LEASE, may_lose=scene.ground.may_lose), folder, codes, logs
    ), sleeper.pid


def late_verdicts(outcome: Outcome, pid: int) -> set[str | None]:
    """What the store said to the ends that a worker wanted to commit."""
    book = outcome.book
    commits = [commit for of_job in book.of_job.values() for commit in of_job]
    return {commit.verdict for commit in commits if commit.pid == pid}
