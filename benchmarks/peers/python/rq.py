"""RQ: SimpleWorker, which does not fork per job (the forking worker runs about a fifth as fast)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis import Redis
from rq import Queue, SimpleWorker

from benchmarks.peers.python import job

HANDLER = f"{job.__name__}.run"


@contextmanager
def connect() -> Iterator[Queue]:
    with Redis.from_url(job.URL) as client:
        yield Queue("bench", connection=client)


def enqueue(queue: Queue, data: dict[str, Any]) -> None:
    queue.enqueue(HANDLER, data)


def enqueue_bulk(queue: Queue, batch: list[dict[str, Any]]) -> None:
    queue.enqueue_many([Queue.prepare_data(HANDLER, (data,)) for data in batch])


def work(_: int) -> None:
    with connect() as queue:
        SimpleWorker([queue], connection=queue.connection).work(logging_level="WARNING")
