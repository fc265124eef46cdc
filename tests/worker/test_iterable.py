"""Iterable jobs: the cursor is kept, and whatever interrupts one, another run goes on from there."""

import asyncio
import time
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import until
from tests.worker import crunch
from tests.worker.kit import ended, working
from windlass.app import Windlass
from windlass.errors import InvalidOption
from windlass.running import iterable
from windlass.running.context import Context
from windlass.values.retry import fixed


async def test_it_runs_to_its_end(app: Windlass) -> None:
    seen: list[Any] = []

    @app.job
    async def export(ctx: Context, rows: int) -> AsyncIterator[int]:
        seen.append(ctx.cursor)
        for row in range(rows):
            await asyncio.sleep(0)
            yield row

    @app.job
    def count(ctx: Context, rows: int) -> Generator[dict[str, int], None, str]:
        seen.append(ctx.cursor)
        for row in range(rows):
            yield {"row": row}
        return "all of them"

    async with app:
        one, two, none = await export.enqueue(10), await count.enqueue(10), await export.enqueue(0)
        await app.drain()
        assert [await one.result(1), await two.result(1), await none.result(1)] == [None, "all of them", None]
        assert seen == [None, None, None]
        [step] = await app.jobs.steps(two)
        assert (step.name, step.done, step.result) == ("cursor", False, {"row": 9})
        assert await app.jobs.steps(none) == []
        assert [row async for row in export(Context.detached(), 2)] == [0, 1]


@pytest.mark.parametrize("runtime", ["async", "thread"])
async def test_a_leaving_worker_interrupts_it_at_a_yield(app: Windlass, runtime: str) -> None:
    done: list[int] = []
    rows = 5_000
    going = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def counts(ctx: Context) -> AsyncIterator[int]:
        for row in range(ctx.cursor or 0, rows):
            done.append(row)
            if row == 50:
                going.set()
            yield row + 1
            await asyncio.sleep(0 if ctx.cursor else 0.001)  # the first run has five seconds in which to be interrupted

    def counts_in_a_thread(ctx: Context) -> Iterator[int]:
        for row in range(ctx.cursor or 0, rows):
            done.append(row)
            if row == 50:
                loop.call_soon_threadsafe(going.set)
            yield row + 1
            time.sleep(0 if ctx.cursor else 0.001)

    handler = app.job(kind="counts")(counts if runtime == "async" else counts_in_a_thread)
    async with app:
        async with working(app, grace=60.0):
            ref = await handler.enqueue()
            await going.wait()
        job = await app.jobs.get(ref)
        assert (job.state, job.attempt, [each.outcome for each in job.attempts]) == ("waiting", 0, ["release"])
        [step] = await app.jobs.steps(ref)
        assert step.result == len(done) < rows
        await app.drain()
        assert (await app.jobs.get(ref)).state == "completed"
        assert done == list(range(rows))


async def test_a_failed_attempt_goes_on_from_its_cursor(app: Windlass) -> None:
    done: list[int] = []

    @app.job(backoff=fixed(0))
    async def fails(ctx: Context) -> AsyncIterator[int]:
        for row in range(ctx.cursor or 0, 10):
            if row == 5 and ctx.attempt == 1:
                raise ConnectionError
            done.append(row)
            yield row + 1

    async with app:
        ref = await fails.enqueue()
        await app.drain()
        job = await app.jobs.get(ref)
        assert (job.state, job.attempt) == ("completed", 2)
        error = job.attempts[0].error
        assert error is not None and "in fails" in error.traceback and "windlass/iterable.py" not in error.traceback
        assert done == list(range(10))


async def test_a_slice_lets_others_go_first(app: Windlass) -> None:
    order: list[str] = []

    @app.job
    async def other() -> None:
        order.append("other")

    @app.job(slice=0.1)
    async def long(ctx: Context) -> AsyncIterator[int]:
        for row in range(ctx.cursor or 0, 6):
            order.append(f"row {row}")
            if row == 0:
                await other.enqueue()
            await asyncio.sleep(0.06)
            yield row + 1

    async with app, working(app, concurrency=1, prefetch=0):
        job = await ended(app, (await long.enqueue()).id)
        assert (job.state, job.attempt, job.attempts[0].outcome) == ("completed", 1, "snooze")
        assert job.attempts[0].reason == "time slice used up"
        assert [each for each in order if each != "other"] == [f"row {n}" for n in range(6)]
        assert order.index("other") <= 2


async def test_cancelling_ends_it_at_a_yield_with_its_cursor(app: Windlass) -> None:
    going = asyncio.Event()
    cleaned: list[str] = []

    @app.job
    async def endless(ctx: Context) -> AsyncIterator[int]:
        try:
            row = 0
            while True:
                row += 1
                await asyncio.sleep(0.001)
                yield row
                going.set()
        except GeneratorExit:
            cleaned.append("at a yield")
            raise

    async with app, working(app):
        ref = await endless.enqueue()
        await going.wait()
        await app.jobs.cancel(ref)
        assert (await ended(app, ref.id)).state == "cancelled"
        assert cleaned == ["at a yield"]


async def test_a_killed_run_repeats_a_quarter_second_at_most(app: Windlass, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iterable, "CHECKPOINT", 0.0)
    seen: list[int] = []

    @app.job
    async def steady(ctx: Context) -> AsyncIterator[int]:
        for row in range(5):
            yield row
            [step] = await app.jobs.steps(ctx.id)
            seen.append(step.result)

    async with app:
        await steady.enqueue()
        await app.drain()
        assert seen == [0, 1, 2, 3, 4]


async def test_misuse_is_told(app: Windlass) -> None:
    with pytest.raises(InvalidOption, match="generator without ctx"):

        @app.job
        async def blind(rows: int) -> AsyncIterator[int]:
            yield rows

    with pytest.raises(InvalidOption, match="slice"):

        @app.job(slice="1s")
        async def plain() -> None: ...

    @app.job(max_attempts=1)
    async def steps(ctx: Context) -> AsyncIterator[int]:
        await ctx.step("one", lambda: 1)
        yield 1

    @app.job(max_attempts=1)
    async def no_json(ctx: Context) -> AsyncIterator[object]:
        yield object()

    async with app:
        for handler, said in ((steps, "keeps a cursor"), (no_json, "has no JSON form")):
            ref = await handler.enqueue()
            await app.drain()
            error = (await app.jobs.get(ref)).error
            assert error is not None and said in error.message


async def test_in_a_child_process(app: Windlass, tmp_path: Path) -> None:
    app.handlers.update(crunch.app.handlers)
    async with app:
        async with working(app, processes=1, grace=60.0):
            [ref] = await app.enqueue_many([crunch.counts.job(file=str(tmp_path / "rows"), rows=200)])
            await until(lambda: (tmp_path / "rows").exists(), "the first row")
        job = await app.jobs.get(ref)
        assert (job.state, job.attempt) == ("waiting", 0)
        (tmp_path / "hurry").touch()
        await app.worker(processes=1).run(until_idle=True)
        assert (await app.jobs.get(ref)).result == 200
        assert (tmp_path / "rows").read_text().split() == [str(n) for n in range(200)]


async def test_durable_steps_in_a_child_process(app: Windlass, tmp_path: Path) -> None:
    app.handlers.update(crunch.app.handlers)
    async with app, working(app, processes=1):
        [ref] = await app.enqueue_many([crunch.durable.job(file=str(tmp_path / "effects"))])

        async def waiting() -> bool:
            return (await app.jobs.get(ref)).reason == "waits for go"

        await until(waiting, "the handler to wait")
        [between] = await app.enqueue_many([crunch.square.job(n=3)])
        assert (await ended(app, between.id)).result == 9
        assert await app.jobs.signal(ref, "go", {"n": 1}) == "woken"
        job = await ended(app, ref.id)
        assert (job.state, job.result, job.attempt) == ("completed", ["one", {"n": 1}, "timed out"], 2)
        assert (tmp_path / "effects").read_text() == "effect\n"
        [unfit] = await app.enqueue_many([crunch.unfit_step.job()])
        error = (await ended(app, unfit.id)).error
        assert error is not None and error.type == "InvalidArgs"


async def test_a_job_that_began_with_steps_is_no_iterable_one(app: Windlass) -> None:
    @app.job(max_attempts=2, backoff=fixed(0), kind="changes")
    async def before(ctx: Context) -> None:
        await ctx.step("one", lambda: 1)
        del app.handlers["changes"]
        app.job(kind="changes")(after)
        raise ConnectionError

    async def after(ctx: Context) -> AsyncIterator[int]:
        yield 1

    async with app:
        ref = await before.enqueue()
        await app.drain()
        job = await app.jobs.get(ref)
        assert job.error is not None and job.error.type == "StepsChanged"


async def test_a_generator_that_awaits_nothing_leaves_the_loop_to_others(app: Windlass) -> None:
    stop: list[int] = []
    turns: list[int] = []

    @app.job
    async def greedy(ctx: Context) -> AsyncIterator[int]:
        row = 0
        while not stop:
            row += 1
            yield row

    @app.job
    async def other() -> None:
        for turn in range(5):
            turns.append(turn)
            await asyncio.sleep(0)
        stop.append(1)

    async with app, working(app, concurrency=2):
        one, two = await greedy.enqueue(), await other.enqueue()
        assert (await ended(app, two.id)).state == "completed"
        assert (await ended(app, one.id)).state == "completed"
