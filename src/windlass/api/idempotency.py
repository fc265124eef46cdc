"""`Idempotency-Key`: the first request with a key is carried out, later ones get its answer. Kept among the store's records.

The record also names the id that the request's job gets. A process that dies between storing the job and keeping the answer
leaves the id behind, so whoever repeats the request stores the same job, which stores know not to make twice.
"""

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256

import msgspec

from windlass.api.caller import Caller
from windlass.api.problems import Problem
from windlass.produce.ids import new_id
from windlass.store.protocol import Store
from windlass.values.clock import SECOND
from windlass.values.query import Swap

SPACE = "api-idempotency"
KEPT = 24 * 3_600
"""Seconds for which an answer is kept."""

_UNDER_WAY = 60.0
"""Seconds after which a request that has not ended is taken to have died with its process."""
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class Remembered(msgspec.Struct, frozen=True, omit_defaults=True):
    """A request under a key. `until`: when another may carry it out instead. `status` 0: it has no answer yet."""

    fingerprint: str
    seed: str
    until: float
    status: int = 0
    headers: Mapping[str, str] = {}
    body: str = ""


class Begun(msgspec.Struct, frozen=True):
    """A request that is ours to carry out, and where it is remembered."""

    place: str
    version: int
    entry: Remembered


_READ = msgspec.json.Decoder(Remembered)


class Idempotency:
    """Remembers requests by caller, route and key."""

    def __init__(self, store: Callable[[], Awaitable[Store]]) -> None:
        self._store = store

    async def begin(self, caller: Caller, target: str, key: str, body: bytes) -> Begun | Remembered:
        """Take the request on, or get the answer it had; a `Problem` if the key is another's or the request is under way."""
        if not _KEY.fullmatch(key):
            raise Problem(400, "invalid-idempotency-key", "Idempotency-Key must be 1 to 255 visible ASCII characters")
        place = sha256("\n".join((caller.identity, target, key)).encode()).hexdigest()
        fingerprint = sha256(body).hexdigest()
        entry = Remembered(fingerprint, new_id(), time.time() + _UNDER_WAY)
        version, known = await self._swap(place, entry, 0)
        if known is None:
            return Begun(place, version, entry)
        if known.fingerprint != fingerprint:
            raise Problem(422, "idempotency-key-reused", "this Idempotency-Key was used for another request")
        if known.status:
            return known
        if known.until <= time.time():
            again = Remembered(fingerprint, known.seed, entry.until)
            version, other = await self._swap(place, again, version)
            if other is None:
                return Begun(place, version, again)
        raise Problem(
            409, "request-under-way", "a request with this Idempotency-Key is under way", headers={"Retry-After": "1"}
        )

    async def keep(self, begun: Begun, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Remember the answer."""
        entry = begun.entry
        answer = Remembered(entry.fingerprint, entry.seed, entry.until, status, headers, body.decode())
        await self._swap(begun.place, answer, begun.version)

    async def forget(self, begun: Begun) -> None:
        """The request was refused and has done nothing: the key is free."""
        await self._exchange(Swap(space=SPACE, key=begun.place, text=None, expect=begun.version))

    async def release(self, begun: Begun) -> None:
        """Nobody knows what the request has done: the next one finds out, under the same id."""
        entry = begun.entry
        await self._swap(begun.place, Remembered(entry.fingerprint, entry.seed, 0.0), begun.version)

    async def _swap(self, place: str, entry: Remembered, expect: int) -> tuple[int, Remembered | None]:
        """The version, and what is there instead if the expectation failed."""
        text = msgspec.json.encode(entry).decode()
        version, there = await self._exchange(Swap(space=SPACE, key=place, text=text, expect=expect, ttl=KEPT * SECOND))
        return version, None if there is None else _READ.decode(there)

    async def _exchange(self, swap: Swap) -> tuple[int, str | None]:
        (record,) = await (await self._store()).exchange([swap])
        return record.version, None if record.swapped else record.text
