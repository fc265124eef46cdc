"""What time does to jobs: promotion, expiry, left-over dependents, retention."""

import time
from typing import Any

from windlass.store.postgres.connection import Connection
from windlass.store.postgres.database import Database
from windlass.values.clock import Micros
from windlass.values.lease import Promoted
from windlass.values.query import Retention
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
        await self._connection.execute(self._sql["prune.fold"])  # old tallies may still be unfolded
        await self._aged()
        await self._surplus()
        await self._rest()
        return self._limit - self._left

    async def _aged(self) -> None:
        keep = self._retention
        if keep.completed is not None:
            await self._remove("prune.aged_completed", keep.completed)
        for state, age in ((State.FAILED, keep.failed), (State.CANCELLED, keep.cancelled)):
            if age is not None:
                await self._remove("prune.aged_ended", state.value, age)

    async def _surplus(self) -> None:
        keeps = {State.COMPLETED: self._retention.keep_completed, State.FAILED: self._retention.keep_failed}
        if all(keep is None for keep in keeps.values()):
            return
        for row in await self._connection.fetch(self._sql["inspect.counts"]):
            keep = keeps.get(State(row["state"]))
            if keep is not None and row["n"] > keep:
                await self._remove(f"prune.surplus_{row['state']}", row["queue"], most=row["n"] - keep)

    async def _remove(self, statement: str, *args: Any, most: int | None = None) -> None:
        bound = self._left if most is None else min(self._left, most)
        if bound <= 0:
            return
        ids = [row["id"] for row in await self._connection.fetch(self._sql[statement], *args, bound)]
        if not ids:
            return
        # Locked now: a child that was enqueued while we looked is seen by this second look.
        awaited = {row["parent"] for row in await self._connection.fetch(self._sql["command.awaited"], ids)}
        free = [id for id in ids if id not in awaited]
        await self._connection.fetch(self._sql["command.delete"], free)
        self._left -= len(free)

    async def _rest(self) -> None:
        keep = self._retention
        kept: tuple[tuple[str, Micros | None], ...] = (("tallies", keep.metrics), ("audits", keep.audit))
        for name, age in kept:
            if age is not None:
                await self._connection.execute(self._sql[f"prune.{name}"], age)
        for name in ("rest", "noted", "claims"):
            await self._connection.execute(self._sql[f"prune.{name}"])
