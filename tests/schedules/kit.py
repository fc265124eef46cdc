"""What schedule tests share: a store's clock that stands, and looking at its schedules."""

import asyncio

from tests.store.kit import T0
from tests.waiting import until
from windlass.app import Windlass


async def hold(app: Windlass, at: int = T0) -> None:
    """The store's clock stands at `at` for every connection: one that was idle may say the old time once."""
    store = await app.store()
    await store.hold_time(at)

    async def everywhere() -> bool:
        return set(await asyncio.gather(*(store.now() for _ in range(20)))) == {at}

    await until(everywhere, "every connection to see the clock held")
