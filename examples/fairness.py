"""Fairness: tenants take turns in one queue, whatever the length of their lines."""

import asyncio

from windlass import Priority, Windlass

app = Windlass("sqlite://:memory:")
app.queue("tenants", order="fair")
app.queue("classes", order="weighted")
app.queue("aged", order="ageing", ageing="1m")

order: list[str] = []


@app.job(queue="tenants")
async def work(tenant: str) -> None:
    order.append(tenant)


@app.job(queue="classes")
async def classed(name: str) -> None:
    order.append(name)


async def in_turn() -> str:
    """Run everything, one job at a time; who ran when."""
    order.clear()
    await app.worker(concurrency=1, threads=1, processes=0).run(until_idle=True)
    return " ".join(order)


async def main() -> None:
    async with app:
        await app.enqueue_many([work.options(group="A").job("A") for _ in range(9)])
        await app.enqueue_many([work.options(group="b").job("b") for _ in range(2)])
        print("each in turn:      ", await in_turn())

        await app.enqueue_many([work.options(group="A").job("A") for _ in range(6)])
        await app.enqueue_many([work.options(group="p", weight=3).job("p") for _ in range(6)])
        print("three to one:      ", await in_turn())

        for priority, name in ((Priority.CRITICAL, "!"), (Priority.LOW, "_")):
            await app.enqueue_many([classed.options(priority=priority).job(name) for _ in range(25)])
        print("critical and low:  ", await in_turn())
        print({queue.name: queue.order for queue in await app.queues.list()})


if __name__ == "__main__":
    asyncio.run(main())
