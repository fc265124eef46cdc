"""The text that Prometheus scrapes: read back by its own parser, exact, never falling, and only for who may see it."""

import random
from typing import Any

import httpx2 as httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.observe.truth import START, Truth, at, live
from tests.store.kit import HOUR
from windlass import Windlass
from windlass.observe.frames import DAY
from windlass.operate.retention import prune_all
from windlass.values.metrics import MINUTE
from windlass.values.query import Retention
from windlass.values.states import Event

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


async def scrape(app: Windlass) -> Samples:
    text = await app.prometheus()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def labels(**given: Any) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(given.items()))


async def test_counters_are_exact_and_only_grow(app: Windlass) -> None:
    truth, rng = Truth(), random.Random(3)
    async with app:
        store = await app.store()
        last: Samples = {}
        for hours in (0.0, 0.5, 1.5, 2.0, 30.0, 31.0):
            instant = START + round(hours * HOUR)
            await live(store, instant, 60, truth, rng)
            await at(app, instant + 5 * MINUTE)
            found = await scrape(app)
            for queue, kind in truth.took:
                name = labels(queue=queue, kind=kind, outcome="completed")
                assert found["windlass_attempts_total", name] == truth.count(Event.COMPLETE, queue, kind)
                one = labels(queue=queue, kind=kind)
                assert found["windlass_run_seconds_count", one] == len(truth.took[queue, kind])
                assert found["windlass_run_seconds_sum", one] == pytest.approx(sum(truth.took[queue, kind]))
                assert found["windlass_wait_seconds_sum", one] == pytest.approx(sum(truth.waited[queue, kind]))
                below = labels(queue=queue, kind=kind, le="5")
                low, high = (sum(x <= 5 * by for x in truth.took[queue, kind]) for by in (1 / 1.02, 1.02))
                assert low <= found["windlass_run_seconds_bucket", below] <= high
            counters = {key: value for key, value in found.items() if key[0].endswith(("_total", "_count", "_bucket"))}
            assert all(counters[key] >= value for key, value in last.items())
            last = counters


async def test_counters_outlive_the_minutes(app: Windlass) -> None:
    truth, rng = Truth(), random.Random(4)
    async with app:
        store = await app.store()
        await live(store, START, 60, truth, rng)
        await at(app, START + DAY)
        before = await scrape(app)
        await prune_all(store, Retention(completed=None, failed=None, cancelled=None, metrics=HOUR, audit=None))
        await at(app, START + 40 * DAY)
        await live(store, START + 40 * DAY, 60, truth, rng)
        after = await scrape(app)
        name = labels(queue="q0", kind="k0", outcome="completed")
        assert before["windlass_attempts_total", name] > 0
        assert after["windlass_attempts_total", name] == truth.count(Event.COMPLETE, "q0", "k0")


async def test_gauges(app: Windlass) -> None:
    @app.job(kind="send", queue="mail")
    def send() -> None: ...

    async with app:
        await app.enqueue_many([send.job() for _ in range(7)])
        await app.queues.pause("mail")
        await app.breakers.open("smtp", "1h")
        found = await scrape(app)
        assert found["windlass_jobs", labels(queue="mail", state="waiting")] == 7
        assert found["windlass_jobs", labels(queue="mail", state="failed")] == 0
        assert found["windlass_queue_paused", labels(queue="mail")] == 1
        assert found["windlass_breaker_open", labels(provider="smtp")] == 1
        assert found["windlass_workers", ()] == 0


async def test_the_route_is_for_who_may_read_metrics() -> None:
    app = Windlass("sqlite://:memory:")

    @app.job(kind="send")
    def send() -> None: ...

    async with app:
        await send.enqueue()
        secret = "a-secret-that-is-long-enough-for-a-test-of-ours"
        web = httpx.ASGITransport(app=app.asgi(jwt_secret=secret))
        async with httpx.AsyncClient(transport=web, base_url="http://test") as client:
            assert (await client.get("/metrics")).status_code == 401
        web = httpx.ASGITransport(app=app.asgi(development=True), client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=web, base_url="http://localhost") as client:
            answer = await client.get("/metrics")
            assert answer.status_code == 200, answer.text
            assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
            assert 'windlass_jobs{queue="default",state="waiting"} 1.0' in answer.text
