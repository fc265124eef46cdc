"""Effects: a charge that happens once for an order, whatever becomes of jobs; what nobody knows is decided by a person."""

import asyncio
from typing import Any

from windlass import Context, Windlass, fixed

app = Windlass("sqlite://:memory:")
bank: list[str] = []  # what the bank has done
line_is_bad = True


async def charge_card(order: str, cents: int) -> str:
    bank.append(f"{order}: {cents}")
    if line_is_bad:
        raise TimeoutError("the bank's answer was lost")
    return f"receipt {len(bank)}"


@app.job(kind="charge", max_attempts=5, backoff=fixed("10ms"))
async def charge(ctx: Context, order: str, cents: int) -> Any:
    async with ctx.effect("charge", order, {"cents": cents}) as effect:
        if effect.done:
            return effect.result  # an earlier run, or another job of this order
        await effect.sending()  # on record before anything leaves
        return await effect.finish(await charge_card(order, cents))


@app.job(kind="post", max_attempts=5, backoff=fixed("10ms"))
async def post(ctx: Context, text: str) -> Any:
    async def find(prepared: Any) -> str | None:
        return "found in the bank's list" if f"{text}: 0" in bank else None

    async with ctx.effect("post", text, in_doubt="lookup", lookup=find) as effect:
        if effect.done:
            return effect.result
        await effect.sending()
        return await effect.finish(await charge_card(text, 0))


async def main() -> None:
    global line_is_bad
    async with app:
        ref = await charge.enqueue("order-7", 1_000)
        await post.enqueue("hello")
        await app.drain()
        await app.jobs.run_now(state="retrying")
        await app.drain()  # the post asks whether it arrived; the charge is left alone

        [held] = await app.effects.list()
        print(held.effect, "is", held.state, "because", held.why)
        print("the bank did", bank)

        # Somebody looks at the bank's list, finds the charge, and says so.
        await app.effects.resolve(held.effect, "done", actor="ann", result="receipt 1", note="in the bank's list")
        await app.jobs.requeue(ids=[ref])
        line_is_bad = False
        again = await charge.enqueue("order-7", 1_000)  # somebody pressed the button twice
        await app.drain()
        print(await ref.result(), "=", await again.result(), "and the bank did", bank)
        assert bank == ["order-7: 1000", "hello: 0"]


asyncio.run(main())
