"""Opening and closing: lazily, by count, one store per loop; middleware and resources; the blocking door; forks."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.store.kit import Place
from windlass import Context, InsideLoop, Windlass


def declared(app: Windlass) -> Any:
    @app.job
    async def echo(n: int) -> int:
        return n

    return echo


def test_several_loops_share_one_app(app: Windlass) -> None:
    echo = declared(app)

    async def first() -> str:
        async with app:
            return (await echo.enqueue(1)).id

    async def second(id: str) -> int:
        async with app:
            await app.drain()
            return await app.ref(id).result(timeout=5)

    id = asyncio.run(first())
    assert asyncio.run(second(id)) == 1


async def test_opening_is_lazy_and_counted(app: Windlass) -> None:
    echo = declared(app)
    ref = await echo.enqueue(1)
    opened = await app.stores.here()
    async with app:
        async with app:
            assert await app.drain() == 1
        assert (await app.stores.here()) is opened
        assert await ref.result(timeout=5) == 1
    assert (await app.stores.here()) is not opened
    await app.close()


async def test_two_first_uses_open_one_store(app: Windlass) -> None:
    first, second = await asyncio.gather(app.store(), app.store())
    assert first is second
    await app.close()
    await app.close()


async def test_what_was_handed_in_is_stored_before_closing(shared: Place) -> None:
    app = Windlass(shared.url, namespace=shared.namespace)
    echo = declared(app)
    async with app:
        task = asyncio.ensure_future(echo.enqueue(5))
        await asyncio.sleep(0)
    assert (await task).created
    async with app:
        assert (await app.queues.stats())["default"]["waiting"] == 1


async def test_lifespan_opens_and_closes(app: Windlass) -> None:
    async with app.lifespan(object()):
        assert (await app.stores.here()).users == 1


async def test_middleware_wraps_every_attempt(app: Windlass) -> None:
    seen: list[str] = []

    @app.around
    async def outer(ctx: Context, call: Callable[[], Awaitable[Any]]) -> Any:
        seen.append(f"outer {ctx.job.kind}")
        return await call()

    @app.around
    async def inner(ctx: Context, call: Callable[[], Awaitable[Any]]) -> Any:
        seen.append("inner")
        return (await call()) + 1

    @app.around_sync
    def threads(ctx: Context, call: Callable[[], Any]) -> Any:
        seen.append(f"thread {ctx.attempt}")
        return call() * 2

    echo = declared(app)

    @app.job
    def half(n: int) -> int:
        return n // 2

    async with app:
        refs = [await echo.enqueue(1), await half.enqueue(4)]
        await app.drain()
        assert [await ref.result(timeout=5) for ref in refs] == [2, 4]
        assert sorted(seen) == ["inner", "outer echo", "thread 1"]
        assert seen.index("outer echo") < seen.index("inner")


async def test_resources_open_once_per_worker(app: Windlass) -> None:
    opened: list[str] = []

    @app.resource
    async def db() -> AsyncIterator[str]:
        opened.append("db")
        yield "connection"
        opened.append("db closed")

    @app.resource
    @asynccontextmanager
    async def cache() -> AsyncIterator[str]:
        opened.append("cache")
        yield "memory"

    @app.job
    async def use(ctx: Context) -> list[Any]:
        return [ctx.resources["db"], ctx.resource("cache")]

    async with app:
        refs = await app.enqueue_many([use.job() for _ in range(5)])
        await app.drain()
        assert [await ref.result(timeout=5) for ref in refs] == [["connection", "memory"]] * 5
        assert sorted(opened) == ["cache", "db", "db closed"]


def test_the_blocking_door(app: Windlass) -> None:
    echo = declared(app)
    ref = app.sync.enqueue(echo, 3)
    delayed = app.sync.enqueue(echo.options(delay="1h"), 4)
    by_name = app.sync.enqueue("echo", 5)
    many = app.sync.enqueue_many([echo.job(n) for n in range(10)])
    assert app.sync.run(app.drain()) == 12
    assert app.sync.result(ref, timeout=5) == 3
    assert app.sync.result(by_name, timeout=5) == 5
    assert [app.sync.result(each) for each in many] == list(range(10))
    assert app.sync.run(app.jobs.get(delayed.id)).state == "delayed"
    app.sync.close()
    app.sync.close()


def test_the_blocking_door_from_many_threads(app: Windlass) -> None:
    echo = declared(app)
    ids: list[str] = []
    threads = [threading.Thread(target=lambda n=n: ids.append(app.sync.enqueue(echo, n).id)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 20
    assert app.sync.run(app.drain()) == 20
    app.sync.close()


async def test_the_blocking_door_refuses_inside_a_loop(app: Windlass) -> None:
    echo = declared(app)
    with pytest.raises(InsideLoop, match="blocks"):
        app.sync.enqueue(echo, 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_prefork_server(shared: Place) -> None:
    """The master imports the app and its door has run; a child enqueues through the same app object."""
    program = f"""
import os
from windlass import Windlass
app = Windlass({shared.url!r}, namespace={shared.namespace!r})

@app.job
async def echo(n: int) -> int:
    return n

app.sync.enqueue(echo, 0)
app.sync.close()
pid = os.fork()
if pid == 0:
    app.sync.enqueue(echo, 1)
    app.sync.close()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
app.sync.enqueue(echo, 2)
assert app.sync.run(app.drain()) == 3
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_script_that_closes_nothing_ends(shared: Place) -> None:
    program = f"""
import asyncio
from windlass import Windlass
app = Windlass({shared.url!r}, namespace={shared.namespace!r})

@app.job
async def echo(n: int) -> int:
    return n

app.sync.enqueue(echo, 0)
async def main():
    await echo.enqueue(1)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
