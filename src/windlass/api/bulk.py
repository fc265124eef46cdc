"""Bulk operations as objects: an act on every job of a filter, carried out step by step beside the requests.

The object is a record in the store; each step acts on a page of jobs and writes how far it came, by compare-and-set. So it
can be watched, stopped between two steps, and taken over by another process of the API when the one that ran it is gone.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from windlass.api.caller import Reach
from windlass.errors import StoreError, WindlassError
from windlass.operate.search import read_search, scan
from windlass.operate.views import act_on
from windlass.produce.ids import new_id
from windlass.store.protocol import Store
from windlass.values.clock import SECOND, Micros, instant, moment
from windlass.values.query import Command, Record, Swap, Where

if TYPE_CHECKING:
    from windlass.app import Windlass

log = logging.getLogger("windlass.api")

SPACE = "api-bulk"
KEPT = 7 * 86_400
"""Seconds for which an object stays after its last change."""

_STEP = 250
_STALE = 20.0
"""Seconds without a step after which whoever ran it is taken to be gone."""

Status: TypeAlias = Literal["pending", "running", "completed", "cancelled", "failed"]


class Bulk(msgspec.Struct, frozen=True, kw_only=True):
    """A bulk operation. `where` with `q`, or `ids`: which jobs; `place`: how far it came; `beat`: when that was written."""

    id: str
    command: Command
    q: str
    where: Where
    ids: tuple[str, ...] | None
    reach: Reach
    actor: str
    created_at: datetime
    starts_at: datetime
    status: Status = "pending"
    matched: int = 0
    done: int = 0
    flagged: int = 0
    refused: int = 0
    place: str | None = None
    beat: float = 0.0
    runner: str = ""
    cancelling: bool = False
    finished_at: datetime | None = None
    code: str | None = None

    @property
    def is_over(self) -> bool:
        return self.status in ("completed", "cancelled", "failed")


_READ = msgspec.json.Decoder(Bulk)


class BulkRunner:
    """Runs bulk operations in this process, and those that another process left lying."""

    def __init__(self, app: "Windlass") -> None:
        self._app = app
        self._name = new_id()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def running(self) -> int:
        """How many this process runs."""
        return len(self._tasks)

    async def create(self, bulk: Bulk) -> Bulk:
        """Keep a new operation and run it when its time comes."""
        written = await self._write(bulk, 0)
        if written is None:  # a repeated request: it is there already
            found = await self.get(bulk.id)
            return found or bulk
        self._start(bulk.id)
        return bulk

    async def get(self, id: str) -> Bulk | None:
        """An operation as it stands; one that nobody runs any more goes on here."""
        found = await self._read(id)
        if found is None:
            return None
        bulk, _ = found
        if not bulk.is_over and time.time() - bulk.beat > _STALE:
            self._start(id)
        return bulk

    async def list(self) -> list[Bulk]:
        """Every operation that is kept, the newest first."""
        records = await (await self._app.store()).records(SPACE)
        return sorted((_READ.decode(r.text) for r in records if r.text), key=lambda bulk: bulk.id, reverse=True)

    async def resume(self) -> None:
        """Go on with what other processes left lying."""
        for bulk in await self.list():
            if not bulk.is_over and time.time() - bulk.beat > _STALE:
                self._start(bulk.id)

    async def cancel(self, id: str) -> Bulk | None:
        """Stop it: before its time nothing has happened, later what is done stays done."""
        while True:
            found = await self._read(id)
            if found is None or found[0].is_over or found[0].cancelling:
                return found and found[0]
            bulk, version = found
            now = await self._now()
            early = bulk.status == "pending"
            changed = replace(bulk, cancelling=True)
            if early:
                changed = replace(changed, status="cancelled", finished_at=now)
            if await self._write(changed, version) is not None:
                return changed

    async def close(self) -> None:
        """Stop running; what is not over goes on elsewhere, or here the next time."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _start(self, id: str) -> None:
        if id in self._tasks:
            return
        task = asyncio.create_task(self._run(id), name=f"windlass-bulk-{id}")
        self._tasks[id] = task
        task.add_done_callback(lambda _: self._tasks.pop(id, None))

    async def _run(self, id: str) -> None:
        try:
            while await self._step(id):
                pass
        except StoreError as error:
            log.warning("bulk operation %s stands still: %s; whoever looks at it next goes on", id, error.code)
        except Exception as error:  # nobody awaits this task; the object says how it ended
            code = error.code if isinstance(error, WindlassError) else "internal"
            log.error("bulk operation %s failed: %s (%s)", id, code, type(error).__name__)
            with contextlib.suppress(StoreError):
                await self._fail(id, code)

    async def _fail(self, id: str, code: str) -> None:
        found = await self._read(id)
        if found is not None and not found[0].is_over:
            bulk = replace(found[0], status="failed", code=code, finished_at=await self._now())
            await self._write(bulk, found[1])

    async def _step(self, id: str) -> bool:
        """One page; whether there is more to do here. Every step waits for the store, so requests get their turn."""
        found = await self._read(id)
        if found is None or found[0].is_over:
            return False
        bulk, version = found
        if bulk.runner not in ("", self._name) and time.time() - bulk.beat <= _STALE:
            return False  # another process has it
        wait = (bulk.starts_at - await self._now()).total_seconds()
        if wait > 0:
            await self._write(replace(bulk, runner=self._name), version)
            await asyncio.sleep(min(wait, _STALE / 4))
            return True
        if bulk.cancelling:
            await self._write(replace(bulk, status="cancelled", finished_at=await self._now()), version)
            return False
        started = replace(bulk, status="running", runner=self._name)
        held = await self._write(started, version)
        if held is None:
            return True  # somebody cancelled it, or took it over: look again
        after = await self._act(started)
        # A cancellation that came meanwhile is in the way of this write, and must not get lost.
        while await self._write(after, held) is None:
            again = await self._read(id)
            if again is None or again[0].runner != self._name:
                return False
            held, after = again[1], replace(after, cancelling=again[0].cancelling)
        return not after.is_over

    async def _act(self, bulk: Bulk) -> Bulk:
        store = await self._app.store()
        ids, place, missing = await _page(store, bulk)
        done = flagged = 0
        refused = missing
        if ids:
            acted = await act_on(store, bulk.command, [bulk.reach.of(ids)], bulk.actor)
            done, flagged, refused = len(acted.ids), len(acted.flagged), missing + len(acted.refused)
        after = replace(
            bulk,
            matched=bulk.matched + len(ids),
            done=bulk.done + done,
            flagged=bulk.flagged + flagged,
            refused=bulk.refused + refused,
            place=place,
        )
        if place is not None:
            return after
        return replace(after, status="completed", finished_at=await self._now())

    async def _read(self, id: str) -> tuple[Bulk, int] | None:
        records: Sequence[Record] = await (await self._app.store()).records(SPACE, [id])
        record = next(iter(records), None)
        return None if record is None or record.text is None else (_READ.decode(record.text), record.version)

    async def _write(self, bulk: Bulk, expect: int) -> int | None:
        """The new version; None if somebody else wrote meanwhile."""
        text = msgspec.json.encode(replace(bulk, beat=time.time())).decode()
        swap = Swap(space=SPACE, key=bulk.id, text=text, expect=expect, ttl=KEPT * SECOND)
        (record,) = await (await self._app.store()).exchange([swap])
        return record.version if record.swapped else None

    async def _now(self) -> datetime:
        return moment(await (await self._app.store()).now())


async def _page(store: Store, bulk: Bulk) -> tuple[tuple[str, ...], str | None, int]:
    """The ids of the next jobs within reach, where to go on, and how many of those named do not exist there."""
    if bulk.ids is not None:
        at = int(bulk.place or 0)
        named = bulk.ids[at : at + _STEP]
        there = {job.id for job in (await store.jobs(bulk.reach.of(named), limit=_STEP)).items}
        following = str(at + _STEP) if at + _STEP < len(bulk.ids) else None
        return tuple(id for id in named if id in there), following, len(named) - len(there)
    search = read_search(bulk.q, moment_of(bulk), bulk.where)
    page = await scan(store, search, bulk.place, _STEP)
    return tuple(job.id for job in page.items), page.next, 0


def moment_of(bulk: Bulk) -> Micros:
    """The instant that ages in its filter count from: when it was made."""
    return instant(bulk.created_at)
