"""Looking at jobs and what stands beside them; nothing here writes."""

import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from windlass.errors import InvalidOption
from windlass.store.postgres.connection import Connection
from windlass.store.postgres.database import Database
from windlass.store.postgres.filters import Pager, Terms, split
from windlass.values.job import REMAINS, Job, read_job
from windlass.values.lease import StoredLine, WorkerInfo
from windlass.values.metrics import MetricQuery, Point
from windlass.values.query import AuditEntry, AuditQuery, Count, ErrorGroup, Page, Past, Where, read_past
from windlass.values.queue import QueueInfo
from windlass.values.states import State

MOST_JOBS = 1_000
MOST_COUNTED = 10_000
_WORKER = msgspec.json.Decoder(WorkerInfo)


class Reader:
    """The looking verbs of one handle."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def job(self, id: str) -> Job | None:
        row = await self._db.row("inspect.job", id)
        return None if row is None else read_job(row)

    async def past(self, id: str) -> Past | None:
        row = await self._db.row("past.past", id)
        return None if row is None else read_past({name: row[name] for name in REMAINS}, row["gone_at"])

    async def outcomes(self, ids: Sequence[str]) -> dict[str, Job]:
        rows = await self._db.rows("inspect.outcomes", list(ids))
        return {row["id"]: read_job(row) for row in rows}

    async def jobs(self, where: Where, cursor: str | None, limit: int) -> Page[Job]:
        limit = max(1, min(limit, MOST_JOBS))
        pager = Pager(self._db, where, None, newest=True)

        async def look(connection: Connection) -> tuple[list[Any], str | None]:
            ids, following = await pager.page(connection, cursor, limit)
            return await connection.fetch(self._db.sql["inspect.page"], ids) if ids else [], following

        rows, following = await self._db.run(look)
        return Page([read_job(row) for row in rows], following)

    async def counts(self) -> list[Count]:
        return [Count(row["queue"], State(row["state"]), row["n"]) for row in await self._db.rows("inspect.counts")]

    async def queues(self) -> list[QueueInfo]:
        return [
            QueueInfo(name=name, paused=paused_at is not None, paused_at=paused_at, order=order, ageing=ageing)
            for name, paused_at, order, ageing in await self._db.rows("inspect.queues")
        ]

    async def workers(self) -> list[WorkerInfo]:
        return [
            msgspec.structs.replace(_WORKER.decode(info), seen_at=seen_at, claimed_at=claimed_at)
            for info, seen_at, claimed_at in await self._db.rows("inspect.workers")
        ]

    async def log(self, id: str, limit: int) -> list[StoredLine]:
        return [StoredLine(*row) for row in await self._db.rows("inspect.log", id, limit)]

    async def audit(self, query: AuditQuery) -> list[AuditEntry]:
        terms = Terms(self._db)
        for column, wanted in (("target", query.target), ("actor", query.actor), ("action", query.action)):
            if wanted is None:
                continue
            if column != "actor" and wanted.endswith("*"):
                # A range, which an index can serve: everything from the beginning up to its last possible continuation.
                terms.add(
                    f'{column} COLLATE "C" >= {{}} AND {column} COLLATE "C" <= {{}}',
                    wanted[:-1],
                    wanted[:-1] + chr(sys.maxunicode),
                )
            else:
                terms.add(f"{column} = {{}}", wanted)
        for term, bound in (("at >= {}", query.since), ("at < {}", query.until), ("n < {}", _number(query.before))):
            if bound is not None:
                terms.add(term, bound)
        text = (
            f"SELECT at, actor, action, target, detail, n::text AS id FROM {self._db.table('audit')}"
            f" WHERE {terms.sql} ORDER BY n DESC LIMIT {max(query.limit, 0):d}"
        )
        rows = await self._db.run(lambda connection: connection.fetch(text, *terms.values))
        return [AuditEntry(*row) for row in rows]

    async def count(self, wheres: Sequence[Where], cap: int) -> list[int]:
        cap = max(0, min(cap, MOST_COUNTED))

        async def look(connection: Connection) -> list[int]:
            return [await Pager(self._db, where, None, newest=True).count(connection, cap) for where in wheres]

        return await self._db.run(look)

    async def error_groups(self, limit: int) -> list[ErrorGroup]:
        rows = await self._db.rows("dead.groups", limit)
        return [
            ErrorGroup(fingerprint=fingerprint, n=n, first=first, last=last, sample=sample)
            for fingerprint, n, first, last, sample in rows
        ]

    async def metrics(self, query: MetricQuery) -> list[Point]:
        chosen = [list(names) or None for names in (query.queues, query.kinds)]
        names, starts = split(query.names) if query.names else (None, None)
        rows = await self._db.rows("inspect.metrics", query.since, query.until, *chosen, names, starts)
        return [Point(*row) for row in rows]

    async def health(self, known: int) -> dict[str, Any]:
        facts = await self._db.row("inspect.health")
        found = await self._db.value("inspect.schema")
        return {
            "engine": "postgresql",
            "version": facts["version"],
            "durability": f"fsync={facts['fsync']}, synchronous_commit={facts['synchronous_commit']}",
            "fsync": facts["fsync"],
            "synchronous_commit": facts["synchronous_commit"],
            "size": facts["size"],
            "schema": found,
            "schema_known": known,
            "warnings": _warnings(facts, pooler=self._db.address.pooler),
        }


def _number(id: str | None) -> int | None:
    if id is not None and not (id.isascii() and id.isdecimal() and len(id) < 19):
        raise InvalidOption(
            f"{id!r} is not the id of an act",
            field="before",
            value=id,
            limit="the `id` of an entry that this store gave",
            mend="go on from the last entry of the page before",
        )
    return None if id is None else int(id)


def _warnings(facts: Any, *, pooler: bool) -> list[str]:
    """What would be lost, or is wrong."""
    told: list[str] = []
    if facts["fsync"] == "off":
        told.append("fsync=off: a crash of the machine can damage the whole database")
    if facts["synchronous_commit"] == "off":
        told.append("synchronous_commit=off: a crash of the server can lose the last commits (about 0.6 s)")
    if facts["full_page_writes"] == "off":
        told.append("full_page_writes=off: a power loss in the middle of a page write can damage the database")
    if facts["replica"]:
        told.append("this server is a replica: it refuses every write")
    if not facts["may_migrate"]:
        told.append("this role may not create in the schema: `windlass migrate` needs another role")
    if facts["oldest"] > 600:
        told.append(f"a transaction holds its snapshot since {facts['oldest']:.0f} s: dead rows cannot be cleaned up")
    if pooler:
        told.append(
            "pooler=transaction: no wake-ups (jobs start up to 0.5 s later) and no prepared statements (slower)"
        )
    return told
