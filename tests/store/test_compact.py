"""Space that deleted jobs left in a store's own file goes back to the disk, and nothing else does."""

import pytest

from tests.store.kit import DAY, Clock, Hand, Place, counted, get, new, prune_all, put
from windlass.errors import WorkersAlive
from windlass.store import Store
from windlass.values.metrics import MetricQuery
from windlass.values.query import Retention
from windlass.values.states import State

MANY = 2_000


async def test_what_is_there_stays_and_what_is_free_goes(store: Store, clock: Clock) -> None:
    kept = await put(store, *(new(args=f'{{"n":{n}}}') for n in range(10)))
    for _ in range(0, MANY, 500):
        await put(store, *(new(queue="old", args='{"text":"' + "x" * 500 + '"}') for _ in range(500)))
    hand = Hand(store, queues=("old",))
    while claims := await hand.take(200):
        await hand.complete(*claims)
    await clock.forward(2 * DAY)
    await prune_all(store, Retention(history=0))
    before = [await get(store, id) for id in kept]
    told = await store.metrics(MetricQuery(since=0, until=clock.at))
    size = (await store.health())["size"]
    if await store.compact():
        assert (await store.health())["size"] < size / 2
    assert [await get(store, id) for id in kept] == before
    assert await store.metrics(MetricQuery(since=0, until=clock.at)) == told
    assert await counted(store) == {State.WAITING: 10}
    assert len(await Hand(store).drain()) == 10
    await put(store, new())


async def test_not_under_living_workers_unless_forced(store: Store, place: Place) -> None:
    await Hand(store, "alive").beat()
    if not await store.compact(force=True):
        return  # nothing to refuse
    with pytest.raises(WorkersAlive) as refused:
        await store.compact()
    assert refused.value.workers == ["alive"]
