"""SQLite's fair queues under limits: a claim's work does not grow with the lines of a group; files of the version before."""

from pathlib import Path

import apsw

from tests.store.kit import Hand, new, put
from windlass.store.sqlite import migrate
from windlass.store.sqlite.engine import SqliteStore
from windlass.values.job import NewJob
from windlass.values.limit import Bound
from windlass.values.query import Retention
from windlass.values.queue import QueueChange

GROUPS, ROOM = 4, 4


def job(n: int) -> NewJob[None]:
    """One of its user's, in one of four groups, behind a key that all share."""
    return new(group=f"g{n % GROUPS}", limits=(Bound("all", ROOM), Bound(f"user:{n}", 1)))


async def opened(url: str = "sqlite://:memory:") -> SqliteStore:
    store = SqliteStore(url)
    await store.open()
    return store


async def work_of_claims(lines: int) -> tuple[int, list[str]]:
    """Thousands of SQLite's instructions that the dearest of 25 claims took, and the groups in the order of their turns."""
    store = await opened()
    try:
        await store.put_queue("default", QueueChange(order="fair"), "ops")
        for at in range(0, lines, 500):
            await put(store, *(job(n) for n in range(at, at + 500)))
        hand = Hand(store)
        for _ in range(60):  # by then the groups are known to be crowded
            await hand.complete(*await hand.up_to(ROOM))
        crowded = "select count(*) from windlass_line where rank = 1 << 62 and head is not null"
        assert store._writer().connection.execute(crowded).fetchall()[0][0] > lines // 2
        ticks, dearest = 0, 0
        turns: list[str] = []

        def tick() -> bool:
            nonlocal ticks
            ticks += 1
            return False

        connection = store._writer().connection
        connection.set_progress_handler(tick, 1_000)
        for _ in range(25):
            ticks = 0
            claims = await hand.up_to(ROOM)
            dearest = max(dearest, ticks)
            turns += [claim.group or "" for claim in claims]
            await hand.complete(*claims)
        connection.set_progress_handler(None)
        assert await store.audit_counts() == []
        return dearest, turns
    finally:
        await store.close()


async def test_the_work_of_a_claim_does_not_grow_with_the_lines_of_a_group() -> None:
    few, turns = await work_of_claims(500)
    many, _ = await work_of_claims(5_000)
    assert many <= 2 * few + 5, (few, many)
    assert len(turns) == 25 * ROOM
    shares = [turns.count(f"g{n}") for n in range(GROUPS)]
    assert max(shares) - min(shares) <= ROOM, shares


async def test_lines_of_the_version_before_are_found(tmp_path: Path) -> None:
    """A file whose lines were written by code that knows no fronts."""
    url = f"sqlite:///{tmp_path / 'jobs.db'}"
    store = await opened(url)
    await store.put_queue("default", QueueChange(order="fair"), "ops")
    await put(store, *(job(n) for n in range(40)))
    held = await Hand(store).up_to(ROOM)
    await store.close()
    connection = apsw.Connection(str(tmp_path / "jobs.db"))
    connection.execute("drop index windlass_line_crowded")
    connection.execute("drop table windlass_front; delete from windlass_migration where version >= 3")
    assert migrate.found(connection, "windlass") == 2  # type: ignore[arg-type]
    connection.close()
    store = await opened(url)
    try:
        assert await store.schema() == (migrate.known(), migrate.known())
        assert await store.audit_counts() == []
        hand = Hand(store)
        ids = {claim.id for claim in held}
        await hand.complete(*held)
        while claims := await hand.up_to(ROOM):
            ids |= {claim.id for claim in claims}
            await hand.complete(*claims)
        assert len(ids) == 40
        assert await store.audit_counts() == []
    finally:
        await store.close()


async def test_lines_that_another_version_moves_are_found(tmp_path: Path) -> None:
    """It knows the table of lines only; upkeep does the rest."""
    store = await opened(f"sqlite:///{tmp_path / 'jobs.db'}")
    other = apsw.Connection(str(tmp_path / "jobs.db"))
    try:
        await store.put_queue("default", QueueChange(order="fair"), "ops")
        await put(store, *(job(n) for n in range(200)))
        hand = Hand(store)
        for _ in range(20):
            await hand.complete(*await hand.up_to(ROOM))
        held = await hand.up_to(ROOM)
        assert await hand.up_to(ROOM) == []
        other.execute("update windlass_line set waits_for = null where waits_for is not null and rank = 1 << 62")
        assert other.changes() > 50
        await store.prune(Retention(), 100)
        assert await store.audit_counts() == []
        await hand.complete(*held)
        assert len(await hand.up_to(ROOM)) == ROOM
        assert await store.audit_counts() == []
    finally:
        other.close()
        await store.close()
