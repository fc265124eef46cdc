"""Handlers of a child process that take memory and time, importable by it."""

import os
import signal

from windlass import Context, Price, Windlass

app = Windlass("sqlite://:memory:")


@app.job(runtime="process", price=Price(gb_second="1"))
def takes(ctx: Context, megabytes: int) -> int:
    ctx.cost("0.25")
    block = bytearray(megabytes << 20)
    return sum(range(400_000)) + len(block)


@app.job(runtime="process", max_attempts=1, price=Price(base="0.01"))
def dies(ctx: Context) -> None:
    ctx.cost("0.5")
    os.kill(os.getpid(), signal.SIGKILL)
