"""The public doors on connections of users: the job exists if and only if the caller commits."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from tests.transactions.drivers import ASYNC, SYNC, Open, on_asyncpg, transaction, url
from tests.waiting import until
from windlass import JobRef, Windlass
from windlass.declare.options import Unique
from windlass.errors import (
    InsideLoop,
    InvalidOption,
    JobNotFound,
    ResultTimeout,
    SchemaMismatch,
    StoreUnavailable,
)
from windlass.workflows.workflow import chain

_numbers = itertools.count(1)
AWKWARD = "nul \x00, quote ' \" %s :name $1 {0}, 日本"


def make(**settings: Any) -> Windlass:
    app = Windlass(url(), namespace=f"txapi{next(_numbers)}", **settings)

    @app.job
    async def echo(text: str) -> str:
        return text

    @app.job(kind="add")
    async def add(a: int, b: int) -> int:
        return a + b

    return app


@asynccontextmanager
async def opened(driver: str) -> AsyncIterator[tuple[Windlass, Open]]:
    app = make()
    try:
        async with app, transaction(driver) as tx:
            yield app, tx
    finally:
        await asyncio.to_thread(app.sync.close)


async def one(app: Windlass, tx: Open, *args: Any, kind: str = "echo", **options: Any) -> JobRef[Any]:
    """Enqueue through the door that fits the connection."""
    handler = app.handlers[kind].options(connection=tx.connection, **options)
    if tx.is_async:
        return await handler.enqueue(*args)
    return await tx.call(app.sync.enqueue, handler, *args)


async def many(app: Windlass, tx: Open, texts: list[str], *, atomic: bool = True) -> list[JobRef[Any]]:
    jobs = [app.handlers["echo"].job(text) for text in texts]
    if tx.is_async:
        return await app.enqueue_many(jobs, connection=tx.connection, atomic=atomic)
    return await tx.call(lambda: app.sync.enqueue_many(jobs, connection=tx.connection, atomic=atomic))


async def count(app: Windlass) -> int:
    return sum(each.n for each in await (await app.store()).counts())


@pytest.mark.parametrize("driver", [*ASYNC, *SYNC])
async def test_if_and_only_if_the_caller_commits(driver: str) -> None:
    async with opened(driver) as (app, tx):
        gone = await one(app, tx, AWKWARD)
        await many(app, tx, ["x", AWKWARD])
        await tx.rollback()
        assert await count(app) == 0
        kept = await one(app, tx, AWKWARD, priority=3, tags=["a"])
        refs = await many(app, tx, ["x", AWKWARD], atomic=False)
        assert await app.drain() == 0, "a worker sees nothing before the commit"
        assert await count(app) == 0
        await tx.commit()
        assert await app.drain() == 3
        assert await kept.result("5s") == AWKWARD
        assert [await ref.result("5s") for ref in refs] == ["x", AWKWARD]
        with pytest.raises(JobNotFound):
            await app.jobs.get(gone.id)


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg", "Django"])
async def test_a_worker_waits_for_the_commit_however_late_it_comes(driver: str) -> None:
    async with opened(driver) as (app, tx):
        worker = app.worker()
        running = asyncio.create_task(worker.run())
        try:
            ref = await one(app, tx, "late")
            other = await app.handlers["echo"].enqueue("at once")
            assert await other.result("10s") == "at once"
            result = asyncio.create_task(ref.result())
            with pytest.raises(ResultTimeout) as late:
                await ref.result("2.5s")  # longer than it takes to notice that a job was deleted
            assert late.value.state == "uncommitted"
            assert not result.done()
            await tx.commit()
            assert await result == "late"
        finally:
            await worker.stop()
            await running


@pytest.mark.parametrize("driver", [*ASYNC, *SYNC])
async def test_a_key_in_another_open_transaction_is_a_clear_error(driver: str) -> None:
    async with opened(driver) as (app, tx), on_asyncpg() as (other, commit, _):
        holder = await app.handlers["echo"].options(connection=other, unique="k").enqueue("first")
        async with asyncio.timeout(20):
            with pytest.raises(StoreUnavailable, match="another open transaction"):
                await one(app, tx, "second", unique="k")
        free = await one(app, tx, "third", unique="other")  # the caller's transaction is whole
        await tx.commit()
        await commit()
        again = await one(app, tx, "fourth", unique=Unique(key="k"))
        assert (again.id, again.created) == (holder.id, False)
        assert await app.drain() == 2
        assert await free.result("5s") == "third"


async def test_a_workflow_is_stored_in_the_transaction_or_not_at_all() -> None:
    async with opened("asyncpg") as (app, tx):
        add = app.handlers["add"]
        await app.run(chain(add.job(1, 2), add.job(3, 4)), connection=tx.connection)
        await tx.rollback()
        assert await count(app) == 0
        flow = await app.run(chain(add.job(1, 2), add.job(3, 4)), connection=tx.connection)
        assert await app.drain() == 0
        await tx.commit()
        assert await app.drain() == 2
        assert await flow.result("5s") == 7


async def test_by_name_and_blocking_in_async_code() -> None:
    async with opened("asyncpg") as (app, tx):
        ref = await app.kind("add").options(connection=tx.connection).enqueue(1, 2)
        stranger = Windlass(url(), namespace=app.namespace)
        async with stranger:
            named = stranger.kind("add").options(connection=tx.connection).options(priority=5)
            assert (await named.enqueue(2, 3)).created
        await tx.commit()
        with psycopg.connect(url()) as connection:  # it blocks for a statement, as the caller's own do
            third = await app.handlers["add"].options(connection=connection).enqueue(3, 4)
            with pytest.raises(InsideLoop):
                app.sync.enqueue(app.handlers["add"].options(connection=connection), 1, 1)
        assert await app.drain() == 3
        assert (await ref.result("5s"), await third.result("5s")) == (3, 7)


async def test_where_a_connection_cannot_go() -> None:
    async with opened("asyncpg") as (app, tx):
        add = app.handlers["add"]
        with pytest.raises(InvalidOption, match="not yet stored") as refused:
            add.options(connection=tx.connection).job(1, 2)
        assert "enqueue_many" in refused.value.mend
        with pytest.raises(InvalidOption, match="object"):
            await add.options(connection=object()).enqueue(1, 2)
        with pytest.raises(InvalidOption, match="your own connection") as refused:
            async with app.transaction():
                pass
        assert "options(connection=conn)" in refused.value.mend
        with pytest.raises(InvalidOption, match="async"):
            await asyncio.to_thread(app.sync.enqueue, add.options(connection=tx.connection), 1, 2)
        await add.options(connection=tx.connection).enqueue(1, 2)
        await tx.commit()
        assert await app.drain() == 1


async def test_a_database_without_the_store_says_so() -> None:
    admin = await psycopg.AsyncConnection.connect(url(), autocommit=True)
    await admin.execute("CREATE DATABASE bare")
    await admin.close()
    app = make()
    async with app, await psycopg.AsyncConnection.connect(url().removesuffix("postgres") + "bare") as connection:
        with pytest.raises(SchemaMismatch, match="'bare'") as refused:
            await app.handlers["echo"].options(connection=connection).enqueue("x")
        assert "database that holds the store" in refused.value.mend
        cursor = await connection.execute("SELECT 1")  # nothing was spoilt
        assert await cursor.fetchone() == (1,)


async def test_a_transaction_that_has_failed_already() -> None:
    async with opened("asyncpg") as (app, tx):
        with pytest.raises(Exception, match="nowhere"):
            await tx.connection.execute("SELECT * FROM nowhere")
        with pytest.raises(Exception, match="aborted"):
            await app.handlers["echo"].options(connection=tx.connection).enqueue("x")
        await tx.rollback()
        await app.handlers["echo"].options(connection=tx.connection).enqueue("x")
        await tx.commit()
        await until(lambda: count(app), "the job of the second transaction")
