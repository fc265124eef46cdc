"""The timeline of a job, also when the job is gone, and who did what."""

import asyncio

from windlass import Context, Retry, Windlass

app = Windlass("sqlite://:memory:", keep_completed="0s", keep_history="30d")


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
        await (await app.store()).prune(app.settings.retention, 100)  # workers do it each minute
        last = (await app.jobs.history(ref))[-1]
        print("the job is gone, its history is not:", last.what, "by", last.cause)


asyncio.run(main())
