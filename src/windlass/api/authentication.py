"""Who is it? Bearer tokens and keys, the host application's own answer, a browser's session, or, while developing, whoever is
on this machine."""

import ipaddress
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import TypeAlias
from urllib.parse import urlsplit

from starlette.requests import Request

from windlass.api.caller import Caller, Role
from windlass.api.keys import MARK, ApiKeys
from windlass.api.problems import Problem
from windlass.api.rates import Rates
from windlass.api.session import Sessions, check_csrf
from windlass.api.settings import LOOPBACK, ApiSettings
from windlass.api.tokens import InvalidToken, Tokens, seconds_left

HostCallback: TypeAlias = Callable[[Request], Awaitable[Caller | None]]
"""What a host application gives to `app.asgi(authenticate=...)`: its session's caller, or None for nobody."""

_CHALLENGE = 'Bearer realm="windlass"'
_SAFE = ("GET", "HEAD", "OPTIONS")
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


class Authentication:
    """Turns requests into callers. Without a caller there is a 401, for every route that is not health."""

    def __init__(
        self,
        settings: ApiSettings,
        keys: ApiKeys,
        sessions: Sessions,
        host: HostCallback | None = None,
        development: bool = False,
    ) -> None:
        self.sessions = sessions
        self._tokens = Tokens(settings) if settings.takes_tokens else None
        self._keys = keys
        self._host = host
        self._development = development
        self._failures = Rates("failures", settings.failures)
        self._bound = settings.projects == "required"

    async def caller(self, request: Request) -> Caller:
        """The caller, or a `Problem`: 401, or 429 for a peer that has failed too often."""
        header = request.headers.get("authorization")
        if header is not None:
            return await self._by_header(header, peer_of(request))
        caller = await self._host(request) if self._host is not None else None
        if caller is None:
            caller = await self.sessions.caller(request)
            if caller is not None and request.method not in _SAFE:
                check_csrf(request)
        if caller is None and self._development and _is_local(request):
            caller = Caller(user="developer", role=Role.ADMIN)
        if caller is None:
            raise Problem(
                401,
                "unauthenticated",
                "a bearer token or an API key is needed",
                headers={"WWW-Authenticate": _CHALLENGE},
            )
        if request.method not in _SAFE:
            self.require_same_origin(request)
        return caller

    def require_same_origin(self, request: Request) -> None:
        """Refuse what a page of another site has made a browser send."""
        if not _same_origin(request):
            raise Problem(403, "cross-site", "this request comes from another site")

    async def prove(self, credential: str, request: Request) -> tuple[Caller, float | None]:
        """Whom a key or a token stands for, and for how many seconds yet; None where it has no end of its own."""
        caller = await self._by_header(f"Bearer {credential}", peer_of(request))
        return caller, None if credential.startswith(MARK) else seconds_left(credential)

    async def _by_header(self, header: str, peer: str) -> Caller:
        scheme, _, text = header.partition(" ")
        text = text.strip()
        try:
            if scheme.lower() != "bearer" or not text:
                raise InvalidToken("it is no bearer token")
            caller = await self._by_key(text) if text.startswith(MARK) else await self._by_token(text)
            if self._bound and caller.project is None and caller.role is not Role.ADMIN:
                raise InvalidToken("it names no project")
            return caller
        except InvalidToken as error:
            # Only who fails is held back: whoever shares an address with a guesser still gets in. Keys have 256 random bits.
            self._failures.take(peer)
            raise Problem(
                401,
                "invalid-credentials",
                f"the credentials are not accepted: {error}",
                headers={"WWW-Authenticate": f'{_CHALLENGE}, error="invalid_token"'},
            ) from None

    async def _by_key(self, text: str) -> Caller:
        caller = await self._keys.caller(text)
        if caller is None:
            raise InvalidToken("the key is unknown, expired or revoked")
        return caller

    async def _by_token(self, text: str) -> Caller:
        if self._tokens is None:
            raise InvalidToken("tokens are not set up here")
        return await self._tokens.caller(text)


def peer_of(request: Request) -> str:
    """Who is at the other end. Forwarding headers count only as far as the server in front of us was told to trust them. An
    IPv6 subscriber has a whole /64 to come from."""
    return _network(request.client.host if request.client else "?")


@lru_cache(maxsize=4_096)
def _network(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.version == 6:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return host


def _is_local(request: Request) -> bool:
    """Straight from this machine, and asked for by a name of it: a page elsewhere can make a browser send requests here,
    under a name of its own that leads here."""
    host = request.client.host if request.client else ""
    named = urlsplit(f"//{request.headers.get('host', '')}").hostname
    forwarded = any(name in request.headers for name in _FORWARDED)
    return host in LOOPBACK and named in LOOPBACK and not forwarded


def _same_origin(request: Request) -> bool:
    """For callers that a browser authenticates by itself. Programs send neither header."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")
