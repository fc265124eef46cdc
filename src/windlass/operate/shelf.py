"""A shelf: values of one type kept among the store's records, changed by compare-and-set."""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeAlias, TypeVar

import msgspec

from windlass.store.protocol import Store
from windlass.values.clock import Micros
from windlass.values.query import Record, Swap

T = TypeVar("T", bound=msgspec.Struct)
OpenStore: TypeAlias = Callable[[], Awaitable[Store]]


class Shelf(Generic[T]):
    """Values of `kind` in the space `space`, each under a key."""

    def __init__(self, store: OpenStore, space: str, kind: type[T]) -> None:
        self._store = store
        self._space = space
        self._read = msgspec.json.Decoder(kind)

    async def all(self) -> dict[str, T]:
        """Every value by its key."""
        records = await (await self._store()).records(self._space)
        return {record.key: self._read.decode(record.text) for record in records if record.text}

    async def get(self, key: str) -> T | None:
        """The value of a key."""
        record = await self._record(key)
        return None if record is None or record.text is None else self._read.decode(record.text)

    async def add(self, key: str, value: T, *, ttl: Micros | None = None) -> bool:
        """Keep a value under a key that has none; whether it had none."""
        return await self._swap(key, value, 0, ttl)

    async def put(self, key: str, value: T, *, ttl: Micros | None = None) -> None:
        """Keep a value, whatever was there."""
        await self._swap(key, value, None, ttl)

    async def change(self, key: str, change: Callable[[T], T | None]) -> T | None:
        """What `change` made of the value, which is kept; what it was if `change` gave None. None if there is no value. Called
        again if somebody else was faster."""
        while True:
            record = await self._record(key)
            if record is None or record.text is None:
                return None
            old = self._read.decode(record.text)
            new = change(old)
            if new is None:
                return old
            if await self._swap(key, new, record.version, None):
                return new

    async def drop(self, key: str) -> bool:
        """Forget a key; whether there was one."""
        found = await self._record(key) is not None
        await (await self._store()).exchange([Swap(space=self._space, key=key, text=None)])
        return found

    async def _record(self, key: str) -> Record | None:
        return next(iter(await (await self._store()).records(self._space, [key])), None)

    async def _swap(self, key: str, value: T, expect: int | None, ttl: Micros | None) -> bool:
        text = msgspec.json.encode(value).decode()
        swap = Swap(space=self._space, key=key, text=text, expect=expect, ttl=ttl)
        (answer,) = await (await self._store()).exchange([swap])
        return answer.swapped
