"""taskiq on Redis: `list` (no acknowledgement) or `stream` (acknowledged) by `BENCH_VARIANT`."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from taskiq.serializers import ORJSONSerializer
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend, RedisStreamBroker

from benchmarks.peers.python import job
from benchmarks.peers.python.gathered import gathered

results: RedisAsyncResultBackend[Any] = RedisAsyncResultBackend(
    job.URL, result_ex_time=3600, serializer=ORJSONSerializer()
)
broker = (
    RedisStreamBroker(job.URL, consumer_id="0", xread_count=200, idle_timeout=10_000)
    if job.VARIANT == "stream"
    else ListQueueBroker(job.URL)
)
broker = broker.with_result_backend(results).with_serializer(ORJSONSerializer())


@broker.task("run")
async def run(data: dict[str, Any]) -> dict[str, Any]:
    return job.run(data)


@asynccontextmanager
async def connect() -> AsyncIterator[None]:
    await broker.startup()
    yield
    await broker.shutdown()


async def enqueue(_: None, data: dict[str, Any]) -> None:
    await run.kiq(data)


async def enqueue_bulk(_: None, batch: list[dict[str, Any]]) -> None:
    await gathered(run.kiq, batch)


def work(processes: int) -> None:
    options = ["--workers", str(processes), "--max-async-tasks", "200", "--max-prefetch", "200"]
    command = ["-m", "taskiq", "worker", f"{__name__}:broker", *options, "--log-level", "WARNING"]
    os.execv(sys.executable, [sys.executable, *command])
