"""Small records by key that all workers share, with compare-and-set: for what handlers have to remember beside their jobs."""

from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

from windlass.errors import InvalidOption
from windlass.store.protocol import Store
from windlass.values.clock import Duration, micros
from windlass.values.codec import encode
from windlass.values.query import Swap
from windlass.values.queue import check_name

_SPACE = "app."
_LIMIT = 1 << 16
_LONGEST_KEY = 300


class App(Protocol):
    """What has the store."""

    async def store(self) -> Store: ...


class Kept(msgspec.Struct, frozen=True):
    """A record. `version`: what `put(expect=)` compares."""

    key: str
    value: Any
    version: int


class Keyed:
    """Records of one name: `Keyed(app, "tokens")`. Values are JSON of up to 64 KiB; `list` reads them all."""

    def __init__(self, app: App, name: str) -> None:
        self._app = app
        self._space = _SPACE + check_name(name, "name")

    async def get(self, key: str) -> Kept | None:
        """One record, or None."""
        found = await self.get_many([key])
        return found.get(key)

    async def get_many(self, keys: Iterable[str]) -> dict[str, Kept]:
        """Those of the records that there are."""
        wanted = [_checked(key) for key in keys]
        store = await self._app.store()
        records = await store.records(self._space, wanted) if wanted else []
        return {r.key: Kept(r.key, msgspec.json.decode(r.text), r.version) for r in records if r.text is not None}

    async def list(self) -> list[Kept]:
        """All of them, by key."""
        records = await (await self._app.store()).records(self._space)
        return [Kept(r.key, msgspec.json.decode(r.text), r.version) for r in records if r.text is not None]

    async def put(self, key: str, value: Any, *, expect: int | None = None, ttl: Duration | None = None) -> Kept | None:
        """Write a record. `expect`: only over that version (0: only if there is none), else nothing happens and the answer is
        None. `ttl`: how long it stays."""
        text = encode(value, "value", _LIMIT, "a record")
        life = None if ttl is None else micros(ttl, "ttl", minimum=0.001)
        swap = Swap(space=self._space, key=_checked(key), text=text, expect=expect, ttl=life)
        (record,) = await (await self._app.store()).exchange([swap])
        return Kept(key, value, record.version) if record.swapped else None

    async def delete(self, *keys: str) -> None:
        """Remove records."""
        swaps = [Swap(space=self._space, key=_checked(key), text=None) for key in keys]
        if swaps:
            await (await self._app.store()).exchange(swaps)


def _checked(key: str) -> str:
    if 0 < len(key) <= _LONGEST_KEY and key.isprintable():
        return key
    raise InvalidOption(
        f"the key is {key[:100]!r}; it must be 1 to {_LONGEST_KEY} printable characters",
        field="key",
        value=key[:100],
        limit=f"1..{_LONGEST_KEY} characters",
        mend="make a hash of what is longer",
    )


__all__ = ["Kept", "Keyed"]
