"""Running the real command in a process of its own, on a pipe or on a terminal of 80 columns."""

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = (sys.executable, "-m", "windlass")

SHOP = '''
"""An app as users write it."""

import asyncio
from pathlib import Path

from windlass import Context, Fail, Windlass

app = Windlass(URL, namespace=NAMESPACE)


@app.job
def add(a: int, b: int = 2) -> int:
    return a + b


@app.job(queue="mail")
async def send(ctx: Context, to: str) -> None:
    await ctx.log(f"to {to}")
    raise Fail(f"nobody is called {to}")


@app.job(queue="mail")
async def greet(name: str) -> dict[str, str]:
    return {"hello": name}


@app.job(queue="slow")
async def wait(file: str) -> str:
    while not Path(file).exists():
        await asyncio.sleep(0.01)
    return "it came"
'''


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


def _hear_interrupts() -> None:
    """A shell's background jobs ignore SIGINT, and what they start inherits that; a test run may be such a job."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Shell:
    """A folder with `shop.py` in it, in which commands are run."""

    def __init__(self, folder: Path, url: str = "sqlite:///shop.db", namespace: str = "windlass") -> None:
        self.folder = folder
        (folder / "shop.py").write_text(SHOP.replace("URL", repr(url)).replace("NAMESPACE", repr(namespace)))
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("WINDLASS_", "REDIS_"))}
        self.environment = {**kept, "COLUMNS": "80", "PYTHONUNBUFFERED": "1"}
        self.environment.pop("NO_COLOR", None)

    def run(self, *words: str, stdin: str = "", **environment: str) -> Answer:
        done = subprocess.run(
            [*COMMAND, *words],
            cwd=self.folder,
            env=self.environment | environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def ok(self, *words: str, stdin: str = "", **environment: str) -> Answer:
        """The same, and it must succeed."""
        answer = self.run(*words, stdin=stdin, **environment)
        assert answer.code == 0, f"{words}: {answer}"
        return answer

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, *words],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_hear_interrupts,
        )

    def on_terminal(self, *words: str, **environment: str) -> str:
        """What a command shows on a terminal of 80 columns, escapes included."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        settings = {"TERM": "xterm-256color", **environment}
        with subprocess.Popen(
            [*COMMAND, *words],
            cwd=self.folder,
            env=self.environment | settings,
            stdin=slave,
            stdout=slave,
            stderr=slave,
        ) as process:
            os.close(slave)
            shown = _read_all(master)
            process.wait(timeout=60)
        os.close(master)
        return shown


def _read_all(master: int) -> str:
    shown = b""
    while True:
        try:
            block = os.read(master, 65_536)
        except OSError:  # how Linux says that the last writer has gone
            block = b""
        if not block:
            return shown.decode()
        shown += block
