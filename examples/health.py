"""Whether queues are well, and the commands that mend what is not."""

import asyncio

from windlass import Windlass

app = Windlass("sqlite://:memory:")


@app.job(queue="mail")
async def send(to: str) -> None: ...


async def main() -> None:
    async with app:
        await app.enqueue_many([send.job(to) for to in ("ann", "ben", "cem")])
        health = await app.health()
        print(health.status)
        for issue in health.issues:
            print(f"{issue.queue}: [{issue.code}] waiting: {issue.facts['waiting']}")
        for advice in health.recommendations:
            print(f"  {advice.text}: {advice.command}")
        await app.drain()
        mail = await app.health("mail")
        print(mail.status, mail.waiting, mail.ended, mail.failed_share)


asyncio.run(main())
