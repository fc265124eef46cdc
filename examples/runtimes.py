"""Three runtimes in one worker: async functions on the loop, plain functions in threads, heavy ones in processes."""

import asyncio
import os
import threading

from windlass import Windlass

app = Windlass("sqlite://:memory:")


@app.job
async def on_the_loop() -> str:
    await asyncio.sleep(0)
    return threading.current_thread().name


@app.job
def in_a_thread() -> str:
    return threading.current_thread().name


@app.job(runtime="process")
def in_a_process(n: int) -> tuple[int, int]:
    return os.getpid(), sum(i * i for i in range(n))


async def main() -> None:
    async with app:
        loop, thread = await on_the_loop.enqueue(), await in_a_thread.enqueue()
        process = await in_a_process.enqueue(10_000)
        await app.drain()
        print("async:  ", await loop.result(timeout=10))
        print("thread: ", await thread.result(timeout=10))
        pid, total = await process.result(timeout=30)
        print("process:", pid, "is not", os.getpid(), "and found", total)
        assert pid != os.getpid()


if __name__ == "__main__":
    asyncio.run(main())
