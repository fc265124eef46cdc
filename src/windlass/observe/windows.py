"""Sums of many closed hours or days, kept in the process: the next question differs from the last one by a frame or two.

Thirty days of fifty busy kinds are half a million numbers. What is closed does not change, so the sum of a stretch is kept and
moved along: frames that came are added, frames that left are taken away.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias
from weakref import WeakKeyDictionary

from windlass.observe.frames import DAY, HOUR, Cells, Frame, Sums, days_of, hours_of
from windlass.store.protocol import Store
from windlass.values.clock import Micros

Load: TypeAlias = Callable[[Store, Sequence[Micros], Micros], Awaitable[list[Frame]]]

_MOST_WINDOWS = 3
"""Stretches kept of each width: those that a dashboard looks at in turn."""

_AT_ONCE = 32
"""Frames that are decoded at a time, so that a year is not in memory at once."""


class Window:
    """The sum of closed frames of one width. `parts`: each by itself, without histograms; empty ones are left out."""

    def __init__(self) -> None:
        self.starts: frozenset[Micros] = frozenset()
        self.cells: Cells = {}
        self.parts: dict[Micros, Cells] = {}

    def copied(self) -> "Window":
        """The same, to be moved."""
        other = Window()
        other.starts, other.parts = self.starts, dict(self.parts)
        for key, sums in self.cells.items():
            other.cells.setdefault(key, Sums()).add(sums)
        return other

    def add(self, frame: Frame) -> None:
        """Count a frame in."""
        plain: Cells = {}
        for key, sums in frame.cells.items():
            self.cells.setdefault(key, Sums()).add(sums)
            plain.setdefault(key, Sums()).add_plain(sums)
        self.parts[frame.start] = plain

    def take(self, frame: Frame) -> None:
        """Count a frame out."""
        for key, sums in frame.cells.items():
            self.cells[key].take(sums)
            if not any(self.cells[key].ends.values()):
                del self.cells[key]
        self.parts.pop(frame.start, None)


_KEPT: WeakKeyDictionary[Store, dict[Micros, list[Window]]] = WeakKeyDictionary()
_LOAD: dict[Micros, Load] = {DAY: days_of, HOUR: hours_of}


async def window(store: Store, width: Micros, starts: Sequence[Micros], now: Micros) -> Window:
    """The sum of closed hours or days. Not to be changed: others read it too."""
    wanted = frozenset(starts)
    kept = _KEPT.setdefault(store, {}).setdefault(width, [])
    near = min(kept, key=lambda each: len(each.starts ^ wanted), default=None)
    if near is not None and near.starts == wanted:
        return near
    moved = near.copied() if near is not None and len(near.starts ^ wanted) < len(wanted) else Window()
    load = _LOAD[width]
    came, gone = sorted(wanted - moved.starts), sorted(moved.starts - wanted)
    for at in range(0, len(came), _AT_ONCE):
        for frame in await load(store, came[at : at + _AT_ONCE], now):
            moved.add(frame)
    for at in range(0, len(gone), _AT_ONCE):
        for frame in await load(store, gone[at : at + _AT_ONCE], now):
            moved.take(frame)
    moved.starts = wanted
    # What was moved from has had its time; of unlike stretches the latest stay.
    rest = [each for each in kept if len(each.starts ^ wanted) > 2]
    kept[:] = [moved, *rest][:_MOST_WINDOWS]
    return moved
