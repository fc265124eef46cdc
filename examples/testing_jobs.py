"""Testing code that enqueues, and handlers, without a server and without waiting."""

import asyncio
from datetime import UTC, datetime

from windlass import Context, Windlass, testing

app = Windlass("redis://production:6379")  # the sandbox never connects to it


@app.job(max_attempts=3)
async def send(ctx: Context, to: str) -> str:
    if ctx.attempt == 1:
        raise ConnectionError("try again")
    return to


async def place_order(number: int) -> None:
    await send.options(delay="1h").enqueue(f"customer-{number}@example.com")


async def main() -> None:
    async with testing.sandbox(app, now=datetime(2030, 1, 1, tzinfo=UTC)) as box:
        await place_order(7)
        box.assert_enqueued(send, to="customer-7@example.com", count=1)
        print("at once:", await box.drain(), "- after two hours:", await box.advance("2h"))
        print("it is", await box.now())
    first, second = await testing.run(send, "a@x"), await testing.run(send, "a@x", attempt=2)
    print(first.outcome, first.error.type if first.error else None, "|", second.outcome, second.result)


if __name__ == "__main__":
    asyncio.run(main())
