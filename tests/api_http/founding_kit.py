"""An app with the four presets and handlers for the jobs that the founding documents show, behind its API."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from tests.api_http.kit import ISSUER, SECRET, Door
from tests.store.kit import Place
from windlass import Context, Fail, Windlass, presets

VIDEO = {  # the example of `POST /api/jobs/{jobType}`
    "userId": "user-123",
    "projectId": "project-456",
    "prompt": "Create a video about AI technology",
    "script": {"title": "AI"},
    "scenes": [{"n": 1}],
    "options": {"quality": "high", "resolution": "1080p", "style": "modern"},
    "priority": "high",
    "userSubscription": "pro",
}
IMAGE = {
    "userId": "user-123",
    "projectId": "project-456",
    "prompt": "Generate an image of a sunset",
    "options": {"width": 1024, "height": 768},
}
ANALYSIS = {"userId": "user-123", "projectId": "project-456", "content": "Analyze this content", "type": "text"}
UPLOAD = {
    "contentId": "content-id",
    "videoPath": "/path/to/video.mp4",
    "user": {"_id": "user-id", "email": "user@example.com"},
}
SPEECH = {
    "text": "Hello world",
    "voiceId": "voice-123",
    "realTime": True,
    "retryStrategy": {"type": "exponential", "delay": 1000, "maxAttempts": 5},
}
ENHANCED = "/api/v1/queue/enhanced"


def founding_app(place: Place) -> Windlass:
    app = Windlass(place.url, namespace=place.namespace)

    @app.job(**presets.media.work("video-processing").options())
    async def process_video(ctx: Context, /, **data: Any) -> dict[str, Any]:
        ctx.progress(50)
        ctx.progress(100)
        return {"success": True}

    @app.job(**{**presets.market.work("deploy").options(), "max_attempts": 1})  # type: ignore[arg-type]
    async def deploy(**data: Any) -> None:
        if data.get("contractCode") == "0xdead":
            raise Fail("the contract is broken")
        raise OSError("the chain is unreachable")

    @app.job(**presets.ai_video.work("video-generation").options())
    async def generate(**data: Any) -> dict[str, Any]:
        return {"video": data["prompt"]}

    @app.job
    async def add(a: int, b: int = 2) -> int:
        return a + b

    for preset in presets.PRESETS:
        presets.apply(app, preset)
    return app


@asynccontextmanager
async def founded(place: Place, **settings: Any) -> AsyncIterator[Door]:
    app = founding_app(place)
    given = {"jwt_secret": SECRET, "jwt_issuer": ISSUER, "jwt_audience": "windlass", **settings}
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app)
        yield Door(app, app.asgi(**given), stack)


async def made(client: Any, path: str = "/api/jobs/video-generation", body: Any = None) -> str:
    """A job by a founding path; its id."""
    answer = await client.post(path, json=VIDEO if body is None else body)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


async def uploaded(client: Any, **data: Any) -> str:
    """A `process-video` job in `video-processing`."""
    return await made(
        client, f"{ENHANCED}/video-processing/jobs", {"name": "process-video", "data": {**UPLOAD, **data}}
    )


async def deployed(client: Any, code: str = "0x123...", environment: str = "production") -> str:
    """A `deploy` job in `deploy-contract`, which fails: for good if the code is `0xdead`."""
    data = {"environment": environment, "contractCode": code, "metadata": {"tags": ["urgent", "production"]}}
    return await made(client, f"{ENHANCED}/deploy-contract/jobs", {"name": "deploy", "data": data})
