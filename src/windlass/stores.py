"""The opened store of each event loop, made at first use; a fork starts anew."""

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Generator
from weakref import WeakKeyDictionary

from windlass.produce.producer import Observer, Producer
from windlass.produce.results import Uncommitted, Watcher
from windlass.store import Store, open_store


class Opened:
    """One loop's open store, with what enqueues through it and what waits for results. Closes with its loop at the latest."""

    def __init__(self, store: Store, observers: list[Observer], uncommitted: Uncommitted) -> None:
        self.store = store
        self.producer = Producer(store, observers)
        self.watcher = Watcher(store, uncommitted)
        self.users = 0
        self._life = self._live()

    async def begin(self) -> None:
        """From now on the end of the loop closes it."""
        await anext(self._life)

    async def close(self) -> None:
        """Let what was handed in be stored, and let go of the store."""
        await self._life.aclose()

    @contextlib.contextmanager
    def used(self) -> Generator[None]:
        """While the block lasts, the end of somebody's `async with app` (a handler's) does not close it."""
        self.users += 1
        try:
            yield
        finally:
            self.users -= 1

    async def _live(self) -> AsyncGenerator[None]:
        # A loop that ends in the orderly way (`asyncio.run`, `Runner`) closes its async generators while it still runs: the
        # only moment at which connections that nobody closed can be.
        try:
            yield
        finally:
            await self.producer.close()
            await self.watcher.close()
            await self.store.close()


class Stores:
    """All handles on one address. The first loop's handle is the original; other loops get siblings of it."""

    def __init__(self, url: str, namespace: str) -> None:
        self.url = url
        self.namespace = namespace
        self.observers: list[Observer] = []
        self.uncommitted = Uncommitted()
        self.takes_any_connection = False
        """A sandbox has no database that a connection could lead to: what is enqueued on one is stored at once."""
        self._pid = os.getpid()
        self._origin: Store | None = None
        self._opened: WeakKeyDictionary[asyncio.AbstractEventLoop, Opened] = WeakKeyDictionary()
        self._opening: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
        self._of_the_parent: object = None

    async def here(self) -> Opened:
        """The running loop's handle, opened if it is not; raises `StoreError`, `SettingsError`."""
        if self._pid != os.getpid():
            self._start_anew()
        loop = asyncio.get_running_loop()
        opened = self._opened.get(loop)
        if opened is not None:
            return opened
        async with self._opening.setdefault(loop, asyncio.Lock()):
            opened = self._opened.get(loop)
            if opened is None:
                store = self.sibling()
                await store.open()
                self._forget_closed()
                opened = Opened(store, self.observers, self.uncommitted)
                await opened.begin()
                self._opened[loop] = opened
        return opened

    def sibling(self) -> Store:
        """An unopened handle of its own, for another thread."""
        if self._pid != os.getpid():
            self._start_anew()
        if self._origin is None:
            self._origin = open_store(self.url, self.namespace)
        return self._origin.sibling()

    async def close(self) -> None:
        """Close the running loop's handle, if it has one."""
        opened = self._opened.pop(asyncio.get_running_loop(), None)
        if opened is not None:
            await opened.close()

    def _forget_closed(self) -> None:
        """Handles hold their loop, so one that ended without closing its handle would stay for ever."""
        for loop in [loop for loop in self._opened if loop.is_closed()]:
            del self._opened[loop]

    def _start_anew(self) -> None:
        """In a forked child: connections and loops of the parent must not be touched, not even to close them."""
        self._pid = os.getpid()
        self._of_the_parent = (self._origin, self._opened, self._of_the_parent)
        self._origin = None
        self._opened = WeakKeyDictionary()
        self._opening = WeakKeyDictionary()
