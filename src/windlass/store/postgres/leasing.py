"""Claims, leases and heartbeats."""

import time
from collections.abc import Mapping
from operator import itemgetter
from typing import Any, cast

import msgspec

from windlass.store.postgres.connection import Connection
from windlass.store.postgres.database import Database
from windlass.store.postgres.floors import EVERYTHING, Floors, Ranges
from windlass.store.postgres.rations import Ration
from windlass.store.protocol import MOST_CLAIMED
from windlass.values.clock import SECOND, Micros
from windlass.values.job import Claim, Runtime
from windlass.values.lease import ORDERS, Beat, Claimed, ClaimRequest, Pulse

_decode_tags = msgspec.json.Decoder(tuple[str, ...]).decode


def to_claim(row: Any) -> Claim:
    """A row of the shared claim columns, followed by what limits say of the job, `ord` and `now`."""
    return _claim((*row[:21], *row[23:25]), limited=row[21], rated=row[22])


def _claim(row: Any, *, limited: bool = False, rated: bool = False) -> Claim:
    (
        id, lease, kind, queue, args, attempt, max_attempts, priority, runtime, options, rescues, created_at, run_at,
        expires_at, user, project, group, workflow, name, tags, cancelling, _, now,
    ) = row  # fmt: skip
    return Claim(
        id=id,
        lease=lease,
        kind=kind,
        queue=queue,
        args=args,
        attempt=attempt,
        max_attempts=max_attempts,
        priority=priority,
        runtime=runtime,
        options=options,
        rescues=rescues,
        created_at=created_at,
        ready_at=run_at,
        claimed_at=now,
        expires_at=expires_at,
        user=user,
        project=project,
        group=group,
        workflow=workflow,
        name=name,
        tags=_decode_tags(tags) if tags else (),
        cancelling=cancelling,
        limited=limited,
        rated=rated,
    )


class Claimer:
    """Claims for one handle, with the memory of how far it has come."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self.floors = Floors()
        self._lined = False

    async def claim(self, request: ClaimRequest) -> Claimed:
        slots = _within(request.slots)
        if not slots:
            return Claimed([])
        seen, jobs = 0, list[Claim]()
        again: float | None = None
        sweep = not self._lined and self.floors.sweep_due(time.monotonic())
        if not sweep and not self._lined:
            seen, jobs = await self._take(request, slots, self.floors.ranges())
            again = self.floors.until_sweep(time.monotonic())
            sweep = not jobs and again is None and not self._lined
        if sweep:
            began = time.monotonic()
            seen, jobs = await self._take(request, slots, EVERYTHING)
            ended = time.monotonic()
            self.floors.swept(ended, ended - began)
        if self._lined:
            jobs, more = await self._take_lined(request, slots)
            if more:
                return Claimed(jobs, more=True)
        return Claimed(jobs) if jobs else await self._nothing(request, seen, again)

    async def _take_lined(self, request: ClaimRequest, slots: dict[str, int]) -> tuple[list[Claim], bool]:
        """A claim where there are lanes, and whether to ask again at once. Floors are for the plain line alone."""
        idle = request.idle or {}
        rows = await self._db.rows(
            "serve.claim",
            request.worker,
            request.session,
            request.number,
            request.lease,
            list(slots),
            list(slots.values()),
            [
                min(idle.get(cast(Runtime, runtime), n) if request.idle is not None else n, n)
                for runtime, n in slots.items()
            ],
            None if request.queues is None else list(request.queues),
        )
        *rows, last = rows
        self._lined = last["lined"]
        return [to_claim(row[:25]) for row in rows], last["more"]

    async def _take(self, request: ClaimRequest, slots: dict[str, int], ranges: Ranges) -> tuple[int, list[Claim]]:
        """A claim from the plain lines alone; `_lined` tells whether there are others."""
        queues = None if request.queues is None else list(request.queues)
        rows = await self._db.rows(
            "claim.claim" if queues is not None else "claim.claim_all",
            request.worker,
            request.session,
            request.number,
            request.lease,
            list(slots),
            list(slots.values()),
            queues,
            *ranges,
        )
        seen, first = rows[0][:2]
        self._lined = seen < 0
        if first is None:
            return max(seen, 0), []
        rows.sort(key=_PLACE)
        self.floors.claimed(map(_SPOT, rows))
        return seen, [_claim(row[1:]) for row in rows]

    async def _nothing(self, request: ClaimRequest, seen: int, again: float | None) -> Claimed:
        """A claim that brought nothing: the repeat of one that did, a collision, or there is nothing. `again`: seconds after
        which to look once more, because this look was not a full one."""
        token = await self._db.value("claim.prior", request.session, request.number)
        if token is not None:
            rows = await self._db.rows("claim.again", token, request.lease)
            rows.sort(key=lambda row: row["ord"])
            return Claimed([to_claim(row) for row in rows])
        if seen:
            return Claimed([], more=True)
        if request.queues is None:
            wait, fresh = await self._db.row("claim.wait_all", self._db.promoted.since)
            if fresh:
                await self._db.run(lambda connection: connection.execute(self._db.sql["claim.register"]))
                return Claimed([], more=True)
        else:
            wait = await self._db.value("claim.wait_queues", list(request.queues), self._db.promoted.since)
        waits = [max(wait, 0)] if wait is not None else []
        if self._lined:
            timer = await (
                self._db.value("serve.timer_all")
                if request.queues is None
                else self._db.value("serve.timer_queues", list(request.queues))
            )
            waits += [max(timer, 0)] if timer is not None else []
        if again is not None:
            waits.append(round(again * SECOND))
        return Claimed([], min(waits, default=None))


_PLACE, _SPOT = itemgetter(22), itemgetter(4, 9, 8, 22)
"""A plain claim's `ord`; and its queue, runtime, priority and `ord`. By number, for this is done for every job."""


def _within(slots: Mapping[Runtime, int]) -> dict[str, int]:
    """The slots that are asked for, cut to what one call gives."""
    left = MOST_CLAIMED
    wanted: dict[str, int] = {}
    for runtime, n in slots.items():
        n = min(n, left)
        if n > 0:
            wanted[runtime] = n
            left -= n
    return wanted


class Keeper:
    """Heartbeats and lapsed leases."""

    def __init__(self, database: Database, claimer: Claimer, known: int) -> None:
        self._db = database
        self._claimer = claimer
        self._known = known
        self._rescued = Ration()

    async def heartbeat(self, beat: Beat) -> Pulse:
        return await self._db.write(lambda connection: self._beat(connection, beat))

    async def _beat(self, connection: Connection, beat: Beat) -> Pulse:
        sql, info = self._db.sql, beat.info
        held = sorted(beat.held, key=lambda each: each.id)
        lost: tuple[str, ...] = ()
        cancelled: tuple[str, ...] = ()
        if held:
            ids, leases = [each.id for each in held], [each.lease for each in held]
            rows = await connection.fetch(sql["heartbeat.extend"], ids, leases, info.lease)
            kept = {row["id"] for row in rows}
            lost = tuple(id for id in ids if id not in kept)
            cancelled = tuple(row["id"] for row in rows if row["cancelling"])
        if beat.leaving:
            await connection.execute(sql["heartbeat.leave"], info.id)
            return Pulse(lost=lost, cancelled=cancelled)
        text = msgspec.json.encode(info).decode()
        breaking, orders, flagged = await connection.fetchrow(
            sql["heartbeat.record"], info.id, info.session, text, info.lease, ORDERS
        )
        newer = breaking if breaking is not None and breaking > self._known else 0
        stop = newer > 0 or orders == "stop"
        # Also those of a claim whose answer the worker has not had yet.
        cancelled = tuple(sorted({*cancelled, *flagged}))
        return Pulse(lost=lost, cancelled=cancelled, quiet=orders == "quiet", stop=stop, newer=newer)

    async def rescue(self, worker: str, lease: Micros, limit: int) -> list[Claim]:
        rows = await self._db.write(lambda connection: self._rescue(connection, worker, lease, limit))
        return [to_claim(row) for row in rows]

    async def _rescue(self, connection: Connection, worker: str, lease: Micros, limit: int) -> list[Any]:
        held, now = await connection.fetchrow(self._db.sql["rescue.mark"], lease)
        await connection.execute(self._db.sql["rescue.restamp"], lease)
        if held:
            return []
        with self._rescued.look(time.monotonic) as look:
            rows = await connection.fetch(self._db.sql["rescue.take"], worker, lease, limit, look.since)
            look.saw(now, all_of_it=len(rows) < limit)
        if rows:
            await connection.execute(self._db.sql["journal.happen"], "active", [row["id"] for row in rows])
        return rows

    async def unpark(self, key: str) -> int:
        async def unpark(connection: Connection) -> int:
            back = await connection.fetchval(self._db.sql["rescue.unpark"], key)
            if back:
                await connection.execute(self._db.sql["rescue.enter"], back)
            return len(back)

        moved = await self._db.write(unpark)
        if moved:
            self._claimer.floors.forget()
            self._db.bell.ring("ready")
        return moved
