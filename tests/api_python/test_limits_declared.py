"""What code declares of queues and kinds comes into the store, goes with the code, and leaves operators' settings alone."""

import asyncio

import pytest

from tests.store.kit import Place
from tests.waiting import until
from windlass import InvalidOption, Limit, Windlass
from windlass.values.limit import Rate
from windlass.values.query import AuditQuery


def shop(url: str, namespace: str, **queues: dict[str, object]) -> Windlass:
    app = Windlass(url, namespace=namespace)
    app.timetable.owner = "shop"
    for name, options in queues.items():
        app.queue(name, **options)  # type: ignore[arg-type]
    return app


async def limits(app: Windlass) -> dict[str, tuple[int | None, str | None]]:
    return {each.key: (each.concurrency, each.rate) for each in await app.limits.list()}


async def orders(app: Windlass) -> dict[str, str]:
    return {queue.name: queue.order for queue in await app.queues.list()}


async def test_opening_writes_and_a_worker_takes_back(shared: Place) -> None:
    place = (shared.url, shared.namespace)
    old = shop(*place, mail={"rate_limit": "100/m", "concurrency": 10, "order": "fair"}, slow={"concurrency": 1})

    @old.job(queue="slow", concurrency=3)
    async def resize() -> None: ...

    async with old:
        assert await limits(old) == {
            "queue:mail": (10, "100/m"),
            "queue:slow": (1, None),
            "kind:resize": (3, None),
        }
        assert await orders(old) == {"mail": "fair"}
        await worked(old)

    new = shop(*place, mail={"concurrency": 20}, slow={"order": "ageing", "ageing": "30s"})
    async with new:
        assert (await limits(new))["queue:mail"] == (20, None)
        assert (await limits(new))["queue:slow"] == (1, None), "only a worker's start says what is gone"
        await worked(new)
        assert await limits(new) == {"queue:mail": (20, None)}
        assert await orders(new) == {"mail": "strict", "slow": "ageing"}
        (slow,) = [queue for queue in await new.queues.list() if queue.name == "slow"]
        assert slow.ageing == 30_000_000


async def worked(app: Windlass) -> None:
    """A worker has started and left."""
    worker = app.worker()

    @app.resource
    async def leave():  # type: ignore[no-untyped-def]
        worker._stop_claiming()
        yield

    await worker.run()


async def test_drains_take_nothing_back(app: Windlass) -> None:
    async with app:
        old = shop(app.url, app.namespace, mail={"concurrency": 10})
        old.stores = app.stores
        async with old:
            await worked(old)
        script = shop(app.url, app.namespace)
        script.stores = app.stores
        await script.drain()
        assert await limits(app) == {"queue:mail": (10, None)}


async def test_nothing_is_written_twice(app: Windlass) -> None:
    app.queue("mail", concurrency=10, order="fair")
    async with app:
        for _ in range(3):
            await app.drain()
        store = await app.store()
        assert len(await store.audit(AuditQuery(target="limit:queue:mail"))) == 1
        assert len(await store.audit(AuditQuery(target="queue:mail"))) == 1


async def test_operators_settings_stay(app: Windlass) -> None:
    async with app:
        await app.limits.put("queue:mail", concurrency=2, actor="ada")
        await app.queues.set("mail", order="weighted", actor="ada")
        app.queue("mail", concurrency=10, rate_limit="5/s", order="fair")
        await app.drain()
        assert await limits(app) == {"queue:mail": (2, None)}
        assert await orders(app) == {"mail": "weighted"}
        await app.limits.clear("queue:mail", actor="ada")
        assert await limits(app) == {"queue:mail": (10, "5/s")}, "it is as the code says again"
        await app.queues.set("mail", pinned=False)
        await app.drain()
        assert await orders(app) == {"mail": "fair"}


async def test_pins_hold_against_enqueues(app: Windlass) -> None:
    @app.job(limits=[Limit(by="tenant", concurrency=5)])
    async def sync(tenant: str) -> None: ...

    async with app:
        await sync.enqueue("a")
        assert await limits(app) == {"sync:tenant=a": (5, None)}
        await app.limits.put("sync:tenant=a", concurrency=1)
        await sync.enqueue("a")
        assert await limits(app) == {"sync:tenant=a": (1, None)}
        await app.limits.clear("sync:tenant=a")
        await sync.enqueue("a")
        assert await limits(app) == {"sync:tenant=a": (5, None)}


async def test_clearing_a_key_forgets_no_job_that_runs_or_waits_under_it(app: Windlass) -> None:
    go, began = asyncio.Event(), list[int]()

    @app.job(limits=[Limit(by="tenant", concurrency=1)])
    async def sync(tenant: str, page: int) -> None:
        began.append(page)
        await go.wait()

    async with app:
        await app.enqueue_many([sync.job("a", page) for page in range(3)])
        running = app.worker()
        work = asyncio.create_task(running.run())
        await until(lambda: began == [0], "the first runs")
        await app.queues.pause("default")
        await app.limits.clear("sync:tenant=a")
        last = await sync.enqueue("a", 3)
        await app.queues.resume("default")
        await until(lambda: _waits(app, "sync:tenant=a"), "the others wait")
        assert began == [0]
        go.set()
        await last.result(timeout=10)
        assert began == [0, 1, 2, 3]
        await running.stop()
        await work


async def _waits(app: Windlass, key: str) -> bool:
    info = await app.limits.get(key)
    return info is not None and info.waiting and info.held == 1


async def test_a_changed_declaration_holds_for_jobs_that_wait(app: Windlass) -> None:
    @app.job
    async def send() -> None: ...

    async with app:
        await app.enqueue_many([send.job() for _ in range(5)])
        app.queue("default", rate_limit=(2, 3600))
        assert await app.drain() == 2
        info = (await (await app.store()).limits(["queue:default"]))[0]
        assert info.rate == Rate(2, 3_600_000_000)
        assert info.waiting


@pytest.mark.parametrize(
    "given", [{}, {"order": "random"}, {"order": "fair", "ageing": "1m"}, {"ageing": 0}, {"order": True}]
)
async def test_bad_orders_are_refused(given: dict[str, object]) -> None:
    app = Windlass("sqlite://:memory:")
    async with app:
        with pytest.raises(InvalidOption):
            await app.queues.set("mail", **given)  # type: ignore[arg-type]
        with pytest.raises(InvalidOption):
            await app.queues.set("no name", order="fair")
        assert await app.queues.list() == []
