"""Providers: a breaker that all workers share holds jobs back while a service is down; a chain goes to the next one."""

import asyncio
import logging
import sys

from windlass import Context, Provider, Windlass
from windlass.providers import Chain

logging.basicConfig(stream=sys.stdout, format="log: %(message)s")
app = Windlass("sqlite://:memory:")
down = {"bank"}


class ServiceDown(Exception):
    category = "provider"


@app.job(provider=Provider("bank", in_a_row=3, pause="1m"), max_attempts=1)
async def transfer(amount: int) -> str:
    if "bank" in down:
        raise ServiceDown("503 from the bank")
    return f"sent {amount}"


models = Chain([Provider("large", cost=0.03, in_a_row=2), Provider("small", cost=lambda text: len(text) * 0.0001)])


async def ask(provider: Provider, prompt: str) -> str:
    if provider.name in down:
        raise ServiceDown(f"{provider.name} is overloaded")
    return f"{provider.name} says: {prompt.upper()}"


@app.job
async def write(ctx: Context, prompt: str) -> str:
    text = await models.call(ask, prompt)
    print(f"{text!r} for ${ctx.spent:.4f}")
    return text


async def main() -> None:
    async with app:
        await app.enqueue_many([transfer.job(n) for n in range(3)])
        await app.drain()
        waiting = await transfer.enqueue(100)
        print("ran:", await app.drain(), "attempts spent:", (await waiting.job()).attempt)
        for breaker in await app.breakers.list():
            print(breaker.name, breaker.state, breaker.error)
        down.clear()
        await app.breakers.reset("bank", actor="ada")
        await app.drain()
        print(await waiting.result())

        for broken in ((), ("large",)):
            down.update(broken)
            await write.enqueue("hello")
            await app.drain()


if __name__ == "__main__":
    asyncio.run(main())
