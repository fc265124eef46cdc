"""Claiming where lines stand beside the plain ones: whose turn it is, and who has to wait for a key.

One claim reads what it needs, decides in memory, and writes what has changed at its end. Looking is by lower bounds: the
place of a line as stored may be too good, never too bad, so the line on top is looked at, set right and put back until the
one on top is where it belongs.
"""

import heapq
from collections.abc import Iterable, Sequence
from typing import Any

from windlass.store.sqlite.fronts import Fronts
from windlass.store.sqlite.heads import LOWEST, PLAIN, Head, Line
from windlass.store.sqlite.keys import Key
from windlass.store.sqlite.lines import BOUNDS, FULL_TURN, TURNS, Sort
from windlass.store.sqlite.statements import CROWDED
from windlass.store.sqlite.transaction import Tx, packed
from windlass.values.job import Runtime
from windlass.values.lease import ClaimRequest
from windlass.values.priority import HIGHEST

MOST_TOUCHED = 64
"""Lines that one claim looks at for nothing, and lines that it wakes."""
FEW_LINES = 8
"""A group of no more lines is not crowded."""
CROWDED_AT_ONCE = 200
_LOADED = 16
_FEW_QUEUES = 8


class Source:
    """One queue, for one runtime: its lines, best first."""

    def __init__(self, claim: "Turns", queue: str, runtime: Runtime, keyed: bool) -> None:
        self._claim = claim
        self._tx = claim.tx
        self.queue, self.runtime = queue, runtime
        self._sort = claim.sorts.get(queue)
        self._aged = self._sort is not None and self._sort.name == "ageing"
        self._keyed = keyed
        plain = Line((PLAIN, queue, runtime, "", "[]", LOWEST, LOWEST))
        self._heap: list[tuple[int, int, int, Line]] = [(LOWEST, LOWEST, PLAIN, plain)]
        self._frontier: tuple[int, int, int] | None = (LOWEST, LOWEST, 0)
        """Lines up to here are in memory; None when all are."""

    def add(self, line: Line) -> None:
        heapq.heappush(self._heap, (line.rank, line.head, line.k, line))

    def best(self) -> tuple[Line, Head] | None:
        """The line whose turn it is; None when there is nothing, or when the claim has looked at enough."""
        while self._claim.patience > 0:
            self._load()
            if not self._heap:
                return None
            rank, order, _, line = self._heap[0]
            head = line.first(self._tx, self._aged)
            if head is None:
                heapq.heappop(self._heap)
                line.head = None
                self._claim.touched(line)
                continue
            place = self._claim.place_of(line, head)
            if place > (rank, order):
                line.rank, line.head = place
                heapq.heapreplace(self._heap, (*place, line.k, line))
                self._claim.touched(line)
                self._claim.misplaced(line)
                continue
            return line, head
        return None

    def drop(self, line: Line) -> None:
        """A line is out of this claim. It need not be the best any more: its refusal may have woken better ones."""
        if self._heap[0][3] is line:
            heapq.heappop(self._heap)
        else:
            self._heap = [each for each in self._heap if each[3] is not line]
            heapq.heapify(self._heap)

    def took(self, line: Line) -> None:
        """The first job of a line is taken."""
        line.step()
        if self._sort is not None and not self._aged:
            self._claim.turn_of(self.queue, line.group).advance(self._claim, self.queue)

    def _load(self) -> None:
        """Lines that may be better than the best one in memory."""
        while self._frontier is not None and (not self._heap or self._frontier < self._heap[0][:3]):
            rows = self._tx.rows(
                "eligible" if self._keyed else "eligible_unkeyed", (self.queue, self.runtime, *self._frontier, _LOADED)
            )
            for row in rows:
                if row[0] not in self._claim.lines:
                    line = self._claim.lines[row[0]] = Line(row)
                    self.add(line)
            self._frontier = (rows[-1][5], rows[-1][6], rows[-1][0]) if len(rows) == _LOADED else None


class FairSource:
    """One queue whose groups take turns: single lines, and crowded groups by their fronts."""

    def __init__(self, claim: "Turns", queue: str, runtime: Runtime, fronts: Fronts) -> None:
        self.queue = queue
        self._claim = claim
        self._single = Source(claim, queue, runtime, keyed=True)
        self._fronts = fronts

    def add(self, line: Line) -> None:
        self._of(line).add(line)

    def best(self) -> tuple[Line, Head] | None:
        crowded = self._fronts.best()
        if crowded is None:
            return self._single.best()
        single = self._single.best()
        return crowded if single is None else min(crowded, single, key=lambda best: self._claim.place_of(*best))

    def drop(self, line: Line) -> None:
        self._of(line).drop(line)

    def took(self, line: Line) -> None:
        self._of(line).took(line)

    def _of(self, line: Line) -> Source | Fronts:
        return self._fronts if line.rank == CROWDED else self._single


class Turn:
    """A group of a fair or weighted queue."""

    def __init__(self, passed: int, weight: int) -> None:
        self.passed, self.weight = passed, weight
        self.has_advanced = False

    def advance(self, claim: "Turns", queue: str) -> None:
        now = max(self.passed, claim.served[queue])
        claim.served[queue] = now
        self.passed = now + FULL_TURN // self.weight
        self.has_advanced = True


class Turns:
    """One claim over lines. `take` picks for a runtime, `flush` writes."""

    def __init__(self, tx: Tx, request: ClaimRequest, queues: Sequence[str]) -> None:
        self.tx = tx
        self.patience = MOST_TOUCHED
        self.lines: dict[int, Line] = {}
        self.sorts = {name: Sort(sort, ageing, served) for name, sort, ageing, served in tx.rows("sorts")}
        self.served = {name: sort.served for name, sort in self.sorts.items()}
        self._queues = queues
        self._runtimes = packed([runtime for runtime, slots in request.slots.items() if slots > 0])
        self._idle = request.idle
        self._keys: dict[int, Key | None] = {}
        self._turns: dict[tuple[str, str], Turn] = {}
        self._awake: list[Key] | None = None
        self.wakes = MOST_TOUCHED
        self._moved: dict[tuple[int, Runtime], int] = {}
        """Lines that each awake key has moved to those that may be taken."""
        self._refused: dict[int, int] = {}
        """Lines that found each key without room."""
        self._sources: dict[str, Source | FairSource] = {}
        self._misplaced: dict[tuple[str, str, str], None] = {}
        """The groups with lines whose stored places were too good, in the order in which they were met."""
        self._fronts: dict[tuple[str, Runtime, int | None], Fronts] = {}
        self._runtime: Runtime = "async"

    @property
    def is_strict(self) -> bool:
        """Whether priority and age alone decide in all these queues."""
        return not any(queue in self.sorts for queue in self._queues)

    def take(self, runtime: Runtime, slots: int) -> list[int]:
        """Numbers of jobs whose turn it is, in their order."""
        idle = slots if self._idle is None else min(self._idle.get(runtime, 0), slots)
        sources = [self._source(queue, runtime, idle > 0) for queue in self._queues]
        self._sources = {source.queue: source for source in sources}
        self._runtime = runtime
        if idle > 0:
            self._wake()
        taken: list[int] = []
        while len(taken) < slots:
            found = [(best[1].order, at, best) for at, each in enumerate(sources) if (best := each.best()) is not None]
            if not found:
                if idle > 0 and self.patience > 0 and self._wake():
                    continue
                break
            _, at, (line, head) = min(found, key=_by_order)
            if line.keys and idle <= 0:
                sources[at].drop(line)  # as it is: it waits for a worker, not for a key
                self.touched(line)
            elif self._admit(line, head):
                sources[at].took(line)
                taken.append(head.n)
                idle -= bool(line.keys)
            else:
                sources[at].drop(line)
        return taken

    def _source(self, queue: str, runtime: Runtime, keyed: bool) -> Source | FairSource:
        if keyed and self._is_crowded(queue, runtime):
            return FairSource(self, queue, runtime, self._fronts_of(queue, runtime))
        return Source(self, queue, runtime, keyed)

    def _by_turns(self, queue: str) -> bool:
        return queue in self.sorts and self.sorts[queue].name in TURNS

    def _is_crowded(self, queue: str, runtime: Runtime) -> bool:
        """Whether there may be crowded groups."""
        return self._by_turns(queue) and bool(self.tx.value("any_front", (queue, runtime)))

    def _fronts_of(self, queue: str, runtime: Runtime, key: int | None = None) -> Fronts:
        found = self._fronts.get((queue, runtime, key))
        if found is None:
            found = self._fronts[queue, runtime, key] = Fronts(self, queue, runtime, key)
        return found

    def touched(self, line: Line) -> None:
        """A line was looked at for nothing."""
        if line.k != PLAIN and not line.seen:
            self.patience -= 1
        line.seen = True

    def misplaced(self, line: Line) -> None:
        """A line was found to stand behind its stored place, as the others of its group may do."""
        if line.keys and self._by_turns(line.queue):
            self._misplaced[line.queue, line.runtime, line.group] = None

    def place_of(self, line: Line, head: Head) -> tuple[int, int]:
        """Where a line with this head stands among those of its queue."""
        sort = self.sorts.get(line.queue)
        if sort is None:
            return head.order, head.order
        if sort.name == "ageing":
            return head.run_at - priority_of(head.order) * sort.ageing, head.order
        return self.pass_of(line.queue, line.group), head.order

    def pass_of(self, queue: str, group: str) -> int:
        """A group's place among those of its queue."""
        return max(self.turn_of(queue, group).passed, self.served[queue])

    def turn_of(self, queue: str, group: str) -> Turn:
        turn = self._turns.get((queue, group))
        if turn is None:
            passed, weight = self.tx.one("turn", (queue, group)) or (0, 1)
            turn = self._turns[queue, group] = Turn(passed, weight)
        return turn

    def _admit(self, line: Line, head: Head) -> bool:
        """Take room of every key of a line for its first job, or let the line wait for the first key that has none."""
        keys = [key for k in line.keys if (key := self._key(k)) is not None]
        cost = _costs(head.bounds) if any(key.rate is not None for key in keys) else {}
        for key in keys:
            if not key.fits(cost.get(key.key, 1)):
                self._refuse(line, key, cost.get(key.key, 1))
                return False
        for key in keys:
            key.take(cost.get(key.key, 1))
        return True

    def _refuse(self, line: Line, key: Key, cost: int) -> None:
        key.wait(cost)
        line.waits_for = key.k
        self._refused[key.k] = self._refused.get(key.k, 0) + 1
        self.patience -= 1
        by = line.woken_by
        if by is not None:  # it takes nothing from the others that wait for what woke it
            self._moved[by.k, self._runtime] -= 1
            self._move(by)

    def _key(self, k: int) -> Key | None:
        if k not in self._keys:
            row = self.tx.one("limit_numbered", (k,))
            self._keys[k] = None if row is None else Key(self.tx, row)
        return self._keys[k]

    # waking

    def _wake(self) -> bool:
        """Move lines that wait for awake keys to those that may be taken; whether any was."""
        if self._awake is None:
            found = [self._key(k) for (k,) in self.tx.rows("awake_limits", self._mine())]
            self._awake = [key for key in found if key is not None]
        return sum(self._move(key) for key in self._awake) > 0  # not `any`: each is to move its lines

    def _mine(self) -> tuple[str, str, int]:
        return (packed(list(self._queues)), self._runtimes, MOST_TOUCHED)

    def _move(self, key: Key) -> bool:
        """As many lines as the key has room for, the best of each queue."""
        if not key.awake:
            return False
        if key.room <= 0:
            self._close(key)
            return False
        moved = self._moved.get((key.k, self._runtime), 0)
        wanted = min(key.room - moved, self.wakes)
        if wanted <= 0:
            return False
        woken = [line for queue in self._queues_waiting(key) for line in self._best_waiting(key, queue, wanted)]
        if not woken:
            return False
        self._moved[key.k, self._runtime] = moved + min(len(woken), wanted)
        self.wakes -= len(woken)
        # At once, or the next look for lines that wait would find these again.
        for line in woken:
            line.woken_by = key
            line.stored = (line.rank, line.head, None)
        self.tx.many("keep_line", [(line.k, *line.stored) for line in woken])
        self._front(woken)
        for line in woken:
            self.lines[line.k] = line
            self._sources[line.queue].add(line)
        return True

    def _queues_waiting(self, key: Key) -> Sequence[str]:
        """The queues of this runtime's sources that may have lines waiting for a key."""
        if len(self._sources) <= _FEW_QUEUES:
            return tuple(self._sources)
        return [queue for (queue,) in self.tx.rows("waiting_queues", (key.k,)) if queue in self._sources]

    def _best_waiting(self, key: Key, queue: str, wanted: int) -> list[Line]:
        """Of the lines of a queue that wait for a key, those whose turn it is, each in the place where it truly is."""
        single = self._single_waiting(key, queue, wanted)
        if not isinstance(self._sources[queue], FairSource):
            return single
        fronts = self._fronts_of(queue, self._runtime, key.k)
        found: list[Line] = []
        while len(found) < wanted:
            crowded = fronts.best()
            if single and (crowded is None or (single[0].rank, single[0].head) <= self.place_of(*crowded)):
                found.append(single.pop(0))
            elif crowded is not None:
                found.append(fronts.take(*crowded))
            else:
                break
        return found

    def _single_waiting(self, key: Key, queue: str, wanted: int) -> list[Line]:
        while True:
            rows = self.tx.rows("best_waiting", (key.k, queue, self._runtime, wanted))
            lines = [Line(row) for row in rows if row[0] not in self.lines]
            wrong = [line for line in lines if self._set_right(line)]
            if not wrong:
                return lines
            self.tx.many("keep_line", [(line.k, line.rank, line.head, key.k) for line in wrong])
            self.wakes -= len(wrong)
            if self.wakes <= 0:
                return []

    def _set_right(self, line: Line) -> bool:
        """Whether the stored place of a line was too good."""
        head = line.first(self.tx, aged=False)
        if head is None:
            line.head = None
            return True
        place = self.place_of(line, head)
        if place <= (line.rank, line.head):
            return False
        line.rank, line.head = place
        self.misplaced(line)
        return True

    def _close(self, key: Key) -> None:
        """No room: nothing is to be looked at before some grows."""
        key.wait(1)
        key.sleep()

    # the end

    def flush(self) -> bool:
        """Write what changed; whether another claim would look at lines that this one did not."""
        tx = self.tx
        for (queue, group), turn in self._turns.items():
            if turn.has_advanced:
                tx.run("put_turn", (queue, group, turn.passed, turn.weight))
        for queue, served in self.served.items():
            if served != self.sorts[queue].served:
                tx.run("put_served", (queue, served))
        for line in self.lines.values():
            if line.has_moved and line.head is not None:
                self._set_behind(line)
        for fronts in self._fronts.values():
            fronts.raise_bounds()
        changed: list[tuple[Any, ...]] = []
        for line in self.lines.values():
            if (line.rank, line.head, line.waits_for) != line.stored:
                changed.append((line.k, line.rank, line.head, line.waits_for))
        tx.many("keep_line", changed)
        self._front(self.lines.values())
        taken = sum(line.has_moved for line in self.lines.values())
        if self._misplaced and min(self.patience, self.wakes) <= 0 and taken < MOST_TOUCHED // 4:
            self._crowd()
        for fronts in self._fronts.values():
            fronts.drop_empty()
        for key in self._keys.values():
            if key is not None:
                self._let_sleep(key)
                key.flush(tx)
        stopped = bool(self._moved) or self.wakes <= 0
        return self.patience <= 0 or (stopped and bool(tx.rows("awake_limits", self._mine())))

    def _front(self, lines: Iterable[Line]) -> None:
        """Crowded lines that were written stand behind a front."""
        crowded = [line.k for line in lines if line.rank == CROWDED]
        if crowded:
            self.tx.run("front_lines", (packed(crowded),))

    def _crowd(self) -> None:
        """The claim has looked at enough in vain. From groups of many lines it takes some out of the way of the next."""
        moved: list[int] = []
        for group in self._misplaced:
            moved += [k for (k,) in self.tx.rows("crowd", (*group, CROWDED_AT_ONCE - len(moved), FEW_LINES))]
            if len(moved) >= CROWDED_AT_ONCE:
                break
        self.tx.run("front_lines", (packed(moved),))

    def _set_behind(self, line: Line) -> None:
        """A line of which jobs were taken stands where the next one says."""
        head = line.first(self.tx, aged=False)
        if head is None:
            line.head = None
        else:
            rank, line.head = self.place_of(line, head)
            line.rank = CROWDED if line.rank == CROWDED else rank

    def _let_sleep(self, key: Key) -> None:
        """A key is awake as long as it has room and lines wait for it that were not looked at."""
        if not key.awake:
            return
        if key.room <= 0:
            self._close(key)
        elif key.k in self._refused and min(self.patience, self.wakes) <= 0:
            key.sleep()  # the next claim would look at the same; a timer knows when their cost fits
        elif key.k in self._refused:
            waiting = self.tx.value("count_waiting", (key.k, *self._mine()[:2], self._refused[key.k] + 1))
            if waiting <= self._refused[key.k]:
                key.sleep()
        elif not self.tx.value("anyone_waits", (key.k,)):
            key.sleep()


def priority_of(order: int) -> int:
    """The priority in a place in line, see `priority.order`."""
    return HIGHEST - (order >> 45)


def _by_order(found: tuple[int, int, tuple[Line, Head]]) -> tuple[int, int]:
    return found[:2]


def _costs(bounds: str | None) -> dict[str, int]:
    """What a start takes from each key's rate where that is not 1."""
    return {} if bounds is None else {each.key: each.cost for each in BOUNDS.decode(bounds) if each.cost != 1}
