"""Celery on Redis: prefork pool, results kept in Redis; bulk is a `group`."""

import os
import sys
from contextlib import nullcontext
from typing import Any

from celery import Celery, group

from benchmarks.peers.python import job

app = Celery("bench", broker=job.URL, backend=job.URL)
app.conf.update(
    worker_prefetch_multiplier=64,
    task_serializer="json",
    result_serializer="json",
    accept_content=["json"],
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": 10},
    result_expires=3600,
    # Without it a result backend is made per thread of the producer, and again per task under gevent.
    result_backend_thread_safe=True,
)


@app.task(name="run")
def run(data: dict[str, Any]) -> dict[str, Any]:
    return job.run(data)


def connect() -> nullcontext[None]:
    return nullcontext()


def enqueue(_: None, data: dict[str, Any]) -> None:
    run.delay(data)


def enqueue_bulk(_: None, batch: list[dict[str, Any]]) -> None:
    group(run.s(data) for data in batch).apply_async()


def work(processes: int) -> None:
    options = ["--concurrency", str(processes), "--loglevel", "WARNING"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    os.execv(sys.executable, [sys.executable, "-m", "celery", "-A", __name__, "worker", *options, *quiet])
