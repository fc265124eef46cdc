"""Where a claimer begins to read the line: above what it has already taken.

While a transaction elsewhere holds an old snapshot, the index entries of claimed jobs cannot be removed, and a claim that reads
from the head walks all of them (measured in a prototype: 26 -> 13 thousand jobs a second in three rounds, and falling). So
per (queue, runtime, priority) the claimer remembers how far it has come. Jobs can appear below that: commits that came late,
and jobs that keep their old place (release, unpark, a new priority). A full sweep finds them: every 250 ms (a twentieth of
the time at most, because under an old snapshot a sweep is what is dear) and before "empty" is answered.
"""

from collections.abc import Iterable
from typing import TypeAlias

from windlass.values.priority import order, reorder

EVERY = 0.25
SHARE = 20
DEAR = 1.0
"""Seconds. Only after a sweep that took longer is "empty" answered without another one, with the time of the next as `wait`."""
SLACK = 400
"""Sequence numbers kept below the newest claimed one: enqueues that run side by side commit out of order by about a batch."""
_HIGHEST_ORD = (1 << 63) - 1
_SEQUENCE = (1 << 45) - 1

Ranges: TypeAlias = tuple[list[str], list[str], list[int], list[int]]
EVERYTHING: Ranges = ([], [], [], [])
"""A lane without ranges is read from its head."""


class Floors:
    """The memory of one claimer. Times are seconds of a monotonic clock, given by the caller."""

    def __init__(self) -> None:
        self._lanes: dict[tuple[str, str], dict[int, int]] = {}
        self._next_sweep = 0.0
        self._dear = False

    def sweep_due(self, now: float) -> bool:
        return now >= self._next_sweep or not self._lanes

    def swept(self, now: float, took: float) -> None:
        """A sweep that took `took` seconds has ended."""
        self._next_sweep = now + max(EVERY, SHARE * took)
        self._dear = took > DEAR

    def may_sweep(self, now: float) -> bool:
        """Whether an empty answer may be preceded by a sweep: always, unless sweeps have become dear."""
        return not self._dear or now >= self._next_sweep

    def until_sweep(self, now: float) -> float | None:
        """Seconds until an answer that was given without a sweep should be asked again; None when it was given with one."""
        return None if self.may_sweep(now) else self._next_sweep - now

    def forget(self) -> None:
        """Something went back to its old place: begin at the head again."""
        self._lanes.clear()

    def claimed(self, jobs: Iterable[tuple[str, str, int, int]]) -> None:
        """(queue, runtime, priority, ord) of jobs that were just claimed."""
        newest: dict[tuple[str, str, int], int] = {}
        for queue, runtime, priority, ord_ in jobs:
            key = (queue, runtime, priority)
            if ord_ > newest.get(key, -1):
                newest[key] = ord_
        for (queue, runtime, priority), ord_ in newest.items():
            place = ord_ & _SEQUENCE
            floor = reorder(max(place - SLACK, 0), priority)
            lane = self._lanes.setdefault((queue, runtime), {})
            lane[priority] = max(floor, lane.get(priority, 0))

    def ranges(self) -> Ranges:
        """Queues, runtimes, and the ranges [lo, hi) of `ord` that are worth reading in each; all else lies below a floor.

        Between two known priorities everything is read: a priority that was never claimed has nothing to skip.
        """
        queues: list[str] = []
        runtimes: list[str] = []
        los: list[int] = []
        his: list[int] = []
        for (queue, runtime), lane in self._lanes.items():
            lo = 0
            for priority in sorted(lane, reverse=True):
                queues.append(queue)
                runtimes.append(runtime)
                los.append(lo)
                his.append(order(priority, 0))
                lo = lane[priority]
            queues.append(queue)
            runtimes.append(runtime)
            los.append(lo)
            his.append(_HIGHEST_ORD)
        return queues, runtimes, los, his
