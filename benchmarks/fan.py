"""Ten levels of fan-out and fan-in against as many independent jobs, drained by one worker in the same run.

    python benchmarks/fan.py --url sqlite:///fan.db --jobs 10000 --rounds 3

A level is one job that waits for all jobs of the level before, and the jobs that wait for it. Rounds alternate, so that the
machine's moods meet both alike; the share is the median of graph over independent throughput. Give it a fresh place.
"""

import argparse
import asyncio
import json
import statistics
import time
from typing import Any

from windlass import Windlass, chain, group
from windlass.values.job import NewJob

LEVELS = 10


def levels(app: Windlass, jobs: int) -> Any:
    noop = app.handlers["noop"]
    width = jobs // LEVELS - 1
    parts = [part for _ in range(LEVELS) for part in (noop.job(0), group(*[noop.job(n) for n in range(width)]))]
    return chain(*parts)


async def drained(app: Windlass, count: int) -> tuple[float, float]:
    """Jobs a second, and this process's microseconds of processor time a job."""
    start, used = time.perf_counter(), time.process_time()
    ran = await app.drain()
    took, used = time.perf_counter() - start, time.process_time() - used
    assert ran == count, f"{ran} of {count} jobs ran"
    return count / took, used / count * 1e6


async def measure(url: str, namespace: str, jobs: int, rounds: int) -> dict[str, Any]:
    app = Windlass(url, namespace=namespace)

    @app.job
    async def noop(n: int) -> int:
        return n

    graph: list[tuple[float, float]] = []
    plain: list[tuple[float, float]] = []
    stored: list[float] = []
    async with app:
        await app.run(levels(app, jobs // 10))
        await app.drain()  # warm
        for _ in range(rounds):
            single: list[NewJob[int]] = [noop.job(n) for n in range(jobs)]
            await app.enqueue_many(single)
            plain.append(await drained(app, jobs))
            start = time.perf_counter()
            ref = await app.run(levels(app, jobs))
            stored.append(len(ref.jobs) / (time.perf_counter() - start))
            graph.append(await drained(app, len(ref.jobs)))
    return {
        "engine": url.partition(":")[0],
        "jobs": jobs,
        "levels": LEVELS,
        "independent_per_s": round(statistics.median(speed for speed, _ in plain)),
        "independent_cpu_us": round(statistics.median(cpu for _, cpu in plain), 1),
        "graph_per_s": round(statistics.median(speed for speed, _ in graph)),
        "graph_cpu_us": round(statistics.median(cpu for _, cpu in graph), 1),
        "graph_stored_per_s": round(statistics.median(stored)),
        "share": round(statistics.median(g / p for (g, _), (p, _) in zip(graph, plain, strict=True)), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="sqlite://:memory:")
    parser.add_argument("--namespace", default="fan")
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    try:
        import uvloop

        run: Any = uvloop.run
    except ModuleNotFoundError:
        run = asyncio.run
    print(json.dumps(run(measure(given.url, given.namespace, given.jobs, given.rounds)), indent=2))


if __name__ == "__main__":
    main()
