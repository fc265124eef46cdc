"""How operators steer one worker: records in the space `ORDERS`, told by its heartbeat."""

import pytest

from tests.store.kit import Clock, Hand, new, put
from windlass.store import Store
from windlass.values.clock import SECOND
from windlass.values.lease import ORDERS
from windlass.values.query import Swap


async def order(store: Store, worker: str, text: str | None, ttl: int | None = None) -> None:
    (record,) = await store.exchange([Swap(space=ORDERS, key=worker, text=text, ttl=ttl)])
    assert record.swapped


@pytest.mark.parametrize(("text", "quiet", "stop"), [("quiet", True, False), ("stop", False, True)])
async def test_a_worker_is_told(store: Store, text: str, quiet: bool, stop: bool) -> None:
    hand, other = Hand(store, "w1"), Hand(store, "w11")
    pulse = await hand.beat()
    assert (pulse.quiet, pulse.stop) == (False, False)
    await order(store, "w1", text)
    for _ in range(2):
        pulse = await hand.beat()
        assert (pulse.quiet, pulse.stop, pulse.newer) == (quiet, stop, 0)
    pulse = await other.beat()
    assert (pulse.quiet, pulse.stop) == (False, False)
    await order(store, "w1", None)
    pulse = await hand.beat()
    assert (pulse.quiet, pulse.stop) == (False, False)


async def test_the_newest_order_counts(store: Store) -> None:
    hand = Hand(store)
    await order(store, hand.name, "quiet")
    assert (await hand.beat()).quiet
    await order(store, hand.name, "stop")
    pulse = await hand.beat()
    assert (pulse.quiet, pulse.stop) == (False, True)


async def test_an_order_that_is_over(store: Store, clock: Clock) -> None:
    hand = Hand(store)
    await order(store, hand.name, "quiet", ttl=10 * SECOND)
    assert (await hand.beat()).quiet
    await clock.forward(10 * SECOND)
    assert not (await hand.beat()).quiet


async def test_other_words_and_other_spaces_mean_nothing(store: Store) -> None:
    hand = Hand(store)
    await order(store, hand.name, "sing")
    await store.exchange([Swap(space="elsewhere", key=hand.name, text="stop")])
    pulse = await hand.beat()
    assert (pulse.quiet, pulse.stop) == (False, False)


async def test_orders_come_with_everything_else(store: Store) -> None:
    """A quiet worker's leases are extended, lost ones told."""
    await put(store, new(), new())
    hand = Hand(store)
    kept, done = await hand.take()
    await hand.complete(done)
    await order(store, hand.name, "quiet")
    pulse = await hand.beat(kept, done)
    assert (pulse.quiet, pulse.lost) == (True, (done.id,))
    await hand.beat(leaving=True)
    assert await store.workers() == []
