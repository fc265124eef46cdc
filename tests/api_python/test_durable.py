"""Durable handlers, iterable jobs and chunks under `testing`, and by the blocking door."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from windlass import testing
from windlass.app import Windlass
from windlass.errors import JobNotFound, SignalTimeout
from windlass.running.chunk import Chunk
from windlass.running.context import Context
from windlass.values.outcome import Retry

app = Windlass("sqlite://:memory:")


@app.job
async def trial(ctx: Context, user: str) -> list[Any]:
    started = await ctx.step("start", lambda: f"trial of {user}")
    await ctx.sleep("14d")
    try:
        decision = await ctx.wait_for("decision", timeout="2d")
    except SignalTimeout:
        decision = "none"
    return [started, decision]


@app.job
def trial_in_a_thread(ctx: Context) -> Any:
    ctx.sync.sleep("1d")
    return ctx.sync.wait_for("decision")


@app.job
async def counts(ctx: Context, rows: int) -> AsyncIterator[int]:
    for row in range(rows):
        yield row


@app.job(chunk=10)
async def doubles(chunk: Chunk[int, int]) -> list[int | Exception]:
    return [value * 2 if value >= 0 else Retry("negative") for value in chunk.values]


@app.job(chunk=10)
async def forgets(chunk: Chunk[int, int]) -> None: ...


async def test_run_goes_through_sleeps_and_signals() -> None:
    ran = await testing.run(trial, "ann", signals={"decision": "yes"})
    assert (ran.outcome, ran.result) == ("complete", ["trial of ann", "yes"])
    assert [(step.what, step.done) for step in ran.steps] == [("step", True), ("sleep", True), ("signal", True)]
    ran = await testing.run(trial, "ann")
    assert (ran.outcome, ran.result) == ("complete", ["trial of ann", "none"])
    assert ran.steps[2].timed_out
    assert ran.steps[2].at - ran.steps[0].at >= timedelta(days=16)
    ran = await testing.run(trial_in_a_thread, signals={"decision": None})
    assert (ran.outcome, ran.result) == ("complete", None)
    ran = await testing.run(trial_in_a_thread)
    assert (ran.outcome, ran.reason) == ("suspend", "waits for decision")


async def test_run_knows_the_other_shapes() -> None:
    ran = await testing.run(counts, 3)
    assert (ran.outcome, ran.steps[0].result) == ("complete", 2)
    ran = await testing.run(doubles, 4)
    assert (ran.outcome, ran.result) == ("complete", 8)
    ran = await testing.run(doubles, -4)
    assert (ran.outcome, ran.error and ran.error.message) == ("retry", "negative")
    ran = await testing.run(forgets, 4)
    assert ran.error is not None and ran.error.type == "NoResult"


async def test_the_sandbox_takes_signals_and_time() -> None:
    async with testing.sandbox(app) as box:
        ref = await trial.enqueue("ann")
        assert await box.drain() == 1
        assert [step.what for step in await app.jobs.steps(ref)] == ["step", "sleep"]
        assert await box.advance("14d") == 1
        assert (await app.jobs.get(ref)).reason == "waits for decision"
        assert await box.signal(ref, "decision", "yes") == "woken"
        assert await box.drain() == 1
        assert await ref.result(1) == ["trial of ann", "yes"]
        late = await trial.enqueue("bob")
        await box.advance("16d")
        assert await late.result(1) == ["trial of bob", "none"]
        with pytest.raises(JobNotFound):
            await box.signal("nobody", "decision")


def test_the_blocking_door_signals(tmp_path: Any) -> None:
    local = Windlass(f"sqlite:///{tmp_path / 'jobs.db'}")

    @local.job
    async def waits(ctx: Context) -> Any:
        return await ctx.wait_for("go")

    ref = local.sync.enqueue(waits)
    assert local.sync.signal(ref, "go", {"n": 1}) == "kept"
    local.sync.run(local.drain())
    assert local.sync.result(ref, 1) == {"n": 1}
    [step] = local.sync.run(local.jobs.steps(ref))
    assert (step.what, step.name, step.result) == ("signal", "go", {"n": 1})
    local.sync.close()
