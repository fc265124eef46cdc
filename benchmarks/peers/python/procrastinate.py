"""procrastinate on PostgreSQL: 40 jobs at once per process, woken by LISTEN/NOTIFY."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from procrastinate import App, PsycopgConnector

from benchmarks.peers.python import job

app = App(connector=PsycopgConnector(conninfo=job.URL, min_size=10, max_size=20))


@app.task(name="run", queue="bench")
async def run(data: dict[str, Any]) -> dict[str, Any]:
    return job.run(data)


async def prepare() -> None:
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


@asynccontextmanager
async def connect() -> AsyncIterator[None]:
    async with app.open_async():
        yield


async def enqueue(_: None, data: dict[str, Any]) -> None:
    await run.defer_async(data=data)


async def enqueue_bulk(_: None, batch: list[dict[str, Any]]) -> None:
    await run.batch_defer_async(*({"data": data} for data in batch))


async def work(_: int) -> None:
    async with app.open_async():
        await app.run_worker_async(queues=["bench"], concurrency=40)
