"""Options of one job: when, how urgent, for whom, only once, after what."""

import asyncio
from datetime import UTC, datetime, timedelta

from windlass import Unique, Windlass

app = Windlass("sqlite://:memory:")


@app.job(queue="mail")
async def send(to: str) -> str:
    return to


async def main() -> None:
    async with app:
        in_five = await send.options(delay="5m").enqueue("later@example.com")
        tomorrow = await send.options(run_at=datetime.now(UTC) + timedelta(days=1)).enqueue("tomorrow@example.com")
        urgent = await send.options(priority=10, tags=["urgent"], user="42", plan="pro").enqueue("now@example.com")
        print("states:", [(await ref.job()).state for ref in (in_five, tomorrow, urgent)])

        first = await send.options(unique="welcome:42").enqueue("a@example.com")
        again = await send.options(unique="welcome:42").enqueue("a@example.com")
        print("the second is the first:", again.id == first.id, "created:", again.created)
        by_argument = send.options(unique=Unique(args=("to",), until="1h"))
        print("created:", [(await by_argument.enqueue(to)).created for to in ("b@x", "b@x", "c@x")])

        parent = await send.enqueue("parent@example.com")
        child = await send.options(after=[parent], on_failure="run").enqueue("child@example.com")
        print("child:", (await child.job()).state)
        await app.drain()
        print("child:", (await child.job()).state)


if __name__ == "__main__":
    asyncio.run(main())
