"""Worker processes that kill themselves at one call to their store, for tests of what survives that."""

import itertools
import os
import signal
from collections.abc import Callable
from typing import Any

from windlass.app import Windlass
from windlass.worker.process import run_worker
from windlass.worker.worker import Worker

Counts = Callable[[str, tuple[Any, ...], Any], bool]
"""Whether a call is one of those that are counted: its verb, what it was given, what it answered (None before it is made)."""


def die() -> None:
    """As by the out-of-memory killer: no handler of signals, no `finally`, nothing is flushed."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(engine: Any, point: str, counts: Counts) -> None:
    """Kill this process, with all that it is, at one call to its store: `point` is `verb:number:when`, and `when` is `before` it
    is sent or `after` it was answered."""
    wanted, number, when = point.split(":")
    calls = itertools.count(1)
    verb = getattr(engine, wanted)

    async def doomed(self: Any, *given: Any) -> Any:
        if wanted == "claim":  # only the answer tells whether it counts
            answer = await verb(self, *given)
            if counts(wanted, given, answer) and next(calls) == int(number):
                die()
            return answer
        is_now = counts(wanted, given, None) and next(calls) == int(number)
        if is_now and when == "before":
            die()
        answer = await verb(self, *given)
        if is_now:
            die()
        return answer

    setattr(engine, wanted, doomed)


def serve(app: Windlass, lease: float) -> int:
    """A worker of every runtime for the queue that `QUEUE` names, or for all."""
    queue = os.environ.get("QUEUE")

    def make() -> Worker:
        queues = None if queue is None else [queue]
        return Worker(app, queues=queues, concurrency=8, threads=8, processes=1, lease=lease, grace=0.0)

    return run_worker(make, app.close)
