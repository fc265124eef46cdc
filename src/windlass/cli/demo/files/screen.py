"""What the demo shows while it runs: a live bar on a terminal, a line a second elsewhere."""

import sys
import time
from collections.abc import Mapping
from typing import Any, Protocol

from windlass.values.states import FINAL, State


class Screen(Protocol):
    """Where the demo tells how far it is."""

    def say(self, text: str) -> None:
        """A line that stays."""
        ...

    def show(self, counts: Mapping[State, int]) -> None:
        """The jobs per state right now."""
        ...

    def close(self) -> None: ...


class Silent:
    """For `-o json`: nothing but the report at the end."""

    def say(self, text: str) -> None:
        pass

    def show(self, counts: Mapping[State, int]) -> None:
        pass

    def close(self) -> None:
        pass


class Lines:
    """A line a second."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._next = 0.0

    def say(self, text: str) -> None:
        print(text, flush=True)

    def show(self, counts: Mapping[State, int]) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + 1
            print(f"  {_ended(counts):>5} of {self._total}  {_described(counts)}", flush=True)

    def close(self) -> None:
        pass


class Bar:
    """A bar that moves, with the states under it."""

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns: list[Any] = [
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
        ]
        self._progress = Progress(*columns, console=Console(highlight=False), transient=True)
        self._task = self._progress.add_task("", total=total)
        self._progress.start()

    def say(self, text: str) -> None:
        self._progress.console.print(text, markup=False)

    def show(self, counts: Mapping[State, int]) -> None:
        self._progress.update(self._task, completed=_ended(counts), description=_described(counts))

    def close(self) -> None:
        self._progress.stop()


def screen(total: int, quiet: bool) -> Screen:
    """The screen for this stdout."""
    if quiet:
        return Silent()
    return Bar(total) if sys.stdout.isatty() else Lines(total)


def _ended(counts: Mapping[State, int]) -> int:
    return sum(counts.get(state, 0) for state in FINAL)


def _described(counts: Mapping[State, int]) -> str:
    shown = (State.WAITING, State.ACTIVE, State.RETRYING, State.FAILED)
    return "  ".join(f"{counts[state]} {state}" for state in shown if counts.get(state))
