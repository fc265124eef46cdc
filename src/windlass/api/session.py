"""Sessions of browsers: a credential once, then a cookie that scripts cannot read, and a token that other sites cannot send.

A session is a record in the store under the hash of its secret, so every process of the API knows it, and it ends with what it
was opened by: an API key that is revoked, a token that expires.
"""

import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from windlass.api.caller import Caller
from windlass.api.keys import ApiKeys
from windlass.api.operation import PREFIX
from windlass.api.permissions import Permission, allowed
from windlass.api.problems import Problem, malformed
from windlass.store.protocol import Store
from windlass.values.clock import SECOND
from windlass.values.query import Swap

if TYPE_CHECKING:
    from windlass.api.serving import Serving

SPACE = "api-session"
COOKIE = "windlass_session"
CSRF = "x-windlass-csrf"
PATH = f"{PREFIX}/session"
LASTS = 12 * 3_600
"""Seconds until one has to sign in again; sooner if the token ends sooner."""
LONGEST_CREDENTIAL = 16 << 10
_FRESH = 3.0
"""Seconds after which a session is read from the store again."""
_MOST_KNOWN = 20_000


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A session as it is kept."""

    caller: Caller


_READ = msgspec.json.Decoder(Session)


class SignIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a browser signs in with: an API key, or a JWT."""

    credential: str


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """Who the caller is and what it may do here and now."""

    user: str
    role: str
    project: str | None
    key: str | None
    permissions: list[Permission]


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """How a browser stands. `by`: its `session`, or let in without one (`open`): by the host application, or while developing.
    `csrf`: what changing requests have to send as `X-Windlass-CSRF`."""

    signed_in: bool
    by: str | None = None
    csrf: str | None = None
    read_only: bool = False
    me: Me | None = None


class Sessions:
    """The sessions of one installation."""

    def __init__(self, store: Callable[[], Awaitable[Store]], keys: ApiKeys) -> None:
        self._store = store
        self._keys = keys
        self._known: OrderedDict[str, tuple[Session | None, float]] = OrderedDict()

    async def open(self, caller: Caller, lasts: float) -> str:
        """A new session; its secret."""
        secret = secrets.token_urlsafe(32)
        text = msgspec.json.encode(Session(caller=caller)).decode()
        swap = Swap(space=SPACE, key=_hash(secret), text=text, expect=0, ttl=int(lasts * SECOND))
        await (await self._store()).exchange([swap])
        return secret

    async def caller(self, request: Request) -> Caller | None:
        """Whom the request's cookie stands for; None if it stands for nobody."""
        secret = request.cookies.get(COOKIE)
        session = await self._find(_hash(secret)) if secret else None
        if session is None:
            return None
        caller = session.caller
        if caller.key is not None and not await self._keys.is_live(caller.key):
            return None
        return caller

    async def close(self, secret: str) -> None:
        """End a session; other processes notice within seconds."""
        await (await self._store()).exchange([Swap(space=SPACE, key=_hash(secret), text=None)])
        self._known.pop(_hash(secret), None)

    async def _find(self, key: str) -> Session | None:
        """A session, looked up again after a few seconds: a page asks for many things at once."""
        known = self._known.get(key)
        if known is None or time.monotonic() - known[1] > _FRESH:
            records = await (await self._store()).records(SPACE, [key])
            text = next((record.text for record in records), None)
            known = (None if text is None else _READ.decode(text), time.monotonic())
            self._known[key] = known
            self._known.move_to_end(key)
            if len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)
        return known[0]


def csrf_of(secret: str) -> str:
    """The token that belongs to a session: whoever can read our answers knows it, and other sites cannot."""
    return sha256(f"csrf:{secret}".encode()).hexdigest()


def check_csrf(request: Request) -> None:
    """Refuse a changing request of a session that does not bring its token."""
    given = request.headers.get(CSRF, "")
    if not hmac.compare_digest(given.encode(), csrf_of(request.cookies.get(COOKIE, "")).encode()):
        raise Problem(403, "csrf", "the request does not carry the token of its session", mend="load the page again")


class SessionRoutes:
    """Sign in, sign out, and how one stands; the one place that answers to nobody, and tells nobody anything."""

    def __init__(self, serving: "Serving") -> None:
        self._serving = serving

    async def __call__(self, request: Request) -> Response:
        """Answer a request to `PATH`."""
        from windlass.api.serving import refuse

        try:
            if request.method == "POST":
                return await self._sign_in(request)
            if request.method == "DELETE":
                return await self._sign_out(request)
            return _answer(await self._stand(request))
        except Exception as error:
            return refuse(request, error)

    async def _stand(self, request: Request) -> SessionView:
        try:
            caller = await self._serving.admit(request, Permission.SELF, {})
        except Problem as problem:
            if problem.status != 401:
                raise
            return SessionView(signed_in=False)
        secret = request.cookies.get(COOKIE)
        mine = secret is not None and await self._serving.authentication.sessions.caller(request) == caller
        return self._view(caller, secret if mine else None)

    async def _sign_in(self, request: Request) -> Response:
        from windlass.api.serving import read_text

        authentication = self._serving.authentication
        authentication.require_same_origin(request)
        try:
            asked = msgspec.json.decode(await read_text(request, LONGEST_CREDENTIAL), type=SignIn)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise malformed(error) from None
        caller, left = await authentication.prove(asked.credential.strip(), request)
        lasts = LASTS if left is None else min(LASTS, left)
        secret = await authentication.sessions.open(caller, lasts)
        response = _answer(self._view(caller, secret))
        _set_cookie(request, response, secret, int(lasts))
        return response

    async def _sign_out(self, request: Request) -> Response:
        secret = request.cookies.get(COOKIE)
        if secret:
            self._serving.authentication.require_same_origin(request)
            check_csrf(request)
            await self._serving.authentication.sessions.close(secret)
        response = _answer(SessionView(signed_in=False))
        _set_cookie(request, response, "", 0)
        return response

    def _view(self, caller: Caller, secret: str | None) -> SessionView:
        settings = self._serving.settings
        me = Me(
            user=caller.user,
            role=caller.role,
            project=caller.project,
            key=caller.key,
            permissions=allowed(caller, settings.read_only),
        )
        return SessionView(
            signed_in=True,
            by="open" if secret is None else "session",
            csrf=None if secret is None else csrf_of(secret),
            read_only=settings.read_only,
            me=me,
        )


def _answer(value: Any) -> Response:
    return Response(msgspec.json.encode(value), 200, media_type="application/json")


def _set_cookie(request: Request, response: Response, secret: str, lasts: int) -> None:
    response.set_cookie(
        COOKIE,
        secret,
        max_age=lasts,
        path=request.scope.get("root_path", "") or "/",
        secure=request.scope.get("scheme") == "https",
        httponly=True,
        samesite="strict",
    )


def _hash(secret: str) -> str:
    """A plain hash is enough: the secret has 256 random bits, so there is nothing to guess."""
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
