"""arq: 1,000 jobs at once, polled every 10 ms (its default is 500 ms)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from arq import Worker, create_pool, func
from arq.connections import ArqRedis, RedisSettings

from benchmarks.peers.python import job
from benchmarks.peers.python.gathered import gathered

SETTINGS = RedisSettings.from_dsn(job.URL)


async def run(_: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    return job.run(data)


@asynccontextmanager
async def connect() -> AsyncIterator[ArqRedis]:
    pool = await create_pool(SETTINGS)
    yield pool
    await pool.aclose()


async def enqueue(pool: ArqRedis, data: dict[str, Any]) -> None:
    await pool.enqueue_job("run", data)


async def enqueue_bulk(pool: ArqRedis, batch: list[dict[str, Any]]) -> None:
    await gathered(lambda data: pool.enqueue_job("run", data), batch)


async def work(_: int) -> None:
    worker = Worker(
        [func(run, name="run")],
        redis_settings=SETTINGS,
        max_jobs=1000,
        queue_read_limit=1000,
        poll_delay=0.01,
        job_timeout=10,
        keep_result=3600,
        log_results=False,
    )
    await worker.async_run()
