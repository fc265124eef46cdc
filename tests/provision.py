"""Installs what tests need from the system and the machine lacks, and builds the dashboard; `make test` runs it first.

As a module (`python -m tests.provision`): for a script, `types.py` beside it would stand in for Python's own. It never fails:
where something cannot be had, it says which command gets it, and the tests that need it fail on CI (CI=1) and are listed as
skipped elsewhere. A stamp in .venv makes every further run cost nothing.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
STAMP = ROOT / ".venv" / "provisioned"


class Need(NamedTuple):
    """A program that some tests run: its Debian package, the commands it may be called by, what it is for."""

    package: str
    commands: tuple[str, ...]
    reason: str


NEEDS = (
    Need("chromium", ("chromium", "chromium-browser", "google-chrome"), "the dashboard is tested in a real browser"),
    Need("ffmpeg", ("ffmpeg",), "handlers of the catalogue convert sound and video"),
    Need("espeak-ng", ("espeak-ng",), "handlers of the catalogue speak"),
    Need("clamav-daemon", ("clamd", "clamdscan"), "handlers of the catalogue scan files for viruses"),
)


def main() -> None:
    """Install what is missing, build the dashboard, remember that it was done."""
    asked = "\n".join(need.package for need in NEEDS)
    if not (STAMP.is_file() and STAMP.read_text() == asked):
        _install([need for need in NEEDS if not _found(need)])
        STAMP.write_text(asked)
    _build_dashboard()


def _found(need: Need) -> bool:
    """Daemons live where only root's PATH looks."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    return any(shutil.which(command, path=path) for command in need.commands)


def _install(missing: list[Need]) -> None:
    if not missing:
        return
    packages = [need.package for need in missing]
    install = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    if shutil.which("apt-get") and root:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["apt-get", "update", "-q"], install):
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                _say(f"{' '.join(command)} failed:\n{done.stderr.strip()[-2_000:]}")
    for need in missing:
        if not _found(need):
            _say(
                f"{need.commands[0]} is not here; {need.reason}. On Debian: sudo {' '.join(install[:4])} {need.package}"
            )


def _build_dashboard() -> None:
    import hatch_build

    if shutil.which("node") is None:
        _say("node is not here, so the dashboard is not built: install Node 20.19 or newer, then `make dashboard`")
        return
    try:
        hatch_build.install()  # the browser tests inject one of its packages
        hatch_build.build()
    except subprocess.CalledProcessError as error:
        _say(f"the dashboard could not be built: {' '.join(map(str, error.cmd))} answered {error.returncode}")


def _say(text: str) -> None:
    sys.stderr.write(f"provision: {text}\n")


if __name__ == "__main__":
    main()
