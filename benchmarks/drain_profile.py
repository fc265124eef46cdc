"""Where a drain's time goes: no-op async jobs on SQLite, one worker process, timed and then profiled.

    python benchmarks/drain_profile.py [--jobs 20000] [--rounds 5] [--profile]

Prints jobs per second of each round (claim to durable `completed`), how long ends waited for their commit, and with
`--profile` the functions that take the most time.
"""

import argparse
import asyncio
import cProfile
import pstats
import statistics
import tempfile
import time
from pathlib import Path

import uvloop

from windlass.app import Windlass
from windlass.values.outcome import Finish, Verdict
from windlass.worker.finisher import Finisher
from windlass.worker.runner import Runner


def build(url: str) -> Windlass:
    app = Windlass(url)

    @app.job(kind="noop")
    async def noop(data: dict[str, int]) -> dict[str, int]:
        return data

    return app


async def fill(app: Windlass, jobs: int) -> None:
    noop = app.handlers["noop"]
    await app.enqueue_many([noop.job({"n": n}) for n in range(jobs)], atomic=False)


async def drain(url: str, jobs: int) -> tuple[float, list[float]]:
    """Jobs per second, and each job's milliseconds from the end of its handler to the verdict of its commit."""
    waits: list[float] = []
    added: dict[str, float] = {}
    plain_add, plain_settled = Finisher.add, Runner.settled

    def add(self: Finisher, finish: Finish, now: float) -> bool:
        added[finish.id] = time.perf_counter()
        return plain_add(self, finish, now)

    def settled(self: Runner, finish: Finish, verdict: Verdict | None) -> None:
        waits.append((time.perf_counter() - added.pop(finish.id)) * 1000)
        plain_settled(self, finish, verdict)

    app = build(url)
    async with app:
        await fill(app, jobs)
        began = time.perf_counter()
        done = await app.drain()
        rate = done / (time.perf_counter() - began)
        assert done == jobs, done
        Finisher.add, Runner.settled = add, settled
        try:
            await fill(app, jobs)
            await app.drain()
        finally:
            Finisher.add, Runner.settled = plain_add, plain_settled
    return rate, waits


async def profiled(url: str, jobs: int) -> pstats.Stats:
    app = build(url)
    async with app:
        await fill(app, jobs)
        profile = cProfile.Profile()
        profile.enable()
        await app.drain()
        profile.disable()
    return pstats.Stats(profile)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", action="store_true")
    asked = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, tempfile.TemporaryDirectory() as folder:
        rates: list[float] = []
        for number in range(asked.rounds):
            url = f"sqlite:///{Path(folder) / f'{number}.db'}"
            rate, waits = runner.run(drain(url, asked.jobs))
            rates.append(rate)
            cuts = statistics.quantiles(waits, n=100)
            print(f"round {number + 1}: {rate:8,.0f} jobs/s; end to commit p50 {cuts[49]:.2f} p99 {cuts[98]:.2f} ms")
        print(f"median : {statistics.median(rates):8,.0f} jobs/s")
        if asked.profile:
            stats = runner.run(profiled(f"sqlite:///{Path(folder) / 'profile.db'}", asked.jobs))
            stats.sort_stats("tottime").print_stats(35)


if __name__ == "__main__":
    main()
