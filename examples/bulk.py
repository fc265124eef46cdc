"""Many jobs: all or nothing in one call, or any number as a stream."""

import asyncio
import time

from windlass import BatchTooLarge, Windlass

app = Windlass("sqlite://:memory:")


@app.job
async def square(n: int) -> int:
    return n * n


async def main() -> None:
    async with app:
        refs = await app.enqueue_many([square.job(n) for n in range(1_000)])
        print("atomic:", len(refs))
        try:
            await app.enqueue_many([square.job(n) for n in range(10_001)])
        except BatchTooLarge as refused:
            print("refused:", refused)
        started = time.perf_counter()
        refs = await app.enqueue_many((square.job(n) for n in range(20_000)), atomic=False)
        print(f"stream: {len(refs)} jobs, {len(refs) / (time.perf_counter() - started):,.0f} a second")


if __name__ == "__main__":
    asyncio.run(main())
