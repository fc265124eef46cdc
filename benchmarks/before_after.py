"""What a change costs: two checkouts of this project on one engine, measured by turns in one run.

    python benchmarks/before_after.py --before ../old --after . --engine postgres --rounds 12

Each checkout runs in a process of its own, with the packages of this Python and a namespace of its own on the same server. They
take turns at each measure, and who begins changes each round, so that the machine's moods meet both alike; told is the median
over the rounds of after to before (above 1 is faster): one enqueue at a time, a hundred at once, calls of a thousand, and a
drain. By the clock, in jobs a second; and by processor time a job of the caller and, where the server is our own, of the server,
which says more on a machine that others use too. The latter needs Linux.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MEASURES = ("single", "together", "bulk", "drain")


# one checkout, in its own process


async def serve(url: str, namespace: str, jobs: int) -> None:
    """Answers each measure asked for on stdin by its jobs a second."""
    from windlass import Windlass

    app = Windlass(url, namespace=namespace)

    @app.job
    async def noop(n: int, text: str) -> None:
        pass

    async def single() -> int:
        for n in range(jobs // 20):
            await noop.enqueue(n, "abc")
        return jobs // 20

    async def together() -> int:
        for _ in range(jobs // 500):
            await asyncio.gather(*(noop.enqueue(n, "abc") for n in range(100)))
        return jobs // 500 * 100

    async def bulk() -> int:
        for _ in range(jobs // 1_000):
            await app.enqueue_many([noop.job(n, "abc") for n in range(1_000)])
        return jobs // 1_000 * 1_000

    run: dict[str, Callable[[], Awaitable[int]]] = {
        "single": single,
        "together": together,
        "bulk": bulk,
        "drain": app.drain,
    }
    async with app:
        for warm in MEASURES:
            await run[warm]()
        print("ready", flush=True)
        for line in sys.stdin:
            begin, used = time.perf_counter(), time.process_time()
            done = await run[line.strip()]()
            took, used = time.perf_counter() - begin, time.process_time() - used
            print(done, took, used, flush=True)
        await (await app.store()).erase(force=True)


class Checkout:
    """A checkout's process, asked over its pipes."""

    def __init__(self, folder: Path, url: str, namespace: str, jobs: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve", url, "--namespace", namespace, "--jobs", str(jobs)],
            env={**os.environ, "PYTHONPATH": str(folder.resolve() / "src"), "WINDLASS_MAINTENANCE": "off"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def measure(self, what: str, server: int | None) -> tuple[float, float]:
        """Jobs a second, and jobs a second of processor time. `server`: whose time counts too."""
        assert self._process.stdin is not None
        before = used_by(server)
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        done, took, used = map(float, self._answer().split())
        return done / took, done / (used + used_by(server) - before)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a checkout's process ended; what it said is above")
        return line


def used_by(server: int | None) -> float:
    """Seconds of processor time that a server and its children have taken."""
    spent = 0.0
    for folder in Path("/proc").glob("[0-9]*") if server is not None else ():
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if server in (int(folder.name), parent):
                spent += int((folder / "schedstat").read_text().split()[0]) / 1e9
        except (FileNotFoundError, ProcessLookupError):  # it ended while we looked
            continue
    return spent


@contextmanager
def two_places(engine: str, url: str | None) -> Iterator[tuple[str, str, int | None]]:
    """Addresses for both, and the id of the server's process: one of our own unless an address is given."""
    if engine == "sqlite":
        with tempfile.TemporaryDirectory(prefix="windlass-pair-") as folder:
            yield f"sqlite:///{folder}/before.db", f"sqlite:///{folder}/after.db", None
    elif url is not None:
        yield url, url, None
    else:
        sys.path.insert(0, str(ROOT))
        from tests.servers import PostgresServer, RedisServer

        with (RedisServer if engine == "redis" else PostgresServer)() as server:
            yield server.url, server.url, server.process.pid if server.process is not None else None


def compare(before: Path, after: Path, engine: str, url: str | None, rounds: int, jobs: int) -> dict[str, Any]:
    ratios: dict[str, list[float]] = {measure: [] for measure in MEASURES}
    shares: dict[str, list[float]] = {measure: [] for measure in MEASURES}
    speeds: dict[str, list[float]] = {measure: [] for measure in MEASURES}
    mark = f"pair{os.getpid()}"
    with two_places(engine, url) as (first, second, server):
        pair = [Checkout(before, first, f"{mark}b", jobs), Checkout(after, second, f"{mark}a", jobs)]
        for number in range(rounds):
            for measure in MEASURES:
                order = pair if number % 2 else pair[::-1]
                told = {checkout: checkout.measure(measure, server) for checkout in order}
                (old, old_used), (fresh, fresh_used) = told[pair[0]], told[pair[1]]
                ratios[measure].append(fresh / old)
                shares[measure].append(fresh_used / old_used)
                speeds[measure].append(fresh)
        for checkout in pair:
            checkout.close()
    return {
        "engine": engine,
        "rounds": rounds,
        "after_to_before": {measure: round(statistics.median(ratios[measure]), 3) for measure in MEASURES},
        "quartiles": {
            measure: [round(cut, 3) for cut in statistics.quantiles(ratios[measure], n=4)[::2]] for measure in MEASURES
        },
        "by_processor_time": {measure: round(statistics.median(shares[measure]), 3) for measure in MEASURES},
        "after_per_s": {measure: round(statistics.median(speeds[measure])) for measure in MEASURES},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--after", type=Path, default=ROOT)
    parser.add_argument("--engine", choices=("sqlite", "redis", "postgres"), default="sqlite")
    parser.add_argument("--url", help="a server to use instead of one of our own")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=5_000, help="of one bulk measure; the others are in proportion")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--namespace", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        try:
            import uvloop
        except ImportError:
            asyncio.run(serve(given.serve, given.namespace, given.jobs))
        else:
            uvloop.run(serve(given.serve, given.namespace, given.jobs))
        return
    if given.before is None:
        parser.error("--before: the checkout to compare with")
    told = compare(given.before, given.after, given.engine, given.url, max(given.rounds, 2), given.jobs)
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
