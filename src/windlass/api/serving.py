"""Serving an operation: the one way from a request to an answer, the same for every route.

Who is it, how much has it asked, may it, what does it ask, has it asked that before: only then the operation's handler runs.
Logs name the route, the caller and the outcome; never a query, a body, a header or an error's text.
"""

import asyncio
import logging
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias, cast

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from windlass.api.authentication import Authentication
from windlass.api.caller import Caller
from windlass.api.idempotency import Begun, Idempotency
from windlass.api.operation import PREFIX, Call, Operation, Reply, Rooms, encode, entity_tag
from windlass.api.permissions import READING, Permission, may
from windlass.api.problems import MEDIA_TYPE, Problem, malformed, misasked, problem_of
from windlass.api.rates import Rates
from windlass.errors import WindlassError
from windlass.values.failure import is_text

log = logging.getLogger("windlass.api")

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]

_JSON = "application/json"
LONGEST_PATH_NAME = 200
LONGEST_BODY = 60.0
"""Seconds that a body may take to arrive: whoever drips it holds a connection and nothing else, but not for ever."""


class Serving:
    """Makes endpoints of operations."""

    def __init__(self, rooms: Rooms, authentication: Authentication) -> None:
        self._rooms = rooms
        self.settings = rooms.settings
        self.authentication = authentication
        rate = rooms.settings.rate
        self._rates = Rates("caller", rate) if rate else None
        self._idempotency = Idempotency(rooms.app.store)

    def endpoint(self, operation: Operation) -> Endpoint:
        """The operation as FastAPI's router calls it."""
        read_body = None if operation.body is None else msgspec.json.Decoder(operation.body).decode
        limit = self._rooms.settings.batch_limit if operation.bulky else self._rooms.settings.body_limit

        async def endpoint(request: Request) -> Response:
            began = time.perf_counter()
            headers: dict[str, str] = {}
            who: list[Caller] = []
            try:
                caller = await self.admit(request, operation.permission, headers)
                who.append(caller)
                text = b"" if operation.method == "GET" else await read_text(request, limit)
                response = await self._answer(operation, read_body, request, caller, text)
            except Exception as error:
                response = refuse(request, error)
            response.headers.update(headers)
            if log.isEnabledFor(logging.INFO):
                took = (time.perf_counter() - began) * 1_000
                actor = who[0].actor if who else "-"
                log.info("%s %s %s %d %.1f ms", actor, operation.method, operation.path, response.status_code, took)
            return response

        return endpoint

    async def admit(self, request: Request, permission: Permission, headers: dict[str, str]) -> Caller:
        """The caller, if it may; `headers` get what the answer says about its allowance."""
        caller = await self.authentication.caller(request)
        if self._rates is not None:
            headers.update(self._rates.headers(*self._rates.take(caller.identity)))
        if not may(caller, permission):
            raise Problem(403, "forbidden", f"this takes the permission {permission}")
        if self.settings.read_only and permission not in READING:
            raise Problem(403, "read-only", "nothing can be changed here", mend="ask an API that is not read-only")
        return caller

    async def _answer(
        self,
        operation: Operation,
        read_body: Callable[[bytes], Any] | None,
        request: Request,
        caller: Caller,
        text: bytes,
    ) -> Response:
        given = _path_of(operation, request)
        query = _query_of(operation, request)
        if query is not None:
            given["query"] = query
        body = _body_of(operation, read_body, request, text)
        if body is not None:
            given["body"] = body
        key = request.headers.get("idempotency-key") if operation.idempotent else None
        if key is None:
            return _respond(operation, request, await operation.handler(Call(self._rooms, request, caller), **given))
        begun = await self._idempotency.begin(caller, f"{operation.method} {request.url.path}", key, text)
        if not isinstance(begun, Begun):
            headers = {**begun.headers, "Idempotency-Replayed": "true"}
            return Response(begun.body.encode(), begun.status, headers, _JSON)
        return await self._once(operation, request, Call(self._rooms, request, caller, begun.entry.seed), given, begun)

    async def _once(
        self, operation: Operation, request: Request, call: Call, given: Mapping[str, Any], begun: Begun
    ) -> Response:
        """Carry out a request under an idempotency key, and remember how it ended."""
        try:
            response = _respond(operation, request, await operation.handler(call, **given))
        except Exception as error:
            problem = _problem_of(error)
            await (self._idempotency.release(begun) if problem.status >= 500 else self._idempotency.forget(begun))
            raise
        kept = {name: response.headers[name] for name in ("location",) if name in response.headers}
        await self._idempotency.keep(begun, response.status_code, kept, bytes(response.body))
        return response


def _path_of(operation: Operation, request: Request) -> dict[str, Any]:
    given: dict[str, Any] = dict(request.path_params)
    # No name is longer, and none holds a NUL or a lone surrogate, about which some stores cannot be asked.
    if any(len(value) > LONGEST_PATH_NAME or "\x00" in value or not is_text(value) for value in given.values()):
        raise Problem(404, "not-found", "there is no such thing")
    return given


def _query_of(operation: Operation, request: Request) -> Any:
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if "\x00" in value:
            raise misasked(msgspec.ValidationError(f"NUL is not allowed - at `$.{name}`"))
        if not (is_text(name) and is_text(value)):
            raise misasked(msgspec.ValidationError("lone surrogates are not allowed"))
        found[name] = f"{found[name]},{value}" if name in found else value
    if operation.query is None and not found:
        return None
    try:
        read = msgspec.convert(found, operation.query or _NoQuery, strict=False)
    except msgspec.ValidationError as error:
        raise misasked(error) from None
    # Nothing is said by leaving a parameter out. Read loosely, the word would pass for a missing time or switch.
    for name, value in found.items():
        if value.lower() == "null" and getattr(read, name, value) is None:
            raise misasked(msgspec.ValidationError(f"null is not allowed - at `$.{name}`"))
    return read if operation.query else None


class _NoQuery(msgspec.Struct, forbid_unknown_fields=True):
    """No parameters at all."""


def _body_of(operation: Operation, read_body: Callable[[bytes], Any] | None, request: Request, text: bytes) -> Any:
    if read_body is None:
        if text and operation.method != "GET":
            raise Problem(400, "unexpected-body", "this takes no body")
        return None
    if not text and not operation.needs_body:
        text = b"{}"
    elif not _is_json(request.headers.get("content-type", "")):
        raise Problem(415, "unsupported-media-type", "the body must be application/json")
    try:
        return read_body(text)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise malformed(error) from None


def _is_json(media: str) -> bool:
    kind = media.partition(";")[0].strip().lower()
    return kind == _JSON or (kind.startswith("application/") and kind.endswith("+json"))


async def read_text(request: Request, limit: int) -> bytes:
    """The body, as long as it is within the limit, whatever its headers claim."""
    claimed = request.headers.get("content-length")
    if claimed is not None and claimed.isdecimal() and int(claimed[:12]) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(LONGEST_BODY):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise _too_large(limit)
                chunks.append(chunk)
    except TimeoutError:
        raise Problem(408, "body-too-slow", "the body did not come in time", headers={"Connection": "close"}) from None
    return b"".join(chunks)


def _too_large(limit: int) -> Problem:
    return Problem(413, "body-too-large", f"the body is larger than {limit:,} bytes", headers={"Connection": "close"})


def _respond(operation: Operation, request: Request, value: Any) -> Response:
    if isinstance(value, Response):
        return value
    status, headers = operation.status, dict[str, str]()
    if isinstance(value, Reply):
        reply = cast("Reply[Any]", value)
        status, headers, value = reply.status or status, dict(reply.headers), reply.value
    body = encode(value)
    if operation.tagged:
        headers["ETag"] = tag = entity_tag(body)
        if operation.method == "GET" and tag in request.headers.get("if-none-match", ""):
            return Response(None, 304, headers)
    return Response(body, status, headers, _JSON)


def refuse(request: Request, error: Exception) -> Response:
    """The problem document of whatever went wrong; what nobody foresaw is logged, by its kind and place only."""
    problem = _problem_of(error)
    if problem.status == 500:
        log.error(
            "%s %s: %s\n%s",
            request.method,
            getattr(request.scope.get("route"), "path", PREFIX),
            type(error).__name__,
            "".join(traceback.format_tb(error.__traceback__)),
        )
    body = problem.document(request.url.path, request.scope.get("windlass.request_id", ""))
    return Response(body, problem.status, problem.headers, MEDIA_TYPE)


def _problem_of(error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, ClientDisconnect):
        return Problem(400, "client-gone", "the request was broken off")
    if isinstance(error, WindlassError):
        return problem_of(error)
    return Problem(500, "internal", "something went wrong here")
