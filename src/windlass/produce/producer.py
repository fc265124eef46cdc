"""Storing jobs: single enqueues that are awaited at the same time share one store call; streams go in chunks."""

import asyncio
import copy
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice
from typing import Any, TypeAlias

from windlass.errors import BatchTooLarge, InvalidArgs, InvalidOption, StoreError, WindlassError
from windlass.store.protocol import Store
from windlass.values.job import Enqueued, NewJob

MOST_JOBS = 10_000
MOST_BYTES = 16 << 20
"""What one atomic call takes."""

_CHUNK = 2_000
_SHARED = 5_000

Observer: TypeAlias = Callable[[Sequence[NewJob[Any]], Sequence[Enqueued]], None]
"""Told of every stored call; `testing.sandbox` listens."""

Prepare: TypeAlias = Callable[[list[NewJob[Any]]], Awaitable[list[NewJob[Any]]]]


class Producer:
    """One loop's way to enqueue. While a call is under way the next one collects, so a burst costs few transactions."""

    def __init__(self, store: Store, observers: Sequence[Observer]) -> None:
        self._store = store
        self._observers = observers
        self._waiting: list[tuple[NewJob[Any], asyncio.Future[Enqueued]]] = []
        self._task: asyncio.Task[None] | None = None

    async def one(self, job: NewJob[Any]) -> Enqueued:
        """Store one job, together with whatever else is enqueued in this turn of the loop."""
        future: asyncio.Future[Enqueued] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, future))
        if self._task is None:
            self._task = asyncio.create_task(self._drain(), name="windlass-enqueue")
        return await future

    async def atomic(self, jobs: Sequence[NewJob[Any]]) -> list[Enqueued]:
        """Store all or nothing; raises `BatchTooLarge`."""
        if not jobs:
            return []
        check_batch(jobs)
        return await self._store_now(jobs)

    async def stream(self, jobs: Iterable[NewJob[Any]], prepare: Prepare | None = None) -> list[Enqueued]:
        """Store chunk after chunk, making the next while the store writes; an error says how many are `stored`. `prepare` may
        change a chunk before it is stored."""
        source = iter(jobs)
        answers: list[Enqueued] = []
        writing: asyncio.Task[list[Enqueued]] | None = None
        try:
            while True:
                chunk = [check_job(job) for job in islice(source, _CHUNK)]
                if prepare is not None and chunk:
                    chunk = await prepare(chunk)
                if writing is not None:
                    answers += await writing
                    writing = None
                if not chunk:
                    return answers
                writing = asyncio.create_task(self._store_now(chunk))
                await asyncio.sleep(0)  # the write starts before the next chunk is made
        except BaseException as error:
            if writing is not None:
                await asyncio.wait([writing])
                if not writing.cancelled() and writing.exception() is None:
                    answers += writing.result()
            if isinstance(error, WindlassError):
                error.facts["stored"] = len(answers)
            raise

    async def close(self) -> None:
        """Let what was handed in be stored."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def _drain(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:_SHARED], self._waiting[_SHARED:]
                group = [(job, future) for job, future in group if not future.done()]
                if group:
                    await self._store_group(group)
        finally:
            self._task = None
            for _, future in self._waiting:
                future.cancel()
            self._waiting = []

    async def _store_group(self, group: list[tuple[NewJob[Any], asyncio.Future[Enqueued]]]) -> None:
        try:
            answers = await self._store_now([job for job, _ in group])
        except asyncio.CancelledError:
            for _, future in group:
                future.cancel()
            raise
        except Exception as error:
            await self._separately(group, error)
            return
        for (_, future), answer in zip(group, answers, strict=True):
            if not future.done():
                future.set_result(answer)

    async def _separately(self, group: list[tuple[NewJob[Any], asyncio.Future[Enqueued]]], error: Exception) -> None:
        """One caller's job spoilt the call, so each goes alone; an ailing store is not asked a thousand times."""
        ailing = isinstance(error, StoreError) or len(group) == 1
        for job, future in group:
            if future.done():
                continue
            try:
                answer = None if ailing else (await self._store_now([job]))[0]
            except Exception as own:
                if not future.done():  # its caller may have given up meanwhile
                    future.set_exception(own)
                continue
            if answer is None:
                future.set_exception(copy.copy(error) if len(group) > 1 else error)
            elif not future.done():
                future.set_result(answer)

    async def _store_now(self, jobs: Sequence[NewJob[Any]]) -> list[Enqueued]:
        answers = await self._store.enqueue(jobs)
        for observer in self._observers:
            observer(jobs, answers)
        return answers


def check_batch(jobs: Sequence[NewJob[Any]]) -> None:
    """Refuse more than one atomic call takes."""
    size = sum([len(job.args) for job in jobs])
    if len(jobs) > MOST_JOBS or size > MOST_BYTES:
        raise BatchTooLarge(
            f"{len(jobs):,} jobs with {size:,} bytes of arguments; one atomic call takes {MOST_JOBS:,} jobs and "
            f"{MOST_BYTES:,} bytes",
            count=len(jobs),
            size=size,
            limit=MOST_JOBS,
            mend="enqueue_many(jobs, atomic=False) stores them in chunks",
        )


def read_jobs(jobs: Iterable[NewJob[Any]]) -> Iterable[NewJob[Any]]:
    """`jobs`, if they can be gone through."""
    if isinstance(jobs, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        return jobs
    what = "one job" if isinstance(jobs, NewJob) else f"{jobs!r:.100}"
    raise InvalidArgs(f"jobs is {what}; it must be a list of jobs", field="jobs", mend="give [handler.job(...), ...]")


def check_job(job: object) -> NewJob[Any]:
    """`job`, if `handler.job(...)` made it."""
    if isinstance(job, NewJob):
        if job.on_failure != "cancel" and not job.after:  # pyright: ignore[reportUnknownMemberType]
            raise InvalidOption(
                f"on_failure is {job.on_failure!r}, but the job waits for nobody",
                field="on_failure",
                value=job.on_failure,
                limit="only together with parents",
                mend="name the parents with after=[...], or put the job behind others in a chain",
            )
        return job  # pyright: ignore[reportUnknownVariableType]
    raise InvalidArgs(
        f"{job!r:.100} is not a job", field="jobs", mend="make jobs with handler.job(...), without calling the function"
    )
