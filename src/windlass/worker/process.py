"""A worker as a process of its own: the loop, signals, the tie to its supervisor, and the exit code."""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from functools import cache

from windlass.worker.lifeline import die_with
from windlass.worker.worker import RECYCLE, Worker

log = logging.getLogger("windlass.worker")

SUPERVISOR = "WINDLASS_SUPERVISOR"
"""Environment variable with the supervisor's process id, set for the workers that it starts."""

_SWITCH = 0.0005


@cache
def _supervisor() -> int | None:
    """The process that said so when it started this one; it may be gone by now. What this process starts is not under it."""
    pid = os.environ.pop(SUPERVISOR, None)
    return None if pid is None else int(pid)


def is_supervised() -> bool:
    """Whether a supervisor started this process and will start another when it exits."""
    return _supervisor() is not None


def run_worker(make: Callable[[], Worker], close: Callable[[], Awaitable[None]], *, until_idle: bool = False) -> int:
    """Run the worker that `make` gives until a signal, then `close` its app; the exit code (`RECYCLE`: start me again).

    A supervised worker shuts down gracefully when its supervisor dies, and does not begin if it is dead already.
    """
    supervisor = _supervisor()
    if supervisor is not None:
        die_with(supervisor, signal.SIGTERM)
    # The heartbeat thread and thread handlers share the interpreter with a loop that may be busy: at the default 5 ms,
    # each of their returns from C (a beat has several) could wait that long.
    sys.setswitchinterval(_SWITCH)
    worker = make()
    gc.collect()
    gc.freeze()  # a full collection over what start-up loaded stops the loop for 10 ms

    async def main() -> int:
        try:
            await worker.run(until_idle, handle_signals=True)
        finally:
            await close()
        return worker.exit_code

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ModuleNotFoundError:  # Windows and other interpreters have none
        return None
    return uvloop.new_event_loop


__all__ = ["RECYCLE", "SUPERVISOR", "is_supervised", "run_worker"]
