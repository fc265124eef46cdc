"""The worker processes of a run, what is done to them, and the faults' own lines in the history."""

import asyncio
import contextlib
import itertools
import signal
import sys
from pathlib import Path

from tests.crash.history import Fault, Recorder, now
from tests.worker.crew import ROOT, Crew, Process
from windlass.app import Windlass


class Team(Crew):
    """A crew of `tests.crash.program`; each process writes its log into a file of its own."""

    def __init__(self, app: Windlass, folder: Path, record: Recorder, lease: float) -> None:
        super().__init__(app, folder, HISTORY=folder / "history.jsonl", LEASE=lease)
        self.folder = folder
        self.record = record
        self.stopped: set[Process] = set()
        self._over: set[Process] = set()
        self._numbers = itertools.count(1)
        self._logs: dict[Process, Path] = {}

    @property
    def alive(self) -> list[Process]:
        """Those that run and are not standing still."""
        return [one for one in self.processes if one.returncode is None and one not in self.stopped]

    async def start(self, *arguments: str, **environment: object) -> Process:
        path = self.folder / f"worker-{next(self._numbers)}.log"
        with path.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "tests.crash.program", *arguments),
                env={**self.environment, **{name: str(value) for name, value in environment.items()}},
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        self._logs[process] = path
        return process

    async def strike(self, process: Process) -> None:
        """kill -9, told in the history."""
        sent = now()
        await self.kill(process)
        self._over.add(process)
        self.stopped.discard(process)
        self.record(Fault(sent, "kill", now(), process.pid))

    def bury(self) -> list[Process]:
        """Those that ended by themselves and were not told of before."""
        fallen = [one for one in self.processes if one.returncode is not None and one not in self._over]
        for one in fallen:
            self._over.add(one)
            last = self._logs[one].read_text("utf-8", "replace").strip().rpartition("\n")[2]
            self.record(Fault(now(), "exit", now(), one.pid, f"{one.returncode}: {last}"[:300]))
        return fallen

    async def freeze(self, process: Process, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after `seconds`."""
        sent = now()
        process.send_signal(signal.SIGSTOP)
        self.stopped.add(process)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.stopped.discard(process)
            self.record(Fault(sent, "stop", now(), process.pid))
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)

    async def dismiss(self) -> list[int]:
        """SIGTERM to all; their exit codes."""
        leaving = [process for process in self.processes if process.returncode is None]
        for process in leaving:
            process.terminate()
        return [await process.wait() for process in leaving]

    def logs(self) -> str:
        """What the workers logged, for a failed test."""
        files = sorted(self.folder.glob("worker-*.log"))
        return "\n".join(f"--- {file.name}\n{file.read_text('utf-8', 'replace')[-3000:]}" for file in files)
