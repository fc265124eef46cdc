"""What an ended job sets free: its unique key, and through its edges the jobs that waited for it."""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from windlass.store.sqlite.lines import enter
from windlass.store.sqlite.transaction import Row, Tx, packed
from windlass.store.sqlite.uniqueness import free_keys
from windlass.values.job import NOT_TRIGGERED
from windlass.values.metrics import MINUTE
from windlass.values.states import State

UNBOUNDED = 1 << 60


class Ended(NamedTuple):
    """A job that came to its end in this transaction."""

    n: int
    id: str
    state: str


def leave(tx: Tx, ended: list[Ended], budget: int) -> int:
    """Everything that follows from these ends; how much of `budget` (edges to settle here and now) is left.

    What exceeds it waits in the settle set for `promote`.
    """
    tx.topics.add("done")
    free_keys(tx, [job.id for job in ended])
    return cascade(tx, ended, budget) if tx.value("any_edge") else budget


def _cut_edges_into(tx: Tx, children: str) -> None:
    """An ended job waits for nobody; what it waited for is kept, should it be revived."""
    tx.run("cut_edges", (children,))
    _drop_edges_into(tx, children)


def _drop_edges_into(tx: Tx, children: str) -> None:
    tx.run("drop_edges_into", (children,))
    tx.run("drop_adrift_into", (children,))


def cascade(tx: Tx, parents: Iterable[Ended], budget: int) -> int:
    """Settle the edges of ended parents, of the children that this ends, and so on: a queue, no recursion."""
    waiting = deque(parents)
    if len(waiting) > 1 and all(parent.state == State.COMPLETED for parent in waiting):
        settled = _all_completed(tx, waiting, budget)
        if settled is not None:
            budget, waiting = settled
    while waiting:
        parent = waiting.popleft()
        done_well = parent.state == State.COMPLETED
        edges = tx.rows("edges_of", (parent.n, done_well, budget + 1))
        if len(edges) > budget:
            tx.run("put_settle", parent)
            edges = edges[:budget]
        if not edges:
            continue
        budget -= len(edges)
        if done_well:
            tx.run("drop_edges_up_to", (parent.n, edges[-1][0]))
        else:
            tx.run("drop_edges", (parent.n, packed([child for child, _ in edges])))
        triggers = [child for child, policy in edges if policy == "trigger"]
        down = {child: 1 for child, its in edges if its != "trigger" and (done_well or its == "run")}
        _release_all(tx, down)
        if triggers and not done_well:
            _release(tx, triggers, UNBOUNDED)
            _drop_edges_into(tx, packed(triggers))
        elif triggers:
            spent = [row[0] for row in _count_down(tx, dict.fromkeys(triggers, 1))]
            waiting.extend(_doom(tx, spent, State.CANCELLED, NOT_TRIGGERED))
        for policy, state in (("cancel", State.CANCELLED), ("fail", State.FAILED)):
            hit = [child for child, its in edges if not done_well and its == policy]
            if hit:
                tx.run("cut_cause", (parent.n, packed(hit), policy))
                waiting.extend(_doom(tx, hit, state, f"parent {parent.id} {parent.state}"))
    return budget


def _all_completed(tx: Tx, parents: Iterable[Ended], budget: int) -> tuple[int, deque[Ended]] | None:
    """The usual case in one go: what is left of the budget, and which children this ended. None if there are too many."""
    numbers = packed([parent.n for parent in parents])
    edges = tx.rows("edges_of_all", (numbers, budget + 1))
    if len(edges) > budget:
        return None
    if not edges:
        return budget, deque()
    tx.run("drop_edges_of_all", (numbers,))
    down: dict[int, int] = {}
    triggers: set[int] = set()
    for _, child, policy in edges:
        down[child] = down.get(child, 0) + 1
        if policy == "trigger":
            triggers.add(child)
    spent = [row[0] for row in _count_down(tx, {child: down.pop(child) for child in triggers})]
    _release_all(tx, down)
    return budget - len(edges), deque(_doom(tx, spent, State.CANCELLED, NOT_TRIGGERED))


def _count_down(tx: Tx, down: dict[int, int]) -> list[Row]:
    """Let these children wait for so many fewer; those that wait for nobody any more are left to the caller."""
    if not down:
        return []
    rows = tx.rows("blocked", (packed(list(down)),))
    tx.many("wait_for", [(row[0], row[1] - down[row[0]]) for row in rows if row[1] > down[row[0]]])
    return [row for row in rows if row[1] <= down[row[0]]]


def _release(tx: Tx, children: list[int], parents: int) -> None:
    """These blocked jobs wait for so many parents fewer; those that wait for none any more may run."""
    if not children:
        return
    children.sort()  # in the order in which they were enqueued
    first = tx.count_on("seq", len(children))
    free: list[int] = []
    moves: dict[tuple[str, str], list[int]] = {}
    for n, queue, state in tx.rows("release", (packed(children), tx.now, first, parents)):
        if state != State.BLOCKED:
            free.append(n)
            moves.setdefault((queue, state), []).append(n)
    for (queue, state), released in moves.items():
        tx.moved(queue, State.BLOCKED, state, len(released))
        tx.tell(state, released)
    enter(tx, free)


def _release_all(tx: Tx, down: dict[int, int]) -> None:
    for parents in set(down.values()):
        _release(tx, [child for child, n in down.items() if n == parents], parents)


def _doom(tx: Tx, children: list[int], state: State, reason: str) -> list[Ended]:
    rows = tx.rows("doomed", (packed(children),)) if children else []
    if not rows:
        return []
    numbers = packed([n for n, _, _ in rows])
    tx.run("doom", (numbers, state.value, reason, tx.now))
    _cut_edges_into(tx, numbers)
    for _, _, queue in rows:
        tx.moved(queue, State.BLOCKED, state)
    _tally(tx, "doom", numbers)
    _bury(tx, state, numbers)
    tx.tell(state, [n for n, _, _ in rows])
    free_keys(tx, [id for _, id, _ in rows])
    tx.topics.add("done")
    return [Ended(n, id, state.value) for n, id, _ in rows]


def end_pending(tx: Tx, rows: list[Row], state: State, reason: str | None, tally: str, budget: int) -> int:
    """End jobs that no worker holds: `rows` are (n, id, queue, state), `tally` is what they count as. What is left of
    `budget`."""
    numbers = packed([row[0] for row in rows])
    tx.run("end_these", (numbers, state.value, reason, tx.now))
    _tally(tx, tally, numbers)
    _bury(tx, state, numbers)
    tx.tell(state, [row[0] for row in rows])
    if tx.value("any_edge"):
        _cut_edges_into(tx, numbers)
    for _, _, queue, old in rows:
        tx.moved(queue, old, state)
    return leave(tx, [Ended(n, id, state.value) for n, id, _, _ in rows], budget)


def _tally(tx: Tx, name: str, numbers: str) -> None:
    """Count ends that no attempt made."""
    minute = tx.now - tx.now % MINUTE
    tx.many("add_tally", [(minute, queue, kind, name, 0, n) for queue, kind, n in tx.rows("ends_of", (numbers,))])


def _bury(tx: Tx, state: State, numbers: str) -> None:
    if state is State.FAILED:
        tx.run("bury", (numbers, tx.now, None, None))


def remove(tx: Tx, rows: list[Row]) -> None:
    """Delete jobs with all that hangs on them: `rows` are (n, id, queue, state). None may have open edges to children."""
    numbers = packed([row[0] for row in rows])
    free_keys(tx, [row[1] for row in rows])
    if tx.value("any_edge"):
        _drop_edges_into(tx, numbers)
    for name, any_there in zip(_HANGING, tx.rows("any_hanging")[0], strict=True):
        if any_there:
            tx.run(name, (numbers,))
    tx.run("delete_jobs", (numbers,))
    for _, _, queue, old in rows:
        tx.moved(queue, old, None)


_HANGING = ("delete_tags", "delete_log", "delete_ledger", "delete_cut", "delete_steps", "delete_mail")
"""What hangs on jobs; many a store has none of it, so each is asked for first. In the order of `any_hanging`."""
