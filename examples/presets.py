"""A preset gives an app a document's numbers; what the app has declared itself stays."""

import asyncio

from windlass import RateLimitExceeded, Windlass, presets

app = Windlass("sqlite://:memory:")
app.queue("video-processing", concurrency=4)  # ours, instead of the document's 2


@app.job(**presets.market.work("deploy").options())
async def deploy(environment: str, contractCode: str) -> str:
    return f"{contractCode} is on {environment}"


async def process_video(contentId: str) -> str:
    return f"processed {contentId}"


presets.apply(app, presets.media, {"process-video": process_video})
presets.apply(app, presets.market)


async def main() -> None:
    async with app:
        for key in ("queue:video-processing", "queue:email-sending"):
            limit = await app.limits.get(key)
            print(key, limit and (limit.concurrency, limit.rate))
        for environment in ("production", "staging", "dev"):
            ref = await app.enqueue("deploy", environment=environment, contractCode="0x123")
            print(environment, (await ref.job()).priority)
        video = app.kind("process-video").options(user="ann")
        try:
            for number in range(11):
                await video.enqueue(contentId=str(number))
        except RateLimitExceeded as error:
            print("after ten:", error.facts["limit"], "an hour")


if __name__ == "__main__":
    asyncio.run(main())
