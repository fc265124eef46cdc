"""A worker stands still for three leases and wakes in the middle of its handlers: every late write is refused."""

import tempfile
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from tests.crash import program
from tests.crash.checker import Rules, duplicates
from tests.crash.history import Acked, Asked, Wanted, now
from tests.crash.run import Outcome, Plan, drain, judge, read_all, scene_for
from tests.crash.summary import summary
from tests.waiting import until
from windlass.states import State

LEASE = 1.5
JOBS = 20
LONG = 1.0
ROUNDS = 5


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_sleeper_writes_nothing_late(engine: str) -> None:
    """Whether it wakes to its handlers' ends or first to the news that its leases are lost, is chance: the latter stops the
    handlers, so that there is nothing left to refuse, and another round is played."""
    for _ in range(ROUNDS):
        outcome, sleeper = await stand_still(engine)
        told = f"{summary(outcome)}\n{outcome.logs}"
        assert not outcome.violations, told
        assert not any(outcome.exit_codes), told
        assert {kept.state for kept in outcome.book.kept.values()} == {State.COMPLETED}, told
        assert {kept.rescues for kept in outcome.book.kept.values()} == {1}, told
        assert all(found.why.startswith("lease lapsed") for found in duplicates(outcome.book, outcome.rules)), told
        verdicts = late_verdicts(outcome, sleeper)
        assert verdicts <= {"stale"}, told
        if verdicts:
            return
    pytest.fail(f"in {ROUNDS} rounds the sleeper never tried to write late")


async def stand_still(engine: str) -> tuple[Outcome, int]:
    """One round: the sleeper takes all jobs and stops; another worker does them; the sleeper wakes."""
    folder = Path(tempfile.mkdtemp(prefix="windlass-crash-"))

    def begun() -> int:
        return (folder / "history.jsonl").read_bytes().count(b'"began"')

    async with scene_for(engine, folder, LEASE) as scene:
        handler = program.app.handlers["plain"]
        jobs: list[Any] = [handler.job(seconds=LONG, fails=0, pad="") for _ in range(JOBS)]
        ids = tuple(job.id for job in jobs)
        wanted = tuple(Wanted(id, "plain", max_attempts=program.ATTEMPTS, sum=crc32(b"")) for id in ids)
        scene.record(Asked(now(), wanted))
        await scene.app.enqueue_many(jobs)
        scene.record(Acked(now(), ids, ids))

        team = scene.front.team
        sleeper = await team.start()
        await until(lambda: begun() == JOBS, "the sleeper to run everything", 30)
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
    """What the store said to the ends that a worker wanted to commit after it woke."""
    book = outcome.book
    woke = min(fault.until for fault in book.faults if fault.pid == pid)
    commits = [commit for of_job in book.of_job.values() for commit in of_job]
    return {commit.verdict for commit in commits if commit.pid == pid and commit.sent > woke}
