"""Windlass on SQLite, Redis or PostgreSQL, by the URL, through its public names only."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.peers.python import job
from windlass import Windlass

app = Windlass(job.URL)


@app.job(kind="run", queue="bench")
async def run(data: dict[str, Any]) -> dict[str, Any]:
    return job.run(data)


@asynccontextmanager
async def connect() -> AsyncIterator[Windlass]:
    async with app:
        yield app


async def prepare() -> None:
    async with app:
        pass


async def enqueue(_: Windlass, data: dict[str, Any]) -> None:
    await run.enqueue(data)


async def enqueue_bulk(opened: Windlass, batch: list[dict[str, Any]]) -> None:
    await opened.enqueue_many([run.job(data) for data in batch])


async def work(_: int) -> None:
    async with app:
        await app.worker(concurrency=200, lease="10s").run()
