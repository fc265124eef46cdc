"""What the demo works on: real files, a few planted ones, and what each job must come to."""

import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from windlass.demo.files import Facts, arriving, checksum, facts, parse, survey, syntax, unsteady
from windlass.errors import InvalidOption
from windlass.values.job import NewJob
from windlass.values.priority import Priority

BIG = 60_000
LATE = "late.py"
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


def tasks(found: Sequence[Path], folder: Path) -> list[Task]:
    """A task per file: the runtimes take turns, every fiftieth fails once; big files last, package fronts first. Beside
    them, in `folder`: files that are not Python, one that never is there, and one that arrives after the crash."""
    for name, data in PLANTED.items():
        (folder / name).write_bytes(data)
    made = [Task(_kind(index), str(path), _priority(path)) for index, path in enumerate(found)]
    bad = [("parse", name) for name in PLANTED] + [("checksum", "missing.py"), ("arriving", LATE)]
    return made + [Task(kind, str(folder / name), Priority.CRITICAL) for kind, name in bad]


def deliver(given: Sequence[Task]) -> None:
    """Let the late file arrive, whole at once."""
    late = Path(next(task.path for task in given if task.kind == "arriving"))
    late.with_suffix(".part").write_text("arrived = True\n")
    late.with_suffix(".part").rename(late)


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
    handlers = {handler.kind: handler for handler in (parse, checksum, survey, unsteady, arriving)}
    for task in given:
        yield handlers[task.kind].options(priority=task.priority).job(task.path)


def truth(task: Task) -> Facts | None:
    """What the job must come to, computed here and now without the queue; None: it must die."""
    try:
        return syntax(task.path) if task.kind == "parse" else facts(task.path)
    except (SyntaxError, ValueError, OSError):
        return None
