"""Commands by filter on many jobs: each call goes on where the last one stopped, and what comes behind it is still found."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tests.store.kit import Hand, counted, end, new, put, states_of
from windlass.store.sqlite.engine import SqliteStore
from windlass.values.query import Action, Command, Retention, Where
from windlass.values.states import Event, State


@asynccontextmanager
async def opened() -> AsyncIterator[SqliteStore]:
    store = SqliteStore("sqlite://:memory:")
    await store.open()
    try:
        yield store
        assert not await store.audit_counts()
    finally:
        await store.close()


async def work_of(store: SqliteStore, call: Callable[[], Awaitable[bool]]) -> list[int]:
    """Calls until one says that there is no more; the thousands of SQLite's instructions that each took."""
    connection = store._writer().connection
    ticks = 0

    def tick() -> bool:
        nonlocal ticks
        ticks += 1
        return False

    connection.set_progress_handler(tick, 1_000)
    took: list[int] = []
    more = True
    while more:
        ticks = 0
        more = await call()
        took.append(ticks)
    connection.set_progress_handler(None)
    return took


@pytest.mark.parametrize("where", [Where(kinds=("b",)), Where(tags=("b",)), Where(kinds=("b",), queues=("default",))])
async def test_a_call_does_not_look_again_at_what_the_last_one_saw(where: Where) -> None:
    async with opened() as store:
        for kind, n in (("a", 6_000), ("b", 12_000)):
            for _ in range(0, n, 2_000):
                await put(store, *(new(kind, tags=(kind,)) for _ in range(2_000)))

        async def cancel() -> bool:
            return (await store.command(Command(action=Action.CANCEL), where, 500, "ops")).more

        took = await work_of(store, cancel)
        assert len(took) == 24
        # The first looks past 6,000 others; the last one looks round once more, for what came behind it meanwhile.
        assert max(took[1:-1]) < took[0], took
        assert await counted(store) == {State.WAITING: 6_000, State.CANCELLED: 12_000}


async def test_pruning_takes_the_same_for_each_call() -> None:
    async with opened() as store:
        for _ in range(6):
            await put(store, *(new() for _ in range(1_000)))
        await store.command(Command(action=Action.CANCEL), Where(kinds=("work",)), 6_000, "ops")

        async def prune() -> bool:
            return await store.prune(Retention(cancelled=0), 500) == 500

        took = await work_of(store, prune)
        assert max(took[:12]) <= 2 * min(took[:12]), took
        assert not await counted(store)


async def test_what_comes_behind_the_last_call_is_found_at_the_end() -> None:
    async with opened() as store:
        hand = Hand(store)
        ids = await put(store, *(new() for _ in range(6)))
        claim = await hand.one()
        command, where = Command(action=Action.FAIL, reason="enough"), Where(kinds=("work",))
        answer = await store.command(command, where, 2, "ops")
        assert (answer.done, answer.more) == (tuple(ids[1:3]), True)
        await hand.finish(end(claim, Event.RELEASE))  # older than where the next call goes on from
        answer = await store.command(command, where, 2, "ops")
        assert (answer.done, answer.more) == (tuple(ids[3:5]), True)
        answer = await store.command(command, where, 2, "ops")
        assert (sorted(answer.done), answer.more) == ([ids[0], ids[5]], False)
        assert await states_of(store, *ids) == [State.FAILED] * 6


async def test_another_command_begins_at_the_oldest() -> None:
    async with opened() as store:
        ids = await put(store, *(new() for _ in range(4)))
        where = Where(kinds=("work",))
        await store.command(Command(action=Action.REPRIORITISE, priority=5), where, 2, "ops")
        answer = await store.command(Command(action=Action.CANCEL), where, 2, "ops")
        assert answer.done == tuple(ids[:2])


async def test_names_and_tags_must_both_match() -> None:
    async with opened() as store:
        ids = await put(store, new(tags=("a",)), new(tags=("b",)))
        answer = await store.command(Command(action=Action.CANCEL), Where(ids=tuple(ids), tags=("b",)), 2, "ops")
        assert answer.done == (ids[1],)
        assert answer.refused == {ids[0]: "does not match"}
        assert [job.id for job in (await store.jobs(Where(ids=tuple(ids), tags=("a",)), None, 10)).items] == [ids[0]]
