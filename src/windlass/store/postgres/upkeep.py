"""What time does to jobs: promotion, expiry, left-over dependents, retention."""

import time
from collections.abc import Sequence
from typing import Any

from windlass.store.postgres.connection import Connection
from windlass.store.postgres.database import Database
from windlass.store.protocol import PAST_STEP
from windlass.values.clock import Micros
from windlass.values.lease import Promoted
from windlass.values.query import Keep, Retention
from windlass.values.states import State

NOWHERE = "00000000-0000-0000-0000-000000000000"
"""Before the first lane."""
SWEPT = 1_000
"""Lanes that one prune looks at."""


class Upkeep:
    """Promote and prune of one handle."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._swept: str = NOWHERE

    async def promote(self, limit: int) -> Promoted:
        with self._db.promoted.look(time.monotonic) as look:
            at, moved, wait, more, readied, ended = await self._db.row("promote.promote", limit, look.since)
            look.saw(at, all_of_it=not more)
        self._db.bell.ring(*(topic for topic, rung in (("ready", readied), ("done", ended)) if rung))
        return Promoted(moved=moved, wait=wait, more=more)

    async def prune(self, retention: Retention, limit: int) -> int:
        gone = await self._db.write(lambda connection: _Prune(self._db, connection, retention, limit).run())
        self._swept = await self._db.value("limits.sweep", self._swept, SWEPT) or NOWHERE
        return gone


class _Prune:
    """One prune on a connection inside its transaction."""

    def __init__(self, database: Database, connection: Connection, retention: Retention, limit: int) -> None:
        self._sql = database.sql
        self._connection = connection
        self._retention = retention
        self._limit = limit
        self._left = limit

    async def run(self) -> int:
        await self._connection.execute(self._sql["past.lock"])
        await self._connection.execute(self._sql["prune.fold"])  # old tallies may still be unfolded
        named = sorted(self._retention.queues)
        await self._aged(None, self._retention, named)
        for queue in named:
            await self._aged(queue, self._retention.queues[queue], [])
        await self._surplus()
        touched = await self._lighten()
        await self._rest()
        keep = self._retention
        more = await self._connection.fetchval(
            self._sql["past.forget"], keep.history, keep.keep_history, self._limit * PAST_STEP
        )
        return max(self._limit - self._left + len(touched), int(more))

    async def _aged(self, queue: str | None, keep: Keep, others: Sequence[str]) -> None:
        """The jobs of a queue, or of all but the others."""
        if keep.completed is not None:
            if queue is None and not others:
                await self._remove("prune.aged_completed", keep.completed)
            else:
                rule = "completed" if queue is None else f"completed:{queue}"
                await self._remove("prune.some_completed", rule, queue, list(others), keep.completed)
        for state, age in ((State.FAILED, keep.failed), (State.CANCELLED, keep.cancelled)):
            if age is not None:
                await self._remove("prune.aged_ended", state.value, queue, list(others), age)

    async def _surplus(self) -> None:
        rules = (self._retention, *self._retention.queues.values())
        if all(rule.keep_completed is None and rule.keep_failed is None for rule in rules):
            return
        for row in await self._connection.fetch(self._sql["inspect.counts"]):
            rule = self._retention.queues.get(row["queue"], self._retention)
            keep = {State.COMPLETED: rule.keep_completed, State.FAILED: rule.keep_failed}.get(State(row["state"]))
            if keep is not None and row["n"] > keep:
                await self._remove(f"prune.surplus_{row['state']}", row["queue"], row["n"] - keep)

    async def _remove(self, statement: str, *args: Any) -> None:
        if self._left <= 0:
            return
        ids = [row["id"] for row in await self._connection.fetch(self._sql[statement], *args, self._left)]
        if not ids:
            return
        # Locked now: a child that was enqueued while we looked is seen by this second look.
        awaited = {row["parent"] for row in await self._connection.fetch(self._sql["command.awaited"], ids)}
        free = [id for id in ids if id not in awaited]
        await self._connection.fetch(self._sql["command.delete"], free, self._retention.remembers)
        self._left -= len(free)

    async def _lighten(self) -> set[str]:
        """Drops what jobs that stay need no more: notes, results, a place among those that are retried by themselves."""
        keep = self._retention
        touched: set[str] = set()
        for rule, age in (("logs", keep.logs), ("results", keep.results)):
            if age is not None:
                rows = await self._connection.fetch(self._sql["prune.lighten"], rule, age, self._limit)
                touched.update(row[0] for row in rows)
        if keep.archive is not None:
            rows = await self._connection.fetch(self._sql["dead.archive"], keep.archive, self._limit)
            touched.update(row[0] for row in rows)
        return touched

    async def _rest(self) -> None:
        keep = self._retention
        kept: tuple[tuple[str, Micros | None], ...] = (("tallies", keep.metrics), ("audits", keep.audit))
        for name, age in kept:
            if age is not None:
                await self._connection.execute(self._sql[f"prune.{name}"], age)
        for name in ("rest", "noted", "claims", "journal"):
            await self._connection.execute(self._sql[f"prune.{name}"])
