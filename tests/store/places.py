"""Where each engine's stores live during tests; the only file here that knows engines by name."""

import functools
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.servers import PostgresServer, RedisServer
from tests.store.kit import Place

ENGINES = {
    "sqlite-file": "windlass.store.sqlite.engine",
    "sqlite-memory": "windlass.store.sqlite.engine",
    "redis": "windlass.store.redis.engine",
    "postgres": "windlass.store.postgres.engine",
}

_numbers = itertools.count(1)


@contextmanager
def place_for(engine: str) -> Iterator[Place]:
    """A place that nothing else uses."""
    # One database may serve several pytest processes when a server was given from outside.
    namespace = f"t{os.getpid()}x{next(_numbers)}"
    if engine == "sqlite-file":
        with TemporaryDirectory(prefix="windlass-test-") as folder:
            yield Place(f"sqlite:///{Path(folder) / 'jobs.db'}", "windlass", crosses_processes=True)
    elif engine == "sqlite-memory":
        yield Place("sqlite://:memory:", "windlass", crosses_processes=False)
    elif engine == "redis":
        yield Place(redis().url, namespace, crosses_processes=True)
    else:
        yield Place(postgres().url, namespace, crosses_processes=True)


@functools.cache
def redis() -> RedisServer:
    """This test process's Redis, started at its first use."""
    return RedisServer().start()


@functools.cache
def postgres() -> PostgresServer:
    return PostgresServer().start()
