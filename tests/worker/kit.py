"""A worker running beside a test, and small facts about jobs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.waiting import until
from windlass.app import Windlass
from windlass.values.job import Job
from windlass.worker.worker import Worker


@asynccontextmanager
async def working(app: Windlass, **flags: Any) -> AsyncIterator[Worker]:
    """A worker of `app` that runs while the block does; its own fault fails the test."""
    worker = Worker(app, **({"processes": 1, "threads": 4, "grace": 0.0} | flags))
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        if not task.done():
            await worker.stop()
        await task


async def state(app: Windlass, id: str) -> str:
    return str((await app.jobs.get(id)).state)


async def ended(app: Windlass, id: str, timeout: float = 60.0) -> Job:
    """The job, once it has ended for good."""

    async def look() -> Job | None:
        job = await app.jobs.get(id)
        return job if job.is_final else None

    return await until(look, f"job {id} to end", timeout)


async def lines(app: Windlass, id: str) -> list[tuple[str, str]]:
    return [(line.level, line.text) for line in await (await app.store()).log(id)]


def is_gone(path: str) -> bool:
    return not Path(path).exists()
