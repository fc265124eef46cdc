"""Why is this job not running? Every reason, and what mends it."""

import asyncio

from windlass import Windlass

app = Windlass("sqlite://:memory:")


@app.job(queue="mail", rate_limit="1/h")
async def send(to: str) -> None: ...


async def main() -> None:
    async with app:
        first = await send.enqueue("ann")
        await app.drain()
        print("done:", (await app.jobs.explain(first)).reasons[0].text)
        later = [await send.enqueue(to) for to in ("bob", "cem")]
        await app.queues.pause("mail")
        found = await app.jobs.explain(later[1])
        for reason in found.reasons:
            print("-" if reason.blocks else " ", reason.code, "|", reason.mend or "")
        print("place in line:", found.position, "blocked by:", ", ".join(found.blocked_by))


if __name__ == "__main__":
    asyncio.run(main())
