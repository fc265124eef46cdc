"""Functions that the worker calls when something happened to a job."""

import asyncio

from windlass import Context, JobEvent, Windlass

app = Windlass("sqlite://:memory:")


@app.on("active", "progress", "completed")
async def watch(event: JobEvent) -> None:
    print(event.event, event.kind, event.result if event.event == "completed" else event.note or "")


@app.on("failed", queue="mail")
def page_somebody(event: JobEvent) -> None:
    print("gave up:", event.kind, event.error.message if event.error else event.reason)


@app.job
async def add(ctx: Context, a: int, b: int) -> int:
    await ctx.progress(50, "half way")
    return a + b


@app.job(queue="mail", max_attempts=1)
async def send(to: str) -> None:
    raise ConnectionError(f"no route to {to}")


async def main() -> None:
    async with app:
        await add.enqueue(1, 2)
        await app.drain()
        await send.enqueue("ada")
        await app.drain()


asyncio.run(main())
