"""Worker processes for tests: started with an environment, ended by pid, gone when the test is over."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from windlass.app import Windlass

ROOT = Path(__file__).parent.parent.parent
Process = asyncio.subprocess.Process


class Effect(NamedTuple):
    """One line of the effects file; `at` in seconds of the system's clock."""

    what: str
    job: str
    lease: int
    pid: int
    at: float


class Crew:
    """Worker processes on one store, and what their handlers did."""

    def __init__(self, app: Windlass, folder: Path, **environment: object) -> None:
        self.effects_file = folder / "effects"
        self.processes: list[Process] = []
        self.environment = {
            **os.environ,
            "WINDLASS_URL": app.url,
            "WINDLASS_NAMESPACE": app.namespace,
            "EFFECTS": str(self.effects_file),
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
            **{name: str(value) for name, value in environment.items()},
        }

    async def start(self, *arguments: str, **environment: object) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.worker.jobs", *arguments),
            env={**self.environment, **{name: str(value) for name, value in environment.items()}},
            cwd=ROOT,
            preexec_fn=hears_signals,
        )
        self.processes.append(process)
        return process

    async def kill(self, process: Process) -> None:
        """kill -9, and wait until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        await process.wait()

    def effects(self, what: str) -> list[Effect]:
        if not self.effects_file.exists():
            return []
        # Without what follows the last newline: a line that is being written while we read.
        rows = [line.split() for line in self.effects_file.read_text().split("\n")[:-1]]
        return [Effect(row[0], row[1], int(row[2]), int(row[3]), int(row[4]) / 1e6) for row in rows if row[0] == what]


def hears_signals() -> None:
    """A test run started in the background ignores these, and so would its children."""
    for each in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_DFL)


@asynccontextmanager
async def crew_of(app: Windlass, folder: Path, **environment: object) -> AsyncIterator[Crew]:
    """A crew whose processes do not outlive the block."""
    crew = Crew(app, folder, **environment)
    try:
        yield crew
    finally:
        for process in crew.processes:
            if process.returncode is None:
                await crew.kill(process)
