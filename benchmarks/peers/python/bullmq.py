"""BullMQ for Python: 100 jobs at once per process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bullmq import Job, Queue, Worker

from benchmarks.peers.python import job

CONNECTION = {"connection": job.URL}


async def run(queued: Job, _: str) -> dict[str, Any]:
    return job.run(queued.data)


@asynccontextmanager
async def connect() -> AsyncIterator[Queue]:
    queue = Queue("bench", CONNECTION)
    yield queue
    await queue.close()


async def enqueue(queue: Queue, data: dict[str, Any]) -> None:
    await queue.add("run", data)


async def enqueue_bulk(queue: Queue, batch: list[dict[str, Any]]) -> None:
    await queue.addBulk([{"name": "run", "data": data} for data in batch])


async def work(_: int) -> None:
    worker = Worker("bench", run, {**CONNECTION, "concurrency": 100, "stalledInterval": 5000, "lockDuration": 10_000})
    await asyncio.Event().wait()
    await worker.close()
