"""A host application that has the queue below a path of its own, and says by itself who makes a request."""

from fastapi import FastAPI
from starlette.requests import Request

from tests.dashboard.stage import app
from windlass.api.caller import Caller, Role


async def whoever(request: Request) -> Caller | None:
    """The host's own session; here everybody is its editor."""
    return Caller(user="editor", role=Role.OPERATOR)


host = FastAPI(lifespan=app.lifespan)
host.mount("/tools/queue", app.asgi(authenticate=whoever))
