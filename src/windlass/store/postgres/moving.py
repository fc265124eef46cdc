"""Whole jobs out of this engine and into it: `dump` and `load`."""

from collections.abc import Sequence
from typing import Any

import msgspec

from windlass.store.postgres.connection import Connection
from windlass.store.postgres.database import Database
from windlass.store.postgres.produce import bound_columns
from windlass.values.job import LEDGER, RECORD, Edge, UniqueKey, fingerprint_of
from windlass.values.lease import StoredStep
from windlass.values.limit import Bound, Rate
from windlass.values.priority import order
from windlass.values.query import Page
from windlass.values.snapshot import Snapshot
from windlass.values.states import State

_LOADED = (
    "id", "kind", "queue", "state", "runtime", "priority", "args", "result", "error", "reason", "attempt", "max_attempts",
    "rescues", "trail", "created_at", "run_at", "started_at", "finished_at", "expires_at", "progress", "note", "tags", "user",
    "project", "group", "workflow", "name", "unique", "parents", "options",
)  # fmt: skip
_SEQUENCE = order(100, (1 << 45) - 1)


class Mover:
    """Dump and load of one handle."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def dump(self, cursor: str | None, limit: int) -> Page[Snapshot]:
        rows = await self._db.rows("move.dump", cursor or "", limit)
        ids = [row["id"] for row in rows]
        steps = _by_job(await self._db.rows("move.steps_of", ids))
        box = _by_job(await self._db.rows("move.box_of", ids))
        items = [
            msgspec.structs.replace(
                _snapshot(row),
                steps=tuple(StoredStep(*step) for step in steps.get(row["id"], ())),
                signals=tuple((name, data) for name, data in box.get(row["id"], ())),
            )
            for row in rows
        ]
        return Page(items, ids[-1] if len(rows) == limit else None)

    async def load(self, snapshots: Sequence[Snapshot]) -> int:
        if not snapshots:
            return 0
        fresh = await self._db.write(lambda connection: self._load(connection, snapshots))
        self._db.promoted.forget()  # times that have passed long ago came in
        self._db.bell.ring("ready")
        return fresh

    async def _load(self, connection: Connection, snapshots: Sequence[Snapshot]) -> int:
        sql = self._db.sql
        fresh: list[str] = []
        await connection.execute(sql["enqueue.queues"], sorted({each.record["queue"] for each in snapshots}))
        for each in sorted(snapshots, key=lambda each: each.record["id"]):
            id = await connection.fetchval(sql["move.load"], *_values(each))
            if id is None:
                continue
            fresh.append(id)
            if each.edges:
                parents = [edge.parent for edge in each.edges]
                await connection.execute(sql["move.edges"], parents, id, [edge.on_failure for edge in each.edges])
                await connection.execute(sql["move.parents"], parents)
            await self._load_notes(connection, id, each)
            await self._load_bounds(connection, id, each)
            if each.record["state"] == State.FAILED:
                group = fingerprint_of(each.record["error"]) or ""
                await connection.execute(sql["dead.write"], id, group, each.record.get("next_retry_at"))
            if each.unique is not None:
                key = each.unique
                until = None if key.ttl is None else each.record["created_at"] + key.ttl
                await connection.execute(sql["move.key"], key.key, id, key.until, until)
        await connection.execute(sql["move.label"], fresh)
        await connection.execute(sql["move.enter"], fresh)
        await connection.execute(sql["move.settle"], fresh)
        await connection.execute(sql["move.tell"], fresh)
        place = max(each.order & _SEQUENCE for each in snapshots)
        lease = max(each.record["lease"] or 0 for each in snapshots)
        await connection.execute(sql["move.past"], max(place, 1), max(lease, 1))
        return len(fresh)

    async def _load_bounds(self, connection: Connection, id: str, snapshot: Snapshot) -> None:
        if snapshot.limits:
            keys = [bound.key for bound in snapshot.limits]
            await connection.execute(self._db.sql["move.bounds"], id, keys, *bound_columns(snapshot.limits))
        if snapshot.weight != 1:
            await connection.execute(self._db.sql["move.weight"], id, snapshot.weight)

    async def _load_notes(self, connection: Connection, id: str, snapshot: Snapshot) -> None:
        if snapshot.steps:
            columns = zip(*(msgspec.structs.astuple(step) for step in snapshot.steps), strict=True)
            await connection.execute(self._db.sql["move.steps"], id, *(list(column) for column in columns))
        if snapshot.signals:
            names, data = zip(*snapshot.signals, strict=True)
            await connection.execute(self._db.sql["move.box"], id, list(names), list(data))


def _by_job(rows: Sequence[Any]) -> dict[str, list[tuple[Any, ...]]]:
    """Rows without their first column, under it."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for job, *rest in rows:
        found.setdefault(job, []).append(tuple(rest))
    return found


def _snapshot(row: Any) -> Snapshot:
    edges = tuple(
        Edge(parent, policy)
        for parent, policy in zip(row["edge_parents"] or (), row["edge_policies"] or (), strict=True)
    )
    key = None if row["held"] is None else UniqueKey(key=row["held"], until=row["mode"], ttl=row["ttl"])
    record = {name: row[name] for name in (*RECORD, *LEDGER)}
    mode = row["keeps"] if record["unique"] is not None else None
    return Snapshot(
        record=record,
        order=row["ord"],
        edges=edges,
        unique=key,
        mode=mode,
        parked=row["park"],
        limits=_bounds(row),
        weight=row["weight"] or 1,
        signal=row["signal"],
    )


def _bounds(row: Any) -> tuple[Bound, ...]:
    columns = (row[name] or () for name in ("b_keys", "b_slots", "b_ns", "b_windows", "b_bursts", "b_costs"))
    return tuple(
        Bound(key, slots, None if n is None else Rate(n, window, burst), cost)
        for key, slots, n, window, burst, cost in zip(*columns, strict=True)
    )


def _values(snapshot: Snapshot) -> list[Any]:
    """The arguments of `move.load`: an active job has lost its worker and waits again in its old place."""
    record = dict(snapshot.record)
    if record["state"] == State.ACTIVE:
        record |= {"state": State.WAITING.value, "started_at": None}
    return [
        *(record[name] for name in _LOADED),
        snapshot.order,
        snapshot.parked,
        len(snapshot.edges),
        snapshot.mode,
        snapshot.signal,
        record.get("cost") or 0,
        record.get("revivals") or 0,
    ]
