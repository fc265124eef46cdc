"""Huey on Redis or SQLite, by the URL: polls every 10 to 20 ms, results kept."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

from huey import RedisHuey, SqliteHuey

from benchmarks.peers.python import job
from benchmarks.peers.python.threads import producers, spread

ON_SQLITE = job.URL.startswith("sqlite:")
huey = (
    SqliteHuey("bench", filename=job.URL.removeprefix("sqlite:///")) if ON_SQLITE else RedisHuey("bench", url=job.URL)
)


@huey.task()
def run(data: dict[str, Any]) -> dict[str, Any]:
    return job.run(data)


def connect() -> AbstractContextManager[ThreadPoolExecutor]:
    return producers()


def enqueue(_: ThreadPoolExecutor, data: dict[str, Any]) -> None:
    run(data)


def enqueue_bulk(pool: ThreadPoolExecutor, batch: list[dict[str, Any]]) -> None:
    if ON_SQLITE:  # one writer at a time anyway: threads only wait for each other
        for data in batch:
            run(data)
    else:
        spread(pool, run, batch)


def work(processes: int) -> None:
    workers = processes if processes > 1 else 1 if ON_SQLITE else 4
    kind = "process" if processes > 1 else "thread"
    consumer = huey.create_consumer(
        workers=workers, worker_type=kind, periodic=False, initial_delay=0.01, max_delay=0.02, backoff=1.15
    )
    consumer.run()
