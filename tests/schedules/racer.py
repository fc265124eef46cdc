"""A process that fires schedules: `python -m tests.schedules.racer URL NAMESPACE work|freeze`. It says `ready`.

`freeze` stops itself (SIGSTOP) after it has decided to fire and before it commits; woken, it says whether it won.
"""

import asyncio
import os
import signal
import sys
from typing import Any

from tests.waiting import until
from windlass.app import Windlass
from windlass.store import Store
from windlass.worker.firing import Firing


class Freezing:
    """The store of a worker that stands still at its first fire."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.answer: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def fire(self, *what: Any) -> Any:
        if self.answer is None:
            print("decided", flush=True)
            os.kill(os.getpid(), signal.SIGSTOP)
            answer = await self._store.fire(*what)
            self.answer = "lost" if answer is None else "won"
            return answer
        return await self._store.fire(*what)


async def main(url: str, namespace: str, what: str) -> None:
    app = Windlass(url, namespace=namespace)
    async with app:
        store = await app.store()
        print("ready", flush=True)
        if what == "work":
            await Firing(store, [], lambda: None).run()
        frozen = Freezing(store)
        firing = Firing(frozen, [], lambda: None)  # type: ignore[arg-type]
        await until(lambda: _fired(frozen, firing), "a time to become due", 60)
        print(frozen.answer, flush=True)


async def _fired(frozen: Freezing, firing: Firing) -> bool:
    await firing.step()
    return frozen.answer is not None


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
