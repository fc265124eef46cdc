"""`RedisStore`: the store on Redis 6.2 or newer, or Valkey. One script a call; docs/design/redis.md tells the layout."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from windlass.errors import InvalidOption, WorkersAlive
from windlass.store.redis import (
    auditing,
    condition,
    copying,
    counting,
    journal,
    leasing,
    limiting,
    migrate,
    noting,
    operating,
    produce,
    reading,
    remembering,
)
from windlass.store.redis.connection import Link
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
from windlass.values.queue import QueueChange, QueueInfo, check_name
from windlass.values.schedule import ScheduleRow
from windlass.values.snapshot import Snapshot


class RedisStore:
    """A handle for one event loop; `sibling` makes one for another. See `windlass.store.protocol.Store`."""

    def __init__(self, url: str, namespace: str) -> None:
        check_name(namespace, "namespace")  # it becomes the hash tag of every key: no braces
        self._given, self._namespace = url, namespace
        self._link = Link(url, namespace)
        self.url = self._link.url

    # lifecycle

    async def open(self) -> None:
        self._link.open()
        try:
            await migrate.check(self._link)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        await self._link.close()

    async def migrate(self) -> list[str]:
        self._link.open()
        return await migrate.migrate(self._link)

    async def schema(self) -> tuple[int, int]:
        self._link.open()
        version, _ = await migrate.found(self._link)
        return version, migrate.known()

    def sibling(self) -> "RedisStore":
        return RedisStore(self._given, self._namespace)

    async def now(self) -> Micros:
        return await self._link.run("now")

    async def hold_time(self, at: Micros | None) -> None:
        await self._link.run("hold_time", "" if at is None else at)

    # produce

    async def enqueue(self, jobs: Sequence[NewJob[Any]]) -> list[Enqueued]:
        return await produce.enqueue(self._link, jobs)

    async def enqueue_on(self, connection: Any, jobs: Sequence[NewJob[Any]]) -> list[Enqueued]:
        raise self._no_transactions("connection")

    def enqueue_on_sync(self, connection: Any, jobs: Sequence[NewJob[Any]]) -> list[Enqueued]:
        raise self._no_transactions("connection")

    def transaction(self) -> AbstractAsyncContextManager[Any]:
        raise self._no_transactions("transaction")

    def _no_transactions(self, field: str) -> InvalidOption:
        return InvalidOption(
            f"{self.url} has no transactions to share with your tables",
            field=field,
            limit="SQLite or PostgreSQL",
            mend="enqueue after your commit, or keep jobs in the database that holds your tables",
        )

    # run

    async def claim(self, request: ClaimRequest) -> Claimed:
        return await leasing.claim(self._link, request)

    async def heartbeat(self, beat: Beat) -> Pulse:
        return await leasing.heartbeat(self._link, beat, migrate.known())

    async def report(self, notes: Sequence[Note]) -> list[Noted]:
        return await noting.report(self._link, notes)

    async def finish(self, finishes: Sequence[Finish]) -> list[Verdict]:
        return await leasing.finish(self._link, finishes)

    async def rescue(self, worker: str, lease: Micros, limit: int) -> list[Claim]:
        return await leasing.rescue(self._link, worker, lease, limit)

    async def unpark(self, key: str) -> int:
        return await leasing.unpark(self._link, key)

    # time

    async def promote(self, limit: int) -> Promoted:
        return await leasing.promote(self._link, limit)

    async def put_schedules(self, rows: Sequence[ScheduleRow], actor: str) -> None:
        await operating.put_schedules(self._link, rows, actor)

    async def drop_schedules(self, keys: Sequence[str], actor: str) -> int:
        return await operating.drop_schedules(self._link, keys, actor)

    async def schedules(self, due_before: Micros | None = None) -> list[ScheduleRow]:
        return await operating.schedules(self._link, due_before)

    async def fire(self, key: str, due: Micros, next_due: Micros | None, job: NewJob[Any] | None) -> Enqueued | None:
        return await produce.fire(self._link, key, due, next_due, job)

    # operate

    async def command(self, command: Command, where: Where, limit: int, actor: str) -> Commanded:
        return await operating.command(self._link, command, where, limit, actor)

    async def signal(self, id: str, name: str, data: str, actor: str) -> Delivery:
        return await noting.signal(self._link, id, name, data, actor)

    async def put_queue(self, name: str, change: QueueChange, actor: str) -> QueueInfo:
        return await operating.put_queue(self._link, name, change, actor)

    async def put_limits(self, changes: Sequence[LimitChange], actor: str | None) -> None:
        await limiting.put_limits(self._link, changes, actor)

    async def note_acts(self, acts: Sequence[AuditEntry]) -> None:
        await auditing.note_acts(self._link, acts)

    async def take(self, takes: Sequence[Take]) -> list[Taken]:
        return await limiting.take(self._link, takes)

    # inspect

    async def limits(self, keys: Sequence[str] | None = None, limit: int = 1000) -> list[LimitInfo]:
        return await limiting.limits(self._link, keys, limit)

    async def standing(self, id: str) -> Standing | None:
        return await limiting.standing(self._link, id)

    async def steps(self, id: str) -> list[StoredStep]:
        return await noting.steps(self._link, id)

    async def job(self, id: str) -> Job | None:
        return await reading.job(self._link, id)

    async def past(self, id: str) -> Past | None:
        return await remembering.past(self._link, id)

    async def jobs(self, where: Where, cursor: str | None = None, limit: int = 50) -> Page[Job]:
        return await reading.jobs(self._link, where, cursor, limit)

    async def outcomes(self, ids: Sequence[str]) -> dict[str, Job]:
        return await reading.outcomes(self._link, ids)

    async def counts(self) -> list[Count]:
        return await reading.counts(self._link)

    async def queues(self) -> list[QueueInfo]:
        return await reading.queues(self._link)

    async def workers(self) -> list[WorkerInfo]:
        return await reading.workers(self._link)

    async def log(self, id: str, limit: int = 1000) -> list[StoredLine]:
        return await noting.log(self._link, id, limit)

    async def audit(self, query: AuditQuery) -> list[AuditEntry]:
        return await auditing.audit(self._link, query)

    async def count(self, wheres: Sequence[Where], cap: int) -> list[int]:
        return await counting.count(self._link, wheres, cap)

    async def error_groups(self, limit: int = 1000) -> list[ErrorGroup]:
        return await counting.error_groups(self._link, limit)

    async def feed(self, cursor: str | None, limit: int = 500) -> Feed:
        return await journal.feed(self._link, cursor, limit)

    async def metrics(self, query: MetricQuery) -> list[Point]:
        return await reading.metrics(self._link, query)

    # keep

    async def exchange(self, swaps: Sequence[Swap]) -> list[Record]:
        return await operating.exchange(self._link, swaps)

    async def records(self, space: str, keys: Sequence[str] | None = None) -> list[Record]:
        return await operating.records(self._link, space, keys)

    async def prune(self, retention: Retention, limit: int) -> int:
        return await operating.prune(self._link, retention, limit)

    async def dump(self, cursor: str | None = None, limit: int = 500) -> Page[Snapshot]:
        return await copying.dump(self._link, cursor, limit)

    async def load(self, snapshots: Sequence[Snapshot]) -> int:
        return await copying.load(self._link, snapshots)

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
        cursor = b"0"
        while (cursor := await self._link.run("erase", cursor)) != b"0":
            pass
        await self.close()

    def listen(self, topics: Collection[str], wake: Callable[[], None]) -> Callable[[], None]:
        return self._link.ears.listen(topics, wake)

    async def health(self) -> dict[str, Any]:
        return await condition.health(self._link)

    async def audit_counts(self) -> list[str]:
        """For tests: every difference between kept sums and sets, and the records they are about."""
        return [text.decode() for text in await self._link.run("check")]
