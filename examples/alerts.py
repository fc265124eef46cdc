"""Three dead letters in five minutes fire an alert; a channel tells it."""

import asyncio
import logging
import sys

from windlass import Windlass

app = Windlass("sqlite://:memory:")


@app.job(queue="mail", max_attempts=1)
def send(to: str) -> None:
    raise ValueError(f"nobody is called {to}")


async def main() -> None:
    async with app:
        await app.alerts.put_rule("dead-mail", "dead-letters", threshold=3, queues=["mail"], channels=["log"])
        await app.enqueue_many([send.job(f"user{n}@example.com") for n in range(3)])
        await app.drain()
        await app.alerts.look()  # workers look every minute by themselves
        await app.drain()
        for alert in await app.alerts.list(firing=True):
            print(alert.rule, alert.group, alert.text)


logging.basicConfig(stream=sys.stdout, format="%(name)s %(levelname)s %(message)s")
asyncio.run(main())
