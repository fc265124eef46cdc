"""The PostgreSQL engine: every verb of the store, each one statement or one transaction in a schema of its own."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from windlass.errors import InvalidOption, StoreUnavailable, WorkersAlive
from windlass.store.postgres import migrate
from windlass.store.postgres.address import check_namespace, read_url
from windlass.store.postgres.database import Database
from windlass.store.postgres.ending import Finisher
from windlass.store.postgres.inspect import Reader
from windlass.store.postgres.journal import Journal
from windlass.store.postgres.leasing import Claimer, Keeper
from windlass.store.postgres.limits import Limits
from windlass.store.postgres.moving import Mover
from windlass.store.postgres.noting import Noter
from windlass.store.postgres.operating import Commander, Settings, note_acts
from windlass.store.postgres.produce import Producer
from windlass.store.postgres.transactional import Home, Joiner
from windlass.store.postgres.upkeep import Upkeep
from windlass.store.protocol import Store, Transaction
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


class _Opened:
    """What an open handle works with."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.producer = Producer(database)
        self.claimer = Claimer(database)
        self.keeper = Keeper(database, self.claimer, migrate.known())
        self.noter = Noter(database, self.claimer)
        self.finisher = Finisher(database, self.producer, self.claimer)
        self.commander = Commander(database, self.claimer)
        self.limits = Limits(database)
        self.settings = Settings(database, self.producer)
        self.upkeep = Upkeep(database)
        self.reader = Reader(database)
        self.mover = Mover(database)
        self.journal = Journal(database)


class PostgresStore:
    """A handle for one event loop. The namespace is a schema of the database."""

    def __init__(self, url: str, namespace: str = "windlass") -> None:
        self._given = url
        self._namespace = check_namespace(namespace)
        self._address = read_url(url)
        self.url = self._address.shown
        self._joiner = Joiner(namespace, self.url)
        self._opened: _Opened | None = None

    # lifecycle

    async def open(self) -> None:
        if self._opened is not None:
            return
        database = Database(self._address, self._namespace)
        try:
            await database.run(lambda connection: migrate.check(connection, self._namespace, self.url))
            self._joiner.home = Home(*await database.row("operate.home"))
        except BaseException:
            await database.close()
            raise
        self._opened = _Opened(database)

    async def close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.database.close()

    async def migrate(self) -> list[str]:
        if self._opened is not None:
            return await self._opened.database.run(lambda connection: migrate.migrate(connection, self._namespace))
        # A store whose schema is too old cannot be opened, and is what this verb is for.
        database = Database(self._address, self._namespace)
        try:
            return await database.run(lambda connection: migrate.migrate(connection, self._namespace))
        finally:
            await database.close()

    async def schema(self) -> tuple[int, int]:
        if self._opened is not None:
            database = self._opened.database
            return await database.run(lambda connection: migrate.found(connection, self._namespace)), migrate.known()
        database = Database(self._address, self._namespace)
        try:
            return await database.run(lambda connection: migrate.found(connection, self._namespace)), migrate.known()
        finally:
            await database.close()

    def sibling(self) -> Store:
        return PostgresStore(self._given, self._namespace)

    async def now(self) -> Micros:
        return await self._open.database.value("clock.now")

    async def hold_time(self, at: Micros | None) -> None:
        await self._open.database.write(lambda connection: migrate.set_clock(connection, self._namespace, at))

    # produce

    async def enqueue(self, jobs: Sequence[NewJob[Any]]) -> list[Enqueued]:
        return await self._open.producer.enqueue(jobs)

    async def enqueue_on(self, connection: Any, jobs: Sequence[NewJob[Any]]) -> list[Enqueued]:
        return await self._joiner.enqueue(connection, jobs)

    def enqueue_on_sync(self, connection: Any, jobs: Sequence[NewJob[Any]]) -> list[Enqueued]:
        return self._joiner.enqueue_sync(connection, jobs)

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        raise InvalidOption(
            f"{self.url} joins transactions of your own connection",
            field="transaction",
            limit="SQLite",
            mend="begin one on your connection and pass it: handler.options(connection=conn).enqueue(...)",
        )

    # run

    async def claim(self, request: ClaimRequest) -> Claimed:
        return await self._open.claimer.claim(request)

    async def heartbeat(self, beat: Beat) -> Pulse:
        return await self._open.keeper.heartbeat(beat)

    async def report(self, notes: Sequence[Note]) -> list[Noted]:
        return await self._open.noter.report(notes)

    async def finish(self, finishes: Sequence[Finish]) -> list[Verdict]:
        return await self._open.finisher.finish(finishes)

    async def rescue(self, worker: str, lease: Micros, limit: int) -> list[Claim]:
        return await self._open.keeper.rescue(worker, lease, limit)

    async def unpark(self, key: str) -> int:
        return await self._open.keeper.unpark(key)

    # time

    async def promote(self, limit: int) -> Promoted:
        return await self._open.upkeep.promote(limit)

    async def put_schedules(self, rows: Sequence[ScheduleRow], actor: str) -> None:
        await self._open.settings.put_schedules(rows, actor)

    async def drop_schedules(self, keys: Sequence[str], actor: str) -> int:
        return await self._open.settings.drop_schedules(keys, actor)

    async def schedules(self, due_before: Micros | None = None) -> list[ScheduleRow]:
        return await self._open.settings.schedules(due_before)

    async def fire(self, key: str, due: Micros, next_due: Micros | None, job: NewJob[Any] | None) -> Enqueued | None:
        return await self._open.settings.fire(key, due, next_due, job)

    # operate

    async def command(self, command: Command, where: Where, limit: int, actor: str) -> Commanded:
        return await self._open.commander.command(command, where, limit, actor)

    async def put_queue(self, name: str, change: QueueChange, actor: str) -> QueueInfo:
        return await self._open.settings.put_queue(name, change, actor)

    async def signal(self, id: str, name: str, data: str, actor: str) -> Delivery:
        return await self._open.noter.signal(id, name, data, actor)

    async def put_limits(self, changes: Sequence[LimitChange], actor: str | None) -> None:
        await self._open.limits.put(changes, actor)

    async def note_acts(self, acts: Sequence[AuditEntry]) -> None:
        await note_acts(self._open.database, acts)

    async def take(self, takes: Sequence[Take]) -> list[Taken]:
        return await self._open.limits.take(takes)

    # inspect

    async def limits(self, keys: Sequence[str] | None = None, limit: int = 1000) -> list[LimitInfo]:
        return await self._open.limits.stand(keys, limit)

    async def standing(self, id: str) -> Standing | None:
        return await self._open.limits.standing(id)

    async def steps(self, id: str) -> list[StoredStep]:
        return await self._open.noter.steps(id)

    async def job(self, id: str) -> Job | None:
        return await self._open.reader.job(id)

    async def past(self, id: str) -> Past | None:
        return await self._open.reader.past(id)

    async def jobs(self, where: Where, cursor: str | None = None, limit: int = 50) -> Page[Job]:
        return await self._open.reader.jobs(where, cursor, limit)

    async def outcomes(self, ids: Sequence[str]) -> dict[str, Job]:
        return await self._open.reader.outcomes(ids)

    async def counts(self) -> list[Count]:
        return await self._open.reader.counts()

    async def queues(self) -> list[QueueInfo]:
        return await self._open.reader.queues()

    async def workers(self) -> list[WorkerInfo]:
        return await self._open.reader.workers()

    async def log(self, id: str, limit: int = 1000) -> list[StoredLine]:
        return await self._open.reader.log(id, limit)

    async def audit(self, query: AuditQuery) -> list[AuditEntry]:
        return await self._open.reader.audit(query)

    async def count(self, wheres: Sequence[Where], cap: int) -> list[int]:
        return await self._open.reader.count(wheres, cap)

    async def error_groups(self, limit: int = 1000) -> list[ErrorGroup]:
        return await self._open.reader.error_groups(limit)

    async def feed(self, cursor: str | None, limit: int = 500) -> Feed:
        return await self._open.journal.feed(cursor, limit)

    async def metrics(self, query: MetricQuery) -> list[Point]:
        return await self._open.reader.metrics(query)

    # keep

    async def exchange(self, swaps: Sequence[Swap]) -> list[Record]:
        return await self._open.settings.exchange(swaps)

    async def records(self, space: str, keys: Sequence[str] | None = None) -> list[Record]:
        return await self._open.settings.records(space, keys)

    async def prune(self, retention: Retention, limit: int) -> int:
        return await self._open.upkeep.prune(retention, limit)

    async def dump(self, cursor: str | None = None, limit: int = 500) -> Page[Snapshot]:
        return await self._open.mover.dump(cursor, limit)

    async def load(self, snapshots: Sequence[Snapshot]) -> int:
        return await self._open.mover.load(snapshots)

    async def compact(self, *, force: bool = False) -> bool:
        return False  # the server sees to its space itself

    async def erase(self, *, force: bool = False) -> None:
        alive = [] if force else [worker.id for worker in await self.workers()]
        if alive:
            raise WorkersAlive(
                f"{'a worker runs' if len(alive) == 1 else f'{len(alive)} workers run'} on {self.url}",
                workers=alive,
                mend="stop them first; one that was killed counts for ten leases",
            )
        await self._open.database.write(lambda connection: migrate.drop(connection, self._namespace))
        await self.close()

    def listen(self, topics: Collection[str], wake: Callable[[], None]) -> Callable[[], None]:
        return self._open.database.bell.listen(topics, wake)

    async def health(self) -> dict[str, Any]:
        return await self._open.reader.health(migrate.known())

    async def audit_counts(self) -> list[str]:
        """For tests: what does not add up, as text; empty when all is well."""
        return [row[0] for row in await self._open.database.rows("audit_counts.audit")]

    # inside

    @property
    def _open(self) -> _Opened:
        if self._opened is None:
            raise StoreUnavailable(f"the store {self.url} is not open", url=self.url, mend="await store.open() first")
        return self._opened
