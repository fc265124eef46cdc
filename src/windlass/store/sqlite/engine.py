"""The SQLite engine: every verb of the store, each a transaction or a look at one database file or at memory."""

import asyncio
import functools
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeVar

import apsw

from windlass.errors import BatchTooLarge, InvalidOption, StoreReadOnly, StoreUnavailable, WorkersAlive
from windlass.store.protocol import MOST_ENQUEUED, Store
from windlass.store.sqlite import (
    auditing,
    block,
    compacting,
    finishing,
    journal,
    keys,
    leasing,
    lines,
    migrate,
    moving,
    noting,
    operating,
    produce,
    reading,
    remembering,
    retaining,
    selecting,
    standing,
    tallying,
    upkeep,
)
from windlass.store.sqlite.address import names, read_url
from windlass.store.sqlite.connection import Connection, attach, connect, free_of, size_of
from windlass.store.sqlite.database import Database, database
from windlass.store.sqlite.faults import translate
from windlass.store.sqlite.keys import limit_infos
from windlass.store.sqlite.reader import Reader
from windlass.store.sqlite.selecting import Round
from windlass.store.sqlite.statements import checks, statements
from windlass.store.sqlite.transaction import Tx, Uneven, View
from windlass.store.sqlite.watch import Watch
from windlass.store.sqlite.writer import Writer
from windlass.values.clock import Micros
from windlass.values.job import Claim, Enqueued, Job, NewJob
from windlass.values.lease import (
    Beat,
    Claimed,
    ClaimRequest,
    Delivery,
    Note,
    Noted,
    Promoted,
    Pulse,
    StoredLine,
    StoredStep,
    WorkerInfo,
)
from windlass.values.limit import LimitChange, LimitInfo, Take, Taken
from windlass.values.metrics import MetricQuery, Point
from windlass.values.outcome import Finish, Verdict
from windlass.values.query import (
    AuditEntry,
    AuditQuery,
    Command,
    Commanded,
    Count,
    ErrorGroup,
    Feed,
    Page,
    Past,
    Record,
    Retention,
    Standing,
    Swap,
    Where,
)
from windlass.values.queue import QueueChange, QueueInfo
from windlass.values.schedule import ScheduleRow
from windlass.values.snapshot import Snapshot

T = TypeVar("T")
RELINED = 500
"""Jobs that one transaction puts into other lines."""
SLICED = 2_000
"""Calls that enqueue more jobs than this let the loop breathe in between."""


class SqliteStore:
    """A handle for one event loop. `sqlite://:memory:` lives as long as some handle or sibling refers to it."""

    def __init__(self, url: str, namespace: str = "windlass", *, shared: Database | None = None) -> None:
        self.url = url
        self._namespace = namespace
        self._tables = names(namespace)
        self._address = read_url(url)
        self._place = self._address.path or "the database in memory"
        self._database = shared if shared is not None or self._address.path is not None else database(self._address)
        self._open_writer: Writer | None = None
        self._open_reader: Reader | None = None
        self._open_watch: Watch | None = None
        self._left_off: tuple[Command, Where, Round] | None = None
        """The last command that had more to do: called again, it goes on from there."""

    # lifecycle

    async def open(self) -> None:
        if self._open_writer is not None:
            return
        shared = self._database = self._database if self._address.path is None else database(self._address)
        assert shared is not None
        try:
            connection = await asyncio.to_thread(self._connect, shared)
        except apsw.Error as error:
            raise translate(error, self._place) from error
        sql = statements(self._namespace)
        self._open_writer = Writer(shared, connection, sql, self._place)
        self._open_reader = Reader(shared, self._open_writer, sql, self._place)
        self._open_watch = Watch(shared, self._open_writer)

    def _connect(self, shared: Database) -> Connection:
        shared.enter()
        try:
            if shared.memory is not None:
                with shared.lock:
                    migrate.migrate(shared.memory, self._namespace)
                return shared.memory
            connection = connect(self._address)
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            return connection
        except BaseException:
            shared.leave()
            raise

    def _prepare(self, connection: Connection) -> None:
        if connection.readonly("main") and migrate.found(connection, self._namespace) < migrate.known():
            raise StoreReadOnly(
                f"{self._place} cannot be written and has no current schema",
                url=self._place,
                mend="check the file's and its folder's permissions",
            )
        connection.set_busy_timeout(round(self._address.timeout * 1_000))
        migrate.migrate(connection, self._namespace)
        connection.set_busy_timeout(0)  # from here on the loop's thread must never wait inside SQLite

    def _found(self) -> int:
        if self._address.path is None or not Path(self._address.path).exists():
            return 0
        connection: Connection | None = None
        try:
            connection = attach(self._address.path)
            connection.set_busy_timeout(5_000)
            return migrate.found(connection, self._namespace)
        except apsw.Error as error:
            raise translate(error, self._place) from error
        finally:
            if connection is not None:
                connection.close()

    async def close(self) -> None:
        writer, reader, watch, shared = self._open_writer, self._open_reader, self._open_watch, self._database
        self._open_writer = self._open_reader = self._open_watch = None
        if writer is None or reader is None or watch is None or shared is None:
            return
        watch.close()
        await reader.close()
        await writer.close()
        await asyncio.to_thread(shared.leave)

    async def migrate(self) -> list[str]:
        """Opening does it, so an open handle has nothing left to do."""
        if self._open_writer is None:
            before = await asyncio.to_thread(self._found)
            await self.open()
            await self.close()
            return [f"{step.version:04d}_{step.name}" for step in migrate.steps() if step.version > before]
        return await self._scan(lambda view: migrate.migrate(view.db, self._namespace))

    async def schema(self) -> tuple[int, int]:
        """Also of a handle that is not open, and then nothing is made."""
        if self._open_writer is None:
            return await asyncio.to_thread(self._found), migrate.known()
        return await self._look(lambda view: (migrate.found(view.db, self._namespace), migrate.known()))

    def sibling(self) -> Store:
        return SqliteStore(self.url, self._namespace, shared=self._database if self._address.path is None else None)

    async def now(self) -> Micros:
        return self._shared().now()

    async def hold_time(self, at: Micros | None) -> None:
        self._shared().held = at

    # produce

    async def enqueue(self, jobs: Sequence[NewJob[Any]]) -> list[Enqueued]:
        if not jobs:
            return []
        if len(jobs) > MOST_ENQUEUED:
            raise BatchTooLarge(
                f"{len(jobs)} jobs in one call; at most {MOST_ENQUEUED}",
                field="jobs",
                value=len(jobs),
                limit=MOST_ENQUEUED,
                mend="enqueue them in several calls",
            )
        if len(jobs) > SLICED:
            return await self._enqueue_in_slices(jobs)
        return await self._write_quickly(
            lambda tx: produce.enqueue(tx, jobs), lambda tx: produce.enqueue(tx, jobs, careful=True)
        )

    async def _enqueue_in_slices(self, jobs: Sequence[NewJob[Any]]) -> list[Enqueued]:
        try:
            return await self._writer().run_in_slices(
                lambda tx: produce.enqueue_in_steps(tx, jobs, careful=not produce.plain(jobs))
            )
        except Uneven:
            return await self._writer().run_in_slices(lambda tx: produce.enqueue_in_steps(tx, jobs, careful=True))

    async def enqueue_on(self, connection: Any, jobs: Sequence[NewJob[Any]]) -> list[Enqueued]:
        if not isinstance(connection, block.Block) or connection.writer is not self._writer():
            raise _foreign(connection)
        if not jobs:
            return []
        return connection.apply(
            lambda tx: produce.enqueue(tx, jobs), lambda tx: produce.enqueue(tx, jobs, careful=True)
        )

    def enqueue_on_sync(self, connection: Any, jobs: Sequence[NewJob[Any]]) -> list[Enqueued]:
        raise _foreign(connection)

    def transaction(self) -> AbstractAsyncContextManager[block.Block]:
        return block.opened(self._writer(), self._place)

    # run

    async def claim(self, request: ClaimRequest) -> Claimed:
        return await self._write(lambda tx: leasing.claim(tx, request))

    async def heartbeat(self, beat: Beat) -> Pulse:
        return await self._write(lambda tx: leasing.heartbeat(tx, beat, migrate.known()))

    async def report(self, notes: Sequence[Note]) -> list[Noted]:
        return await self._write(lambda tx: noting.report(tx, notes)) if notes else []

    async def finish(self, finishes: Sequence[Finish]) -> list[Verdict]:
        if not finishes:
            return []
        return await self._write_quickly(
            lambda tx: finishing.finish(tx, finishes), lambda tx: finishing.finish_carefully(tx, finishes)
        )

    async def rescue(self, worker: str, lease: Micros, limit: int) -> list[Claim]:
        return await self._write(lambda tx: leasing.rescue(tx, worker, lease, limit))

    async def unpark(self, key: str) -> int:
        return await self._write(lambda tx: leasing.unpark(tx, key))

    # time

    async def promote(self, limit: int) -> Promoted:
        """Looks first: with nothing due, no write lock is asked for."""
        wait = await self._look(upkeep.next_event)
        if wait is None or wait > 0:
            return Promoted(0, wait)
        return await self._write(lambda tx: upkeep.promote(tx, limit))

    async def put_schedules(self, rows: Sequence[ScheduleRow], actor: str) -> None:
        await self._write(lambda tx: operating.put_schedules(tx, rows, actor))

    async def drop_schedules(self, keys: Sequence[str], actor: str) -> int:
        return await self._write(lambda tx: operating.drop_schedules(tx, keys, actor))

    async def schedules(self, due_before: Micros | None = None) -> list[ScheduleRow]:
        return await self._look(lambda view: operating.schedules(view, due_before))

    async def fire(self, key: str, due: Micros, next_due: Micros | None, job: NewJob[Any] | None) -> Enqueued | None:
        return await self._write(lambda tx: operating.fire(tx, key, due, next_due, job))

    # operate

    async def command(self, command: Command, where: Where, limit: int, actor: str) -> Commanded:
        """The candidates are looked for before the transaction, which must stay short, and looked at again inside it."""
        goes_on = self._left_off is not None and self._left_off[:2] == (command, where)
        go_on = self._left_off[2] if self._left_off is not None and goes_on else Round()
        choose = functools.partial(
            operating.choose, command=command, where=where, limit=limit, tables=self._tables, go_on=go_on
        )
        chosen = await (self._look if where.ids else self._scan)(choose)
        commanded = await self._write(lambda tx: operating.Act(command, where, actor, self._tables).run(tx, chosen))
        self._left_off = None if chosen.go_on is None else (command, where, chosen.go_on)
        return commanded

    async def put_queue(self, name: str, change: QueueChange, actor: str) -> QueueInfo:
        return await self._write(lambda tx: operating.put_queue(tx, name, change, actor))

    async def signal(self, id: str, name: str, data: str, actor: str) -> Delivery:
        return await self._write(lambda tx: noting.signal(tx, id, name, data, actor))

    async def put_limits(self, changes: Sequence[LimitChange], actor: str | None) -> None:
        """The keys are written first, so that what comes meanwhile stands right; then those who are here already."""
        fresh = await self._write(lambda tx: keys.change(tx, changes, actor))
        for key in fresh:
            concerned = await self._scan(functools.partial(lines.concerned, key=key))
            for at in range(0, len(concerned), RELINED):
                part = concerned[at : at + RELINED]
                await self._write(functools.partial(lines.reline, jobs=part))

    async def note_acts(self, acts: Sequence[AuditEntry]) -> None:
        if acts:
            await self._write(lambda tx: auditing.note_acts(tx, acts))

    async def take(self, takes: Sequence[Take]) -> list[Taken]:
        return await self._write(lambda tx: keys.take(tx, takes)) if takes else []

    # inspect

    async def limits(self, keys: Sequence[str] | None = None, limit: int = 1000) -> list[LimitInfo]:
        return await self._scan(functools.partial(limit_infos, keys=keys, limit=limit))

    async def standing(self, id: str) -> Standing | None:
        return await self._scan(lambda view: standing.standing(view, id))

    async def steps(self, id: str) -> list[StoredStep]:
        return await self._look(lambda view: noting.steps(view, id))

    async def job(self, id: str) -> Job | None:
        return await self._look(lambda view: reading.job(view, id))

    async def past(self, id: str) -> Past | None:
        return await self._look(lambda view: remembering.past(view, id))

    async def jobs(self, where: Where, cursor: str | None = None, limit: int = 50) -> Page[Job]:
        return await self._scan(lambda view: selecting.jobs(view, where, cursor, limit, self._tables))

    async def outcomes(self, ids: Sequence[str]) -> dict[str, Job]:
        return await self._look(lambda view: reading.outcomes(view, ids))

    async def counts(self) -> list[Count]:
        return await self._look(reading.counts)

    async def queues(self) -> list[QueueInfo]:
        return await self._look(reading.queues)

    async def workers(self) -> list[WorkerInfo]:
        return await self._look(reading.workers)

    async def log(self, id: str, limit: int = 1000) -> list[StoredLine]:
        return await self._scan(lambda view: reading.log(view, id, limit))

    async def audit(self, query: AuditQuery) -> list[AuditEntry]:
        return await self._scan(lambda view: auditing.audit(view, query, self._tables))

    async def count(self, wheres: Sequence[Where], cap: int) -> list[int]:
        return await self._scan(lambda view: selecting.count(view, wheres, cap, self._tables)) if wheres else []

    async def error_groups(self, limit: int = 1000) -> list[ErrorGroup]:
        return await self._scan(lambda view: reading.error_groups(view, limit))

    async def feed(self, cursor: str | None, limit: int = 500) -> Feed:
        lapsed = await self._look(journal.is_asleep) and await self._write(journal.awaken)
        return await self._look(lambda view: journal.feed(view, cursor, limit, lapsed))

    async def metrics(self, query: MetricQuery) -> list[Point]:
        return await self._scan(lambda view: tallying.metrics(view, query))

    # keep

    async def exchange(self, swaps: Sequence[Swap]) -> list[Record]:
        return await self._write(lambda tx: operating.exchange(tx, swaps))

    async def records(self, space: str, keys: Sequence[str] | None = None) -> list[Record]:
        return await self._look(lambda view: operating.records(view, space, keys))

    async def prune(self, retention: Retention, limit: int) -> int:
        if await self._scan(retaining.ledger_differs):
            await self._write(retaining.mend_ledger)
        return await self._write(lambda tx: retaining.prune(tx, retention, limit))

    async def dump(self, cursor: str | None = None, limit: int = 500) -> Page[Snapshot]:
        return await self._scan(lambda view: moving.dump(view, cursor, limit))

    async def load(self, snapshots: Sequence[Snapshot]) -> int:
        return await self._write(lambda tx: moving.load(tx, snapshots)) if snapshots else 0

    async def compact(self, *, force: bool = False) -> bool:
        if self._address.path is None:
            return False
        await self._look(lambda view: self._check_alone(view, force))
        await asyncio.to_thread(compacting.compact, self._address, self._place)
        return True

    async def erase(self, *, force: bool = False) -> None:
        def drop(tx: Tx) -> None:
            self._check_alone(tx, force)
            migrate.drop(tx.db, self._namespace)

        await self._write(drop)
        await self.close()

    def listen(self, topics: Collection[str], wake: Callable[[], None]) -> Callable[[], None]:
        if self._open_watch is None:
            raise self._closed()
        return self._open_watch.listen(topics, wake)

    async def health(self) -> dict[str, Any]:
        schema, known = await self.schema()
        return {
            "engine": "sqlite",
            "version": apsw.sqlite_lib_version(),
            "durability": self._durability(),
            "size": await self._size(),
            "schema": schema,
            "schema_known": known,
            "warnings": [*self._warnings(), *await self._look(compacting.loose)],
        }

    async def audit_counts(self) -> list[str]:
        """For tests: what does not add up, as text; empty when all is well."""
        texts = checks(self._namespace)
        return await self._scan(lambda view: [row[0] for text in texts for row in view.db.execute(text).fetchall()])

    # inside

    def _check_alone(self, view: View, force: bool) -> None:
        alive = [] if force else [worker.id for worker in reading.workers(view)]
        if alive:
            raise WorkersAlive(
                f"{'a worker runs' if len(alive) == 1 else f'{len(alive)} workers run'} on {self._place}",
                workers=alive,
                mend="stop them first; one that was killed counts for ten leases",
            )

    async def _size(self) -> int:
        if self._address.path is None:
            return await self._look(lambda view: free_of(view.db)[1])
        return size_of(self._address.path)

    def _durability(self) -> str:
        return "memory" if self._address.path is None else f"wal, synchronous={self._address.synchronous}"

    def _warnings(self) -> list[str]:
        if self._address.path is None:
            return ["the database is in memory: every job is lost when this process ends"]
        if self._address.synchronous == "off":
            return ["synchronous=off: a power loss can damage the database; a killed process loses nothing"]
        if self._address.synchronous == "normal":
            return [
                "synchronous=normal: a power loss can lose the last commits (a killed process loses none); use ?synchronous=full"
            ]
        return []

    async def _write(self, work: Callable[[Tx], T]) -> T:
        return await self._writer().run(work)

    async def _write_quickly(self, work: Callable[[Tx], T], carefully: Callable[[Tx], T]) -> T:
        try:
            return await self._writer().run(work)
        except Uneven:
            return await self._writer().run(carefully)

    async def _look(self, what: Callable[[View], T]) -> T:
        return await self._reader().look(what)

    async def _scan(self, what: Callable[[View], T]) -> T:
        return await self._reader().scan(what)

    def _writer(self) -> Writer:
        if self._open_writer is None:
            raise self._closed()
        return self._open_writer

    def _reader(self) -> Reader:
        if self._open_reader is None:
            raise self._closed()
        return self._open_reader

    def _shared(self) -> Database:
        if self._database is None or self._open_writer is None:
            raise self._closed()
        return self._database

    def _closed(self) -> StoreUnavailable:
        return StoreUnavailable(f"the store {self.url} is not open", url=self.url, mend="await store.open() first")


def _foreign(connection: object) -> InvalidOption:
    kind = f"{type(connection).__module__}.{type(connection).__qualname__}"
    return InvalidOption(
        f"connection is a {kind}; a SQLite store enqueues on its own transactions",
        field="connection",
        value=kind,
        limit="what app.transaction() gives",
        mend="use `async with app.transaction() as tx:` and tx.execute(...) for your tables in the same file",
    )
