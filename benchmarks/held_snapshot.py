"""Throughput on PostgreSQL while somebody else's transaction holds an old snapshot.

    python -m benchmarks.held_snapshot --url postgresql://postgres@127.0.0.1/postgres --seconds 600

A producer keeps a few thousand no-op jobs waiting and a worker runs them, for `--seconds` in a fresh namespace and then as long
in another one beside a REPEATABLE READ transaction held open elsewhere: dead index entries of claimed jobs cannot be removed
any more, which is what makes queues on PostgreSQL slow down. Both runs finish millions of jobs, whose rows stay, so that what
a growing table costs is in both. Prints jobs per second in windows, and the ratio of the last quarters. With `--beside` both run
at the same time, the free one on that other server, so that whatever else the machine does slows both.
"""

import argparse
import asyncio
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import asyncpg
import uvloop

from windlass import Windlass

BATCH, AHEAD = 1_000, 4_000


async def run(url: str, label: str, seconds: float, window: float) -> list[float]:
    """Jobs per second in each window of one run in a namespace of its own, which is erased afterwards."""
    app = Windlass(url, namespace=f"bench_snapshot_{label}")
    done = 0

    @app.job
    async def noop(a: dict[str, int]) -> dict[str, int]:
        nonlocal done
        done += 1
        return a

    async def produce() -> None:
        made = 0
        while True:
            if made - done < AHEAD:
                await app.enqueue_many([noop.job({"a": n}) for n in range(BATCH)])
                made += BATCH
            else:
                await asyncio.sleep(0.005)

    rates: list[float] = []
    async with app:
        worker = app.worker()
        running, producing = asyncio.create_task(worker.run()), asyncio.create_task(produce())
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            before, began = done, time.perf_counter()
            await asyncio.sleep(window)
            rates.append((done - before) / (time.perf_counter() - began))
            print(f"{label:6} {rates[-1]:9,.0f} jobs/s", flush=True)
        producing.cancel()
        await worker.stop()
        await running
        await (await app.store()).erase(force=True)
    return rates


def last_quarter(rates: list[float]) -> float:
    return statistics.median(rates[-max(len(rates) // 4, 1) :])


async def hold(url: str, seconds: float, window: float) -> list[float]:
    """`run` beside a snapshot that is taken before and let go of after it."""
    holder = await asyncpg.connect(url)
    snapshot = holder.transaction(isolation="repeatable_read")
    await snapshot.start()
    await holder.fetchval("SELECT count(*) FROM pg_class")  # the snapshot is taken by the first statement
    rates = await run(url, "held", seconds, window)
    await snapshot.rollback()
    await holder.close()
    return rates


def measure(url: str, held: bool, seconds: float, window: float) -> float:
    """The rate of one run in a process of its own."""
    return last_quarter(uvloop.run(hold(url, seconds, window) if held else run(url, "free", seconds, window)))


def main(url: str, beside: str | None, seconds: float, window: float) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        free = pool.submit(measure, beside or url, False, seconds, window)
        if beside is None:
            free.result()
        held = pool.submit(measure, url, True, seconds, window).result()
        ratio = held / free.result()
        print(f"last quarter of {seconds:.0f} s: free {free.result():,.0f}/s, held {held:,.0f}/s: x{ratio:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--beside", help="another server, for the run without a snapshot, at the same time")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--window", type=float, default=10.0)
    given = parser.parse_args()
    main(given.url, given.beside, given.seconds, given.window)
