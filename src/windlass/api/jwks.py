"""A JSON Web Key Set behind an address: fetched off the event loop, kept for less than a minute, refreshed before it is stale."""

import asyncio
import json
import logging
import time
import urllib.request
from typing import Any, NamedTuple, cast

from jwt import PyJWK
from jwt.exceptions import PyJWTError

log = logging.getLogger("windlass.api")

FRESH = 20.0
"""Seconds after which a set is fetched again while the old one still serves."""
STALE = 45.0
"""Seconds after which it serves no more, so that a key that was withdrawn opens nothing for long."""
UNKNOWN_EVERY = 5.0
"""Between two fetches for a key id that the set does not have, or anybody could make us ask all the time."""

_LARGEST = 1 << 20
_PATIENCE = 5.0
_KINDS: dict[tuple[Any, Any], str] = {("RSA", None): "RS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}


class SetKey(NamedTuple):
    """One key: the algorithm it serves, the key, its id."""

    algorithm: str
    key: Any
    id: str | None


class KeySet:
    """The keys of one address. An address that does not answer leaves the last set until it is stale."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: list[SetKey] = []
        self._read_at = -STALE
        self._asked_at = -STALE
        self._fetching: asyncio.Task[None] | None = None

    async def keys(self, kid: str | None) -> list[SetKey]:
        """The keys as they are now, fetched if need be; empty if there are none to be had."""
        age = time.monotonic() - self._read_at
        unknown = kid is not None and all(key.id != kid for key in self._keys)
        since = time.monotonic() - self._asked_at
        if age > STALE or (unknown and since > UNKNOWN_EVERY):
            await asyncio.shield(self._fetch())
        elif age > FRESH and since > UNKNOWN_EVERY:
            self._fetch()
        return self._keys if time.monotonic() - self._read_at <= STALE else []

    def _fetch(self) -> asyncio.Task[None]:
        """One fetch at a time, however many requests wait for it."""
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._refresh(), name="windlass-jwks")
        return self._fetching

    async def _refresh(self) -> None:
        self._asked_at = time.monotonic()
        try:
            self._keys = read_set(await asyncio.to_thread(_download, self._url))
            self._read_at = time.monotonic()
        except (OSError, ValueError, RecursionError) as error:
            log.warning("the key set at %s cannot be read: %s", self._url, type(error).__name__)


def read_set(text: bytes) -> list[SetKey]:
    """The keys of a set that can sign; symmetric ones and other kinds are passed over. Raises ValueError."""
    found: Any = json.loads(text)
    if not isinstance(found, dict) or not isinstance(cast("dict[str, Any]", found).get("keys"), list):
        raise ValueError("it is no key set")
    keys: list[SetKey] = []
    for each in cast("list[Any]", cast("dict[str, Any]", found)["keys"]):
        key = _read_key(cast("dict[str, Any]", each)) if isinstance(each, dict) else None
        if key is not None:
            keys.append(key)
    return keys


def _read_key(given: dict[str, Any]) -> SetKey | None:
    kind = given.get("kty")
    curve = None if kind == "RSA" else given.get("crv")
    algorithm = _KINDS.get((kind, curve)) if isinstance(kind, str) and isinstance(curve, str | None) else None
    if algorithm is None or given.get("alg", algorithm) != algorithm or given.get("use", "sig") != "sig":
        return None
    id = given.get("kid")
    try:
        return SetKey(algorithm, PyJWK(given, algorithm).key, id if isinstance(id, str) else None)
    except (
        PyJWTError,
        ValueError,
        TypeError,
        KeyError,
    ):  # one key that cannot be read must not close the door to the others
        return None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Keys come from the address that was configured, or not at all."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def _download(url: str) -> bytes:
    opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, headers={"Accept": "application/json"})
    with opener.open(request, timeout=_PATIENCE) as answer:
        text = cast(bytes, answer.read(_LARGEST + 1))
    if len(text) > _LARGEST:
        raise ValueError("it is too large")
    return text
