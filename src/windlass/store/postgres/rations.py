"""How far back an index by time must be read: what has been worked off keeps its entries while an old snapshot lasts.

Due jobs, expiries and lapsed leases are found by the low end of an index. Once everything up to an instant has been worked off,
new entries only come above it (less a slack), so the next look begins there. A look at all of it is made as well, for what came
late, but for no more than a twentieth of the time.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager

from windlass.values.clock import SECOND, Micros

SHARE = 20
SLACK: Micros = 10 * SECOND
"""Statements that began before the last look may commit entries of their own time after it."""


class Look:
    """One look: entries above `since`. `saw` tells the store's time of it and whether it found all there was."""

    def __init__(self, since: Micros) -> None:
        self.since = since
        self.at: Micros | None = None
        self.all_of_it = False

    def saw(self, at: Micros, *, all_of_it: bool) -> None:
        self.at = at
        self.all_of_it = all_of_it


class Ration:
    """The memory of one handle for one index."""

    def __init__(self) -> None:
        self.since: Micros = 0
        self._last: Micros = 0
        self._next_full = 0.0

    def forget(self) -> None:
        self.since = 0
        self._next_full = 0.0

    @contextmanager
    def look(self, clock: Callable[[], float]) -> Generator[Look]:
        """`clock`: seconds that only grow."""
        began = clock()
        full = began >= self._next_full
        look = Look(0 if full else self.since)
        yield look
        if look.at is None:
            return
        ended = clock()
        if full:
            self._next_full = ended + SHARE * (ended - began)
        if look.at < self._last or not look.all_of_it:
            # The clock was set back, or there is more: begin at the low end again.
            self.forget()
        else:
            self.since = look.at - SLACK
        self._last = look.at
