"""PostgreSQL's way with dead letters and retention: a schema of the version before, its statements, work that does not grow."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from tests.store.kit import DAY, HOUR, T0, Hand, act, bury, get, new, prune_all, put
from tests.store.places import postgres_server
from windlass.errors import SchemaMismatch
from windlass.store.postgres import filters, migrate
from windlass.store.postgres.engine import PostgresStore
from windlass.store.postgres.statements import PACKAGE, filled
from windlass.store.statement import load
from windlass.values.query import Action, Command, Keep, Retention, Where
from windlass.values.states import Event, State

ERRORS = (
    '{"type":"E","message":"m","fingerprint":"f"}',
    r'{"type":"E","message":"it said \"fingerprint\":\"no\" \u0000","fingerprint":"f"}',
    '{"type":"E","message":"m"}',
    None,
)
_numbers = itertools.count(1)


async def _beside() -> Any:
    return await asyncpg.connect(postgres_server().url)


@asynccontextmanager
async def opened(name: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(postgres_server().url, f"{name}{next(_numbers)}")
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def left_by_version_1(schema: str) -> list[str]:
    """A schema with dead letters from before this version, written by hand: that version's code is gone. Their ids."""
    connection = await _beside()
    await migrate._create(connection, schema)
    await connection.execute(filled(load(PACKAGE, "migrations/0001_start.sql"), schema))
    await connection.execute(filled("INSERT INTO {schema}.migration VALUES (1, '0001_start', true)", schema))
    ids = [f"0000000{n}" for n in range(len(ERRORS))]
    for n, (id, error) in enumerate(zip(ids, ERRORS, strict=True)):
        await connection.execute(
            filled(
                "INSERT INTO {schema}.job (id, created_at, dependents, kind, runtime, queue, options, args, max_attempts,"
                " priority, waits, attempt, rescues, ord, run_at, finished_at, state, error)"
                " VALUES ($1, 0, false, 'work', 'async', 'default', '{}', '{}', 1, 0, 0, 1, 0, $2, 0, $3, 'failed', $4)",
                schema,
            ),
            id,
            n,
            T0 + n,
            error,
        )
    await connection.execute(filled("INSERT INTO {schema}.total VALUES ('default', 'failed', 4)", schema))
    await connection.close()
    return ids


async def test_dead_letters_of_the_version_before_join_their_groups() -> None:
    store = PostgresStore(postgres_server().url, f"before{next(_numbers)}")
    ids = await left_by_version_1(store._namespace)
    with pytest.raises(SchemaMismatch):
        await store.open()
    assert await store.migrate() == ["0002_operations", "0003_fans", "0004_past", "0005_flags"]
    await store.open()
    groups = {
        group.fingerprint: (group.n, group.first, group.last, group.sample) for group in await store.error_groups()
    }
    assert groups == {"f": (2, T0, T0 + 1, ids[1]), "": (2, T0 + 2, T0 + 3, ids[3])}
    letter = await get(store, ids[0])
    assert (letter.cost, letter.revivals, letter.next_retry_at) == (0, 0, None)
    assert (await act(store, Action.REQUEUE, *ids)).done == tuple(ids)
    assert await store.error_groups() == []
    assert await store.audit_counts() == []
    await store.close()


async def test_statements_of_the_version_before_keep_all_of_it_up() -> None:
    """What its programs call while this version's stand beside them."""
    async with opened("beside") as store:
        connection = await _beside()

        async def call(text: str, *values: Any) -> Any:
            return await connection.fetchrow(filled(text, store._namespace), *values)

        well, badly, by_command = await put(store, new(), new(), new(delay=HOUR))
        first, second = await Hand(store).take(2)
        assert [first.id, second.id] == [well, badly]
        await call(
            "SELECT readied FROM {schema}.complete($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            *([well], [first.lease], ["1"], [5], None, ["default"], ["work"], ["complete"], [0], [1]),
        )
        ended = await call(
            "SELECT accepted, under, parents, readied, at FROM"
            " {schema}.finish($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
            *([badly], [second.lease], [Event.FAIL.value], [None], [ERRORS[0]], ["{}"], ["no"], [0], [True], [False]),
            *([None], [5], [None], False),
        )
        assert ended["accepted"] == [badly]
        await call(
            "SELECT {schema}.end_pending($1::text[], $2::text, $3::text, {schema}.clock())",
            [by_command],
            "failed",
            "so",
        )
        assert {group.fingerprint: group.sample for group in await store.error_groups()} == {"f": badly, "": by_command}
        assert await store.audit_counts() == []
        await call("SELECT {schema}.requeue($1::text[], $2::boolean, {schema}.clock())", [badly], False)
        assert [group.sample for group in await store.error_groups()] == [by_command]
        assert await store.audit_counts() == []
        await call("SELECT {schema}.remove($1::text[])", [well])
        assert (await store.job(well), await store.past(well)) == (None, None)
        assert await store.audit_counts() == []
        await connection.close()


async def test_a_sweep_costs_what_it_revives(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few letters are due among many that are not."""
    monkeypatch.setattr(filters, "SCANNED", 50)
    async with opened("sweep") as store:
        await store.hold_time(T0)
        await bury(store, *(new() for _ in range(1_600)), ladder=(DAY,))
        due = await bury(store, *(new() for _ in range(40)), ladder=(HOUR,))
        await store.hold_time(T0 + 2 * HOUR)
        before = await _entries_read(store, "dead")
        sweep = Command(action=Action.REQUEUE, scheduled=True)
        answer = await store.command(sweep, Where(retry_before=T0 + 2 * HOUR), 100, "house")
        assert (sorted(answer.done), answer.more) == (sorted(due), False)
        assert await _entries_read(store, "dead") - before < 40 * 20
        assert await store.count([Where(states=(State.FAILED,), retry_before=T0 + 2 * DAY)], 10_000) == [1_600]


async def test_a_queue_that_keeps_more_is_passed_over_once() -> None:
    async with opened("keeps") as store:
        await store.hold_time(T0)
        hand = Hand(store)
        await put(store, *(new(queue="kept") for _ in range(500)), *(new(queue="other") for _ in range(20)))
        for n in range(6):
            await store.hold_time(T0 + n)
            if claims := await hand.take(100):
                await hand.complete(*claims)
        await store.hold_time(T0 + DAY)
        keep = Retention(completed=HOUR, queues={"kept": Keep(completed=None)}, logs=None)
        assert await prune_all(store, keep, 100) == 20
        before = await _entries_read(store, "job")
        assert await store.prune(keep, 100) == 0
        assert await _entries_read(store, "job") - before < 100


async def test_what_remains_of_jobs_is_numbered_without_gaps_by_several_at_once() -> None:
    async with opened("past") as store:
        other = PostgresStore(store._given, store._namespace)
        await other.open()
        ids = await put(store, *(new() for _ in range(600)))
        hand = Hand(store)
        await hand.complete(*await hand.drain())
        keep = Retention(completed=0, history=None, keep_history=500)
        await asyncio.gather(*(prune_all(handle, keep, 50) for handle in (store, other)))
        assert await store.audit_counts() == []
        assert sum([await other.past(id) is not None for id in ids]) == 500
        await prune_all(store, Retention(completed=0, history=0))
        assert sum([await other.past(id) is not None for id in ids]) == 0
        assert await store.audit_counts() == []
        await other.close()


async def _entries_read(store: PostgresStore, table: str) -> int:
    opened = store._opened
    assert opened is not None
    async with opened.database.pool.use() as connection:  # the one that does all of this handle's work
        await connection.execute("SELECT pg_stat_force_next_flush()")
        text = "SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE schemaname = $1 AND relname = $2"
        return await connection.fetchval(text, store._namespace, table)


async def test_a_finish_begins_at_its_own_jobs() -> None:
    """After an ANALYZE that met no active job, a plan that expects many ends would begin at all jobs."""
    async with opened("own") as store:
        await put(store, *(new() for _ in range(3_000)))
        connection = await _beside()
        await connection.execute(filled("ANALYZE {schema}.job", store._namespace))
        await connection.close()
        other = PostgresStore(store._given, store._namespace)  # its plans are made now
        await other.open()
        hand = Hand(other)
        claims = await hand.take(200)
        before = await _entries_read(other, "job")
        await hand.complete(*claims)
        read = await _entries_read(other, "job") - before
        await other.close()
        assert read < 5 * 200
