"""Two versions of Windlass on one store: which may work side by side, who is asked to leave, and how a store is brought on."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from tests.store.kit import Place, new
from tests.store.places import bare_place_for, chosen_engines, place_for
from tests.versions.future import NAME, newer
from tests.waiting import until
from tests.worker.crew import ROOT, Crew, crew_of
from windlass.app import Windlass
from windlass.errors import SchemaMismatch
from windlass.store import open_store

ENGINES = chosen_engines(processes=True)
MIGRATES_ITSELF = ("sqlite-file",)
STEP = [NAME[5:]]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def place(engine: str):
    with place_for(engine) as place:
        yield place


def app_on(place: Place) -> Windlass:
    app = Windlass(place.url, namespace=place.namespace)

    @app.job(kind="async", max_rescues=1_000)
    async def in_loop(seconds: float) -> int:
        await asyncio.sleep(seconds)
        return 2

    return app


async def bring_up(place: Place) -> list[str]:
    """`windlass migrate up` of the version that this process is."""
    store = open_store(place.url, place.namespace)
    try:
        return [name[5:] for name in await store.migrate()]  # without the number, which engines count for themselves
    finally:
        await store.close()


async def heard(crew: Crew) -> tuple[asyncio.subprocess.Process, asyncio.Task[bytes]]:
    """A worker of the old version whose log is read."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.worker.jobs"),
        env=crew.environment,
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
    )
    crew.processes.append(process)
    assert process.stderr is not None
    return process, asyncio.create_task(process.stderr.read())


async def test_a_breaking_step_makes_an_old_worker_finish_and_leave(place: Place, tmp_path: Path) -> None:
    app = app_on(place)
    async with app, crew_of(app, tmp_path, LEASE="3") as crew:
        worker, log = await heard(crew)
        ref = await app.handlers["async"].enqueue(2.5)
        await until(lambda: crew.effects("begin"), "the job to run")
        with newer(breaking=True):
            assert await bring_up(place) == STEP
        assert await asyncio.wait_for(worker.wait(), 20) == 0
        assert len(crew.effects("end")) == 1, "it finished what it ran"
        said = (await log).decode()
        assert "newer than this Windlass: finishing what runs" in said
        assert "Traceback" not in said
        assert (await app.jobs.get(ref.id)).result == 1
        late, log = await heard(crew)
        assert await asyncio.wait_for(late.wait(), 20) != 0, "an old version does not start on it"
        assert "SchemaMismatch" in (await log).decode()


async def test_workers_of_two_versions_share_a_store(place: Place, tmp_path: Path) -> None:
    """The old one runs on while the new one works beside it, each with the jobs of both; the old may even start anew."""
    app = app_on(place)
    async with app, crew_of(app, tmp_path, LEASE="2") as crew:
        await crew.start(CONCURRENCY=1)
        await until(app.workers, "the old worker's record")
        with newer(breaking=False):
            assert await bring_up(place) == STEP
            fresh = app_on(place)
            async with fresh:
                mine = fresh.worker(concurrency=1, lease="2s")
                running = asyncio.create_task(mine.run())
                await crew.start(CONCURRENCY=1)

                async def all_there() -> bool:
                    return len(await fresh.workers()) == 3

                await until(all_there, "the records of three workers")
                refs = [await fresh.handlers["async"].enqueue(0.1) for _ in range(40)]
                results = [await ref.result("60s") for ref in refs]
                await mine.stop()
                await running
                assert set(results) == {1, 2}, "both versions ran some"
                pids = {effect.pid for effect in crew.effects("end")}
                assert pids == {process.pid for process in crew.processes}
                # Two beats of each have passed by now, and nobody left.
                await until(lambda: len(crew.effects("end")) + mine.done == 40, "every job once")
                assert [process.returncode for process in crew.processes] == [None, None]
                store = await fresh.store()
                assert await store.audit_counts() == []  # type: ignore[attr-defined]


async def test_a_store_older_than_the_code(place: Place, engine: str) -> None:
    old = open_store(place.url, place.namespace)
    await old.open()
    job = new()
    await old.enqueue([job])
    with newer(breaking=True):
        fresh = open_store(place.url, place.namespace)
        if engine not in MIGRATES_ITSELF:
            with pytest.raises(SchemaMismatch, match="version") as refused:
                await fresh.open()
            assert "windlass migrate up" in refused.value.mend
            assert refused.value.found == refused.value.known - 1
            assert await fresh.migrate() == [NAME]
        await fresh.open()
        found, known = await fresh.schema()
        assert found == known
        assert await fresh.job(job.id) is not None
        assert await fresh.migrate() == []
        assert await fresh.audit_counts() == []  # type: ignore[attr-defined]
        await fresh.close()
    await old.close()


async def test_an_empty_store_is_made_by_whoever_comes_first(engine: str) -> None:
    with bare_place_for(engine) as place:
        with newer(breaking=True):
            store = open_store(place.url, place.namespace)
            await store.open()
            found, known = await store.schema()
            assert found == known
            await store.close()
        with pytest.raises(SchemaMismatch):
            await open_store(place.url, place.namespace).open()


async def test_many_that_migrate_at_once(place: Place, engine: str) -> None:
    old = open_store(place.url, place.namespace)
    await old.open()
    await old.enqueue([new() for _ in range(50)])
    with newer(breaking=False):
        takers = await asyncio.gather(*(bring_up(place) for _ in range(6)))
        assert {name for names in takers for name in names} == {*STEP}
        if engine not in MIGRATES_ITSELF:  # whose account is "what was missing before", not "what I did"
            assert sum(map(len, takers)) == 1, "one of them took the step"
        store = open_store(place.url, place.namespace)
        await store.open()
        assert len(set(await store.schema())) == 1
        await store.close()
    assert sum(count.n for count in await old.counts()) == 50
    await old.close()


def test_the_command_brings_it_up(place: Place, engine: str) -> None:
    """The real `windlass migrate`, on a store that an older version left; it says so, mends it, and says so again."""

    async def leave() -> None:
        store = open_store(place.url, place.namespace)
        await store.open()
        await store.close()

    asyncio.run(leave())
    program = f"""
import sys
from tests.versions.future import newer
from windlass.cli import main
sys.argv = ["windlass", "migrate", sys.argv[1], "--url", {place.url!r}, "--namespace", {place.namespace!r}]
with newer(breaking=True):
    main()
"""

    def windlass(verb: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program, verb], capture_output=True, text=True, cwd=ROOT, check=False, timeout=60
        )

    status = windlass("status")
    assert (status.returncode, "behind" in status.stdout) == (1, True), status
    assert "windlass migrate up" in status.stdout
    up = windlass("up")
    assert (up.returncode, NAME[5:] in up.stdout) == (0, True), up
    assert "nothing to do" in windlass("up").stdout
    assert windlass("status").returncode == 0
    with pytest.raises(SchemaMismatch):
        asyncio.run(leave())
