"""`app.health`: each status for its reason, in numbers, and nobody called stuck who only obeys a limit."""

from typing import Any

import pytest

from tests.observe.truth import START, at
from tests.store.kit import HOUR, LEASE, Hand, end, new, put
from windlass import Provider, Windlass
from windlass.observe.health import Health, Issue, QueueHealth
from windlass.store import Store
from windlass.values.clock import SECOND, Micros
from windlass.values.metrics import MINUTE
from windlass.values.states import Event

NOW = START + HOUR


async def hand(store: Store, instant: Micros, name: str = "w1", **facts: Any) -> Hand:
    """A worker that lives from `instant` on."""
    await store.hold_time(instant)
    made = Hand(store, name)
    await made.beat(**{"kinds": ("work",), "slots": {"async": 10}, "started_at": instant, **facts})
    return made


def issue(health: Health | QueueHealth, code: str) -> Issue:
    """The issue of this code; fails showing what was said instead."""
    assert code in [each.code for each in health.issues], health.issues
    return next(each for each in health.issues if each.code == code)


def command(health: Health | QueueHealth, code: str) -> str:
    return next(each.command for each in health.recommendations if each.code == code)


async def test_an_empty_store_is_healthy(app: Windlass) -> None:
    async with app:
        health = await app.health()
        assert (health.status, health.issues, health.recommendations) == ("healthy", (), ())
        assert (await app.health("nowhere")).status == "healthy"


async def test_jobs_that_nobody_serves(app: Windlass) -> None:
    async with app:
        store = await app.store()
        await at(app, NOW)
        await put(store, *(new(queue="mail") for _ in range(12)))
        await at(app, NOW + MINUTE)
        health = await app.health("mail")
        assert health.status == "degraded"
        assert issue(health, "no-worker").facts["waiting"] == 12
        assert health.oldest_wait == 60 and health.oldest_exact
        assert command(health, "no-worker") == "windlass worker -A module:app -q mail"
        await at(app, NOW + 6 * MINUTE)
        everything = await app.health()
        assert everything.status == "unhealthy"
        assert "12 wait, the oldest for 6 min" in issue(everything, "no-worker").text
        assert [queue.queue for queue in everything.queues] == ["mail"]


@pytest.mark.parametrize(("failed", "status"), [(2, "healthy"), (5, "degraded"), (15, "unhealthy")])
async def test_failures(app: Windlass, failed: int, status: str) -> None:
    async with app:
        store = await app.store()
        worker = await hand(store, NOW)
        await put(store, *(new() for _ in range(24)))
        claims = await worker.drain()
        ends = [end(claim, Event.FAIL if n < failed else Event.COMPLETE, took=5) for n, claim in enumerate(claims)]
        await worker.finish(*ends)
        health = await app.health("default")
        assert (health.status, health.ended, health.failed) == (status, 24, failed)
        assert health.failed_share == pytest.approx(failed / 24, abs=1e-6)
        if status != "healthy":
            assert f"{failed} of 24 jobs" in issue(health, "failing").text
            assert command(health, "failing") == "windlass dead ls --queue default"
        await at(app, NOW + HOUR)
        assert (await app.health("default")).failed_share is None


async def test_few_jobs_prove_nothing(app: Windlass) -> None:
    async with app:
        store = await app.store()
        worker = await hand(store, NOW)
        await put(store, *(new() for _ in range(10)))
        await worker.finish(*(end(claim, Event.FAIL) for claim in await worker.drain()))
        health = await app.health("default")
        assert (health.status, health.failed_share) == ("healthy", 1.0)


async def test_attempts_that_all_fail_and_are_made_again(app: Windlass) -> None:
    async with app:
        store = await app.store()
        worker = await hand(store, NOW)
        await put(store, *(new() for _ in range(30)))
        await worker.finish(*(end(claim, Event.RETRY, delay=HOUR) for claim in await worker.drain()))
        health = await app.health("default")
        assert (health.status, health.retrying, health.failed_share) == ("degraded", 30, None)
        assert issue(health, "retrying").facts == {"retried": 30, "attempts": 30}


async def test_a_worker_that_takes_nothing_is_stuck(app: Windlass) -> None:
    async with app:
        store = await app.store()
        worker = await hand(store, NOW)
        await put(store, new())
        assert (await app.health()).status == "healthy"
        await at(app, NOW + 2 * MINUTE)
        await worker.beat(kinds=("work",), slots={"async": 10}, started_at=NOW)
        health = await app.health()
        assert health.workers[0].state == "stuck"
        assert health.status == "unhealthy"
        assert "took no job for 2 min with 10 of 10 slots free" in issue(health, "worker-stuck").text
        other = await hand(store, NOW + 2 * MINUTE, "w2")
        assert await other.one()
        await other.beat(kinds=("work",), slots={"async": 10}, started_at=NOW)
        health = await app.health()
        assert {each.id: each.state for each in health.workers}["w2"] == "working"


async def test_a_worker_whose_jobs_wait_for_a_limit_is_not_stuck(app: Windlass) -> None:
    @app.job(kind="work", concurrency=1)
    async def work() -> None: ...

    async with app:
        store = await app.store()
        worker = await hand(store, NOW)
        await app.enqueue_many([work.job() for _ in range(50)])
        (running,) = await worker.drain()
        await at(app, NOW + 5 * MINUTE)
        await worker.beat(running, kinds=("work",), slots={"async": 10}, started_at=NOW, running=1)
        for health in (await app.health(), await app.health("default")):
            assert health.status == "healthy", health.issues
            full = issue(health, "limit-full")
            assert full.level == "note"
            assert full.facts["waiting"] == 49
            assert command(health, "limit-full").startswith("windlass limits set kind:work --concurrency 2")
        assert (await app.health()).workers[0].state == "idle"


async def test_a_worker_whose_jobs_wait_for_a_provider_is_not_stuck(app: Windlass) -> None:
    @app.job(kind="work", provider=Provider("mailer"))
    async def work() -> None: ...

    async with app:
        store = await app.store()
        worker = await hand(store, NOW)
        await app.enqueue_many([work.job() for _ in range(30)])
        await app.breakers.open("mailer", "1h")
        await at(app, NOW + 10 * MINUTE)
        await worker.beat(kinds=("work",), slots={"async": 10}, started_at=NOW)
        assert await worker.drain() == []
        health = await app.health()
        assert health.status == "degraded"
        assert {each.code for each in health.issues} == {"breaker-open"}
        assert health.workers[0].state == "idle"
        assert command(health, "breaker-open") == "windlass breakers reset mailer"


async def test_a_pause_is_noted_and_when_forgotten_told(app: Windlass) -> None:
    async with app:
        store = await app.store()
        worker = await hand(store, NOW)
        await put(store, *(new() for _ in range(3)))
        await app.queues.pause("default")
        await at(app, NOW + 10 * MINUTE)
        await worker.beat(kinds=("work",), slots={"async": 10}, started_at=NOW)
        health = await app.health("default")
        assert (health.status, health.paused, health.drain) == ("healthy", True, None)
        assert issue(health, "paused").level == "note"
        await at(app, NOW + 2 * HOUR)
        health = await app.health("default")
        assert health.status == "degraded"
        assert issue(health, "paused").text == "paused for 2 h, 3 wait"
        assert command(health, "paused") == "windlass queues resume default"


async def test_a_lost_worker(app: Windlass) -> None:
    async with app:
        store = await app.store()
        worker = await hand(store, NOW)
        await put(store, new())
        assert await worker.one()
        await at(app, NOW + 2 * LEASE)
        health = await app.health()
        assert health.status == "degraded"
        assert issue(health, "worker-lost").facts == {"worker": "w1", "silent": 60.0, "held": 1}
        assert health.workers[0].state == "lost"


async def test_rescued_attempts(app: Windlass) -> None:
    async with app:
        store = await app.store()
        worker = await hand(store, NOW)
        await put(store, new())
        (claim,) = await worker.drain()
        await worker.finish(end(claim, Event.RETRY, delay=HOUR, rescued=True))
        assert issue(await app.health("default"), "rescued").facts == {"rescued": 1}


async def test_kinds_that_no_worker_knows(app: Windlass) -> None:
    async with app:
        store = await app.store()
        await hand(store, NOW, kinds=("other",))
        await put(store, new("work"))
        health = await app.health("default")
        assert health.status == "degraded"
        assert "knows the kind work" in issue(health, "no-worker-for-kind").text
        assert (health.workers, health.slots) == (1, 10)


async def test_drain_and_growth(app: Windlass) -> None:
    async with app:
        store = await app.store()
        worker = await hand(store, NOW)
        await put(store, *(new() for _ in range(360)))
        await at(app, NOW + 4 * MINUTE)
        await worker.beat(kinds=("work",), slots={"async": 10}, started_at=NOW)
        claims = [claim for _ in range(4) for claim in await worker.up_to(40)][:160]
        await worker.complete(*claims)
        await at(app, NOW + 6 * MINUTE)
        await worker.beat(kinds=("work",), slots={"async": 10}, started_at=NOW, running=0)
        health = await app.health("default")
        assert (health.waiting, health.arrived_per_minute) == (200, 0.0)
        assert health.served_per_minute == 80.0
        assert health.drain == pytest.approx(200 / 80 * 60)
        await put(store, *(new() for _ in range(600)))
        health = await app.health("default")
        assert health.drain is None
        assert health.arrived_per_minute == pytest.approx(120)
        assert "120 come a minute, 80 are served" in issue(health, "growing").text


async def test_later_than_usual(app: Windlass) -> None:
    async with app:
        store = await app.store()
        worker = await hand(store, NOW - 3 * HOUR)
        await put(store, *(new() for _ in range(30)))
        await worker.complete(*await worker.drain())
        await at(app, NOW)
        await worker.beat(kinds=("work",), slots={"async": 1}, started_at=NOW - 3 * HOUR)
        await put(store, new(), new())
        assert len(await worker.take(1)) == 1
        await at(app, NOW + 90 * SECOND)
        await worker.beat(kinds=("work",), slots={"async": 1}, started_at=NOW - 3 * HOUR, running=1)
        health = await app.health("default")
        assert health.status == "degraded"
        assert issue(health, "late").facts["oldest_wait"] == 90
        assert (await app.health()).workers[0].state == "working"


async def test_more_jobs_than_are_looked_at_one_by_one(app: Windlass) -> None:
    async with app:
        store = await app.store()
        await hand(store, NOW)
        # Ids carry the real time: the search for old ones goes by it.
        await store.hold_time(None)
        await put(store, *(new() for _ in range(2_500)))
        health = await app.health("default")
        assert health.waiting == 2_500
        assert health.oldest_wait is not None and not health.oldest_exact


async def test_a_store_that_does_not_answer() -> None:
    app = Windlass("redis://127.0.0.1:1/0")
    health = await app.health()
    assert health.status == "error"
    assert health.issues[0].level == "error"
    assert health.recommendations
    assert (await app.health("default")).status == "error"
    await app.close()
