"""What the store's hot verbs cost per job: enqueue, claim and finish, alone and beside a million other jobs.

    python benchmarks/store_verbs.py --url sqlite:///tmp.db --jobs 100000
    python benchmarks/store_verbs.py --url redis://localhost/9 --finished 1000000 --waiting 1000000

The figures are microseconds a job of the calling process, with its loop doing nothing else. The namespace is emptied
by nobody: give it a fresh one, or a fresh file.
"""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Sequence
from typing import Any

from uuid_utils import uuid7

from windlass.store import Store, open_store
from windlass.values.job import NewJob
from windlass.values.lease import ClaimRequest
from windlass.values.outcome import completed

ARGS = json.dumps({"a": 1, "b": 2, "text": "x" * 100})
RESULT = '{"ok":true}'
ENQUEUED, CLAIMED = 500, 200
HOUR = 3_600_000_000


def fresh(n: int, queue: str = "default") -> list[NewJob[Any]]:
    return [NewJob(id=str(uuid7()), kind="noop", queue=queue, args=ARGS) for _ in range(n)]


async def enqueue(store: Store, jobs: int, queue: str = "default") -> list[float]:
    """Microseconds a job, for each call of `ENQUEUED`."""
    figures: list[float] = []
    for _ in range(0, jobs, ENQUEUED):
        batch = fresh(ENQUEUED, queue)
        start = time.perf_counter()
        await store.enqueue(batch)
        figures.append((time.perf_counter() - start) / ENQUEUED * 1e6)
        await asyncio.sleep(0)
    return figures


async def run(store: Store, jobs: int, queue: str = "default") -> tuple[list[float], list[float]]:
    """Microseconds a job of each claim and of each finish."""
    claims: list[float] = []
    ends: list[float] = []
    for number in range(jobs // CLAIMED):
        request = ClaimRequest(
            worker="bench",
            session=f"bench-{queue}-{time.monotonic_ns()}",
            number=number,
            slots={"async": CLAIMED},
            lease=HOUR,
            queues=(queue,),
        )
        start = time.perf_counter()
        got = (await store.claim(request)).jobs
        claimed = time.perf_counter()
        finishes = [completed(claim, RESULT, 1_000 + at) for at, claim in enumerate(got)]
        finishing = time.perf_counter()
        await store.finish(finishes)
        end = time.perf_counter()
        if len(got) != CLAIMED:
            raise SystemExit(f"a claim of {CLAIMED} brought {len(got)}")
        claims.append((claimed - start) / CLAIMED * 1e6)
        ends.append((end - finishing) / CLAIMED * 1e6)
        await asyncio.sleep(0)
    return claims, ends


async def fill(store: Store, jobs: int, queue: str) -> None:
    for _ in range(0, jobs, 10_000):
        await store.enqueue(fresh(min(jobs, 10_000), queue))


def show(what: str, figures: Sequence[float]) -> None:
    ordered = sorted(figures)
    p99 = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    print(
        f"{what:<34} mean {statistics.fmean(figures):7.2f}  p50 {statistics.median(figures):7.2f}  p99 {p99:7.2f}  us/job"
    )


async def measure(store: Store, jobs: int, where: str) -> None:
    show(f"enqueue, {where}", await enqueue(store, jobs))
    claims, ends = await run(store, jobs)
    show(f"claim, {where}", claims)
    show(f"finish, {where}", ends)
    per_job = statistics.fmean(claims) + statistics.fmean(ends)
    print(f"{'claim + finish, ' + where:<34} {1e6 / per_job:,.0f} jobs/s")


async def main(given: argparse.Namespace) -> None:
    store = open_store(given.url, given.namespace)
    await store.open()
    try:
        await measure(store, given.jobs, "empty")
        if given.finished:
            await fill(store, given.finished, "default")
            await run(store, given.finished)
            await measure(store, given.jobs, f"{given.finished:,} finished")
        if given.waiting:
            await fill(store, given.waiting, "other")
            await measure(store, given.jobs, f"{given.waiting:,} waiting elsewhere")
            await fill(store, given.waiting, "default")
            claims, ends = await run(store, given.jobs)
            show(f"claim, {given.waiting:,} waiting here", claims)
            show(f"finish, {given.waiting:,} waiting here", ends)
    finally:
        await store.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--namespace", default="bench")
    parser.add_argument("--jobs", type=int, default=100_000, help="jobs of each measurement")
    parser.add_argument("--finished", type=int, default=0, help="measure again beside so many finished jobs")
    parser.add_argument("--waiting", type=int, default=0, help="measure again with so many waiting jobs")
    asyncio.run(main(parser.parse_args()))
