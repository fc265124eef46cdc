"""Stores: `open_store(url)` picks the engine by the URL's scheme and imports only that one."""

from importlib import import_module

from windlass.errors import SettingsError
from windlass.store.protocol import Store

_ENGINES = {
    "sqlite": ("windlass.store.sqlite.engine", "SqliteStore", "windlass"),
    "redis": ("windlass.store.redis.engine", "RedisStore", "windlass[redis]"),
    "rediss": ("windlass.store.redis.engine", "RedisStore", "windlass[redis]"),
    "unix": ("windlass.store.redis.engine", "RedisStore", "windlass[redis]"),
    "valkey": ("windlass.store.redis.engine", "RedisStore", "windlass[redis]"),
    "postgresql": ("windlass.store.postgres.engine", "PostgresStore", "windlass[postgres]"),
    "postgres": ("windlass.store.postgres.engine", "PostgresStore", "windlass[postgres]"),
}


def open_store(url: str, namespace: str = "windlass") -> Store:
    """An unopened store for `url`. Schemes: sqlite, redis(s), redis+sentinel, redis+cluster, unix, valkey, postgresql.

    Raises `SettingsError` for another scheme, or naming the extra to install when its driver is missing.
    """
    scheme = url.partition("://")[0].partition("+")[0].lower() if "://" in url else ""
    if scheme not in _ENGINES:
        raise SettingsError(
            f"the store URL {url.partition('@')[2] or url!r} has no known scheme",
            field="url",
            limit=sorted(_ENGINES),
            mend="use sqlite:///jobs.db, redis://host/0 or postgresql://host/db",
        )
    module, name, extra = _ENGINES[scheme]
    try:
        engine = getattr(import_module(module), name)
    except ModuleNotFoundError as missing:
        if missing.name and missing.name.startswith("windlass"):
            raise
        raise SettingsError(
            f"the {scheme} store needs the package {missing.name!r}, which is not installed",
            field="url",
            mend=f"pip install '{extra}'",
        ) from missing
    return engine(url, namespace)


__all__ = ["Store", "open_store"]
