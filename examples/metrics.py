"""What became of the jobs of the last hour: counts, rates, run and waiting times."""

import asyncio

from windlass import Windlass

app = Windlass("sqlite://:memory:")


@app.job(queue="mail", max_attempts=1)
async def send(n: int) -> None:
    await asyncio.sleep(0.002)
    if n % 10 == 0:
        raise ValueError("no such address")


async def main() -> None:
    async with app:
        await app.enqueue_many([send.job(n) for n in range(100)])
        await app.drain()
        found = await app.metrics(last="1h")
        total = found.total
        print(f"{total.completed} completed, {total.failed} failed, success {total.success_rate:.0%}")
        (mail,) = found.queues
        assert mail.run is not None and mail.wait is not None
        print(f"queue {mail.queue}: p95 of running at least 2 ms: {mail.run.p95 >= 0.002}")
        print(f"{len(found.series)} steps by {found.step}, {sum(point.completed for point in found.series)} completed")


asyncio.run(main())
