"""`@app.on(...)`: told after the commit, in the worker, of what is asked for; whatever a hook does harms nothing."""

import asyncio
import logging
import threading

import pytest

from tests.waiting import until
from windlass import Context, Fail, InvalidOption, JobEvent, Retry, Windlass, fixed
from windlass.secrecy import Keys, Secret, generate_key


async def drain(app: Windlass) -> None:
    while await app.drain():
        pass


async def test_hooks_hear_what_they_ask_for(app: Windlass) -> None:
    heard: list[JobEvent] = []
    plain: list[tuple[str, str]] = []

    @app.on("completed", "failed", "retrying", "cancelled", "active", "progress")
    async def every(event: JobEvent) -> None:
        heard.append(event)

    @app.on("completed", queue="other")
    def other(event: JobEvent) -> None:
        plain.append((event.kind, threading.current_thread().name))

    @app.on("failed", kind=["good", "bad"])
    def bad_ones(event: JobEvent) -> None:
        plain.append((event.kind, "failed"))

    @app.job
    async def good(ctx: Context, n: int) -> int:
        await ctx.progress(50, "half")
        return n + 1

    @app.job(queue="other", max_attempts=2, backoff=fixed(0))
    async def bad(ctx: Context) -> None:
        if ctx.attempt == 1:
            raise Retry("not yet")
        raise Fail("never")

    @app.job(queue="other")
    def threaded() -> None: ...

    async with app:
        ref = await good.options(user="ann", tags=["x"]).enqueue(41)
        lost = await bad.enqueue()
        await threaded.enqueue()
        await drain(app)
        of_good = [event for event in heard if event.id == ref.id]
        assert [event.event for event in of_good] == ["active", "progress", "completed"]
        assert (of_good[1].progress, of_good[1].note) == (50.0, "half")
        done = of_good[2]
        assert (done.result, done.user, done.tags, done.queue, done.attempt) == (42, "ann", ("x",), "default", 1)
        assert done.took > 0 and done.worker
        of_bad = [event for event in heard if event.id == lost.id]
        assert [event.event for event in of_bad] == ["active", "retrying", "active", "failed"]
        assert of_bad[3].error is not None and of_bad[3].error.message == "never"
        assert of_bad[3].reason == "never"
        assert sorted(plain) == [("bad", "failed"), ("threaded", "windlass-hook")]


async def test_a_hook_that_fails_or_hangs_harms_nothing(app: Windlass, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []
    release = threading.Event()

    @app.on("completed")
    async def raises(event: JobEvent) -> None:
        raise RuntimeError("a defect of the hook")

    @app.on("completed")
    def hangs(event: JobEvent) -> None:
        release.wait(20)

    @app.on("completed")
    async def hears(event: JobEvent) -> None:
        seen.append(event.id)

    @app.job
    async def quick(n: int) -> int:
        return n

    async with app:
        refs = await app.enqueue_many([quick.job(n) for n in range(50)])
        worker = app.worker()
        running = asyncio.create_task(worker.run())
        await until(lambda: len(seen) == 50, "the healthy hook has heard all")
        assert [await ref.result() for ref in refs] == list(range(50))
        assert seen == [ref.id for ref in refs], "in order"
        release.set()
        await worker.stop()
        await running
    assert any("raises failed" in record.getMessage() for record in caplog.records if record.name == "windlass.hooks")


async def test_the_worker_s_own_trouble(app: Windlass) -> None:
    heard: list[JobEvent] = []

    @app.on("error")
    async def trouble(event: JobEvent) -> None:
        heard.append(event)
        if event.text == "stop":
            return

    @app.job
    async def warns() -> None:
        logging.getLogger("windlass.worker").warning("the store limps")

    async with app:
        await warns.enqueue()
        await drain(app)
    assert [event.text for event in heard] == ["the store limps"]
    logging.getLogger("windlass.worker").warning("nobody is told any more")
    assert len(heard) == 1
    assert not [each for each in logging.getLogger("windlass.worker").handlers if type(each).__name__ == "_Ear"]


async def test_secrets_stay_secret() -> None:
    key = generate_key()
    app = Windlass("sqlite://:memory:", encryption=Keys({"k1": key}))
    heard: list[JobEvent] = []

    @app.on("completed", "failed")
    async def told(event: JobEvent) -> None:
        heard.append(event)

    @app.job(encrypt=True, max_attempts=1)
    async def hidden(card: Secret[str], fails: bool = False) -> str:
        if fails:
            raise ValueError(f"declined: {card}")
        return f"charged {card}"

    async with app:
        await hidden.enqueue("4111-1111")
        await hidden.enqueue("4111-1111", fails=True)
        await drain(app)
        groups = await app.errors.list()
    assert len(heard) == 2
    assert "4111" not in repr(heard)
    assert "4111" not in repr(groups)


def test_no_hooks_cost_nothing_and_odd_ones_are_refused() -> None:
    app = Windlass("sqlite://:memory:")
    for wrong in (("complete",), (), ("failed", 3)):
        with pytest.raises(InvalidOption):
            app.on(*wrong)(lambda event: None)  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match="completed"):
        app.on("complet")(lambda event: None)  # type: ignore[arg-type]
    with pytest.raises(InvalidOption):
        app.on("failed", queue=[])
    with pytest.raises(InvalidOption):
        app.on("failed", kind="no such!")
    with pytest.raises(InvalidOption):
        app.on("failed")(3)  # type: ignore[type-var]
    assert not app.hooks
