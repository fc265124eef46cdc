"""The test door: a sandbox with a held clock, and running a handler without a store."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from windlass import Context, Fail, InvalidArgs, Retry, Snooze, Windlass, fixed, testing

NOW = datetime(2030, 1, 1, tzinfo=UTC)
app = Windlass("redis://nobody.invalid:1")  # never reached: tests sandbox it


@app.job
async def send(ctx: Context, to: str, subject: str = "Welcome") -> str:
    await ctx.progress(50, "rendered")
    ctx.log("sent")
    return to


@app.job(max_attempts=3, backoff=fixed("10m"))
async def flaky(ctx: Context, until: int) -> int:
    if ctx.attempt < until:
        raise ConnectionError("not yet")
    await send.enqueue(f"{ctx.attempt}@x")
    return ctx.attempt


@app.job
def plain(n: int) -> int:
    return n + 1


async def place_order(number: int) -> None:
    await send.enqueue(f"customer-{number}@x")
    await send.options(delay="1h").enqueue(f"customer-{number}@x", "Was it good?")


async def test_a_sandbox_sees_what_is_enqueued() -> None:
    async with testing.sandbox(app, now=NOW) as box:
        await place_order(7)
        box.assert_enqueued(send, to="customer-7@x", count=2)
        (later,) = box.assert_enqueued(send, subject="Was it good?")
        assert later.job.delay == 3_600_000_000
        box.assert_enqueued("plain", count=0)
        with pytest.raises(AssertionError, match="customer-7@x"):
            box.assert_enqueued(send, to="somebody")
        with pytest.raises(AssertionError, match="found 2"):
            box.assert_enqueued(send, count=1)
        assert [sent.kind for sent in box.enqueued()] == ["send", "send"]
        assert await box.drain() == 1
        assert await box.now() == NOW
    assert app.url.startswith("redis://")


async def test_time_passes_only_when_told() -> None:
    async with testing.sandbox(app, now=NOW) as box:
        await place_order(7)
        assert await box.advance("59m") == 1
        assert await box.advance("1m") == 1
        assert await box.now() == NOW + timedelta(hours=1)


async def test_what_becomes_due_runs_at_its_own_time() -> None:
    async with testing.sandbox(app, now=NOW) as box:
        ref = await flaky.options(delay="5m").enqueue(3)
        assert await box.advance("1d") == 4
        job = await ref.job()
        assert [attempt.outcome for attempt in job.attempts] == ["retry", "retry", "complete"]
        assert job.finished_at == NOW + timedelta(minutes=25)
        box.assert_enqueued(send, to="3@x", count=1)
        assert await ref.result(timeout=5) == 3


async def test_sandboxes_are_empty_and_apart() -> None:
    for _ in range(2):
        async with testing.sandbox(app) as box:
            assert await app.queues.stats() == {}
            await plain.enqueue(1)
            async with app:
                assert await box.drain() == 1
            assert (await app.queues.stats())["default"]["completed"] == 1


async def test_running_a_handler_without_a_store() -> None:
    ran = await testing.run(send, "a@x")
    assert (ran.outcome, ran.result, ran.progress, ran.log) == (
        "complete",
        "a@x",
        [(50.0, "rendered")],
        [("info", "sent")],
    )
    assert (await testing.run(plain, n=1)).result == 2
    retried = await testing.run(flaky.options(max_attempts=2), 2)
    assert (retried.outcome, retried.delay) == ("retry", 600.0)
    assert retried.error is not None
    assert retried.error.type == "ConnectionError"
    last = await testing.run(flaky, 4, attempt=3)
    assert (last.outcome, last.reason) == ("fail", "attempts used up")
    with pytest.raises(InvalidArgs):
        await testing.run(send, to=3)


async def test_signals_are_judged_as_a_worker_would() -> None:
    local = Windlass("sqlite://:memory:")

    @local.job
    async def steer(ctx: Context, how: str) -> Any:
        assert ctx.resource("db") == "fake"
        raise {"retry": Retry(after="1m"), "snooze": Snooze("2m"), "fail": Fail("why")}[how]

    def facts(ran: testing.Ran) -> tuple[str, float, str | None]:
        return ran.outcome, ran.delay, ran.reason

    fakes = {"db": "fake"}
    assert facts(await testing.run(steer, "retry", resources=fakes)) == ("retry", 60.0, None)
    assert facts(await testing.run(steer, "snooze", resources=fakes)) == ("snooze", 120.0, None)
    assert facts(await testing.run(steer, "fail", resources=fakes)) == ("fail", 0.0, "why")


async def test_a_handler_out_of_time() -> None:
    import asyncio

    local = Windlass("sqlite://:memory:")

    @local.job(timeout="10ms")
    async def slow() -> None:
        await asyncio.Event().wait()

    ran = await testing.run(slow)
    assert ran.outcome == "retry"
    assert ran.error is not None
    assert ran.error.type == "TimeoutError"
