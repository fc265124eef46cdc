"""Dramatiq on Redis: 16 threads per process, results kept by its Results middleware."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from benchmarks.peers.python import job
from benchmarks.peers.python.threads import producers, spread

broker = RedisBroker(url=job.URL, heartbeat_timeout=10_000)
broker.add_middleware(Results(backend=RedisBackend(url=job.URL)))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def run(data: dict[str, Any]) -> dict[str, Any]:
    return job.run(data)


def connect() -> AbstractContextManager[ThreadPoolExecutor]:
    return producers()


def enqueue(_: ThreadPoolExecutor, data: dict[str, Any]) -> None:
    run.send(data)


def enqueue_bulk(pool: ThreadPoolExecutor, batch: list[dict[str, Any]]) -> None:
    spread(pool, run.send, batch)


def work(processes: int) -> None:
    options = ["--processes", str(processes), "--threads", "16"]
    os.execv(sys.executable, [sys.executable, "-m", "dramatiq", *options, __name__])
