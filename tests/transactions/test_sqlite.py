"""`app.transaction()`: rows of the user's tables and jobs, committed together or not at all."""

import asyncio
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import apsw
import pytest

from tests.waiting import until
from windlass import Windlass, testing
from windlass.errors import InvalidOption, JobNotFound, StoreError, UnknownParent
from windlass.store.sqlite import block


def make(url: str) -> Windlass:
    app = Windlass(url)

    @app.job
    async def mail(to: str) -> str:
        return to

    return app


@pytest.fixture(params=["file", "memory"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Windlass:
    return make("sqlite://:memory:" if request.param == "memory" else f"sqlite:///{tmp_path / 'shop.db'}")


async def orders(app: Windlass) -> list[tuple[Any, ...]]:
    async with app.transaction() as tx:
        return tx.execute("select id, who from orders order by id")


async def begin(app: Windlass) -> None:
    async with app.transaction() as tx:
        tx.execute("create table orders (id integer primary key, who text not null unique)")


async def count(app: Windlass) -> int:
    return sum(each.n for each in await (await app.store()).counts())


async def test_rows_and_jobs_are_committed_together(app: Windlass) -> None:
    mail = app.handlers["mail"]
    async with app:
        await begin(app)
        async with app.transaction() as tx:
            assert tx.execute("insert into orders (who) values (?) returning id", ("ann",)) == [(1,)]
            tx.execute("insert into orders (who) values (:who)", {"who": "bob"})
            refs = [
                await mail.options(connection=tx).enqueue("explicit"),
                await mail.enqueue("joined"),
                *await app.enqueue_many([mail.job("many"), mail.job("more")]),
                *await asyncio.gather(mail.enqueue("task one"), mail.enqueue("task two")),
            ]
            assert (await app.jobs.get(refs[0].id)).kind == "mail", "looks see what the block has written"
        assert await orders(app) == [(1, "ann"), (2, "bob")]
        assert await app.drain() == 6
        assert await refs[4].result("5s") == "task one"
        assert await (await app.store()).audit_counts() == []  # type: ignore[attr-defined]


async def test_an_error_undoes_both(app: Windlass) -> None:
    mail = app.handlers["mail"]
    async with app:
        await begin(app)
        with pytest.raises(RuntimeError, match="no stock"):
            async with app.transaction() as tx:
                tx.execute("insert into orders (who) values ('ann')")
                ref = await mail.options(unique="k").enqueue("ann")
                raise RuntimeError("no stock")
        with pytest.raises(apsw.ConstraintError):
            async with app.transaction() as tx:
                await mail.enqueue("bob")
                tx.execute("insert into orders (who) values (null)")
        assert await orders(app) == []
        assert await count(app) == 0
        with pytest.raises(JobNotFound):
            await ref.result("5s")
        assert (await mail.options(unique="k").enqueue("ann")).created, "the key went with its job"


async def test_a_cancelled_block_is_rolled_back(app: Windlass) -> None:
    async with app:
        await begin(app)
        inside = asyncio.Event()

        async def work() -> None:
            async with app.transaction() as tx:
                tx.execute("insert into orders (who) values ('ann')")
                await app.handlers["mail"].enqueue("ann")
                inside.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await orders(app), await count(app)) == ([], 0)


async def test_a_refused_enqueue_leaves_the_block_usable(app: Windlass) -> None:
    mail = app.handlers["mail"]
    async with app:
        await begin(app)
        async with app.transaction() as tx:
            tx.execute("insert into orders (who) values ('ann')")
            with pytest.raises(UnknownParent):
                await mail.options(after=["01890000-0000-7000-8000-000000000000"]).enqueue("x")
            first = await mail.options(unique="k").enqueue("x")
            again = await mail.options(unique="k").enqueue("y")
            assert (again.id, again.created) == (first.id, False)
        assert await orders(app) == [(1, "ann")]
        assert await count(app) == 1


async def test_other_writers_wait_and_other_verbs_join(app: Windlass) -> None:
    mail = app.handlers["mail"]
    async with app:
        await begin(app)
        outside = asyncio.Event()

        async def elsewhere() -> str:
            await outside.wait()
            return (await mail.enqueue("outside")).id

        other = asyncio.create_task(elsewhere())  # it was started before the block, so it does not join
        with pytest.raises(RuntimeError):
            async with app.transaction():
                await app.queues.pause("default")
                outside.set()
                await mail.enqueue("inside")
                raise RuntimeError("undo")
        assert (await app.jobs.get(await other)).args == {"to": "outside"}
        assert await count(app) == 1
        assert [queue.name for queue in await app.queues.list() if queue.paused] == []


async def test_a_block_that_takes_too_long_is_rolled_back_and_others_go_on(
    app: Windlass, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block, "LONGEST", 0.1)
    mail = app.handlers["mail"]
    async with app:
        await begin(app)
        go_on = asyncio.Event()

        async def slow() -> None:
            async with app.transaction() as tx:
                tx.execute("insert into orders (who) values ('ann')")
                await mail.enqueue("ann")
                await go_on.wait()
                tx.execute("insert into orders (who) values ('bob')")

        task = asyncio.create_task(slow())
        await asyncio.sleep(0)
        ref = await mail.enqueue("somebody else")  # waits for the block, and gets its turn while that still sleeps
        assert not task.done()
        go_on.set()
        with pytest.raises(StoreError, match=r"more than 0\.1 s") as late:
            await task
        assert "before the block" in late.value.mend
        assert await orders(app) == []
        assert await app.drain() == 1
        assert await ref.result("5s") == "somebody else"


async def test_a_statement_or_a_handler_that_blocks_is_held_to_the_limit_too(
    app: Windlass, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block, "LONGEST", 0.1)
    async with app:
        await begin(app)
        endless = "with recursive n(x) as (select 1 union all select x + 1 from n) select count(*) from n"
        with pytest.raises(StoreError, match="more than"):
            async with app.transaction() as tx:
                tx.execute("insert into orders (who) values ('ann')")
                tx.execute(endless)
        with pytest.raises(StoreError, match="more than"):
            async with app.transaction() as tx:
                tx.execute("insert into orders (who) values ('ann')")
                time.sleep(0.15)  # noqa: ASYNC251 (that is the fault which is tested)
        assert await orders(app) == []


@pytest.mark.parametrize("statement", ["commit", "rollback", "end"])
async def test_the_block_alone_ends_the_transaction(app: Windlass, statement: str) -> None:
    async with app:
        await begin(app)
        with pytest.raises((StoreError, apsw.ConstraintError)):
            async with app.transaction() as tx:
                tx.execute("insert into orders (who) values ('ann')")
                await app.handlers["mail"].enqueue("ann")
                tx.execute(statement)
        assert (await orders(app), await count(app)) == ([], 0)
        async with app.transaction() as tx:
            tx.execute("savepoint mine")
            tx.execute("insert into orders (who) values ('ann')")
            tx.execute("rollback to mine")
        assert await orders(app) == []


async def test_misuse_is_named(app: Windlass, tmp_path: Path) -> None:
    mail = app.handlers["mail"]
    async with app:
        async with app.transaction() as tx:
            with pytest.raises(InvalidOption, match="open here already"):
                async with app.transaction():
                    pass
        with pytest.raises(InvalidOption, match="has ended"):
            await mail.options(connection=tx).enqueue("late")
        with pytest.raises(InvalidOption, match="has ended"):
            tx.execute("select 1")
        foreign = sqlite3.connect(tmp_path / "other.db")
        with pytest.raises(InvalidOption) as refused:
            await mail.options(connection=foreign).enqueue("x")
        foreign.close()
        assert "app.transaction()" in refused.value.mend
        assert "sqlite3.Connection" in str(refused.value)
        other = make(f"sqlite:///{tmp_path / 'other.db'}")
        async with other, other.transaction() as theirs:
            with pytest.raises(InvalidOption):
                await mail.options(connection=theirs).enqueue("x")
            assert (await mail.enqueue("own")).created, "another app's block is not joined"
        assert await count(app) == 1


def test_another_process_waits_for_the_block(tmp_path: Path) -> None:
    """A worker process goes on after the block, and sees its job only then."""
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    program = f"""
import asyncio
from tests.transactions.test_sqlite import make
async def main():
    app = make({url!r})
    async with app:
        print("ready", flush=True)
        worker = app.worker()
        asyncio.get_running_loop().add_reader(0, lambda: asyncio.ensure_future(worker.stop()))
        await worker.run()
asyncio.run(main())
"""
    root = Path(__file__).parent.parent.parent
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == "ready\n"

        async def main() -> None:
            app = make(url)
            async with app:
                await until(app.workers, "the worker's record")
                async with app.transaction() as tx:
                    tx.execute("create table orders (who text)")
                    ref = await app.handlers["mail"].enqueue("ann")
                    await asyncio.sleep(0.2)
                    assert not (await app.jobs.get(ref.id)).is_final
                assert await ref.result("10s") == "ann"

        asyncio.run(main())
        process.stdin.close()
        assert process.wait(20) == 0


async def test_in_a_sandbox_a_block_is_the_sandboxs(app: Windlass) -> None:
    mail = app.handlers["mail"]
    async with testing.sandbox(app) as box:
        await begin(app)
        with pytest.raises(RuntimeError):
            async with app.transaction():
                await mail.enqueue("undone")
                raise RuntimeError
        assert box.enqueued() == []
        async with app.transaction():
            await mail.enqueue("kept")
            assert box.enqueued() == []
        box.assert_enqueued(mail, to="kept", count=1)
        assert await box.drain() == 1


async def test_in_a_sandbox_any_connection_will_do(app: Windlass) -> None:
    """Programs that enqueue on their own connections are tested without the database."""
    mail = app.handlers["mail"]
    session = object()
    async with testing.sandbox(app) as box:
        await mail.options(connection=session).enqueue("one")
        await app.enqueue_many([mail.job("two")], connection=session)
        await asyncio.to_thread(app.sync.enqueue, mail.options(connection=session), "three")
        box.assert_enqueued(mail, to="three", count=1)
        assert await box.drain() == 3
        await asyncio.to_thread(app.sync.close)
    async with app:
        with pytest.raises(InvalidOption):
            await mail.options(connection=session).enqueue("outside")
