"""The result cache: equal calls are answered without running, and nothing else is."""

import asyncio
from typing import Any

import pytest

from tests.store.kit import Place
from tests.waiting import until
from windlass import Cache, InvalidOption, Windlass, chain, result_of

RUNS: list[Any] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    RUNS.clear()


def square_of(app: Windlass, **options: Any) -> Any:
    @app.job(kind="square", **{"cache": "1h", **options})
    async def square(n: int, note: str = "") -> dict[str, int] | None:
        RUNS.append(n)
        if n < 0:
            raise ValueError("no root")
        return {"n": n * n} if n else None

    return square


async def test_an_equal_call_is_answered(app: Windlass) -> None:
    square = square_of(app)
    async with app:
        first = await square.enqueue(7)
        assert not first.cached
        await app.drain()
        again = await square.enqueue(n=7)
        assert again.cached
        assert again.created
        assert again.id != first.id
        assert await again.result(timeout=1) == {"n": 49}
        job = await again.job()
        assert (job.state, job.cached, job.attempt, job.attempts) == ("completed", first.id, 0, ())
        assert (await first.job()).cached is None
        assert await app.drain() == 0
        assert not (await square.enqueue(8)).cached
        assert not (await square.enqueue(7, note="other")).cached
        await app.drain()
        assert RUNS == [7, 8, 7]


async def test_none_is_an_answer_and_a_failure_is_not(app: Windlass) -> None:
    square = square_of(app, max_attempts=1)
    async with app:
        await square.enqueue(0)
        await square.enqueue(-1)
        await app.drain()
        nothing, bad = await square.enqueue(0), await square.enqueue(-1)
        assert (nothing.cached, bad.cached) == (True, False)
        assert await nothing.result(timeout=1) is None


async def test_skip_cache_runs_and_refreshes(app: Windlass) -> None:
    square = square_of(app)
    async with app:
        await square.enqueue(3)
        await app.drain()
        fresh = await square.options(skip_cache=True).enqueue(3)
        assert not fresh.cached
        await app.drain()
        assert RUNS == [3, 3]
        assert (await (await square.enqueue(3)).job()).cached == fresh.id


async def test_users_may_have_results_of_their_own(app: Windlass) -> None:
    square = square_of(app, cache=Cache("1h", per_user=True))
    async with app:
        await square.options(user="ann").enqueue(3)
        await app.drain()
        assert (await square.options(user="ann").enqueue(3)).cached
        assert not (await square.options(user="bob").enqueue(3)).cached
        assert not (await square.enqueue(3)).cached


async def test_projects_never_share_results(app: Windlass) -> None:
    square = square_of(app)
    async with app:
        await square.options(project="shop").enqueue(3)
        await app.drain()
        assert (await square.options(project="shop", user="bob").enqueue(3)).cached
        assert not (await square.options(project="bank").enqueue(3)).cached
        assert not (await square.enqueue(3)).cached


async def test_another_version_is_another_call(app: Windlass, place: Place) -> None:
    square = square_of(app)
    newer = Windlass(place.url, namespace=place.namespace)
    newer.stores = app.stores
    later = square_of(newer, version=2)
    async with app:
        await square.enqueue(3)
        await app.drain()
        assert (await square.enqueue(3)).cached
        assert not (await later.enqueue(3)).cached


async def test_results_pass_with_their_time(app: Windlass) -> None:
    square = square_of(app)
    async with app:
        store = await app.store()
        try:
            start = await store.now()
            await store.hold_time(start)
            await square.enqueue(3)
            await app.drain()
            await store.hold_time(start + 3_599_000_000)
            assert (await square.enqueue(3)).cached
            await store.hold_time(start + 3_601_000_000)
            assert not (await square.enqueue(3)).cached
        finally:
            await store.hold_time(None)


async def test_many_at_once_and_in_a_stream(app: Windlass) -> None:
    square = square_of(app)

    @app.job
    async def plain(n: int) -> int:
        return n

    async with app:
        await app.enqueue_many([square.job(n) for n in range(1, 4)])
        await app.drain()
        jobs = [square.job(1), plain.job(1), square.job(9), square.job(3)]
        assert [ref.cached for ref in await app.enqueue_many(jobs)] == [True, False, False, True]
        jobs = [square.job(2), plain.job(1), square.job(10)]
        refs = await app.enqueue_many(iter(jobs), atomic=False)
        assert [ref.cached for ref in refs] == [True, False, False]
        assert await refs[0].result(timeout=1) == {"n": 4}
        assert await app.drain() == 4


async def test_jobs_that_wait_run(app: Windlass) -> None:
    """A job behind parents or of a later time is not answered ahead of them."""
    square = square_of(app)

    @app.job
    async def three() -> int:
        return 3

    async with app:
        await square.enqueue(3)
        await app.drain()
        later = await square.options(delay="1h").enqueue(3)
        parent = three.job()
        flow = await app.run(chain(parent, square.job(3)))
        promised = (await app.enqueue_many([first := three.job(), square.job(result_of(first))]))[1]
        assert not (later.cached or promised.cached)
        await app.drain()
        assert await flow.result(timeout=5) == await promised.result(timeout=5) == {"n": 9}
        assert RUNS == [3, 3, 3]
        assert (await later.job()).state == "delayed"


async def test_clear_and_size(app: Windlass) -> None:
    square = square_of(app)

    @app.job(cache=Cache("1h", max_bytes=10))
    async def text(n: int) -> str:
        return "x" * n

    async with app:
        await app.enqueue_many([square.job(1), square.job(2), text.job(3), text.job(30)])
        await app.drain()
        assert (await text.enqueue(3)).cached
        assert not (await text.enqueue(30)).cached
        assert await app.cache.clear("square") == 2
        assert not (await square.enqueue(1)).cached
        assert (await text.enqueue(3)).cached
        assert await app.cache.clear() >= 1
        assert not (await text.enqueue(3)).cached


async def test_a_producer_without_the_code_asks_the_cache_too(shared: Place) -> None:
    app = Windlass(shared.url, namespace=shared.namespace)
    square = square_of(app)
    async with app:
        first = await square.enqueue(5)
        await app.drain()
        async with Windlass(shared.url, namespace=shared.namespace) as other:
            ref = await other.enqueue("square", 5, note="")
            assert ref.cached
            assert (await ref.job()).cached == first.id


async def test_a_running_worker_keeps_results_as_they_come(app: Windlass) -> None:
    square = square_of(app)
    async with app:
        worker = app.worker()
        running = asyncio.create_task(worker.run())
        await (await square.enqueue(6)).result(timeout=10)
        await until(lambda: _cached(square, 6), "the result to be kept")
        await worker.stop()
        await running


async def _cached(square: Any, n: int) -> bool:
    return bool((await square.enqueue(n)).cached)


@pytest.mark.parametrize(
    "given",
    [
        "soon",
        0,
        -1,
        Cache("0s"),
        Cache("1h", max_bytes=0),
        Cache("1h", per_user="yes"),
        True,
        Cache("1h", max_bytes=True),
    ],
)
def test_bad_caches_are_refused(given: Any) -> None:
    app = Windlass("sqlite://:memory:")
    with pytest.raises(InvalidOption, match="cache"):
        square_of(app, cache=given)
    with pytest.raises(InvalidOption, match="skip_cache"):
        square_of(app).options(skip_cache="yes")
