"""Cancelling: a waiting job ends at once, a running one is asked to stop."""

import asyncio

from windlass import Context, JobCancelled, Windlass

app = Windlass("sqlite://:memory:")
started = asyncio.Event()


@app.job
async def endless(ctx: Context) -> None:
    started.set()
    try:
        await asyncio.Event().wait()
    finally:
        print("the handler cleans up")


async def main() -> None:
    async with app:
        waiting = await endless.options(delay="1h").enqueue()
        print("waiting job cancelled:", await waiting.cancel(), (await waiting.job()).state)
        worker = app.worker(lease="2s")
        running = asyncio.create_task(worker.run())
        ref = await endless.enqueue()
        await started.wait()
        print("running job asked to stop:", await ref.cancel())
        try:
            await ref.result(timeout=10)
        except JobCancelled as cancelled:
            print("ended:", cancelled)
        await worker.stop()
        await running


if __name__ == "__main__":
    asyncio.run(main())
