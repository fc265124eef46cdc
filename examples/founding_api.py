"""The founding documents' REST paths in this process, with their own requests."""

import asyncio
from typing import Any

import httpx2 as httpx

from windlass import Windlass, presets

app = Windlass("sqlite://:memory:")


@app.job(**presets.ai_video.work("video-generation").options())
async def generate(**data: Any) -> dict[str, Any]:
    return {"video": f"about {data['prompt']}"}


presets.apply(app, presets.ai_video)


async def main() -> None:
    api = httpx.ASGITransport(app.asgi(development=True))
    async with app, httpx.AsyncClient(transport=api, base_url="http://localhost/api/jobs/") as client:
        body = {"userId": "user-123", "prompt": "AI technology", "priority": "high", "userSubscription": "pro"}
        made = (await client.post("video-generation", json=body)).json()
        await app.drain()
        result = (await client.get(f"video-generation/{made['id']}/result")).json()
        print(result["state"], result["result"])
        later = {"jobType": "image-generation", "data": {"prompt": "a sunset"}, "delay": 300000}
        print((await client.post("delayed", json=later)).status_code)
        stats = (await client.get("queues/stats")).json()
        print({name: {state: n for state, n in counts.items() if n} for name, counts in stats.items()})
        print((await client.post("events", json={"data": {}})).json()["code"])


if __name__ == "__main__":
    asyncio.run(main())
