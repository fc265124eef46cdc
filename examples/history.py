"""The timeline of a job, and who did what."""

import asyncio

from windlass import Context, Retry, Windlass

app = Windlass("sqlite://:memory:")


@app.job(max_attempts=3)
async def fetch(ctx: Context, url: str) -> str:
    if ctx.attempt == 1:
        raise Retry("busy", after=0)
    return url


async def main() -> None:
    async with app:
        ref = await fetch.enqueue("https://example.com")
        await app.jobs.reprioritise(5, ref, actor="ada")
        while not (await ref.job()).is_final:
            await app.drain()
        for entry in await app.jobs.history(ref):
            print(entry.what, entry.cause or "", f"attempt {entry.attempt}" if entry.attempt else entry.actor or "")
        for act in (await app.audit(actor="ada")).items:
            print(act.actor, act.action, "on this job:", act.target == ref.id)


asyncio.run(main())
