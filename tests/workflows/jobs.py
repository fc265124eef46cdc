"""The app that worker processes of the workflow tests run; effects go into a file, as in `tests.worker.jobs`."""

import asyncio
import sys

from tests.worker import jobs as worker_jobs
from tests.worker.jobs import effect
from windlass.app import Windlass
from windlass.running.context import Context
from windlass.values.outcome import Fail, Retry

app: Windlass = worker_jobs.app


@app.job(kind="dag", max_rescues=1_000)
async def dag(ctx: Context, seconds: float, fails: str) -> str:
    """`fails`: never, once (a retry), always. Completed parents are read as any user's job would."""
    effect("begin", ctx)
    await asyncio.sleep(seconds)
    if fails == "once" and ctx.attempt == 1:
        raise Retry(after=0.01)
    if fails == "always":
        effect("fail", ctx)
        raise Fail("told to")
    assert all(value == "well" for value in ctx.parents.values())
    effect("end", ctx)
    return "well"


if __name__ == "__main__":
    sys.exit(worker_jobs.main())
