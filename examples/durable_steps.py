"""A durable handler: steps that are done once, a sleep of two weeks that holds no slot, and a person's approval."""

import asyncio
from datetime import UTC, datetime

from windlass import Context, SignalTimeout, Windlass, testing

app = Windlass("sqlite://:memory:")


def create_account(user: str) -> str:  # a plain function runs in a thread
    print(f"creating the account of {user}")
    return f"account of {user}"


async def send_mail(to: str, text: str) -> None:
    print(f"mail to {to}: {text}")


@app.job
async def trial(ctx: Context, user: str) -> str:
    account = await ctx.step("create account", create_account, user)
    await asyncio.gather(  # side by side; the order of the calls is what counts
        ctx.step("welcome", send_mail, user, "welcome"),
        ctx.step("tell sales", send_mail, "sales", f"{user} tries it"),
    )
    await ctx.sleep("14d")
    await ctx.step("ask", send_mail, user, "how did you like it?")
    try:
        answer = await ctx.wait_for("answer", timeout="3d")
    except SignalTimeout:
        return f"{account}: no answer"
    return f"{account}: {answer['says']}"


async def main() -> None:
    async with testing.sandbox(app, now=datetime(2030, 1, 1, tzinfo=UTC)) as box:
        ann, bob = await trial.enqueue("ann"), await trial.enqueue("bob")
        await box.drain()
        await box.advance("14d")  # nothing was done twice
        print("ann", (await ann.job()).reason)
        print(await app.jobs.signal(ann, "answer", {"says": "fine"}))
        await box.drain()
        print((await ann.job()).result)
        for step in await app.jobs.steps(ann):
            print(" ", step.position, step.what, step.name, step.result)
        await box.advance("3d")
        print((await bob.job()).result)


if __name__ == "__main__":
    asyncio.run(main())
