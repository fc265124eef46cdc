"""A chunk handler: up to 100 jobs in one call, each with a result, a failure and retries of its own."""

import asyncio

from windlass import Chunk, Fail, Windlass

app = Windlass("sqlite://:memory:")


@app.job(chunk=100, chunk_wait="50ms")
async def embed(chunk: Chunk[str, list[float]]) -> None:
    print(f"one call for {len(chunk)} texts")
    for item in chunk:
        if not item.value:
            item.fail(Fail("nothing to embed"))
    for item in chunk.open:
        item.done([float(len(item.value))])


@app.job(chunk=50)
async def lengths(chunk: Chunk[str, int]) -> list[int]:  # or a list, in the order of the chunk
    return [len(text) for text in chunk.values]


async def main() -> None:
    async with app:
        refs = await app.enqueue_many([embed.job("x" * n) for n in range(40)])
        await app.drain()
        print((await refs[0].job()).state, (await refs[0].job()).reason)
        print(await refs[7].result(timeout=1))
        ref = await lengths.enqueue("hello")
        await app.drain()
        print(await ref.result(timeout=1))


if __name__ == "__main__":
    asyncio.run(main())
