"""The benchmark's worker processes."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from windlass.cli.bench.place import Place
from windlass.store.protocol import Store
from windlass.worker.process import SUPERVISOR


@asynccontextmanager
async def crew(store: Store, place: Place, count: int) -> AsyncGenerator[None, None]:
    """`count` worker processes, each known to the store when the block begins, all gone when it ends."""
    workers = [await _start(place) for _ in range(count)]
    try:
        while len(await store.workers()) < count:
            for worker in workers:
                if worker.returncode is not None:
                    raise RuntimeError(f"a worker of the benchmark ended by itself with code {worker.returncode}")
            await asyncio.sleep(0.02)
        yield
    finally:
        await asyncio.gather(*(_stop(worker) for worker in workers))


async def _start(place: Place) -> asyncio.subprocess.Process:
    """A worker that also leaves when this process dies."""
    own = {"WINDLASS_URL": place.url, "WINDLASS_NAMESPACE": place.namespace, SUPERVISOR: str(os.getpid())}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "windlass", "worker", "-A", "windlass.cli.bench.jobs:app"),
        *("-q", "bench", "--log-level", "warning"),
        stdout=asyncio.subprocess.DEVNULL,
        env={name: value for name, value in os.environ.items() if not name.startswith("WINDLASS_")} | own,
    )


async def _stop(worker: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        worker.terminate()
    try:
        async with asyncio.timeout(15):
            await worker.wait()
    except TimeoutError:
        worker.kill()
        await worker.wait()
