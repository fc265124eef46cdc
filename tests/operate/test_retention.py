"""Retention by queue, declared by code and kept in the store; logs, results and the audit by ages of their own."""

import pytest

from tests.store.kit import HOUR, Place
from windlass import Context, InvalidOption, Keep, Windlass
from windlass.operate.retention import prune_all, retention_of
from windlass.values.clock import SECOND
from windlass.values.query import Keep as Kept
from windlass.values.states import State

START = 1_800_000_000 * SECOND


async def pruned(app: Windlass) -> None:
    store = await app.store()
    await prune_all(store, await retention_of(store, app.settings.retention))


def with_queues(place: Place) -> Windlass:
    app = Windlass(place.url, namespace=place.namespace)
    app.queue("brief", keep=Keep(completed="1h"))
    app.queue("few", keep=Keep(completed="forever", keep_completed=3))

    @app.job
    async def work() -> None: ...

    return app


async def completed(app: Windlass) -> dict[str, int]:
    return {name: counts["completed"] for name, counts in (await app.queues.stats()).items() if counts["completed"]}


async def test_each_queue_keeps_what_it_says(place: Place) -> None:
    app = with_queues(place)
    async with app:
        store = await app.store()
        await store.hold_time(START)
        work = app.kind("work")
        await app.enqueue_many(
            [work.options(queue=queue).job() for queue in ("brief", "few", "default") for _ in range(5)]
        )
        await app.drain()
        await pruned(app)
        assert await completed(app) == {"brief": 5, "few": 3, "default": 5}
        await store.hold_time(START + 2 * HOUR)
        await pruned(app)
        assert await completed(app) == {"few": 3, "default": 5}
        await store.hold_time(START + 25 * HOUR)
        await pruned(app)
        assert await completed(app) == {"few": 3}


async def test_other_apps_prune_by_it_until_no_code_says_so(shared: Place) -> None:
    one = with_queues(shared)
    async with one:
        await one.capacity.deploy(await one.store(), sweep=True)  # as its workers do when they start
        other = Windlass(shared.url, namespace=shared.namespace)
        async with other:
            retention = await retention_of(await other.store(), other.settings.retention)
            usual = Kept()
            assert retention.queues["brief"].completed == HOUR
            assert (retention.queues["brief"].failed, retention.queues["few"].keep_completed) == (usual.failed, 3)
            assert retention.queues["few"].completed is None
            assert retention.queues["windlass"].keep_completed == 100
        less = Windlass(shared.url, namespace=shared.namespace)
        less.timetable.owner = one.timetable.owner
        less.queue("few", keep=Keep(keep_completed=7))
        async with less:
            store = await less.store()
            await less.capacity.deploy(store, sweep=True)
            retention = await retention_of(store, less.settings.retention)
            assert sorted(retention.queues) == ["few", "windlass"]
            assert retention.queues["few"].keep_completed == 7


async def test_logs_results_and_acts_go_before_their_jobs(place: Place) -> None:
    app = Windlass(
        place.url, namespace=place.namespace, keep_logs="1h", keep_results="2h", keep_audit="3h", keep_completed="30d"
    )

    @app.job
    async def told(ctx: Context) -> str:
        await ctx.log("hello")
        return "here"

    async with app:
        store = await app.store()
        await store.hold_time(START)
        ref = await told.enqueue()
        await app.jobs.reprioritise(3, ref)
        await app.drain()
        await pruned(app)
        assert (len(await app.jobs.log(ref)), (await ref.job()).result) == (1, "here")
        await store.hold_time(START + HOUR + SECOND)
        await pruned(app)
        assert (len(await app.jobs.log(ref)), (await ref.job()).result) == (0, "here")
        await store.hold_time(START + 2 * HOUR + SECOND)
        await pruned(app)
        job = await ref.job()
        assert (job.state, job.result) == (State.COMPLETED, None)
        assert len((await app.audit()).items) == 1
        await store.hold_time(START + 3 * HOUR + SECOND)
        await pruned(app)
        assert (await app.audit()).items == []
        assert (await ref.job()).state is State.COMPLETED


@pytest.mark.parametrize(
    "wrong",
    [
        Keep(completed="soon"),
        Keep(failed=-1),
        Keep(keep_completed=-1),
        Keep(keep_failed=True),
        "1h",
        {"completed": "1h"},
    ],
)
def test_odd_ones_are_refused(wrong: object) -> None:
    with pytest.raises(InvalidOption):
        Windlass("sqlite://:memory:").queue("q", keep=wrong)  # type: ignore[typeddict-item]
