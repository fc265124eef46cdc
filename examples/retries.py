"""Failures: which errors are tried again, how soon, and where a job ends that gave up."""

import asyncio

from windlass import Context, Fail, JobFailed, Retry, Snooze, Windlass, exponential

app = Windlass("sqlite://:memory:")
closed = asyncio.Event()


@app.job(max_attempts=5, backoff=exponential("10ms", factor=2, cap="1s"))
async def flaky(ctx: Context) -> int:
    if ctx.attempt < 3:
        raise ConnectionError("the other side is not there")
    return ctx.attempt


@app.job(errors={KeyError: "permanent"})
async def strict(key: str) -> int:
    return {"a": 1}[key]


@app.job
async def steered(ctx: Context, how: str) -> str:
    if how == "fail":
        raise Fail("no retry will help")
    if how == "retry" and ctx.attempt == 1:
        raise Retry("once more", after="5ms")  # spends an attempt
    if how == "snooze":
        closed.set()
        raise Snooze("1h", "the shop is closed")  # does not
    return how


async def main() -> None:
    async with app:
        worker = app.worker()
        running = asyncio.create_task(worker.run())
        print("succeeded at attempt", await (await flaky.enqueue()).result(timeout=10))
        print("steered:", await (await steered.enqueue("retry")).result(timeout=10))
        for job in (strict.job("b"), steered.job("fail")):
            try:
                await (await app.submit(job)).result(timeout=10)
            except JobFailed as failed:
                print("dead letter:", failed)
        snoozed = await steered.enqueue("snooze")
        await closed.wait()
        await worker.stop()
        await running
        print("snoozed until", (await snoozed.job()).run_at)
        print("requeued", await app.jobs.requeue(kind="strict"), "dead letter")


if __name__ == "__main__":
    asyncio.run(main())
