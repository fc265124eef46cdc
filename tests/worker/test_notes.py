"""What handlers tell while they run: progress, lines, captured output; middleware, resources, the working folder."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from tests.waiting import until
from tests.worker.kit import ended, is_gone, lines, working
from windlass.app import Windlass
from windlass.errors import InvalidOption
from windlass.running.capture import LONGEST_LINE, MOST_LINES
from windlass.running.context import Context


async def test_progress_is_visible_while_the_job_runs(app: Windlass) -> None:
    go = asyncio.Event()

    @app.job
    async def works(ctx: Context) -> None:
        ctx.progress(10)
        await ctx.progress(50, "half")
        job = await app.jobs.get(ctx.id)  # awaited: the store has it
        assert (job.progress, job.progress_note) == (50, "half")
        ctx.progress(75, "not awaited")
        await go.wait()

    async with app, working(app):
        ref = await works.enqueue()

        async def shown() -> bool:
            return (await app.jobs.get(ref.id)).progress == 75

        await until(shown, "progress that was not awaited to be stored")
        go.set()
        assert (await ended(app, ref.id)).state == "completed"


async def test_notes_are_stored_before_the_job_is_final(app: Windlass) -> None:
    @app.job
    async def says(n: int, ctx_text: str = "") -> None:
        print(f"job {n}")

    async with app:
        refs = await app.enqueue_many([says.job(n) for n in range(50)])
        await app.drain()
        for n, ref in enumerate(refs):
            assert await lines(app, ref.id) == [("info", f"job {n}")]


async def test_logging_and_print_are_captured_by_attempt_and_pass_through(
    app: Windlass, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    @app.job(max_attempts=2)
    async def speaks(ctx: Context) -> None:
        await asyncio.sleep(0)
        print("attempt", ctx.attempt)
        await asyncio.create_task(child())
        if ctx.attempt == 1:
            raise ConnectionError

    async def child() -> None:
        logging.getLogger("some.library").error("from a task: %d", 7)

    with caplog.at_level(logging.INFO):
        async with app, working(app):
            ref = await speaks.enqueue()
            await until(lambda: "from a task: 7" in caplog.text, "the record to reach the usual handlers")
            stored = await (await app.store()).log(ref.id)
            await until(lambda: "attempt 1" in capsys.readouterr().out, "the print to reach standard output")

            async def twice() -> bool:
                return len(await lines(app, ref.id)) >= 2

            await until(twice, "both lines")
            stored = await (await app.store()).log(ref.id)
    assert [(line.attempt, line.level, line.text) for line in stored][:2] == [
        (1, "info", "attempt 1"), (1, "error", "from a task: 7")
    ]  # fmt: skip


async def test_output_outside_handlers_is_not_captured(app: Windlass) -> None:
    @app.job
    async def quiet() -> None:
        await asyncio.sleep(0.01)

    async with app, working(app):
        ref = await quiet.enqueue()
        print("not the job's")
        logging.getLogger("test").error("nor this")
        await ended(app, ref.id)
        assert await lines(app, ref.id) == []


async def test_lines_are_capped_in_number_and_length(app: Windlass) -> None:
    @app.job
    async def floods(ctx: Context) -> None:
        ctx.log("ü" * 20_000)
        for n in range(MOST_LINES * 2):
            ctx.log(f"line {n}")

    async with app:
        ref = await floods.enqueue()
        await app.drain()
        told = await lines(app, ref.id)
    assert len(told) == MOST_LINES
    assert len(told[0][1].encode()) <= LONGEST_LINE
    assert "further lines are dropped" in told[-1][1]


async def test_wrong_notes_are_refused(app: Windlass) -> None:
    caught: list[str] = []

    @app.job
    async def wrong(ctx: Context) -> None:
        for call in (
            lambda: ctx.progress(101),
            lambda: ctx.progress(float("nan")),
            lambda: ctx.log("x", level="loud"),
            lambda: ctx.cost(-1),
        ):
            with pytest.raises(InvalidOption) as error:
                call()
            caught.append(error.value.facts["field"])

    async with app:
        await wrong.enqueue()
        await app.drain()
    assert caught == ["percent", "percent", "level", "cost"]


async def test_middleware_resources_cost_and_workdir(app: Windlass) -> None:
    events: list[str] = []

    @app.resource
    async def database() -> AsyncIterator[str]:
        events.append("open")
        yield "connection"
        events.append("close")

    @app.around
    async def outer(ctx: Context, call):
        events.append("outer in")
        value = await call()
        events.append(f"outer out, spent {ctx.spent}")
        return value + 1

    @app.around
    async def inner(ctx: Context, call):
        events.append("inner")
        return await call()

    @app.around_sync
    def plain(ctx: Context, call):
        events.append("plain")
        return call() * 2

    folders: list[str] = []

    @app.job
    async def spends(ctx: Context) -> int:
        ctx.cost(0.25)
        ctx.cost(0.5)
        assert ctx.resource("database") == "connection"
        with pytest.raises(LookupError, match="database"):
            ctx.resource("cache")
        (ctx.workdir / "f").write_text("x")
        folders.append(str(ctx.workdir))
        return 1

    @app.job
    def threaded(ctx: Context) -> int:
        return len(ctx.resource("database"))

    async with app:
        one = await spends.enqueue()
        await app.drain()
        two = await threaded.enqueue()
        await app.drain()
        assert (await app.jobs.get(one.id)).result == 2
        assert (await app.jobs.get(two.id)).result == 20
    assert is_gone(folders[0])
    assert events == [
        "open", "outer in", "inner", "outer out, spent 0.75", "close", "open", "plain", "close"
    ]  # fmt: skip


async def test_the_context_knows_the_job(app: Windlass) -> None:
    seen: list[object] = []

    @app.job(queue="q", priority=7)
    async def looks(ctx: Context, a: int, b: str = "x") -> None:
        job = ctx.job
        seen.extend([job.id == ctx.id, job.kind, job.queue, job.args, job.priority, job.user, ctx.attempt])
        seen.append(int(ctx.lease) > 0)

    async with app:
        await looks.options(user="42").enqueue(1)
        await app.drain()
    assert seen[:2] == [True, "looks"] and seen[2] == "q" and seen[4:] == [7, "42", 1, True]


async def test_logging_an_object_without_text_does_not_fail_the_handler(app: Windlass) -> None:
    class Mute:
        def __str__(self) -> str:
            raise ValueError

        __repr__ = __str__

    # No part of the tree: pytest puts handlers on the loggers there, and they do fail.
    mute = logging.Logger("tests.mute")
    mute.addHandler(logging.NullHandler())

    @app.job(max_attempts=1)
    async def logs() -> None:
        mute.error(Mute())

    async with app:
        ref = await logs.enqueue()
        await app.drain()
        assert (await app.jobs.get(ref)).state == "completed"
        assert ("error", "<Mute without text>") in await lines(app, ref.id)
