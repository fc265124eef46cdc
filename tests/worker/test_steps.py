"""Durable steps, sleeps and signals on a worker: what is on record is not done again, and who waits holds no slot."""

import asyncio
from typing import Any

import pytest

from tests.waiting import until
from tests.worker.kit import ended, lines, state, working
from windlass.app import Windlass
from windlass.errors import InvalidOption, JobNotFound, SignalTimeout
from windlass.running.context import Context
from windlass.values.retry import fixed


async def test_steps_on_record_are_not_done_again(app: Windlass) -> None:
    done: list[str] = []

    async def fetch(n: int) -> dict[str, int]:
        done.append("fetch")
        await asyncio.sleep(0)
        return {"n": n}

    def store(row: dict[str, int], *, twice: bool) -> tuple[int, ...]:
        done.append("store")
        return (row["n"],) * (1 + twice)

    @app.job(max_attempts=3, backoff=fixed(0))
    async def works(ctx: Context) -> list[Any]:
        row = await ctx.step("fetch", fetch, 7)
        stored = await ctx.step("store", store, row, twice=True)
        nothing = await ctx.step("nothing", lambda: None)
        if ctx.attempt < 3:
            raise ConnectionError
        return [row, stored, type(stored).__name__, nothing]

    async with app:
        ref = await works.enqueue()
        await app.drain()
        assert await ref.result(1) == [{"n": 7}, [7, 7], "tuple", None]
        assert done == ["fetch", "store"]
        steps = await app.jobs.steps(ref)
        assert [(s.position, s.what, s.name, s.done, s.result, s.attempt) for s in steps] == [
            (0, "step", "fetch", True, {"n": 7}, 1),
            (1, "step", "store", True, [7, 7], 1),
            (2, "step", "nothing", True, None, 1),
        ]


async def test_a_step_that_failed_runs_again(app: Windlass) -> None:
    tries: list[int] = []

    async def flaky() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionError("not yet")
        return "done"

    @app.job(backoff=fixed(0))
    async def works(ctx: Context) -> str:
        first = await ctx.step("first", lambda: "one")
        return first + await ctx.step("flaky", flaky)

    async with app:
        ref = await works.enqueue()
        await app.drain()
        assert await ref.result(1) == "onedone"
        job = await app.jobs.get(ref)
        assert (len(tries), job.attempt) == (2, 2)
        assert [(s.name, s.attempt) for s in await app.jobs.steps(ref)] == [("first", 1), ("flaky", 2)]
        assert any("step 1 'flaky' began before" in text for _, text in await lines(app, ref.id))


async def test_sleep_frees_the_slot_and_spends_nothing(app: Windlass) -> None:
    runs: list[str] = []

    @app.job(max_attempts=1)
    async def naps(ctx: Context, n: int) -> str:
        runs.append("top")
        await ctx.step("before", lambda: None)
        try:
            await ctx.sleep("50ms")
        except Exception:  # a catch-all does not see it
            return "swallowed"
        await ctx.sleep(0)
        return "awake"

    @app.job
    async def other() -> str:
        return "in between"

    async with app, working(app, concurrency=1):
        refs = [await naps.enqueue(n) for n in range(5)]
        between = await other.enqueue()
        for ref in refs:
            job = await ended(app, ref.id)
            assert (job.state, job.result, job.attempt) == ("completed", "awake", 1)
            assert [each.outcome for each in job.attempts] == ["snooze", "complete"]
        assert await state(app, between.id) == "completed"
        assert len(runs) == 10
        steps = await app.jobs.steps(refs[0])
        assert [(s.what, s.done) for s in steps] == [("step", True), ("sleep", True), ("sleep", True)]
        assert steps[1].until is not None and steps[1].until > steps[0].at


async def test_a_signal_wakes_the_job_that_waits(app: Windlass) -> None:
    @app.job
    async def waits(ctx: Context) -> Any:
        first = await ctx.wait_for("approval")
        second = await ctx.wait_for("approval", timeout="1h")
        return [first, second]

    async with app, working(app, concurrency=1):
        ref = await waits.enqueue()

        async def waiting() -> bool:
            return (await app.jobs.get(ref)).reason == "waits for approval"

        await until(waiting, "the job to wait")
        assert await state(app, ref.id) == "blocked"
        assert [(s.what, s.name, s.done, s.until) for s in await app.jobs.steps(ref)] == [
            ("signal", "approval", False, None)
        ]
        assert await app.jobs.signal(ref, "other", 1) == "kept"
        assert await app.jobs.signal(ref, "approval", {"by": "ann"}, actor="ann") == "woken"

        async def second() -> bool:
            steps = await app.jobs.steps(ref)
            return len(steps) == 2 and await waiting() and steps[1].until is not None

        await until(second, "the second wait")
        assert await app.jobs.signal(ref, "approval") == "woken"
        job = await ended(app, ref.id)
        assert (job.state, job.result, job.attempt) == ("completed", [{"by": "ann"}, None], 1)
        assert await app.jobs.signal(ref, "approval") == "over"
        with pytest.raises(JobNotFound):
            await app.jobs.signal("nobody", "approval")
        with pytest.raises(InvalidOption):
            await app.jobs.signal(ref, "no spaces")


async def test_signals_that_came_early_are_taken_in_order(app: Windlass) -> None:
    @app.job
    async def waits(ctx: Context) -> list[Any]:
        return [await ctx.wait_for("go"), await ctx.wait_for("go")]

    async with app:
        ref = await waits.options(delay="1h").enqueue()
        for n in (1, 2, 3):
            assert await app.jobs.signal(ref, "go", n) == "kept"
        await app.jobs.run_now(ref)
        await app.drain()
        assert await ref.result(1) == [1, 2]


async def test_a_timeout_is_an_exception_and_stays_one(app: Windlass) -> None:
    seen: list[Any] = []

    @app.job(backoff=fixed(0))
    async def waits(ctx: Context) -> str:
        try:
            await ctx.wait_for("approval", timeout="10ms")
        except SignalTimeout as error:
            seen.append((error.signal, error.timeout))
        if ctx.attempt == 1:
            await app.jobs.signal(ctx.id, "approval", "too late")
            raise ConnectionError
        return "timed out"

    @app.job
    async def careless(ctx: Context) -> None:
        await ctx.wait_for("approval", timeout=0)

    async with app, working(app):
        ref, other = await waits.enqueue(), await careless.enqueue()
        assert (await ended(app, ref.id)).result == "timed out"
        assert seen == [("approval", 0.01), ("approval", 0.01)]
        [step] = await app.jobs.steps(ref)
        assert (step.done, step.timed_out, step.result) == (True, True, None)
        job = await ended(app, other.id)
        assert (job.state, job.attempt) == ("failed", 1)
        assert job.error is not None and (job.error.type, job.error.category) == ("SignalTimeout", "permanent")


async def test_changed_steps_are_told(app: Windlass) -> None:
    names = ["old"]

    @app.job(max_attempts=2, backoff=fixed(0))
    async def works(ctx: Context) -> None:
        await ctx.step("same", lambda: 1)
        await ctx.step(names[-1], lambda: 1)
        names.append("new")
        raise ConnectionError

    async with app:
        ref = await works.enqueue()
        await app.drain()
        job = await app.jobs.get(ref)
        assert job.state == "failed" and job.error is not None
        assert (job.error.type, job.error.category, job.reason) == ("StepsChanged", "permanent", "permanent error")
        assert "step 1 is 'new', but 'old' is on record" in job.error.message


async def test_versions_branch(app: Windlass) -> None:
    @app.job(version=2, upcast={1: lambda args: args})
    async def works(ctx: Context) -> list[Any]:
        if ctx.version == 1:
            return [await ctx.step("old", lambda: "old"), ctx.version]
        return [await ctx.step("new", lambda: "new"), ctx.version]

    async with app:
        import msgspec

        new = works.job()
        [ref, old] = await app.enqueue_many([new, msgspec.structs.replace(works.job(), options="")])
        await app.drain()
        assert await ref.result(1) == ["new", 2]
        assert await old.result(1) == ["old", 1]


async def test_gathered_steps_keep_their_order(app: Windlass) -> None:
    done: list[int] = []

    async def part(n: int) -> int:
        await asyncio.sleep(0.01 * (3 - n))
        done.append(n)
        return n

    @app.job(max_attempts=2, backoff=fixed(0))
    async def works(ctx: Context) -> list[int]:
        parts = await asyncio.gather(*(ctx.step(f"part {n}", part, n) for n in range(3)))
        async with asyncio.TaskGroup() as tasks:
            more = [tasks.create_task(ctx.step("more", part, n)) for n in (1, 2)]
        if ctx.attempt == 1:
            raise ConnectionError
        return [*parts, *(task.result() for task in more)]

    async with app:
        ref = await works.enqueue()
        await app.drain()
        assert await ref.result(1) == [0, 1, 2, 1, 2]
        assert done == [2, 1, 0, 2, 1]
        assert [s.name for s in await app.jobs.steps(ref)] == ["part 0", "part 1", "part 2", "more", "more"]


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("branches", "in a task beside the handler's own"),
        ("nested", "inside another step"),
        ("sleep in gather", "while other steps are under way"),
        ("caught", "the handler caught what ends its run when it sleeps"),
        ("swallowed", "the handler caught what ends its run when it sleeps"),
        ("no json", "has no JSON form"),
        ("sync", "this handler runs on the event loop"),
    ],
)
async def test_misuse_is_told(app: Windlass, way: str, said: str) -> None:
    @app.job(max_attempts=1)
    async def misuses(ctx: Context) -> None:
        async def branch(name: str) -> None:
            await ctx.step(name, lambda: None)
            await ctx.step(f"{name} again", lambda: None)

        async def nested() -> None:
            await ctx.step("inner", lambda: None)

        match way:
            case "branches":
                await asyncio.gather(branch("a"), branch("b"))
            case "nested":
                await ctx.step("outer", nested)
            case "sleep in gather":
                await asyncio.gather(ctx.step("a", asyncio.sleep, 0.01), ctx.sleep("1h"))
            case "caught":
                try:
                    await ctx.sleep("1h")
                except BaseException as error:
                    raise ValueError from error
            case "swallowed":
                try:
                    await ctx.sleep("1h")
                except BaseException:
                    return
            case "no json":
                await ctx.step("object", object)
            case _:
                ctx.sync.sleep(1)

    async with app:
        ref = await misuses.enqueue()
        await app.drain()
        job = await app.jobs.get(ref)
        assert job.state == "failed" and job.error is not None
        assert said in job.error.message
        assert job.error.category == "permanent" or way == "sync"


async def test_a_task_group_lets_the_sleep_pass(app: Windlass) -> None:
    @app.job
    async def naps(ctx: Context) -> str:
        async with asyncio.TaskGroup():
            await ctx.sleep("20ms")
        return "awake"

    async with app, working(app):
        job = await ended(app, (await naps.enqueue()).id)
        assert (job.state, job.result) == ("completed", "awake")


async def test_requeue_starts_over_and_keep_attempts_keeps(app: Windlass) -> None:
    done: list[int] = []

    @app.job(max_attempts=1)
    async def works(ctx: Context) -> None:
        await ctx.step("one", done.append, 1)
        raise ValueError

    async with app:
        ref = await works.enqueue()
        await app.drain()
        await app.jobs.requeue(ids=[ref], keep_attempts=True)
        await app.drain()
        assert len(done) == 1
        await app.jobs.requeue(ids=[ref])
        assert await app.jobs.steps(ref) == []
        await app.drain()
        assert len(done) == 2


async def test_def_handlers_block(app: Windlass) -> None:
    done: list[str] = []

    @app.job(max_attempts=2, backoff=fixed(0))
    def works(ctx: Context) -> list[Any]:
        one = ctx.sync.step("one", lambda: done.append("one") or 1)
        ctx.sync.sleep("20ms")
        try:
            ctx.sync.wait_for("never", timeout="20ms")
        except SignalTimeout:
            done.append("timeout")
        data = ctx.sync.wait_for("go", timeout="1h")
        if ctx.attempt == 1:
            raise ConnectionError
        return [one, data]

    @app.job(max_attempts=1)
    def wrong(ctx: Context) -> None:
        ctx.step("one", lambda: 1)

    @app.job(max_attempts=1)
    def worse(ctx: Context) -> None:
        async def never() -> None: ...

        ctx.sync.step("one", never)

    @app.job(max_attempts=1)
    def nested(ctx: Context) -> None:
        ctx.sync.step("one", lambda: ctx.sync.step("two", lambda: 1))

    async with app, working(app, threads=1):
        ref = await works.enqueue()

        async def waiting() -> bool:
            return (await app.jobs.get(ref)).reason == "waits for go"

        await until(waiting, "the handler to wait for its signal")
        assert await app.jobs.signal(ref, "go", "went") == "woken"
        job = await ended(app, ref.id)
        assert (job.state, job.result, job.attempt) == ("completed", [1, "went"], 2)
        assert done.count("one") == 1
        for handler, said in ((wrong, "ctx.sync"), (worse, "coroutine function"), (nested, "inside another step")):
            job = await ended(app, (await handler.enqueue()).id)
            assert job.error is not None and said in job.error.message + str(job.error), handler.kind


async def test_a_job_that_waits_can_be_cancelled(app: Windlass) -> None:
    @app.job
    async def waits(ctx: Context) -> None:
        await ctx.wait_for("approval")

    async with app:
        ref = await waits.enqueue()
        await app.drain()
        assert await app.jobs.cancel(ref) == 1
        assert (await app.jobs.get(ref)).state == "cancelled"


async def test_a_stopped_attempt_records_the_step_that_cannot_be_stopped(app: Windlass) -> None:
    import threading

    go = threading.Event()
    began: list[str] = []

    def effect() -> str:
        began.append("effect")
        assert go.wait(10)
        return "had"

    running: list[Context] = []

    @app.job
    async def works(ctx: Context) -> str:
        running.append(ctx)
        return await ctx.step("effect", effect)

    async with app:
        async with working(app) as worker:
            ref = await works.enqueue()
            await until(lambda: began, "the effect to begin")
            leaving = asyncio.create_task(worker.stop())
            await until(lambda: running[0].cancelled, "the attempt to be asked to stop")
            go.set()
            await leaving
        assert (await app.jobs.get(ref)).state == "waiting"
        await app.drain()
        assert await ref.result(1) == "had"
        assert began == ["effect"]


async def test_a_lost_lease_ends_the_attempt_at_its_next_step(app: Windlass) -> None:
    went_on: list[str] = []

    @app.job
    async def works(ctx: Context) -> str:
        if not went_on:
            went_on.append("first")
            store = await app.store()
            # As if this worker had stood still: another one rescues the job and gives it back.
            await (await app.store()).report([])
            await steal(store, ctx.id)
            try:
                await ctx.step("one", lambda: went_on.append("effect"))
            except Exception:
                went_on.append("caught")
            went_on.append("went on")
        return "second"

    async def steal(store: Any, id: str) -> None:
        from windlass.values.outcome import Finish
        from windlass.values.states import Event

        job = await app.jobs.get(id)
        assert job.lease is not None
        await store.finish([Finish(id, job.lease, Event.RELEASE, job.queue, job.kind, spends=False)])

    async with app:
        ref = await works.enqueue()
        await app.drain()
        assert await ref.result(1) == "second"
        assert went_on == ["first", "effect"]


async def test_middleware_may_put_the_handler_into_a_task(app: Windlass) -> None:
    @app.around
    async def limited(ctx: Context, call: Any) -> Any:
        return await asyncio.create_task(call())

    @app.job
    async def works(ctx: Context) -> list[Any]:
        one = await ctx.step("one", lambda: 1)
        await ctx.sleep("10ms")
        return [one, await asyncio.wait_for(ctx.step("two", lambda: 2), 10)]

    async with app, working(app):
        assert (await ended(app, (await works.enqueue()).id)).result == [1, 2]


async def test_a_detached_context_keeps_steps_in_memory() -> None:
    ctx = Context.detached()
    assert await ctx.step("one", lambda: 1) == 1


async def test_a_step_in_a_finally_is_done_at_the_real_end(app: Windlass) -> None:
    told: list[str] = []

    @app.job
    async def works(ctx: Context) -> str:
        try:
            await ctx.sleep("10ms")
            return "slept"
        finally:
            told.append("finally")
            await ctx.step("clean up", told.append, "cleaned")

    async with app, working(app):
        assert (await ended(app, (await works.enqueue()).id)).result == "slept"
        assert told == ["finally", "finally", "cleaned"]
