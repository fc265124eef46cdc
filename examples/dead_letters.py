"""Dead letters: judged, mended by other arguments, run again together, tried again by themselves."""

import asyncio

from windlass import Windlass

app = Windlass("sqlite://:memory:")


@app.job(queue="mail", max_attempts=1, dead_retries=("15m", "1h", "6h"))
async def send(to: str) -> str:
    if "@" not in to:
        raise ConnectionError(f"no route to {to}")
    return to


async def main() -> None:
    async with app:
        refs = await app.enqueue_many([send.job(name) for name in ("ada", "bob", "eve@example.com")])
        await app.drain()
        for letter in (await app.dead_letters.list(queue="mail")).items:
            error = letter.job.error
            again = letter.next_retry_at is not None
            print(letter.job.args, error and error.message, "| may help:", letter.can_retry, "| by itself:", again)
        await app.dead_letters.requeue(refs[0], args={"to": "ada@example.com"}, actor="ops")
        await app.drain()
        print("mended:", await refs[0].result())
        replay = await app.dead_letters.replay(queue="mail", per_second=1_000, actor="ops")
        await app.drain()
        print("replay:", (await replay.job()).progress_note)
        stats = await app.dead_letters.stats()
        print(f"{stats.total} left, {stats.retryable} may be helped, {stats.scheduled} come back by themselves")
        print("purged:", await app.dead_letters.purge(queue="mail"))


asyncio.run(main())
