"""The ASGI application: FastAPI with every resource's operations, our conventions around them, and the app's lifespan."""

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from windlass.api.authentication import Authentication, HostCallback
from windlass.api.bulk import BulkRunner
from windlass.api.docs_page import POLICY, page
from windlass.api.founding.table import operations as founding_operations
from windlass.api.guard import Guard
from windlass.api.keys import ApiKeys
from windlass.api.news import Newsroom
from windlass.api.openapi import document, extra
from windlass.api.operation import PREFIX, Operation, Rooms
from windlass.api.permissions import Permission
from windlass.api.problems import Problem
from windlass.api.routes import (
    acts,
    alerts,
    audit,
    bulk,
    closeup,
    dead_letters,
    error_groups,
    events,
    insight,
    jobs,
    keys,
    limits,
    queues,
    schedules,
    templates,
    webhooks,
    workflows,
)
from windlass.api.serving import Serving, refuse
from windlass.api.session import PATH as SESSION_PATH
from windlass.api.session import SessionRoutes, Sessions
from windlass.api.settings import load_api_settings
from windlass.api.specs import Handlers
from windlass.errors import StoreError

if TYPE_CHECKING:
    from windlass.app import Windlass

RESOURCES = (
    jobs.routes,
    closeup.routes,
    acts.routes,
    dead_letters.routes,
    error_groups.routes,
    bulk.routes,
    workflows.routes,
    queues.routes,
    schedules.routes,
    limits.routes,
    audit.routes,
    insight.routes,
    templates.routes,
    webhooks.routes,
    alerts.routes,
    events.routes,
    keys.routes,
)
ANONYMOUS = ("/healthz", "/readyz")
"""What answers without a caller: whether the process and its store are there, and nothing else."""

_CODES: Mapping[int, tuple[str, str]] = {
    404: ("not-found", "there is nothing at this address"),
    405: ("method-not-allowed", "this address takes other methods"),
}


def make_asgi(
    app: "Windlass", *, authenticate: HostCallback | None = None, development: bool = False, **flags: Any
) -> ASGIApp:
    """The REST API of an app. `authenticate`: the host application's own answer to who makes a request; `development`: requests
    straight from this machine need no credentials. Raises `SettingsError`."""
    settings = load_api_settings(flags)
    known = ApiKeys(app.store)
    authentication = Authentication(settings, known, Sessions(app.store, known), authenticate, development)
    rooms = Rooms(app, settings, known, Handlers(), BulkRunner(app), Newsroom(app.store), authentication)
    serving = Serving(rooms, authentication)
    api = make_fastapi(rooms, serving.endpoint)
    api.add_exception_handler(HTTPException, _refuse_http)
    api.add_exception_handler(Exception, _refuse_any)
    _add_health(api, app)
    _add_metrics(api, app, serving)
    api.add_route(SESSION_PATH, SessionRoutes(serving).__call__, methods=["GET", "POST", "DELETE"])
    if settings.founding:
        for operation in founding_operations():
            api.router.routes.append(_route(operation, serving.endpoint(operation), shown=False))
    if settings.docs != "off":
        _add_docs(api, serving, public=settings.docs == "public")
    if settings.dashboard:
        _add_dashboard(api)
    return Guard(api)


def make_fastapi(rooms: Rooms | None, endpoint: Callable[[Operation], Any]) -> FastAPI:
    """FastAPI with the operations as routes."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        assert rooms is not None
        async with rooms.app:
            await rooms.bulk.resume()
            try:
                yield
            finally:
                rooms.news.close()
                await rooms.bulk.close()

    api = FastAPI(
        title="Windlass", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False, lifespan=lifespan
    )
    for resource in RESOURCES:
        for operation in resource:
            api.router.routes.append(_route(operation, endpoint(operation)))
    return api


def openapi() -> dict[str, Any]:
    """The OpenAPI document, which is the same for every app."""

    async def nothing(request: Request) -> Response:
        return Response()

    return document(make_fastapi(None, lambda _: nothing), RESOURCES)


class LeanRoute(APIRoute):
    """A route whose endpoint takes the request and gives the response, so that FastAPI has no dependencies to solve and nothing
    to convert: half of what a request costs otherwise (`benchmarks/api.py`)."""

    def __init__(self, path: str, endpoint: Callable[[Request], Awaitable[Response]], **options: Any) -> None:
        super().__init__(path, endpoint, **options)

        async def lean(scope: Scope, receive: Receive, send: Send) -> None:
            await (await endpoint(Request(scope, receive, send)))(scope, receive, send)

        self.app = lean


def _route(operation: Operation, endpoint: Callable[[Request], Any], *, shown: bool = True) -> APIRoute:
    return LeanRoute(
        operation.prefix + operation.path,
        endpoint,
        methods=[operation.method],
        operation_id=operation.name,
        tags=[operation.tag],
        summary=operation.summary,
        description=operation.description,
        status_code=operation.status,
        openapi_extra=extra(operation) if shown else None,
        include_in_schema=shown,
    )


def _add_health(api: FastAPI, app: "Windlass") -> None:
    async def healthz(request: Request) -> Response:
        return _word("ok", 200)

    async def readyz(request: Request) -> Response:
        try:
            await (await app.store()).now()
        except StoreError:
            return _word("store-unavailable", 503)
        return _word("ready", 200)

    for path, endpoint in zip(ANONYMOUS, (healthz, readyz), strict=True):
        api.add_route(path, endpoint, methods=["GET"])


def _add_metrics(api: FastAPI, app: "Windlass", serving: Serving) -> None:
    """What Prometheus scrapes, at the path that it expects; for callers that may read metrics, e.g. by an API key."""

    async def metrics(request: Request) -> Response:
        headers: dict[str, str] = {}
        try:
            await serving.admit(request, Permission.METRICS_READ, headers)
            return Response(await app.prometheus(), 200, headers, "text/plain; version=0.0.4; charset=utf-8")
        except Exception as error:
            return refuse(request, error)

    api.add_route("/metrics", metrics, methods=["GET"])


def _add_dashboard(api: FastAPI) -> None:
    """The dashboard's page and files. They hold nothing of the installation: what they show they ask this API for."""
    from windlass.dashboard.serving import MOUNT, Dashboard, root_of

    async def go(request: Request) -> Response:
        return RedirectResponse(root_of(request) + MOUNT)

    events = any(getattr(route, "path", "") == f"{PREFIX}/events" for route in api.routes)
    dashboard = Dashboard(PREFIX, events=events)
    for path in (MOUNT, f"{MOUNT}/{{path:path}}"):
        api.add_route(path, dashboard.__call__, methods=["GET"])
    api.add_route("/", go, methods=["GET"])


def _add_docs(api: FastAPI, serving: Serving, *, public: bool) -> None:
    """The document and its page. They tell what the API can do, so they are for callers, unless the settings say otherwise."""
    made: dict[str, Any] = {}

    async def admit(request: Request) -> dict[str, Any]:
        if not public:
            await serving.admit(request, Permission.SELF, {})
        if not made:
            made.update(document(api, RESOURCES))
        root = request.scope.get("root_path", "")
        return {**made, "servers": [{"url": root or "/"}]}

    async def show_document(request: Request) -> Response:
        try:
            return Response(msgspec.json.encode(await admit(request)), media_type="application/json")
        except Problem as problem:
            return refuse(request, problem)

    async def show_page(request: Request) -> Response:
        try:
            return HTMLResponse(page(await admit(request)), headers={"Content-Security-Policy": POLICY})
        except Problem as problem:
            return refuse(request, problem)

    api.add_route("/openapi.json", show_document, methods=["GET"])
    api.add_route("/docs", show_page, methods=["GET"])


def _word(status: str, code: int) -> Response:
    return Response(msgspec.json.encode({"status": status}), code, media_type="application/json")


async def _refuse_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code, detail = _CODES.get(error.status_code, ("http", ""))
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    return refuse(request, Problem(error.status_code, code, detail, headers=headers))


def _methods(request: Request) -> set[str]:
    """What an address takes: the methods of the most literal path that matches it."""
    routes: list[Any] = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    literal = max((len(re.sub(r"{.*?}", "", route.path)) for route in routes), default=0)
    found = [route.methods for route in routes if len(re.sub(r"{.*?}", "", route.path)) == literal]
    return set[str]().union(*found)


async def _refuse_any(request: Request, error: Exception) -> Response:
    return refuse(request, error)
