"""A handle's connection: scripts by their SHA, errors translated, one subscriber for wake-ups."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any, NoReturn

from redis.exceptions import NoScriptError

from windlass.errors import StoreUnavailable
from windlass.store.redis.address import read_address, shut
from windlass.store.redis.faults import FAILURES, moved_away, translate
from windlass.store.redis.scripts import load_all, script

TOPICS = ("ready", "done", "cancel")
_FIRST_WAIT, _LONGEST_WAIT = 0.05, 2.0


class Link:
    """The client of one handle. `prefix` begins every key of the namespace: one hash tag, so one slot of a cluster."""

    def __init__(self, url: str, namespace: str) -> None:
        self.address = read_address(url)
        self.url = self.address.shown
        self.prefix = f"{{{namespace}}}:".encode()
        self._client: Any = None
        self.ends_free = False
        """Whether jobs waited for those that the last `finish` ended: the next ones are likely of the same graph."""
        self.stopped: dict[bytes, Any] = {}
        """Where commands by filter stopped, see finding.py."""
        self.ears = Ears(self)

    def open(self) -> None:
        if self._client is None:
            load_all()
            self._client = self.address.connect()

    async def close(self) -> None:
        client, self._client = self._client, None
        await self.ears.close()
        if client is not None:
            with contextlib.suppress(*FAILURES):  # a connection that is broken already is closed enough
                await shut(client)

    async def run(self, verb: str, *arguments: bytes | str | int) -> Any:
        """The reply of a verb's script. The text travels only when the server does not know it (once a server life)."""
        wanted = script(verb)
        try:
            return await self._ask("EVALSHA", wanted.sha, 1, self.prefix, *arguments)
        except NoScriptError:
            return await self._guarded("EVAL", wanted.text, 1, self.prefix, *arguments)
        except FAILURES as error:
            await self._fail(error)

    async def command(self, *words: bytes | str | int) -> Any:
        """A command that is no script and names no key (INFO, CONFIG GET): in a cluster asked of the namespace's node."""
        try:
            if hasattr(self._client, "get_node_from_key"):
                node = self._client.get_node_from_key(self.prefix.decode())
                return await self._client.execute_command(*words, target_nodes=node)
            return await self._ask(*words)
        except FAILURES as error:
            await self._fail(error)

    async def _guarded(self, *words: bytes | str | int) -> Any:
        try:
            return await self._ask(*words)
        except FAILURES as error:
            await self._fail(error)

    async def _ask(self, *words: bytes | str | int) -> Any:
        if self._client is None:
            raise StoreUnavailable(f"{self.url} is not open", url=self.url, mend="await store.open() first")
        return await self._client.execute_command(*words)

    async def _fail(self, error: BaseException) -> NoReturn:
        """Raise what the client raised in our words; a defect as it is."""
        if isinstance(error, StoreUnavailable):
            raise error
        if moved_away(error) and hasattr(self._client, "connection_pool"):
            with contextlib.suppress(*FAILURES):  # the next call asks anew where the master is
                await self._client.connection_pool.disconnect(inuse_connections=False)
        told = translate(error, self.url)
        if told is None:
            raise error
        raise told from error


class Ears:
    """Who wants to be woken by which topic, and the one subscription that hears for all of them."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._wakes: dict[int, tuple[frozenset[str], Callable[[], None]]] = {}
        self._numbers = 0
        self._task: asyncio.Task[None] | None = None

    def listen(self, topics: Collection[str], wake: Callable[[], None]) -> Callable[[], None]:
        self._numbers += 1
        number = self._numbers
        self._wakes[number] = (frozenset(topics), wake)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._hear(), name="windlass-redis-listen")

        def stop() -> None:
            self._wakes.pop(number, None)

        return stop

    async def close(self) -> None:
        self._wakes.clear()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _hear(self) -> None:
        """Subscribes again for ever, ever more slowly while the server is away."""
        wait = _FIRST_WAIT
        while True:
            try:
                async for topic in self._messages():
                    wait = _FIRST_WAIT
                    self._tell(topic)
            except FAILURES:
                pass  # the server went away: what it would have said is told as "anything may have happened"
            await asyncio.sleep(wait * random.uniform(0.8, 1.2))
            wait = min(wait * 2, _LONGEST_WAIT)

    async def _messages(self) -> AsyncIterator[str]:
        prefix = self._link.prefix + b"!"
        client = self._link.address.subscribe()
        try:
            subscriber = client.pubsub()
            await subscriber.subscribe(*(prefix + topic.encode() for topic in TOPICS))
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise asyncio.CancelledError  # the client now and then swallows it while it connects
            async for message in subscriber.listen():
                if message["type"] == "message":
                    yield message["channel"][len(prefix) :].decode()
                elif message["type"] == "subscribe":
                    yield message["channel"][len(prefix) :].decode()  # something may have happened until now
        finally:
            with contextlib.suppress(*FAILURES):
                await shut(client)

    def _tell(self, topic: str) -> None:
        for topics, wake in list(self._wakes.values()):
            if topic in topics:
                wake()
