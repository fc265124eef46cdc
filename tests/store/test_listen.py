"""Wake-ups: something of a topic may have happened, told to every handle."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.store.kit import Hand, act, end, new, promote_all, put
from tests.waiting import until
from windlass.store import Store
from windlass.values.job import Edge
from windlass.values.query import Action
from windlass.values.queue import QueueChange
from windlass.values.states import Event


async def _enqueue(store: Store) -> None:
    await put(store, new())


async def _promote(store: Store) -> None:
    await put(store, new(delay=1, queue="delayed"))
    await promote_all(store)


async def _release(store: Store) -> None:
    await put(store, new())
    hand = Hand(store)
    await hand.finish(end(await hand.one(), Event.RELEASE))


async def _unblock(store: Store) -> None:
    parent = new(priority=9)
    await put(store, parent, new(after=(Edge(parent.id),)))
    hand = Hand(store)
    await hand.complete(await hand.one())


async def _requeue(store: Store) -> None:
    (id,) = await put(store, new(priority=9))
    await act(store, Action.CANCEL, id)
    await act(store, Action.REQUEUE, id)


async def _resume(store: Store) -> None:
    await store.put_queue("default", QueueChange(paused=True), "ops")
    await store.put_queue("default", QueueChange(paused=False), "ops")


async def _complete(store: Store) -> None:
    await put(store, new())
    hand = Hand(store)
    await hand.complete(await hand.one())


async def _cancel_waiting(store: Store) -> None:
    (id,) = await put(store, new())
    await act(store, Action.CANCEL, id)


async def _cancel_running(store: Store) -> None:
    await put(store, new())
    await act(store, Action.CANCEL, (await Hand(store).one()).id)


WAYS: list[tuple[str, Callable[[Store], Awaitable[None]]]] = [
    ("ready", _enqueue),
    ("ready", _promote),
    ("ready", _release),
    ("ready", _unblock),
    ("ready", _requeue),
    ("ready", _resume),
    ("done", _complete),
    ("done", _cancel_waiting),
    ("cancel", _cancel_running),
]


@pytest.mark.parametrize("other", [False, True], ids=["same", "other"])
@pytest.mark.parametrize(("topic", "way"), WAYS, ids=[f"{topic}-{way.__name__[1:]}" for topic, way in WAYS])
async def test_a_wake_comes(
    store: Store, make_store, topic: str, way: Callable[[Store], Awaitable[None]], other: bool
) -> None:
    """Wakes are lossy, so the deed is done until one comes."""
    doer = await make_store() if other else store
    woken: list[int] = []
    stop = store.listen({topic}, lambda: woken.append(1))

    async def deed() -> bool:
        await way(doer)
        return bool(woken)

    await until(deed, f"a wake for {topic}")
    stop()


async def test_no_wakes_after_the_stop(store: Store) -> None:
    first: list[int] = []
    second: list[int] = []
    stop = store.listen({"ready"}, lambda: first.append(1))
    stop()
    stop()
    keep = store.listen({"ready", "done"}, lambda: second.append(1))

    async def deed() -> bool:
        await put(store, new())
        return bool(second)

    await until(deed, "the second listener's wake")
    keep()
    assert first == []


async def test_closing_with_listeners_is_clean(store: Store, make_store) -> None:
    other = await make_store()
    other.listen({"ready"}, lambda: None)
    await other.close()
    await other.close()
    await put(store, new())


async def test_a_handle_closes_at_whatever_moment_of_its_listening(make_store) -> None:
    """A driver that swallows the cancellation while it connects would leave a listener behind, or `close` waiting for it."""
    for n in range(60):
        store = await make_store()
        store.listen({"ready"}, lambda: None)
        await asyncio.sleep(n / 20_000)
        async with asyncio.timeout(10):
            await store.close()
