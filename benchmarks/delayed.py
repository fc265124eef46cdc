"""What a million delayed jobs cost: an idle worker's CPU, and the drain of other jobs beside them.

    python -m benchmarks.delayed --url redis://127.0.0.1/0 --delayed 1000000

Prints one line per figure, without and with the delayed jobs, from one run. The namespace is emptied at the end.
"""

import argparse
import asyncio
import contextlib
import statistics
import time
from collections.abc import Iterator

import psutil
import uvloop

from windlass import Windlass

CHUNK = 10_000


def make(url: str) -> Windlass:
    app = Windlass(url, namespace="bench_delayed")

    @app.job
    async def noop(a: dict[str, int]) -> dict[str, int]:
        return a

    return app


async def fill(app: Windlass, count: int, delay: str | None) -> None:
    noop = app.kind("noop").options(delay=delay) if delay else app.kind("noop")
    for start in range(0, count, CHUNK):
        await app.enqueue_many([noop.job({"a": n}) for n in range(start, min(start + CHUNK, count))])


async def idle_share(app: Windlass, seconds: float) -> float:
    """The share of one core that an idle worker in this process takes, in percent."""
    worker = app.worker()
    running = asyncio.create_task(worker.run())
    await asyncio.sleep(1.5)
    process = psutil.Process()
    before, began = sum(process.cpu_times()[:2]), time.perf_counter()
    await asyncio.sleep(seconds)
    share = 100 * (sum(process.cpu_times()[:2]) - before) / (time.perf_counter() - began)
    await worker.stop()
    await running
    return share


async def drain_rate(app: Windlass, jobs: int) -> float:
    await fill(app, jobs, None)
    began = time.perf_counter()
    done = await app.drain()
    assert done == jobs, f"{done} of {jobs} ran"
    return jobs / (time.perf_counter() - began)


async def measure(app: Windlass, label: str, jobs: int, seconds: float) -> tuple[float, float]:
    await drain_rate(app, jobs // 5)  # warm
    rates = [await drain_rate(app, jobs) for _ in range(5)]
    share = await idle_share(app, seconds)
    drain = statistics.median(rates)
    print(f"{label:28} idle worker {share:5.2f} % of a core   drain {drain:9,.0f}/s", flush=True)
    return share, drain


@contextlib.contextmanager
def timed(what: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    print(f"{what:28} {time.perf_counter() - began:.1f} s", flush=True)


async def main(url: str, delayed: int, jobs: int, seconds: float) -> None:
    app = make(url)
    async with app:
        idle, drain = await measure(app, "without delayed jobs", jobs, seconds)
        with timed(f"enqueue of {delayed:,} delayed"):
            await fill(app, delayed, "6h")
        idle_beside, drain_beside = await measure(app, f"beside {delayed:,} delayed", jobs, seconds)
        print(f"idle CPU {idle_beside - idle:+.2f} points, drain x{drain_beside / drain:.3f}")
        with timed("emptying"):
            await app.jobs.delete(state="delayed")
            await app.jobs.delete(state="completed")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--delayed", type=int, default=1_000_000)
    parser.add_argument("--jobs", type=int, default=50_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    uvloop.run(main(given.url, given.delayed, given.jobs, given.seconds))
