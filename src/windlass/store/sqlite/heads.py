"""A line of waiting jobs as one claim knows it: where it stands, and the jobs at its head."""

from typing import TYPE_CHECKING, NamedTuple

from windlass.store.sqlite.keys import numbers
from windlass.store.sqlite.transaction import Row, Tx
from windlass.values.clock import Micros

if TYPE_CHECKING:
    from windlass.store.sqlite.keys import Key

LOWEST = -(1 << 62)
PLAIN = 0
"""The number of no line: the plain ones."""


class Head(NamedTuple):
    order: int
    n: int
    run_at: Micros
    bounds: str | None


class Line:
    """A line of one queue and runtime, with the jobs at its head."""

    def __init__(self, row: Row, waits_for: int | None = None) -> None:
        self.k, self.queue, self.runtime, self.group, keys, self.rank, self.head = row
        self.keys = numbers(keys)
        self.woken_by: Key | None = None
        self.waits_for = waits_for
        self.seen = False
        self.stored = (self.rank, self.head, self.waits_for)
        self._heads: list[Head] = []
        self._next = 0
        self._past = LOWEST
        self._chunk = 2

    def first(self, tx: Tx, aged: bool) -> Head | None:
        """Its first job that this claim has not taken."""
        if self._next == len(self._heads):
            self._heads = [Head(*row) for row in self._load(tx, aged)]
            self._next = 0
            self._chunk = min(self._chunk * 4, 200)
            if not self._heads:
                return None
        return self._heads[self._next]

    def _load(self, tx: Tx, aged: bool) -> list[Row]:
        if self.k != PLAIN:
            return tx.rows("heads", (self.k, tx.now, self._past, self._chunk))
        what = "plain_heads_aged" if aged else "plain_heads"
        return tx.rows(what, (self.queue, self.runtime, tx.now, self._past, self._chunk))

    def step(self) -> None:
        """Its first job is taken."""
        self._past = self._heads[self._next].order
        self._next += 1

    @property
    def has_moved(self) -> bool:
        return self._past != LOWEST
