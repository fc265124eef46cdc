"""What all handles of one database in this process share: its clock, its listeners, its checkpoints."""

import asyncio
import os
import threading
from collections.abc import Callable, Collection
from typing import Any

from windlass.errors import StoreUnavailable
from windlass.store.sqlite.address import Address
from windlass.store.sqlite.checkpoint import Checkpointer
from windlass.store.sqlite.connection import Connection, connect
from windlass.store.sqlite.line import Line
from windlass.values.clock import Micros, host_now


class Listener:
    """Somebody who wants to hear of commits; `call` may come from any thread, calls that overlap are one."""

    def __init__(self, topics: Collection[str], wake: Callable[[], None], loop: asyncio.AbstractEventLoop) -> None:
        self.topics = frozenset(topics)
        self._wake = wake
        self._loop = loop
        self._thread = threading.get_ident()
        self._called = False
        self._stopped = False

    def call(self) -> None:
        if self._called or self._stopped:
            return
        self._called = True
        if threading.get_ident() == self._thread:
            self._loop.call_soon(self._run)
            return
        try:
            self._loop.call_soon_threadsafe(self._run)
        except RuntimeError:  # that loop is closed; its owner forgot to stop listening
            self._stopped = True

    def stop(self) -> None:
        self._stopped = True

    def _run(self) -> None:
        self._called = False
        if not self._stopped:
            self._wake()


class Database:
    """Found by its file's real path, so that handles which name it differently share it; memory databases by themselves."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.pid = os.getpid()
        self.held: Micros | None = None
        self.lock = threading.Lock()
        """Guards the one connection of a memory database."""
        self.line = Line()
        self.memory: Connection | None = None
        self.checkpointer: Checkpointer | None = None
        self._listeners: tuple[Listener, ...] = ()
        self._handles = 0
        self._guard = threading.Lock()

    def now(self) -> Micros:
        return host_now() if self.held is None else self.held

    def enter(self) -> None:
        """A handle opens."""
        with self._guard:
            self._handles += 1
            if self.address.path is None:
                self.memory = self.memory or connect(self.address)
            elif self.checkpointer is None:
                self.checkpointer = Checkpointer(self.address, self.line)

    def leave(self) -> None:
        """A handle has closed. A memory database lives on for its siblings, until nobody refers to it."""
        with self._guard:
            self._handles -= 1
            checkpointer = self.checkpointer if self._handles == 0 else None
            if checkpointer is not None:
                self.checkpointer = None
        if checkpointer is not None:
            checkpointer.close()

    @property
    def in_use(self) -> bool:
        return self._handles > 0

    def listen(self, listener: Listener) -> Callable[[], None]:
        with self._guard:
            self._listeners = (*self._listeners, listener)

        def stop() -> None:
            listener.stop()
            with self._guard:
                self._listeners = tuple(each for each in self._listeners if each is not listener)

        return stop

    def wake(self, topics: Collection[str]) -> None:
        for listener in self._listeners:
            if not listener.topics.isdisjoint(topics):
                listener.call()


_known: dict[str, Database] = {}
_known_guard = threading.Lock()


def database(address: Address) -> Database:
    """The shared part of the database at `address`; a new one for each database in memory."""
    if address.path is None:
        return Database(address)
    real = os.path.realpath(address.path)
    with _known_guard:
        found = _known.get(real)
        if found is not None and found.pid != os.getpid():
            if found.in_use:
                # A POSIX lock belongs to a process, yet the library's account of locks was copied by the fork: a
                # connection opened here would believe in locks that only the parent has.
                raise forked(address.path)
            found = None
        if found is None:
            found = _known[real] = Database(address)
        return found


def forked(path: Any) -> StoreUnavailable:
    return StoreUnavailable(
        f"{path} was opened before this process was forked; SQLite connections do not survive a fork",
        url=str(path),
        mend="open the store in the child only, or start children with the spawn method",
    )
