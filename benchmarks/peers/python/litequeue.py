"""litequeue: a bare SQLite queue. It ships no worker, so the loop a user would write runs here."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from litequeue import LiteQueue

from benchmarks.peers.python import job


@contextmanager
def connect() -> Iterator[LiteQueue]:
    yield LiteQueue(job.URL.removeprefix("sqlite:///"), timeout=60)


def enqueue(queue: LiteQueue, data: dict[str, Any]) -> None:
    queue.put(json.dumps(data))


def enqueue_bulk(queue: LiteQueue, batch: list[dict[str, Any]]) -> None:
    for data in batch:
        queue.put(json.dumps(data))


def work(_: int) -> None:
    with connect() as queue:
        while True:
            message = queue.pop()
            if message is None:
                time.sleep(0.002)
                continue
            job.run(json.loads(message.data))
            queue.done(message.message_id)
