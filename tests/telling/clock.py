"""An open app whose store's clock stands still until it is moved."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from windlass import Windlass
from windlass.values.clock import SECOND, Micros


class Held:
    """The app, and the hands of the clock."""

    def __init__(self, app: Windlass, now: Micros) -> None:
        self.app = app
        self.now = now

    async def advance(self, by: timedelta) -> None:
        self.now += round(by.total_seconds() * SECOND)
        await (await self.app.store()).hold_time(self.now)

    async def drain(self) -> int:
        return await self.app.drain()


@asynccontextmanager
async def held(app: Windlass) -> AsyncIterator[Held]:
    async with app:
        store = await app.store()
        now = await store.now()
        await store.hold_time(now)
        try:
            yield Held(app, now)
        finally:
            await store.hold_time(None)
