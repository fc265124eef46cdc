"""One server process of a test run: its folder and port, how it starts, dies and starts again with the same data."""

import atexit
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, ClassVar, Self

START_TIMEOUT = 30.0


class NoServer(RuntimeError):
    """No usable server program was found; the message says what to install or set."""


class Server:
    """A server of our own. `start`, `stop` and `kill` may follow each other in any order; `close` also removes the data."""

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"windlass-test-{self.name}-"))
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()
        atexit.register(self.close)

    @property
    def url(self) -> str:
        raise NotImplementedError

    @property
    def version(self) -> str:
        raise NotImplementedError

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _answers(self) -> bool:
        raise NotImplementedError

    def _run_as(self) -> dict[str, Any]:
        return {}

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def log(self) -> str:
        path = self.folder / "server.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def start(self) -> Self:
        """Run the server and wait until it answers; does nothing when it runs."""
        if self.running:
            return self
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,
                **self._run_as(),
            )
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            if not self.running:
                raise NoServer(f"{self.name} ended with {self.process.returncode}:\n{self.log[-2000:]}")
            if time.monotonic() > deadline:
                self.kill()
                raise NoServer(f"{self.name} did not answer in {START_TIMEOUT:g} s:\n{self.log[-2000:]}")
            time.sleep(0.003)
        return self

    def stop(self) -> None:
        """End it in the orderly way."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """kill -9, as a crash would: nothing is flushed by the server; what the kernel has stays."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let it hang: connections stay open and nothing is answered until `resume`."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def restart(self) -> Self:
        self.stop()
        return self.start()

    def close(self) -> None:
        """Kill it if it runs and remove its folder."""
        if os.getpid() != self._owner:  # a forked child's copy owns nothing
            return
        atexit.unregister(self.close)
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _end(self, how: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None or process.poll() is not None:
            return
        self._deliver(process, how)
        process.wait(START_TIMEOUT)

    def _signal(self, how: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            self._deliver(self.process, how)

    def _deliver(self, process: subprocess.Popen[bytes], how: signal.Signals) -> None:
        process.send_signal(how)


HIGHEST_PORT = 55_535
"""A Redis Cluster node also listens 10,000 ports above its own."""


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port <= HIGHEST_PORT:
            return port


_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """A test run that is killed takes its servers along. Only from the main thread: the signal follows the thread."""
    if _LIBC is not None and threading.current_thread() is threading.main_thread():
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
