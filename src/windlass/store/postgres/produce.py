"""Enqueue: jobs as one array per column, and what the database answers."""

from collections.abc import Sequence
from itertools import pairwise
from operator import attrgetter
from typing import Any, TypeAlias

import asyncpg
import msgspec

from windlass.errors import BatchTooLarge, StoreUnavailable, UnknownParent
from windlass.store.postgres.connection import Connection
from windlass.store.postgres.database import TRIES, Database
from windlass.store.protocol import MOST_ENQUEUED
from windlass.values.job import Enqueued, NewJob
from windlass.values.limit import Bound

STEP = 1_000
"""Plain jobs of one statement; a larger call is a transaction of several."""
TYPES = (
    "text", "text", "text", "text", "text", "integer", "integer", "bigint", "bigint", "bigint", "bigint", "text", "text", "text",
    "text", "text", "text", "text", "text", "text", "bigint", "text", "text", "text", "text", "text", "text", "text",
    "bigint", "text", "integer", "text", "bigint", "bigint", "bigint", "bigint", "bigint", "integer",
)  # fmt: skip
"""The element types of the function's arrays, in order; after them come `careful` and the channel."""
Arrays: TypeAlias = list[list[Any] | None]
_encode_tags = msgspec.json.Encoder().encode


def plain(jobs: Sequence[NewJob[Any]]) -> bool:
    """Whether no job has a unique key or a parent, so that jobs do not concern each other."""
    return not any(job.unique is not None or job.after or job.before for job in jobs)


def arrays(jobs: Sequence[NewJob[Any]]) -> Arrays:
    """The arguments of the function `enqueue`, without `careful` and the channel."""
    keys = [job.unique for job in jobs]
    edges = [(job.id, edge) for job in jobs if job.after for edge in job.after]
    ahead = [(job.id, each) for job in jobs if job.before for each in job.before]
    unique = any(keys)
    return [
        [job.id for job in jobs],
        _same([job.kind for job in jobs]),
        _same([job.queue for job in jobs]),
        _same([job.runtime for job in jobs]),
        _same([job.args for job in jobs]),
        _same([job.priority for job in jobs]),
        _same([job.max_attempts for job in jobs]),
        _some([job.delay for job in jobs]),
        _some([job.run_at for job in jobs]),
        _some([job.expires_in for job in jobs]),
        _some([job.expires_at for job in jobs]),
        _same([job.options for job in jobs]),
        _some([job.user for job in jobs]),
        _some([job.project for job in jobs]),
        _some([job.group for job in jobs]),
        _some([job.workflow for job in jobs]),
        _some([job.name for job in jobs]),
        _some([_encode_tags(job.tags).decode() if job.tags else None for job in jobs]),
        [key and key.key for key in keys] if unique else None,
        [key and key.until for key in keys] if unique else None,
        [key and key.ttl for key in keys] if unique else None,
        [key and key.on_conflict for key in keys] if unique else None,
        [child for child, _ in edges] or None,
        [edge.parent for _, edge in edges] or None,
        [edge.on_failure for _, edge in edges] or None,
        [parent for parent, _ in ahead] or None,
        [each.child for _, each in ahead] or None,
        [each.on_failure for _, each in ahead] or None,
        _some([key and key.latest for key in keys]) if unique else None,
        _some([job.answer for job in jobs]),
        *_bounds(jobs),
        _weights([job.weight for job in jobs]),
    ]


def alike(jobs: Sequence[NewJob[Any]]) -> list[Any] | None:
    """The arguments of the function `enqueue_alike`, or None where jobs differ in more than their ids and arguments."""
    first = jobs[0]
    if first.limits or first.answer is not None or first.weight != 1:
        return None
    shared = _shared(first)
    if any(_shared(job) != shared for job in jobs):
        return None
    *texts, tags = shared[:-3]
    return [
        [job.id for job in jobs],
        _same([job.args for job in jobs]),
        *texts,
        _encode_tags(tags).decode() if tags else None,
    ]


_shared = attrgetter(
    "kind", "queue", "runtime", "priority", "max_attempts", "delay", "run_at", "expires_in", "expires_at", "options", "user",
    "project", "group", "workflow", "name", "tags", "limits", "answer", "weight",
)  # fmt: skip


def _bounds(jobs: Sequence[NewJob[Any]]) -> Arrays:
    """The limits of the jobs, each with its row's number from 1."""
    limits = [job.limits for job in jobs]
    if limits.count(()) == len(limits):
        return [None] * 7
    bounds = [(n, bound) for n, each in enumerate(limits, 1) for bound in each]
    return [
        [n for n, _ in bounds],
        [bound.key for _, bound in bounds],
        *bound_columns([bound for _, bound in bounds]),
    ]


def _weights(weights: list[int]) -> list[Any] | None:
    return None if weights.count(1) == len(weights) else _same(weights)


def bound_columns(bounds: Sequence[Bound]) -> Arrays:
    """What bounds say about their keys, a column each."""
    return [
        [bound.concurrency for bound in bounds],
        [bound.rate and bound.rate.n for bound in bounds],
        [bound.rate and bound.rate.window for bound in bounds],
        [bound.rate and bound.rate.burst for bound in bounds],
        [bound.cost for bound in bounds],
    ]


def _same(values: list[Any]) -> list[Any]:
    """One value when all are the same: the function spreads it over the rows."""
    return values[:1] if values.count(values[0]) == len(values) else values


def _some(values: list[Any]) -> list[Any] | None:
    """None when there is no value at all."""
    return None if values.count(None) == len(values) else values


def answers(jobs: Sequence[NewJob[Any]], rows: Sequence[Any]) -> list[Enqueued]:
    """What became of the jobs; raises for what refused the whole call. `rows`: (row number, id, outcome)."""
    told = [Enqueued(job.id) for job in jobs]
    for number, id, outcome in rows:
        if outcome == "unknown":
            raise UnknownParent(f"there is no job {id!r} to wait for", parent=id, mend="enqueue the parent first")
        if outcome == "busy":
            raise StoreUnavailable(
                f"the unique key {id!r} is held by another open transaction",
                key=id,
                mend="try again once that transaction has ended",
            )
        told[number - 1] = Enqueued(id, created=False)
    return told


def check_size(jobs: Sequence[NewJob[Any]]) -> None:
    if len(jobs) > MOST_ENQUEUED:
        raise BatchTooLarge(
            f"{len(jobs)} jobs in one call; at most {MOST_ENQUEUED}",
            field="jobs",
            value=len(jobs),
            limit=MOST_ENQUEUED,
            mend="enqueue them in several calls",
        )


class Producer:
    """Enqueues on our own connections. Remembers which queues exist, so that a known one costs nothing."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._queues: set[str] = set()

    async def enqueue(self, jobs: Sequence[NewJob[Any]]) -> list[Enqueued]:
        if not jobs:
            return []
        check_size(jobs)
        await self.register(jobs)
        told = await self._store_once(jobs)
        self._db.bell.ring("ready")
        if _some([job.answer for job in jobs]) is not None:
            self._db.bell.ring("done")
        return told

    async def _store_once(self, jobs: Sequence[NewJob[Any]]) -> list[Enqueued]:
        """Some id may be stored already: a repeat after a lost reply. With care only one that another stores now collides."""
        simple = plain(jobs)
        careful = not simple
        for _ in range(TRIES):
            try:
                return await self._store(jobs, simple=simple, careful=careful)
            except asyncpg.UniqueViolationError:
                careful = True
        raise StoreUnavailable(
            f"others store jobs of the same ids all the time, such as {jobs[0].id!r}",
            mend="try again, or give each job an id of its own",
        )

    async def _store(self, jobs: Sequence[NewJob[Any]], *, simple: bool, careful: bool) -> list[Enqueued]:
        if len(jobs) <= STEP or not simple:
            return await self._db.run(lambda connection: self.put(connection, jobs, careful=careful), repeatable=True)
        return await self._db.write(lambda connection: self._put_in_steps(connection, jobs, careful=careful))

    async def register(self, jobs: Sequence[NewJob[Any]]) -> None:
        """Queues never seen by this handle, in a commit of their own: an insert inside a longer transaction would make
        everybody else who uses the new queue wait for it."""
        fresh = {job.queue for job in jobs} - self._queues
        if fresh:
            await self._db.run(lambda connection: connection.execute(self._db.sql["enqueue.queues"], sorted(fresh)))
            self._queues |= fresh

    async def put(self, connection: Connection, jobs: Sequence[NewJob[Any]], *, careful: bool = True) -> list[Enqueued]:
        """One statement, on a connection that may be inside a transaction. Without care an id that is stored already is a
        unique violation."""
        values = None if careful else alike(jobs)
        if values is not None:
            await connection.fetchval(self._db.sql["enqueue.alike"], *values)
            return [Enqueued(job.id) for job in jobs]
        return answers(jobs, await connection.fetch(self._db.sql["enqueue.call"], *arrays(jobs), careful, None))

    async def _put_in_steps(
        self, connection: Connection, jobs: Sequence[NewJob[Any]], *, careful: bool
    ) -> list[Enqueued]:
        told: list[Enqueued] = []
        for begin, end in pairwise([*range(0, len(jobs), STEP), len(jobs)]):
            told += await self.put(connection, jobs[begin:end], careful=careful)
        return told
