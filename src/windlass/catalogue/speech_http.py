"""Speech services by HTTP, ElevenLabs and OpenAI-compatible: what is asked, and what their refusals mean for the job."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from windlass import Category, SettingsError, WindlassError

if TYPE_CHECKING:
    import httpx2

_CONNECT = 10.0
_LARGEST = 100 << 20
_QUOTA = ("insufficient_quota", "quota_exceeded", "billing_hard_limit_reached", "credit balance is too low")
"""Words for: no money left. Waiting does not help; another provider does."""


class NotSetUp(SettingsError):
    """Nobody here can do it: what `mend` says is missing. The job waits among the dead letters for that."""

    code = "not-set-up"
    retryable = False


class ServiceRefused(WindlassError):
    """`provider`, `status`, `category`, `retry_after`: a speech service's answer was no success."""

    code = "service-refused"


class BadAnswer(WindlassError):
    """`provider`: a success that cannot be what was asked for."""

    code = "bad-answer"
    category = "provider"


class Service(msgspec.Struct, frozen=True):
    """A service and how it is reached. `sole`: there is no other one to go to."""

    name: str
    base_url: str
    headers: Mapping[str, str]
    timeout: float = 120.0
    sole: bool = False

    async def speech(self, path: str, body: Mapping[str, Any], params: Mapping[str, str], into: Path) -> None:
        """POST and write the sound that comes back."""
        async with _client(self) as client:
            try:
                async with client.stream("POST", path, json=dict(body), params=dict(params)) as response:
                    await self._check(response)
                    await self._save(response, into)
            except _transport_errors() as error:
                raise self._unreachable(error) from error

    async def transcript(self, path: str, fields: Mapping[str, Any], file: Path) -> dict[str, Any]:
        """POST a file with fields as a form; the JSON that comes back."""
        with file.open("rb") as sound:
            async with _client(self) as client:
                try:
                    response = await client.post(path, data=dict(fields), files={"file": (file.name, sound)})
                    await self._check(response)
                except _transport_errors() as error:
                    raise self._unreachable(error) from error
        return self._object(response.content)

    async def answer(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """POST JSON; the JSON that comes back."""
        async with _client(self) as client:
            try:
                response = await client.post(path, json=dict(body))
                await self._check(response)
            except _transport_errors() as error:
                raise self._unreachable(error) from error
        return self._object(response.content)

    def _object(self, content: bytes) -> dict[str, Any]:
        try:
            return msgspec.json.decode(content, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise BadAnswer(f"{self.name} answered no JSON object", provider=self.name) from error

    async def _save(self, response: "httpx2.Response", into: Path) -> None:
        size = 0
        with into.open("wb") as file:
            async for part in response.aiter_bytes():
                size += len(part)
                if size > _LARGEST:
                    raise BadAnswer(f"{self.name} sends more than {_LARGEST:,} bytes", provider=self.name)
                file.write(part)
        if not size:
            raise BadAnswer(f"{self.name} answered without any sound", provider=self.name)

    async def _check(self, response: "httpx2.Response") -> None:
        if response.is_success:
            return
        status, text = response.status_code, (await response.aread())[:2000].decode("utf-8", "replace")
        raise ServiceRefused(
            f"{self.name} answered {status}: {_reason(text)}",
            provider=self.name,
            status=status,
            category=str(self._category(status, text)),
            retry_after=response.headers.get("retry-after"),
        )

    def _category(self, status: int, text: str) -> Category:
        if any(word in text for word in _QUOTA):
            return Category.PROVIDER
        if status == 429:
            return Category.RATE_LIMIT
        if status in (401, 403):  # our key: the fault of who set it up, not of the job
            return Category.PERMANENT if self.sole else Category.PROVIDER
        return Category.PERMANENT if 400 <= status < 500 and status != 408 else Category.PROVIDER

    def _unreachable(self, error: Exception) -> ServiceRefused:
        return ServiceRefused(
            f"{self.name} cannot be reached: {type(error).__name__}: {error}",
            provider=self.name,
            status=None,
            category=str(Category.PROVIDER),
            retry_after=None,
        )


def _client(service: Service) -> "httpx2.AsyncClient":
    import httpx2

    timeout = httpx2.Timeout(service.timeout, connect=_CONNECT)
    return httpx2.AsyncClient(base_url=service.base_url, headers=dict(service.headers), timeout=timeout)


def _transport_errors() -> type[Exception]:
    import httpx2

    return httpx2.TransportError


def _reason(text: str) -> str:
    """What the service says for people, in its own shape or as it is."""
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text[:300]
    for path in (("error", "message"), ("detail", "message"), ("detail",), ("message",)):
        value: Any = found
        for name in path:
            value = cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else None
        if isinstance(value, str):
            return value[:300]
    return text[:300]
