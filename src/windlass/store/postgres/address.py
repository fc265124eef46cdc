"""Where a PostgreSQL store lives: its URL taken apart, and the namespace as a schema."""

import re
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import msgspec

from windlass.errors import InvalidOption, SettingsError

_OURS = ("pooler", "pool")
_NAMESPACE = re.compile(r"[a-z0-9_][a-z0-9_.\-]{0,47}")


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """`dsn` is what the driver gets. `pooler`: a transaction-mode pooler stands between (no prepared statements, no LISTEN,
    no settings per connection). `pool`: the most connections that this handle opens for statements."""

    dsn: str
    shown: str
    pooler: bool = False
    pool: int = 6


def read_url(url: str) -> Address:
    """`postgresql://user:password@host:port/database`, libpq's options, and ours: `?pooler=transaction&pool=6`."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    pooler = options.get("pooler", "none")
    if pooler not in ("none", "session", "transaction"):
        raise _bad(f"pooler is {pooler!r}", "use pooler=transaction, or leave it out")
    size = options.get("pool", "6")
    if not size.isdigit() or not 1 <= int(size) <= 100:
        raise _bad(f"pool is {size!r}", "use pool=1 to pool=100")
    rest = urlencode({key: value for key, value in options.items() if key not in _OURS}, quote_via=quote)
    dsn = urlunsplit(("postgresql", parts.netloc, parts.path, rest, ""))
    user, at, host = parts.netloc.rpartition("@")
    netloc = f"{user.partition(':')[0]}{at}{host}"
    kept = urlencode({key: value for key, value in options.items() if key != "password"}, quote_via=quote)
    return Address(
        dsn=dsn,
        shown=urlunsplit((parts.scheme, netloc, parts.path, kept, "")),
        pooler=pooler == "transaction",
        pool=int(size),
    )


def check_namespace(namespace: str) -> str:
    """A namespace is a schema: its name must leave room for channel names within PostgreSQL's 63 bytes."""
    if not _NAMESPACE.fullmatch(namespace) or namespace.startswith("pg_"):
        raise InvalidOption(
            f"namespace is {namespace!r}; it must be 1 to 48 lower case letters, digits, _ . or -, not beginning with pg_",
            field="namespace",
            value=repr(namespace)[:100],
            limit="[a-z0-9_][a-z0-9_.-]*",
            mend="rename it",
        )
    return namespace


def _bad(what: str, mend: str) -> SettingsError:
    return SettingsError(f"the store URL's {what}", field="url", mend=mend)
