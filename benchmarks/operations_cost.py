"""What operations cost a drain: no-op async jobs in one worker process, plain and with what can be asked for.

    python -m benchmarks.operations_cost --url sqlite:///cost.db --jobs 20000 --rounds 5

Rounds of all variants take turns in one run; prints jobs per second (the best round, which others on the machine disturb
least) and the share of the plain rate, by the clock and by processor time (which says most where others work too; what a server
does is not in it). The namespace is erased at the end.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import uvloop

from windlass import Context, Fail, JobEvent, Price, Windlass
from windlass.values.job import NewJob

CHUNK = 10_000
Make = Callable[[Windlass, int], NewJob[Any]]


def plain(app: Windlass) -> None:
    @app.job(kind="noop")
    async def noop(n: int) -> None: ...


def priced(app: Windlass) -> None:
    @app.job(kind="noop", price=Price(base="0.001", second="0.0001"), dead_retries=("15m", "1h", "6h"))
    async def noop(n: int) -> None: ...


def reporting(app: Windlass) -> None:
    @app.job(kind="noop", price=Price(base="0.001"))
    async def noop(ctx: Context, n: int) -> None:
        ctx.cost("0.002")


def context_only(app: Windlass) -> None:
    @app.job(kind="noop")
    async def noop(ctx: Context, n: int) -> None: ...


def failing(app: Windlass) -> None:
    @app.job(kind="noop", max_attempts=1)
    async def noop(n: int) -> None:
        if n % 20 == 0:
            raise Fail("one in twenty")


def failing_with_ladder(app: Windlass) -> None:
    @app.job(kind="noop", max_attempts=1, price=Price(base="0.001"), dead_retries=("15m", "1h", "6h"))
    async def noop(n: int) -> None:
        if n % 20 == 0:
            raise ConnectionError("one in twenty")


def hooked(app: Windlass) -> None:
    plain(app)

    @app.on("failed")
    async def hook(event: JobEvent) -> None: ...


VARIANTS: dict[str, tuple[Callable[[Windlass], None], bool]] = {
    "plain": (plain, False),
    "users": (plain, True),
    "price, ladder": (priced, False),
    "price, ladder, users": (priced, True),
    "hooks on failures": (hooked, False),
    "with ctx": (context_only, False),
    "with ctx, price, ctx.cost": (reporting, False),
    "5 % fail": (failing, False),
    "5 % fail, price, ladder, users": (failing_with_ladder, True),
}


async def drain(url: str, variant: str, jobs: int) -> tuple[float, float]:
    """Jobs per second, and per second of processor time."""
    declare, users = VARIANTS[variant]
    app = Windlass(url, namespace="bench_cost", maintenance=False)
    declare(app)
    noop = app.kind("noop")
    some = [noop.options(user=f"u{n}") if users else noop for n in range(50)]
    async with app:
        for start in range(0, jobs, CHUNK):
            await app.enqueue_many([some[n % 50].job(n) for n in range(start, min(start + CHUNK, jobs))])
        began, worked = time.perf_counter(), time.process_time()
        done = await app.drain()
        took, worked = time.perf_counter() - began, time.process_time() - worked
        assert done == jobs, f"{done} of {jobs} ran"
        await (await app.store()).erase(force=True)
    return jobs / took, jobs / worked


async def main(given: argparse.Namespace) -> None:
    chosen = [name for name in VARIANTS if not given.only or name in ("plain", *given.only)]
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in chosen}
    for _ in range(given.rounds):
        for name in chosen:
            rates[name].append(await drain(given.url, name, given.jobs))
    compared = {"with ctx, price, ctx.cost": "with ctx", "5 % fail, price, ladder, users": "5 % fail"}
    for name, found in rates.items():
        base = compared.get(name, "plain")
        base = base if base in rates else "plain"
        (rate, worked), (plain_rate, plain_worked) = best(found), best(rates[base])
        shares = f"{rate / plain_rate:.2f} of {base}, {worked / plain_worked:.2f} by processor time"
        print(f"{name:32} {rate:>10,.0f} jobs/s  {shares}")


def best(rounds: list[tuple[float, float]]) -> tuple[float, float]:
    """The best of each column."""
    return max(rate for rate, _ in rounds), max(worked for _, worked in rounds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default=f"sqlite:///{tempfile.gettempdir()}/windlass-cost-{os.getpid()}.db")
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", action="append", choices=list(VARIANTS), help="this variant, beside the plain one")
    uvloop.run(main(parser.parse_args()))
    sys.exit(0)
