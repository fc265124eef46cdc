"""Turns at the write lock among the handles of one process, and its checkpointer."""

import time
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager


class Line:
    """Who waits for the write lock in this process, first come first served.

    Without it a thread that writes in a tight loop would keep the others out: it gives up the GIL mostly inside
    SQLite, so whenever another thread looks, the lock is taken. The first in line must still be able to go: after
    `PATIENCE` the others pass it (its loop may be blocked by somebody's handler, and leases must be extended).
    """

    PATIENCE = 0.005

    def __init__(self) -> None:
        self._standing: deque[object] = deque()
        self._since = 0.0

    def may_go(self, who: object) -> bool:
        standing = self._standing
        if not standing:
            return True
        try:
            return standing[0] is who or time.monotonic() - self._since > self.PATIENCE
        except IndexError:  # the last one in line left meanwhile, in its own thread
            return True

    @contextmanager
    def standing(self, who: object) -> Generator[None]:
        self._standing.append(who)
        try:
            yield
        finally:
            self._standing.remove(who)
            self.moved_on()

    def moved_on(self) -> None:
        """The lock was let go; the first in line has its chance from now on."""
        if self._standing:
            self._since = time.monotonic()
