"""What jobs cost: a price by attempt and second, what handlers report, estimates, and a ledger of users."""

import asyncio

from windlass import Context, Price, Windlass

app = Windlass("sqlite://:memory:", currency="EUR")


@app.job(queue="ai", price=Price(base="0.001"))
async def draw(ctx: Context, tokens: int) -> None:
    ctx.cost(tokens * 0.00002)


async def main() -> None:
    async with app:
        print("estimate before:", (await draw.estimate()).cost)
        jobs = [draw.options(user=user).job(tokens) for user, tokens in (("ada", 1_000), ("ada", 3_000), ("bob", 500))]
        refs = await app.enqueue_many(jobs)
        await app.drain()
        print("one job:", (await refs[1].job()).cost)
        found = await app.metrics(last="1h")
        print("all:", found.total.cost, found.currency)
        for user in await app.users(last="1h"):
            print(user.user, user.completed, user.cost)
        print("estimate after:", (await draw.estimate()).cost)


asyncio.run(main())
