"""What only SQLite can suffer: a full disk, a file that may not be written, a foreign file, a newer schema."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from tests.store.kit import Hand, end, get, new, put
from tests.waiting import until
from windlass.errors import (
    InvalidArgs,
    InvalidOption,
    SchemaMismatch,
    SettingsError,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
)
from windlass.store.sqlite.address import read_url
from windlass.store.sqlite.engine import SqliteStore
from windlass.values.outcome import Verdict
from windlass.values.states import Event, State


def url(path: Path) -> str:
    return f"sqlite:///{path}"


async def opened(path: Path) -> SqliteStore:
    store = SqliteStore(url(path))
    await store.open()
    return store


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one mebibyte, where this process may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount a tmpfs; test_no_room_in_the_file shows the same without")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(ballast: Path) -> None:
    """All the room there is."""
    number = os.open(ballast, os.O_CREAT | os.O_WRONLY)
    try:
        while True:
            os.write(number, b"x" * 4_096)
    except OSError as error:
        assert error.errno == errno.ENOSPC
    finally:
        os.close(number)


async def test_a_full_disk_and_after(small_disk: Path) -> None:
    store = await opened(small_disk / "jobs.db")
    try:
        (id,) = await put(store, new())
        claim = await Hand(store).one()
        ballast = small_disk / "ballast"
        fill(ballast)
        with pytest.raises(StoreFull):
            for _ in range(100):
                await store.enqueue([new(args='{"a": "' + "x" * 50_000 + '"}')])
        with pytest.raises(StoreFull):
            for _ in range(100):
                await store.finish([end(claim, Event.RETRY, delay=0, error='{"type":"' + "e" * 50_000 + '"}')])
                claim = await Hand(store).one()
        assert (await get(store, id)).state in (State.ACTIVE, State.RETRYING)
        assert await store.audit_counts() == []
        ballast.unlink()
        await put(store, new())
        assert await store.finish([end(claim, Event.COMPLETE)]) == [Verdict.ACCEPTED]
        assert await store.audit_counts() == []
    finally:
        await store.close()


async def test_no_room_in_the_file(tmp_path: Path) -> None:
    """Nothing half done, and all well when there is room again."""
    store = await opened(tmp_path / "jobs.db")
    try:
        database = store._writer().connection  # pyright: ignore[reportPrivateUsage]
        (id,) = await put(store, new())
        claim = await Hand(store).one()
        pages = database.execute("pragma page_count").fetchall()[0][0]
        database.execute(f"pragma max_page_count = {pages + 2}")
        many = [new(args='{"a": "' + "x" * 5_000 + '"}') for _ in range(3_000)]
        for batch in (many[:50], many):  # in one go, and in slices
            with pytest.raises(StoreFull) as caught:
                await store.enqueue(batch)
            assert caught.value.code == "store-full"
            assert [count.n for count in await store.counts()] == [1]
        assert await store.finish([end(claim, Event.COMPLETE)]) == [Verdict.ACCEPTED]
        database.execute("pragma max_page_count = 1000000")
        assert len(await store.enqueue(many)) == 3_000
        assert (await get(store, id)).state is State.COMPLETED
        assert await store.audit_counts() == []
    finally:
        await store.close()


def freeze(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)


async def test_a_file_that_may_not_be_written(small_disk: Path) -> None:
    """As root only a read-only file system refuses writes. Looking works where SQLite can, changing is refused."""
    store = await opened(small_disk / "jobs.db")
    await put(store, new())
    await store.close()
    freeze(small_disk)
    with pytest.raises((StoreReadOnly, StoreUnavailable)):
        store = await opened(small_disk / "jobs.db")
        await put(store, new())
    await store.close()
    with pytest.raises((StoreReadOnly, StoreUnavailable)):
        await opened(small_disk / "new.db")


async def test_a_disk_that_becomes_read_only(tmp_path: Path) -> None:
    store = await opened(tmp_path / "jobs.db")
    try:
        (id,) = await put(store, new())
        database = store._writer().connection  # pyright: ignore[reportPrivateUsage]
        database.execute("pragma query_only = on")
        with pytest.raises(StoreReadOnly):
            await put(store, new())
        database.execute("pragma query_only = off")
        await put(store, new())
        assert (await get(store, id)).state is State.WAITING
        assert await store.audit_counts() == []
    finally:
        await store.close()


async def test_a_foreign_file(tmp_path: Path) -> None:
    (tmp_path / "jobs.db").write_bytes(b"this is not a database " * 1_000)
    with pytest.raises(StoreError, match="not a sound SQLite database"):
        await opened(tmp_path / "jobs.db")


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        await opened(tmp_path / "missing" / "jobs.db")


async def newer(path: Path, breaking: bool) -> None:
    await (await opened(path)).close()
    connection = apsw.Connection(str(path))
    connection.execute(
        "insert into windlass_migration (version, name, breaking, applied_at) values (9999, 'later', ?, 0)", (breaking,)
    )
    connection.close()


async def test_a_newer_schema(tmp_path: Path) -> None:
    await newer(tmp_path / "jobs.db", breaking=True)
    with pytest.raises(SchemaMismatch) as caught:
        await opened(tmp_path / "jobs.db")
    assert (caught.value.found, caught.value.known >= 1) == (9999, True)
    assert "upgrade" in caught.value.mend


async def test_a_newer_schema_that_breaks_nothing(tmp_path: Path) -> None:
    await newer(tmp_path / "jobs.db", breaking=False)
    store = await opened(tmp_path / "jobs.db")
    await put(store, new())
    assert (await store.schema())[0] == 9999
    await store.close()


async def test_a_running_worker_is_told_to_stop_by_a_breaking_schema(tmp_path: Path) -> None:
    store = await opened(tmp_path / "jobs.db")
    hand = Hand(store)
    assert not (await hand.beat()).stop
    await newer(tmp_path / "jobs.db", breaking=True)
    assert (await hand.beat()).stop
    await store.close()


async def test_text_that_is_no_text(tmp_path: Path) -> None:
    """A lone surrogate is refused where it comes in, and never keeps an end from being committed."""
    store = await opened(tmp_path / "jobs.db")
    try:
        for bad in (new(args='{"a": "\ud800"}'), new(user="\ud800")):
            with pytest.raises(InvalidArgs, match="surrogate"):
                await store.enqueue([new(), bad])
        assert await store.counts() == []
        await put(store, new(), new())
        one, two = await Hand(store).take(2)
        broken = end(one, Event.COMPLETE, result='"\ud800"')
        assert await store.finish([broken, end(two, Event.COMPLETE)]) == [Verdict.ACCEPTED] * 2
        assert await store.audit_counts() == []
    finally:
        await store.close()


async def test_closed_and_open_again(tmp_path: Path) -> None:
    store = await opened(tmp_path / "jobs.db")
    (id,) = await put(store, new())
    await store.close()
    await store.close()
    with pytest.raises(StoreUnavailable, match="not open"):
        await store.job(id)
    await store.open()
    assert (await get(store, id)).id == id
    await store.close()
    assert not (tmp_path / "jobs.db-wal").exists()  # the last one out leaves one file behind


_NO_FILE = ("sqlite:///a\x00b", "sqlite:///a%00b", "sqlite:///\ud800.db")


def test_urls() -> None:
    assert read_url("sqlite://:memory:").path is None
    assert read_url("sqlite:////tmp/a.db").path == "/tmp/a.db"
    assert read_url("sqlite:///a.db").path == str(Path.cwd() / "a.db")
    assert read_url("sqlite:///a%20b.db?synchronous=full&timeout=2").synchronous == "full"
    for wrong in (
        "sqlite://",
        "sqlite:///",
        "sqlite://host/a.db",
        "sqlite:///a.db?sync=1",
        "sqlite:///a?timeout=x",
        *_NO_FILE,
    ):
        with pytest.raises(SettingsError):
            read_url(wrong)
    with pytest.raises(InvalidOption, match="namespace"):
        SqliteStore("sqlite://:memory:", "Bad Name")


async def test_namespaces_share_a_file(tmp_path: Path) -> None:
    first = await opened(tmp_path / "jobs.db")
    second = SqliteStore(url(tmp_path / "jobs.db"), "other-1.b")
    await second.open()
    await put(first, new())
    assert await second.counts() == []
    await put(second, new(), new())
    assert [count.n for count in await first.counts()] == [1]
    assert await first.audit_counts() == await second.audit_counts() == []
    await first.close()
    await second.close()


async def test_the_log_does_not_grow_for_ever(tmp_path: Path) -> None:
    """A writer that never pauses: the write-ahead log is started over, so it stays behind what was written."""
    store = await opened(tmp_path / "jobs.db")
    log = tmp_path / "jobs.db-wal"
    written = 0

    async def more() -> bool:
        nonlocal written
        await put(store, *(new(args='{"a": "' + "x" * 20_000 + '"}') for _ in range(200)))
        written += 4_000_000
        return log.stat().st_size < written // 2

    try:
        await until(more, "the log is half of what was written", timeout=60)
    finally:
        await store.close()


async def test_health(tmp_path: Path) -> None:
    store = await opened(tmp_path / "jobs.db")
    health = await store.health()
    assert health["engine"] == "sqlite"
    assert health["size"] > 0
    assert "power loss" in health["warnings"][0]
    await store.close()
    full = SqliteStore(url(tmp_path / "jobs.db") + "?synchronous=full")
    await full.open()
    assert (await full.health())["warnings"] == []
    await full.close()
