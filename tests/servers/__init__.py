"""Real Redis and PostgreSQL servers for tests: started on demand, on a free loopback port, stopped by pid at exit."""

from tests.servers.postgres import PostgresServer
from tests.servers.process import NoServer, Server
from tests.servers.redis import RedisServer

__all__ = ["NoServer", "PostgresServer", "RedisServer", "Server"]
