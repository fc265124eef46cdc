"""`app.jobs` and `app.queues`: looking and acting, with the actor in the audit."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from windlass import Context, InvalidOption, JobNotFound, Windlass
from windlass.values.query import AuditQuery


def declared(app: Windlass) -> Any:
    @app.job(max_attempts=1)
    async def work(ctx: Context, n: int = 0) -> int:
        ctx.log("began", level="debug")
        if n < 0:
            raise ValueError("negative")
        return n

    return work


async def test_lists_filter_and_page(app: Windlass) -> None:
    work = declared(app)
    async with app:
        await app.enqueue_many([work.job(n) for n in range(5)])
        mine = await work.options(queue="q", user="u", project="p", group="g", tags=["a", "b"], unique="k").enqueue(7)
        seen: list[int] = []
        cursor = None
        while True:
            page = await app.jobs.list(queue="default", limit=2, cursor=cursor)
            seen += [job.args["n"] for job in page.items]
            cursor = page.next
            if cursor is None:
                break
        assert seen == [4, 3, 2, 1, 0]
        now = datetime.now(UTC)
        filters: list[dict[str, Any]] = [
            {"queue": ["q", "r"]},
            {"user": "u"},
            {"project": "p"},
            {"group": "g"},
            {"tags": ["b"]},
            {"unique": "k"},
            {"queue": "q", "state": ["waiting", "active"], "kind": "wo*"},
            {"queue": "q", "created_from": now - timedelta(minutes=1), "created_to": now + timedelta(minutes=1)},
        ]
        for given in filters:
            assert [job.id for job in (await app.jobs.list(**given)).items] == [mine.id], given
        assert (await app.jobs.list(kind="other")).items == []
        with pytest.raises(InvalidOption):
            await app.jobs.list(limit=0)
        with pytest.raises(InvalidOption, match="state"):
            await app.jobs.list(state="gone")
        with pytest.raises(InvalidOption, match="queu"):
            await app.jobs.list(queu="x")  # type: ignore[call-arg]


async def test_unknown_jobs(app: Windlass) -> None:
    async with app:
        with pytest.raises(JobNotFound):
            await app.jobs.get("nobody")
        with pytest.raises(JobNotFound):
            await app.jobs.log("nobody")
        with pytest.raises(JobNotFound):
            await app.jobs.get("")
        acted = await app.jobs.cancel("nobody")
        assert acted == 0
        assert acted.refused == {"nobody": "not found"}


async def test_dead_letters_are_requeued_by_default(app: Windlass) -> None:
    work = declared(app)
    async with app:
        good, bad = await work.enqueue(1), await work.enqueue(-1)
        await app.drain()
        assert (await app.jobs.log(bad))[0].text == "began"
        acted = await app.jobs.requeue(kind="work", actor="ada")
        assert (acted, acted.ids) == (1, (bad.id,))
        assert await app.jobs.requeue(ids=[good, bad]) == 1
        store = await app.store()
        audit = await store.audit(AuditQuery())
        assert {entry.actor for entry in audit} == {"ada", "app"}


async def test_acts_on_waiting_jobs(app: Windlass) -> None:
    work = declared(app)
    async with app:
        ref = await work.options(delay="1h").enqueue(1)
        assert await app.jobs.reprioritise(50, ref) == 1
        assert (await ref.job()).priority == 50
        assert await app.jobs.run_now(ref) == 1
        assert (await ref.job()).state == "waiting"
        assert await app.jobs.fail(ref, reason="no longer needed") == 1
        job = await ref.job()
        assert (job.state, job.reason) == ("failed", "no longer needed")
        assert await app.jobs.delete(ref) == 1
        with pytest.raises(JobNotFound):
            await ref.job()


async def test_acts_by_filter_reach_all(app: Windlass) -> None:
    work = declared(app)
    async with app:
        refs = await app.enqueue_many([work.job(n) for n in range(1_300)])
        assert await app.jobs.reprioritise(7, queue="default") == 1_300
        assert await app.jobs.cancel(*refs[:600], reason="first") == 600
        assert await app.jobs.cancel(kind="work", state="waiting") == 700
        assert (await refs[0].job()).reason == "first"
        with pytest.raises(InvalidOption, match="every job"):
            await app.jobs.delete()
        with pytest.raises(InvalidOption, match="not both"):
            await app.jobs.delete(refs[0], queue="default")
        assert await app.jobs.delete(state=["cancelled"]) == 1_300


async def test_a_list_that_is_empty_never_means_every_job(app: Windlass) -> None:
    work = declared(app)
    async with app:
        good, bad = await work.enqueue(1), await work.enqueue(-1)
        await app.drain()
        waiting = await work.enqueue(2)
        none: list[str] = []
        assert await app.jobs.requeue(ids=none) == 0
        acts: list[Callable[..., Awaitable[object]]] = [
            app.jobs.cancel,
            app.jobs.run_now,
            app.jobs.delete,
            partial(app.jobs.fail, reason="no"),
            partial(app.jobs.reprioritise, 9),
            app.jobs.requeue,
            app.jobs.list,
        ]
        for act in acts[:5]:
            with pytest.raises(InvalidOption, match="every job"):
                await act(*none)
        with pytest.raises(InvalidOption, match="not both"):
            await app.jobs.requeue(ids=none, queue="default")
        for act in acts:
            for empty in ({"state": []}, {"queue": ()}, {"kind": []}, {"tags": []}, {"user": ""}, {"unique": ""}):
                with pytest.raises(InvalidOption, match="leave it out"):
                    await act(**{"queue": "default", **empty})
        assert [(await ref.job()).state for ref in (good, bad, waiting)] == ["completed", "failed", "waiting"]
        assert await (await app.store()).audit(AuditQuery()) == []


async def test_queues(app: Windlass) -> None:
    work = declared(app)
    async with app:
        await work.options(queue="a").enqueue(1)
        await work.options(queue="b", delay="1h").enqueue(1)
        assert (await app.queues.pause("a", actor="ada")).paused
        assert await app.drain() == 0
        assert [(queue.name, queue.paused) for queue in await app.queues.list()] == [("a", True), ("b", False)]
        await app.queues.resume("a")
        assert await app.drain() == 1
        stats = await app.queues.stats()
        assert stats["a"]["completed"] == stats["b"]["delayed"] == 1
        assert all(len(states) == 8 for states in stats.values())
        assert await app.queues.clear("b") == 1
        assert await app.queues.clear("a") == 0
        with pytest.raises(InvalidOption):
            await app.queues.pause("a b")
        assert await app.workers() == []


async def test_text_that_is_no_unicode_is_refused_or_escaped(app: Windlass) -> None:
    @app.job
    async def task() -> None: ...

    async with app:
        ref = await task.options(delay="1h").enqueue()
        for call in (app.jobs.get("\ud800"), app.jobs.cancel("\ud800"), app.ref("\ud800").job()):
            with pytest.raises(JobNotFound):
                await call
        for filters in ({"tags": ["\ud800"]}, {"queue": "\ud800"}, {"user": "\ud800"}):
            with pytest.raises(InvalidOption):
                await app.jobs.list(**filters)
        assert await app.jobs.cancel(ref, reason="\ud800\x00" + "x" * 1_000, actor="\ud800") == 1
        reason = (await app.jobs.get(ref)).reason
        assert reason is not None and reason.startswith("\\ud800\\x00x") and len(reason) <= 500


async def test_a_function_that_is_no_job_is_named(app: Windlass) -> None:
    async with app:
        with pytest.raises(InvalidOption, match=r"print.* is not a job; decorate"):
            await app.enqueue(print, 1)  # type: ignore[arg-type]
