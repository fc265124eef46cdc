"""What the figures were measured on, and how busy it was meanwhile."""

import os
import platform
import tempfile
from pathlib import Path


def facts() -> dict[str, str]:
    return {
        "CPU": f"{os.cpu_count()} x {_field('/proc/cpuinfo', 'model name') or platform.processor()}",
        "Memory": _field("/proc/meminfo", "MemTotal") or "unknown",
        "System": f"{platform.system()} {platform.release()}",
        "Data on": _filesystem(Path(tempfile.gettempdir())),
        "Python": platform.python_version(),
    }


def load() -> str:
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


class Steal:
    """The share of CPU time the hypervisor kept for others since this was made."""

    def __init__(self) -> None:
        self.before = self._ticks()

    def share(self) -> float:
        total, stolen = (now - then for now, then in zip(self._ticks(), self.before, strict=True))
        return stolen / total if total else 0.0

    @staticmethod
    def _ticks() -> tuple[int, int]:
        """All time that was not idle, and what of it was stolen."""
        try:
            ticks = [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
        except OSError:
            return 0, 0
        return sum(ticks[:8]) - ticks[3] - ticks[4], ticks[7]


def _field(path: str, name: str) -> str | None:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return None
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), None)


def _filesystem(folder: Path) -> str:
    """Type and device of the mount that holds the folder."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return "unknown"
    holding = [mount for mount in mounts if folder.resolve().is_relative_to(mount[1])]
    device, _, kind, *_ = max(holding, key=lambda mount: len(mount[1]))
    return f"{kind} ({device})"
