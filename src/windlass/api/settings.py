"""The API's own settings: arguments of `app.asgi(...)` win over `WINDLASS_API_...` variables, those over defaults."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypedDict
from urllib.parse import urlsplit

import msgspec

from windlass.declare.suggest import did_you_mean
from windlass.errors import InvalidOption, SettingsError
from windlass.values.clock import Duration, seconds

PREFIX = "WINDLASS_API_"
SHORTEST_SECRET = 32
LONGEST_LEEWAY = 60.0
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Allowance(msgspec.Struct, frozen=True):
    """At most `n` requests in `window` seconds."""

    n: int
    window: float


class ApiSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Who is let in and how much of what. `jwt_public_key`: PEM text, or the file that holds it. `projects` required: a token
    or key that is bound to no project is refused, unless it is an administrator's. `rate`: what one caller may ask.
    `founding`: whether the founding documents' paths answer, beside `/api/v1`. `dashboard`: whether `/jobs` does. `read_only`:
    nobody changes anything through this API, whatever the role."""

    jwt_secret: str | None = None
    jwt_public_key: str | None = None
    jwks_url: str | None = None
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    jwt_leeway: float = 30.0
    jwt_user_claim: str = "sub"
    jwt_role_claim: str = "role"
    jwt_project_claim: str = "project"
    jwt_plan_claim: str = "plan"
    projects: Literal["optional", "required"] = "optional"
    rate: Allowance | None = Allowance(200_000, 60.0)
    failures: Allowance = Allowance(30, 60.0)
    body_limit: int = 2 << 20
    batch_limit: int = 32 << 20
    docs: Literal["authenticated", "public", "off"] = "authenticated"
    founding: bool = True
    dashboard: bool = True
    read_only: bool = False

    def __repr__(self) -> str:
        return "ApiSettings(...)"  # it holds a secret

    @property
    def takes_tokens(self) -> bool:
        """Whether any JWT could be accepted."""
        return bool(self.jwt_secret or self.jwt_public_key or self.jwks_url)


class ApiFlags(TypedDict, total=False):
    """Settings as `app.asgi(...)` takes them; None leaves a setting to the environment."""

    jwt_secret: str | None
    jwt_public_key: str | None
    jwks_url: str | None
    jwt_issuer: str | None
    jwt_audience: str | None
    jwt_leeway: Duration | None
    jwt_user_claim: str | None
    jwt_role_claim: str | None
    jwt_project_claim: str | None
    jwt_plan_claim: str | None
    projects: Literal["optional", "required"] | None
    rate: str | None
    failures: str | None
    body_limit: int | str | None
    batch_limit: int | str | None
    docs: Literal["authenticated", "public", "off"] | None
    founding: bool | Literal["on", "off"] | None
    dashboard: bool | Literal["on", "off"] | None
    read_only: bool | Literal["on", "off"] | None


def load_api_settings(flags: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> ApiSettings:
    """The checked settings; raises `SettingsError`, which never shows a secret."""
    environment = os.environ if environment is None else environment
    found: dict[str, Any] = {
        name.removeprefix(PREFIX).lower(): text
        for name, text in environment.items()
        if name.startswith(PREFIX) and text
    }
    found.update({name: value for name, value in flags.items() if value is not None})
    values: dict[str, Any] = {}
    for name, value in found.items():
        if name not in _READERS:
            raise SettingsError(
                f"unknown setting of the API: {name}{did_you_mean(name, _READERS)}", field=name, limit=sorted(_READERS)
            )
        try:
            values[name] = _READERS[name](value, name)
        except InvalidOption as error:
            raise SettingsError(f"setting {error.message}", **error.facts) from error
    return ApiSettings(**values)


def _text(value: Any, name: str) -> str:
    if isinstance(value, str) and value.strip():
        return value.strip()
    raise _bad(name, "text that is not empty")


def _secret(value: Any, name: str) -> str:
    """HMAC is only as strong as its secret: short and low-entropy ones are guessed offline from one token."""
    if isinstance(value, str) and len(value.strip().encode()) >= SHORTEST_SECRET and len(set(value)) >= 12:
        return value
    raise _bad(name, f"at least {SHORTEST_SECRET} random bytes; make one with: openssl rand -base64 48")


def _public_key(value: Any, name: str) -> str:
    text = _text(value, name)
    if "-----BEGIN" not in text:
        try:
            text = Path(text).read_text("ascii")
        except (OSError, ValueError) as error:
            raise _bad(name, "PEM text, or a file that holds it") from error
    if "PRIVATE KEY" in text or "-----BEGIN" not in text:
        raise _bad(name, "a public key in PEM form")
    return text


def _jwks_url(value: Any, name: str) -> str:
    text = _text(value, name)
    parts = urlsplit(text)
    if parts.hostname and (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)):
        return text
    raise _bad(name, "an https address")


def _leeway(value: Any, name: str) -> float:
    found = seconds(float(value) if isinstance(value, str) and value.isdecimal() else value, name)
    if found <= LONGEST_LEEWAY:
        return found
    raise _bad(name, f"at most {LONGEST_LEEWAY:g} seconds")


def _choice(*choices: str) -> Callable[[Any, str], str]:
    def read(value: Any, name: str) -> str:
        if value in choices:
            return value
        raise _bad(name, "|".join(choices))

    return read


def read_allowance(value: Any, name: str) -> Allowance | None:
    """`100/s`, `6000/m`, `100000/h`, or `off`."""
    if value == "off":
        return None
    count, _, unit = str(value).partition("/")
    windows = {"s": 1.0, "m": 60.0, "h": 3_600.0}
    if count.isdecimal() and unit in windows and 1 <= int(count) <= 10**9:
        return Allowance(int(count), windows[unit])
    raise _bad(name, "such as 6000/m, or off")


def _allowance(value: Any, name: str) -> Allowance:
    found = read_allowance(value, name)
    if found is None:
        raise _bad(name, "such as 30/m")
    return found


def _size(value: Any, name: str) -> int:
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if isinstance(number, int) and not isinstance(number, bool) and 1_024 <= number <= 1 << 30:
        return number
    raise _bad(name, "a number of bytes from 1024 to 1073741824")


def _switch(value: Any, name: str) -> bool:
    if value in (True, "on"):
        return True
    if value in (False, "off"):
        return False
    raise _bad(name, "on|off")


def _bad(name: str, limit: str) -> InvalidOption:
    return InvalidOption(f"{name} must be {limit}", field=name, limit=limit, mend=f"set {PREFIX}{name.upper()}")


_READERS: Mapping[str, Callable[[Any, str], Any]] = {
    "jwt_secret": _secret,
    "jwt_public_key": _public_key,
    "jwks_url": _jwks_url,
    "jwt_issuer": _text,
    "jwt_audience": _text,
    "jwt_leeway": _leeway,
    "jwt_user_claim": _text,
    "jwt_role_claim": _text,
    "jwt_project_claim": _text,
    "jwt_plan_claim": _text,
    "projects": _choice("optional", "required"),
    "rate": read_allowance,
    "failures": _allowance,
    "body_limit": _size,
    "batch_limit": _size,
    "docs": _choice("authenticated", "public", "off"),
    "founding": _switch,
    "dashboard": _switch,
    "read_only": _switch,
}
