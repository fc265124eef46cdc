"""What operators do: commands on jobs, queue settings, schedules, small keyed records."""

from collections.abc import Sequence
from typing import Any

import msgspec

from windlass.store.postgres.connection import Connection
from windlass.store.postgres.database import Database
from windlass.store.postgres.filters import Pager, Terms, dead, literal
from windlass.store.postgres.leasing import Claimer
from windlass.store.postgres.produce import Producer
from windlass.values.clock import Micros
from windlass.values.job import Enqueued, NewJob
from windlass.values.priority import check_priority
from windlass.values.query import Action, AuditEntry, Command, Commanded, Record, Swap, Where, actionable
from windlass.values.queue import QueueChange, QueueInfo
from windlass.values.schedule import ScheduleRow
from windlass.values.states import State

_MOST_REACHED = 100


class Commander:
    """Commands of one handle, each in one transaction. Remembers how far a command that answered `more` has come: its next call
    begins there, or a million jobs would be passed over again by each of a thousand calls."""

    def __init__(self, database: Database, claimer: Claimer) -> None:
        self._db = database
        self._claimer = claimer
        self._reached: dict[tuple[Command, Where], str] = {}

    async def command(self, command: Command, where: Where, limit: int, actor: str) -> Commanded:
        start = self._reached.pop((command, where), None)

        async def act(connection: Connection) -> tuple[Commanded, _Act]:
            one = _Act(self._db, connection, command, where)
            return await one.run(limit, actor, start), one

        commanded, one = await self._db.write(act)
        if one.reached is not None:
            if len(self._reached) >= _MOST_REACHED:
                del self._reached[next(iter(self._reached))]
            self._reached[command, where] = one.reached
        if "ready" in one.topics:
            self._claimer.floors.forget()
        self._db.bell.ring(*one.topics)
        return commanded


class _Act:
    """One command on a connection inside its transaction."""

    def __init__(self, database: Database, connection: Connection, command: Command, where: Where) -> None:
        self._db = database
        self._connection = connection
        self._command = command
        self._where = where
        self.done: list[str] = []
        self.flagged: list[str] = []
        self.refused: dict[str, str] = {}
        self.topics: set[str] = set()
        self.reached: str | None = None
        """Up to here no more jobs match, but for those that came to match meanwhile."""

    async def run(self, limit: int, actor: str, start: str | None) -> Commanded:
        rows, more = await self._chosen(limit, start)
        if rows:
            await self._apply(rows)
        count = len(self.done) + len(self.flagged)
        if count:
            await self._audit(count, actor)
        refused = self.refused if self._where.ids else {}
        return Commanded(done=tuple(self.done), flagged=tuple(self.flagged), refused=refused, more=more)

    async def _chosen(self, limit: int, start: str | None) -> tuple[list[tuple[str, State]], bool]:
        """The jobs to act on, locked in the order of their ids. By name: whatever their state, so that a refusal can say why."""
        where, allowed = self._where, actionable(self._command.action)
        if self._command.action is Action.EDIT and self._command.run_at is not None:
            allowed = (State.DELAYED, State.RETRYING)
        more = False
        if where.ids:
            ids = list(where.ids)
        else:
            if self._command.action is Action.RUN_NOW:
                allowed = (*allowed, State.BLOCKED)  # those that are suspended
            kept = tuple(state for state in allowed if not where.states or state in where.states)
            if not kept:
                return [], False
            ids, more = await self._candidates(msgspec.structs.replace(where, states=kept), limit, start)
        rows = await self._connection.fetch(self._db.sql["command.targets"], ids)
        if not where.ids and dead(where).sql:
            # A letter that another sweep revived and that has failed again since we looked has a time of its own.
            match = await self._matching(ids, where)
            rows = [row for row in rows if row["id"] in match]
        if where.ids:
            match = await self._matching(ids, where)
            found = {row["id"] for row in rows}
            self.refused = {id: "does not match" if id in found else "not found" for id in ids if id not in match}
            rows = [row for row in rows if row["id"] in match]
            more = len(rows) > limit
            rows = rows[:limit]
        chosen: list[tuple[str, State]] = []
        for id, state, suspended in rows:
            if state in allowed or (suspended and self._command.action is Action.RUN_NOW):
                chosen.append((id, State(state)))
            else:
                self.refused[id] = f"is {state}"
        return chosen, more

    async def _candidates(self, where: Where, limit: int, start: str | None) -> tuple[list[str], bool]:
        """Ids of up to `limit` jobs, oldest first from `start` on and then those up to it; and whether there are more."""
        pager = Pager(self._db, where, self._unaffected(), newest=False)
        found = await self._found(pager, start, None, limit + 1)
        if len(found) > limit:
            self.reached = found[limit - 1]
        elif start is not None:
            found += await self._found(pager, None, start, limit + 1 - len(found))
        return found[:limit], len(found) > limit

    async def _found(self, pager: Pager, cursor: str | None, last: str | None, most: int) -> list[str]:
        """Ids beyond the cursor, up to `last`."""
        found: list[str] = []
        while True:
            ids, cursor = await pager.page(self._connection, cursor, most - len(found))
            found += ids if last is None else [id for id in ids if id <= last]
            if cursor is None or len(found) >= most or (last is not None and cursor >= last):
                return found

    def _unaffected(self) -> tuple[str, Sequence[Any]] | None:
        """A condition that leaves out what the command would not change; else `more` would hold for ever."""
        match self._command.action:
            case Action.CANCEL:
                return "cancelling IS NULL", ()
            case Action.REPRIORITISE:
                return "priority <> {}", (self._command.priority,)
            case Action.RUN_NOW:
                return f"(state <> {literal(State.BLOCKED)} OR signal IS NOT NULL)", ()
            case Action.DELETE:
                return f"NOT EXISTS (SELECT FROM {self._db.table('edge')} e WHERE e.parent = j.id)", ()
            case Action.REQUEUE:
                return (
                    f"NOT EXISTS (SELECT FROM {self._db.table('uniq')} u WHERE u.key = unique_ AND u.holder <> j.id)",
                    (),
                )
            case Action.EDIT:
                # A time that has passed is as good as any other that has.
                now, at = self._db.table("clock()"), self._command.run_at
                moved = f"run_at <> {{}} AND ({{}} > {now} OR run_at > {now})"
                edited = "args <> {} OR max_attempts <> {}"
                return f"({edited} OR {moved})", (self._command.args, self._command.max_attempts, at, at)
            case _:
                return None

    async def _matching(self, ids: list[str], where: Where) -> set[str]:
        """Those that match, by what is committed now that their rows are locked."""
        terms = Terms(self._db)
        terms.where(msgspec.structs.replace(where, ids=tuple(ids)))
        text = f"SELECT id FROM {self._db.table('job')} j WHERE {terms.sql}"
        return {row["id"] for row in await self._connection.fetch(text, *terms.values)}

    async def _apply(self, rows: list[tuple[str, State]]) -> None:
        command = self._command
        ids = [id for id, _ in rows]
        match command.action:
            case Action.CANCEL:
                await self._flag([id for id, state in rows if state is State.ACTIVE])
                await self._end("command.cancel", [id for id, state in rows if state is not State.ACTIVE], "cancelled")
            case Action.FAIL:
                await self._end("command.fail", ids, "failed by command")
            case Action.DELETE:
                await self._delete(ids)
            case Action.REQUEUE:
                await self._requeue(ids)
            case Action.RUN_NOW:
                await self._do("run_now", ids)
                self.done += ids
                self.topics.add("ready")
            case Action.REPRIORITISE:
                priority = check_priority(command.priority if command.priority is not None else "?")
                await self._do("reprioritise", ids, priority)
                self.done += ids
                self.topics.add("ready")
            case Action.EDIT:
                await self._do("edit", ids, command.args, command.max_attempts, command.run_at)
                await self._connection.execute(self._db.sql["journal.happen"], "edited", ids)
                self.done += ids
                if command.run_at is not None:
                    self.topics.add("ready")  # it may be due before what idle workers sleep for

    async def _do(self, part: str, *args: Any) -> list[Any]:
        return await self._connection.fetch(self._db.sql[f"command.{part}"], *args)

    async def _flag(self, ids: list[str]) -> None:
        if ids:
            await self._do("flag", ids, self._command.reason or "cancelled")
            self.flagged += ids
            self.topics.add("cancel")

    async def _end(self, statement: str, ids: list[str], reason: str) -> None:
        if not ids:
            return
        parents = await self._connection.fetchval(self._db.sql[statement], ids, self._command.reason or reason)
        self.done += ids
        self.topics.add("done")
        if parents and await self._connection.fetchval(self._db.sql["command.settle"], parents):
            self.topics.add("ready")

    async def _delete(self, ids: list[str]) -> None:
        awaited = {row["parent"] for row in await self._do("awaited", ids)}
        self.refused |= dict.fromkeys(awaited, "other jobs wait for it")
        free = [id for id in ids if id not in awaited]
        if free:
            await self._do("delete", free, False)
            await self._connection.execute(self._db.sql["journal.happen"], "deleted", free)
            self.done += free
            self.topics.add("done")

    async def _requeue(self, ids: list[str]) -> None:
        held = {row["id"]: row["holder"] for row in await self._do("take_keys", ids)}
        self.refused |= {id: f"unique key held by {holder}" for id, holder in held.items()}
        free = [id for id in ids if id not in held]
        if free:
            command = self._command
            await self._do(
                "requeue", free, command.keep_attempts, command.scheduled, command.args, command.max_attempts
            )
            await self._do("revive" if command.revive else "forget_cut", free)
            await self._connection.execute(self._db.sql["journal.happened"], free)
            self.done += free
            self.topics.add("ready")

    async def _audit(self, count: int, actor: str) -> None:
        command, ids = self._command, self._where.ids
        where = {name: value for name in Where.__struct_fields__ if (value := getattr(self._where, name))}
        detail: dict[str, Any] = {"where": where, "count": count}
        if command.reason is not None:
            detail["reason"] = command.reason
        for field in ("priority", "max_attempts", "run_at"):
            if (given := getattr(command, field)) is not None:
                detail[field] = given
        for field in ("args", "scheduled"):
            if getattr(command, field):
                detail[field] = True  # arguments may be secret, and are on the job
        await audit(
            self._db, self._connection, actor, command.action.value, ids[0] if len(ids) == 1 else "jobs", detail
        )


async def audit(
    database: Database, connection: Connection, actor: str, action: str, target: str, detail: dict[str, Any]
) -> None:
    text = msgspec.json.encode(detail).decode()
    await connection.execute(database.sql["command.audit"], actor, action, target, text)


async def note_acts(database: Database, acts: Sequence[AuditEntry]) -> None:
    if acts:
        columns = ([getattr(act, field) for act in acts] for field in ("actor", "action", "target", "detail"))
        values = list(columns)
        await database.run(lambda connection: connection.execute(database.sql["command.note_acts"], *values))


class Settings:
    """Queues, schedules and records of one handle."""

    def __init__(self, database: Database, producer: Producer) -> None:
        self._db = database
        self._producer = producer

    async def put_queue(self, name: str, change: QueueChange, actor: str) -> QueueInfo:
        turned = change.order is not None or change.ageing is not None

        async def put(connection: Connection) -> QueueInfo:
            if turned:
                await connection.execute(self._db.sql["limits.hear"])
            values = (name, change.paused, change.order, change.ageing)
            paused_at, order, ageing = await connection.fetchrow(self._db.sql["operate.put_queue"], *values)
            if turned:
                await connection.execute(self._db.sql["limits.rerank"], name)
            detail = {
                field: value for field in QueueChange.__struct_fields__ if (value := getattr(change, field)) is not None
            }
            await audit(self._db, connection, actor, "put-queue", f"queue:{name}", detail)
            await connection.execute(self._db.sql["journal.happen"], "queue", [name])
            return QueueInfo(name=name, paused=paused_at is not None, paused_at=paused_at, order=order, ageing=ageing)

        info = await self._db.write(put)
        self._db.bell.ring("ready")
        return info

    async def put_schedules(self, rows: Sequence[ScheduleRow], actor: str) -> None:
        async def put(connection: Connection) -> None:
            for row in sorted(rows, key=lambda row: row.key):
                values = (row.key, row.spec, row.owner, row.due, row.paused, row.last_due, row.last_job, row.fired)
                await connection.execute(self._db.sql["operate.put_schedule"], *values)
                detail = {"due": row.due, "paused": row.paused}
                await audit(self._db, connection, actor, "put-schedule", f"schedule:{row.key}", detail)
            await connection.execute(self._db.sql["journal.happen"], "schedule", sorted(row.key for row in rows))

        await self._db.write(put)
        self._db.bell.ring("ready")

    async def drop_schedules(self, keys: Sequence[str], actor: str) -> int:
        async def drop(connection: Connection) -> int:
            dropped = await connection.fetch(self._db.sql["operate.drop_schedules"], list(keys))
            for row in dropped:
                await audit(self._db, connection, actor, "drop-schedule", f"schedule:{row['key']}", {})
            await connection.execute(self._db.sql["journal.happen"], "schedule", [row["key"] for row in dropped])
            return len(dropped)

        return await self._db.write(drop)

    async def schedules(self, due_before: Micros | None) -> list[ScheduleRow]:
        if due_before is None:
            rows = await self._db.rows("operate.schedules")
        else:
            rows = await self._db.rows("operate.due_schedules", due_before)
        return [ScheduleRow(**row) for row in rows]

    async def fire(self, key: str, due: Micros, next_due: Micros | None, job: NewJob[Any] | None) -> Enqueued | None:
        """A skipped fire answers with an empty id that was not created."""
        if job is not None:
            await self._producer.register([job])

        async def fire(connection: Connection) -> Enqueued | None:
            if await connection.fetchval(self._db.sql["operate.fire"], key, due, next_due, job is not None) is None:
                return None
            await connection.execute(self._db.sql["journal.happen"], "schedule", [key])
            if job is None:
                return Enqueued("", created=False)
            (answer,) = await self._producer.put(connection, [job])
            await connection.execute(self._db.sql["operate.fired"], key, answer.id)
            return answer

        answer = await self._db.write(fire)
        if answer is not None and job is not None:
            self._db.bell.ring("ready")
        return answer

    async def exchange(self, swaps: Sequence[Swap]) -> list[Record]:
        async def exchange(connection: Connection) -> list[Record]:
            return [await self._swap(connection, swap) for swap in swaps]

        return await self._db.write(exchange) if swaps else []

    async def _swap(self, connection: Connection, swap: Swap) -> Record:
        sql, at = self._db.sql, (swap.space, swap.key)
        if swap.text is None:
            gone = await connection.fetchval(sql["record.drop"], *at, swap.expect)
            if gone is not None:
                return Record(*at, None, 0)
        else:
            version = await self._write(connection, swap, swap.text)
            if version is not None:
                return Record(*at, swap.text, version)
        row = await connection.fetchrow(sql["record.one"], *at)
        text, version = (row["text"], row["version"]) if row else (None, 0)
        # There is nothing to delete, and that was expected.
        swapped = swap.text is None and row is None and not swap.expect
        return Record(*at, text, version, swapped=swapped)

    async def _write(self, connection: Connection, swap: Swap, text: str) -> int | None:
        sql, values = self._db.sql, (swap.space, swap.key, text, swap.ttl)
        if swap.expect is None:
            return await connection.fetchval(sql["record.put"], *values)
        if swap.expect == 0:
            return await connection.fetchval(sql["record.put_new"], *values)
        return await connection.fetchval(sql["record.put_over"], *values, swap.expect)

    async def records(self, space: str, keys: Sequence[str] | None) -> list[Record]:
        if keys is None:
            rows = await self._db.rows("record.all", space)
        else:
            rows = await self._db.rows("record.some", space, list(keys))
        return [Record(space, key, text, version) for key, text, version in rows]
