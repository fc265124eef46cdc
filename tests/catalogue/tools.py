"""Tools that tests of the catalogue need: absent ones skip with the reason, and fail where CI=1; a clamd of the test's own."""

import asyncio
import contextlib
import hashlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.store.places import chosen_engines, place_for
from tests.worker.kit import ended, working
from windlass import Job, Windlass, catalogue
from windlass.catalogue.settings import CatalogueSettings, FetchSettings, StorageSettings
from windlass.catalogue.storage import Storage, prefix_of
from windlass.presets import ALL

# Assembled at run time: in one piece, scanners on developers' machines would put this file into quarantine.
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}" + b"$EICAR-STANDARD-" + b"ANTIVIRUS-TEST-FILE!$H+H*"

_DEBIAN = {"ffmpeg": "ffmpeg", "ffprobe": "ffmpeg", "espeak-ng": "espeak-ng", "clamd": "clamav-daemon"}


def needs(*names: str) -> Any:
    """A fixture for a whole module: `tools_are_here = needs("ffmpeg")`."""

    @pytest.fixture(autouse=True, scope="module")
    def tools_are_here() -> None:
        need(*names)

    return tools_are_here


def need(*names: str) -> None:
    """Skip the test unless these programs and modules are here; under CI=1 it fails instead."""
    missing = [name for name in names if not _is_here(name)]
    if not missing:
        return
    mend = sorted(
        {f"apt-get install {_DEBIAN[name]}" if name in _DEBIAN else f"pip install {name}" for name in missing}
    )
    reason = f"{', '.join(missing)} not installed ({'; '.join(mend)})"
    if os.environ.get("CI", "") not in ("", "0", "false"):
        pytest.fail(f"CI=1 needs every tool: {reason}", pytrace=False)
    pytest.skip(reason, allow_module_level=True)


def _is_here(name: str) -> bool:
    if name in _DEBIAN:
        return shutil.which(name) is not None or Path(f"/usr/sbin/{name}").exists()
    return importlib.util.find_spec(name) is not None


@contextlib.contextmanager
def running_clamd(folder: Path, stream_limit: str = "5M", port: int = 0) -> Iterator[str]:
    """A clamd with a database of two signatures, EICAR among them; gives its `unix:` address. `port`: it listens there too."""
    database = folder / "db"
    database.mkdir(parents=True)
    (database / "own.hdb").write_text(f"{hashlib.md5(EICAR).hexdigest()}:{len(EICAR)}:Test.Eicar\n")
    (database / "own.ndb").write_text(f"Test.Marker:0:*:{b'WINDLASS-TEST-MARKER'.hex()}\n")
    # A path of a socket may have 107 bytes, and pytest's folders are long.
    place = Path("/tmp") / f"windlass-clamd-{os.getpid()}-{time.monotonic_ns()}.sock"
    config = folder / "clamd.conf"
    config.write_text(
        f"LocalSocket {place}\nDatabaseDirectory {database}\nTemporaryDirectory {folder}\nForeground yes\n"
        f"StreamMaxLength {stream_limit}\nMaxThreads 4\nLogFile {folder / 'clamd.log'}\n"
        + (f"TCPSocket {port}\nTCPAddr 127.0.0.1\n" if port else "")
    )
    program = shutil.which("clamd") or "/usr/sbin/clamd"
    process = subprocess.Popen(
        [program, f"--config-file={config}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _await_socket(process, place)
        yield f"unix:{place}"
    finally:
        process.terminate()
        process.wait(10)
        place.unlink(missing_ok=True)


def _await_socket(process: "subprocess.Popen[bytes]", place: Path) -> None:
    end = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as line:
            line.connect(str(place))
            return
        assert process.poll() is None, f"clamd ended with {process.returncode}"
        assert time.monotonic() < end, "clamd did not open its socket"
        time.sleep(0.005)


ENGINES = [name for name in chosen_engines() if name in ("sqlite-file", "redis")]


class Studio:
    """An app with kinds of the catalogue, a folder as its storage, and a worker that runs."""

    def __init__(self, app: Windlass, families: tuple[str, ...], settings: CatalogueSettings) -> None:
        self.app = app
        self.families = families
        self.settings = settings
        self.handlers = catalogue.install(app, families=families, settings=settings, unready="raise")
        self.storage = Storage.open(settings.storage)

    async def done(self, kind: str, timeout: float = 60.0, **fields: Any) -> Any:
        """Run a job to its end; its result."""
        job = await self.ended(kind, timeout, **fields)
        assert job.state == "completed", f"{job.state}: {job.error or job.reason}"
        return job.result

    async def refused(self, kind: str, timeout: float = 60.0, **fields: Any) -> str:
        """Run a job that is to fail for good at its first attempt; what its error says."""
        job = await self.ended(kind, timeout, **fields)
        assert job.state == "failed", f"{job.state}: {job.result}"
        assert job.error is not None
        assert job.error.category == "permanent", job.error
        assert job.attempt == 1
        return f"{job.error.type}: {job.error.message}"

    async def ended(self, kind: str, timeout: float = 60.0, **fields: Any) -> Job:
        ref = await self.handlers[kind].enqueue(**fields)
        return await ended(self.app, ref.id, timeout)

    async def put(self, name: str, content: bytes | Path, user: str = "ada") -> str:
        """A file in the storage that belongs to a user; its key."""
        return (await self.storage.put(f"{prefix_of('default', user)}{name}", content)).key

    async def read(self, key: str) -> bytes:
        return await self.storage.read(key, 1 << 30)


@contextlib.asynccontextmanager
async def studio(
    engine: str, folder: Path, *families: str, worker: bool = True, **settings: Any
) -> AsyncIterator[Studio]:
    """Kinds of these families with a worker on an engine. `settings`: families of settings, over the environment's."""
    storage = StorageSettings(url=f"file://{folder / 'storage'}")
    given = CatalogueSettings(**({"storage": storage, "fetch": FetchSettings()} | settings))
    with place_for(engine) as place:
        app = Windlass(place.url, namespace=place.namespace, lease=2.0)
        for kind in catalogue.all_kinds().values():  # the presets' rates would make these tests last for minutes
            if kind.family in families:
                app.queue(next((work.queue for work in ALL if work.kind == kind.name), kind.name), concurrency=4)
        async with app, contextlib.AsyncExitStack() as stack:
            made = Studio(app, families, given)
            if worker:
                await stack.enter_async_context(working(app))
            yield made


class WorkerProcess:
    """A worker of a studio in a process of its own, which may be killed; ended by pid with the block."""

    def __init__(self, it: Studio, temporary: Path) -> None:
        code = (
            "import asyncio; from windlass import Windlass, catalogue\n"
            f"app = Windlass({it.app.url!r}, namespace={it.app.namespace!r}, lease=2.0)\n"
            "app.queue('video-processing', concurrency=4)\n"
            f"catalogue.install(app, families={it.families!r}, unready='raise')\n"
            "from windlass.worker.process import run_worker; from windlass.worker.worker import Worker\n"
            "run_worker(lambda: Worker(app, processes=1), app.close)\n"
        )
        environment = {
            **os.environ,
            "TMPDIR": str(temporary),
            "WINDLASS_STORAGE_URL": it.settings.storage.url,
            "PYTHONPATH": str(Path(catalogue.__file__).parents[2]),
        }
        self._process = subprocess.Popen([sys.executable, "-c", code], env=environment)
        self.pid = self._process.pid

    async def __aenter__(self) -> "WorkerProcess":
        return self

    async def __aexit__(self, *_: object) -> None:
        self._process.terminate()
        await asyncio.to_thread(self._process.wait, 20)


@contextlib.asynccontextmanager
async def web(answers: Mapping[str, bytes]) -> AsyncIterator[str]:
    """A web server on this machine with these paths; gives its address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        body = answers.get(path)
        status = "200 OK" if body is not None else "404 Not Found"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body or b'')}\r\nConnection: close\r\n\r\n".encode())
        writer.write(body or b"")
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()
