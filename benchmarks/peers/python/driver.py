"""Runs one verb of one adapter and prints what it measured as JSON: `driver ADAPTER VERB [NUMBERS...]`."""

import asyncio
import contextlib
import importlib
import inspect
import json
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

from benchmarks.peers.python.job import payload

CHUNK = 1000
LANES = 100

try:
    import uvloop
except ImportError:
    pass
else:
    uvloop.install()


class Driver:
    def __init__(self, adapter: str) -> None:
        self.adapter = importlib.import_module(f"benchmarks.peers.python.{adapter}")

    async def call(self, name: str, *arguments: Any) -> Any:
        answer = getattr(self.adapter, name)(*arguments)
        return await answer if inspect.isawaitable(answer) else answer

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[Any]:
        manager = self.adapter.connect()
        if hasattr(manager, "__aenter__"):
            async with manager as handle:
                yield handle
        else:
            with manager as handle:
                yield handle

    async def prepare(self) -> None:
        if hasattr(self.adapter, "prepare"):
            await self.call("prepare")

    async def enqueue(self, first: int, count: int, budget: float) -> dict[str, float]:
        """One after the other, until all are in or the budget (seconds) is spent."""
        async with self.connected() as handle:
            begun = time.perf_counter()
            for number in range(first, first + count):
                await self.call("enqueue", handle, payload(number))
                if time.perf_counter() - begun > budget:
                    count = number + 1 - first
                    break
            return {"count": count, "seconds": time.perf_counter() - begun}

    async def concurrent(self, first: int, count: int, budget: float) -> dict[str, float] | None:
        """A hundred coroutines of one producer, each awaiting its job before the next; nothing for blocking clients."""
        if not inspect.iscoroutinefunction(self.adapter.enqueue):
            return None
        numbers = iter(range(first, first + count))
        done = 0

        async def lane(handle: Any, begun: float) -> None:
            nonlocal done
            while time.perf_counter() - begun < budget and (number := next(numbers, None)) is not None:
                await self.adapter.enqueue(handle, payload(number))
                done += 1

        async with self.connected() as handle:
            begun = time.perf_counter()
            await asyncio.gather(*(lane(handle, begun) for _ in range(LANES)))
            return {"count": done, "seconds": time.perf_counter() - begun}

    async def bulk(self, first: int, count: int, budget: float) -> dict[str, float]:
        """In chunks, until all are in or the budget (seconds) is spent. Making the dicts is not counted."""
        async with self.connected() as handle:
            spent, done = 0.0, 0
            while done < count and spent < budget:
                batch = [payload(first + number) for number in range(done, min(done + CHUNK, count))]
                begun = time.perf_counter()
                await self.call("enqueue_bulk", handle, batch)
                spent += time.perf_counter() - begun
                done += len(batch)
            return {"count": done, "seconds": spent}

    async def paced(self, first: int, count: int, gap: float) -> list[int]:
        """One job every `gap` seconds; answers the clock just before each was enqueued."""
        begun: list[int] = []
        async with self.connected() as handle:
            for number in range(first, first + count):
                await asyncio.sleep(gap)
                begun.append(time.monotonic_ns())
                await self.call("enqueue", handle, payload(number))
        return begun


def main(adapter: str, verb: str, *numbers: str) -> None:
    driver = Driver(adapter)
    if verb == "work":
        answer = driver.adapter.work(int(numbers[0]))
        if inspect.iscoroutine(answer):
            asyncio.run(answer)
    else:
        print(json.dumps(asyncio.run(getattr(driver, verb)(*map(json.loads, numbers)))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
