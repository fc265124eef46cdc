"""Error groups: how many of each, since which version, and what was said of them."""

import asyncio

from windlass import Windlass

app = Windlass("sqlite://:memory:", app_version="1.4.2")


@app.job(max_attempts=1)
async def charge(order: int) -> None:
    if order % 3 == 0:
        raise KeyError(order)
    raise ConnectionError(f"order {order}: the bank does not answer")


async def main() -> None:
    async with app:
        await app.enqueue_many([charge.job(n) for n in range(9)])
        await app.drain()
        for group in await app.errors.list():
            print(f"{group.letters} x {group.type}: {group.message} (new in {group.version}: {group.is_new})")
        worst = (await app.errors.list())[0]
        print("again:", await app.errors.retry(worst.fingerprint))
        await app.drain()
        await app.errors.ignore(worst.fingerprint, actor="ops")
        print("open:", [group.type for group in await app.errors.list(mark="open")])


asyncio.run(main())
