"""A store in trouble: full, away, or refusing one end. The worker neither exits nor spins, and loses nothing."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import until
from tests.worker.kit import ended, working
from windlass.app import Windlass
from windlass.errors import StoreFull, StoreUnavailable
from windlass.running.context import Context
from windlass.values.lease import Step


async def test_finishes_are_retried_when_the_store_comes_back(app: Windlass, monkeypatch: pytest.MonkeyPatch) -> None:
    @app.job
    async def work(n: int) -> int:
        return n

    async with app:
        store = await app.store()
        calls = 0

        async def away(self, finishes):
            nonlocal calls
            calls += 1
            raise StoreUnavailable("no route")

        monkeypatch.setattr(type(store), "finish", away)
        async with working(app) as worker:
            refs = await app.enqueue_many([work.job(n) for n in range(20)])
            await until(lambda: calls >= 3, "some tries")
            assert worker.done == 0
            before = calls
            await asyncio.sleep(0.2)
            assert calls - before < 10  # it backs off
            monkeypatch.undo()
            for n, ref in enumerate(refs):
                assert (await ended(app, ref.id)).result == n


async def test_claims_are_repeated_under_the_same_number(app: Windlass) -> None:
    @app.job
    async def work() -> str:
        return "ran once"

    async with app:
        store = await app.store()
        plain = type(store).claim
        numbers: list[int] = []

        async def loses_replies(self, request):
            numbers.append(request.number)
            answer = await plain(self, request)
            if answer.jobs and numbers.count(request.number) == 1:
                raise StoreUnavailable("the reply is lost")
            return answer

        patch = pytest.MonkeyPatch()
        patch.setattr(type(store), "claim", loses_replies)
        try:
            async with working(app):
                ref = await work.enqueue()
                job = await ended(app, ref.id, timeout=25)  # sooner than the lease of 30 s
        finally:
            patch.undo()
        assert (job.result, job.attempt, job.rescues) == ("ran once", 1, 0)
        assert len(numbers) > len(set(numbers))


async def test_one_end_that_the_store_cannot_take_does_not_hold_up_the_others(app: Windlass) -> None:
    @app.job
    async def work(n: int) -> int:
        return n

    async with app:
        store = await app.store()
        plain = type(store).finish

        async def picky(self, finishes):
            if any(end.result == "13" for end in finishes):
                raise ValueError("an engine's own bug")
            return await plain(self, finishes)

        patch = pytest.MonkeyPatch()
        patch.setattr(type(store), "finish", picky)
        try:
            refs = await app.enqueue_many([work.job(n) for n in range(20)])
            await app.drain()
        finally:
            patch.undo()
        states = [str((await app.jobs.get(ref.id)).state) for ref in refs]
        assert states == ["completed"] * 13 + ["failed"] + ["completed"] * 6


async def test_an_error_that_no_store_should_raise_fails_no_job_and_ends_no_worker(app: Windlass) -> None:
    """As uvloop does when a connection breaks under a write: RuntimeError, which no client translates."""

    @app.job
    async def work(ctx: Context, n: int) -> int:
        ctx.progress(50)
        await asyncio.sleep(0.5)
        return n

    async with app:
        store = await app.store()
        patch = pytest.MonkeyPatch()
        left = {"claim": 3, "heartbeat": 3, "finish": 3, "report": 1, "rescue": 1, "promote": 1}

        def breaking(verb: str) -> Any:
            plain = getattr(type(store), verb)

            async def call(self: Any, *given: Any, **named: Any) -> Any:
                if left[verb]:
                    left[verb] -= 1
                    raise RuntimeError("unable to perform operation; the handler is closed")
                return await plain(self, *given, **named)

            return call

        refs = await app.enqueue_many([work.job(n) for n in range(5)])
        for verb in left:
            patch.setattr(type(store), verb, breaking(verb))
        try:
            async with working(app, lease=1.0):
                jobs = [await ended(app, ref.id) for ref in refs]
                await until(lambda: not any(left.values()), "every verb to have failed")
        finally:
            patch.undo()
        assert [(job.state, job.result, job.attempt, job.rescues) for job in jobs] == [
            ("completed", n, 1, 0) for n in range(5)
        ]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


async def test_a_full_disk(small_disk: Path) -> None:
    app = Windlass(f"sqlite:///{small_disk / 'jobs.db'}")
    ballast = small_disk / "ballast"
    started, go = asyncio.Event(), asyncio.Event()

    @app.job
    async def works() -> str:
        started.set()
        await go.wait()
        return "x" * 50_000

    async with app, working(app, lease=1) as worker:
        ref = await works.enqueue()
        await started.wait()
        fill(ballast)
        with pytest.raises(StoreFull):
            await app.enqueue_many([works.job() for _ in range(5_000)])
        await asyncio.sleep(1.5)  # longer than a lease: the beats fail as well
        assert worker.running == 1
        go.set()
        await until(lambda: worker.running == 0, "the handler to end")
        assert worker.done == 0
        ballast.unlink()
        job = await ended(app, ref.id)
        assert (job.state, job.attempt, job.rescues) == ("completed", 1, 0)


def fill(file: Path) -> None:
    with file.open("wb", buffering=0) as out:
        try:
            while out.write(b"\0" * 4096):
                pass
        except OSError:
            return


async def test_steps_wait_for_a_store_in_trouble(app: Windlass, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports that are lost, and answers that are lost, also of a step that takes a signal: nothing is done or taken twice."""
    done: list[str] = []
    lost: list[str] = []

    @app.job(max_attempts=1)
    async def works(ctx: Context) -> list[Any]:
        one = await ctx.step("one", lambda: done.append("one") or 1)
        return [one, await ctx.wait_for("go"), await ctx.wait_for("go")]

    async with app:
        store = await app.store()
        plain = type(store).report

        async def falters(self: Any, notes: Any) -> Any:
            steps = [note for note in notes if isinstance(note, Step)]
            for way in ("request", "answer"):
                for step in steps:
                    what = f"{way} {step.position}"
                    if what in lost:
                        continue
                    lost.append(what)
                    if way == "answer":
                        await plain(self, notes)
                    raise StoreUnavailable(f"the {way} is lost")
            return await plain(self, notes)

        async def away(self: Any, id: str) -> Any:
            if "steps" not in lost:
                lost.append("steps")
                raise StoreUnavailable("no route")
            return await read(self, id)

        read = type(store).steps
        monkeypatch.setattr(type(store), "report", falters)
        monkeypatch.setattr(type(store), "steps", away)
        async with working(app):
            ref = await works.options(delay="50ms").enqueue()
            await app.jobs.signal(ref, "go", "first")
            await app.jobs.signal(ref, "go", "second")
            job = await ended(app, ref.id)
        assert (job.state, job.result) == ("completed", [1, "first", "second"])
        assert done == ["one"]
        assert {f"{way} {position}" for way in ("request", "answer") for position in range(3)} <= set(lost)


async def test_a_step_that_the_store_cannot_take_fails_its_own_job(app: Windlass) -> None:
    @app.job(max_attempts=1)
    async def works(ctx: Context, n: int) -> int:
        return await ctx.step("step", lambda: n)

    async with app:
        store = await app.store()
        plain = type(store).report

        async def picky(self: Any, notes: Any) -> Any:
            if any(isinstance(note, Step) and note.value == "3" for note in notes):
                raise ValueError("no threes")
            return await plain(self, notes)

        patch = pytest.MonkeyPatch()
        patch.setattr(type(store), "report", picky)
        try:
            async with working(app):
                refs = await app.enqueue_many([works.job(n) for n in range(6)])
                states = [str((await ended(app, ref.id)).state) for ref in refs]
        finally:
            patch.undo()
    assert states == ["completed"] * 3 + ["failed"] + ["completed"] * 2
