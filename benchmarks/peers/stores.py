"""The stores under test: one server of each kind for all its peers, emptied before every phase."""

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import psycopg
import redis
from tests.servers import PostgresServer, RedisServer

from benchmarks.peers.catalogue import Engine


class Store(Protocol):
    @property
    def url(self) -> str: ...

    @property
    def facts(self) -> dict[str, str]: ...

    def empty(self) -> None:
        """Begin a phase with nothing stored and nothing left to do for the phase before."""
        ...

    def used(self) -> int:
        """Bytes in use: memory for Redis, disk for the others."""
        ...

    def count(self, sql: str) -> int: ...

    def close(self) -> None: ...


class RedisStore:
    def __init__(self) -> None:
        self.server = RedisServer().start()
        self.client = redis.Redis.from_url(self.server.url)

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def facts(self) -> dict[str, str]:
        info = self.client.info()
        return {
            "Redis": f"{info['redis_version']}, allocator {info['mem_allocator']}, appendonly yes, appendfsync everysec"
        }

    def empty(self) -> None:
        """The append-only file is rewritten now, so that no rewrite of old data falls into the next measurement."""
        self.client.flushall()
        self._rest()  # one that the last phase's writes began
        self.client.bgrewriteaof()
        self._rest()
        self.client.config_resetstat()

    def _rest(self) -> None:
        while self._rewriting():
            time.sleep(0.01)

    def _rewriting(self) -> bool:
        state = self.client.info("persistence")
        return bool(state["aof_rewrite_in_progress"] or state["aof_rewrite_scheduled"])

    def used(self) -> int:
        return self.client.info("memory")["used_memory"]

    def count(self, sql: str) -> int:
        raise NotImplementedError(f"Redis answers no SQL: {sql}")

    def close(self) -> None:
        self.client.close()
        self.server.close()


class PostgresStore:
    def __init__(self) -> None:
        self.server = PostgresServer(shared_buffers="256MB").start()
        self.admin = psycopg.connect(self.server.url, autocommit=True)

    @property
    def url(self) -> str:
        return self.server.url.rsplit("/", 1)[0] + "/bench"

    @property
    def facts(self) -> dict[str, str]:
        names = ("fsync", "synchronous_commit", "shared_buffers", "max_connections")
        shown = ", ".join(f"{name} {self.admin.execute(f'SHOW {name}').fetchone()[0]}" for name in names)  # type: ignore[index]
        return {"PostgreSQL": f"{self.server.version}, {shown}"}

    def empty(self) -> None:
        self.admin.execute("DROP DATABASE IF EXISTS bench WITH (FORCE)")
        self.admin.execute("CREATE DATABASE bench")
        self.admin.execute("CHECKPOINT")

    def used(self) -> int:
        return self.admin.execute("SELECT pg_database_size('bench')").fetchone()[0]  # type: ignore[index]

    def count(self, sql: str) -> int:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(sql).fetchone()[0]  # type: ignore[index, arg-type]

    def close(self) -> None:
        self.admin.close()
        self.server.close()


class SqliteStore:
    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="windlass-bench-sqlite-"))

    @property
    def path(self) -> Path:
        return self.folder / "bench.db"

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    @property
    def facts(self) -> dict[str, str]:
        return {"SQLite (Python's)": sqlite3.sqlite_version}

    def empty(self) -> None:
        shutil.rmtree(self.folder)
        self.folder.mkdir()

    def used(self) -> int:
        return sum(path.stat().st_size for path in self.folder.iterdir())

    def count(self, sql: str) -> int:
        with sqlite3.connect(self.path) as connection:
            return connection.execute(sql).fetchone()[0]

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


OPENERS: dict[Engine, Callable[[], Store]] = {"redis": RedisStore, "postgres": PostgresStore, "sqlite": SqliteStore}
