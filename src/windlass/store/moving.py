"""Moving an installation from one store to another: live jobs, dead letters, schedules, settings of queues, and the limits
that operators set, verified by checksum. Windows of rates begin anew at the target.

The source is only read. A move that broke off is simply run again: known jobs are left alone.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping

import msgspec

from windlass.errors import StoreError, WorkersAlive
from windlass.store.protocol import Store
from windlass.values.clock import Micros
from windlass.values.limit import KIND, QUEUE, LimitChange, LimitInfo
from windlass.values.query import Count, Swap
from windlass.values.queue import QueueChange, QueueInfo
from windlass.values.snapshot import Snapshot
from windlass.values.states import LIVE, State

PAGE = 500
_MOST_LIMITS = 1_000_000
ACTOR = "migrate-engine"
_MOVED = frozenset({*LIVE, State.FAILED})


class MoveRefused(WorkersAlive):
    """Workers are running on one of the stores: `workers` lists them. Stop them first."""

    code = "move-refused"


class MoveFailed(StoreError):
    """What arrived is not what was sent: `missing` and `changed` list job ids (the first twenty of each)."""

    code = "move-failed"


class Plan(msgspec.Struct, frozen=True):
    """What a move would take along: jobs by state, schedules, paused queues; and the workers that are in its way."""

    jobs: dict[str, int]
    schedules: int
    paused: int
    workers: list[str]

    @property
    def total(self) -> int:
        return sum(self.jobs.values())


class Moved(msgspec.Struct, frozen=True):
    """What a move did: jobs read, jobs new at the target, schedules, paused queues, and the checksum that both sides agree on."""

    jobs: int
    new: int
    schedules: int
    paused: int
    checksum: str


async def plan(source: Store) -> Plan:
    """Look at an open store; nothing is written."""
    sums: dict[str, int] = {}
    for count in await source.counts():
        if count.state in _MOVED:
            sums[str(count.state)] = sums.get(str(count.state), 0) + count.n
    workers = [worker.id for worker in await source.workers()]
    return Plan(sums, len(await source.schedules()), len(await _paused(source)), workers)


async def move(
    source: Store, target: Store, tell: Callable[[int], None] = lambda _: None, spaces: Iterable[str] = ()
) -> Moved:
    """Copy everything that is not finished, and the dead letters, from `source` to `target` (both open), then read the target
    and compare. Raises `MoveRefused` while workers run, `MoveFailed` when the copies differ or the source changed meanwhile.

    `tell` is called with the number of jobs copied so far. `spaces`: whose small records are taken along, for good, whatever
    their time was; those that the target has stay as they are. Active jobs (their workers are gone) arrive waiting.
    """
    await _refuse_workers(source, target)
    before = await _live(source)
    paused = await _copy_settings(source, target)
    for space in spaces:
        await _copy_records(source, target, space)
    sent: dict[str, bytes] = {}
    new = 0
    async for page in _pages(source):
        sent.update((_id(snapshot), digest(snapshot)) for snapshot in page)
        new += await target.load(page)
        tell(len(sent))
    schedules = await source.schedules()
    if schedules:
        await target.put_schedules(schedules, actor=ACTOR)
    count, total = len(sent), _sum(sent)
    await _compare(sent, target)
    await _compare_schedules(source, target)
    await _refuse_workers(source, target)
    if await _live(source) != before:
        raise MoveFailed(
            f"{source.url} changed during the move: somebody still enqueues there or acts on its jobs",
            missing=[],
            changed=[],
            mend="stop the producers, then run the move again; what has been copied is not copied twice",
        )
    return Moved(count, new, len(schedules), len(paused), total)


def digest(snapshot: Snapshot) -> bytes:
    """The checksum of what must arrive unchanged: everything but the marks of a lease that a move ends. Engines may keep
    "nothing" as NULL, zero or an empty text, and percentages in four bytes; that is no difference."""
    record = {name: value or None for name, value in snapshot.record.items() if name not in _LEASED}
    if record["state"] == State.ACTIVE:
        record["state"] = str(State.WAITING)
    for name in ("tags", "parents"):
        text = record[name]
        record[name] = msgspec.json.decode(text) if isinstance(text, str) else None
    record["progress"] = round(record["progress"] or 0.0, 3)
    waits = record["state"] == State.WAITING
    kept = (
        sorted(record.items()),
        sorted((edge.parent, edge.on_failure) for edge in snapshot.edges),
        snapshot.unique and (snapshot.unique.key, snapshot.unique.until, snapshot.unique.ttl),
        snapshot.mode,
        (snapshot.order, snapshot.parked) if waits else None,
        (sorted(snapshot.limits, key=lambda bound: bound.key), snapshot.weight, snapshot.signal),
        [(step.position, step.name, step.value, step.done) for step in snapshot.steps],
        snapshot.signals,
    )
    return hashlib.sha256(msgspec.json.encode(kept)).digest()[:16]


# A move ends leases: the token, its worker and the start of the running attempt stay behind.
_LEASED = frozenset({"lease", "worker", "started_at", "cancelling"})


async def _refuse_workers(*stores: Store) -> None:
    for store in stores:
        names = [worker.id for worker in await store.workers()]
        if names:
            run = "a worker runs" if len(names) == 1 else f"{len(names)} workers run"
            raise MoveRefused(
                f"{run} on {store.url}; a move needs that stopped",
                workers=names,
                mend="stop the workers (one that was killed counts for ten leases), then run the move again",
            )


async def _copy_settings(source: Store, target: Store) -> list[str]:
    """Queues first, then limits, so that the jobs that follow find their lines; the queues that are paused."""
    for queue in await source.queues():
        if queue != QueueInfo(name=queue.name):
            change = QueueChange(paused=queue.paused, order=queue.order, ageing=queue.ageing)
            await target.put_queue(queue.name, change, ACTOR)
    now = await source.now()
    changes = [_same(limit, now) for limit in await source.limits(limit=_MOST_LIMITS) if _is_setting(limit)]
    if changes:
        await target.put_limits(changes, ACTOR)
    return await _paused(source)


async def _copy_records(source: Store, target: Store, space: str) -> None:
    records = [record for record in await source.records(space) if record.text is not None]
    for at in range(0, len(records), PAGE):
        part = records[at : at + PAGE]
        await target.exchange([Swap(space=space, key=each.key, text=each.text, expect=0) for each in part])


def _is_setting(limit: LimitInfo) -> bool:
    """Whether no job would bring it along."""
    return limit.pinned or limit.shut_until is not None or limit.key.startswith((QUEUE, KIND))


def _same(limit: LimitInfo, now: Micros) -> LimitChange:
    return LimitChange(
        key=limit.key,
        concurrency=limit.concurrency,
        rate=limit.rate,
        shut_for=None if limit.shut_until is None else max(limit.shut_until - now, 1),
        trial=limit.trial,
        pinned=limit.pinned,
    )


async def _paused(store: Store) -> list[str]:
    return [queue.name for queue in await store.queues() if queue.paused]


async def _live(store: Store) -> list[tuple[str, str, int]]:
    counts: list[Count] = await store.counts()
    return sorted((count.queue, str(count.state), count.n) for count in counts)


async def _compare(sent: dict[str, bytes], target: Store) -> None:
    """Takes out of `sent` what arrived."""
    changed: list[str] = []
    async for page in _pages(target):
        for snapshot in page:
            expected = sent.pop(_id(snapshot), None)
            if expected is not None and expected != digest(snapshot):
                changed.append(_id(snapshot))
    if sent or changed:
        raise MoveFailed(
            f"{len(sent)} jobs are missing and {len(changed)} differ at {target.url}; the source is untouched",
            missing=list(sent)[:20],
            changed=changed[:20],
            mend="move to an empty store: work there may have gone on since an earlier move",
        )


async def _compare_schedules(source: Store, target: Store) -> None:
    there = {row.key: row.spec for row in await target.schedules()}
    wrong = [row.key for row in await source.schedules() if there.get(row.key) != row.spec]
    if wrong:
        raise MoveFailed(
            f"{len(wrong)} schedules differ at {target.url}; the source is untouched",
            missing=[],
            changed=[],
            schedules=wrong[:20],
            mend="run the move again",
        )


def _sum(sent: Mapping[str, bytes]) -> str:
    """Of all jobs together; their order does not count."""
    total = sum(int.from_bytes(each, "big") for each in sent.values()) + len(sent)
    return hashlib.sha256(str(total).encode()).hexdigest()[:16]


async def _pages(store: Store) -> AsyncIterator[list[Snapshot]]:
    cursor: str | None = None
    while True:
        page = await store.dump(cursor, PAGE)
        if page.items:
            yield page.items
        if page.next is None:
            return
        cursor = page.next


def _id(snapshot: Snapshot) -> str:
    return str(snapshot.record["id"])
