"""Where the story is told: lines with the time, and on a terminal a bar that moves; nothing for `-o json`."""

import shutil
import sys
import textwrap
import time
from typing import Any

from windlass.cli.demo.story.telling import Line, Status
from windlass.cli.show import clean

_MARGIN = 22
_NARROWEST = 60
_TONES = {"plain": "", "good": "green", "bad": "red"}


class Screen:
    """`told`: every line with its second, for the report as data."""

    def __init__(self, quiet: bool) -> None:
        self.began = time.monotonic()
        self.told: list[dict[str, Any]] = []
        self._quiet = quiet
        self._bar = None if quiet or not sys.stdout.isatty() else _Bar()
        self._next = 0.0
        self._shown: Status | None = None

    def say(self, text: str) -> None:
        """A paragraph that stays."""
        if not self._quiet:
            self._print(textwrap.fill(text, width()), "")

    def tell(self, line: Line) -> None:
        """A line of the story, with the second."""
        at = time.monotonic() - self.began
        self.told.append({"at": round(at, 2), "name": line.name, "text": line.text})
        if self._quiet:
            return
        head = f"{at:5.1f} s  {line.name:<12} "
        text = textwrap.fill(
            clean(line.text),
            width(),
            initial_indent=head,
            subsequent_indent=" " * _MARGIN,
            break_long_words=False,
            break_on_hyphens=False,
        )
        self._print(text, _TONES[line.tone])

    def show(self, status: Status | None) -> None:
        """How far it is: a bar that moves, or a line a second."""
        if self._bar is not None:
            self._bar.show(status)
        elif not self._quiet and status is not None and status != self._shown and time.monotonic() >= self._next:
            self._next = time.monotonic() + 1
            self._shown = status
            self._print(f"{'':9}{status.name:<12} {status.percent:3.0f} %  {status.note}", "")

    def close(self) -> None:
        """The bar goes."""
        if self._bar is not None:
            self._bar.close()

    def _print(self, text: str, tone: str) -> None:
        if self._bar is not None:
            self._bar.say(text, tone)
        else:
            print(text, flush=True)


class _Bar:
    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        columns: list[Any] = [TextColumn(" " * 8), TextColumn("{task.description}"), BarColumn(bar_width=24)]
        self._progress = Progress(*columns, TaskProgressColumn(), console=Console(highlight=False), transient=True)
        self._task = self._progress.add_task("", total=100, visible=False)
        self._progress.start()

    def say(self, text: str, tone: str) -> None:
        self._progress.console.print(text, markup=False, style=tone or None, soft_wrap=True)

    def show(self, status: Status | None) -> None:
        if status is None:
            self._progress.update(self._task, visible=False)
        else:
            told = f"{status.name:<12} {status.note:<10}"
            self._progress.update(self._task, visible=True, completed=status.percent, description=told)

    def close(self) -> None:
        self._progress.stop()


def width() -> int:
    return max(_NARROWEST, min(100, shutil.get_terminal_size().columns))
