"""Chunk handlers: many jobs in one call, each with an attempt, an end and a result of its own."""

import asyncio
import threading
from typing import Any, NamedTuple

import msgspec
import pytest

from tests.waiting import until
from tests.worker.kit import ended, state, working
from windlass.app import Windlass
from windlass.errors import InvalidArgs, InvalidOption, InvalidStep
from windlass.running.chunk import Chunk
from windlass.values.outcome import Fail, Snooze
from windlass.values.retry import fixed


class Row(NamedTuple):
    key: str
    n: int


class Pair(msgspec.Struct):
    a: int
    b: int = 2


async def test_results_come_back_to_each(app: Windlass) -> None:
    sizes: list[int] = []

    @app.job(chunk=10, chunk_wait="5s")
    async def double(chunk: Chunk[int, int]) -> list[int]:
        sizes.append(len(chunk))
        return [value * 2 for value in chunk.values]

    @app.job(chunk=10, chunk_wait="10ms")
    def add(chunk: Chunk[Pair, int]) -> None:
        sizes.append(len(chunk))
        for item in chunk:
            item.done(item.value.a + item.value.b)

    async with app:
        refs = await app.enqueue_many([double.job(n) for n in range(20)])
        assert await app.drain() == 20
        assert [await ref.result(1) for ref in refs] == [n * 2 for n in range(20)]
        assert sizes == [10, 10]
        refs = await app.enqueue_many([add.job(Pair(n)) for n in range(7)])
        assert await app.drain() == 7
        assert [await ref.result(1) for ref in refs] == [n + 2 for n in range(7)]
        assert sizes == [10, 10, 7]
        job = await app.jobs.get(refs[0])
        assert (job.args, job.attempt, len(job.attempts)) == ({"item": {"a": 0, "b": 2}}, 1, 1)
        with pytest.raises(InvalidArgs):
            double.job("x")


async def test_each_fails_by_itself(app: Windlass) -> None:
    calls: list[list[int]] = []

    @app.job(chunk=10, chunk_wait="10ms", backoff=fixed(0), max_attempts=2)
    async def works(chunk: Chunk[int, str]) -> list[str | Exception]:
        calls.append(sorted(chunk.values))
        results: list[str | Exception] = [f"{item.value} in attempt {item.attempt}" for item in chunk]
        for index, item in enumerate(chunk):
            if item.value == 1 and item.attempt == 1:
                results[index] = ConnectionError("again")
            if item.value == 2:
                results[index] = Fail("never")
            if item.value == 3:
                results[index] = ConnectionError("always")
            if item.value == 4:
                results[index] = object()  # type: ignore[assignment]
        return results

    async with app:
        refs = await app.enqueue_many([works.job(n) for n in range(5)])
        await app.drain()
        jobs = [await app.jobs.get(ref) for ref in refs]
        assert [str(job.state) for job in jobs] == ["completed", "completed", "failed", "failed", "failed"]
        assert [job.attempt for job in jobs] == [1, 2, 1, 2, 1]
        assert jobs[1].result == "1 in attempt 2" and jobs[2].reason == "never"
        assert jobs[4].error is not None and "no JSON form" in jobs[4].error.message
        assert calls == [[0, 1, 2, 3, 4], [1, 3]]


async def test_a_crash_fails_only_those_not_marked(app: Windlass) -> None:
    @app.job(chunk=4, chunk_wait="10ms", max_attempts=1)
    async def works(chunk: Chunk[int, int]) -> None:
        chunk[0].done(10)
        chunk[1].fail(Snooze("1h"))
        chunk[0].fail(ValueError("too late"))
        raise ZeroDivisionError

    async with app:
        refs = await app.enqueue_many([works.job(n) for n in range(4)])
        await app.drain()
        jobs = [await app.jobs.get(ref) for ref in refs]
        assert [str(job.state) for job in jobs] == ["completed", "delayed", "failed", "failed"]
        assert jobs[3].error is not None and jobs[3].error.type == "ZeroDivisionError"
        assert "in works" in jobs[3].error.traceback


@pytest.mark.parametrize("returned", ["nothing", "too few", "text"])
async def test_missing_results_are_told(app: Windlass, returned: str) -> None:
    @app.job(chunk=3, chunk_wait="10ms", max_attempts=1)
    async def works(chunk: Chunk[int, int]) -> Any:
        chunk[0].done(1)
        return {"nothing": None, "too few": [1], "text": "results"}[returned]

    async with app:
        refs = await app.enqueue_many([works.job(n) for n in range(3)])
        await app.drain()
        jobs = [await app.jobs.get(ref) for ref in refs]
        assert [str(job.state) for job in jobs] == ["completed", "failed", "failed"]
        error = jobs[1].error
        assert error is not None and error.type == "NoResult"
        said = {"nothing": "it marked 1 of 3", "too few": "1 results for 3 jobs", "text": "returned str"}
        assert said[returned] in error.message


async def test_done_for_the_rest(app: Windlass) -> None:
    @app.job(chunk=3, chunk_wait="10ms")
    def works(chunk: Chunk[Row, None]) -> None:
        assert chunk.values[0].key == "a"
        chunk.done()

    async with app:
        refs = await app.enqueue_many([works.job(Row("a", n)) for n in range(3)])
        await app.drain()
        assert [str((await app.jobs.get(ref)).state) for ref in refs] == ["completed"] * 3


async def test_a_job_can_be_cancelled_in_its_call(app: Windlass) -> None:
    going, go = asyncio.Event(), asyncio.Event()

    @app.job(chunk=3, chunk_wait="10ms")
    async def works(chunk: Chunk[int, str]) -> None:
        going.set()
        await go.wait()
        assert [item.value for item in chunk.open] == [0, 2]
        chunk.done("went on")

    async with app, working(app):
        refs = await app.enqueue_many([works.job(n) for n in range(3)])
        await going.wait()
        await app.jobs.cancel(refs[1])
        assert (await ended(app, refs[1].id)).state == "cancelled"
        go.set()
        assert [(await ended(app, ref.id)).result for ref in refs] == ["went on", None, "went on"]


async def test_cancelling_all_stops_the_call(app: Windlass) -> None:
    going, stopped = asyncio.Event(), asyncio.Event()

    @app.job(chunk=2, chunk_wait="10ms")
    async def works(chunk: Chunk[int, str]) -> None:
        going.set()
        try:
            await asyncio.sleep(3_600)
        finally:
            stopped.set()

    async with app, working(app):
        refs = await app.enqueue_many([works.job(n) for n in range(2)])
        await going.wait()
        await app.jobs.cancel(*refs)
        await stopped.wait()
        assert [str((await ended(app, ref.id)).state) for ref in refs] == ["cancelled"] * 2


@pytest.mark.parametrize("runtime", ["async", "thread"])
async def test_a_leaving_worker_gives_back_what_is_open(app: Windlass, runtime: str) -> None:
    going = threading.Event()

    async def works(chunk: Chunk[int, str]) -> None:
        chunk[0].done("done")
        going.set()
        await asyncio.sleep(3_600)

    def works_in_a_thread(chunk: Chunk[int, str]) -> None:
        chunk[0].done("done")
        going.set()
        while not chunk.cancelled:
            threading.Event().wait(0.002)

    handler = app.job(kind="works", chunk=3, chunk_wait="10ms")(works if runtime == "async" else works_in_a_thread)
    async with app:
        async with working(app):
            refs = await app.enqueue_many([handler.job(n) for n in range(3)])
            await until(going.is_set, "the call to begin")
        assert [await state(app, ref.id) for ref in refs] == ["completed", "waiting", "waiting"]
        assert (await app.jobs.get(refs[1])).attempt == 0


async def test_a_timeout_is_each_ones(app: Windlass) -> None:
    @app.job(chunk=3, chunk_wait="10ms", timeout=0.1, max_attempts=1)
    async def works(chunk: Chunk[int, str]) -> None:
        chunk[0].done("done")
        await asyncio.sleep(3_600)

    async with app, working(app):
        refs = await app.enqueue_many([works.job(n) for n in range(3)])
        jobs = [await ended(app, ref.id) for ref in refs]
        assert [str(job.state) for job in jobs] == ["completed", "failed", "failed"]
        assert jobs[1].error is not None and jobs[1].error.type == "TimeoutError"


async def test_what_waits_for_company_is_given_back(app: Windlass) -> None:
    @app.job(chunk=3, chunk_wait="10s")
    async def works(chunk: Chunk[int, str]) -> None: ...

    async with app:
        async with working(app):
            ref = await works.enqueue(1)

            async def taken() -> bool:
                return await state(app, ref.id) == "active"

            await until(taken, "the job to be claimed")
        assert await state(app, ref.id) == "waiting"
        job = await app.jobs.get(ref)
        # More than once if a claim was under way when the worker was told to leave.
        assert (job.attempt, {each.outcome for each in job.attempts}) == (0, {"release"})


async def test_notes_and_lines(app: Windlass) -> None:
    @app.job(chunk=2, chunk_wait="10ms")
    async def works(chunk: Chunk[int, None]) -> None:
        print("for the first")
        for item in chunk:
            item.ctx.progress(50)
            item.ctx.log(f"item {item.value}")
        chunk.done()

    async with app:
        refs = await app.enqueue_many([works.job(n) for n in range(2)])
        await app.drain()
        lines = [[line.text for line in await app.jobs.log(ref)] for ref in refs]
        assert lines == [["for the first", "item 0"], ["item 1"]]
        assert (await app.jobs.get(refs[1])).progress == 50


async def test_middleware_wraps_the_call(app: Windlass) -> None:
    calls: list[str] = []

    @app.around
    async def around(ctx: Any, call: Any) -> Any:
        calls.append("in")
        return await call()

    @app.job(chunk=5, chunk_wait="10ms")
    async def works(chunk: Chunk[int, int]) -> list[int]:
        return chunk.values

    async with app:
        refs = await app.enqueue_many([works.job(n) for n in range(5)])
        await app.drain()
        assert [await ref.result(1) for ref in refs] == list(range(5))
        assert calls == ["in"]


async def test_unannotated_chunks_take_anything(app: Windlass) -> None:
    @app.job(chunk=2, chunk_wait="1ms")
    async def works(chunk) -> Any:  # type: ignore[no-untyped-def]
        return chunk.values

    async with app:
        ref = await works.enqueue({"any": ["thing"]})  # type: ignore[call-arg]
        await app.drain()
        assert await ref.result(1) == {"any": ["thing"]}


def test_misuse_is_told() -> None:
    app = Windlass("sqlite://:memory:")

    async def two(chunk: Chunk[int, int], other: int) -> None: ...

    async def none() -> None: ...

    async def plain(n: int) -> None: ...

    for fn in (two, none, plain):
        with pytest.raises(InvalidOption, match="chunk handler"):
            app.job(chunk=10)(fn)

    def good(chunk: Chunk[int, int]) -> None: ...

    for options in ({"chunk": 0}, {"chunk": 10, "chunk_wait": "1m"}, {"chunk_wait": "1s"}, {"chunk": True}):
        with pytest.raises(InvalidOption):
            app.job(**options)(good)  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match="runtime"):
        app.job(chunk=10, runtime="process")(good)


async def test_a_job_in_a_chunk_has_no_steps_but_a_folder_and_followers(app: Windlass) -> None:
    folders: list[Any] = []

    @app.job
    async def follower(n: int) -> int:
        return n

    @app.job(chunk=2, chunk_wait="10ms", max_attempts=1)
    async def works(chunk: Chunk[int, str]) -> None:
        for item in chunk:
            folders.append(item.ctx.workdir)
        chunk[0].ctx.enqueue(follower, 7)
        chunk[0].done("one")
        try:
            await chunk[1].ctx.step("step", lambda: 1)
        except InvalidStep as error:
            chunk[1].fail(error)

    async with app:
        refs = await app.enqueue_many([works.job(n) for n in range(2)])
        await app.drain()
        job = await app.jobs.get(refs[1])
        assert job.error is not None and "no steps" in job.error.message
        assert not any(folder.exists() for folder in folders)
        [after] = (await app.jobs.list(kind="follower")).items
        assert (after.state, after.result) == ("completed", 7)


async def test_a_chunk_may_be_larger_than_the_worker_has_slots(app: Windlass) -> None:
    sizes: list[int] = []

    @app.job(chunk=100, chunk_wait="10s")
    async def works(chunk: Chunk[int, None]) -> None:
        sizes.append(len(chunk))
        chunk.done()

    async with app:
        await app.enqueue_many([works.job(n) for n in range(200)])
        assert await app.worker(concurrency=1).run(until_idle=True) == 200
        assert sizes == [100, 100]
