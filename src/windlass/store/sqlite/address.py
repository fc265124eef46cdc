"""Where a SQLite store lives: its URL taken apart, and the namespace as table names."""

import re
from pathlib import Path
from urllib.parse import parse_qsl, unquote

import msgspec

from windlass.errors import InvalidOption, SettingsError
from windlass.values.failure import is_text

TABLES = (
    "job", "tag", "edge", "adrift", "settle", "uniq", "log", "queue", "count", "counter", "worker", "schedule", "audit", "tally",
    "record", "migration", "cut", "revive", "step", "mail", "limit", "meter", "spend", "line", "tie", "turn", "ledger", "news",
    "walk", "front", "past", "spool",
)  # fmt: skip
_DURABILITY = ("off", "normal", "full", "extra")
# Lower case only: SQLite's table names ignore case, so "App" and "app" would share their tables.
_NAMESPACE = re.compile(r"[a-z0-9][a-z0-9_.\-]{0,62}")


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """`path` is None for a database in memory. `synchronous`: how much a commit waits for the disk. `timeout`: seconds that
    a write waits for other processes. `cache`: mebibytes of pages the write connection keeps."""

    path: str | None
    synchronous: str = "normal"
    timeout: float = 30.0
    cache: int = 64


def read_url(url: str) -> Address:
    """`sqlite://:memory:`, `sqlite:///relative.db`, `sqlite:////absolute.db`, with `?synchronous=full&timeout=30&cache=64`."""
    rest, _, query = url.partition("://")[2].partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(set(options) - {"synchronous", "timeout", "cache"})
    if unknown:
        raise _bad(url, f"has unknown options {unknown}", "use synchronous, timeout or cache")
    synchronous = options.get("synchronous", "normal").lower()
    if synchronous not in _DURABILITY:
        raise _bad(url, f"has synchronous={synchronous!r}", f"use one of {', '.join(_DURABILITY)}")
    try:
        timeout, cache = float(options.get("timeout", "30")), int(options.get("cache", "64"))
    except ValueError:
        raise _bad(
            url, "has a timeout or cache that is no number", "use timeout=30 (seconds), cache=64 (MiB)"
        ) from None
    return Address(path=_path(url, rest), synchronous=synchronous, timeout=timeout, cache=cache)


def _path(url: str, rest: str) -> str | None:
    if rest in (":memory:", "/:memory:"):
        return None
    if "\x00" in unquote(rest) or not is_text(rest):
        raise _bad(url, "names a file that no file system can hold", "leave NUL and lone surrogates out")
    if not rest.startswith("/") or len(rest) < 2:
        raise _bad(url, "names no file", "write sqlite:///relative.db, sqlite:////absolute.db or sqlite://:memory:")
    return str(Path(unquote(rest[1:])).absolute())


def _bad(url: str, what: str, mend: str) -> SettingsError:
    return SettingsError(f"the store URL {url!r} {what}", field="url", value=url, mend=mend)


def names(namespace: str) -> dict[str, str]:
    """What `{job}`, `{tag}`, ... and `{ns}` stand for in the statements of a namespace."""
    if not _NAMESPACE.fullmatch(namespace):
        raise InvalidOption(
            f"namespace is {namespace!r}; it must be 1 to 63 lower case letters, digits, _ . or -",
            field="namespace",
            value=repr(namespace)[:100],
            limit="[a-z0-9][a-z0-9_.-]*",
            mend="rename it",
        )
    return {table: f'"{namespace}_{table}"' for table in TABLES} | {"ns": namespace}
