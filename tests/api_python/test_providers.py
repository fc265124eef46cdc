"""Providers: breakers that all workers share, jobs that wait for them, rate gates, chains and what they cost."""

import asyncio
from typing import Any

import msgspec
import pytest

from tests.store.kit import Place
from tests.waiting import until
from windlass import Context, Fail, InvalidOption, Provider, RateLimited, Retry, Snooze, Windlass, fixed, testing
from windlass.providers.breaker import Breaker
from windlass.providers.provider import Chain
from windlass.values.limit import LimitChange
from windlass.values.query import AuditQuery, Swap

SECOND = 1_000_000
START = 1_800_000_000 * SECOND


class Down(Exception):
    category = "provider"


class TooMany(Exception):
    status_code = 429

    def __init__(self, wait: float | None = None) -> None:
        super().__init__("slow down")
        self.retry_after = wait


class Wrong(Exception):
    category = "permanent"


async def at(app: Windlass, seconds: float) -> None:
    await (await app.store()).hold_time(START + round(seconds * SECOND))


async def free(app: Windlass) -> None:
    await (await app.store()).hold_time(None)


class Service:
    """What a handler calls; it answers by the mood it is in."""

    def __init__(self, app: Windlass, **options: Any) -> None:
        self.calls = 0
        self.mood: Exception | None = None
        self.latency = 0.0

        @app.job(kind="ask", **{"provider": "shop", "max_attempts": 1, **options})
        async def ask(n: int = 0) -> int:
            self.calls += 1
            if self.latency:
                await asyncio.sleep(self.latency)
            if self.mood is not None:
                raise self.mood
            return n

        self.ask = ask


async def test_an_open_breaker_holds_jobs_back_unspent(app: Windlass) -> None:
    service = Service(app)
    async with app:
        await at(app, 0)
        service.mood = Down("503")
        await app.enqueue_many([service.ask.job(n) for n in range(5)])
        await app.drain()
        breaker = await app.breakers.get("shop")
        assert (breaker.state, breaker.openings, breaker.error) == ("open", 1, "Down: 503")
        assert breaker.opens_at is not None
        assert breaker.opens_at.timestamp() == START / SECOND + 30
        refs = await app.enqueue_many([service.ask.job(n) for n in range(4)])
        await at(app, 29)
        assert await app.drain() == 0
        assert service.calls == 5
        assert {(job.state, job.attempt) for job in [await ref.job() for ref in refs]} == {("waiting", 0)}
        assert (await app.breakers.get("shop")).waiting
        await at(app, 31)
        assert (await app.breakers.get("shop")).state == "half-open"
        assert await app.drain() == 1, "one probe, and it fails"
        assert (await app.breakers.get("shop")).openings == 2
        await at(app, 31 + 59)
        assert await app.drain() == 0
        service.mood = None
        await at(app, 31 + 61)
        await app.drain()
        assert (await app.breakers.get("shop")).state == "closed"
        await app.drain()
        assert service.calls == 9
        assert sorted([(await ref.job()).state for ref in refs]) == ["completed"] * 3 + ["failed"]
        await free(app)


async def test_only_failures_of_the_provider_count(app: Windlass) -> None:
    service = Service(app)
    async with app:
        for mood in (Wrong("no"), ValueError("odd"), TooMany(), TimeoutError("slow")):
            service.mood = mood
            await app.enqueue_many([service.ask.job(n) for n in range(12)])
            await app.drain()
        assert service.calls == 48
        breaker = await app.breakers.get("shop")
        assert (breaker.state, breaker.calls, breaker.failures) == ("closed", 0, 0)


async def test_numbers_are_the_providers_own(app: Windlass) -> None:
    shop = Provider("shop", in_a_row=3, pause="5s", longest_pause="7s")
    service = Service(app, provider=shop)
    async with app:
        await at(app, 0)
        service.mood = Down("503")
        await app.enqueue_many([service.ask.job(n) for n in range(2)])
        await app.drain()
        assert (await app.breakers.get("shop")).state == "closed"
        await service.ask.enqueue()
        await app.drain()
        for second, until_ in ((0, 5), (6, 13), (14, 21)):
            await at(app, second)
            await service.ask.enqueue()
            await app.drain()
            opens = (await app.breakers.get("shop")).opens_at
            assert opens is not None
            assert opens.timestamp() == START / SECOND + until_
        await free(app)


async def test_a_rate_limit_shuts_the_gate_for_as_long_as_it_says(app: Windlass) -> None:
    service = Service(app, max_attempts=5, backoff=fixed("1s", jitter=0))
    async with app:
        for start, mood in ((0, TooMany(20)), (100, RateLimited(after=20))):
            await at(app, start)
            service.mood, service.calls = mood, 0
            first = await service.ask.enqueue()
            await app.drain()
            second = await service.ask.enqueue()
            await at(app, start + 19)
            await app.drain()
            assert service.calls == 1
            breaker = await app.breakers.get("shop")
            assert (breaker.state, breaker.opens_at is not None) == ("closed", True)
            service.mood = None
            await at(app, start + 21)
            await app.drain()
            assert (await first.job()).state == (await second.job()).state == "completed"
        await free(app)


async def test_operators_open_and_reset(app: Windlass) -> None:
    service = Service(app)
    async with app:
        assert (await app.breakers.get("shop")).state == "closed"
        opened = await app.breakers.open("shop", "10m", actor="ada")
        assert (opened.state, opened.error) == ("open", "opened by ada")
        ref = await service.ask.enqueue(3)
        assert await app.drain() == 0
        assert [info.name for info in await app.breakers.list()] == ["shop"]
        assert (await app.breakers.reset("shop", actor="ada")).state == "closed"
        await app.drain()
        assert await ref.result(timeout=5) == 3
        audit = await (await app.store()).audit(AuditQuery(target="limit:provider:shop"))
        assert [entry.actor for entry in audit] == ["ada", "ada"]
        for act in (app.breakers.open, app.breakers.reset, app.breakers.get):
            with pytest.raises(InvalidOption):
                await act("no name")


@pytest.mark.parametrize("state", ["open", "closed"])
async def test_a_gate_that_a_crash_left_behind_is_set_by_the_next_call(app: Windlass, state: str) -> None:
    service = Service(app)
    async with app:
        await at(app, 0)
        store = await app.store()
        if state == "open":
            crashed = Breaker(state="open", since=START, until=START + 30 * SECOND, openings=1, applied=False)
        else:
            crashed = Breaker(since=START, applied=False)
            await store.put_limits([LimitChange(key="provider:shop", shut_for=1, trial=1)], None)
            await at(app, 1)
        text = msgspec.json.encode(crashed).decode()
        await store.exchange([Swap(space="breaker", key="shop", text=text)])
        await service.ask.enqueue()
        await app.drain()
        assert service.calls == 1
        (gate,) = await store.limits(["provider:shop"])
        opens = START + 30 * SECOND
        assert (gate.shut_until, gate.trial) == ((opens, 1) if state == "open" else (None, None))
        await free(app)


async def test_all_workers_share_it(shared: Place) -> None:
    apps = [Windlass(shared.url, namespace=shared.namespace) for _ in range(3)]
    services = [Service(app) for app in apps]
    for service in services:
        service.mood, service.latency = Down("503"), 0.01
    async with apps[0], apps[1], apps[2]:
        workers = [app.worker(concurrency=1) for app in apps]
        tasks = [asyncio.create_task(worker.run()) for worker in workers]
        await apps[0].enqueue_many([services[0].ask.job(n) for n in range(1_000)])
        await until(lambda: _is_open(apps[1]), "the breaker to open")
        await until(lambda: _nobody_runs(apps[1]), "what ran to end")
        before = sum(service.calls for service in services)
        assert before < 500
        waiting = (await apps[2].queues.stats())["default"]["waiting"]
        assert waiting > 0
        await apps[2].enqueue_many([services[2].ask.job(n) for n in range(5)])
        for worker in workers:
            await worker.stop()
        await asyncio.gather(*tasks)
        assert sum(service.calls for service in services) == before
        assert (await apps[2].queues.stats())["default"]["waiting"] == waiting + 5


async def _is_open(app: Windlass) -> bool:
    return (await app.breakers.get("shop")).state == "open"


async def test_half_open_there_is_one_probe_however_many_workers_there_are(shared: Place) -> None:
    apps = [Windlass(shared.url, namespace=shared.namespace) for _ in range(3)]
    services = [
        Service(app, provider=Provider("shop", pause="1s", longest_pause="1s"), max_attempts=100) for app in apps
    ]
    for service in services:
        service.mood, service.latency = Down("503"), 0.005
    async with apps[0], apps[1], apps[2]:
        workers = [app.worker(concurrency=4) for app in apps]
        tasks = [asyncio.create_task(worker.run()) for worker in workers]
        await apps[0].enqueue_many([services[0].ask.options(backoff=fixed(0)).job(n) for n in range(100)])
        await until(lambda: _is_open(apps[1]), "the breaker to open")
        await until(lambda: _nobody_runs(apps[1]), "what ran to end")
        before, first = sum(service.calls for service in services), await apps[0].breakers.get("shop")
        await until(lambda: _opened(apps[1], first.openings + 2), "two probes to fail")
        await until(lambda: _nobody_runs(apps[1]), "the probe to end")
        openings = (await apps[0].breakers.get("shop")).openings
        assert sum(service.calls for service in services) - before == openings - first.openings
        for worker in workers:
            await worker.stop()
        await asyncio.gather(*tasks)


async def _opened(app: Windlass, times: int) -> bool:
    return (await app.breakers.get("shop")).openings >= times


async def _nobody_runs(app: Windlass) -> bool:
    return (await app.queues.stats())["default"]["active"] == 0


async def test_a_job_may_name_its_provider(app: Windlass) -> None:
    @app.job
    async def ask() -> None: ...

    async with app:
        await app.breakers.open("other", "1h")
        held = await ask.options(provider="other").enqueue()
        free_ = await ask.enqueue()
        await app.drain()
        assert ((await held.job()).state, (await free_.job()).state) == ("waiting", "completed")


@pytest.mark.parametrize("wrong", [[], "a", b"a", 5, None, {"a": 1}, Provider("a"), [5], ["a", "a"]])
def test_a_chain_is_a_list_of_different_providers(wrong: Any) -> None:
    with pytest.raises(InvalidOption):
        Chain(wrong)


async def test_a_chain_goes_to_the_next_that_answers(app: Windlass) -> None:
    tried: list[str] = []
    down: dict[str, Exception] = {}
    chain = Chain([Provider("a", cost=0.03, in_a_row=2), Provider("b", cost=lambda answer: len(answer) / 100), "c"])

    async def ask(provider: Provider, prompt: str) -> str:
        tried.append(provider.name)
        if provider.name in down:
            raise down[provider.name]
        return f"{provider.name}:{prompt}"

    spent: list[float] = []

    @app.job(max_attempts=1)
    async def write(ctx: Context, prompt: str) -> str:
        try:
            return await chain.call(ask, prompt)
        finally:
            spent.append(ctx.spent)

    async def run() -> tuple[Any, list[str]]:
        tried.clear()
        ref = await write.enqueue("hi")
        await app.drain()
        job = await ref.job()
        return (job.result if job.state == "completed" else (job.state, job.error and job.error.type)), list(tried)

    async with app:
        await at(app, 0)
        assert await run() == ("a:hi", ["a"])
        down["a"] = Down("503")
        assert await run() == ("b:hi", ["a", "b"])
        assert await run() == ("b:hi", ["a", "b"])
        assert (await app.breakers.get("a")).state == "open"
        assert await run() == ("b:hi", ["b"])
        down["b"] = TooMany(40)
        assert await run() == ("c:hi", ["b", "c"])
        assert await run() == ("c:hi", ["c"])
        down["c"] = Wrong("bad prompt")
        assert await run() == (("failed", "Wrong"), ["c"])
        assert [round(usd, 6) for usd in spent] == [0.03, 0.04, 0.04, 0.04, 0, 0, 0]
        await at(app, 35)
        del down["a"]
        assert await run() == ("a:hi", ["a"])
        assert (await app.breakers.get("a")).state == "closed"
        await free(app)


async def test_a_chain_of_which_none_may_be_called_puts_the_job_off(app: Windlass) -> None:
    chain = Chain(["a", "b"], app=app)

    async def ask(provider: Provider) -> str:
        return provider.name

    @app.job(max_attempts=1)
    async def write() -> str:
        return await chain.call(ask)

    async with app:
        await at(app, 0)
        await app.breakers.open("a", "1m")
        await app.breakers.open("b", "2m")
        ref = await write.enqueue()
        await app.drain()
        job = await ref.job()
        assert (job.state, job.attempt) == ("delayed", 0)
        assert job.run_at is not None
        assert round(job.run_at.timestamp() - START / SECOND) == 60
        with pytest.raises(RateLimited, match="no provider may be called now: a, b"):
            await chain.call(ask)
        await at(app, 61)
        await app.drain()
        assert await ref.result(timeout=5) == "a"
        await free(app)


async def test_a_handlers_own_signals_pass_and_a_rate_limit_goes_to_the_next(app: Windlass) -> None:
    chain = Chain(["a", "b"], app=app)
    mood: list[Exception] = []

    async def ask(provider: Provider) -> str:
        if provider.name == "a" and mood:
            raise mood[0]
        return provider.name

    async with app:
        await at(app, 0)
        for signal in (Snooze("1m"), Fail("enough")):
            mood[:] = [signal]
            with pytest.raises(type(signal)):
                await chain.call(ask)
        mood[:] = [RateLimited(after="1m")]
        assert await chain.call(ask) == "b"
        opens = (await app.breakers.get("a")).opens_at
        assert opens is not None
        assert opens.timestamp() == START / SECOND + 60
        mood.clear()
        assert await chain.call(ask) == "b"
        await at(app, 61)
        assert await chain.call(ask) == "a"
        await free(app)


async def test_half_open_a_chain_lets_one_call_through(app: Windlass) -> None:
    chain = Chain([Provider("a", pause="1s"), "b"], app=app)
    called: list[str] = []
    go_on = asyncio.Event()

    async def ask(provider: Provider) -> str:
        called.append(provider.name)
        if provider.name == "a":
            await go_on.wait()
        return provider.name

    async with app:
        await at(app, 0)
        await app.breakers.open("a", "1s")
        await at(app, 2)
        probe = asyncio.create_task(chain.call(ask))
        await until(lambda: called, "the probe to be under way")
        assert await chain.call(ask) == "b"
        go_on.set()
        assert await probe == "a"
        assert (await app.breakers.get("a")).state == "closed"
        assert await chain.call(ask) == "a"
        await free(app)


async def test_a_chain_works_without_a_store() -> None:
    app = Windlass("sqlite://:memory:")
    chain = Chain([Provider("a", cost=1), Provider("b", cost=0.5)])

    async def ask(provider: Provider) -> str:
        if provider.name == "a":
            raise ConnectionError("gone")
        return provider.name

    @app.job
    async def write(ctx: Context) -> list[Any]:
        return [await chain.call(ask), ctx.spent]

    assert (await testing.run(write)).result == ["b", 0.5]


BAD: list[Any] = [
    Provider("a b"),
    Provider("a", cost=-1),
    Provider("a", cost="much"),  # type: ignore[arg-type]
    Provider("a", failure_share=0),
    Provider("a", failure_share=1.5),
    Provider("a", least_calls=0),
    Provider("a", in_a_row=0),
    Provider("a", window="0s"),
    Provider("a", pause="soon"),
    Provider("a", pause="1h"),
    5,
    "",
]


@pytest.mark.parametrize("given", BAD, ids=repr)
def test_bad_providers_are_refused(given: Any) -> None:
    app = Windlass("sqlite://:memory:")
    with pytest.raises(InvalidOption):
        Service(app, provider=given)
    with pytest.raises(InvalidOption):
        Chain([given])


def test_chains_that_make_no_sense_are_refused() -> None:
    for given in ([], "a", Provider("a"), ["a", Provider("a", cost=1)]):
        with pytest.raises(InvalidOption):
            Chain(given)  # type: ignore[arg-type]
    app = Windlass("sqlite://:memory:")
    Service(app, provider=Provider("x", in_a_row=2))
    app.job(kind="by_name", provider="x")(print_it)
    with pytest.raises(InvalidOption, match="described in two ways"):
        app.job(kind="other", provider=Provider("x", in_a_row=3))(print_it)


def print_it() -> None: ...


async def test_a_probe_that_says_nothing_of_the_provider_lets_the_next_one_try(app: Windlass) -> None:
    errors: list[Exception] = [Wrong("no"), Retry("later")]
    chain = Chain(["a"], app=app)

    async def ask(provider: Provider) -> str:
        if errors:
            raise errors.pop(0)
        return provider.name

    async with app:
        await at(app, 0)
        await app.breakers.open("a", "1s")
        await at(app, 2)
        for kind in (Wrong, Retry):
            with pytest.raises(kind):
                await chain.call(ask)
        assert await chain.call(ask) == "a"
        assert (await app.breakers.get("a")).state == "closed"
        await free(app)


async def test_who_comes_while_a_probe_is_under_way_looks_again_soon(app: Windlass) -> None:
    chain = Chain([Provider("a", pause="2s")], app=app)
    called, go_on = [], asyncio.Event()

    async def ask(provider: Provider) -> str:
        called.append(provider.name)
        await go_on.wait()
        return provider.name

    async with app:
        await at(app, 0)
        await app.breakers.open("a", "1s")
        await at(app, 2)
        probe = asyncio.create_task(chain.call(ask))
        await until(lambda: called, "the probe to be under way")
        with pytest.raises(RateLimited) as told:
            await chain.call(ask)
        assert told.value.after <= 2.0
        go_on.set()
        await probe
        await free(app)
