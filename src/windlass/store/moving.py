"""Moving an installation from one store to another: live jobs, dead letters and schedules, verified by checksum.

The source is only read. A move that broke off is simply run again: known jobs are left alone.
"""

import hashlib
from collections.abc import AsyncIterator, Callable

import msgspec

from windlass.errors import StoreError
from windlass.snapshot import Snapshot
from windlass.states import State
from windlass.store.protocol import Store

PAGE = 500


class MoveRefused(StoreError):
    """Workers are running on one of the stores: `workers` lists them. Stop them first."""

    code = "move-refused"


class MoveFailed(StoreError):
    """What arrived is not what was sent: `missing` and `changed` list job ids (the first twenty of each)."""

    code = "move-failed"


class Moved(msgspec.Struct, frozen=True):
    """What a move did: jobs read, jobs new at the target, schedules, and the checksum that both sides agree on."""

    jobs: int
    new: int
    schedules: int
    checksum: str


async def move(source: Store, target: Store, tell: Callable[[int], None] = lambda _: None) -> Moved:
    """Copy everything that is not finished, and the dead letters, from `source` to `target` (both open), then read both
    again and compare. Raises `MoveRefused` while workers run, `MoveFailed` when the copies differ.

    `tell` is called with the number of jobs copied so far. Active jobs (their workers are gone) arrive waiting.
    """
    await _refuse_workers(source, target)
    sent: dict[str, str] = {}
    new = 0
    async for page in _pages(source):
        sent.update((_id(snapshot), digest(snapshot)) for snapshot in page)
        new += await target.load(page)
        tell(len(sent))
    schedules = await source.schedules()
    await target.put_schedules(schedules, actor="migrate-engine")
    await _compare(sent, target)
    total = hashlib.sha256("".join(sent[id] for id in sorted(sent)).encode()).hexdigest()[:16]
    return Moved(len(sent), new, len(schedules), total)


def digest(snapshot: Snapshot) -> str:
    """The checksum of what must arrive unchanged: everything but the marks of a lease that a move ends."""
    record = {key: value for key, value in snapshot.record.items() if key not in _LEASED}
    if record["state"] == State.ACTIVE:
        record["state"] = str(State.WAITING)
    kept = (sorted(record.items()), sorted((edge.parent, edge.on_failure) for edge in snapshot.edges), snapshot.unique)
    return hashlib.sha256(msgspec.json.encode(kept)).hexdigest()


# A move ends leases: the token, its worker and the start of the running attempt stay behind.
_LEASED = frozenset({"lease", "worker", "started_at", "cancelling"})


async def _refuse_workers(*stores: Store) -> None:
    for store in stores:
        names = [worker.id for worker in await store.workers()]
        if names:
            raise MoveRefused(
                f"{len(names)} workers run on {store.url}; a move needs them stopped",
                workers=names,
                mend="stop the workers, then run the move again",
            )


async def _compare(sent: dict[str, str], target: Store) -> None:
    arrived: dict[str, str] = {}
    async for page in _pages(target):
        arrived.update((_id(snapshot), digest(snapshot)) for snapshot in page)
    missing = [id for id in sent if id not in arrived]
    changed = [id for id, sum_ in sent.items() if id in arrived and arrived[id] != sum_]
    if missing or changed:
        raise MoveFailed(
            f"{len(missing)} jobs are missing and {len(changed)} differ at the target; the source is untouched",
            missing=missing[:20],
            changed=changed[:20],
            mend="empty the target and move again, or report the difference",
        )


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
