"""Keeping leases, losing them, giving work back, and taking over that of lost workers."""

import asyncio
import threading
import time

import pytest

from tests.store.kit import Hand
from tests.waiting import until
from tests.worker.kit import ended, state, working
from windlass.app import Windlass
from windlass.errors import StoreUnavailable
from windlass.values.clock import SECOND
from windlass.values.job import Claim
from windlass.values.outcome import completed
from windlass.worker.upkeep import Upkeep
from windlass.worker.worker import RECYCLE, Worker


async def test_a_lease_is_kept_while_a_handler_blocks_the_loop(app: Windlass) -> None:
    runs: list[str] = []

    @app.job
    async def blocks() -> None:
        runs.append("run")
        time.sleep(2.5)  # noqa: ASYNC251 - this is what some handlers do
        await asyncio.sleep(0)

    stolen: list[object] = []

    async def thief() -> None:
        store = app.open_sibling()
        await store.open()
        try:
            while not done.is_set():
                stolen.extend(await store.rescue("thief", SECOND, 10))
                await asyncio.sleep(0.1)
        finally:
            await store.close()

    done = threading.Event()
    other = threading.Thread(target=lambda: asyncio.run(thief()))
    async with app, working(app, lease=1):
        ref = await blocks.enqueue()
        other.start()
        try:
            assert (await ended(app, ref.id)).state == "completed"
        finally:
            done.set()
            await asyncio.to_thread(other.join)
    assert runs == ["run"] and stolen == []


async def test_a_lapsed_lease_is_rescued_and_the_job_runs_again(app: Windlass) -> None:
    @app.job
    async def work() -> str:
        return "done"

    async with app:
        ref = await work.enqueue()
        store = await app.store()
        dead = Hand(store, "dead", lease=SECOND)
        claim = await dead.one()
        async with working(app, lease=1):
            job = await ended(app, ref.id)
        assert (job.state, job.result, job.attempt, job.rescues) == ("completed", "done", 1, 1)
        assert [attempt.outcome for attempt in job.attempts] == ["rescue", "complete"]
        assert await store.finish([completed(claim, '"late"', 1)]) == ["stale"]


async def test_a_job_that_keeps_losing_its_workers_fails_as_stalled(app: Windlass) -> None:
    @app.job(max_rescues=0)
    async def poison() -> None: ...

    async with app:
        ref = await poison.enqueue()
        await Hand(await app.store(), "dead", lease=SECOND).one()
        async with working(app, lease=1):
            job = await ended(app, ref.id)
        assert (job.state, job.reason) == ("failed", "stalled")


async def test_a_lost_lease_stops_the_handler_and_drops_its_end(app: Windlass, monkeypatch: pytest.MonkeyPatch) -> None:
    started, stopped = asyncio.Event(), asyncio.Event()
    taken: list[Claim] = []

    @app.job
    async def slow() -> str:
        started.set()
        try:
            await asyncio.sleep(3_600)
        finally:
            stopped.set()
        return "never"

    async with app:
        store = await app.store()
        plain = type(store).heartbeat

        async def deaf(self, beat):  # beats arrive, but do not name the job: as if they had been lost
            return await plain(self, type(beat)(info=beat.info))

        async def idle(self) -> None: ...

        monkeypatch.setattr(type(store), "heartbeat", deaf)
        monkeypatch.setattr(Upkeep, "rescue", idle)  # or it would now and then be first
        # The first rescue of a store with running jobs would wait a lease: nobody knows how long the store stood still.
        await _rescue(store, taken)
        ref = await slow.enqueue()
        async with working(app, lease=1) as worker:
            await started.wait()
            await until(lambda: _rescue(store, taken), "another worker to take the job over")
            monkeypatch.setattr(type(store), "heartbeat", plain)
            await stopped.wait()
            await until(lambda: worker.running == 0, "the attempt to be over")
            assert worker.done == 0
            assert await state(app, ref.id) == "active"
            assert await store.finish([completed(taken[0], '"theirs"', 1)]) == ["accepted"]
        assert (await app.jobs.get(ref.id)).result == "theirs"


async def _rescue(store, taken: list[Claim]) -> bool:
    taken.extend(await store.rescue("other", 60 * SECOND, 10))
    return bool(taken)


async def test_a_worker_that_cannot_renew_stops_its_handlers_itself(app: Windlass) -> None:
    started, stopped = asyncio.Event(), asyncio.Event()
    runs = 0

    @app.job
    async def slow() -> str:
        nonlocal runs
        runs += 1
        started.set()
        if runs > 1:
            return "second run"
        try:
            await asyncio.sleep(3_600)
        finally:
            stopped.set()
        return "never"

    async with app:
        ref = await slow.enqueue()
        store = await app.store()
        patch = pytest.MonkeyPatch()
        async with working(app, lease=1):
            await started.wait()
            before = asyncio.get_running_loop().time()

            async def cut(self, beat):
                raise StoreUnavailable("the network is gone")

            patch.setattr(type(store), "heartbeat", cut)
            try:
                await stopped.wait()
                assert asyncio.get_running_loop().time() - before < 1.5
            finally:
                patch.undo()
            assert (await ended(app, ref.id)).result == "second run"


async def test_short_jobs_cost_no_heartbeat(app: Windlass) -> None:
    named = 0

    @app.job
    async def quick() -> None: ...

    async with app:
        store = await app.store()
        plain = type(store).heartbeat

        async def counted(self, beat):
            nonlocal named
            named += len(beat.held)
            return await plain(self, beat)

        patch = pytest.MonkeyPatch()
        patch.setattr(type(store), "heartbeat", counted)
        try:
            await app.enqueue_many([quick.job() for _ in range(2_000)])
            await app.drain()
        finally:
            patch.undo()
    assert named == 0


async def test_stopping_gives_back_what_has_not_started_and_lets_the_rest_end(app: Windlass) -> None:
    release = asyncio.Event()

    @app.job
    async def waits() -> None:
        await release.wait()

    async with app:
        await app.enqueue_many([waits.job() for _ in range(30)])
        worker = Worker(app, concurrency=5, grace="30s", processes=0)
        task = asyncio.create_task(worker.run())
        await until(lambda: worker.running == 5, "five to run")
        stopping = asyncio.create_task(worker.stop())

        async def given_back() -> bool:
            stats = (await app.queues.stats())["default"]
            return (stats["waiting"], stats["active"]) == (25, 5)

        await until(given_back, "the unstarted ones to be back in line")
        release.set()
        await stopping
        assert await task == 5
        stats = (await app.queues.stats())["default"]
        assert (stats["completed"], stats["waiting"]) == (5, 25)
        assert await (await app.store()).workers() == []


async def test_after_the_grace_time_the_rest_is_released_unspent(app: Windlass) -> None:
    async with app:

        @app.job
        async def endless() -> None:
            await asyncio.sleep(3_600)

        @app.job
        def endless_too() -> None:
            while True:
                time.sleep(0.001)

        refs = [await endless.enqueue(), await endless_too.enqueue()]
        worker = Worker(app, grace=0.05, processes=0)
        task = asyncio.create_task(worker.run())
        await until(lambda: worker.running == 2, "both to run")
        await worker.stop()
        await task
        for ref in refs:
            job = await app.jobs.get(ref.id)
            assert (job.state, job.attempt) == ("waiting", 0)
            assert [(a.outcome, a.reason) for a in job.attempts] == [("release", "worker shut down")]


async def test_stopping_twice_hurries(app: Windlass) -> None:
    started = asyncio.Event()

    @app.job
    async def endless() -> None:
        started.set()
        await asyncio.sleep(3_600)

    async with app:
        ref = await endless.enqueue()
        worker = Worker(app, grace=600, processes=0)
        task = asyncio.create_task(worker.run())
        await started.wait()
        first = asyncio.create_task(worker.stop())
        await asyncio.sleep(0)
        await worker.stop()
        await asyncio.gather(first, task)
        assert await state(app, ref.id) == "waiting"


async def test_cancelling_run_leaves_cleanly(app: Windlass) -> None:
    started = asyncio.Event()

    @app.job
    async def endless() -> None:
        started.set()
        await asyncio.sleep(3_600)

    async with app:
        ref = await endless.enqueue()
        task = asyncio.create_task(Worker(app, grace=600, processes=0).run())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await state(app, ref.id) == "waiting"


async def test_too_much_memory_recycles_the_worker(app: Windlass) -> None:
    async with app:
        worker = Worker(app, max_rss=1, processes=0)
        async with asyncio.timeout(10):
            await worker.run()
        assert worker.exit_code == RECYCLE


async def test_the_workers_record_comes_and_goes(app: Windlass) -> None:
    @app.job
    async def known() -> None: ...

    async with app:
        store = await app.store()
        async with working(app, queues=["default", "other"], concurrency=9) as worker:
            [info] = await until(store.workers, "the record")
            assert (info.id, info.queues, info.kinds) == (worker.id, ("default", "other"), ("known",))
            assert info.slots["async"] == 9 and info.rss > 0
        assert await store.workers() == []
