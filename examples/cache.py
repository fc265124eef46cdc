"""The result cache: what was computed lately is answered without running."""

import asyncio

from windlass import Cache, Windlass

app = Windlass("sqlite://:memory:")


@app.job(cache="1h")
async def translate(text: str, language: str) -> str:
    print("translating", text)
    return f"{text} ({language})"


@app.job(cache=Cache("10m", per_user=True, max_bytes=10_000))
async def advice(question: str) -> str:
    return f"it depends: {question}"


async def main() -> None:
    async with app:
        first = await translate.enqueue("good day", language="de")
        await app.drain()
        again = await translate.enqueue("good day", "de")
        print("cached:", again.cached, "result:", await again.result())
        print("whose:", (await again.job()).cached == first.id)

        fresh = await translate.options(skip_cache=True).enqueue("good day", "de")
        await app.drain()
        print("ran again:", not fresh.cached)

        await advice.options(user="ann").enqueue("rent or buy?")
        await app.drain()
        for user in ("ann", "bob"):
            print(user, (await advice.options(user=user).enqueue("rent or buy?")).cached)

        print("forgotten:", await app.cache.clear("translate"))
        print("cached:", (await translate.enqueue("good day", "de")).cached)


if __name__ == "__main__":
    asyncio.run(main())
