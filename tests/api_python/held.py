"""An app on its own engine whose store's clock stands, and moves when a test says so."""

import contextlib
from collections.abc import AsyncGenerator
from datetime import datetime

from windlass import Windlass
from windlass.values.clock import Duration, micros, moment


class Box:
    """The app's clock."""

    def __init__(self, app: Windlass) -> None:
        self._app = app

    async def now(self) -> datetime:
        return moment(await (await self._app.store()).now())

    async def drain(self) -> int:
        """Run what may run now; how many ran."""
        return await self._app.drain()

    async def advance(self, duration: Duration) -> int:
        """Let so much time pass at once, and run what may run then."""
        store = await self._app.store()
        await store.hold_time(await store.now() + micros(duration))
        return await self.drain()


@contextlib.asynccontextmanager
async def held(app: Windlass) -> AsyncGenerator[Box]:
    async with app:
        store = await app.store()
        await store.hold_time(await store.now())
        try:
            yield Box(app)
        finally:
            await store.hold_time(None)
