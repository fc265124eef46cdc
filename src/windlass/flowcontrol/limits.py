"""`app.limits`: look at limits, set them at run time, and ask how much of a rate is left."""

from datetime import datetime
from typing import Any, Protocol, TypeAlias, TypedDict

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from windlass.declare.bounds import Cap
from windlass.declare.handler import Handler
from windlass.declare.keys import key_of
from windlass.declare.rates import RateLike, read_most, read_rate, write_rate
from windlass.declare.refusal import refusal
from windlass.flowcontrol.capacity import Capacity
from windlass.flowcontrol.quota import Quotas, quota_key
from windlass.store.protocol import Store
from windlass.values.clock import Duration, Micros, micros, moment
from windlass.values.failure import is_text, safe_text
from windlass.values.limit import KIND, PROVIDER, QUEUE, LimitChange, LimitInfo, Take
from windlass.values.queue import check_name

LONGEST_KEY = 500
_MOST_LISTED = 10_000
_LONGEST_ACTOR = 200


class KeyLimit(msgspec.Struct, frozen=True, kw_only=True):
    """A key and how it stands. `rate` as it is written, such as `5/m`; `held`: jobs that run under it; `used`: what its window
    holds, or what is missing in its bucket. `opens_at`: when time lets a job start again, None if it does not hinder one;
    `shut_until`: until then nothing starts; `waiting`: some job waits because of it. `pinned`: an operator has set it, so code
    does not change it. Times are aware UTC."""

    key: str
    concurrency: int | None
    rate: str | None
    burst: int | None
    held: int
    used: int
    waiting: bool
    pinned: bool
    shut_until: datetime | None
    opens_at: datetime | None


class RateStatus(TypedDict):
    """How a rate stands: `count` used of `limit`, and when at least one more fits (now, if one does)."""

    count: int
    limit: int
    remaining: int
    reset_at: datetime


KeyLimits: TypeAlias = list[KeyLimit]  # beside a method called list, checkers lose the built-in one


class LimitsDoor(Protocol):
    """What is asked of the app."""

    quotas: Quotas
    capacity: Capacity

    async def store(self) -> Store: ...

    async def find_kind(self, name: str) -> Handler[..., Any]: ...


class Limits:
    """Keys are `queue:<name>`, `kind:<kind>`, and `<kind>:<name>=<value>` for what `Limit(by=...)` makes."""

    def __init__(self, door: LimitsDoor) -> None:
        self._door = door

    async def get(self, key: str) -> KeyLimit | None:
        """One key, or None if nothing is known of it."""
        found = await (await self._door.store()).limits([_key(key)])
        return read_limit_info(found[0]) if found else None

    async def list(self, *, limit: int = 1_000) -> KeyLimits:
        """The keys by name."""
        if not 1 <= limit <= _MOST_LISTED:
            raise refusal("limit", limit, f"1..{_MOST_LISTED}", "ask for fewer")
        return [read_limit_info(info) for info in await (await self._door.store()).limits(None, limit)]

    async def put(
        self,
        key: str,
        *,
        rate: RateLike | None = None,
        concurrency: int | None = None,
        burst: int | None = None,
        shut_for: Duration | None = None,
        pinned: bool = True,
        actor: str = "app",
    ) -> KeyLimit:
        """Set what a key allows: `rate` and `concurrency`, of which what is not given is lifted. It holds for every claim that
        begins afterwards, and (`pinned`) whatever code declares. `shut_for`: nothing of the key starts for so long; given
        alone it leaves the rest as it is."""
        if burst is not None and rate is None:
            raise refusal("burst", burst, "given with rate=", "leave it out")
        if rate is None and concurrency is None and shut_for is None:
            raise refusal("limit", key, "given rate=, concurrency= or shut_for=", "lift it with clear(key)")
        change = LimitChange(key=_key(key), shut_for=UNSET if shut_for is None else micros(shut_for, "shut_for"))
        if rate is not None or concurrency is not None:
            change = replace(
                change,
                concurrency=None if concurrency is None else read_most(concurrency, "concurrency", 1_000_000),
                rate=None if rate is None else read_rate(rate, "rate", burst),
                pinned=pinned,
            )
        store = await self._door.store()
        await store.put_limits([change], safe_text(actor, _LONGEST_ACTOR))
        found = await store.limits([key])
        return read_limit_info(found[0] if found else LimitInfo(key=key))

    async def clear(self, key: str, *, actor: str = "app") -> bool:
        """Forget what was set: the key is as this app's code declares it, or free. False if nothing was known of it.

        A key that jobs name comes back with the next of them, as their code declares it."""
        store = await self._door.store()
        known = bool(await store.limits([_key(key)]))
        cap = self._door.capacity.caps.get(key)
        if cap is None and key.startswith((QUEUE, KIND)):
            change = LimitChange(key=key, drop=True)
        else:  # not dropped: jobs that run under it must still count when the next job brings its limit back
            cap = cap or Cap()
            change = LimitChange(key=key, concurrency=cap.concurrency, rate=cap.rate, shut_for=None, pinned=False)
        if known or key in self._door.capacity.caps:
            await store.put_limits([change], safe_text(actor, _LONGEST_ACTOR))
        return known

    async def status(
        self,
        key: str | None = None,
        *,
        user: str | None = None,
        kind: str | None = None,
        queue: str | None = None,
        plan: str | None = None,
    ) -> RateStatus:
        """How much of a rate is left: of a user's submissions of a kind (`user=`, `kind=`), of a whole kind or queue, or of
        a key. Looking uses nothing up. Raises `InvalidOption` if there is no such rate."""
        if user is not None and kind is not None:
            return await self._of_user(user, kind, plan)
        named = [each for each in (key, kind and KIND + kind, queue and QUEUE + queue) if each is not None]
        if len(named) != 1 or user is not None:
            raise refusal("status", named, "about user= and kind=, or one of key=, kind=, queue=", "name one thing")
        return await self._of_key(_key(named[0]))

    async def _of_user(self, user: str, kind: str, plan: str | None) -> RateStatus:
        store = await self._door.store()
        if kind not in self._door.quotas.rules:
            await self._door.find_kind(kind)
        rule = self._door.quotas.rules.get(kind)
        if rule is None:
            key = key_of(kind, "user", user, "user")
            assert key is not None
            return await self._of_key(key)
        rate = rule.rate(plan)
        (taken,) = await store.take([Take(quota_key(kind, check_name(user, "user")), rate, 0)])
        return _status(taken.count, rate.n, taken.reset_at)

    async def _of_key(self, key: str) -> RateStatus:
        store = await self._door.store()
        found = await store.limits([key])
        info = found[0] if found else LimitInfo(key=key)
        if info.rate is None:
            raise refusal("key", key, "a key with a rate", "see app.limits.list(), or `windlass limits ls`")
        limit = info.rate.n if info.rate.burst is None else info.rate.burst
        return _status(info.used, limit, await store.now() if info.opens_at is None else info.opens_at)


def read_limit_info(info: LimitInfo) -> KeyLimit:
    """A key as readers see it."""
    return KeyLimit(
        key=info.key,
        concurrency=info.concurrency,
        rate=None if info.rate is None else write_rate(info.rate),
        burst=None if info.rate is None else info.rate.burst,
        held=info.held,
        used=info.used,
        waiting=info.waiting,
        pinned=info.pinned,
        shut_until=None if info.shut_until is None else moment(info.shut_until),
        opens_at=None if info.opens_at is None else moment(info.opens_at),
    )


def _status(count: int, limit: int, reset_at: Micros) -> RateStatus:
    return {"count": count, "limit": limit, "remaining": max(0, limit - count), "reset_at": moment(reset_at)}


def _key(key: object) -> str:
    if isinstance(key, str) and 0 < len(key) <= LONGEST_KEY and is_text(key) and key.isprintable():
        for prefix in (QUEUE, KIND, PROVIDER):
            if key.startswith(prefix):
                check_name(key.removeprefix(prefix), f"key {prefix}")
        return key
    raise refusal(
        "key", key, f"1..{LONGEST_KEY} printable characters", "use queue:<name>, kind:<kind>, or a key of the list"
    )
