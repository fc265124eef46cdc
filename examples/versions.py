"""Payload versions: jobs enqueued by old code run on new code."""

import asyncio
import tempfile
from typing import Any

from windlass import Windlass


def from_1_to_2(old: dict[str, Any]) -> dict[str, Any]:
    first, _, last = old["name"].partition(" ")
    return {"first": first, "last": last}


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/jobs.db"
        old, new = Windlass(url), Windlass(url)

        @old.job(kind="greet")
        async def greet_old(name: str) -> str:
            return f"Hello {name}"

        @new.job(kind="greet", version=2, upcast={1: from_1_to_2})
        async def greet(first: str, last: str) -> str:
            return f"Hello {last}, {first}"

        async with old, new:
            ref = await greet_old.enqueue("Ada Lovelace")
            await new.drain()
            print(await new.ref(ref).result(timeout=10))


if __name__ == "__main__":
    asyncio.run(main())
