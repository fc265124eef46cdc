"""Wake-ups: NOTIFY after the commit, at most one per topic and 5 ms, and LISTEN on a connection of its own."""

import asyncio
import contextlib
from collections.abc import Callable, Collection
from typing import Any

import asyncpg

from windlass.errors import StoreError
from windlass.store.postgres.address import Address
from windlass.store.postgres.connection import Connection, connect

TOPICS = ("ready", "done", "cancel")
APART = 0.005
POLL = 0.5
"""Without a listening connection (pooler, server away) everybody is woken this often: lossy, never deaf."""
LONGEST_PAUSE = 5.0
LET_GO = 0.1
_LOST = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, StoreError)


def channel(schema: str, topic: str) -> str:
    return f"{schema}:{topic}"


class Bell:
    """Rings for others and listens for them. Local listeners are woken directly, without the server."""

    def __init__(self, address: Address, schema: str) -> None:
        self._address = address
        self._schema = schema
        self._wakes: dict[str, list[Callable[[], None]]] = {topic: [] for topic in TOPICS}
        self._rung: set[str] = set()
        self._heard: set[str] = set()
        self._connection: Connection | None = None
        # One user of the connection at a time: asyncpg refuses a second operation while one runs.
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._ringer: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None

    # ring

    def ring(self, *topics: str) -> None:
        """Something of these topics was committed. Cheap: a flag; one task sends what was flagged."""
        for topic in topics:
            for wake in self._wakes[topic]:
                wake()
        self._rung.update(topics)
        if self._ringer is None:
            self._ringer = asyncio.get_running_loop().create_task(self._send(), name="windlass notify")

    async def _send(self) -> None:
        try:
            while self._rung:
                topics, self._rung = self._rung, set()
                # A notification that is lost with its connection is made good by the listeners' polls.
                with contextlib.suppress(*_LOST):
                    async with self._turn:
                        connection = await self._open()
                        for topic in topics:
                            await connection.execute("SELECT pg_notify($1, '')", channel(self._schema, topic))
                await asyncio.sleep(APART)
        finally:
            self._ringer = None

    # listen

    def listen(self, topics: Collection[str], wake: Callable[[], None]) -> Callable[[], None]:
        for topic in topics:
            self._wakes[topic].append(wake)
        if self._keeper is None:
            self._keeper = asyncio.get_running_loop().create_task(self._keep(), name="windlass listen")
        elif not self._heard.issuperset(topics):
            self._changed.set()

        def stop() -> None:
            for topic in topics:
                with contextlib.suppress(ValueError):
                    self._wakes[topic].remove(wake)

        return stop

    async def _keep(self) -> None:
        """Keeps listening: connects, listens, and when the connection is gone wakes everybody and begins again."""
        pause = 0.1
        while True:
            try:
                if self._address.pooler:
                    await asyncio.sleep(POLL)
                    self._wake_all()
                    continue
                connection = await self._listen()
                pause = 0.1
                # What was committed before LISTEN took effect told nobody.
                self._wake_all()
                while not connection.is_closed():
                    await self._changed.wait()
                    self._changed.clear()
                    if not connection.is_closed():
                        connection = await self._listen()
            except _LOST:
                pass  # connected again below, after a pause
            self._heard.clear()
            self._wake_all()
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _listen(self) -> Connection:
        async with self._turn:
            connection = await self._open()
            for topic, wakes in self._wakes.items():
                if wakes and topic not in self._heard:
                    await connection.add_listener(channel(self._schema, topic), self._hear)
                    self._heard.add(topic)
            return connection

    def _hear(self, connection: Any, pid: int, name: str, payload: object) -> None:
        # Our own notifications have woken our listeners already, before they were sent.
        if pid == connection.get_server_pid():
            return
        for wake in self._wakes.get(name.removeprefix(f"{self._schema}:"), ()):
            wake()

    def _wake_all(self) -> None:
        for wakes in self._wakes.values():
            for wake in wakes:
                wake()

    # inside

    async def _open(self) -> Connection:
        """The bell's own connection. A NOTIFY commits a transaction: it need not wait for the disk."""
        if self._connection is None or self._connection.is_closed():
            self._heard.clear()
            self._connection = await connect(self._address, synchronous_commit="off")
            self._connection.add_termination_listener(self._gone)
        return self._connection

    def _gone(self, _: Any) -> None:
        self._changed.set()

    async def close(self) -> None:
        """Sends what was rung, so that a producer that leaves at once has still told."""
        if self._ringer is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._ringer), 1.0)
        tasks = {task for task in (self._ringer, self._keeper) if task is not None}
        # A driver may swallow a cancellation while it connects; a task that went on would listen for ever.
        while tasks:
            for task in tasks:
                task.cancel()
            _, tasks = await asyncio.wait(tasks, timeout=LET_GO)
        if self._connection is not None:
            self._connection.terminate()
