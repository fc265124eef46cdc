"""Limits of one handle: keys as operators change and see them, uses of rates by submissions, and where a job stands."""

from collections.abc import Sequence
from typing import Any

import msgspec

from windlass.store.postgres.connection import Connection
from windlass.store.postgres.database import Database
from windlass.store.postgres.operating import audit
from windlass.store.postgres.upkeep import NOWHERE
from windlass.values.job import read_job
from windlass.values.limit import KIND, QUEUE, LimitChange, LimitInfo, Rate, Take, Taken
from windlass.values.query import Standing
from windlass.values.queue import QueueInfo
from windlass.values.states import State

STEP = 2_000
"""Jobs that one step of putting a line under a new key looks at."""
SHOWN = 20
"""Holders of a key that a standing names."""


class Limits:
    """What operators do to keys."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def put(self, changes: Sequence[LimitChange], actor: str | None) -> None:
        async def put(connection: Connection) -> list[str]:
            fresh: list[str] = []
            for change in sorted(changes, key=lambda change: change.key):
                if await connection.fetchval(self._db.sql["limits.put"], *_change(change)):
                    fresh.append(change.key)
                if actor is not None:
                    await audit(self._db, connection, actor, "put-limit", f"limit:{change.key}", _told(change))
            keys = sorted(change.key for change in changes)
            await connection.execute(self._db.sql["journal.happen"], "limit", keys)
            return fresh

        for key in await self._db.write(put):
            if key.startswith((QUEUE, KIND)):
                await self._reline(key)
        self._db.bell.ring("ready")

    async def _reline(self, key: str) -> None:
        """All waiting and running jobs of a new key's queue or kind; those that come meanwhile know the key by themselves."""
        await self._db.rows("limits.reline_active", key)
        place: tuple[str | None, str, int] = ("", "", -1)
        while place[0] is not None:
            place = await self._db.row("limits.reline_plain", key, *place, STEP)
        lane: str | None = NOWHERE
        order = -1
        while lane is not None:
            lane, order = await self._db.row("limits.reline_lanes", key, lane, order, STEP)

    async def stand(self, keys: Sequence[str] | None, limit: int) -> list[LimitInfo]:
        async def look(connection: Connection) -> list[Any]:
            await connection.execute(self._db.sql["limits.hear"])
            if keys is None:
                return await connection.fetch(self._db.sql["limits.all"], limit)
            return await connection.fetch(self._db.sql["limits.some"], list(keys), limit)

        return [_info(row) for row in await self._db.write(look)]

    async def take(self, takes: Sequence[Take]) -> list[Taken]:
        if not takes:
            return []
        rows = await self._db.run(
            lambda connection: connection.fetch(
                self._db.sql["limits.take"],
                [take.key for take in takes],
                [take.rate.n for take in takes],
                [take.rate.window for take in takes],
                [take.rate.burst for take in takes],
                [take.cost for take in takes],
            )
        )
        return [_taken(take, row) for take, row in zip(takes, rows, strict=True)]

    async def standing(self, id: str) -> Standing | None:
        return await self._db.write(lambda connection: self._standing(connection, id))

    async def _standing(self, connection: Connection, id: str) -> Standing | None:
        sql = self._db.sql
        await connection.execute(sql["limits.hear"])
        job = await connection.fetchrow(sql["inspect.job"], id)
        row = await connection.fetchrow(sql["limits.standing"], id)
        if job is None or row is None:
            return None
        keys = list(row["under"])
        limits = await connection.fetch(sql["limits.some"], keys, len(keys)) if keys else []
        holders: dict[str, tuple[str, ...]] = {limit["key"]: () for limit in limits}
        for key, holder in await connection.fetch(sql["limits.holders"], list(holders), SHOWN) if holders else ():
            holders[key] = (*holders[key], holder)
        return Standing(
            job=read_job(job),
            now=row["now"],
            queue=QueueInfo(
                name=job["queue"],
                paused=row["paused_at"] is not None,
                paused_at=row["paused_at"],
                order=row["ordering"],
                ageing=row["ageing"],
            ),
            parked=row["park"],
            line=row["line"],
            limits=tuple(_info(limit) for limit in limits),
            holders=holders,
            parents=tuple(
                (parent, State(state)) for parent, state in await connection.fetch(sql["limits.parents"], id)
            ),
            signal=row["signal"],
            unique_holder=row["unique_holder"],
        )


def _change(change: LimitChange) -> list[Any]:
    """The arguments of `put_limit`: for each thing whether it is changed, and to what."""
    slots, rate, shut_for, pinned = (
        None if value is msgspec.UNSET else value
        for value in (change.concurrency, change.rate, change.shut_for, change.pinned)
    )
    spans = (rate.n, rate.window, rate.burst) if isinstance(rate, Rate) else (None, None, None)
    return [
        change.key,
        change.concurrency is not msgspec.UNSET,
        slots,
        change.rate is not msgspec.UNSET,
        *spans,
        change.shut_for is not msgspec.UNSET,
        shut_for,
        change.trial,
        pinned,
        change.drop,
    ]


def _told(change: LimitChange) -> dict[str, Any]:
    """A change as the audit tells it: without what it leaves."""
    told = msgspec.to_builtins(change)
    del told["key"]
    return {name: value for name, value in told.items() if not (name in ("trial", "drop") and not value)}


def _info(row: Any) -> LimitInfo:
    return LimitInfo(
        key=row["key"],
        concurrency=row["concurrency"],
        rate=None if row["n"] is None else Rate(row["n"], row["window"], row["burst"]),
        shut_until=row["shut_until"],
        trial=row["trial"],
        pinned=row["pinned"],
        held=row["held"],
        used=row["used"],
        opens_at=row["opens_at"],
        waiting=row["waiting"],
    )


def _taken(take: Take, row: Any) -> Taken:
    granted, count, reset_at = row
    most = take.rate.n if take.rate.burst is None else take.rate.burst
    return Taken(take.key, granted, count, most, max(most - count, 0), reset_at)
