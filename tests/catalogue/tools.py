"""Tools that tests of the catalogue need: absent ones skip with the reason, and fail where CI=1; a clamd of the test's own."""

import contextlib
import hashlib
import importlib.util
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

# Assembled at run time: in one piece, scanners on developers' machines would put this file into quarantine.
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}" + b"$EICAR-STANDARD-" + b"ANTIVIRUS-TEST-FILE!$H+H*"

_DEBIAN = {"ffmpeg": "ffmpeg", "ffprobe": "ffmpeg", "espeak-ng": "espeak-ng", "clamd": "clamav-daemon"}


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
    pytest.skip(reason)


def _is_here(name: str) -> bool:
    if name in _DEBIAN:
        return shutil.which(name) is not None or Path(f"/usr/sbin/{name}").exists()
    return importlib.util.find_spec(name) is not None


@contextlib.contextmanager
def running_clamd(folder: Path, stream_limit: str = "5M") -> Iterator[str]:
    """A clamd with a database of two signatures, EICAR among them; gives its `unix:` address."""
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
