"""JSON Web Tokens as callers: signatures by PyJWT, under keys that each know the one algorithm they serve, and claims by us.

Every key is bound to its algorithm when it is loaded, by what the key is; a token's header only picks among keys, so a public
key can never be used as an HMAC secret and `none` is nobody's algorithm.
"""

import json
import math
import time
from collections import OrderedDict
from hashlib import sha256
from typing import Any, Literal, NamedTuple, TypeAlias, cast

from jwt import PyJWS
from jwt.exceptions import PyJWTError
from jwt.utils import base64url_decode

from windlass.api.caller import Caller, Role
from windlass.api.jwks import KeySet
from windlass.api.permissions import Permission
from windlass.api.settings import ApiSettings
from windlass.errors import InvalidOption, SettingsError
from windlass.values.queue import check_name

Algorithm: TypeAlias = Literal["HS256", "RS256", "ES256", "EdDSA"]
ALGORITHMS: tuple[Algorithm, ...] = ("HS256", "RS256", "ES256", "EdDSA")
LONGEST_TOKEN = 8_192
REMEMBERED = 15.0
"""Seconds for which a token that was good is not looked at again. Together with `jwks.STALE` less than a minute or so: a key
that was withdrawn opens nothing afterwards."""

_MOST_REMEMBERED = 20_000
_LATEST = 253_402_300_800  # the year 10000


class InvalidToken(Exception):
    """The token opens nothing; the text says why, without anything of it."""


class TokenKey(NamedTuple):
    """A key and the one algorithm it verifies. `kid`: its name, None answers to any."""

    algorithm: Algorithm
    key: Any
    kid: str | None = None


class Tokens:
    """Verifies tokens by the settings' keys."""

    def __init__(self, settings: ApiSettings) -> None:
        self._settings = settings
        self._keys: list[TokenKey] = []
        if settings.jwt_secret:
            self._keys.append(TokenKey("HS256", settings.jwt_secret.encode()))
        if settings.jwt_public_key:
            self._keys.append(_read_pem(settings.jwt_public_key))
        self._set = KeySet(settings.jwks_url) if settings.jwks_url else None
        self._jws = PyJWS(algorithms=list(ALGORITHMS))
        self._remembered: OrderedDict[bytes, tuple[Caller, float]] = OrderedDict()

    async def caller(self, token: str) -> Caller:
        """Whom a token stands for; raises `InvalidToken`."""
        if len(token) > LONGEST_TOKEN or not token.isascii():
            raise InvalidToken("it is too long, or not a token")
        name = sha256(token.encode()).digest()
        known = self._remembered.get(name)
        if known is not None and time.time() < known[1]:
            return known[0]
        claims = await self._verified(token)
        now = time.time()
        until = self._check_times(claims, now)
        self._check_parties(claims)
        caller = self._read_caller(claims)
        self._remembered[name] = (caller, min(until, now + REMEMBERED))
        if len(self._remembered) > _MOST_REMEMBERED:
            self._remembered.popitem(last=False)
        return caller

    async def _verified(self, token: str) -> dict[str, Any]:
        parts = token.split(".")
        if len(parts) != 3:
            raise InvalidToken("it is not a signed token")
        header = _object(parts[0])
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in ALGORITHMS or {"crit", "b64"} & set(header):
            raise InvalidToken("its algorithm is not accepted here")
        if kid is not None and not isinstance(kid, str):
            raise InvalidToken("its key id is no text")
        keys = [*self._keys, *(await self._from_set(kid) if self._set else ())]
        for key in keys:
            if key.algorithm != algorithm or (None not in (kid, key.kid) and kid != key.kid):
                continue
            try:
                self._jws.decode_complete(token, key.key, algorithms=[key.algorithm])
            except (PyJWTError, ValueError):
                continue
            return _object(parts[1])
        raise InvalidToken("its signature does not verify")

    async def _from_set(self, kid: str | None) -> list[TokenKey]:
        assert self._set is not None
        return [TokenKey(cast(Algorithm, name), key, id) for name, key, id in await self._set.keys(kid)]

    def _check_times(self, claims: dict[str, Any], now: float) -> float:
        """Until when it holds."""
        leeway = self._settings.jwt_leeway
        expires = _instant(claims, "exp")
        begins, issued = _instant(claims, "nbf", optional=True), _instant(claims, "iat", optional=True)
        if now >= expires + leeway:
            raise InvalidToken("it has expired")
        if max(begins, issued) > now + leeway:
            raise InvalidToken("it is not valid yet")
        return expires + leeway

    def _check_parties(self, claims: dict[str, Any]) -> None:
        own = self._settings
        if own.jwt_issuer is not None and claims.get("iss") != own.jwt_issuer:
            raise InvalidToken("it is of another issuer")
        audience = claims.get("aud")
        if audience is None and own.jwt_audience is None:
            return
        meant: list[Any] = cast("list[Any]", audience) if isinstance(audience, list) else [audience]
        if own.jwt_audience is None or own.jwt_audience not in meant or not all(isinstance(one, str) for one in meant):
            raise InvalidToken("it is for another audience")

    def _read_caller(self, claims: dict[str, Any]) -> Caller:
        own = self._settings
        role = claims.get(own.jwt_role_claim, Role.USER)
        if not isinstance(role, str) or role not in list(Role):
            raise InvalidToken(f"its {own.jwt_role_claim} is none of {', '.join(Role)}")
        project = None
        if own.jwt_project_claim in claims:
            project = _name(claims, own.jwt_project_claim)
        return Caller(
            user=_name(claims, own.jwt_user_claim),
            role=Role(role),
            project=project,
            scopes=_read_scopes(claims),
            plan=_name(claims, own.jwt_plan_claim) if own.jwt_plan_claim in claims else None,
        )


def _read_pem(text: str) -> TokenKey:
    """What the key is decides its algorithm."""
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(text.encode())
    except ValueError as error:
        raise SettingsError("jwt_public_key cannot be read", field="jwt_public_key", limit="PEM") from error
    if isinstance(key, RSAPublicKey) and key.key_size >= 2_048:
        return TokenKey("RS256", key)
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return TokenKey("ES256", key)
    if isinstance(key, Ed25519PublicKey):
        return TokenKey("EdDSA", key)
    raise SettingsError("jwt_public_key must be RSA (2048 bits or more), P-256 or Ed25519", field="jwt_public_key")


def _object(segment: str) -> dict[str, Any]:
    """A segment's JSON object, each name once."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise InvalidToken("it names something twice")
        return found

    try:
        value = json.loads(base64url_decode(segment.encode()), object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise InvalidToken("it is not a signed token") from error
    if not isinstance(value, dict):
        raise InvalidToken("it is not a signed token")
    return cast("dict[str, Any]", value)


def seconds_left(token: str) -> float:
    """How long a token that was accepted still holds."""
    return max(1.0, _instant(_object(token.split(".")[1]), "exp") - time.time())


def _instant(claims: dict[str, Any], name: str, *, optional: bool = False) -> float:
    value = claims.get(name)
    if value is None and optional and name not in claims:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < _LATEST:
        raise InvalidToken(f"its {name} is not a time")
    if not math.isfinite(value):
        raise InvalidToken(f"its {name} is not a time")
    return float(value)


def _name(claims: dict[str, Any], claim: str) -> str:
    try:
        return check_name(claims.get(claim), claim)
    except InvalidOption:
        raise InvalidToken(f"its {claim} is not a name of 1 to 200 letters, digits and _ . : @ / + -") from None


def _read_scopes(claims: dict[str, Any]) -> frozenset[str] | None:
    """The claim `permissions`: what of its role's rights the token may use; left out, all of them."""
    if "permissions" not in claims:
        return None
    given: Any = claims["permissions"]
    if not isinstance(given, list) or not all(isinstance(one, str) for one in cast("list[Any]", given)):
        raise InvalidToken("its permissions are no list of names")
    return frozenset(cast("list[str]", given)) & frozenset(Permission)
