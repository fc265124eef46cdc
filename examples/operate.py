"""Looking at jobs and queues and acting on them, as an operator does."""

import asyncio

from windlass import Windlass

app = Windlass("sqlite://:memory:")


@app.job(queue="work", max_attempts=1)
async def work(n: int) -> int:
    return 10 // n


async def main() -> None:
    async with app:
        refs = await app.enqueue_many([work.job(n) for n in range(4)])
        print("cancelled", await app.jobs.cancel(refs[3].id, reason="not needed", actor="ada"))
        await app.queues.pause("work", actor="ada")
        print("ran while paused:", await app.drain())
        await app.queues.resume("work", actor="ada")
        print("ran:", await app.drain())
        print((await app.queues.stats())["work"])
        for job in (await app.jobs.list(state="failed", queue="work")).items:
            print("dead letter:", job.args, job.error.type if job.error else None)
        print("requeued:", await app.jobs.requeue(queue="work"))
        print("deleted:", await app.jobs.delete(queue="work", state="waiting"))


if __name__ == "__main__":
    asyncio.run(main())
