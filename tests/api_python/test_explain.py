"""`app.jobs.explain`: every reason for which a job does not run, with its facts and what mends it."""

import asyncio
from typing import Any

import pytest

from tests.waiting import until
from windlass import Context, JobNotFound, Limit, Provider, Unique, Windlass, fixed
from windlass.operate.explain import Explanation, Reason

SECOND = 1_000_000
START = 1_800_000_000 * SECOND


async def at(app: Windlass, seconds: float) -> None:
    await (await app.store()).hold_time(START + round(seconds * SECOND))


async def free(app: Windlass) -> None:
    await (await app.store()).hold_time(None)


async def why(app: Windlass, ref: Any, code: str) -> Reason:
    """The reason of this code; fails showing what was said instead."""
    found = await app.jobs.explain(ref)
    assert code in [reason.code for reason in found.reasons], str(found)
    return next(reason for reason in found.reasons if reason.code == code)


class Busy:
    """A worker whose handlers run until they are let go."""

    def __init__(self, app: Windlass, **options: Any) -> None:
        self.go_on = asyncio.Event()
        self.running = 0

        @app.job(kind="work", **options)
        async def work(n: int = 0) -> None:
            self.running += 1
            await self.go_on.wait()

        self.work = work
        self._app = app

    async def __aenter__(self) -> "Busy":
        self.worker = self._app.worker(concurrency=2)
        self._task = asyncio.create_task(self.worker.run())
        await until(self._is_known, "the worker to be known")
        return self

    async def _is_known(self) -> bool:
        return bool(await self._app.workers())

    async def runs(self, n: int) -> None:
        await until(lambda: self.running >= n, f"{n} jobs to run")

    async def __aexit__(self, *_: object) -> None:
        self.go_on.set()
        await self.worker.stop()
        await self._task


async def test_no_worker(app: Windlass) -> None:
    @app.job(queue="mail")
    async def send() -> None: ...

    async with app:
        ref = await send.enqueue()
        found = await app.jobs.explain(ref.id)
        assert isinstance(found, Explanation)
        assert (found.id, found.kind, found.queue, found.state, found.position) == (
            ref.id,
            "send",
            "mail",
            "waiting",
            1,
        )
        assert found.blocked_by == ("no-worker",)
        assert found.estimate is None
        reason = await why(app, ref, "no-worker")
        assert reason.mend == "windlass worker -A module:app -q mail"
        with pytest.raises(JobNotFound):
            await app.jobs.explain("00000000-0000-7000-8000-000000000000")


async def test_workers_that_do_not_serve_it(app: Windlass) -> None:
    other = Windlass(app.url, namespace=app.namespace)
    other.stores = app.stores

    @other.job
    async def unknown() -> None: ...

    async with app:
        async with Busy(app) as busy:
            ref = await unknown.options(queue="other").enqueue()
            elsewhere = await busy.work.options(queue="mail").enqueue()
            await until(lambda: _has(app, ref, "parked"), "the job to be parked")
            assert (await why(app, ref, "no-worker-for-kind")).facts["kind"] == "unknown"
            assert (await why(app, ref, "parked")).facts["key"] == "kind:unknown"
            await busy.runs(1)
            assert (await why(app, elsewhere, "active")).blocks is False
        worker = app.worker(queues=["default"])
        task = asyncio.create_task(worker.run())
        mail = await busy.work.options(queue="mail").enqueue()
        await until(lambda: _has(app, mail, "no-worker-for-queue"), "the new worker to be known")
        await worker.stop()
        await task


async def _has(app: Windlass, ref: Any, code: str) -> bool:
    return code in [reason.code for reason in (await app.jobs.explain(ref)).reasons]


async def test_states_and_times(app: Windlass) -> None:
    @app.job(max_attempts=3, backoff=fixed("60s", jitter=0))
    async def fail() -> None:
        raise ValueError("nope")

    @app.job
    async def wait(ctx: Context) -> None:
        await ctx.wait_for("approved", timeout="1h")

    async with app:
        await at(app, 0)
        late = await fail.options(delay="1h").enqueue()
        parent = await fail.options(delay="2h").enqueue()
        child = await fail.options(after=[parent, late]).enqueue()
        held = await fail.options(after=[parent], on_failure="hold").enqueue()
        retrying, suspended = await fail.enqueue(), await wait.enqueue()
        await app.drain()
        reason = await why(app, late, "delayed")
        assert reason.until is not None
        assert reason.until.timestamp() == START / SECOND + 3_600
        assert reason.mend == f"windlass jobs run-now {late.id}"
        found = await app.jobs.explain(child)
        assert {reason.facts["parent"] for reason in found.reasons if reason.code == "parent"} == {parent.id, late.id}
        reason = await why(app, retrying, "retrying")
        assert "ValueError: nope" in reason.text
        assert reason.facts["attempt"] == 1
        reason = await why(app, suspended, "signal")
        assert reason.facts == {"signal": "approved"}
        assert reason.until is not None
        await app.jobs.fail(parent.id, reason="by hand")
        assert (await why(app, held, "parent-held")).mend == f"windlass jobs retry {parent.id}"
        assert (await why(app, parent, "failed")).mend == f"windlass jobs retry {parent.id}"
        assert (await why(app, child, "cancelled")).facts["reason"] == f"parent {parent.id} failed"
        ends = await fail.options(expires="5m").enqueue()
        assert (await why(app, ends, "expires")).until is not None
        await free(app)


async def test_a_paused_queue(app: Windlass) -> None:
    @app.job(queue="mail")
    async def send() -> None: ...

    async with app:
        ref = await send.enqueue()
        await app.queues.pause("mail")
        assert (await why(app, ref, "queue-paused")).mend == "windlass queues resume mail"
        await app.queues.resume("mail")
        assert "queue-paused" not in (await app.jobs.explain(ref)).blocked_by


async def test_full_limits_with_their_holders(app: Windlass) -> None:
    async with app, Busy(app, concurrency=1, limits=[Limit(by="n", concurrency=1)]) as busy:
        first = await busy.work.enqueue(7)
        await busy.runs(1)
        second, third = await busy.work.enqueue(7), await busy.work.enqueue(7)
        found = await app.jobs.explain(second)
        full = [reason for reason in found.reasons if reason.code == "limit-full"]
        assert {(reason.facts["limit"], reason.facts["held"], tuple(reason.facts["holders"])) for reason in full} == {
            (1, 1, (first.id,))
        }
        assert len(full) == 2
        assert found.position == 1
        assert (await app.jobs.explain(third)).position == 2
        assert (await why(app, third, "in-line")).facts["ahead"] == 1


async def test_a_rate_window(app: Windlass) -> None:
    @app.job(rate_limit="1/h")
    async def send() -> None: ...

    async with app:
        await at(app, 0)
        await app.enqueue_many([send.job(), send.job(), send.job()])
        await app.drain()
        second, third = (await app.jobs.list(state="waiting")).items[::-1]
        found = await app.jobs.explain(second.id)
        reason = await why(app, second.id, "rate-full")
        assert (reason.facts["limit"], reason.facts["window"]) == (1, 3_600)
        assert reason.mend == "windlass limits set kind:send --rate 2/3600s"
        assert reason.until is not None
        assert 3_600 <= reason.until.timestamp() - START / SECOND < 3_601
        assert found.estimate is None, "there is no worker"
        async with Busy(app):
            first_in, second_in = [(await app.jobs.explain(job.id)).estimate for job in (second, third)]
            assert first_in is not None
            assert second_in is not None
            assert 3_600 <= first_in < 3_601
            assert 7_200 <= second_in < 7_201
        await free(app)


async def test_an_open_breaker(app: Windlass) -> None:
    class Down(Exception):
        category = "provider"

    @app.job(provider=Provider("shop", in_a_row=2), max_attempts=1)
    async def ask() -> None:
        raise Down("503")

    async with app:
        await at(app, 0)
        await app.enqueue_many([ask.job(), ask.job()])
        await app.drain()
        ref = await ask.enqueue()
        reason = await why(app, ref, "breaker-open")
        assert reason.mend == "windlass breakers reset shop"
        assert "Down: 503" in reason.text
        assert reason.until is not None
        assert reason.until.timestamp() == START / SECOND + 30
        await free(app)


async def test_what_only_explains(app: Windlass) -> None:
    async with app, Busy(app) as busy:
        ran = [await busy.work.enqueue(n) for n in range(2)]
        await busy.runs(2)
        found = await app.jobs.explain(ran[0])
        assert found.blocked_by == ()
        assert (await why(app, ran[0], "active")).facts["worker"] == busy.worker.id
        ref = await busy.work.options(unique=Unique(key="k")).enqueue(9)
        assert (await app.jobs.explain(ref)).blocked_by == ("workers-busy",)
        assert (await why(app, ref, "workers-busy")).facts["slots"] == 2
        waiting = await busy.work.options(priority=-5).enqueue(5)
        assert (await why(app, waiting, "in-line")).mend == f"windlass jobs reprioritise critical {waiting.id}"
        busy.go_on.set()
        await waiting.result(timeout=10)
        assert (await why(app, waiting, "completed")).blocks is False
