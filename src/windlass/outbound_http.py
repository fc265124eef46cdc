"""The httpx transport of `Outbound`: connects to the address that was checked, with the name's own TLS certificate."""

from typing import TYPE_CHECKING

import httpx2

if TYPE_CHECKING:
    import ssl

    from windlass.outbound import Outbound


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
