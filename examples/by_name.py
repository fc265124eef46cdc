"""Enqueueing by name, from a program that does not have the handler's code."""

import asyncio
import tempfile

from windlass import UnknownKind, Windlass


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/jobs.db"
        worker, website = Windlass(url), Windlass(url)

        @worker.job(queue="images")
        async def resize(path: str, width: int = 100) -> str:
            return f"{path}@{width}"

        async with worker, website:  # opening publishes the kinds that an app declares
            try:
                await website.enqueue("resise", "a.png")
            except UnknownKind as unknown:
                print("refused:", unknown)
            ref = await website.kind("resize").options(priority=5).enqueue("a.png", width=50)
            await worker.drain()
            print("result:", await ref.result(timeout=10))


if __name__ == "__main__":
    asyncio.run(main())
