"""`storage-cleanup`: what is old and belongs to nobody goes, and nothing else."""

import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.catalogue.tools import ENGINES, Studio, need, studio
from tests.worker.kit import ended
from windlass import Context, Windlass, catalogue
from windlass.catalogue.storage import job_prefix
from windlass.errors import InvalidArgs
from windlass.keyed import Keyed

need("obstore")


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


def age(folder: Path, hours: float) -> None:
    """Make all files and folders in it that old."""
    at = (datetime.now(UTC) - timedelta(hours=hours)).timestamp()
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (at, at))


async def keys(it: Studio) -> set[str]:
    return {file.key async for file in it.storage.list()}


async def waited(it: Studio, hours: float) -> None:
    """As if the marks had been made that much earlier."""
    marks = Keyed(it.app, "storage.orphans")
    for kept in await marks.list():
        since = datetime.fromisoformat(kept.value["since"]) - timedelta(hours=hours)
        await marks.put(kept.key, {**kept.value, "since": since.isoformat()})


async def test_orphans_go_at_the_second_look(engine: str, tmp_path: Path) -> None:
    async with studio(engine, tmp_path, "cleanup") as it:

        @it.app.job(queue="work")
        async def make(ctx: Context, name: str) -> str:
            return (await it.storage.put(job_prefix("default", "ada", ctx.id) + name, b"made")).key

        refs = [await make.enqueue(name) for name in ("there.txt", "gone.txt", "needed.txt")]
        there, gone, needed = [(await ended(it.app, ref.id)).result for ref in refs]
        other = [
            (await it.storage.put(key, b"x")).key
            for key in ("t/default/u/ada/video/abc/poster.jpg", "quarantine/t/default/u/ada/jobs/1/virus", "mine.txt")
        ]
        later = await make.options(delay="1h").enqueue(needed)  # names the file of a job that is gone
        await it.app.jobs.delete(refs[1].id, refs[2].id)
        age(tmp_path / "storage", 200)
        found = await it.done("storage-cleanup")
        assert (found["orphans"], found["marked"]) == (0, 1)
        found = await it.done("storage-cleanup")
        assert (found["orphans"], found["marked"]) == (0, 0), "too early"
        await waited(it, 73)
        found = await it.done("storage-cleanup", dryRun=True)
        assert (found["orphans"], found["sample"]) == (1, [gone]) and gone in await keys(it)
        found = await it.done("storage-cleanup")
        assert (found["orphans"], found["bytes"], found["sample"]) == (1, 4, [gone])
        assert await keys(it) == {there, needed, *other}
        assert not await Keyed(it.app, "storage.orphans").list()
        # Once nobody names it any more, it goes the same way; a mark of what is named again is forgotten.
        await it.app.jobs.cancel(later.id)
        assert (await it.done("storage-cleanup"))["marked"] == 1
        await make.options(delay="1h").enqueue(needed)
        await waited(it, 73)
        assert (await it.done("storage-cleanup"))["orphans"] == 0
        assert not await Keyed(it.app, "storage.orphans").list() and needed in await keys(it)


async def test_temporary_files_and_folders(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    for name in ("windlass-0123456789ab-abcdefgh", "windlass-ba9876543210-abcdefgh", "windlass-bench-xyz", "other"):
        (temporary / name / "deep").mkdir(parents=True)
        (temporary / name / "deep" / "file").write_bytes(b"x")
    age(temporary, 30)
    (temporary / "windlass-ba9876543210-abcdefgh" / "deep" / "new").write_bytes(b"x")
    async with studio(engine, tmp_path, "cleanup") as it:
        old = [(await it.storage.put(f"tmp/{n}/upload.bin", b"12345")).key for n in range(5)]
        kept = (await it.storage.put("t/default/u/ada/upload.bin", b"x")).key
        age(tmp_path / "storage", 30)
        fresh = (await it.storage.put("tmp/fresh.bin", b"x")).key
        found = await it.done("storage-cleanup", most=3, orphans=False)
        assert (found["folders"], found["temporary"], found["bytes"]) == (1, 3, 15)
        assert found["skipped"] == "not asked for"
        found = await it.done("storage-cleanup")
        assert (found["folders"], found["temporary"]) == (0, 2) and set(old) & await keys(it) == set()
        assert await keys(it) == {kept, fresh}
        left = {path.name for path in temporary.iterdir()}
        assert {"windlass-ba9876543210-abcdefgh", "windlass-bench-xyz", "other"} <= left
        assert "windlass-0123456789ab-abcdefgh" not in left


async def test_the_folder_of_a_running_job_stays(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    async with studio(engine, tmp_path, "cleanup") as it:

        @it.app.job(queue="work")
        async def work(ctx: Context) -> Any:
            folder = ctx.workdir
            (folder / "file").write_bytes(b"x")
            age(folder, 1_000)
            found = await it.done("storage-cleanup")
            return found["folders"], folder.exists()

        job = await ended(it.app, (await work.enqueue()).id)
        assert job.result == [0, True]


async def test_too_many_jobs_to_look_at(engine: str, tmp_path: Path) -> None:
    async with studio(engine, tmp_path, "cleanup") as it:
        it.app.declare("elsewhere", None, queue="elsewhere")
        await it.app.enqueue_many(it.app.kind("elsewhere").job(n=n) for n in range(5))
        key = (await it.storage.put(job_prefix("default", "ada", "0" * 8) + "a", b"x")).key
        found = await it.done("storage-cleanup", mostLive=3)
        assert "more than 3 jobs" in found["skipped"] and found["marked"] == 0 and key in await keys(it)


async def test_bad_inputs_and_the_schedule(tmp_path: Path) -> None:
    async with studio(ENGINES[0], tmp_path, "cleanup", worker=False) as it:
        for bad in ({"temporaryAfterH": 0}, {"orphansAfterH": 0.5}, {"most": 0}, {"prefix": "t/"}):
            with pytest.raises(InvalidArgs):
                await it.handlers["storage-cleanup"].enqueue(**bad)
    app = Windlass("sqlite://:memory:")
    catalogue.install(app, families=["cleanup"], schedules=True)
    assert app.timetable.has("catalogue.storage-cleanup")
    assert catalogue.all_kinds()["storage-cleanup"].schedules[0].cron == "0 2 * * *"
