"""The outermost layer: a request id, and the headers that every answer carries, whoever made it."""

import re
import secrets
from collections.abc import MutableMapping
from typing import Any, TypeAlias

from starlette.types import ASGIApp, Receive, Scope, Send

Message: TypeAlias = MutableMapping[str, Any]

_ID = re.compile(rb"[A-Za-z0-9_.\-]{1,100}")
_POLICY = b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
_FIXED: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_UNLESS_SET: tuple[tuple[bytes, bytes], ...] = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", _POLICY),
)


class Guard:
    """Wraps the whole API."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        id = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        if not _ID.fullmatch(id):
            id = secrets.token_hex(8).encode()
        scope["windlass.request_id"] = id.decode()
        added = (*_FIXED, (b"x-request-id", id))
        if scope.get("scheme") == "https":
            added = (*added, (b"strict-transport-security", b"max-age=31536000"))

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", ()))
                names = {name for name, _ in given}
                message["headers"] = [*given, *added, *(pair for pair in _UNLESS_SET if pair[0] not in names)]
            await send(message)

        await self._app(scope, receive, guarded)
