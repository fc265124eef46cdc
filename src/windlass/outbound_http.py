"""The httpx transport of `Outbound`: connects to the address that was checked, with the name's own TLS certificate."""

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import httpx2

if TYPE_CHECKING:
    import ssl

    from windlass.outbound import Outbound

_SECRET_URL: ContextVar[bool] = ContextVar("windlass-secret-url", default=False)
_CLIENT_LOG = logging.getLogger("httpx2")


@asynccontextmanager
async def unlogged() -> AsyncGenerator[None]:
    """Within, the client's own log does not name the URLs that are asked for: those of webhooks and chats are secrets."""
    token = _SECRET_URL.set(True)
    try:
        yield
    finally:
        _SECRET_URL.reset(token)


def _may_be_logged(record: logging.LogRecord) -> bool:
    return not _SECRET_URL.get()


_CLIENT_LOG.addFilter(_may_be_logged)


class PinnedTransport(httpx2.AsyncBaseTransport):
    """Each request is sent to one of the addresses that its host had when it was checked."""

    def __init__(self, outbound: "Outbound", *, verify: "bool | ssl.SSLContext" = True) -> None:
        self._outbound = outbound
        # Connections are kept by address, and a name's certificate was checked for that name alone: none is used twice.
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
        self._inner = httpx2.AsyncHTTPTransport(verify=verify, trust_env=False, limits=limits)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        host = url.host
        addresses = await self._outbound.resolve(host, url.port or (443 if url.scheme == "https" else 80))
        last: httpx2.ConnectError | None = None
        for address in addresses:
            pinned = httpx2.Request(
                method=request.method,
                url=url.copy_with(host=address),
                headers=request.headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": host},
            )
            try:
                return await self._inner.handle_async_request(pinned)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:  # nothing was sent yet: the next address
                last = error if isinstance(error, httpx2.ConnectError) else httpx2.ConnectError(str(error))
        assert last is not None
        raise last

    async def aclose(self) -> None:
        await self._inner.aclose()
