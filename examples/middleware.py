"""Middleware around every attempt, and resources that a worker opens once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from windlass import Context, Windlass

app = Windlass("sqlite://:memory:")


@app.resource
async def numbers() -> AsyncIterator[dict[str, int]]:
    print("opened")
    yield {"one": 1, "two": 2}
    print("closed")


@app.around
async def told(ctx: Context, call: Callable[[], Awaitable[Any]]) -> Any:
    result = await call()
    print(ctx.job.kind, ctx.job.args, "->", result)
    return result


@app.job
async def look_up(ctx: Context, word: str) -> int:
    return ctx.resource("numbers")[word]


async def main() -> None:
    async with app:
        await app.enqueue_many([look_up.job("one"), look_up.job("two")])
        await app.drain()


if __name__ == "__main__":
    asyncio.run(main())
