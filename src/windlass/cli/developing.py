"""The process that develops: it starts `windlass serve --worker`, watches the code, and starts it anew."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import webbrowser
from pathlib import Path
from typing import NamedTuple

from windlass.cli.serving import require_api
from windlass.cli.show import note
from windlass.cli.target import Target
from windlass.errors import SettingsError

_GRACE = 15.0
"""Seconds that a server has to leave; its worker gives running jobs back within ten."""
_SLOW = 30.0


_ENDS = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
"""What ends us beside Ctrl-C: an end that was asked for, and a terminal that was closed."""


class Bench(NamedTuple):
    """What to serve on, which folders to watch, whether to start anew on changes, whether to open a browser."""

    port: int
    folders: tuple[Path, ...]
    reload: bool
    browser: bool


def develop(target: Target, bench: Bench) -> None:
    """Serve until interrupted."""
    require_api("dev")
    target.load()  # a name that is wrong is said once, here, not by every restart
    if target.app is None:
        note("no app is loaded, so no job runs here: name yours with -A module:app")
    bench = bench._replace(port=bench.port or _free_port())
    address = f"http://127.0.0.1:{bench.port}/jobs"
    server = Server(target, bench.port)
    for number in _ENDS:  # the server has a session of its own, and would outlive us on our port
        signal.signal(number, _interrupt)
    server.start()
    threading.Thread(target=_greet, args=(address, bench.browser), daemon=True).start()
    try:
        if bench.reload:
            _watch(server, bench.folders)
        server.wait()
    except KeyboardInterrupt:
        pass
    finally:
        server.stop()


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def show(target: Target, bench: Bench) -> None:
    """Serve the showcase, on a store that goes when it ends unless one is named."""
    with tempfile.TemporaryDirectory(prefix="windlass-showcase-") as folder:
        url = target.url or f"sqlite:///{Path(folder) / 'shop.db'}"
        develop(target._replace(app="windlass.showcase:app", url=url), bench)


class Server:
    """The served process, one after the other."""

    def __init__(self, target: Target, port: int) -> None:
        flags = [("-A", target.app), ("--url", target.url), ("--namespace", target.namespace)]
        given = [word for name, value in flags if value is not None for word in (name, value)]
        self._command = [sys.executable, "-m", "windlass", "serve", "--worker", "--port", str(port), *given]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {"WINDLASS_GRACE": "5s", **os.environ, "WINDLASS_LOG_LEVEL": "warning"}
        # A group of its own: an interrupt from the terminal comes to us, and we end it in the orderly way.
        self._process = subprocess.Popen(self._command, env=environment, start_new_session=True)

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def wait(self) -> None:
        if self._process is not None:
            self._process.wait()


def _watch(server: Server, folders: tuple[Path, ...]) -> None:
    try:
        from watchfiles import PythonFilter, watch  # the extra `dev`
    except ImportError as error:
        mend = "pip install 'windlass[dev]', or --no-reload"
        raise SettingsError("watching needs watchfiles, which is not installed", field="watch", mend=mend) from error
    for changes in watch(*folders, watch_filter=PythonFilter(), raise_interrupt=True):
        names = sorted({Path(path).name for _, path in changes})
        note(f"changed: {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}; starting anew")
        server.stop()
        server.start()


def _greet(address: str, browser: bool) -> None:
    """Say where it is, once it is there."""
    end = time.monotonic() + _SLOW
    ready = address.removesuffix("/jobs") + "/readyz"
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(ready, timeout=1):
                break
        except OSError:
            time.sleep(0.05)
    note(f"dashboard: {address}   API: {address.removesuffix('/jobs')}/docs   (Ctrl-C ends it)")
    if browser:
        webbrowser.open(address)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
