"""The result cache: a kind declared with `cache=` answers a call that was answered lately without running it again."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple, Protocol

import msgspec
from msgspec.structs import replace

from windlass.declare.refusal import refusal
from windlass.secrecy.veil import Veil
from windlass.store.protocol import Store
from windlass.values.clock import Duration, Micros, micros
from windlass.values.job import NewJob
from windlass.values.outcome import RunOptions
from windlass.values.query import Swap
from windlass.values.queue import check_name

SPACE = "cache:"
"""The space of a kind's results is this and its name: each can be emptied without reading the others."""

LARGEST = 256 << 10
_LARGEST_ALLOWED = 16 << 20
_SHORTEST = 0.001
_AT_ONCE = 500


class Cache(msgspec.Struct, frozen=True):
    """How long a result answers equal calls. `per_user`: each user has results of its own. A result of more than `max_bytes`
    bytes of JSON is not kept."""

    ttl: Duration
    per_user: bool = False
    max_bytes: int = LARGEST


class CacheRule(msgspec.Struct, frozen=True, omit_defaults=True):
    """A checked `Cache`."""

    ttl: Micros
    per_user: bool = False
    max_bytes: int = LARGEST


class Kept(msgspec.Struct, frozen=True):
    """A result as the store keeps it, and the job that made it."""

    job: str
    result: msgspec.Raw


class Call(NamedTuple):
    """What makes two jobs of a kind the same to its cache."""

    kind: str
    version: int
    args: str
    user: str | None
    project: str | None

    def key(self, rule: CacheRule, hide: Callable[[str], str] | None = None) -> str:
        """The name of this call's result in the kind's space. `hide`: a hash of it that only key holders can make."""
        user = self.user if rule.per_user else None
        parts = (self.version, msgspec.json.decode(self.args), user, self.project)
        text = msgspec.json.encode(parts, order="sorted")
        return sha256(text).hexdigest()[:40] if hide is None else hide(text.decode())


class Cached(NamedTuple):
    """Jobs, some with their answer, and the ids of those."""

    jobs: list[NewJob[Any]]
    answered: frozenset[str]


class KindOf(Protocol):
    """What a kind says about its cache."""

    def __call__(self, kind: str, /) -> CacheRule | None: ...


_KEPT = msgspec.json.Decoder(Kept)
_RUN = msgspec.json.Decoder(RunOptions)
_NULL = "null"
_NOTHING: frozenset[str] = frozenset()


def read_cache(given: object) -> CacheRule:
    """A checked cache declaration: a duration, or `Cache`."""
    cache = given if isinstance(given, Cache) else Cache(given)  # pyright: ignore[reportArgumentType]  # `micros` checks
    ttl = micros(cache.ttl, "cache.ttl", minimum=_SHORTEST)
    size = cache.max_bytes
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= _LARGEST_ALLOWED:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise refusal("cache.max_bytes", size, f"1..{_LARGEST_ALLOWED} bytes", "give a number of bytes")
    if not isinstance(cache.per_user, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise refusal("cache.per_user", cache.per_user, "true or false", "use per_user=True")
    return CacheRule(ttl, cache.per_user, size)


class CachedKinds(Protocol):
    """What the cache asks of an app's kinds."""

    cached: dict[str, CacheRule]

    async def published(self, store: Store) -> Sequence[Any]: ...


class ResultCache:
    """`app.cache`."""

    def __init__(self, store: Callable[[], Awaitable[Store]], kinds: CachedKinds) -> None:
        self._store = store
        self._kinds = kinds

    async def clear(self, kind: str | None = None) -> int:
        """Forget the results of a kind, or of every kind that is known here or published; how many there were. A run that
        began before may still write its result."""
        store = await self._store()
        if kind is not None:
            return await clear(store, [check_name(kind, "kind")])
        published = {info.name for info in await self._kinds.published(store) if info.cache is not None}
        return await clear(store, sorted({*self._kinds.cached, *published}))


async def look_up(
    store: Store, jobs: Sequence[NewJob[Any]], rule_of: KindOf, veils: Mapping[str, Veil] | None = None
) -> Cached:
    """`jobs` with the answers that are known. A job that waits for parents or for a time is not answered ahead of them."""
    wanted: dict[str, dict[str, list[int]]] = {}
    for place, job in enumerate(jobs):
        rule = rule_of(job.kind)
        if rule is None or job.after or job.before or job.delay or job.run_at is not None:
            continue
        own = _RUN.decode(job.options) if job.options else RunOptions()
        if not own.skip_cache:
            veil = veils.get(job.kind) if veils else None
            args = job.args if veil is None else veil.plain_args(job.args, job.id)
            call = Call(job.kind, own.version, args, job.user, job.project)
            key = call.key(rule, None if veil is None else veil.digest)
            wanted.setdefault(job.kind, {}).setdefault(key, []).append(place)
    found = list(jobs)
    answered: set[str] = set()
    for kind, places in wanted.items():
        for key, kept in await _read(store, kind, list(places)):
            for place in places[key]:
                found[place] = _answer(found[place], kept, veils)
                answered.add(found[place].id)
    return Cached(found, frozenset(answered) if answered else _NOTHING)


def keep(
    call: Call, rule: CacheRule, job: str, result: str | None, hide: Callable[[str], str] | None = None
) -> Swap | None:
    """The record that keeps a result; None if it is too large."""
    raw = (_NULL if result is None else result).encode()
    if len(raw) > rule.max_bytes:
        return None
    kept = Kept(job, msgspec.Raw(raw))
    text = msgspec.json.encode(kept).decode()
    return Swap(space=SPACE + call.kind, key=call.key(rule, hide), text=text, ttl=rule.ttl)


async def clear(store: Store, kinds: Iterable[str]) -> int:
    """Forget every result of these kinds; how many there were."""
    count = 0
    for kind in kinds:
        swaps = [Swap(space=record.space, key=record.key, text=None) for record in await store.records(SPACE + kind)]
        for at in range(0, len(swaps), _AT_ONCE):
            await store.exchange(swaps[at : at + _AT_ONCE])
        count += len(swaps)
    return count


async def _read(store: Store, kind: str, keys: list[str]) -> list[tuple[str, Kept]]:
    found: list[tuple[str, Kept]] = []
    for at in range(0, len(keys), _AT_ONCE):
        for record in await store.records(SPACE + kind, keys[at : at + _AT_ONCE]):
            if record.text:
                found.append((record.key, _KEPT.decode(record.text)))
    return found


def _answer(job: NewJob[Any], kept: Kept, veils: Mapping[str, Veil] | None) -> NewJob[Any]:
    own = _RUN.decode(job.options) if job.options else RunOptions()
    options = msgspec.json.encode(replace(own, cached=kept.job)).decode()
    answer = bytes(kept.result).decode()
    if veils and job.kind in veils:
        answer = veils[job.kind].bind_result(answer, kept.job, job.id)
    return replace(job, answer=answer, options=options, limits=())
