"""Facts about this machine and what is installed, for `version`, `bench` and `demo`."""

import os
import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path

_PACKAGES = ("apsw", "redis", "hiredis", "asyncpg", "msgspec", "uvloop")


def versions() -> dict[str, str | None]:
    """Versions by name; None for a driver that is not installed."""
    found: dict[str, str | None] = {"windlass": installed("windlass"), "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = installed(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def cores() -> int:
    """The processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def filesystem(folder: Path) -> str:
    """The type of file system a folder is on, e.g. `ext4`; empty if unknown."""
    import psutil

    best = ("", "")
    where = str(folder.resolve())
    for part in psutil.disk_partitions(all=True):
        inside = part.mountpoint == "/" or where == part.mountpoint or where.startswith(part.mountpoint + "/")
        if inside and len(part.mountpoint) > len(best[0]):
            best = (part.mountpoint, part.fstype)
    return best[1]


def facts() -> dict[str, str | int]:
    """The machine in a few words."""
    import psutil

    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": platform.machine(),
        "cores": cores(),
        "memory_mb": psutil.virtual_memory().total // 1_000_000,
    }
