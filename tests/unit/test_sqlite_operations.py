"""SQLite's way with dead letters and the journal: a file of the version before, walks over old jobs, work that does not grow."""

from pathlib import Path

import apsw
import pytest

from tests.store.kit import DAY, HOUR, T0, Hand, act, bury, failing, get, new, prune_all, put
from windlass.store.sqlite import migrate
from windlass.store.sqlite.address import names
from windlass.store.sqlite.engine import SqliteStore
from windlass.store.sqlite.operating import Act, choose
from windlass.store.sqlite.retaining import LOOKED
from windlass.store.sqlite.selecting import Round
from windlass.values.lease import LogLine
from windlass.values.query import Action, Command, Retention, Where
from windlass.values.states import State

ENDED = T0 - DAY
ERRORS = ('{"type":"E","message":"m","fingerprint":"f"}', '{"type":"E","message":"m"}', None)
KEEP = Retention(completed=None, failed=None, cancelled=None, metrics=None, audit=None)


def left_by_version_1(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file with dead letters from before the ledger, written by hand: that version's code is gone."""
    first = migrate.steps()[:1]
    connection = apsw.Connection(str(path))
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "steps", lambda: first)
        migrate.migrate(connection, "windlass")  # type: ignore[arg-type]
    for n, error in enumerate(ERRORS, 1):
        values = (
            n,
            f"0000000{n}",
            "failed",
            "default",
            "work",
            "async",
            n | (100 << 45),
            0,
            1,
            ENDED,
            ENDED,
            ENDED + n,
            "{}",
            error,
        )
        connection.execute(
            "insert into windlass_job (n, id, state, queue, kind, runtime, ord, priority, max_attempts, created_at, run_at, "
            "finished_at, args, error) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )
    connection.execute("insert into windlass_count values ('default', 'failed', 3)")
    connection.execute("insert into windlass_queue (name) values ('default')")
    connection.execute("update windlass_counter set n = 3 where name = 'seq'")
    connection.close()


async def test_dead_letters_from_before_the_ledger_join_their_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_by_version_1(tmp_path / "jobs.db", monkeypatch)
    store = SqliteStore(f"sqlite:///{tmp_path / 'jobs.db'}")
    assert await store.schema() == (1, migrate.known())
    await store.open()
    try:
        assert await store.audit_counts() == []
        groups = {group.fingerprint: group for group in await store.error_groups()}
        assert {name: (group.n, group.first, group.last) for name, group in groups.items()} == {
            "f": (1, ENDED + 1, ENDED + 1),
            "": (2, ENDED + 2, ENDED + 3),
        }
        assert groups["f"].sample == "00000001"
        job = await get(store, "00000001")
        assert (job.cost, job.revivals, job.next_retry_at) == (0, 0, None)
        assert (await act(store, Action.REQUEUE, "00000001", scheduled=True)).done == ("00000001",)
        assert await store.count([Where(fingerprints=("f",)), Where(fingerprints=("",))], 10) == [0, 2]
        assert (await get(store, "00000001")).revivals == 1
        assert await store.audit_counts() == []
    finally:
        await store.close()


async def opened() -> SqliteStore:
    store = SqliteStore("sqlite://:memory:")
    await store.open()
    await store.hold_time(T0)
    return store


async def test_a_walk_looks_at_a_bounded_number_and_comes_to_its_end() -> None:
    """Many jobs that have nothing to give are passed over in steps; what stands behind them is reached."""
    store = await opened()
    try:
        for _ in range(0, 2 * LOOKED + 500, 500):
            await bury(store, *(new() for _ in range(500)))
        await store.hold_time(T0 + 1)
        (last,) = await put(store, new())
        hand = Hand(store)
        claim = await hand.one()
        await store.report([LogLine(last, claim.lease, 1, "info", "a line")])
        await hand.complete(claim)
        await store.hold_time(T0 + 8 * DAY)
        calls = [await store.prune(KEEP, 500) for _ in range(3)]
        assert calls == [1, 1, 1], "two that only looked, and the one that came to the line"
        assert await store.log(last) == []
        assert await store.prune(KEEP, 500) == 0
        assert await store.audit_counts() == []
    finally:
        await store.close()


async def test_what_a_move_brings_is_walked_over_too() -> None:
    """Its jobs may have ended before the instant up to which this store has walked."""
    source, target = await opened(), await opened()
    try:
        (old,) = await bury(source, new(), ladder=(400 * DAY,))
        for store in (source, target):
            await store.hold_time(T0 + HOUR)
        await bury(target, new(), ladder=(400 * DAY,))
        await target.hold_time(T0 + 40 * DAY)
        assert await prune_all(target, KEEP) == 1
        assert await target.load((await source.dump()).items) == 1
        assert (await get(target, old)).next_retry_at is not None
        assert await prune_all(target, KEEP) == 1
        assert (await get(target, old)).next_retry_at is None
        assert await target.audit_counts() == []
    finally:
        await source.close()
        await target.close()


async def test_the_journal_of_two_handles_on_one_file(tmp_path: Path) -> None:
    """What one hears the other writes from its next call on, and the other way round: nothing is kept in memory."""
    url = f"sqlite:///{tmp_path / 'jobs.db'}"
    one, two = SqliteStore(url), SqliteStore(url)
    await one.open()
    await two.open()
    try:
        (before,) = await put(two, new())
        cursor = (await one.feed(None)).cursor
        (after,) = await put(two, new())
        heard = await one.feed(cursor)
        assert [(each.event, each.ids) for each in heard.entries] == [(State.WAITING, (after,))]
        assert not heard.reset
        claims = await Hand(one).take()
        assert {claim.id for claim in claims} == {before, after}
        (entry,) = (await two.feed(heard.cursor)).entries
        assert (entry.event, set(entry.ids), entry.n) == (State.ACTIVE, {before, after}, 2)
    finally:
        await one.close()
        await two.close()


async def test_what_a_command_looked_for_is_looked_at_again_when_it_acts() -> None:
    """Between the look and the transaction a job is claimed, and another dead letter fails anew: neither matches any more."""
    store = await opened()
    tables = names("windlass")
    try:
        (claimed, waiting) = await put(store, new(queue="a"), new(queue="b"))
        (dead,) = await bury(store, new(), fingerprint="f", ladder=(0, HOUR))
        sweep = Command(action=Action.REQUEUE, scheduled=True)
        due, held = Where(retry_before=T0 + 1), Where(states=(State.WAITING,))
        chosen = await store._scan(lambda view: choose(view, sweep, due, 10, tables, Round()))
        cancel = Command(action=Action.CANCEL)
        queued = await store._scan(lambda view: choose(view, cancel, held, 10, tables, Round()))
        await Hand(store, queues=("a",)).one()
        assert (await act(store, Action.REQUEUE, dead, scheduled=True)).done == (dead,)
        hand = Hand(store, "again", queues=("default",))
        await hand.finish(failing(await hand.one(), "f", ladder=(0, HOUR)))
        done = await store._write(lambda tx: Act(sweep, due, "ops", tables).run(tx, chosen))
        assert (done.done, (await get(store, dead)).revivals) == ((), 1)
        done = await store._write(lambda tx: Act(cancel, held, "ops", tables).run(tx, queued))
        assert (done.done, done.flagged) == ((waiting,), ())
        assert not (await get(store, claimed)).cancelling
    finally:
        await store.close()


async def test_what_a_version_without_the_ledger_failed_and_requeued_is_mended(tmp_path: Path) -> None:
    store = SqliteStore(f"sqlite:///{tmp_path / 'jobs.db'}")
    await store.open()
    other = apsw.Connection(str(tmp_path / "jobs.db"))
    try:
        failed, requeued = await bury(store, new(), new(), fingerprint="f")
        other.execute("delete from windlass_ledger where id = ?", (failed,))
        await store.prune(KEEP, 100)
        assert await store.audit_counts() == []
        assert [(group.fingerprint, group.n) for group in await store.error_groups()] == [("f", 2)]
        other.execute("update windlass_job set state = 'waiting', finished_at = null where id = ?", (requeued,))
        other.execute("update windlass_count set n = 1 where state in ('failed', 'waiting')")
        await store.prune(KEEP, 100)
        assert await store.audit_counts() == []
        assert [(group.fingerprint, group.n) for group in await store.error_groups()] == [("f", 1)]
    finally:
        other.close()
        await store.close()
