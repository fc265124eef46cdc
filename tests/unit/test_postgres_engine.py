"""What only the PostgreSQL engine has: broken connections, poolers, planners, roles, schemas of other versions."""

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from tests.servers import PostgresServer
from tests.store.kit import HOUR, LEASE, T0, Hand, all_ids, counted, end, fresh_id, get, new, promote_all, put, state_of
from tests.store.places import postgres_server
from tests.waiting import until
from windlass.errors import InvalidArgs, SchemaMismatch, StoreReadOnly, StoreUnavailable
from windlass.store.postgres import filters, migrate
from windlass.store.postgres.engine import PostgresStore
from windlass.values.job import Edge, Enqueued, UniqueKey
from windlass.values.lease import ClaimRequest
from windlass.values.metrics import MINUTE, MetricQuery
from windlass.values.outcome import Verdict, completed
from windlass.values.query import Action, Command, Retention, Where
from windlass.values.states import Event, State

_numbers = itertools.count(1)


def fresh(options: str = "", server: PostgresServer | None = None) -> PostgresStore:
    return PostgresStore((server or postgres_server()).url + options, f"e{next(_numbers)}")


@asynccontextmanager
async def opened(store: PostgresStore | None = None) -> AsyncIterator[PostgresStore]:
    store = store or fresh()
    await store.open()
    try:
        yield store
        assert await store.audit_counts() == []
    finally:
        await store.close()


@asynccontextmanager
async def beside(server: PostgresServer | None = None) -> AsyncIterator[Any]:
    """A connection of somebody else."""
    connection = await asyncpg.connect((server or postgres_server()).url)
    try:
        yield connection
    finally:
        await connection.close()


async def execute(store: PostgresStore, text: str) -> None:
    async with beside() as connection:
        await connection.execute(text.replace("{schema}", f'"{store._namespace}"'))


# connections


async def test_a_restarted_server_is_found_again() -> None:
    server = PostgresServer().start()
    store = fresh(server=server)
    async with opened(store):
        (id,) = await put(store, new())
        hand = Hand(store)
        claim = await hand.one()
        server.kill()
        with pytest.raises(StoreUnavailable):
            await store.finish([completed(claim, "1", 1)])
        with pytest.raises(StoreUnavailable):
            await store.enqueue([new()])
        server.start()
        assert await store.finish([completed(claim, "1", 1)]) == [Verdict.ACCEPTED]
        assert await state_of(store, id) is State.COMPLETED
    server.close()


async def test_a_listener_hears_again_after_its_connection_was_cut() -> None:
    async with opened() as store, opened(store.sibling()) as other, beside() as connection:  # type: ignore[arg-type]
        rung: list[int] = []
        store.listen(["ready"], lambda: rung.append(1))
        await until(lambda: rung, "the first wake-up of a new listener")
        cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
        rung.clear()
        assert await connection.fetchval(cut) >= 1
        await until(lambda: rung, "a wake-up because something may have been missed")

        async def listening() -> int:
            text = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND state = 'idle'"
            return await connection.fetchval(text)

        await until(listening, "the new listening connection")
        rung.clear()
        await put(other, new())
        await until(lambda: rung, "the wake-up by an enqueue elsewhere")


async def test_cut_connections_do_not_show() -> None:
    async with opened() as store, beside() as connection:
        await put(store, new())
        ours = "SELECT pid FROM pg_stat_activity WHERE application_name = 'windlass'"
        pids = [row["pid"] for row in await connection.fetch(ours)]
        assert pids
        await connection.execute("SELECT pg_terminate_backend(pid) FROM unnest($1::integer[]) p(pid)", pids)

        async def gone() -> bool:
            text = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY($1::integer[])"
            return not await connection.fetchval(text, pids)

        await until(gone, "the end of all our sessions")
        await asyncio.sleep(0)
        assert await counted(store) == {State.WAITING: 1}


async def test_a_server_that_is_not_there() -> None:
    server = PostgresServer()
    with pytest.raises(StoreUnavailable) as refused:
        await fresh(server=server).open()
    assert str(server.port) in str(refused.value)
    server.close()


async def test_a_store_that_is_not_open_says_so() -> None:
    store = fresh()
    with pytest.raises(StoreUnavailable, match="not open"):
        await store.counts()
    await store.open()
    await store.close()
    await store.close()
    with pytest.raises(StoreUnavailable, match="not open"):
        await store.enqueue([new()])


async def test_deadlocks_are_made_again() -> None:
    """Two calls that lock the same rows in opposite ways both succeed."""
    async with opened() as store:
        ids = await put(store, *(new(delay=HOUR) for _ in range(200)))
        priorities = [(ids, n) for n in range(5)] + [(ids[::-1], -n) for n in range(1, 5)]
        answers = await asyncio.gather(
            *(
                store.command(
                    Command(action=Action.REPRIORITISE, priority=priority), Where(ids=tuple(some)), 500, "ops"
                )
                for some, priority in priorities
            )
        )
        assert [len(answer.done) for answer in answers] == [200] * 9


async def test_a_password_never_shows() -> None:
    url = postgres_server().url.replace("postgres@", "postgres:s3cret@").replace(str(postgres_server().port), "1")
    store = PostgresStore(url)
    assert "s3cret" not in store.url
    with pytest.raises(StoreUnavailable) as refused:
        await store.open()
    assert "s3cret" not in str(refused.value.as_dict())


# poolers


async def test_the_whole_way_without_prepared_statements_or_listen() -> None:
    async with opened(fresh("?pooler=transaction")) as store:
        rung: list[int] = []
        store.listen(["ready"], lambda: rung.append(1))
        parent = new()
        child = new(after=(Edge(parent.id),), unique=UniqueKey(key="k"))
        await put(store, parent, child)
        hand = Hand(store)
        await hand.complete(await hand.one())
        await hand.finish(end(await hand.one(), Event.RETRY))
        await promote_all(store)
        assert await counted(store) == {State.COMPLETED: 1, State.WAITING: 1}
        rung.clear()
        await until(lambda: rung, "a wake-up by the clock")
        assert any("pooler" in warning for warning in (await store.health())["warnings"])
        async with beside() as connection:
            text = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND application_name = $1"
            assert await connection.fetchval(text, store._namespace) == 0


# the planner


@pytest.mark.parametrize(
    "off", [(), ("hashjoin",), ("nestloop",), ("nestloop", "hashjoin"), ("material", "sort"), ("indexscan",)]
)
@pytest.mark.parametrize("queues", [None, ("a",), ("a", "b", "c")])
async def test_no_plan_claims_too_many(off: tuple[str, ...], queues: tuple[str, ...] | None) -> None:
    async with opened() as store:
        opened_ = store._opened
        assert opened_ is not None
        await put(store, *(new(queue="abc"[n % 3], priority=n % 2) for n in range(60)))
        database = opened_.database
        async with database.pool.use() as connection:  # the pool gives out the same one again
            for method in ("hashjoin", "mergejoin", "seqscan"):
                await connection.execute(f"SET enable_{method} = on")
            for method in off:
                await connection.execute(f"SET enable_{method} = off")
        seen: set[str] = set()
        for number in range(1, 5):
            request = ClaimRequest(
                worker="w", session="s", number=number, slots={"async": number}, lease=LEASE, queues=queues
            )
            jobs = (await store.claim(request)).jobs
            assert len(jobs) == number
            seen |= {job.id for job in jobs}
        assert len(seen) == 1 + 2 + 3 + 4


async def test_claims_use_the_ready_index_when_the_table_was_small_at_first() -> None:
    """The plan is made once per connection: it must be right for the table that comes."""
    async with opened() as store:
        hand = Hand(store)
        for _ in range(7):  # enough for a generic plan
            await put(store, new())
            await hand.complete(await hand.one())
        await put(store, *(new() for _ in range(3_000)))
        await hand.take(1)
        before = await _scans(store)
        await hand.take(1)
        after = await _scans(store)
        assert after["seq_scan"] == before["seq_scan"]
        assert after["idx_scan"] > before["idx_scan"]


async def test_no_finish_or_heartbeat_starts_from_the_leases() -> None:
    """After an ANALYZE that met no active job the index of leases looks empty to the planner; under an old snapshot it holds
    every lease ever given."""
    async with opened() as store:
        hand = Hand(store)
        await put(store, *(new() for _ in range(2_000)))
        await hand.complete(*[claim for _ in range(9) for claim in await hand.take(200)])
        await execute(store, "ANALYZE {schema}.job")
        other = PostgresStore(store._given, store._namespace)  # its plans are made now
        async with opened(other):
            theirs = Hand(other)
            claims = await theirs.take(50)
            before = await _index_scans(other, "job_leased")
            await theirs.beat(*claims)
            await theirs.complete(*claims[:25])
            await theirs.finish(*(end(claim, Event.RETRY) for claim in claims[25:]))
            assert await _index_scans(other, "job_leased") == before


async def test_each_call_of_a_command_by_filter_costs_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million jobs are a thousand calls; were each to begin at the first job, the last would pass over a million."""
    monkeypatch.setattr(filters, "SCANNED", 20)
    async with opened() as store:
        await put(store, *(new() for _ in range(600)))
        for action, state in (
            (Action.CANCEL, State.WAITING),
            (Action.REQUEUE, State.CANCELLED),
            (Action.DELETE, State.WAITING),
        ):
            if action is Action.DELETE:
                await store.command(
                    Command(action=Action.CANCEL), Where(ids=tuple(await all_ids(store, Where()))), 600, "me"
                )
                state = State.CANCELLED
            read: list[int] = []
            more, done = True, 0
            while more:
                before = await _entries_read(store)
                answer = await store.command(Command(action=action), Where(states=(state,)), 20, "me")
                read.append(await _entries_read(store) - before)
                more, done = answer.more, done + len(answer.done)
            assert done == 600
            assert len(read) == 30
            assert max(read[1:-2]) <= 2 * read[0], (action, read)


async def test_each_prune_costs_the_same() -> None:
    async with opened() as store:
        hand = Hand(store)
        await put(store, *(new() for _ in range(600)))
        for _ in range(6):
            await hand.complete(*await hand.take(100))
        read: list[int] = []
        for _ in range(30):
            before = await _entries_read(store)
            assert await store.prune(Retention(completed=0), 20) == 20
            read.append(await _entries_read(store) - before)
        assert max(read) <= 2 * min(read) + 40, (
            read
        )  # those of the call before may be met once more, to be marked as dead
        assert await store.prune(Retention(completed=0), 20) == 0


async def test_a_command_by_filter_finds_what_came_to_match_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "SCANNED", 5)
    async with opened() as store:
        ids = await put(store, *(new() for _ in range(30)))
        cancel, waiting = Command(action=Action.CANCEL), Where(states=(State.WAITING,))
        first = await store.command(cancel, waiting, 20, "me")
        assert first.more
        await store.command(Command(action=Action.REQUEUE), Where(ids=(ids[0],)), 1, "me")
        rest = await store.command(cancel, waiting, 20, "me")
        assert set(first.done) | set(rest.done) == set(ids)
        assert (len(rest.done), rest.more) == (11, False)


async def _entries_read(store: PostgresStore) -> int:
    opened_ = store._opened
    assert opened_ is not None
    async with opened_.database.pool.use() as connection:
        await connection.execute("SELECT pg_stat_force_next_flush()")
        text = "SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE schemaname = $1 AND relname = 'job'"
        return await connection.fetchval(text, store._namespace)


async def _index_scans(store: PostgresStore, index: str) -> int:
    opened_ = store._opened
    assert opened_ is not None
    async with opened_.database.pool.use() as connection:  # the one that does all of this handle's work
        await connection.execute("SELECT pg_stat_force_next_flush()")
        text = "SELECT idx_scan FROM pg_stat_user_indexes WHERE schemaname = $1 AND indexrelname = $2"
        return await connection.fetchval(text, store._namespace, index)


async def _scans(store: PostgresStore) -> Any:
    opened_ = store._opened
    assert opened_ is not None
    async with opened_.database.pool.use() as connection:  # the one that claimed
        await connection.execute("SELECT pg_stat_force_next_flush()")
        text = "SELECT seq_scan, idx_scan FROM pg_stat_user_tables WHERE schemaname = $1 AND relname = 'job'"
        return dict(await connection.fetchrow(text, store._namespace))


# the line under an old snapshot


async def test_jobs_that_keep_their_place_are_found_by_another_handle() -> None:
    """The floor of one handle must not hide what another put back below it."""
    async with opened() as store, opened(store.sibling()) as other:  # type: ignore[arg-type]
        ids = await put(store, *(new() for _ in range(1_500)))
        mine, theirs = Hand(store, "mine"), Hand(other, "theirs")
        first = await theirs.take(1)
        for _ in range(6):
            await mine.complete(*await mine.take(200))
        await theirs.finish(end(first[0], Event.RELEASE))
        rest = await mine.drain()
        assert sorted([*(job.id for job in rest)]) == sorted([first[0].id, *ids[1201:]])


async def test_a_commit_that_comes_late_is_found() -> None:
    async with opened() as store, beside() as connection:
        late = new()
        transaction = connection.transaction()
        await transaction.start()
        await store.enqueue_on(connection, [late])
        await put(store, *(new() for _ in range(1_000)))
        hand = Hand(store)
        assert len(await hand.drain()) == 1_000
        await transaction.commit()
        assert [job.id for job in await hand.drain()] == [late.id]


# schemas


async def test_many_that_open_an_empty_database_at_once() -> None:
    first = fresh()
    others = [first.sibling() for _ in range(5)]
    await asyncio.gather(first.open(), *(other.open() for other in others))
    assert await first.migrate() == []
    assert await first.schema() == (migrate.known(), migrate.known())
    for store in (first, *others):
        await store.close()


async def test_a_newer_schema_that_breaks_nothing_is_worked_on() -> None:
    async with opened() as store:
        await execute(store, "INSERT INTO {schema}.migration VALUES (998, 'harmless', false)")
        async with opened(store.sibling()) as other:  # type: ignore[arg-type]
            await put(other, new())
            assert not (await Hand(other).beat()).stop


async def test_a_newer_breaking_schema_stops_workers_and_refuses_new_ones() -> None:
    async with opened() as store:
        await execute(store, "INSERT INTO {schema}.migration VALUES (999, 'breaking', true)")
        assert (await Hand(store).beat()).stop
        with pytest.raises(SchemaMismatch) as refused:
            await store.sibling().open()
        assert (refused.value.found, refused.value.known) == (999, migrate.known())


async def test_an_older_schema_is_not_touched() -> None:
    async with opened() as store:
        steps = migrate.STEPS
        migrate.STEPS = (*steps, ("0002_next", False))
        try:
            with pytest.raises(SchemaMismatch) as refused:
                await store.sibling().open()
            assert "windlass migrate" in refused.value.mend
        finally:
            migrate.STEPS = steps


# roles


async def test_a_role_with_no_more_than_the_tables() -> None:
    role = f"r{uuid.uuid4().hex[:8]}"
    async with opened() as store, beside() as connection:
        schema = f'"{store._namespace}"'
        await connection.execute(f"CREATE ROLE {role} LOGIN")
        await connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
        await connection.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {role}")
        await connection.execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA {schema} TO {role}")
        low = PostgresStore(postgres_server().url.replace("postgres@", f"{role}@"), store._namespace)
        async with opened(low):
            await put(low, new())
            hand = Hand(low)
            await hand.complete(await hand.one())
            assert any("may not create" in warning for warning in (await low.health())["warnings"])


async def test_a_database_that_refuses_writes() -> None:
    async with opened() as store:
        low = PostgresStore(store._given + "?default_transaction_read_only=on", store._namespace)
        await low.open()
        with pytest.raises(StoreReadOnly):
            await low.enqueue([new()])
        assert await low.counts() == []
        await low.close()


# what the tables cannot keep


@pytest.mark.parametrize("text", ["nul \x00", "surrogate \ud800"])
async def test_text_that_cannot_be_kept_is_refused_by_name(text: str) -> None:
    async with opened() as store:
        with pytest.raises(InvalidArgs):
            await store.enqueue([new(args=text)])
        assert await store.counts() == []
        await put(store, new())


async def test_a_repeat_that_overtakes_its_first() -> None:
    """The reply was lost while the first call still ran: both may be at work at once."""
    async with opened() as store:
        for _ in range(20):
            jobs = [new() for _ in range(20)]
            answers = await asyncio.gather(*(store.enqueue(jobs) for _ in range(4)), return_exceptions=True)
            assert answers == [[Enqueued(job.id) for job in jobs]] * 4
        assert await counted(store) == {State.WAITING: 400}


async def test_a_repeated_claim_while_the_first_still_runs() -> None:
    async with opened() as store:
        await put(store, *(new() for _ in range(50)))
        request = ClaimRequest(worker="w", session=fresh_id(), number=1, slots={"async": 5}, lease=LEASE)
        answers = await asyncio.gather(*(store.claim(request) for _ in range(4)))
        given = {job.id for answer in answers for job in answer.jobs}
        assert len(given) == 5
        assert (await counted(store))[State.ACTIVE] == 5
        assert {(await get(store, id)).worker for id in given} == {"w"}


async def test_sums_are_folded() -> None:
    async with opened() as store, beside() as connection:
        schema = f'"{store._namespace}"'
        hand = Hand(store)
        query = MetricQuery(since=T0, until=T0 + 10 * MINUTE)
        await store.hold_time(T0)

        async def piled() -> tuple[int, int]:
            """Rows of sums not folded yet, before and after a promote, which changes no answer."""
            text = f"SELECT (SELECT count(*) FROM {schema}.delta) + (SELECT count(*) FROM {schema}.batch)"
            counts, points, before = await store.counts(), await store.metrics(query), await connection.fetchval(text)
            await store.promote(10)
            assert (await store.counts(), await store.metrics(query)) == (counts, points)
            return before, await connection.fetchval(text)

        for _ in range(3):
            await put(store, new())
            await hand.complete(await hand.one())
        before, after = await piled()
        assert before == after > 0, "few rows lie"
        for _ in range(40):
            await put(store, new())
            await hand.complete(await hand.one())
        before, after = await piled()
        assert before > after == 0
        await put(store, new())
        await hand.complete(await hand.one())
        await store.hold_time(T0 + MINUTE)
        before, after = await piled()
        assert before - after == 1, "tallies do not wait when their minute is over"


async def test_a_transaction_that_stands_still_lets_go_of_its_locks_and_is_made_again() -> None:
    """As when a process is stopped between two statements: the others must be able to take over its jobs."""
    async with opened() as store, opened(store.sibling()) as other:
        await put(store, new())
        hand = Hand(other)
        claim = await hand.one()
        database = store._opened.database
        awake = asyncio.Event()
        tries = 0

        async def work(connection: Any) -> int:
            nonlocal tries
            await connection.execute(f"SELECT FROM {database.table('job')} FOR UPDATE")
            tries += 1
            await awake.wait()
            return await connection.fetchval("SELECT 7")

        stopped = asyncio.create_task(database.write(work))
        await until(lambda: tries, "the lock to be taken")
        await hand.complete(claim)  # waits for the lock
        assert not stopped.done()
        awake.set()
        assert await stopped == 7
        assert tries == 2
