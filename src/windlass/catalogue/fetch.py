"""The only way in which a handler reads a URL of its input: bounded in bytes and time, public addresses only."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from windlass import WindlassError
from windlass.catalogue.settings import FetchSettings
from windlass.catalogue.storage import FileTooLarge
from windlass.outbound import Outbound

if TYPE_CHECKING:
    import httpx2

_MOVED = (301, 302, 303, 307, 308)
_PART = 1 << 16
_AGENT = "windlass"


class FetchFailed(WindlassError):
    """`url`, `status_code`: the answer was no success. 4xx is permanent, 429 a rate limit, 5xx the provider's fault."""

    code = "fetch-failed"


class TypeRefused(WindlassError, ValueError):
    """`url`, `got`, `allowed`: the answer is of another type than may be read."""

    code = "type-refused"
    retryable = False


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was read. `url`: where it came from in the end. `data` is empty where it went into a file."""

    url: str
    media_type: str
    size: int
    data: bytes = b""


class Fetch:
    """Reads URLs that somebody else chose."""

    def __init__(self, settings: FetchSettings | None = None) -> None:
        self._settings = settings or FetchSettings()
        self.outbound = Outbound(self._settings.allow_private)

    async def read(self, url: str, *, most: int | None = None, types: Sequence[str] = ()) -> Fetched:
        """The whole of a URL. `types`: media types that may be read, such as `image/*`; none means any. Raises
        `AddressRefused`, `FileTooLarge`, `TypeRefused`, `FetchFailed`."""
        parts: list[bytes] = []
        async with self._asked(url, most, types) as (response, limit):
            async for part in _parts(response, limit):
                parts.append(part)
            data = b"".join(parts)
            return Fetched(str(response.url), _type_of(response), len(data), data)

    async def save(self, url: str, path: Path, *, most: int | None = None, types: Sequence[str] = ()) -> Fetched:
        """The same into a file, which is removed again if it fails."""
        size = 0
        try:
            async with self._asked(url, most, types) as (response, limit):
                with path.open("wb") as file:
                    async for part in _parts(response, limit):
                        await asyncio.to_thread(file.write, part)
                        size += len(part)
                return Fetched(str(response.url), _type_of(response), size)
        except BaseException:
            await asyncio.to_thread(path.unlink, missing_ok=True)
            raise

    @asynccontextmanager
    async def _asked(
        self, url: str, most: int | None, types: Sequence[str]
    ) -> "AsyncGenerator[tuple[httpx2.Response, int]]":
        import httpx2

        settings = self._settings
        limit = settings.max_bytes if most is None else min(most, settings.max_bytes)
        timeout = httpx2.Timeout(settings.timeout, connect=min(settings.timeout, 10.0))
        async with (
            asyncio.timeout(settings.timeout),
            httpx2.AsyncClient(transport=self.outbound.transport(), trust_env=False, timeout=timeout) as client,
        ):
            # No compression: a small answer must not become a large one behind the limit.
            headers = {"user-agent": _AGENT, "accept-encoding": "identity"}
            for _ in range(settings.redirects + 1):
                async with client.stream("GET", self.outbound.check_url(url), headers=headers) as response:
                    if response.status_code in _MOVED and "location" in response.headers:
                        url = urljoin(url, response.headers["location"])
                        continue
                    _check(response, url, types, limit)
                    yield response, limit
                    return
            raise FetchFailed(
                f"{url} redirects more than {settings.redirects} times", url=url, status_code=400, mend="give its end"
            )


async def _parts(response: "httpx2.Response", limit: int) -> AsyncIterator[bytes]:
    size = 0
    async for part in response.aiter_raw(_PART):
        size += len(part)
        if size > limit:
            raise FileTooLarge(f"{response.url} has more than {limit:,} bytes", url=str(response.url), limit=limit)
        yield part


def _check(response: "httpx2.Response", url: str, types: Sequence[str], limit: int) -> None:
    if not response.is_success:
        facts = {"url": url, "status_code": response.status_code, "retry_after": response.headers.get("retry-after")}
        raise FetchFailed(f"{url} answered {response.status_code}", **facts)
    if response.headers.get("content-encoding", "identity") != "identity":
        raise TypeRefused(f"{url} is compressed although it was asked for plain", url=url, got="compressed", allowed=[])
    told = response.headers.get("content-length", "")
    if told.isdigit() and int(told) > limit:
        raise FileTooLarge(f"{url} has {int(told):,} bytes; the limit is {limit:,}", url=url, limit=limit)
    got = _type_of(response)
    if types and not any(got == each or (each.endswith("/*") and got.startswith(each[:-1])) for each in types):
        raise TypeRefused(f"{url} is {got}, not {' or '.join(types)}", url=url, got=got, allowed=list(types))


def _type_of(response: "httpx2.Response") -> str:
    return str(response.headers.get("content-type", "")).partition(";")[0].strip().lower() or "application/octet-stream"


__all__ = ["Fetch", "FetchFailed", "Fetched", "TypeRefused"]
