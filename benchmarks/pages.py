"""What the dashboard's pages wait for with a million jobs in the store: `python -m benchmarks.pages [--url URL] [--jobs N]`.

Fills a store (nine tenths completed, the rest failed, waiting, delayed), then asks each page's requests of the API in
this process, one after the other, and prints the median, the 95th percentile and the slowest of each, in
milliseconds. A page's time is that of its slowest request, since a browser asks them at once.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
from msgspec.structs import replace

from windlass import Windlass
from windlass.values.job import NewJob
from windlass.values.query import Action, Command, Where
from windlass.values.states import State

_CHUNK = 10_000
QUEUES = ("mail", "images", "reports", "billing")


def jobs(app: Windlass, total: int) -> Iterator[NewJob[Any]]:
    """Nine of ten are born completed; of the others half wait (and some of them will be failed), a tenth is delayed."""
    kinds = [app.handlers["send"], app.handlers["resize"]]
    for n in range(total):
        job = kinds[n % 2].job(n, f"customer-{n}@example.com")
        job = replace(job, queue=QUEUES[n % 4], user=f"user-{n % 500}")
        if n % 10:
            yield replace(job, answer='{"ok": true}')
        else:
            yield replace(job, delay=3_600_000_000) if n % 100 == 0 else job


async def fill(app: Windlass, total: int) -> None:
    store = await app.store()
    batch: list[NewJob[Any]] = []
    for job in jobs(app, total):
        batch.append(job)
        if len(batch) == _CHUNK:
            await store.enqueue(batch)
            batch = []
    if batch:
        await store.enqueue(batch)
    left = total // 20
    while left > 0:
        where = Where(states=(State.WAITING,), queues=("billing", "images"))
        done = await store.command(Command(action=Action.FAIL, reason="planted"), where, 1_000, "bench")
        left -= len(done.done)
        if not done.done:
            return


PAGES: dict[str, tuple[str, ...]] = {
    "overview": ("/queues", "/health", "/metrics?last=1h&step=minute", "/jobs?q=state:failed&limit=6", "/workers"),
    "jobs": ("/jobs?limit=50&include=preview", "/queues"),
    "jobs, failed": ("/jobs?q=state:failed&limit=50&include=preview",),
    "jobs, waiting": ("/jobs?q=state:waiting&limit=50&include=preview",),
    "jobs, of a user": ("/jobs?q=user:user-7&limit=50&include=preview",),
    "jobs, of a kind": ("/jobs?q=kind:send&limit=50&include=preview",),
    "jobs, a word that is nowhere": ("/jobs?q=zebra&limit=50&include=preview",),
    "job": ("/jobs/{id}", "/jobs/{id}/history", "/jobs/{id}/log", "/jobs/{id}/explain"),
    "errors": ("/errors?mark=open&limit=200", "/dead-letters/stats"),
    "queues": ("/queues", "/health", "/metrics?last=1h"),
    "workflows": ("/workflows?limit=50",),
    "schedules": ("/schedules",),
    "metrics": ("/metrics?last=24h&step=hour", "/metrics/users?last=24h"),
    "limits": ("/limits", "/breakers"),
    "alerts": ("/alerts", "/alerts/rules", "/alerts/history"),
    "webhooks": ("/webhooks",),
    "audit": ("/audit?limit=50",),
}


async def ask(client: httpx2.AsyncClient, path: str, times: int) -> list[float]:
    took: list[float] = []
    for _ in range(times):
        began = time.perf_counter()
        answer = await client.get(f"/api/v1{path}")
        took.append((time.perf_counter() - began) * 1_000)
        if answer.status_code != 200:
            raise SystemExit(f"{path}: {answer.status_code} {answer.text[:200]}")
    return sorted(took)


async def main(url: str, total: int, times: int) -> None:
    app = Windlass(url, maintenance=False)

    @app.job
    async def send(n: int, to: str) -> None: ...

    @app.job
    async def resize(n: int, to: str) -> None: ...

    async with app:
        began = time.perf_counter()
        await fill(app, total)
        print(f"{total:,} jobs stored in {time.perf_counter() - began:.0f} s")
        store = await app.store()
        counts = []
        for _ in range(times):
            began = time.perf_counter()
            await store.counts()
            counts.append((time.perf_counter() - began) * 1_000)
        counts.sort()
        print(
            f"{'counts()':44} {counts[len(counts) // 2]:8.1f} {counts[int(len(counts) * 0.95)]:8.1f} {counts[-1]:8.1f}"
        )
        id = (await app.jobs.list(state="waiting", limit=1)).items[0].id
        transport = httpx2.ASGITransport(app.asgi(development=True, rate="off"), client=("127.0.0.1", 1))
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=60) as client:
            print(f"{'page and request':44} {'p50':>8} {'p95':>8} {'max':>8}")
            for page, paths in PAGES.items():
                worst = 0.0
                for path in paths:
                    took = await ask(client, path.format(id=id), times)
                    p95 = took[min(len(took) - 1, int(len(took) * 0.95))]
                    worst = max(worst, p95)
                    print(f"  {path[:42]:42} {took[len(took) // 2]:8.1f} {p95:8.1f} {took[-1]:8.1f}")
                print(f"{page:44} {'':8} {worst:8.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url")
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=40)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(given.url or f"sqlite:///{Path(folder) / 'pages.db'}", given.jobs, given.times))
