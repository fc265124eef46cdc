"""Real Redis and PostgreSQL servers for tests: started on demand, on a free loopback port, stopped by pid at exit."""

from tests.servers.postgres import PostgresServer, find_postgres, postgres_version
from tests.servers.process import NoServer, Server
from tests.servers.redis import RedisServer, find_redis, redis_version


def versions() -> list[str]:
    """Which servers the tests will start, for the head of a test report; nothing is started to tell it."""
    lines: list[str] = []
    for name, find, version in (("redis", find_redis, redis_version), ("postgres", find_postgres, postgres_version)):
        try:
            program = find()
            lines.append(f"test server: {name} {version(program)} ({program})")
        except NoServer as missing:
            lines.append(f"test server: {missing}")
    return lines


__all__ = ["NoServer", "PostgresServer", "RedisServer", "Server", "versions"]
