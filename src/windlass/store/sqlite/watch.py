"""Hearing of commits: at once from this process, within milliseconds from others."""

import asyncio
from collections.abc import Callable, Collection

from windlass.store.sqlite.database import Database, Listener
from windlass.store.sqlite.writer import Writer

POLL = 0.005
"""SQLite tells nobody about commits; its data version is asked this often while somebody listens (4 us each)."""


class Watch:
    """The listeners of one handle, and the one poller they share. Runs on the handle's loop."""

    def __init__(self, shared: Database, writer: Writer) -> None:
        self._shared = shared
        self._writer = writer
        self._stops: dict[Listener, Callable[[], None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._version: int | None = None

    def listen(self, topics: Collection[str], wake: Callable[[], None]) -> Callable[[], None]:
        loop = asyncio.get_running_loop()
        listener = Listener(topics, wake, loop)
        self._stops[listener] = self._shared.listen(listener)
        if self._timer is None and self._shared.memory is None:
            self._version = self._writer.data_version()
            self._timer = loop.call_later(POLL, self._poll, loop)

        def stop() -> None:
            found = self._stops.pop(listener, None)
            if found is not None:
                found()
            if not self._stops:
                self._rest()

        return stop

    def close(self) -> None:
        for stop in self._stops.values():
            stop()
        self._stops.clear()
        self._rest()

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _poll(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(POLL, self._poll, loop)
        version = self._writer.data_version()
        if version is not None and version != self._version:
            self._version = version
            for listener in tuple(self._stops):
                listener.call()
