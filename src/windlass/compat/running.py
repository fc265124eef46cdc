"""Workers the founding way: a processor for a queue, started with the server that it lives in."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from windlass.app import Windlass
from windlass.declare.refusal import refusal
from windlass.running.context import Ack, Context
from windlass.schedules.timetable import Deployed

if TYPE_CHECKING:
    from windlass.worker.worker import Worker

Processor: TypeAlias = Callable[[dict[str, Any], "QueueJob"], Any]

_CONCURRENCY = 1
"""What a worker of a queue runs at once if nobody says otherwise, as in the documents' library."""


class QueueJob:
    """The second argument of a processor: the job it runs."""

    def __init__(self, ctx: Context, data: dict[str, Any]) -> None:
        self._ctx = ctx
        self.data = data
        self.id: str = ctx.id
        self.name: str = ctx.job.name or ctx.job.kind
        self.queue_name: str = ctx.job.queue
        self.attempts_made: int = ctx.attempt - 1

    def update_progress(self, percentage: float) -> Ack:
        """How far it is, 0 to 100. It counts when called; awaiting it waits until it is stored."""
        return self._ctx.progress(percentage)

    def log(self, text: str) -> Ack:
        """A line of the job's log."""
        return self._ctx.log(text)


class QueueWorker:
    """A worker of one queue, in this process."""

    def __init__(self, app: Windlass, queues: list[str] | None, concurrency: int | None) -> None:
        self._app = app
        self._task: asyncio.Task[int] | None = None
        self._worker: Worker | None = None
        self.queues = queues
        self.concurrency = concurrency

    @property
    def is_running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._task is not None and not self._task.done()

    def start(self) -> "QueueWorker":
        """Work in the running loop until `stop`."""
        if not self.is_running:
            self._worker = self._make()
            self._task = asyncio.create_task(self._worker.run(), name=f"windlass-{self.queues or 'every queue'}")
        return self

    async def stop(self) -> None:
        """Let what runs come to its end, and leave; raises what broke the worker."""
        worker, task = self._worker, self._task
        self._worker = self._task = None
        if worker is not None and task is not None:
            await worker.stop()
            await task

    async def drain(self) -> int:
        """Run what is runnable now, and no more; how many jobs."""
        return await self._make().run(until_idle=True)

    def _make(self) -> "Worker":
        return self._app.worker(self.queues, concurrency=self.concurrency, threads=self.concurrency)


_made: dict[Windlass, list[QueueWorker]] = {}


def create_worker(
    app: Windlass, queue: str, processor: Processor, options: Mapping[str, Any] | None = None
) -> QueueWorker:
    """A worker that runs `processor(data, job)` for every job of a queue; `{"concurrency": 3}` at once. It works once it is
    started, by `initialize_workers()` or its own `start()`."""
    given = dict(options or {})
    concurrency = given.pop("concurrency", _CONCURRENCY)
    if given or not isinstance(concurrency, int) or isinstance(concurrency, bool) or concurrency < 1:
        raise refusal("options", options, "{concurrency: 1 or more}", "use {'concurrency': 3}")
    from windlass.presets.catalogue import works_of  # only here: presets are not needed to add jobs

    for work in works_of(queue):
        if work.kind != queue and work.kind not in app.handlers and app.kinds.here(work.kind) is not None:
            _register(app, processor, work.options())
    _register(app, processor, {"kind": queue, "queue": queue})
    worker = QueueWorker(app, [queue], concurrency)
    _made.setdefault(app, []).append(worker)
    return worker


def initialize_workers(app: Windlass) -> list[QueueWorker]:
    """Start the workers that `create_worker` made; without any, one of all queues with the app's own settings."""
    return [worker.start() for worker in _made.get(app) or [QueueWorker(app, None, None)]]


async def initialize_scheduler(app: Windlass) -> Deployed:
    """Write the schedules that the app's code declares. Nothing else is to be started: any worker fires what is due."""
    return await app.timetable.deploy(await app.store())


def _register(app: Windlass, processor: Processor, options: Any) -> None:
    """Make the processor a job kind of the app."""
    if inspect.iscoroutinefunction(processor):
        work = cast("Callable[[dict[str, Any], QueueJob], Awaitable[Any]]", processor)

        async def process(ctx: Context, /, **data: Any) -> Any:
            return await work(data, QueueJob(ctx, data))

        app.job(**options)(process)
        return

    def process_in_thread(ctx: Context, /, **data: Any) -> Any:
        return processor(data, QueueJob(ctx, data))

    app.job(**options)(process_in_thread)
