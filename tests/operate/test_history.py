"""The timeline of a job, and the audit by its filters."""

from datetime import timedelta

import pytest

from tests.store.kit import HOUR
from windlass import Context, InvalidOption, JobNotFound, Windlass
from windlass.operate.retention import prune_all
from windlass.values.clock import SECOND, moment
from windlass.values.query import Retention

START = 1_800_000_000 * SECOND


async def drain(app: Windlass) -> None:
    while await app.drain():
        pass


async def test_a_timeline(app: Windlass) -> None:
    @app.job(max_attempts=2, backoff=lambda attempt: 60.0, dead_retries=("1h",))
    async def work(ctx: Context, fails: bool = True) -> None:
        await ctx.step("fetch", lambda: 7)
        if fails:
            raise ConnectionError("gone")

    async with app:
        store = await app.store()
        await store.hold_time(START)
        ref = await work.options(user="ann").enqueue()
        await drain(app)
        entries = await app.jobs.history(ref)
        assert [entry.what for entry in entries] == ["created", "started", "step", "retrying", "due"]
        assert entries[0].detail["user"] == "ann"
        assert entries[3].error is not None and entries[3].error.message == "gone"
        assert entries[4].at == moment(START + 60 * SECOND)
        await store.hold_time(START + 61 * SECOND)
        await drain(app)
        await store.hold_time(START + 62 * SECOND)
        await app.jobs.requeue(ids=[ref], actor="ada")
        entries = await app.jobs.history(ref)
        told = [(entry.what, entry.attempt) for entry in entries if entry.what not in ("step", "created")]
        assert told[:4] == [("started", 1), ("retrying", 1), ("started", 2), ("failed", 2)]
        assert (entries[-1].what, entries[-1].cause, entries[-1].actor) == ("act", "requeue", "ada")
        assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
        workers = {entry.worker for entry in entries if entry.what in ("started", "failed")}
        assert len(workers) == 2 and None not in workers


async def test_what_is_ahead_and_ends_without_an_attempt(app: Windlass) -> None:
    @app.job
    async def work() -> None: ...

    async with app:
        await (await app.store()).hold_time(START)
        later = await work.options(delay="2h").enqueue()
        assert [(entry.what, entry.at) for entry in await app.jobs.history(later)] == [
            ("created", moment(START)),
            ("due", moment(START + 2 * HOUR)),
        ]
        await app.jobs.cancel(later, reason="not needed", actor="bob")
        told = {(entry.what, entry.cause) for entry in await app.jobs.history(later)}
        assert told == {("created", None), ("act", "cancel"), ("ended", "not needed")}
        await app.jobs.delete(later, actor="bob")
        assert [entry.cause for entry in await app.jobs.history(later)] == ["cancel", "delete"], "the acts outlive it"
        with pytest.raises(JobNotFound):
            await app.jobs.history("never-was")


async def test_a_timeline_outlives_its_job(app: Windlass) -> None:
    @app.job(max_attempts=2, backoff=lambda attempt: 0.0, dead_retries=("1h",))
    async def work(ctx: Context) -> None:
        await ctx.step("fetch", lambda: 7)
        raise ConnectionError("gone")

    async with app:
        store = await app.store()
        await store.hold_time(START)
        ref = await work.options(user="ann").enqueue()
        await drain(app)
        await store.hold_time(START + SECOND)
        await drain(app)
        await app.jobs.reprioritise(5, ref, actor="ada")
        before = await app.jobs.history(ref)
        assert {"step", "failed", "due"} <= {entry.what for entry in before}
        await store.hold_time(START + HOUR)
        keep = Retention(failed=0, history=HOUR)
        assert await prune_all(store, keep) == 1
        with pytest.raises(JobNotFound, match="no job") as refused:
            await app.jobs.get(ref)
        assert "history" in refused.value.mend
        *after, last = await app.jobs.history(ref)
        assert after == [entry for entry in before if entry.what not in ("step", "due")]
        assert (last.what, last.cause, last.at) == ("deleted", "retention", moment(START + HOUR))
        await store.hold_time(START + 2 * HOUR)
        await prune_all(store, keep)
        with pytest.raises(JobNotFound):
            await app.jobs.history(ref)


async def test_the_audit(app: Windlass) -> None:
    @app.job(queue="mail")
    async def work() -> None: ...

    async with app:
        store = await app.store()
        await store.hold_time(START)
        refs = [await work.enqueue() for _ in range(3)]
        for hour, (ref, actor) in enumerate(zip(refs, ("ada", "bob", "ada"), strict=True)):
            await store.hold_time(START + hour * HOUR)
            await app.jobs.reprioritise(5, ref, actor=actor)
        await app.queues.pause("mail", actor="ada")
        every = (await app.audit()).items
        assert len(every) == 4
        assert [act.at for act in every] == sorted((act.at for act in every), reverse=True)
        assert len((await app.audit(actor="ada")).items) == 3
        assert [act.target for act in (await app.audit(target="queue:*")).items] == ["queue:mail"]
        assert len((await app.audit(action="repri*")).items) == 3
        hour = timedelta(hours=1)
        middle = await app.audit(since=moment(START) + hour, until=moment(START) + 2 * hour)
        assert [act.actor for act in middle.items] == ["bob"]
        pages, cursor = [], None
        while True:
            page = await app.audit(limit=2, cursor=cursor)
            pages += page.items
            cursor = page.next
            if cursor is None:
                break
        assert pages == every
        for wrong in ({"limit": 0}, {"limit": 1_001}, {"cursor": "é"}, {"actor": "\ud800"}):
            with pytest.raises(InvalidOption):
                await app.audit(**wrong)  # type: ignore[arg-type]
