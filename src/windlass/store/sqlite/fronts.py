"""Claiming the lines of crowded groups: in a fair or weighted queue, where limits split a group into many lines.

All lines of a group move when its pass grows. So those of a group of which many were looked at in vain are crowded: they are
looked for by fronts. A front is the crowded lines of a group that may be taken, or that wait for the same limit; its stored place
is a lower bound, like that of a line, and one front is set right instead of each line.
"""

import heapq
from typing import TYPE_CHECKING

from windlass.store.sqlite.heads import LOWEST, Head, Line
from windlass.values.job import Runtime

if TYPE_CHECKING:
    from windlass.store.sqlite.turns import Turns

_LOADED = 16


class Group:
    """One front, with the lines that the claim has looked at."""

    def __init__(self, fronts: "Fronts", name: str, rank: int, head: int) -> None:
        self.name, self.rank, self.head = name, rank, head
        self.stored = (rank, head)
        self.seen = False
        self.is_out = False
        """Whether no line of it is left to this claim."""
        self._fronts = fronts
        self._lines: list[tuple[int, int, Line]] = []
        self._frontier: tuple[int, int] | None = (LOWEST, -1)
        """Lines up to here are in memory; None when all are."""
        self._kept: int | None = None

    def add(self, line: Line) -> None:
        heapq.heappush(self._lines, (line.head, line.k, line))
        self.head = min(self.head, line.head)
        self.is_out = False

    def remove(self, line: Line, stays: bool) -> None:
        """A line is out of this claim; `stays`: it is of the front still."""
        self._lines = [each for each in self._lines if each[2] is not line]
        heapq.heapify(self._lines)
        if stays:
            self._kept = line.head if self._kept is None else min(self._kept, line.head)

    def first(self) -> tuple[Line, Head] | None:
        """Its line with the oldest job; None when there is none, or when the claim has looked at enough."""
        fronts = self._fronts
        while fronts.has_patience:
            self._load()
            if not self._lines:
                return None
            order, _, line = self._lines[0]
            head = line.first(fronts.claim.tx, aged=False)
            if head is not None and head.order <= order:
                return line, head
            if head is None:
                heapq.heappop(self._lines)
                line.head = None
            else:
                line.head = head.order
                heapq.heapreplace(self._lines, (line.head, line.k, line))
            if not line.has_moved:
                fronts.touched(line)
        return None

    def _load(self) -> None:
        """Lines that may be better than the best one in memory."""
        fronts = self._fronts
        while self._frontier is not None and (not self._lines or self._frontier < self._lines[0][:2]):
            rows = fronts.lines_of(self.name, self._frontier)
            for row in rows:
                if row[0] not in fronts.claim.lines:
                    line = fronts.claim.lines[row[0]] = Line(row, fronts.key)
                    heapq.heappush(self._lines, (line.head, line.k, line))
            self._frontier = (rows[-1][6], rows[-1][0]) if len(rows) == _LOADED else None

    @property
    def bound(self) -> int | None:
        """No line of the front has an older job than this; None when it has no line."""
        heads = [line.head for _, _, line in self._lines if line.head is not None]
        heads += [self._kept] if self._kept is not None else []
        heads += [self._frontier[0]] if self._frontier is not None else []
        return min(heads, default=None)


class Fronts:
    """The groups of one queue and runtime, best first: of lines that may be taken, or that wait for the limit `key`."""

    def __init__(self, claim: "Turns", queue: str, runtime: Runtime, key: int | None = None) -> None:
        self.claim = claim
        self.queue, self.runtime, self.key = queue, runtime, key
        self._groups: dict[str, Group] = {}
        self._heap: list[tuple[int, int, str]] = []
        self._frontier: tuple[int, int, str] | None = (LOWEST, LOWEST, "")

    def _group(self, name: str, rank: int, head: int) -> Group:
        group = self._groups[name] = Group(self, name, rank, head)
        heapq.heappush(self._heap, (rank, head, name))
        return group

    # what it has in common with a source of single lines

    def add(self, line: Line) -> None:
        group = self._groups.get(line.group) or self._group(line.group, LOWEST, line.head)
        group.add(line)
        heapq.heappush(self._heap, (group.rank, group.head, group.name))

    def best(self) -> tuple[Line, Head] | None:
        """The line whose turn it is; None when there is nothing, or when the claim has looked at enough."""
        while self.has_patience:
            self._load()
            if not self._heap:
                return None
            rank, head, name = self._heap[0]
            group = self._groups[name]
            if group.is_out or (rank, head) != (group.rank, group.head):
                heapq.heappop(self._heap)  # its place before it was set right
                continue
            found = group.first()
            if found is None:
                if self.has_patience:
                    group.is_out = True
                    self._looked(group)
                continue
            place = (self.claim.pass_of(self.queue, name), found[1].order)
            if place <= (rank, head):
                return found
            self._place(group, *place)
            self._looked(group)
        return None

    def drop(self, line: Line) -> None:
        """A line is out of this claim."""
        self._groups[line.group].remove(line, stays=line.waits_for == self.key)

    def took(self, line: Line) -> None:
        """The first job of a line is taken, and its group's turn is over."""
        line.step()
        self.claim.turn_of(self.queue, line.group).advance(self.claim, self.queue)
        group = self._groups[line.group]
        group.seen = True  # to look at it again is no look in vain
        self._place(group, self.claim.pass_of(self.queue, line.group), group.head)

    def take(self, line: Line, head: Head) -> Line:
        """The best line waits no more."""
        line.head, line.waits_for = head.order, None
        self.drop(line)
        return line

    # looking

    @property
    def has_patience(self) -> bool:
        return (self.claim.patience if self.key is None else self.claim.wakes) > 0

    def touched(self, line: Line) -> None:
        """A line was looked at for nothing."""
        if not line.seen:
            self._spend()
        line.seen = True

    def _looked(self, group: Group) -> None:
        if not group.seen:
            self._spend()
        group.seen = True

    def _spend(self) -> None:
        if self.key is None:
            self.claim.patience -= 1
        else:
            self.claim.wakes -= 1

    def _place(self, group: Group, rank: int, head: int) -> None:
        group.rank, group.head = rank, head
        heapq.heappush(self._heap, (rank, head, group.name))

    def lines_of(self, group: str, past: tuple[int, int]) -> list[tuple[int, str, str, str, str, int, int]]:
        """The next lines of a group, by the age of their jobs."""
        names = (self.queue, self.runtime, group, self.key)
        return self.claim.tx.rows("group_lines", (*names, *past, _LOADED))

    def _load(self) -> None:
        """Groups that may be better than the best one in memory."""
        while self._frontier is not None and (not self._heap or self._frontier < self._heap[0]):
            front = (self.key or 0, self.queue, self.runtime)
            rows = self.claim.tx.rows("fronts", (*front, *self._frontier, _LOADED))
            for name, rank, head in rows:
                group = self._groups.get(name)
                if group is None:
                    self._group(name, rank, head)
                elif (rank, head) < (group.rank, group.head):
                    group.stored = (rank, head)
                    self._place(group, rank, head)
            self._frontier = (rows[-1][1], rows[-1][2], rows[-1][0]) if len(rows) == _LOADED else None

    # the end

    def raise_bounds(self) -> None:
        """Before lines are written, which lowers the places of those that come to a front."""
        rows: list[tuple[object, ...]] = []
        for group in self._groups.values():
            head = group.bound
            if head is not None and head != LOWEST:
                place = (self.claim.pass_of(self.queue, group.name), head)
                if place != group.stored:
                    rows.append((self.queue, self.runtime, group.name, self.key or 0, *place))
        self.claim.tx.many("keep_front", rows)

    def drop_empty(self) -> None:
        """After lines were written: fronts without lines."""
        for group in self._groups.values():
            if group.bound is None:
                self.claim.tx.run("drop_front", (self.queue, self.runtime, group.name, self.key or 0))
