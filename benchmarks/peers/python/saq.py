"""SAQ on Redis: 50 jobs at once per process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from saq import Queue, Worker

from benchmarks.peers.python import job
from benchmarks.peers.python.gathered import gathered


async def run(_: dict[str, Any], *, data: dict[str, Any]) -> dict[str, Any]:
    return job.run(data)


def queue() -> Queue:
    return Queue.from_url(job.URL, name="bench", max_concurrent_ops=100)


@asynccontextmanager
async def connect() -> AsyncIterator[Queue]:
    opened = queue()
    await opened.connect()
    yield opened
    await opened.disconnect()


async def enqueue(opened: Queue, data: dict[str, Any]) -> None:
    await opened.enqueue("run", data=data, timeout=10)


async def enqueue_bulk(opened: Queue, batch: list[dict[str, Any]]) -> None:
    await gathered(lambda data: opened.enqueue("run", data=data, timeout=10), batch)


async def work(_: int) -> None:
    opened = queue()
    await opened.connect()
    await Worker(opened, [("run", run)], concurrency=50, timers={"sweep": 5}).start()
