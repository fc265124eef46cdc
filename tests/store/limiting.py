"""Jobs under limits, and how limits stand: asked by public verbs only, as the audit after each test does."""

from collections import Counter
from typing import Any

from tests.store.kit import all_ids, new
from windlass.store import Store
from windlass.values.clock import Micros
from windlass.values.job import Claim, NewJob
from windlass.values.limit import Bound, LimitChange, LimitInfo, Rate
from windlass.values.query import Where
from windlass.values.states import State

SHOWN = 20
"""So many holders of a key a standing names."""


def under(*keys: str, n: int = 1, **fields: Any) -> NewJob[Any]:
    """A job under keys of which each lets `n` run at once."""
    return new(limits=tuple(Bound(key, n) for key in keys), **fields)


def rated(key: str, n: int, window: Micros, *, cost: int = 1, burst: int | None = None, **fields: Any) -> NewJob[Any]:
    """A job under a key that lets `n` start in a window."""
    return new(limits=(Bound(key, rate=Rate(n, window, burst), cost=cost),), **fields)


def ids(claims: list[Claim]) -> list[str]:
    return [claim.id for claim in claims]


async def limit(store: Store, key: str) -> LimitInfo:
    (info,) = await store.limits([key])
    assert info.key == key
    return info


async def held(store: Store, *keys: str) -> list[int]:
    return [(await limit(store, key)).held for key in keys]


async def change(store: Store, key: str, **fields: Any) -> None:
    await store.put_limits([LimitChange(key=key, **fields)], "ops")


async def audit_limits(store: Store, lowered: set[str]) -> list[str]:
    """What is held is what runs, and no more than allowed; `lowered`: keys whose limit came down below what ran."""
    infos = {info.key: info for info in await store.limits()}
    if not infos:
        return []
    running: Counter[str] = Counter()
    shown: dict[str, set[str]] = {}
    active = await all_ids(store, Where(states=(State.ACTIVE,)), 500)
    for id in active:
        standing = await store.standing(id)
        if standing is not None:
            running.update(info.key for info in standing.limits)
            for key, holders in standing.holders.items():
                shown.setdefault(key, set()).update(holders)
    found = [f"{key}: {info.held} held, {running[key]} run" for key, info in infos.items() if info.held != running[key]]
    found += [
        f"{key}: {info.held} held, {info.concurrency} allowed"
        for key, info in infos.items()
        if info.concurrency is not None and info.held > info.concurrency and key not in lowered
    ]
    found += [f"{key}: {id} holds it and does not run" for key in shown for id in shown[key] - set(active)]
    found += [
        f"{key}: {len(shown[key])} holders named of {running[key]}"
        for key in shown
        if len(shown[key]) < min(running[key], SHOWN)
    ]
    return found
