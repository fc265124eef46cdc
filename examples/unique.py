"""Unique keys: once more after the run that goes on, once things are quiet, once in a while."""

import asyncio

from windlass import Unique, Windlass, debounce, throttle

app = Windlass("sqlite://:memory:")


@app.job(unique=Unique(args=("site",), on_conflict="rerun"))
async def rebuild(site: str, why: str) -> None:
    print("rebuild", site, "because", why)
    if why == "first":  # while this run goes on, two more are asked for: they become one
        for reason in ("second", "third"):
            await rebuild.enqueue(site, reason)


@app.job(unique=debounce("200ms", max_wait="2s", args=("document",)))
async def index(document: str, text: str) -> None:
    print("index", document, "with", text)


@app.job(unique=throttle("1h", args=("user",)))
async def remind(user: str) -> None:
    print("remind", user)


async def main() -> None:
    async with app:
        await rebuild.enqueue("shop", "first")
        await app.drain()

        worker = app.worker()
        running = asyncio.create_task(worker.run())
        for text in ("d", "dr", "dra", "draft"):
            ref = await index.enqueue("letter", text)
        await ref.result(timeout=10)
        print("ann:", [(await remind.enqueue("ann")).created for _ in range(3)])
        await worker.stop()
        await running


if __name__ == "__main__":
    asyncio.run(main())
