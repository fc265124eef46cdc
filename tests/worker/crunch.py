"""Process-runtime handlers of the tests, importable by child processes."""

import logging
import os
import signal
import time
from pathlib import Path

from windlass.app import Windlass
from windlass.context import Context
from windlass.outcome import Fail

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
