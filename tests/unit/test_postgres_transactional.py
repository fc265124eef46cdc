"""Enqueue inside a user's transaction, on every driver: the job exists if and only if the user commits."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from tests.store.kit import Hand, counted, fresh_id, get, new, promote_all, put, state_of
from tests.store.places import postgres_server as postgres
from tests.transactions.drivers import ASYNC, SYNC, on_async_psycopg, on_asyncpg, url
from tests.waiting import until
from windlass.errors import InvalidArgs, InvalidOption, SchemaMismatch, SettingsError, StoreUnavailable, UnknownParent
from windlass.store.postgres.engine import PostgresStore
from windlass.values.job import Edge, Enqueued, UniqueKey
from windlass.values.states import State

_numbers = itertools.count(1)


@asynccontextmanager
async def opened() -> AsyncIterator[PostgresStore]:
    store = PostgresStore(postgres().url, f"tx{next(_numbers)}")
    await store.open()
    try:
        yield store
        assert await store.audit_counts() == []
    finally:
        await store.close()


AWKWARD = '{"text":"nul \\u0000, quote \' \\" %s :name $1 {0}, 日本 \\ud800"}'


@asynccontextmanager
async def transaction(driver: str, store: PostgresStore) -> AsyncIterator[tuple[Any, Any, Any]]:
    """(enqueue, commit, rollback) of a driver, all awaitable."""
    if driver in ASYNC:
        async with ASYNC[driver]() as (connection, commit, rollback):

            async def enqueue(*jobs: Any) -> list[Enqueued]:
                return await store.enqueue_on(connection, jobs)

            yield enqueue, commit, rollback
        return
    with ThreadPoolExecutor(1) as thread:  # a blocking connection belongs to a thread without an event loop

        async def there(call: Callable[..., Any], *args: Any) -> Any:
            return await asyncio.get_running_loop().run_in_executor(thread, call, *args)

        context = SYNC[driver]()
        connection, commit, rollback = await there(context.__enter__)
        try:
            yield (
                lambda *jobs: there(store.enqueue_on_sync, connection, jobs),
                lambda: there(commit),
                lambda: there(rollback),
            )
        finally:
            await there(context.__exit__, None, None, None)


@pytest.mark.parametrize("driver", [*ASYNC, *SYNC])
async def test_if_and_only_if_the_user_commits(driver: str) -> None:
    async with opened() as store, transaction(driver, store) as (enqueue, commit, rollback):
        gone = new(args=AWKWARD)
        assert await enqueue(gone) == [Enqueued(gone.id)]
        assert await store.job(gone.id) is None
        await rollback()
        assert await store.job(gone.id) is None
        kept = [
            new(args=AWKWARD, tags=("a", "b"), user="u", unique=UniqueKey(key="k"), max_attempts=7, priority=-3),
            new("later", delay=3_600_000_000, queue="other", runtime="process"),
        ]
        kept.append(new(after=(Edge(kept[0].id, "run"),)))
        assert await enqueue(*kept) == [Enqueued(job.id) for job in kept]
        assert await store.job(kept[0].id) is None
        assert await store.counts() == []
        await commit()
        (claim,) = await Hand(store).drain()
        assert (claim.id, claim.args, claim.tags, claim.priority) == (kept[0].id, AWKWARD, ("a", "b"), -3)
        assert await counted(store) == {State.ACTIVE: 1, State.DELAYED: 1, State.BLOCKED: 1}
        job = await get(store, kept[1].id)
        assert (job.kind, job.queue, job.runtime, job.max_attempts) == ("later", "other", "process", 3)


@pytest.mark.parametrize("driver", [*ASYNC, *SYNC])
async def test_refusals_leave_the_users_transaction_whole(driver: str) -> None:
    async with opened() as store, transaction(driver, store) as (enqueue, commit, _):
        (holder,) = await put(store, new(unique=UniqueKey(key="k")))
        with pytest.raises(UnknownParent) as refused:
            await enqueue(new(after=(Edge("missing"),)))
        assert refused.value.parent == "missing"
        assert await enqueue(new(unique=UniqueKey(key="k"))) == [Enqueued(holder, created=False)]
        good = new()
        await enqueue(good, good)
        await commit()
        assert await state_of(store, good.id) is State.WAITING


async def test_a_key_held_by_another_open_transaction_is_a_clear_error() -> None:
    async with opened() as store, on_asyncpg() as (one, commit, _), on_asyncpg() as (two, commit_two, _):
        key = UniqueKey(key="k")
        first, other = new(unique=key), new()
        await store.enqueue_on(one, [first])
        with pytest.raises(StoreUnavailable, match="another open transaction"):
            await store.enqueue_on(two, [new(unique=key)])
        with pytest.raises(StoreUnavailable, match="another open transaction"):
            await store.enqueue([new(unique=key)])
        await store.enqueue_on(two, [other])
        await commit()
        await commit_two()
        assert await counted(store) == {State.WAITING: 2}
        assert await store.enqueue([new(unique=key)]) == [Enqueued(first.id, created=False)]


async def test_a_key_is_free_again_after_a_rollback() -> None:
    async with opened() as store, on_asyncpg() as (connection, _, rollback):
        key = UniqueKey(key="k")
        await store.enqueue_on(connection, [new(unique=key)])
        waiting = asyncio.create_task(store.enqueue([new(unique=key)]))
        await asyncio.sleep(0)
        await rollback()
        assert [answer.created for answer in await waiting] == [True]


async def test_an_open_transaction_holds_up_nobody() -> None:
    """A user's transaction that has enqueued stays open: claims, ends, counts, new queues and commands go on."""
    async with opened() as store, on_asyncpg() as (connection, commit, _):
        (parent,) = await put(store, new())
        hand = Hand(store)
        claim = await hand.one()
        children = [new(after=(Edge(parent),), queue="brand-new") for _ in range(3)]
        await store.enqueue_on(connection, children)
        await put(store, new(queue="brand-new"))
        await hand.complete(claim)
        await hand.complete(*await hand.take())
        await promote_all(store)
        assert await counted(store) == {State.COMPLETED: 2}
        await commit()
        assert await counted(store, "brand-new") == {State.COMPLETED: 1, State.BLOCKED: 3}
        await promote_all(store)  # the parent had ended while nobody could see its children
        assert len(await hand.take()) == 3


async def test_children_of_a_parent_that_ends_after_the_commit() -> None:
    async with opened() as store, on_asyncpg() as (connection, commit, _):
        (parent,) = await put(store, new())
        claim = await Hand(store).one()
        child, doomed = new(after=(Edge(parent, "run"),)), new(after=(Edge(parent),))
        await store.enqueue_on(connection, [child, doomed])
        await commit()
        await promote_all(store)
        await Hand(store).complete(claim)
        assert [await state_of(store, id) for id in (child.id, doomed.id)] == [State.WAITING] * 2


async def test_the_commit_wakes_a_listener() -> None:
    async with opened() as store, on_async_psycopg() as (connection, commit, _):
        rung: list[int] = []
        store.listen(["ready"], lambda: rung.append(1))
        await until(lambda: rung, "the first wake-up of a new listener")
        await store.enqueue_on(connection, [new()])
        rung.clear()
        await commit()
        await until(lambda: rung, "the wake-up of the commit")


async def test_a_namespace_without_a_schema_says_so() -> None:
    async with on_asyncpg() as (connection, _, _):
        with pytest.raises(SchemaMismatch):
            await PostgresStore(url(), "nowhere").enqueue_on(connection, [new()])
        assert await connection.fetchval("SELECT 1") == 1  # the transaction is whole


async def test_a_store_of_the_same_name_in_another_database_is_refused() -> None:
    admin = await asyncpg.connect(url())
    await admin.execute("CREATE DATABASE elsewhere")
    await admin.close()
    there = url().removesuffix("postgres") + "elsewhere"
    async with opened() as store:
        other = PostgresStore(there, store._namespace)
        await other.open()
        connection = await asyncpg.connect(there)
        try:
            async with connection.transaction():
                for _ in range(2):
                    with pytest.raises(SettingsError, match="'elsewhere'") as refused:
                        await store.enqueue_on(connection, [new()])
                    assert refused.value.field == "connection"
                assert await other.enqueue_on(connection, [new()])
            assert await counted(other) == {State.WAITING: 1}
        finally:
            await connection.close()
            await other.close()
        assert await counted(store) == {}


async def test_a_pool_of_connections_is_looked_at_once_a_connection() -> None:
    async with opened() as store, asyncpg.create_pool(url(), min_size=1, max_size=1) as pool:
        asked: list[str] = []
        for _ in range(3):
            async with pool.acquire() as connection:
                with connection.query_logger(lambda record: asked.append(record.query)):
                    async with connection.transaction():
                        await store.enqueue_on(connection, [new()])
        assert sum("current_database" in query for query in asked) == 1
        assert await counted(store) == {State.WAITING: 3}


async def test_nul_is_refused_before_it_can_spoil_the_transaction() -> None:
    async with opened() as store, on_asyncpg() as (connection, commit, _):
        with pytest.raises(InvalidArgs, match="NUL"):
            await store.enqueue_on(connection, [new(user="a\0b")])
        await store.enqueue_on(connection, [new()])
        await commit()
        assert await counted(store) == {State.WAITING: 1}


async def test_two_that_want_each_others_keys_end_with_a_clear_error() -> None:
    """PostgreSQL ends a deadlock by an error; here that is the same refusal, and both transactions stay usable."""
    async with opened() as store, on_asyncpg() as (one, commit, _), on_asyncpg() as (two, commit_two, _):
        await store.enqueue_on(one, [new(unique=UniqueKey(key="a"))])
        await store.enqueue_on(two, [new(unique=UniqueKey(key="b"))])
        ends = await asyncio.gather(
            store.enqueue_on(one, [new(unique=UniqueKey(key="b"))]),
            store.enqueue_on(two, [new(unique=UniqueKey(key="a"))]),
            return_exceptions=True,
        )
        assert any(isinstance(end, StoreUnavailable) and "another open transaction" in str(end) for end in ends), ends
        assert all(isinstance(end, StoreUnavailable) for end in ends)
        await commit()
        await commit_two()
        assert await counted(store) == {State.WAITING: 2}


async def test_no_jobs_is_no_statement() -> None:
    store = PostgresStore(url())
    assert await store.enqueue_on(object(), []) == []
    assert store.enqueue_on_sync(object(), []) == []


async def test_a_connection_of_an_unknown_kind_is_named() -> None:
    store = PostgresStore(url())
    with pytest.raises(InvalidOption, match=r"builtins\.object"):
        await store.enqueue_on(object(), [new(id=fresh_id())])
    with pytest.raises(InvalidOption, match="asyncpg, psycopg"):
        store.enqueue_on_sync(object(), [new()])
    connection = await asyncpg.connect(url())
    with pytest.raises(InvalidOption, match="async"):
        store.enqueue_on_sync(connection, [new()])
    await connection.close()
