"""What jobs that ended leave behind: a store's size before, with them, after retention, and how claims fare while it prunes.

    python -m benchmarks.retention --url sqlite:///retention.db --jobs 1000000

Jobs are enqueued, claimed and completed by calls of hundreds, with 100 bytes of arguments. Then all of them are past their
age and are pruned as workers do it, 500 a step, while another handle claims and completes single jobs of another queue: told
are the times of those claims. The history of the last `--history` jobs stays. At last a SQLite file is compacted. The
namespace is erased at the end.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time

import uvloop
from uuid_utils import uuid7

from windlass.operate.retention import prune_all
from windlass.store import Store, open_store
from windlass.values.clock import SECOND
from windlass.values.job import NewJob
from windlass.values.lease import ClaimRequest
from windlass.values.outcome import completed
from windlass.values.query import Retention

NAMESPACE = "bench_retention"
ARGS = '{"text":"%s"}' % ("x" * 88)
STEP = 500


def opened(url: str) -> Store:
    return open_store(url, NAMESPACE)


def some(n: int, queue: str) -> list[NewJob[None]]:
    return [NewJob(id=str(uuid7()), kind="work", queue=queue, args=ARGS) for _ in range(n)]


async def take(store: Store, number: int, slots: int, queue: str) -> int:
    """Claim and complete up to so many; how many there were."""
    request = ClaimRequest(
        worker=queue, session="bench", number=number, slots={"async": slots}, lease=30 * SECOND, queues=(queue,)
    )
    claims = (await store.claim(request)).jobs
    if claims:
        await store.finish([completed(claim, '"done"', 1_000) for claim in claims])
    return len(claims)


async def live(store: Store, jobs: int) -> None:
    number = 0
    for start in range(0, jobs, 10_000):
        for _ in range(0, min(10_000, jobs - start), STEP):
            await store.enqueue(some(STEP, "bulk"))
        while await take(store, number := number + 1, 200, "bulk"):
            pass


async def trickle(store: Store, times: list[float], over: asyncio.Event) -> None:
    """A job every 5 ms; how long its claim and end take."""
    number = 0
    while not over.is_set():
        await store.enqueue(some(1, "live"))
        began = time.perf_counter()
        await take(store, number := number + 1, 1, "live")
        times.append(time.perf_counter() - began)
        await asyncio.sleep(0.005)


async def pruned(url: str, history: int) -> tuple[float, list[float]]:
    """Seconds that pruning took, and the times of claims meanwhile."""
    times: list[float] = []
    over = asyncio.Event()
    store, other = opened(url), opened(url)
    await store.open()
    await other.open()
    claims = asyncio.create_task(trickle(other, times, over))
    began = time.perf_counter()
    keep = Retention(completed=0, keep_history=history)
    while await store.prune(keep, STEP) >= STEP:  # noqa: ASYNC110 (it is the work, not a wait)
        await asyncio.sleep(0.02)  # as workers do
    took = time.perf_counter() - began
    over.set()
    await claims
    await prune_all(store, keep)
    await other.close()
    await store.close()
    return took, times


async def size(store: Store) -> str:
    await asyncio.sleep(3)  # a log is written back, memory is counted
    return f"{int((await store.health())['size']) / 1e6:,.1f} MB"


async def main(given: argparse.Namespace) -> None:
    store = opened(given.url)
    await store.open()
    print(f"empty                    {await size(store)}")
    began = time.perf_counter()
    await live(store, given.jobs)
    print(f"{given.jobs:>9,} jobs ended     {await size(store)}   {given.jobs / (time.perf_counter() - began):,.0f}/s")
    took, times = await pruned(given.url, given.history)
    print(f"after retention          {await size(store)}   {given.jobs / took:,.0f}/s")
    times.sort()
    marks = ", ".join(
        f"{name} {times[int(len(times) * share)] * 1e3:.1f}" for name, share in (("p50", 0.5), ("p99", 0.99))
    )
    print(f"a claim and end meanwhile, ms: {marks}, most {times[-1] * 1e3:.1f} ({len(times)} of them)")
    began = time.perf_counter()
    if await store.compact(force=True):
        print(f"compacted in {time.perf_counter() - began:.2f} s    {await size(store)}")
    await store.erase(force=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default=f"sqlite:///{tempfile.gettempdir()}/windlass-retention-{os.getpid()}.db")
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--history", type=int, default=100_000)
    uvloop.run(main(parser.parse_args()))
    sys.exit(0)
