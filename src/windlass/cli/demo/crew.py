"""The demo's workers: real `windlass worker` processes, one of which is killed."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from windlass.store.protocol import Store
from windlass.values.query import Where
from windlass.values.states import State
from windlass.worker.process import SUPERVISOR

LEASE = "2s"


class Killed(NamedTuple):
    """The worker that was killed, and the jobs that it held."""

    worker: str
    pid: int
    held: list[str]


class Crew:
    """Workers of one app. `command`: what follows `windlass worker`; `environment`: what they see, beside the tie to us."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._command = [sys.executable, "-m", "windlass", "worker", *command, "--lease", LEASE, "--grace", "5s"]
        self._command += ["--log-level", "error"]
        self._environment = {**environment, SUPERVISOR: str(os.getpid())}
        self._workers: list[asyncio.subprocess.Process] = []
        self._killed: set[int] = set()

    async def hire(self, count: int = 1) -> None:
        """Start so many workers more."""
        for _ in range(count):
            worker = await asyncio.create_subprocess_exec(
                *self._command, stdout=asyncio.subprocess.DEVNULL, env=self._environment
            )
            self._workers.append(worker)

    async def kill_holder(self, store: Store, job: str, *, alone: bool = False) -> Killed | None:
        """Kill the worker that runs this job, with -9; None if the job has ended meanwhile, or is not `alone` there. The worker
        is stopped first, so that the list of what it held is exact."""
        (held,) = (await store.jobs(Where(ids=(job,)), None, 1)).items
        info = next((info for info in await store.workers() if info.id == held.worker), None)
        process = next((each for each in self._workers if info is not None and each.pid == info.pid), None)
        if info is None or process is None:
            return None
        os.kill(info.pid, signal.SIGSTOP)
        page = await store.jobs(Where(states=(State.ACTIVE,)), None, 1_000)
        mine = [each.id for each in page.items if each.worker == info.id]
        if job not in mine or (alone and len(mine) > 1):
            os.kill(info.pid, signal.SIGCONT)
            return None
        self._killed.add(info.pid)
        process.kill()
        await process.wait()
        return Killed(info.id, info.pid, mine)

    def check_alive(self) -> None:
        """Raises `RuntimeError` if a worker has gone that nobody killed."""
        for worker in self._workers:
            if worker.returncode is not None and worker.pid not in self._killed:
                raise RuntimeError(f"a worker of the demo ended by itself with code {worker.returncode}")

    async def dismiss(self) -> None:
        """End them all."""
        await asyncio.gather(*(_dismiss(worker) for worker in self._workers))


async def _dismiss(worker: asyncio.subprocess.Process) -> None:
    if worker.returncode is None:
        with suppress(ProcessLookupError):
            worker.terminate()
        try:
            async with asyncio.timeout(10):
                await worker.wait()
        except TimeoutError:
            worker.kill()
            await worker.wait()
