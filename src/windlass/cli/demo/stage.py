"""What the demo works on: real files, a few planted ones, and what each job must come to."""

import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from windlass.demo import Facts, checksum, facts, parse, survey, syntax, unsteady
from windlass.errors import InvalidOption
from windlass.job import NewJob
from windlass.priority import Priority

BIG = 60_000
PLANTED = {
    "broken.py": b"def half(:\n    pass\n",
    "nul.py": b"x = 1\x00\n",
    "latin.py": b"name = '\xe4\xf6\xfc'\n",
}


class Task(NamedTuple):
    """One job of the demo: what runs, on which file, how urgent."""

    kind: str
    path: str
    priority: int


def sources(folder: Path | None, most: int | None) -> list[Path]:
    """The `.py` files below `folder` (the standard library's without site-packages), sorted, at most `most`."""
    root = folder or Path(sysconfig.get_paths()["stdlib"])
    if not root.is_dir():
        raise InvalidOption(f"{str(root)!r} is no folder", field="folder", value=str(root), mend="name an existing one")
    found = sorted(
        path for path in root.resolve().rglob("*.py") if "site-packages" not in path.parts and path.is_file()
    )
    if not found:
        raise InvalidOption(
            f"{str(root)!r} holds no .py files", field="folder", value=str(root), mend="name another one"
        )
    step = max(len(found) // most, 1) if most else 1
    return found[::step][:most]


def plant(folder: Path) -> list[Path]:
    """Write files that are not Python into `folder`, and name one that does not exist."""
    for name, data in PLANTED.items():
        (folder / name).write_bytes(data)
    return [*(folder / name for name in PLANTED), folder / "missing.py"]


def tasks(found: Sequence[Path], planted: Sequence[Path]) -> list[Task]:
    """A task per file: the runtimes take turns, every fiftieth fails once; big files last, package fronts first."""
    made = [Task(_kind(index), str(path), _priority(path)) for index, path in enumerate(found)]
    bad = [Task("parse" if path.exists() else "checksum", str(path), Priority.CRITICAL) for path in planted]
    return made + bad


def _kind(index: int) -> str:
    if index % 50 == 7:
        return "unsteady"
    return ("parse", "checksum", "survey")[index % 3]


def _priority(path: Path) -> int:
    if path.name == "__init__.py":
        return Priority.HIGH
    return Priority.LOW if path.stat().st_size > BIG else Priority.NORMAL


def new_jobs(given: Sequence[Task]) -> Iterator[NewJob[Any]]:
    """The jobs to enqueue."""
    handlers = {"parse": parse, "checksum": checksum, "survey": survey, "unsteady": unsteady}
    for task in given:
        yield handlers[task.kind].options(priority=task.priority).job(task.path)


def truth(task: Task) -> Facts | None:
    """What the job must come to, computed here and now without the queue; None: it must die."""
    try:
        return syntax(task.path) if task.kind == "parse" else facts(task.path)
    except (SyntaxError, ValueError, OSError):
        return None
