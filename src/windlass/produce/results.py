"""Waiting for results: one watcher per store handle asks for all awaited jobs at once."""

import asyncio
import threading
import time
from collections.abc import Iterable
from typing import Any

from msgspec import to_builtins

from windlass.errors import JobCancelled, JobFailed, JobNotFound, ResultTimeout, StoreError
from windlass.store.protocol import Store
from windlass.values.job import Job
from windlass.values.query import Where
from windlass.values.states import State

_SHORTEST, _LONGEST = 0.005, 0.25
_EXISTS_EVERY = 2.0
_AT_ONCE = 500


class Uncommitted:
    """Ids of jobs that were enqueued in somebody's transaction and have not been seen since: absent, yet not gone."""

    MOST = 10_000

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}
        self._lock = threading.Lock()

    def __contains__(self, id: str) -> bool:
        return id in self._ids

    def add(self, ids: Iterable[str]) -> None:
        """The oldest are forgotten beyond `MOST`; waiting for one of those may then raise `JobNotFound`."""
        with self._lock:
            self._ids.update(dict.fromkeys(ids))
            for id in list(self._ids)[: max(0, len(self._ids) - self.MOST)]:
                del self._ids[id]

    def discard(self, ids: Iterable[str]) -> None:
        with self._lock:
            for id in ids:
                self._ids.pop(id, None)


class Watcher:
    """Hands out final jobs. Woken by the store's `done`, with a poll from 5 ms growing to 250 ms as the fallback."""

    def __init__(self, store: Store, uncommitted: Uncommitted) -> None:
        self._store = store
        self._uncommitted = uncommitted
        self._waiting: dict[str, list[asyncio.Future[Job]]] = {}
        self._fresh: set[str] = set()
        self._wake = asyncio.Event()
        self._done = False
        self._task: asyncio.Task[None] | None = None

    async def final(self, id: str, timeout: float | None) -> Job:
        """The job once it is final; raises `JobNotFound`, `ResultTimeout`."""
        if not id.isascii():  # no id of ours; a text that a driver cannot encode would fail everybody's look
            raise JobNotFound(f"there is no job {id!a}", id=ascii(id))
        future: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(id, []).append(future)
        self._fresh.add(id)
        self._wake.set()
        if self._task is None:
            self._task = asyncio.create_task(self._watch(), name="windlass-results")
        try:
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError:
            raise await self._too_late(id, timeout) from None
        finally:
            self._forget(id, future)

    async def close(self) -> None:
        """Stop watching; whoever still waits is cancelled."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _watch(self) -> None:
        stop = self._store.listen(("done",), self._on_done)
        try:
            await self._rounds()
        except StoreError as error:
            for futures in self._waiting.values():
                for future in futures:
                    if not future.done():
                        future.set_exception(error)
        finally:
            stop()
            self._task = None
            for future in [future for futures in self._waiting.values() for future in futures]:
                if not future.done():
                    future.cancel()

    async def _rounds(self) -> None:
        pause = _SHORTEST
        proved = time.monotonic()
        while self._waiting:
            asked = [id for id in self._fresh if id in self._waiting]
            self._wake.clear()
            if self._done or not asked:
                self._done, asked = False, list(self._waiting)
            self._fresh.clear()
            began = time.monotonic()
            found = await self._ask(asked)
            if began - proved > _EXISTS_EVERY:
                proved = began
                await self._prove()
            pause = _SHORTEST if found else min(pause * 2, _LONGEST)
            if not self._waiting:
                return
            # Never ask more than half of the time, however often the store says that something is done.
            await asyncio.sleep(time.monotonic() - began if len(asked) > 1 else 0)
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _ask(self, ids: list[str]) -> bool:
        found = False
        for start in range(0, len(ids), _AT_ONCE):
            for id, job in (await self._store.outcomes(ids[start : start + _AT_ONCE])).items():
                found = True
                for future in self._waiting.pop(id, ()):
                    if not future.done():
                        future.set_result(job)
        return found

    async def _prove(self) -> None:
        """A deleted job would be awaited for ever. One that is not committed yet comes with the commit."""
        ids = list(self._waiting)
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            there = {job.id for job in (await self._store.jobs(Where(ids=tuple(some)), limit=_AT_ONCE)).items}
            self._uncommitted.discard(there)
            for id in some:
                for future in () if id in there or id in self._uncommitted else self._waiting.pop(id, ()):
                    if not future.done():
                        future.set_exception(not_found(id))

    async def _too_late(self, id: str, timeout: float | None) -> Exception:
        job = await self._store.job(id)
        if job is None and id in self._uncommitted:
            return ResultTimeout(
                f"job {id} did not end within {timeout:g} s; the transaction that enqueued it has not been committed",
                id=id,
                timeout=timeout,
                state="uncommitted",
            )
        if job is None:
            return not_found(id)
        return ResultTimeout(
            f"job {job.kind} {id} did not end within {timeout:g} s; it is {job.state}",
            id=id,
            kind=job.kind,
            timeout=timeout,
            state=str(job.state),
        )

    def _forget(self, id: str, future: "asyncio.Future[Job]") -> None:
        futures = self._waiting.get(id)
        if futures and future in futures:
            futures.remove(future)
            if not futures:
                del self._waiting[id]
                self._wake.set()

    def _on_done(self) -> None:
        self._done = True
        self._wake.set()


def value_of(job: Job) -> Any:
    """The result of a final job; raises `JobFailed` or `JobCancelled`."""
    if job.state is State.COMPLETED:
        return job.result
    if job.state is State.CANCELLED:
        why = f": {job.reason}" if job.reason else ""
        raise JobCancelled(f"job {job.kind} {job.id} was cancelled{why}", id=job.id, kind=job.kind, reason=job.reason)
    error = job.error
    said = f"{error.type}: {error.message}" if error else job.reason or "no reason was given"
    raise JobFailed(
        f"job {job.kind} {job.id} failed: {said}",
        id=job.id,
        kind=job.kind,
        reason=job.reason,
        error=to_builtins(error) if error else None,
    )


def not_found(id: str) -> JobNotFound:
    """The error for a job that is not in the store."""
    return JobNotFound(
        f"no job {id!r}",
        id=id,
        mend="it may have been deleted; `windlass jobs history` and /jobs/{id}/history tell what is left",
    )
