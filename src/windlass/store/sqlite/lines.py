"""The lines that waiting jobs stand in: which one a job belongs to, and entering it.

A job without keys in a strict queue stands in the plain line, for which nothing is written.
"""

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from windlass.store.sqlite.keys import bind, is_broad, numbers
from windlass.store.sqlite.transaction import Row, Tx, View, packed
from windlass.values.clock import Micros
from windlass.values.job import NewJob
from windlass.values.limit import KIND, QUEUE, Bound, Rate
from windlass.values.queue import AGEING, CLASS_WEIGHTS

FULL_TURN = 1_000_000
"""What one job of a group of weight 1 adds to its pass."""
TURNS = ("fair", "weighted")
"""The orders in which groups take turns."""
_EARLIEST = -(1 << 61)
_limits_of = attrgetter("limits")
BOUNDS = msgspec.json.Decoder(tuple[Bound, ...])


class Sort(NamedTuple):
    """The order of a queue that is not strict."""

    name: str
    ageing: Micros
    served: int


class Place(NamedTuple):
    """What decides about a job's line, and its place there."""

    queue: str
    kind: str
    runtime: str
    group: str | None
    priority: int
    order: int
    run_at: Micros
    bounds: Sequence[Bound]
    weight: int


class Lines:
    """The lines as one transaction knows them."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        tx.let_flow()
        self._broad: dict[str, int] = dict(tx.rows("broad_limits"))
        self._sorts = {name: Sort(sort, ageing or AGEING, served) for name, sort, ageing, served in tx.rows("sorts")}
        self._limits: dict[str, tuple[int, int | None, Rate | None]] = {}
        self._lines: dict[tuple[str, str, str, str], int] = {}
        self._turns: dict[tuple[str, str], tuple[int, int]] = {}
        self._lowest: dict[int, tuple[int, int]] = {}

    def bind(self, bounds: Iterable[Bound], *, sets: bool) -> list[int]:
        """The numbers of these keys. The last bound that names a key counts."""
        found: list[int] = []
        for bound in bounds:
            known = self._limits.get(bound.key)
            if known is None or (sets and known[1:] != (bound.concurrency, bound.rate)):
                k = bind(self._tx, bound, sets=sets)
                known = self._limits[bound.key] = (k, bound.concurrency, bound.rate)
                if is_broad(bound.key):
                    self._broad[bound.key] = k
            found.append(known[0])
        return found

    def enter(self, job: Place, *, sets: bool) -> int | None:
        """The line of a waiting job, which is counted as standing in it; None is the plain line."""
        keys = set(self.bind(job.bounds, sets=sets)) if job.bounds else set[int]()
        if self._broad:
            keys |= {k for name in (QUEUE + job.queue, KIND + job.kind) if (k := self._broad.get(name)) is not None}
        sort = self._sorts.get(job.queue)
        group = "" if sort is None else _group(sort, job)
        if not keys and not group:
            return None
        line = self._line(job.queue, job.runtime, group, packed(sorted(keys)))
        rank = job.order if sort is None else self._rank(sort, group, job, sets=sets)
        lowest = self._lowest.get(line)
        if lowest is None:
            self._lowest[line] = (rank, job.order)
        else:
            self._lowest[line] = (min(lowest[0], rank), min(lowest[1], job.order))
        return line

    def flush(self) -> None:
        """Write what entering has lowered."""
        if self._lowest:
            self._tx.many("lower", [(line, rank, head) for line, (rank, head) in self._lowest.items()])
            if any(sort.name in TURNS for sort in self._sorts.values()):
                self._tx.run("front_lines", (packed(list(self._lowest)),))
            self._lowest.clear()

    def _line(self, queue: str, runtime: str, group: str, keys: str) -> int:
        name = (queue, runtime, group, keys)
        line = self._lines.get(name)
        if line is None:
            line = self._tx.value("line_of", name)
            if line is None:
                line = int(self._tx.value("add_line", name))
                self._tx.many("tie_line", [(k, line) for k in numbers(keys)])
            self._lines[name] = line
        return line

    def _rank(self, sort: Sort, group: str, job: Place, *, sets: bool) -> int:
        if sort.name == "ageing":
            return job.run_at - job.priority * sort.ageing
        weight = job.weight if sort.name == "fair" else CLASS_WEIGHTS[group[1:]]
        if not group:
            weight = 1
        turn = self._turns.get((job.queue, group))
        if turn is None:
            turn = self._tx.one("turn", (job.queue, group)) or (sort.served, 0)
        if turn[1] == 0 or (sets and turn[1] != weight):
            turn = (turn[0], weight)
            self._tx.run("put_turn", (job.queue, group, *turn))
        self._turns[job.queue, group] = (turn[0], turn[1])
        return max(turn[0], sort.served)


def _group(sort: Sort, job: Place) -> str:
    """The prefix keeps the groups of one order apart from those of another."""
    if sort.name == "fair":
        return f"g{job.group}" if job.group else ""
    return f"c{class_of(job.priority)}" if sort.name == "weighted" else f"p{job.priority}"


def class_of(priority: int) -> str:
    """The priority class at or below a priority; what is below all of them is low."""
    if priority < 0:
        return "low"
    return "normal" if priority < 5 else "high" if priority < 10 else "critical"


def lines_of(tx: Tx) -> Lines:
    """The lines of this transaction."""
    found = tx.lines
    if not isinstance(found, Lines):
        found = tx.lines = Lines(tx)
    return found


def flows(tx: Tx, jobs: Sequence[NewJob[Any]]) -> bool:
    """Whether any of these new jobs could belong to another line than the plain one."""
    return tx.flows() or any(map(_limits_of, jobs))


def enter(tx: Tx, jobs: Sequence[int]) -> None:
    """These jobs, by number, have just become waiting (those that did not are passed over)."""
    if not jobs or not tx.flows():
        return
    lines = lines_of(tx)
    moved: list[tuple[int, int | None]] = []
    for n, old, place in _places(tx.rows("entering", (packed(list(jobs)),))):
        line = lines.enter(place, sets=False)
        if line != old:
            moved.append((n, line))
    lines.flush()
    if moved:
        tx.many("set_line", moved)


def concerned(view: View, key: str) -> list[int]:
    """The waiting and running jobs of a key that holds for a whole queue or kind."""
    what, name = ("of_queue", key[len(QUEUE) :]) if key.startswith(QUEUE) else ("of_kind", key[len(KIND) :])
    return [n for (n,) in view.rows(what, (name,))]


def reline(tx: Tx, jobs: Sequence[int]) -> None:
    """Waiting and running jobs that a new key of their queue or kind concerns."""
    enter(tx, jobs)
    lines = lines_of(tx)
    held: dict[int, int] = {}
    for n, old, place in _places(tx.rows("running", (packed(list(jobs)),))):
        line = lines.enter(place, sets=False)
        if line == old:
            continue
        tx.run("set_line", (n, line))
        for each, step in ((old, -1), (line, 1)):
            if each is not None:
                ((_, keys),) = tx.rows("line_keys", (packed([each]),))
                for k in numbers(keys):
                    held[k] = held.get(k, 0) + step
    lines.flush()
    tx.many("hold_more", [(k, step) for k, step in held.items() if step])


def _places(rows: Iterable[Row]) -> Iterable[tuple[int, int | None, Place]]:
    for n, queue, kind, runtime, group, user, priority, order, run_at, bounds, weight, line in rows:
        limits = BOUNDS.decode(bounds) if bounds else ()
        yield (
            n,
            line,
            Place(queue, kind, runtime, group or user, priority, order, run_at, limits, weight or 1),
        )


def of_new(job: NewJob[Any], order: int, run_at: Micros) -> Place:
    return Place(
        job.queue, job.kind, job.runtime, job.group or job.user, job.priority, order, run_at, job.limits, job.weight
    )


def sort_afresh(tx: Tx, queue: str, order: str) -> None:
    """A queue has another order: groups begin anew, and the places of its lines are bounds that claims set right."""
    tx.run("drop_turns", (queue,))
    tx.run("put_served", (queue, 0))
    tx.run("fronts_afresh", (queue,))
    if order == "strict":
        tx.run("rank_by_head", (queue,))
    else:
        tx.run("rank_afresh", (queue, _EARLIEST if order == "ageing" else 0))
