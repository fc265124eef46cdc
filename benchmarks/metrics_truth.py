"""Metrics against truth: jobs with known outcomes and costs, run by worker processes that are killed at random.

    python -m benchmarks.metrics_truth --url sqlite:///truth.db --jobs 50000 --workers 3 --kills 20

What each job does follows from its number, so every count and every cost is known beforehand, whatever is killed; run times are
held against those of the jobs' own records. Prints what was counted beside what is true; exit code 1 if a count or a cost is
not exact, or a percentile is off by more than 3 %. The namespace is erased at the end.
"""

import argparse
import asyncio
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from decimal import Decimal
from typing import Any

from windlass import Context, Fail, Price, Retry, Windlass, fixed
from windlass.values.query import Where
from windlass.values.states import State

QUEUES, KINDS, USERS = 4, 5, 20
BASE = Decimal("0.001")
LEASE = "2s"


def build(url: str, namespace: str) -> Windlass:
    """Kinds that end as their job's number says."""
    app = Windlass(url, namespace=namespace, maintenance=False, keep_completed="forever")

    async def run(ctx: Context, n: int) -> int:
        ctx.cost(spent(n))
        await asyncio.sleep(duration(n))
        if n % 10 == 0:
            raise Fail("by its number")
        if n % 10 == 1 and ctx.attempt == 1:
            raise Retry("by its number", after=0)
        return n

    for number in range(KINDS):
        app.job(kind=f"k{number}", price=Price(base=BASE), max_attempts=3, backoff=fixed(0), max_rescues=1_000)(run)
    return app


def duration(n: int) -> float:
    """Seconds that a job sleeps: from one to thirty milliseconds, most of them short."""
    return 0.001 + 0.03 * ((n * 7_919 % 1_000) / 1_000) ** 4


def spent(n: int) -> Decimal:
    """What a job reports in each attempt."""
    return Decimal(n % 7) / 1_000


def attempts(n: int) -> int:
    """How many attempts of a job end by themselves."""
    return 2 if n % 10 == 1 else 1


async def fill(app: Windlass, jobs: int) -> None:
    """All jobs, spread over kinds, queues and users."""
    made = (app.kind(f"k{n % KINDS}").options(queue=f"q{n % QUEUES}", user=f"u{n % USERS}").job(n) for n in range(jobs))
    await app.enqueue_many(made, atomic=False)


class Crew:
    """Worker processes, one of which is killed now and then."""

    def __init__(self, url: str, namespace: str, size: int) -> None:
        self._command = [
            sys.executable,
            "-m",
            "benchmarks.metrics_truth",
            "--work",
            "--url",
            url,
            "--namespace",
            namespace,
        ]
        self.workers = [self._start() for _ in range(size)]

    def _start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(self._command, stdout=subprocess.DEVNULL)

    def kill_one(self, rng: random.Random) -> None:
        """Without a warning; another takes its place."""
        at = rng.randrange(len(self.workers))
        self.workers[at].send_signal(signal.SIGKILL)
        self.workers[at].wait()
        self.workers[at] = self._start()

    def close(self) -> None:
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            with suppress(subprocess.TimeoutExpired):
                worker.wait(20)
            worker.kill()


async def run(url: str, namespace: str, jobs: int, *, workers: int, kills: int, seed: int = 1) -> list[str]:
    """Run it all; what is wrong."""
    rng = random.Random(seed)
    app = build(url, namespace)
    async with app:
        await fill(app, jobs)
        crew = Crew(url, namespace, workers)
        began = time.monotonic()
        killed = 0
        try:
            while (left := await unfinished(app)) > 0:
                if killed < kills and left < jobs * (1 - (killed + 1) / (kills + 2)):
                    crew.kill_one(rng)
                    killed += 1
                await asyncio.sleep(0.1)
        finally:
            crew.close()
        print(f"{jobs:,} jobs in {time.monotonic() - began:.1f} s, {killed} kills", flush=True)
        return await compare(app, jobs)


async def unfinished(app: Windlass) -> int:
    """Jobs that have not ended."""
    return sum(
        each.n for each in await (await app.store()).counts() if each.state not in (State.COMPLETED, State.FAILED)
    )


async def compare(app: Windlass, jobs: int) -> list[str]:
    """Metrics against what the numbers and the jobs' records say."""
    found = await app.metrics(last="6h")
    wrong: list[str] = []

    def check(name: str, got: Any, true: Any) -> None:
        print(f"{name:34} {got!s:>16} {true!s:>16}")
        if got != true:
            wrong.append(f"{name}: {got}, in truth {true}")

    numbers = range(jobs)
    cost = sum(((BASE + spent(n)) * attempts(n) for n in numbers), Decimal(0))
    check("completed", found.total.completed, sum(n % 10 != 0 for n in numbers))
    check("failed", found.total.failed, sum(n % 10 == 0 for n in numbers))
    check("retries", found.total.retries, sum(n % 10 == 1 for n in numbers))
    check("cost", found.total.cost, cost.normalize() + 0)
    print(f"{'rescues (killed workers)':34} {found.total.rescues:>16}")
    for part, size, rows in (("q", QUEUES, found.queues), ("k", KINDS, found.kinds)):
        got = {str(row.queue if part == "q" else row.kind): (row.completed, row.failed, row.cost) for row in rows}
        true = {f"{part}{x}": _true(n for n in numbers if n % size == x) for x in range(min(size, jobs))}
        check(f"by {'queue' if part == 'q' else 'kind'}", got == true, True)
    users = {each.user: (each.completed, each.failed, each.cost) for each in await app.users(last="6h", limit=1_000)}
    check(
        "by user",
        users == {f"u{x}": _true(n for n in numbers if n % USERS == x) for x in range(min(USERS, jobs))},
        True,
    )
    check("series", sum(point.completed for point in found.series), found.total.completed)
    took, charged = await _recorded(app)
    check("cost of the jobs' records", charged, cost.normalize() + 0)
    assert found.total.run is not None
    check("run times", found.total.run.count, len(took))
    for name, share in (("median", 0.5), ("p95", 0.95), ("p99", 0.99)):
        true = took[math.ceil(share * len(took)) - 1]
        got = getattr(found.total.run, name)
        off = abs(got / true - 1)
        print(f"{name + ' (s)':34} {got:>16.6f} {true:>16.6f}  {off:.2%} off")
        if off > 0.03:
            wrong.append(f"{name}: {got}, in truth {true}")
    return wrong


def _true(numbers: Any) -> tuple[int, int, Decimal]:
    counts: Counter[bool] = Counter()
    cost = Decimal(0)
    for n in numbers:
        counts[n % 10 == 0] += 1
        cost += (BASE + spent(n)) * attempts(n)
    return counts[False], counts[True], cost.normalize() + 0


async def _recorded(app: Windlass) -> tuple[list[float], Decimal]:
    """The run time of every attempt that ended by itself, and the cost of all jobs, from their records."""
    store = await app.store()
    took: list[float] = []
    charged = Decimal(0)
    cursor: str | None = None
    while True:
        page = await store.jobs(Where(states=(State.COMPLETED, State.FAILED)), cursor, 1_000)
        for job in page.items:
            charged += job.cost
            for each in job.attempts:
                if each.outcome in ("complete", "retry", "fail") and each.started_at and each.finished_at:
                    took.append((each.finished_at - each.started_at).total_seconds())
        cursor = page.next
        if cursor is None:
            return sorted(took), charged.normalize() + 0


async def _main(given: argparse.Namespace) -> int:
    if given.work:
        await build(given.url, given.namespace).worker(lease=LEASE, concurrency=50).run(handle_signals=True)
        return 0
    wrong = await run(given.url, given.namespace, given.jobs, workers=given.workers, kills=given.kills)
    for each in wrong:
        print(f"WRONG {each}")
    app = build(given.url, given.namespace)
    async with app:
        await (await app.store()).erase(force=True)
    print("exact" if not wrong else f"{len(wrong)} figures are wrong")
    return int(bool(wrong))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default=f"sqlite:///{tempfile.gettempdir()}/windlass-truth-{os.getpid()}.db")
    parser.add_argument("--namespace", default="truth")
    parser.add_argument("--jobs", type=int, default=50_000)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    sys.exit(asyncio.run(_main(parser.parse_args())))
