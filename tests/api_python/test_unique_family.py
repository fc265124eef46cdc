"""Unique keys by declaration: once more after the run that goes on, once things are quiet, once in a while."""

import asyncio
from typing import Any

import pytest

from tests.waiting import until
from windlass import InvalidOption, Unique, Windlass, debounce, throttle

SECOND = 1_000_000


async def at(app: Windlass, seconds: float) -> None:
    """The store's clock stands so many seconds after the beginning."""
    store = await app.store()
    await store.hold_time(1_800_000_000 * SECOND + round(seconds * SECOND))


async def test_rerun_runs_once_more_with_the_newest_arguments(app: Windlass) -> None:
    ran: list[str] = []
    started, go_on = asyncio.Event(), asyncio.Event()

    @app.job(unique=Unique(args=("site",), on_conflict="rerun"))
    async def rebuild(site: str, why: str) -> str:
        ran.append(why)
        started.set()
        await go_on.wait()
        return why

    async with app:
        worker = app.worker()
        running = asyncio.create_task(worker.run())
        first = await rebuild.enqueue("a", "one")
        await started.wait()
        second = await rebuild.enqueue("a", "two")
        assert second.created
        assert (await second.job()).state == "blocked"
        third = await rebuild.enqueue("a", "three")
        assert (third.created, third.id) == (False, second.id)
        assert (await second.job()).args["why"] == "three"
        go_on.set()
        assert await first.result(timeout=10) == "one"
        assert await second.result(timeout=10) == "three"
        await worker.stop()
        await running
        assert ran == ["one", "three"]
        assert (await rebuild.enqueue("a", "four")).created, "the key is free when the last has ended"


async def test_debounce_waits_until_it_is_quiet(app: Windlass) -> None:
    ran: list[str] = []

    @app.job(unique=debounce("5s", max_wait="12s", args="doc"))
    async def index(doc: str, text: str) -> None:
        ran.append(text)

    async with app:
        try:
            await at(app, 0)
            first = await index.enqueue("d", "v0")
            assert (await first.job()).state == "delayed"
            for second in (4, 8):
                await at(app, second)
                assert await app.drain() == 0
                again = await index.enqueue("d", f"v{second}")
                assert (again.id, again.created) == (first.id, False)
            other = await index.enqueue("e", "other")
            assert other.created
            await at(app, 11.9)
            assert await app.drain() == 0
            await at(app, 12)
            await app.drain()
            assert ran == ["v8"], "not beyond max_wait, though the last enqueue was four seconds ago"
            assert (await index.enqueue("d", "v12")).created
            await at(app, 13)
            await app.drain()
            assert ran == ["v8", "other"]
            await at(app, 17)
            await app.drain()
            assert ran == ["v8", "other", "v12"]
        finally:
            await (await app.store()).hold_time(None)


async def test_throttle_runs_at_once_and_then_not_for_a_while(app: Windlass) -> None:
    ran: list[int] = []

    @app.job(unique=throttle("1h", args=("user",)))
    async def remind(user: str, n: int) -> None:
        ran.append(n)

    async with app:
        try:
            await at(app, 0)
            first = await remind.enqueue("ann", 1)
            await app.drain()
            await at(app, 3_599)
            second = await remind.enqueue("ann", 2)
            assert (second.created, second.id) == (False, first.id)
            assert (await remind.enqueue("bob", 3)).created
            await at(app, 3_601)
            assert (await remind.enqueue("ann", 4)).created
            await app.drain()
            assert ran == [1, 3, 4]
        finally:
            await (await app.store()).hold_time(None)


async def test_a_key_is_free_after_every_end(app: Windlass) -> None:
    @app.job(max_attempts=1)
    async def work(how: str) -> None:
        if how == "fail":
            raise ValueError(how)

    one = work.options(unique="k")
    async with app:
        for how, act in (
            ("complete", None),
            ("fail", None),
            ("cancel", app.jobs.cancel),
            ("delete", app.jobs.delete),
        ):
            ref = await one.enqueue(how)
            assert ref.created, how
            assert not (await one.enqueue(how)).created
            if act is not None:
                await act(ref.id)
            else:
                await app.drain()
        gone = await one.options(expires="1ms").enqueue("expire")
        await until(lambda: _drained(app, gone), "the job to expire")
        assert (await one.enqueue("last")).created


async def _drained(app: Windlass, ref: Any) -> bool:
    await (await app.store()).promote(100)
    return (await ref.job()).is_final


def test_debounce_may_be_given_to_one_job_too() -> None:
    app = Windlass("sqlite://:memory:")

    @app.job
    async def work(n: int) -> None: ...

    job = work.options(unique=debounce("5s", key="all")).job(1)
    assert job.unique is not None
    assert (job.delay, job.unique.key, job.unique.until, job.unique.latest) == (5 * SECOND, "all", "started", None)
    with pytest.raises(InvalidOption, match="delay"):
        work.options(unique=debounce("5s", key="all"), delay="1m")


BAD: list[tuple[Any, str]] = [
    (lambda: Unique(args=5), "unique.args"),  # type: ignore[arg-type]
    (lambda: Unique(args=(5,)), "unique.args"),  # type: ignore[arg-type]
    (lambda: Unique(args={"a": 1}), "unique.args"),  # type: ignore[arg-type]
    (lambda: Unique(on_conflict="wait"), "unique.on_conflict"),  # type: ignore[arg-type]
    (lambda: Unique(on_conflict="rerun", until="started"), "unique.until"),
    (lambda: Unique(on_conflict="rerun", until="1h"), "unique.until"),
    (lambda: Unique(latest="1m"), "unique.latest"),
    (lambda: debounce(0), "unique.delay"),
    (lambda: debounce("5s", max_wait="1s"), "unique.latest"),
    (lambda: debounce("5s", args=("a",), key="b"), "unique"),
    (lambda: throttle("often"), "unique.until"),
    (lambda: throttle(0), "unique.until"),
]


@pytest.mark.parametrize(("make", "field"), BAD)
def test_bad_declarations_are_refused(make: Any, field: str) -> None:
    app = Windlass("sqlite://:memory:")

    def work(a: int) -> None: ...

    with pytest.raises(InvalidOption) as refused:
        app.job(unique=make())(work)
    assert refused.value.facts["field"] == field
