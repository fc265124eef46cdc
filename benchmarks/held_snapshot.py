"""Throughput on PostgreSQL while somebody else's transaction holds an old snapshot.

    python -m benchmarks.held_snapshot --url postgresql://postgres@127.0.0.1/postgres --seconds 600

A producer keeps a few thousand no-op jobs waiting and a worker runs them, first without, then with a REPEATABLE READ
transaction held open elsewhere: dead index entries of claimed jobs cannot be removed any more, which is what makes queues
on PostgreSQL slow down. Prints jobs per second in windows, and the ratio of the last windows to the first.
"""

import argparse
import asyncio
import statistics
import time

import asyncpg
import uvloop

from windlass import Windlass

BATCH, AHEAD = 1_000, 4_000


async def main(url: str, seconds: float, base: float, window: float) -> None:
    app = Windlass(url, namespace="bench_snapshot")
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

    async def windows(label: str, span: float) -> list[float]:
        rates: list[float] = []
        end = time.perf_counter() + span
        while time.perf_counter() < end:
            before, began = done, time.perf_counter()
            await asyncio.sleep(window)
            rates.append((done - before) / (time.perf_counter() - began))
            print(f"{label:10} {rates[-1]:9,.0f} jobs/s", flush=True)
        return rates

    async with app:
        worker = app.worker()
        running, producing = asyncio.create_task(worker.run()), asyncio.create_task(produce())
        await asyncio.sleep(2)
        free = statistics.median(await windows("free", base))
        holder = await asyncpg.connect(url)
        held = holder.transaction(isolation="repeatable_read")
        await held.start()
        await holder.fetchval("SELECT count(*) FROM pg_class")  # the snapshot is taken by the first statement
        rates = await windows("held", seconds)
        last = statistics.median(rates[-max(len(rates) // 4, 1) :])
        await held.rollback()
        await holder.close()
        print(
            f"free {free:,.0f}/s, last quarter of {seconds:.0f} s held {last:,.0f}/s: x{last / free:.2f}; {done:,} jobs"
        )
        producing.cancel()
        await worker.stop()
        await running


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--base", type=float, default=30.0)
    parser.add_argument("--window", type=float, default=10.0)
    given = parser.parse_args()
    uvloop.run(main(given.url, given.seconds, given.base, given.window))
