"""Erasing drops everything of one namespace and nothing else."""

import pytest

from tests.store.kit import HOUR, Hand, Place, counted, new, put
from windlass.errors import StoreUnavailable, WorkersAlive
from windlass.store import Store, open_store
from windlass.values.job import Edge, UniqueKey
from windlass.values.lease import LogLine
from windlass.values.query import AuditQuery, Swap
from windlass.values.schedule import ScheduleRow
from windlass.values.states import State


async def test_nothing_is_left(store: Store, place: Place) -> None:
    first = new(tags=("a",), unique=UniqueKey(key="k"))
    await put(store, first, new(after=(Edge(first.id),)), new(delay=HOUR), new(queue="other"))
    hand = Hand(store)
    claim = await hand.one()
    await store.report([LogLine(claim.id, claim.lease, 1, "info", "a line")])
    await hand.complete(claim)
    await store.put_schedules([ScheduleRow(key="s", spec="{}", owner=None, due=1)], "ops")
    await store.exchange([Swap(space="kind", key="work", text="{}")])
    await store.erase()
    with pytest.raises(StoreUnavailable):
        await store.counts()
    await store.open()
    assert (
        await store.counts() == await store.queues() == await store.schedules() == await store.audit(AuditQuery()) == []
    )
    assert await store.records("kind") == []
    assert await store.job(first.id) is None
    assert (await store.enqueue([new(unique=UniqueKey(key="k"))]))[0].created
    assert await counted(store) == {State.WAITING: 1}
    assert (await store.schema())[0] == (await store.schema())[1]


async def test_not_under_living_workers_unless_forced(store: Store) -> None:
    await put(store, new())
    await Hand(store, "alive").beat()
    with pytest.raises(WorkersAlive) as refused:
        await store.erase()
    assert refused.value.workers == ["alive"]
    assert await counted(store) == {State.WAITING: 1}
    await store.erase(force=True)
    await store.open()
    assert await store.workers() == []
    assert await store.counts() == []


async def test_other_namespaces_stay(store: Store, place: Place) -> None:
    """Also those whose names begin alike, or mean something in a pattern."""
    if not place.crosses_processes:
        return  # a database in memory has one handle's namespaces only
    others = [open_store(place.url, name) for name in (f"{place.namespace}0", f"{place.namespace[:-1]}", "t_other")]
    for other in others:
        await other.open()
        await put(other, new())
    try:
        await put(store, new())
        await store.erase()
        for other in others:
            assert await counted(other) == {State.WAITING: 1}
            assert len(await Hand(other).drain()) == 1
    finally:
        for other in others:
            await other.erase(force=True)
        await store.open()


async def test_an_empty_one_and_again(store: Store) -> None:
    await store.erase()
    await store.open()
    await store.erase()
    await store.open()
