"""Process-runtime handlers of the tests, importable by child processes."""

import logging
import os
import signal
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from windlass.app import Windlass
from windlass.errors import SignalTimeout
from windlass.running.context import Context
from windlass.values.outcome import Fail
from windlass.values.retry import fixed

app = Windlass("sqlite://:memory:")


@app.job(runtime="process")
def square(n: int) -> int:
    return n * n


@app.job(runtime="process")
def where() -> int:
    return os.getpid()


@app.job(runtime="process")
def tells(ctx: Context) -> str:
    ctx.progress(40, "almost")
    ctx.log("logged", level="warning", part=1)
    print("printed")
    logging.getLogger("tests.crunch").error("recorded")
    (ctx.workdir / "scratch").write_text("x")
    return str(ctx.workdir)


@app.job(runtime="process", max_attempts=1)
def raises() -> None:
    raise ZeroDivisionError("by hand")


@app.job(runtime="process", max_attempts=1)
def gives_up() -> None:
    raise Fail("not today")


@app.job(runtime="process", max_attempts=2)
def exits(marker: str) -> str:
    """Ends its process with code 0 the first time."""
    if not Path(marker).exists():
        Path(marker).touch()
        os._exit(0)
    return "second time"


@app.job(runtime="process", max_attempts=1)
def crashes() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


@app.job(runtime="process", max_attempts=1, timeout=0.3)
def hangs(marker: str) -> None:
    try:
        time.sleep(3_600)
    finally:
        Path(marker).write_text("cleaned up")


@app.job(runtime="process", max_attempts=1, timeout=0.3)
def deaf(marker: str) -> None:
    """Ignores every request to stop."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    Path(marker).write_text(str(os.getpid()))
    while True:
        time.sleep(1)


@app.job(runtime="process")
def waits(marker: str, until: str) -> str:
    Path(marker).write_text(str(os.getpid()))
    while not Path(until).exists():
        time.sleep(0.005)
    return "went on"


@app.job(runtime="process")
def wrapped() -> str:
    return "handler"


@app.around_sync
def around(ctx, call):
    value = call()
    return f"around {value}" if ctx.job.kind == "wrapped" else value


@app.job(runtime="process", max_attempts=1)
def dies_before_its_fork(pid_file: str) -> None:
    """Is killed while a process that it forked lives on."""
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    Path(pid_file).write_text(str(pid))
    os.kill(os.getpid(), signal.SIGKILL)


@app.job(runtime="process")
def counts(ctx: Context, file: str, rows: int) -> Generator[int, None, int]:
    """Writes a row and yields; slowly until there is a file `hurry` beside it."""
    for row in range(ctx.cursor or 0, rows):
        with Path(file).open("a") as out:
            out.write(f"{row}\n")
        yield row + 1
        if not Path(file).with_name("hurry").exists():
            time.sleep(0.02)
    return rows


@app.job(runtime="process", max_attempts=2, backoff=fixed(0))
def durable(ctx: Context, file: str) -> list[Any]:
    def effect() -> str:
        with Path(file).open("a") as out:
            out.write("effect\n")
        return "one"

    one = ctx.sync.step("effect", effect)
    ctx.sync.sleep("20ms")
    data = ctx.sync.wait_for("go")
    try:
        ctx.sync.wait_for("never", timeout="10ms")
    except SignalTimeout:
        if ctx.attempt == 1:
            raise ConnectionError from None
    return [one, data, "timed out"]


@app.job(runtime="process", max_attempts=1)
def unfit_step(ctx: Context) -> None:
    ctx.sync.step("object", object)
