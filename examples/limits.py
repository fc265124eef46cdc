"""Limits: how many run at once, how many start in a while, how often a user may ask."""

import asyncio
from collections import Counter

from windlass import Limit, RateLimitExceeded, Windlass

app = Windlass("sqlite://:memory:")
app.queue("mail", rate_limit="100/m", concurrency=10)

running: Counter[str] = Counter()
most: Counter[str] = Counter()


@app.job(limits=[Limit(by="tenant", concurrency=2)])
async def sync(tenant: str) -> None:
    running[tenant] += 1
    most[tenant] = max(most[tenant], running[tenant])
    await asyncio.sleep(0.01)
    running[tenant] -= 1


@app.job(limits=[Limit(by="model", rate="1000/m", cost="tokens")])
async def ask(model: str, tokens: int) -> str:
    return f"{tokens} tokens of {model}"


@app.job(per_user_concurrency={"free": 1, "pro": 5}, per_user_rate="2/h")
async def render(page: int) -> int:
    return page


async def main() -> None:
    async with app:
        await app.enqueue_many([sync.job(tenant) for tenant in ("acme", "zeta") for _ in range(6)])
        print("jobs run:", await app.drain(), "at once:", dict(most))

        await app.enqueue_many([ask.job("large", 400) for _ in range(4)])
        print("calls that fit the minute:", await app.drain())
        status = await app.limits.status("ask:model=large")
        print(f"tokens used: {status['count']} of {status['limit']}, {status['remaining']} left")

        mine = render.options(user="ann", plan="pro")
        await mine.enqueue(1)
        await mine.enqueue(2)
        try:
            await mine.enqueue(3)
        except RateLimitExceeded as error:
            print(f"ann may {error.limit} an hour and has {error.remaining} left until {error.reset_at:%H:%M}")

        await app.limits.put("queue:mail", concurrency=2, actor="ada")  # goes before what the code says
        for limit in await app.limits.list():
            print(limit.key, limit.concurrency, limit.rate, "by an operator" if limit.pinned else "by code")


if __name__ == "__main__":
    asyncio.run(main())
