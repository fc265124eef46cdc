"""Where a run's store lives: an own server that can be killed and started again, or a file."""

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from tests.servers import PostgresServer, RedisServer
from tests.servers.process import Server

ENGINES = ("sqlite-file", "redis", "redis-everysec", "postgres")
EVERYSEC = 2.0
"""Redis with `appendfsync everysec` writes to its file before it answers, unless an fsync is still under way: then it may
hold back what came in the last two seconds. A killed process loses at most that."""


class Ground:
    """The store of one run. `server` is None where workers open a file themselves."""

    def __init__(self, engine: str, server: Server | None, url: str) -> None:
        self.engine = engine
        self.server = server
        self.url = url
        self.may_lose = EVERYSEC if engine == "redis-everysec" else 0.0

    @property
    def is_redis(self) -> bool:
        return isinstance(self.server, RedisServer)

    def url_through(self, port: int) -> str:
        """The same store by way of a proxy."""
        return self.url if self.server is None else self.url.replace(f":{self.server.port}/", f":{port}/")

    async def forget_scripts(self) -> None:
        """SCRIPT FLUSH; a server that is away has forgotten them anyway."""

        def flush() -> None:
            assert self.server is not None
            with contextlib.suppress(redis.RedisError), redis.Redis(port=self.server.port) as client:
                client.script_flush()

        await asyncio.to_thread(flush)


@contextmanager
def ground_for(engine: str, folder: Path) -> Iterator[Ground]:
    """An own store: these servers are killed, so nobody else may use them."""
    if engine == "sqlite-file":
        yield Ground(engine, None, f"sqlite:///{folder / 'jobs.db'}")
        return
    options = ("--appendfsync", "everysec" if engine == "redis-everysec" else "always")
    with PostgresServer() if engine == "postgres" else RedisServer(*options) as server:
        yield Ground(engine, server, server.url)
