"""Requeued jobs that wait for their parents again, and the jobs brought back that a parent's end had ended."""

from collections import deque
from collections.abc import Sequence

from windlass.store.protocol import INLINE_EDGES
from windlass.store.sqlite.lines import enter
from windlass.store.sqlite.noting import forget
from windlass.store.sqlite.transaction import Row, Tx, packed
from windlass.store.sqlite.uniqueness import take_again
from windlass.values.priority import order
from windlass.values.states import FINAL, State


def again(tx: Tx, requeued: Sequence[int], *, revive: bool) -> None:
    """After a requeue: with `revive` these jobs wait for their parents, and what their end had ended comes back."""
    blocked: set[int] = set()
    if requeued and tx.value("any_cut"):
        if revive:
            blocked = _wait_again(tx, requeued)
            _spread(tx, requeued, INLINE_EDGES)
        else:
            tx.run("drop_cut_into", (packed(requeued),))
    tx.tell(State.WAITING, [n for n in requeued if n not in blocked])
    enter(tx, requeued)


def revive_left(tx: Tx, budget: int) -> None:
    """Go on where a large revival stopped. A parent that has failed again has nothing to revive."""
    while budget > 0:
        row = tx.one("take_revive")
        if row is None:
            return
        tx.run("drop_revive", (row[0],))
        if row[1] is not None and row[1] not in (State.FAILED, State.CANCELLED):
            budget = _spread(tx, (row[0],), budget)


def _spread(tx: Tx, parents: Sequence[int], budget: int) -> int:
    """Down the subtree, level by level; what is left of the budget. What exceeds it waits in the revive set."""
    waiting = deque(parents)
    while waiting:
        parent = waiting.popleft()
        rows = tx.rows("ended_by", (parent, budget + 1))
        if len(rows) > budget:
            tx.run("put_revive", (parent,))
            rows = rows[:budget]
        budget -= len(rows)
        revived = [row[0] for row in rows if _revive(tx, parent, row)]
        blocked = _wait_again(tx, revived)
        tx.tell(State.WAITING, [n for n in revived if n not in blocked])
        enter(tx, revived)
        waiting.extend(revived)
    return budget


def _revive(tx: Tx, parent: int, row: Row) -> bool:
    """Requeue one; not if another job has taken its unique key."""
    n, id, queue, state, priority, key, mode = row
    if take_again(tx, id, key, mode) is not None:
        tx.run("not_by", (parent, n))
        return False
    tx.run("requeue", (n, order(priority, tx.count_on("seq")), tx.now, False, None, None))
    tx.run("exhume", (packed([n]), False))
    forget(tx, packed([n]))
    tx.moved(queue, state, State.WAITING)
    return True


def _wait_again(tx: Tx, children: Sequence[int]) -> set[int]:
    """Restore the edges of these waiting jobs to parents that have not completed; ended ones hold them. Those that wait now."""
    if not children:
        return set()
    names = packed(list(children))
    waits: dict[int, int] = {}
    queues: dict[int, str] = {}
    for child, parent, policy, state, queue in tx.rows("cut_into", (names,)):
        tx.run("insert_edge", (parent, child, "hold" if state in FINAL else policy))
        waits[child], queues[child] = waits.get(child, 0) + 1, queue
    tx.many("block", waits.items())
    for queue in queues.values():
        tx.moved(queue, State.WAITING, State.BLOCKED)
    tx.tell(State.BLOCKED, list(waits))
    tx.run("drop_cut_into", (names,))
    return set(waits)
