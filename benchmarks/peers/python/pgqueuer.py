"""PgQueuer on PostgreSQL: batches of 200, durable tables (its default)."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from benchmarks.peers.python import job


@asynccontextmanager
async def connect() -> AsyncIterator[Queries]:
    connection = await asyncpg.connect(job.URL)
    yield Queries(AsyncpgDriver(connection))
    await connection.close()


async def prepare() -> None:
    async with connect() as queries:
        await queries.install()


async def enqueue(queries: Queries, data: dict[str, Any]) -> None:
    await queries.enqueue("run", json.dumps(data).encode())


async def enqueue_bulk(queries: Queries, batch: list[dict[str, Any]]) -> None:
    payloads: list[bytes | None] = [json.dumps(data).encode() for data in batch]
    await queries.enqueue(["run"] * len(batch), payloads, [0] * len(batch))


async def work(_: int) -> None:
    async with asyncpg.create_pool(job.URL, min_size=2, max_size=10) as pool:
        app = PgQueuer.from_asyncpg_pool(pool)

        @app.entrypoint("run")
        async def run(queued: Job) -> None:
            job.run(json.loads(queued.payload or b""))

        await app.run(batch_size=200, dequeue_timeout=timedelta(seconds=5), heartbeat_timeout=timedelta(seconds=10))
