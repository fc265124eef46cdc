"""What a running handler tells: progress, log lines, and a folder of its own."""

import asyncio
import logging

from windlass import Context, Windlass

app = Windlass("sqlite://:memory:")
log = logging.getLogger("converter")
log.setLevel("INFO")


@app.job
async def convert(ctx: Context, name: str) -> int:
    await ctx.progress(10, "reading")
    (ctx.workdir / name).write_text("hello")  # gone when the attempt ends
    log.info("this line goes to the job's log")
    ctx.log("so does this one", level="debug", file=name)
    await ctx.progress(100, "done")
    return len((ctx.workdir / name).read_text())


async def main() -> None:
    async with app:
        ref = await convert.enqueue("a.txt")
        await app.drain()
        job = await ref.job()
        print(job.state, job.progress, job.progress_note, job.result)
        for line in await app.jobs.log(ref):
            print(" ", line.level, line.text)


if __name__ == "__main__":
    asyncio.run(main())
