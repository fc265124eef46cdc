"""The shortest program: declare a job, enqueue it, run it, read its result."""

import asyncio

from windlass import Windlass

app = Windlass("sqlite://:memory:")


@app.job
def add(a: int, b: int) -> int:
    return a + b


async def main() -> None:
    async with app:
        ref = await add.enqueue(1, b=2)
        await app.drain()  # a worker in this process, until nothing is left to run
        print("1 + 2 =", await ref.result(timeout=10))


if __name__ == "__main__":
    asyncio.run(main())
