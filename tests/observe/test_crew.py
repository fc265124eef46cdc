"""What each worker did, against what is known to have happened."""

import random
from collections import Counter

import pytest
from msgspec.structs import replace

from tests.observe.truth import START, at, rank
from tests.store.kit import HOUR, Hand, end, new, put
from windlass import Windlass
from windlass.observe.crew import WorkerFigures
from windlass.observe.frames import DAY
from windlass.operate.retention import prune_all
from windlass.schedules.maintenance import NOTHING, fold_workers
from windlass.values.clock import SECOND
from windlass.values.metrics import MINUTE
from windlass.values.states import Event

EVENTS = (Event.COMPLETE, Event.COMPLETE, Event.COMPLETE, Event.FAIL, Event.ABORT, Event.RETRY, Event.SNOOZE)
NAMES = {
    Event.COMPLETE: "completed",
    Event.FAIL: "failed",
    Event.ABORT: "cancelled",
    Event.RETRY: "retries",
    Event.SNOOZE: "snoozed",
}


async def lived(app: Windlass, back: int, rng: random.Random) -> dict[str, list[tuple[Event, int, int]]]:
    """What workers did so long ago: how attempts ended, how long they took and what they cost."""
    store = await app.store()
    await store.hold_time(START + 2 * DAY - back)
    told: dict[str, list[tuple[Event, int, int]]] = {}
    for worker in ("w-1", "w-2", "w:3@host"):
        hand = Hand(store, worker)
        await put(store, *(new(f"k{n % 3}", queue="ab"[n % 2]) for n in range(60)))
        ends = []
        for claim in await hand.drain():
            event, took, spent = rng.choice(EVENTS), round(rng.lognormvariate(12, 1)), rng.choice((0, 0, 250))
            ends.append(
                replace(end(claim, event, took=took, delay=900 * DAY), worker=worker, spent=spent, cpu=took // 2)
            )
            told.setdefault(worker, []).append((event, took, spent))
        await hand.finish(*ends)
    return told


def check(found: WorkerFigures, true: list[tuple[Event, int, int]]) -> None:
    counts = Counter(event for event, _, _ in true)
    assert {name: getattr(found, name) for name in NAMES.values()} == {
        name: counts[event] for event, name in NAMES.items()
    }
    took = [took / SECOND for _, took, _ in true]
    assert found.run is not None and found.run.count == len(true)
    assert found.run.average == pytest.approx(sum(took) / len(took), abs=2e-6)
    for mark, share in (("median", 0.5), ("p95", 0.95), ("p99", 0.99)):
        assert getattr(found.run, mark) == pytest.approx(rank(took, share), rel=0.05)
    assert found.cost * 1_000_000 == sum(spent for _, _, spent in true)
    assert found.cpu == pytest.approx(sum(each // 2 for _, each, _ in true) / SECOND, abs=1e-5)


async def test_counts_times_and_costs_of_each_worker(app: Windlass) -> None:
    rng = random.Random(3)
    truth: dict[str, list[tuple[Event, int, int]]] = {}
    async with app:
        for back in (26 * HOUR, 3 * HOUR + 5 * MINUTE, 3 * HOUR, MINUTE):
            for worker, told in (await lived(app, back, rng)).items():
                truth.setdefault(worker, []).extend(told)
        await at(app, START + 2 * DAY)
        found = await app.worker_metrics(last="7d")
        assert {each.worker for each in found} == set(truth)
        for each in found:
            check(each, truth[each.worker])
        ran = [each.completed + each.failed + each.retries for each in found]
        assert ran == sorted(ran, reverse=True)
        (one,) = await app.worker_metrics(worker="w:3@host", last="7d")
        assert one in found
        assert [each.worker for each in await app.worker_metrics(last="7d", limit=1)] == [found[0].worker]
        assert {each.worker for each in await app.worker_metrics(last="30m")} == set(truth)
        assert (await app.worker_metrics(worker="nobody")) == []
        total = (await app.metrics(last="7d")).total
        assert total.completed == sum(each.completed for each in found)
        assert {each.queue for each in (await app.metrics(last="7d")).queues} == {"a", "b"}


async def test_hours_of_workers_outlive_their_minutes(app: Windlass) -> None:
    rng = random.Random(4)
    async with app:
        await lived(app, 30 * HOUR, rng)
        await at(app, START + 2 * DAY)
        store = await app.store()
        await fold_workers(store, 7 * DAY)
        before = await app.worker_metrics(last="7d")
        await prune_all(store, replace(NOTHING, metrics=HOUR))
        assert before and await app.worker_metrics(last="7d") == before


async def test_a_worker_tells_its_name(app: Windlass) -> None:
    @app.job
    async def work() -> None: ...

    async with app:
        for _ in range(3):
            await work.enqueue()
        assert await app.drain() == 3
        (found,) = await app.worker_metrics(last="1h")
        assert found.completed == 3 and found.worker
