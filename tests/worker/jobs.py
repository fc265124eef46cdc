"""The app that worker processes of the tests run: store from the environment, effects into a file.

    python -m tests.worker.jobs [--until-idle]

One effect is one line `what job lease pid microseconds`, appended in a single write, so that lines of several processes
never mix.
"""

import asyncio
import logging
import os
import sys
import time

from windlass.app import Windlass
from windlass.running.context import Context
from windlass.worker.process import is_supervised, run_worker
from windlass.worker.worker import Worker

app = Windlass(os.environ.get("WINDLASS_URL", "sqlite://:memory:"), namespace=os.environ.get("WINDLASS_NAMESPACE"))


def effect(what: str, ctx: Context) -> None:
    line = f"{what} {ctx.id} {ctx.lease} {os.getpid()} {time.time_ns() // 1000}\n"
    file = os.open(os.environ["EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


@app.job(kind="async", max_rescues=1_000)
async def in_loop(ctx: Context, seconds: float) -> int:
    effect("begin", ctx)
    await asyncio.sleep(seconds)
    effect("end", ctx)
    return 1


@app.job(kind="thread", max_rescues=1_000)
def in_thread(ctx: Context, seconds: float) -> int:
    effect("begin", ctx)
    time.sleep(seconds)
    effect("end", ctx)
    return 1


@app.job(kind="process", runtime="process", max_rescues=1_000, max_attempts=50)
def in_process(ctx: Context, seconds: float) -> int:
    effect("begin", ctx)
    time.sleep(seconds)
    effect("end", ctx)
    return 1


@app.job(kind="large")
async def large(size: int) -> str:
    return "x" * size


def main() -> int:
    logging.basicConfig(level=os.environ.get("LOG", "WARNING"), stream=sys.stderr)

    def make() -> Worker:
        return Worker(
            app,
            concurrency=int(os.environ.get("CONCURRENCY", "100")),
            threads=int(os.environ.get("THREADS", "8")),
            processes=int(os.environ.get("PROCESSES", "2")),
            lease=float(os.environ.get("LEASE", "2")),
            grace=float(os.environ.get("GRACE", "10")),
            supervised=is_supervised(),
        )

    return run_worker(make, app.close, until_idle="--until-idle" in sys.argv)


if __name__ == "__main__":
    # The handlers of child processes are found by this module's real name.
    from tests.worker import jobs

    sys.exit(jobs.main())
