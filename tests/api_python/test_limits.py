"""Limits at work, seen by what handlers do: concurrency, rates, costs, plans, orders of queues, changes at run time."""

import asyncio
import time
from collections import Counter
from datetime import timedelta

import pytest

from tests.api_python.held import held
from tests.waiting import until
from tests.worker.kit import working
from windlass import InvalidOption, Limit, State, Windlass
from windlass.values.query import AuditQuery
from windlass.worker.worker import Worker

PLANS = {"free": 1, "basic": 2, "pro": 5}


class Gate:
    """Handlers that wait at it, by name, until it opens."""

    def __init__(self) -> None:
        self.inside: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.passed: list[str] = []
        self._open = asyncio.Event()

    async def enter(self, name: str) -> None:
        self.inside[name] += 1
        self.most[name] = max(self.most[name], self.inside[name])
        await self._open.wait()
        self.inside[name] -= 1
        self.passed.append(name)

    def open(self) -> None:
        self._open.set()


async def test_a_kind_runs_as_often_at_once_as_it_may(app: Windlass) -> None:
    gate = Gate()

    @app.job(concurrency=2)
    async def limited() -> None:
        await gate.enter("limited")

    @app.job
    async def free() -> None:
        gate.passed.append("free")

    async with app, working(app):
        await app.enqueue_many([limited.job() for _ in range(6)])
        await until(lambda: gate.inside["limited"] == 2, "two run")
        await app.enqueue_many([free.job() for _ in range(20)])
        await until(lambda: gate.passed.count("free") == 20, "others pass by")
        assert gate.inside["limited"] == 2
        found = await app.limits.get("kind:limited")
        assert found is not None
        assert (found.held, found.concurrency, found.waiting, found.pinned) == (2, 2, True, False)
        gate.open()
        await until(lambda: gate.passed.count("limited") == 6, "all have run")
        assert gate.most["limited"] == 2


async def test_each_tenant_has_its_own_and_nobody_waits_behind_another(app: Windlass) -> None:
    gate = Gate()

    @app.job(limits=[Limit(by="tenant", concurrency=2)])
    async def sync(tenant: str) -> None:
        await gate.enter(tenant)

    async with app, working(app):
        await app.enqueue_many([sync.job("big") for _ in range(50)])
        await app.enqueue_many([sync.job("small")])
        await until(lambda: gate.inside["small"] == 1, "the small tenant's job runs beside the crowd")
        assert gate.inside["big"] == 2
        gate.open()
        await until(lambda: len(gate.passed) == 51, "all have run")
        assert gate.most == {"big": 2, "small": 1}


async def test_a_users_plan_says_how_many(app: Windlass) -> None:
    gate = Gate()

    @app.job(per_user_concurrency=PLANS)
    async def render(user: str) -> None:
        await gate.enter(user)

    async with app, working(app):
        for user, plan in (("ann", None), ("bob", "basic"), ("cyd", "pro")):
            options = render.options(user=user, plan=plan) if plan else render.options(user=user)
            await app.enqueue_many([options.job(user) for _ in range(8)])
        await until(lambda: sum(gate.inside.values()) == 8, "one, two and five run")
        gate.open()
        await until(lambda: len(gate.passed) == 24, "all have run")
        assert gate.most == {"ann": 1, "bob": 2, "cyd": 5}


async def test_threads_and_processes_are_limited_too(app: Windlass) -> None:
    inside: list[int] = []

    @app.job(limits=[Limit(by="n", concurrency=1)])
    def threaded(n: int) -> int:
        inside.append(n)
        most = inside.count(n)
        time.sleep(0.001)
        inside.remove(n)
        return most

    async with app:
        refs = await app.enqueue_many([threaded.job(n % 2) for n in range(30)])
        await app.drain()
        assert {await ref.result(timeout=5) for ref in refs} == {1}


async def test_starts_of_a_rate_by_the_clock(app: Windlass) -> None:
    started: list[int] = []

    @app.job(rate_limit="3/m")
    async def send(n: int) -> None:
        started.append(n)

    async with held(app) as box:
        await app.enqueue_many([send.job(n) for n in range(8)])
        assert await box.drain() == 3
        assert await app.limits.status(kind="send") == {
            "count": 3,
            "limit": 3,
            "remaining": 0,
            "reset_at": await box.now() + timedelta(seconds=60.1),
        }
        assert await box.advance("59s") == 0
        assert await box.advance("2s") == 3
        assert await box.advance("61s") == 2
        assert started == list(range(8))
        status = await app.limits.status(key="kind:send")
        assert (status["count"], status["remaining"], status["reset_at"]) == (2, 1, await box.now())


async def test_costs_count(app: Windlass) -> None:
    @app.job(limits=[Limit(by="tenant", rate="10/m", cost="tokens")])
    async def ask(tenant: str, tokens: int) -> None: ...

    async with held(app) as box:
        await app.enqueue_many([ask.job("a", 4), ask.job("a", 4), ask.job("a", 4), ask.job("b", 99)])
        await ask.options(cost=1).enqueue("c", 10)
        assert await box.drain() == 4
        assert (await app.limits.status("ask:tenant=a"))["count"] == 8
        assert (await app.limits.status("ask:tenant=b"))["count"] == 10, "a cost above the limit counts as the limit"
        assert (await app.limits.status("ask:tenant=c"))["count"] == 1
        assert await box.advance("61s") == 1


async def test_a_bucket_catches_up(app: Windlass) -> None:
    @app.job(limits=[Limit(by="kind", rate="60/m", burst=5)])
    async def send() -> None: ...

    async with held(app) as box:
        await app.enqueue_many([send.job() for _ in range(20)])
        assert await box.drain() == 5
        assert await box.advance("3s") == 3
        found = await app.limits.get("kind:send")
        assert found is not None
        assert (found.rate, found.burst) == ("60/m", 5)


async def test_changes_hold_at_once(app: Windlass) -> None:
    gate = Gate()

    @app.job(queue="slow")
    async def wait() -> None:
        await gate.enter("wait")

    async with app, working(app):
        put = await app.limits.put("queue:slow", concurrency=1, actor="ada")
        assert (put.concurrency, put.rate, put.pinned) == (1, None, True)
        await app.enqueue_many([wait.job() for _ in range(9)])
        await until(lambda: gate.inside["wait"] == 1, "one runs")
        await app.limits.put("queue:slow", concurrency=3, rate="100/s")
        await until(lambda: gate.inside["wait"] == 3, "three run")
        assert [each.key for each in await app.limits.list()] == ["queue:slow"]
        assert await app.limits.clear("queue:slow")
        await until(lambda: gate.inside["wait"] == 9, "all run")
        assert await app.limits.get("queue:slow") is None
        assert not await app.limits.clear("queue:slow")
        gate.open()
    entries = await (await app.store()).audit(AuditQuery(target="limit:queue:slow"))
    assert [entry.actor for entry in entries] == ["app", "app", "ada"]
    await app.close()


async def test_a_key_can_be_shut(app: Windlass) -> None:
    @app.job
    async def call() -> None: ...

    async with held(app) as box:
        await app.limits.put("kind:call", shut_for="10m")
        await call.enqueue()
        assert await box.drain() == 0
        found = await app.limits.get("kind:call")
        assert found is not None
        assert found.shut_until == found.opens_at == await box.now() + timedelta(minutes=10)
        assert await box.advance("11m") == 1


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "limit"),
        ({"burst": 5}, "burst"),
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": True}, "concurrency"),
        ({"concurrency": 1.5}, "concurrency"),
        ({"rate": "5/0s"}, "rate"),
        ({"rate": "5/m", "burst": -1}, "rate.burst"),
        ({"shut_for": "soon"}, "shut_for"),
    ],
)
async def test_bad_changes_are_refused(given: dict[str, object], field: str) -> None:
    app = Windlass("sqlite://:memory:")
    async with app:
        with pytest.raises(InvalidOption) as refused:
            await app.limits.put("queue:a", **given)  # type: ignore[arg-type]
        assert refused.value.field == field
        for key in ("", "a\nb", "x" * 501):
            with pytest.raises(InvalidOption):
                await app.limits.put(key, concurrency=1)
        for asked in ({}, {"kind": "a", "queue": "b"}, {"user": "a"}, {"key": "queue:a"}):
            with pytest.raises(InvalidOption):
                await app.limits.status(**asked)  # type: ignore[arg-type]


async def test_tenants_take_turns_by_weight(app: Windlass) -> None:
    order: list[str] = []
    app.queue("fair", order="fair")

    @app.job(queue="fair")
    async def work(tenant: str) -> None:
        order.append(tenant)

    async with app:
        await app.enqueue_many([work.options(group="big").job("big") for _ in range(40)])
        await app.enqueue_many([work.options(group="small").job("small")])
        await app.enqueue_many([work.options(group="heavy", weight=3).job("heavy") for _ in range(12)])
        # Without leasing ahead: the jobs of one claim may be started in any order.
        await Worker(app, concurrency=1, prefetch=0).run(until_idle=True)
    assert order.index("small") <= 2
    first = Counter(order[1:14])
    assert (first["small"], first["heavy"] in (9, 10)) == (1, True), order
    assert len(order) == 53


async def test_limited_jobs_are_not_kept_out_by_a_flood(app: Windlass) -> None:
    """Jobs leased ahead would fill every slot the moment it is free; limited ones go before them."""
    done = 0
    seen: list[int] = []

    @app.job
    async def plain() -> None:
        nonlocal done
        await asyncio.sleep(0)
        done += 1

    @app.job(limits=[Limit(by="n", concurrency=3)])
    async def limited(n: int) -> None:
        seen.append(done)

    async with app:
        await app.enqueue_many([plain.job() for _ in range(4_000)])
        await app.enqueue_many([limited.options(priority=10).job(n % 3) for n in range(30)])
        async with working(app, concurrency=5):
            await until(lambda: len(seen) == 30 and done == 4_000, "all have run", timeout=60)
    assert max(seen) < 4_000


async def test_what_comes_too_late_for_its_rate_is_given_back_unspent(app: Windlass) -> None:
    """The store counts a start for the window in which it was granted, so none may come later than that."""

    @app.job(rate_limit="1000/s")
    async def busy(n: int) -> None:
        end = time.monotonic() + 0.06  # holds up the loop, as handlers should not
        while time.monotonic() < end:
            pass

    async with app:
        refs = await app.enqueue_many([busy.job(n) for n in range(6)])
        await app.drain()
        jobs = [await ref.job() for ref in refs]
    assert {(job.state, job.attempt) for job in jobs} == {(State.COMPLETED, 1)}
    reasons = [line.reason for job in jobs for line in job.attempts if line.outcome == "release"]
    assert reasons
    assert set(reasons) == {"not started in time for its rate"}


async def test_rates_are_not_wasted_on_handlers_that_compute(app: Windlass) -> None:
    """What is given back stays counted, so no more are taken at once than begin in time."""

    @app.job(rate_limit="10000/s")
    async def busy(n: int) -> None:
        end = time.monotonic() + 0.01
        while time.monotonic() < end:
            pass

    async with app:
        refs = await app.enqueue_many([busy.job(n) for n in range(60)])
        await app.drain()
        jobs = [await ref.job() for ref in refs]
    assert {job.state for job in jobs} == {State.COMPLETED}
    # A busy machine gives back more; before portions it was most of them, again and again.
    assert sum(line.outcome == "release" for job in jobs for line in job.attempts) < 4 * len(jobs)
