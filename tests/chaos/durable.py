"""The worker process of the step tests: it kills itself at a call to its store.

    python -m tests.chaos.durable

`QUEUE` names the queue it serves, `EFFECTS` the file of its handlers' effects. `KILL` is `verb:number:when`: at the call of
that number of `claim`, `steps`, `report`, ... that is about the job, `before` it is sent or `after` it was answered.
"""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

from tests.dying import die_at, serve
from windlass.app import Windlass
from windlass.running.chunk import Chunk
from windlass.running.context import Context
from windlass.store import open_store
from windlass.values.lease import Step

STEPS = ("reserve", "charge", "pack", "ship", "thank")
VERBS = ("heartbeat", "promote", "rescue", "claim", "steps", "report", "finish")

app = Windlass(os.environ.get("WINDLASS_URL", "sqlite://:memory:"), namespace=os.environ.get("WINDLASS_NAMESPACE"))


def effect(what: str, ctx: Context) -> str:
    line = f"{what} {ctx.id} {ctx.lease} {os.getpid()} 0\n"
    file = os.open(os.environ["EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)
    return f"{what} by lease {ctx.lease}"


async def effect_async(what: str, ctx: Context) -> str:
    await asyncio.sleep(0)
    return effect(what, ctx)


@app.job(kind="order", max_attempts=1, max_rescues=100)
async def order(ctx: Context) -> list[str]:
    done = [await ctx.step(name, effect_async, name, ctx) for name in STEPS[:3]]
    return [*done, *[await ctx.step(name, effect, name, ctx) for name in STEPS[3:]]]


@app.job(kind="order-in-thread", max_attempts=1, max_rescues=100)
def order_in_thread(ctx: Context) -> list[str]:
    return [ctx.sync.step(name, effect, name, ctx) for name in STEPS]


@app.job(kind="order-in-process", runtime="process", max_attempts=1, max_rescues=100)
def order_in_process(ctx: Context) -> list[str]:
    return [ctx.sync.step(name, effect, name, ctx) for name in STEPS]


@app.job(kind="approval", max_attempts=1, max_rescues=100)
async def approval(ctx: Context) -> list[Any]:
    """Five notes of steps, three of which have no effect of their own."""
    one = await ctx.step("reserve", effect_async, "reserve", ctx)
    await ctx.sleep("100ms")
    said = await ctx.wait_for("go", timeout="1h")
    return [one, said, await ctx.step("thank", effect, "thank", ctx)]


@app.job(kind="export", max_attempts=1, max_rescues=100)
async def export(ctx: Context, rows: int) -> AsyncIterator[int]:
    """One effect a row, twenty milliseconds each; the cursor is kept every 250 ms."""
    for row in range(ctx.cursor or 0, rows):
        effect(f"row-{row}", ctx)
        yield row + 1
        await asyncio.sleep(0.02)


@app.job(kind="push", max_attempts=1, max_rescues=100, chunk=10, chunk_wait="1s")
async def push(chunk: Chunk[int, int]) -> None:
    """Marks five and, the first time, waits to be killed."""
    for item in chunk:
        effect("push", item.ctx)
        if item.value < 5:
            item.done(item.value)
    if "KILL" in os.environ:
        await asyncio.sleep(3_600)
    chunk.done(-1)


def is_about_the_job(verb: str, given: tuple[Any, ...], answer: Any) -> bool:
    if verb == "claim":
        return bool(answer.jobs)
    if verb == "report":
        return any(isinstance(note, Step) and (note.value or note.done) for note in given[0])
    if verb == "finish":  # not the verdict on a job that another killed worker left behind
        return any(not end.rescued for end in given[0])
    return True


def main() -> int:
    logging.basicConfig(level="WARNING", stream=sys.stderr)
    if "KILL" in os.environ:
        die_at(type(open_store(app.url, app.namespace)), os.environ["KILL"], is_about_the_job)
    return serve(app, 3.0)


if __name__ == "__main__":
    # The handlers of child processes are found by this module's real name.
    from tests.chaos import durable

    sys.exit(durable.main())
