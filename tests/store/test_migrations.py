"""A store makes its own schema, keeps its data, and refuses to be misread."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.store.kit import Hand, Place, counted, get, new, put
from windlass.errors import SchemaMismatch
from windlass.store import Store
from windlass.values.states import State


async def test_an_empty_store_makes_its_schema(store: Store) -> None:
    found, known = await store.schema()
    assert found == known > 0
    assert await store.migrate() == []
    await put(store, new())


async def test_opening_again_changes_nothing(store: Store, place: Place, make_store) -> None:
    (id,) = await put(store, new(args='{"n":1}'))
    before = await get(store, id)
    for _ in range(3):
        other = await make_store()
        assert await get(other, id) == before
        await other.close()
    assert await counted(store) == {State.WAITING: 1}


async def test_many_handles_may_open_an_empty_store_at_once(place: Place) -> None:
    handles = [place.handle() for _ in range(6)]
    await asyncio.gather(*(handle.open() for handle in handles))
    try:
        for handle in handles:
            found, known = await handle.schema()
            assert found == known
            await put(handle, new())
        assert await counted(handles[0]) == {State.WAITING: 6}
        assert len(await Hand(handles[-1]).drain()) == 6
    finally:
        for handle in handles:
            await handle.close()


async def test_a_newer_schema_is_refused(store: Store, place: Place, age: Callable[[], Awaitable[bool]]) -> None:
    await put(store, new())
    if not await age():
        return
    late = place.handle()
    with pytest.raises(SchemaMismatch) as refused:
        await late.open()
    await late.close()
    assert refused.value.found > refused.value.known > 0
    assert "upgrade" in refused.value.mend.lower()
    assert str(refused.value.found) in str(refused.value)


async def test_a_running_worker_of_an_older_version_is_told_to_stop(
    store: Store, age: Callable[[], Awaitable[bool]]
) -> None:
    await put(store, new())
    hand = Hand(store)
    claim = await hand.one()
    assert not (await hand.beat(claim)).stop
    if not await age():
        return
    pulse = await hand.beat(claim)
    assert (pulse.stop, pulse.lost) == (True, ())
    await hand.complete(claim)


async def test_closing_is_idempotent(place: Place) -> None:
    handle = place.handle()
    await handle.open()
    await handle.close()
    await handle.close()
    await place.handle().close()


async def test_a_handle_may_open_again(place: Place) -> None:
    handle = place.handle()
    await handle.open()
    await handle.close()
    await handle.open()
    await put(handle, new())
    await handle.close()
