"""An app with handlers, its API in this process, and clients with tokens."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx2 as httpx
import jwt

from tests.store.kit import Place
from windlass import Context, Fail, Windlass

SECRET = "kit-secret-of-the-tests-0123456789-abcdefghij"
ISSUER = "https://issuer.test"


def make_app(place: Place) -> Windlass:
    """An app whose jobs add, fail, and wait."""
    app = Windlass(place.url, namespace=place.namespace)

    @app.job
    async def add(a: int, b: int = 2) -> int:
        return a + b

    @app.job(queue="mail", max_attempts=1)
    async def send(ctx: Context, to: str, body: str = "") -> None:
        await ctx.log(f"sending to {to}")
        raise Fail(f"nobody is called {to}")

    @app.job(queue="mail", unique="only-one")
    async def alone(n: int = 0) -> int:
        return n

    @app.job
    async def total(parts: int, more: int = 0) -> int:
        return parts + more

    @app.job
    async def approve(ctx: Context) -> str:
        return (await ctx.wait_for("approved"))["by"]

    return app


def claims(user: str = "ann", role: str | None = "user", project: str | None = None, **others: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"sub": user, "exp": int(time.time()) + 600, "iss": ISSUER, "aud": "windlass", **others}
    if role is not None:
        found["role"] = role
    if project is not None:
        found["project"] = project
    return {name: value for name, value in found.items() if value is not ...}


def token(user: str = "ann", role: str | None = "user", project: str | None = None, **others: Any) -> str:
    return jwt.encode(claims(user, role, project, **others), SECRET, "HS256")


class Door:
    """The API of an app and its clients."""

    def __init__(self, app: Windlass, asgi: Any, stack: AsyncExitStack) -> None:
        self.app = app
        self.asgi = asgi
        self._stack = stack

    async def client(self, bearer: str | None = None, *, peer: str = "192.0.2.1", **headers: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.asgi, raise_app_exceptions=False, client=(peer, 4711))
        if bearer is not None:
            headers["Authorization"] = f"Bearer {bearer}"
        made = httpx.AsyncClient(transport=transport, base_url="http://api.test", headers=headers)
        return await self._stack.enter_async_context(made)

    async def as_(self, role: str = "user", user: str = "ann", project: str | None = None, **others: Any) -> Any:
        return await self.client(token(user, role, project, **others))


@asynccontextmanager
async def opened(place: Place, **settings: Any) -> AsyncIterator[Door]:
    """An open app and its API; tokens of the kit are good."""
    app = make_app(place)
    given = {"jwt_secret": SECRET, "jwt_issuer": ISSUER, "jwt_audience": "windlass", **settings}
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app)
        yield Door(app, app.asgi(**given), stack)


async def enqueue(client: httpx.AsyncClient, kind: str = "add", args: Any = None, **options: Any) -> str:
    """A job by HTTP; its id."""
    body = {"kind": kind, "args": {"a": 1} if args is None else args, **options}
    answer = await client.post("/api/v1/jobs", json=body)
    assert answer.status_code in (200, 202), answer.text
    return answer.json()["id"]


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document of an answer, which must be this one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == status
    assert document["code"] == code, document
    assert document["type"] == f"urn:windlass:problem:{code}"
    assert document["request_id"] == answer.headers["x-request-id"]
    return document
