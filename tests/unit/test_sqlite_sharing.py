"""Several processes, threads and handles on one SQLite file."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import apsw
import pytest

from tests.store.kit import Hand, new, prune_all, put
from tests.waiting import until
from windlass.errors import StoreUnavailable
from windlass.store.sqlite.engine import SqliteStore
from windlass.values.query import Retention

ROOT = Path(__file__).parents[2]
CHECKPOINTS = """import fcntl, sys
with open(sys.argv[1], "r+") as shared:
    fcntl.lockf(shared, fcntl.LOCK_EX, 1, 121)
    print(flush=True)
    sys.stdin.read()
"""
"""Holds the lock of a checkpoint."""


async def opened(path: Path, query: str = "") -> SqliteStore:
    store = SqliteStore(f"sqlite:///{path}{query}")
    await store.open()
    return store


async def test_a_lock_held_elsewhere_does_not_block_the_loop(tmp_path: Path) -> None:
    """Writes wait in their order, looks go on, and the loop runs."""
    store = await opened(tmp_path / "jobs.db")
    other = apsw.Connection(str(tmp_path / "jobs.db"))
    try:
        other.execute("begin immediate")
        writes = [asyncio.ensure_future(put(store, new(queue=f"q{n}"))) for n in range(5)]
        turns = 0
        for _ in range(50):
            await asyncio.sleep(0.001)
            assert await store.counts() == []
            turns += 1
        assert turns == 50
        assert not any(write.done() for write in writes)
        other.execute("rollback")
        ids = [(await write)[0] for write in writes]
        numbers = other.execute("select id from windlass_job order by n").fetchall()
        assert [id for (id,) in numbers] == ids
    finally:
        other.close()
        await store.close()


async def test_a_lock_that_is_never_given_up(tmp_path: Path) -> None:
    store = await opened(tmp_path / "jobs.db", "?timeout=0.05")
    other = apsw.Connection(str(tmp_path / "jobs.db"))
    try:
        other.execute("begin immediate")
        with pytest.raises(StoreUnavailable, match="locked by another process"):
            await put(store, new())
        other.execute("rollback")
        await put(store, new())
    finally:
        other.close()
        await store.close()


async def test_a_cancelled_write_is_not_done_and_stops_nobody(tmp_path: Path) -> None:
    store = await opened(tmp_path / "jobs.db")
    other = apsw.Connection(str(tmp_path / "jobs.db"))
    try:
        other.execute("begin immediate")
        first, second = (asyncio.ensure_future(put(store, new(queue=name))) for name in ("first", "second"))
        await asyncio.sleep(0)
        first.cancel()
        other.execute("rollback")
        await second
        assert [count.queue for count in await store.counts()] == ["second"]
    finally:
        other.close()
        await store.close()


async def test_a_cancelled_large_enqueue_leaves_nothing(tmp_path: Path) -> None:
    store = await opened(tmp_path / "jobs.db")
    try:
        jobs = [new() for _ in range(20_000)]
        large = asyncio.create_task(store.enqueue(jobs))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        large.cancel()
        with pytest.raises(asyncio.CancelledError):
            await large
        assert await store.counts() == []
        await put(store, new())
        assert await store.audit_counts() == []
    finally:
        await store.close()


async def test_a_large_enqueue_lets_the_loop_run_and_is_seen_whole(tmp_path: Path) -> None:
    store = await opened(tmp_path / "jobs.db")
    try:
        jobs = [new() for _ in range(10_000)]
        large = asyncio.create_task(store.enqueue(jobs))
        seen: set[int] = set()
        turns = 0
        while not large.done():
            await asyncio.sleep(0)
            seen.add(sum(count.n for count in await store.counts()))
            turns += 1
        assert turns > 5
        assert seen <= {0, 10_000}
        assert len(await large) == 10_000
    finally:
        await store.close()


async def test_a_blocked_loop_does_not_keep_other_threads_out(tmp_path: Path) -> None:
    """A handler that blocks its loop while a write of that loop waits: another thread's heartbeats go on."""
    store = await opened(tmp_path / "jobs.db")
    sibling = store.sibling()
    other = apsw.Connection(str(tmp_path / "jobs.db"))
    other.set_busy_timeout(5_000)  # the heartbeats write as well
    beats: list[float] = []

    async def beat() -> None:
        await sibling.open()
        hand = Hand(sibling, "pulse")
        await hand.beat()
        loop.call_soon_threadsafe(ready.set_result, None)
        while len(beats) < 3:
            await hand.beat()
            beats.append(time.monotonic())
            await asyncio.sleep(0.001)
        await sibling.close()

    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    thread = asyncio.ensure_future(asyncio.to_thread(lambda: asyncio.run(beat())))
    await ready
    try:
        other.execute("begin immediate")
        waiting = asyncio.ensure_future(put(store, new()))
        await asyncio.sleep(0)
        other.execute("rollback")
        while len(beats) < 3:
            time.sleep(0.001)  # noqa: ASYNC251 the loop is blocked on purpose
        await waiting
        await thread
    finally:
        other.close()
        await store.close()


async def test_processes_that_open_a_new_file_at_once(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\nfrom windlass.store import open_store\nfrom windlass.values.job import NewJob\n"
        "async def main():\n store = open_store(sys.argv[1]); await store.open()\n"
        " await store.enqueue([NewJob(id=sys.argv[2], kind='k')]); await store.close()\n"
        "asyncio.run(main())"
    )
    url = f"sqlite:///{tmp_path / 'jobs.db'}"
    started = [
        await asyncio.create_subprocess_exec(*(sys.executable, "-c", program, url, f"id{n}"), stderr=subprocess.PIPE)
        for n in range(4)
    ]
    for process in started:
        _, errors = await process.communicate()
        assert process.returncode == 0, errors
    store = await opened(tmp_path / "jobs.db")
    assert [count.n for count in await store.counts()] == [4]
    assert await store.audit_counts() == []
    await store.close()


async def test_hearing_of_another_process(tmp_path: Path) -> None:
    store = await opened(tmp_path / "jobs.db")
    heard: list[str] = []
    stops = [store.listen([topic], lambda topic=topic: heard.append(topic)) for topic in ("ready", "done")]
    program = (
        "import asyncio, sys\nfrom windlass.store import open_store\nfrom windlass.values.job import NewJob\n"
        "async def main():\n store = open_store(sys.argv[1]); await store.open()\n"
        " await store.enqueue([NewJob(id='x', kind='k')]); await store.close()\n"
        "asyncio.run(main())"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, store.url)
    assert await process.wait() == 0
    await until(lambda: {"ready", "done"} <= set(heard), "both listeners woken")
    for stop in stops:
        stop()
    await store.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
async def test_a_forked_process_is_refused(tmp_path: Path) -> None:
    """Neither the parent's handle nor a new one: SQLite's locks do not survive a fork."""
    store = await opened(tmp_path / "jobs.db")
    program = f"""
import asyncio, os, sys
from windlass.errors import StoreUnavailable
from windlass.store import open_store
store = open_store("sqlite:///{tmp_path / "forked.db"}")
loop = asyncio.new_event_loop()
loop.run_until_complete(store.open())
pid = os.fork()
if pid == 0:
    said = []
    for attempt in (store.counts(), open_store(store.url).open()):
        try:
            asyncio.new_event_loop().run_until_complete(attempt)
        except StoreUnavailable as error:
            said.append("fork" in str(error))
    os._exit(0 if said == [True, True] else 1)
_, status = os.waitpid(pid, 0)
loop.run_until_complete(store.counts())
loop.run_until_complete(store.close())
sys.exit(os.waitstatus_to_exitcode(status))
"""
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    await store.close()


async def test_to_compact_beside_a_checkpoint_of_somebody_else_is_no_failure(tmp_path: Path) -> None:
    """SQLite does not wait for one, and the file has been written anew by then; who checkpoints gives the space back."""
    path = tmp_path / "jobs.db"
    store = await opened(path, "?timeout=0.05")
    await put(store, *(new(args='{"x":"' + "x" * 2_000 + '"}') for _ in range(500)))
    hand = Hand(store)
    await hand.complete(*await hand.drain())
    await prune_all(store, Retention(completed=0, history=0))
    checkpointer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHECKPOINTS, f"{path}-shm", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert checkpointer.stdout is not None and await checkpointer.stdout.readline()
        assert await store.compact()
    finally:
        await checkpointer.communicate(b"")
    assert await store.compact()
    assert path.stat().st_size < 1_000_000
    await put(store, new())
    await store.close()
