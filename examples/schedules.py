"""Recurring jobs: declared by code, put at run time, and a night of them lived through in a test's clock."""

import asyncio
from datetime import UTC, datetime

from windlass import Context, Windlass, testing

app = Windlass("sqlite://:memory:")


@app.schedule("30 2 * * *", timezone="Europe/Berlin", args=("everything",))
@app.job
async def back_up(ctx: Context, what: str) -> str:
    due = next(tag for tag in ctx.job.tags if tag.startswith("due:"))
    print(f"back-up of {what}, {due}")
    return what


@app.schedule(every="6h", jitter="10m")
@app.job
async def refresh() -> None:
    print("refreshed")


@app.job
async def remind(who: str) -> None:
    print("dear", who)


async def main() -> None:
    # The night before the clocks go forward: 02:30 does not exist on the 29th.
    async with testing.sandbox(app, now=datetime(2026, 3, 28, 0, 0, tzinfo=UTC)) as box:
        await app.schedules.put("ada", remind.job("ada"), at=datetime(2026, 3, 28, 9, 0, tzinfo=UTC))
        print(await box.advance("2d"), "jobs ran")
        for each in await app.schedules.list():
            print(f"{each.key:8} {each.when:24} fired {each.fired}, next {each.next_at}")
        for time in await app.schedules.preview("back_up", 3, after=datetime(2026, 3, 28, 12, 0, tzinfo=UTC)):
            print(time.at, time.mark or "")
        await app.schedules.pause("refresh", actor="ada")
        await app.schedules.trigger("refresh")
        print(await box.advance("1d"), "jobs ran with refresh paused and triggered once")
        print([str(job.state) for job in (await app.schedules.history("refresh", limit=3)).items])


if __name__ == "__main__":
    asyncio.run(main())
