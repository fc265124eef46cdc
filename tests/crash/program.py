"""The worker process of the crash suite: its handlers and its calls to the store write into the history.

    python -m tests.crash.program

`HISTORY` names the file, `SKEW` by how many seconds this process's wall clock lies; with `HESITATES` the process stands
still (SIGSTOP) when it has told of its first commit and not sent it.
"""

import asyncio
import itertools
import logging
import os
import signal
import sys
import time
from typing import Any
from zlib import crc32

SKEW = float(os.environ.get("SKEW", "0"))
if SKEW:
    # Before anything else is imported: whoever asks this process for the time of day, hears it wrong.
    _time, _time_ns = time.time, time.time_ns
    time.time = lambda: _time() + SKEW
    time.time_ns = lambda: _time_ns() + int(SKEW * 1e9)

from tests.crash.history import Asks, Began, End, Ended, Ending, Granted, Hello, Judged, Recorder, Renewed, now  # noqa: E402
from tests.crash.history import Grant as Given  # noqa: E402
from windlass.app import Windlass  # noqa: E402
from windlass.running.context import Context  # noqa: E402
from windlass.store import open_store  # noqa: E402
from windlass.values.job import Claim  # noqa: E402
from windlass.values.outcome import Retry  # noqa: E402
from windlass.values.retry import fixed  # noqa: E402
from windlass.worker.process import run_worker  # noqa: E402
from windlass.worker.worker import Worker  # noqa: E402

BACKOFF = 0.2
ATTEMPTS = 4
PID = os.getpid()

# The built-in schedules would add jobs at every full minute, of which the history knows nothing.
app = Windlass(
    os.environ.get("WINDLASS_URL", "sqlite://:memory:"),
    namespace=os.environ.get("WINDLASS_NAMESPACE"),
    maintenance=False,
)
record: Any = None


def begin(ctx: Context) -> None:
    record(Began(now(), ctx.id, int(ctx.lease), ctx.attempt, PID))


def end(ctx: Context, fails: int, pad: str) -> dict[str, Any]:
    good = ctx.attempt > fails
    record(Ended(now(), ctx.id, int(ctx.lease), ctx.attempt, PID, good))
    if not good:
        raise Retry("by plan")
    return {"lease": ctx.lease, "sum": crc32(pad.encode())}


@app.job(kind="plain", max_rescues=1_000, max_attempts=ATTEMPTS, backoff=fixed(BACKOFF))
async def plain(ctx: Context, seconds: float, fails: int, pad: str) -> dict[str, Any]:
    begin(ctx)
    await asyncio.sleep(seconds)
    return end(ctx, fails, pad)


@app.job(kind="threaded", max_rescues=1_000, max_attempts=ATTEMPTS, backoff=fixed(BACKOFF))
def threaded(ctx: Context, seconds: float, fails: int, pad: str) -> dict[str, Any]:
    begin(ctx)
    time.sleep(seconds)
    return end(ctx, fails, pad)


def listen_in(engine: Any) -> None:
    """Tell every call of this process to a store, before it is sent and when it is answered."""
    numbers = itertools.count(1)
    hesitates = iter([True] if "HESITATES" in os.environ else [])
    claim, rescue, heartbeat, finish = engine.claim, engine.rescue, engine.heartbeat, engine.finish

    def given(claims: list[Claim]) -> tuple[Given, ...]:
        return tuple(Given(c.id, c.lease, c.attempt, c.priority, c.runtime) for c in claims)

    async def claimed(self: Any, request: Any) -> Any:
        sent = now()
        answer = await claim(self, request)
        if answer.jobs:
            record(Granted(now(), sent, PID, next(numbers), "claim", given(answer.jobs)))
        return answer

    async def rescued(self: Any, worker: str, lease: int, limit: int) -> Any:
        number, sent = next(numbers), now()
        record(Asks(sent, PID, number, "rescue"))
        claims = await rescue(self, worker, lease, limit)
        record(Granted(now(), sent, PID, number, "rescue", given(claims)))
        return claims

    async def beaten(self: Any, beat: Any) -> Any:
        sent = now()
        pulse = await heartbeat(self, beat)
        kept = tuple((held.id, held.lease) for held in beat.held if held.id not in pulse.lost)
        if kept:
            record(Renewed(now(), sent, PID, kept))
        return pulse

    async def finished(self: Any, finishes: Any) -> Any:
        number = next(numbers)
        record(Ending(now(), PID, number, tuple(End(f.id, f.lease, str(f.event), f.spends) for f in finishes)))
        if next(hesitates, False):
            os.kill(PID, signal.SIGSTOP)
        try:
            verdicts = await finish(self, finishes)
        except BaseException as error:
            record(Judged(now(), PID, number, error=f"{type(error).__name__}: {error}"[:200]))
            raise
        record(Judged(now(), PID, number, tuple(str(verdict) for verdict in verdicts)))
        return verdicts

    engine.claim, engine.rescue, engine.heartbeat, engine.finish = claimed, rescued, beaten, finished


def main() -> int:
    global record
    from pathlib import Path

    logging.basicConfig(level="INFO", stream=sys.stderr, format="%(asctime)s %(process)d %(levelname)s %(message)s")
    record = Recorder(Path(os.environ["HISTORY"]))
    record(Hello(now(), PID, SKEW))
    listen_in(type(open_store(app.url, app.namespace)))

    def make() -> Worker:
        lease = float(os.environ["LEASE"])
        return Worker(app, concurrency=20, threads=4, processes=0, prefetch=20, lease=lease, grace=10.0)

    return run_worker(make, app.close)


if __name__ == "__main__":
    # Handlers write through this module's real name.
    from tests.crash import program

    sys.exit(program.main())
