"""The blocking door, for scripts, Django and Flask: a thread with an event loop that runs the async app."""

import asyncio
import atexit
import contextlib
import os
import threading
from collections.abc import Awaitable, Coroutine, Iterable
from typing import Any, ParamSpec, Protocol, TypeVar, cast, overload

from windlass.declare.handler import Handler
from windlass.errors import InsideLoop
from windlass.operate.views import JobId, Jobs
from windlass.produce.joining import Joining, chunks
from windlass.produce.ref import JobRef, make_ref
from windlass.stores import Stores
from windlass.values.clock import Duration
from windlass.values.job import Job, NewJob
from windlass.values.lease import Delivery
from windlass.workflows.flow import WorkflowRef

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_CLOSING = 5.0


class AsyncDoor(Protocol):
    """What the blocking door calls."""

    stores: Stores
    joining: Joining

    async def enqueue_any(
        self, handler: Handler[..., Any] | str, args: tuple[Any, ...], kwargs: Any
    ) -> JobRef[Any]: ...

    async def enqueue_many(self, jobs: Iterable[NewJob[R]], *, atomic: bool = True) -> list[JobRef[R]]: ...

    async def result_of(self, id: str, timeout: Duration | None = None) -> Any: ...

    async def job_of(self, id: str) -> Job: ...

    async def cancel_job(self, id: str) -> bool: ...

    async def admitted(self, jobs: list[NewJob[Any]]) -> list[NewJob[Any]]: ...

    @property
    def jobs(self) -> Jobs: ...

    async def close(self) -> None: ...


class Sync:
    """`app.sync`. Every other verb goes through `run`: `app.sync.run(app.jobs.get(id))`."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pid = 0

    @overload
    def enqueue(self, handler: Handler[P, R], /, *args: P.args, **kwargs: P.kwargs) -> JobRef[R]: ...
    @overload
    def enqueue(self, handler: str, /, *args: Any, **kwargs: Any) -> JobRef[Any]: ...
    def enqueue(self, handler: Any, /, *args: Any, **kwargs: Any) -> JobRef[Any]:
        """`app.enqueue`, blocking. With `handler.options(connection=...)` the statement runs in this thread."""
        if isinstance(handler, Handler) and handler.connection is not None:
            known = self.run(cast("Handler[..., Any]", handler).found())
            return self._put(known.connection, [[known.unjoined.job(*args, **kwargs)]])[0]
        return self.run(self._door.enqueue_any(cast("Handler[..., Any] | str", handler), args, kwargs))

    def enqueue_many(
        self, jobs: Iterable[NewJob[R]], *, atomic: bool = True, connection: Any = None
    ) -> list[JobRef[R]]:
        """`app.enqueue_many`, blocking."""
        if connection is not None:
            return self._put(connection, chunks(jobs, atomic))
        return self.run(self._door.enqueue_many(jobs, atomic=atomic))

    def result(self, ref: JobRef[R] | WorkflowRef[R], timeout: Duration | None = None) -> R:
        """`ref.result`, blocking."""
        if isinstance(ref, WorkflowRef):
            return self.run(ref.result(timeout))
        return self.run(self._door.result_of(ref.id, timeout))

    def signal(self, id: JobId, name: str, data: Any = None, *, actor: str = "app") -> Delivery:
        """`app.jobs.signal`, blocking."""
        return self.run(self._door.jobs.signal(id, name, data, actor=actor))

    def run(self, awaitable: Awaitable[T], /) -> T:
        """Run anything awaitable of the app and wait for it. Raises `InsideLoop` where an event loop runs: await it there."""
        if _is_in_loop():
            if isinstance(awaitable, Coroutine):
                awaitable.close()
            raise InsideLoop(
                "app.sync blocks, and an event loop runs in this thread", mend="await the app's own methods instead"
            )
        future = asyncio.run_coroutine_threadsafe(_awaited(awaitable), self._running())
        try:
            return future.result()
        except BaseException:  # a KeyboardInterrupt here must not leave the call running there
            future.cancel()
            raise

    def _put(self, connection: Any, parts: Iterable[list[NewJob[Any]]]) -> list[JobRef[Any]]:
        """On the caller's connection, which belongs to this thread."""
        opened = self.run(self._door.stores.here())
        boxed = self._door.stores.takes_any_connection
        refs: list[JobRef[Any]] = []
        for part in parts:
            joining = self._door.joining
            if not boxed:
                part = self.run(self._door.admitted(part))
            answers = (
                self.run(joining.put(connection, part)) if boxed else joining.put_blocking(opened, connection, part)
            )
            refs += [
                make_ref(each.id, job.kind, each.created, self._door) for job, each in zip(part, answers, strict=True)
            ]
        return refs

    def close(self) -> None:
        """End the thread and close its store; the next call starts another."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
            if loop is None or thread is None or self._pid != os.getpid() or not thread.is_alive():
                return
            closing = asyncio.run_coroutine_threadsafe(self._door.close(), loop)
            try:
                closing.result(_CLOSING)
            finally:
                loop.call_soon_threadsafe(loop.stop)
                thread.join(_CLOSING)

    def _close_at_exit(self) -> None:
        # The interpreter has ended its thread pools by now, which closing a file needs; what was acknowledged is stored.
        with contextlib.suppress(RuntimeError):
            self.close()

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._pid != os.getpid():
            # After a fork neither the thread nor, perhaps, a free lock came along.
            self._lock = threading.Lock()
            self._loop = self._thread = None
        with self._lock:
            if self._loop is None:
                if self._pid == 0:
                    atexit.register(self._close_at_exit)
                self._pid = os.getpid()
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_serve, args=(self._loop,), name="windlass-sync", daemon=True)
                self._thread.start()
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def _is_in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _awaited(awaitable: Awaitable[T]) -> T:
    return await awaitable
