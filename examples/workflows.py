"""Workflows: a chain around a batch with callbacks, results of parents, a failure, and a retry from there."""

import asyncio

from windlass import Context, Windlass, batch, chain, result_of

app = Windlass("sqlite://:memory:")
broken = {7}


@app.job
async def pages() -> int:
    return 9


@app.job(max_attempts=1)
async def parse(page: int, of: int) -> int:
    if page in broken:
        raise ValueError(f"page {page} of {of} cannot be read")
    return page * page


@app.job
async def total(ctx: Context) -> int:
    return sum(ctx.parents.all(parse))


@app.job
async def report(ctx: Context) -> None:
    counts = await ctx.batch.counts()
    print(f"every page was tried: {counts['completed']} are in, {counts['failed']} failed")


@app.job
async def alarm() -> None:
    print("a page failed")


@app.job
async def publish(ctx: Context) -> str:
    return f"published the total {ctx.parents.one(total)}"


async def main() -> None:
    async with app:
        first = pages.job()
        members = [parse.job(n, of=result_of(first)) for n in range(1, 10)]
        end = total.job()
        book = batch(members, then=report.job(), on_success=end, on_failure=alarm.job())
        ref = await app.run(chain(first, book, publish.options(after=[end]).job()).named("book"))
        await app.drain()
        print("stored:", len(ref.jobs), "jobs; it stands at:", (await ref.status()).state)
        for edge in (await app.workflows.get(ref.id)).edges[:3]:
            assert edge.parent == first.id

        broken.clear()
        print("run again:", await app.workflows.retry(ref.id), "job(s) that had ended badly, and what waited for them")
        await app.drain()
        print(await ref.result(timeout=10))


if __name__ == "__main__":
    asyncio.run(main())
