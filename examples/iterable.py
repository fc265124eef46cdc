"""An iterable job: it yields where it stands, and goes on from there after whatever interrupts it."""

import asyncio
from collections.abc import AsyncIterator

from windlass import Context, Windlass, fixed

app = Windlass("sqlite://:memory:")
exported: list[int] = []


@app.job(slice="30s", backoff=fixed(0))
async def export(ctx: Context, rows: int) -> AsyncIterator[int]:
    for row in range(ctx.cursor or 0, rows):
        if row == 60 and ctx.attempt == 1:
            raise ConnectionError("the other side went away")
        exported.append(row)
        yield row + 1  # where to go on


async def main() -> None:
    async with app:
        ref = await export.enqueue(100)
        await app.drain()
        job = await ref.job()
        print(job.state, "in", job.attempt, "attempts")
        print("every row once:", exported == list(range(100)))
        [cursor] = await app.jobs.steps(ref)
        print("cursor", cursor.result)


if __name__ == "__main__":
    asyncio.run(main())
