"""Compacting a store, and what it was worth."""

from windlass.cli.target import Target, with_store
from windlass.store.protocol import Store


def compact_now(target: Target, force: bool) -> tuple[bool, int, int]:
    """Whether there was something to do; the store's bytes before and after."""

    async def work(store: Store) -> tuple[bool, int, int]:
        before = int((await store.health())["size"])
        done = await store.compact(force=force)
        return done, before, int((await store.health())["size"])

    return with_store(target, work)
