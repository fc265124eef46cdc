"""Expiry and deadlines: by when a job must have started, and by when it must be over."""

import asyncio

from windlass import JobFailed, Windlass, fixed

app = Windlass("sqlite://:memory:")


@app.job(deadline="300ms", max_attempts=100, backoff=fixed("100ms", jitter=0))
async def confirm(order: int) -> None:
    raise ConnectionError("the shop does not answer")


@app.job(deadline="300ms")
async def slow() -> None:
    await asyncio.sleep(60)


async def main() -> None:
    async with app:
        late = await confirm.options(expires="1ms").enqueue(1)
        await asyncio.sleep(0.01)
        await app.drain()
        job = await late.job()
        print("not started in time:", job.state, job.reason)

        worker = app.worker()
        running = asyncio.create_task(worker.run())
        for ref in (await confirm.enqueue(2), await slow.enqueue()):
            try:
                await ref.result(timeout=10)
            except JobFailed:
                job = await ref.job()
                print(job.kind, job.state, "reason:", job.reason, "last error:", job.error and job.error.type)
        await worker.stop()
        await running


if __name__ == "__main__":
    asyncio.run(main())
