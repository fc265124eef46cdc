"""Large fan-outs on PostgreSQL: settled in steps, claimed meanwhile, and left to `promote` when a step cannot be taken."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from tests.store.kit import Hand, counted, new, promote_all, put, states_of
from tests.store.places import postgres_server
from tests.waiting import until
from windlass.store.postgres.ending import MOST_STEPS, STEP
from windlass.store.postgres.engine import PostgresStore
from windlass.store.postgres.statements import filled
from windlass.store.protocol import INLINE_EDGES
from windlass.values.job import Edge
from windlass.values.states import State

_numbers = itertools.count(1)


@asynccontextmanager
async def opened() -> AsyncIterator[PostgresStore]:
    store = PostgresStore(postgres_server().url, f"fans{next(_numbers)}")
    await store.open()
    try:
        yield store
        assert await store.audit_counts() == []
    finally:
        await store.close()


@asynccontextmanager
async def holding(store: PostgresStore, id: str) -> AsyncIterator[Any]:
    """A connection of somebody who has locked this job."""
    connection = await asyncpg.connect(postgres_server().url)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(filled("SELECT FROM {schema}.job WHERE id = $1 FOR UPDATE", store._namespace), id)
    try:
        yield connection
    finally:
        await transaction.rollback()
        await connection.close()


async def waiting_for(connection: Any) -> list[int]:
    """The processes that wait for what this connection has locked."""
    text = "SELECT DISTINCT pid FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
    rows = await connection.fetch(text)
    return [row["pid"] for row in rows]


async def test_a_finish_goes_on_in_steps_and_leaves_the_rest() -> None:
    async with opened() as store:
        beyond = 40
        parent = new()
        children = [new(after=(Edge(parent.id),)) for _ in range(INLINE_EDGES + MOST_STEPS * STEP + beyond)]
        await put(store, parent, *children)
        hand = Hand(store)
        await hand.complete(await hand.one())
        assert (await counted(store))[State.BLOCKED] == beyond
        assert await promote_all(store) == beyond
        assert [claim.id for claim in await hand.drain()] == [job.id for job in children]


async def test_the_first_dependents_are_claimed_while_a_finish_goes_on() -> None:
    async with opened() as store:
        parent = new()
        children = [new(after=(Edge(parent.id),)) for _ in range(INLINE_EDGES + 10)]
        await put(store, parent, *children)
        hand = Hand(store)
        claim = await hand.one()
        async with holding(store, children[-1].id) as somebody:
            finish = asyncio.create_task(hand.complete(claim))
            await until(lambda: waiting_for(somebody), "the finish to wait for a later child")
            claims = await Hand(store, "other").drain()
            assert [claim.id for claim in claims] == [job.id for job in children[:INLINE_EDGES]]
            assert not finish.done()
        await finish
        assert await states_of(store, *(job.id for job in children[INLINE_EDGES:])) == [State.WAITING] * 10


async def test_trouble_with_a_later_step_is_not_the_finishs() -> None:
    async with opened() as store:
        parent = new()
        children = [new(after=(Edge(parent.id),)) for _ in range(INLINE_EDGES + 10)]
        await put(store, parent, *children)
        hand = Hand(store)
        claim = await hand.one()
        async with holding(store, children[-1].id) as somebody:
            finish = asyncio.create_task(hand.complete(claim))
            for _ in range(2):  # a connection that breaks is replaced once
                (stuck,) = await until(lambda: waiting_for(somebody), "a step to wait for a later child")
                await somebody.execute("SELECT pg_terminate_backend($1, 5000)", stuck)
            await finish
        assert await counted(store) == {State.COMPLETED: 1, State.WAITING: INLINE_EDGES, State.BLOCKED: 10}
        assert await promote_all(store) == 10


async def test_many_parents_with_more_dependents_than_one_step_settles() -> None:
    """Each child waits for two neighbours of a ring, every tenth fires only if they fail."""
    async with opened() as store:
        parents = [new() for _ in range(100)]
        children = [
            new(after=tuple(Edge(parents[(n + k) % 100].id, "trigger" if n % 10 == 0 else "run") for k in (0, 1)))
            for n in range(400)
        ]
        await put(store, *parents, *children)
        hand = Hand(store)
        claims = await hand.take(200)
        assert len(claims) == 100
        await hand.complete(*claims[:50])
        expected = [n for n in range(400) if n % 100 in range(49)]
        assert await counted(store) == {
            State.COMPLETED: 50,
            State.ACTIVE: 50,
            State.CANCELLED: sum(n % 10 == 0 for n in expected),
            State.WAITING: sum(n % 10 != 0 for n in expected),
            State.BLOCKED: 400 - len(expected),
        }
        assert await store.audit_counts() == []
        await hand.complete(*claims[50:])
        assert await counted(store) == {State.COMPLETED: 100, State.CANCELLED: 40, State.WAITING: 360}
