"""What limits and queue orders cost at the store: users with a limit each, a full group ahead of a free job, groups in turn.

    python benchmarks/limits.py --url sqlite:///limits.db
    python benchmarks/limits.py --url redis://localhost/9 --jobs 5000 --ahead 20000

Only the protocol of the store is used, by one caller whose loop does nothing else. Shares are to the plain queue of the same
run. The namespace is emptied by nobody: give it a fresh one, or a fresh file.
"""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

from uuid_utils import uuid7

from windlass.store import Store, open_store
from windlass.values.job import Claim, NewJob
from windlass.values.lease import ClaimRequest
from windlass.values.limit import Bound, Rate
from windlass.values.outcome import completed
from windlass.values.queue import QueueChange

HOUR = 3_600_000_000
USERS, EACH = 1_000, 2
PART = 500
SLOTS = 100
LOOKS = 200

Make = Callable[[int], NewJob[Any]]


def job(queue: str, **fields: Any) -> NewJob[Any]:
    return NewJob(id=str(uuid7()), kind="noop", queue=queue, **fields)


class Bench:
    def __init__(self, store: Store) -> None:
        self.store = store
        self._session, self._number = str(uuid7()), 0

    async def put(self, jobs: int, make: Make) -> None:
        for at in range(0, jobs, PART):
            await self.store.enqueue([make(n) for n in range(at, min(at + PART, jobs))])

    async def claim(self, queue: str, slots: int = SLOTS) -> tuple[list[Claim], bool]:
        self._number += 1
        claimed = await self.store.claim(
            ClaimRequest(
                worker="bench",
                session=self._session,
                number=self._number,
                slots={"async": slots},
                lease=HOUR,
                queues=(queue,),
            )
        )
        return claimed.jobs, claimed.more

    async def fill(self, queue: str) -> list[Claim]:
        """Claim until nothing more can run."""
        held: list[Claim] = []
        while True:
            jobs, more = await self.claim(queue, 200)
            held += jobs
            if not jobs and not more:
                return held

    async def end(self, claims: list[Claim]) -> None:
        for at in range(0, len(claims), 200):
            await self.store.finish([completed(claim, None, 1_000) for claim in claims[at : at + 200]])

    async def drain(self, queue: str, jobs: int) -> float:
        """Jobs a second of claims of `SLOTS` and their ends."""
        start = time.perf_counter()
        left = jobs
        while left:
            claims, more = await self.claim(queue)
            if not claims and not more:
                raise SystemExit(f"{left} jobs of {queue} cannot be claimed")
            if claims:
                await self.end(claims)
                left -= len(claims)
        return jobs / (time.perf_counter() - start)

    async def free_job(self, queue: str) -> float:
        """Median microseconds of the claim that brings the one job that may run."""
        figures: list[float] = []
        for n in range(LOOKS):
            await self.store.enqueue([job(queue, limits=(Bound(f"{queue}:free:{n % 10}", 1),))])
            start = time.perf_counter()
            claims, more = await self.claim(queue, 1)
            while not claims and more:
                claims, more = await self.claim(queue, 1)
            figures.append((time.perf_counter() - start) * 1e6)
            if len(claims) != 1:
                raise SystemExit(f"a free job of {queue} cannot be claimed")
            await self.end(claims)
        return statistics.median(figures)

    async def nothing(self, queue: str) -> float:
        """Median microseconds of a claim that finds every key full."""
        figures: list[float] = []
        for _ in range(LOOKS):
            start = time.perf_counter()
            await self.claim(queue)
            figures.append((time.perf_counter() - start) * 1e6)
        return statistics.median(figures)


def drained(jobs: int) -> dict[str, Make]:
    return {
        "plain": lambda n: job("plain"),
        "one_key": lambda n: job("one_key", limits=(Bound("one", SLOTS),)),
        "users": lambda n: job("users", limits=(Bound(f"user:{n % USERS}", EACH),)),
        "two_keys": lambda n: job("two_keys", limits=(Bound(f"both:{n % USERS}", EACH), Bound("all", SLOTS))),
        "rate": lambda n: job("rate", limits=(Bound("rated", rate=Rate(jobs * 2, HOUR)),)),
        "fair": lambda n: job("fair", group=f"g{n % 100}"),
    }


async def measure(store: Store, jobs: int, ahead: int) -> dict[str, Any]:
    bench = Bench(store)
    await store.put_queue("fair", QueueChange(order="fair"), "bench")
    put: dict[str, float] = {}
    took: dict[str, float] = {}
    for queue, make in drained(jobs).items():
        start = time.perf_counter()
        await bench.put(jobs, make)
        put[queue] = round((time.perf_counter() - start) / jobs * 1e6, 1)
        took[queue] = await bench.drain(queue, jobs)
    empty = await bench.free_job("empty")
    await bench.put(ahead, lambda n: job("crowd", priority=5, limits=(Bound("group:full", 1),)))
    await bench.fill("crowd")
    crowd = await bench.free_job("crowd")
    await bench.put(USERS * EACH * 3, lambda n: job("full", limits=(Bound(f"full:{n % USERS}", EACH),)))
    held = await bench.fill("full")
    return {
        "jobs": jobs,
        "enqueue_us_a_job": put,
        "drained_per_s": {queue: round(speed) for queue, speed in took.items()},
        "share_of_plain": {queue: round(speed / took["plain"], 2) for queue, speed in took.items()},
        "free_job_us": {"empty": round(empty), f"behind_{ahead}_of_a_full_group": round(crowd)},
        "free_job_ratio": round(crowd / empty, 2),
        "held_of_1000_users": len(held),
        "claim_with_all_full_us": round(await bench.nothing("full")),
    }


async def main(given: argparse.Namespace) -> None:
    store = open_store(given.url, given.namespace)
    await store.open()
    try:
        print(json.dumps(await measure(store, given.jobs, given.ahead), indent=2))
    finally:
        await store.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--namespace", default="bench")
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--ahead", type=int, default=100_000, help="jobs of a full group ahead of a free one")
    asyncio.run(main(parser.parse_args()))
