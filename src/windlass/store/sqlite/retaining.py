"""What is kept how long: old jobs go, old ones are made lighter, and so does what is written beside them."""

import heapq
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from windlass.store.protocol import PAST_STEP
from windlass.store.sqlite import journal
from windlass.store.sqlite.remembering import forget, remember
from windlass.store.sqlite.settle import remove
from windlass.store.sqlite.sweeping import sweep
from windlass.store.sqlite.tallying import add_up
from windlass.store.sqlite.transaction import Row, Tx, View, packed
from windlass.values.clock import Micros
from windlass.values.metrics import MINUTE
from windlass.values.query import SPARED, Keep, Retention
from windlass.values.states import FINAL, State

LOOKED = 2_000
"""Ended jobs that one call looks at for something to take from them."""
_FORGET_WORKERS: Micros = 86_400_000_000


def prune(tx: Tx, retention: Retention, limit: int) -> int:
    touched = _prune(tx, retention, limit)
    return max(touched, forget(tx, retention, limit * PAST_STEP))


def _prune(tx: Tx, retention: Retention, limit: int) -> int:
    left = limit
    for rows in _old(tx, retention, limit):
        chosen = rows[:left]
        if chosen:
            if retention.remembers:
                remember(tx, chosen)
            remove(tx, chosen)
            left -= len(chosen)
        if left <= 0:  # there is more: what does not hang on jobs is looked through once, by the last call
            return limit
    for walk, age in ((_LOGS, retention.logs), (_RESULTS, retention.results), (_ARCHIVE, retention.archive)):
        if age is not None:
            left -= _walk(tx, walk, tx.now - age, left)
        if left <= 0:
            return limit
    add_up(tx)
    if retention.metrics is not None:
        tx.run("prune_tally", ((tx.now - retention.metrics) // MINUTE * MINUTE,))
    if retention.audit is not None:
        tx.run("prune_audit", (tx.now - retention.audit,))
    tx.run("prune_record", (tx.now,))
    tx.run("lapse_keys", (tx.now,))
    tx.run("prune_key", (tx.now,))
    tx.run("prune_worker", (tx.now - _FORGET_WORKERS,))
    journal.trim(tx)
    sweep(tx)
    return limit - left


def ledger_differs(view: View) -> bool:
    """Whether a version that does not know the ledger has failed or requeued jobs."""
    return bool(view.value("ledger_differs"))


def mend_ledger(tx: Tx) -> None:
    """Dead letters join their groups, and what is none any more leaves them."""
    tx.run("exhume_forgotten")
    tx.run("bury_forgotten", (LOOKED,))


def _old(tx: Tx, retention: Retention, limit: int) -> Iterator[list[Row]]:
    """(n, id, queue, state) of jobs past their age, then of those beyond the number to keep."""
    for queue, state, _ in tx.rows("final_counts"):
        age = _age(retention.queues.get(queue, retention), state)
        if age is not None:
            yield [(*row, queue, state) for row in tx.rows("aged", (queue, state, tx.now - age, limit))]
    for queue, state, n in tx.rows("final_counts"):
        most = _most(retention.queues.get(queue, retention), state)
        if most is not None:
            surplus = n + tx.moves.get((queue, state), 0) - most
            if surplus > 0:
                yield [
                    (*row, queue, state) for row in tx.rows("oldest", (queue, state, surplus, limit, tx.now - SPARED))
                ]


def _age(keep: Keep, state: str) -> Micros | None:
    return {State.COMPLETED: keep.completed, State.FAILED: keep.failed}.get(State(state), keep.cancelled)


def _most(keep: Keep, state: str) -> int | None:
    return {State.COMPLETED: keep.keep_completed, State.FAILED: keep.keep_failed}.get(State(state))


class Walk(NamedTuple):
    """A way through the final jobs of some states, by the time of their end. The statement `walk_<name>` finds them and says
    which of them have what the statements `takes` take away."""

    name: str
    states: tuple[State, ...]
    takes: tuple[str, ...]


_LOGS = Walk("logs", FINAL, ("delete_log", "delete_steps", "delete_mail"))
_RESULTS = Walk("results", (State.COMPLETED,), ("drop_results",))
_ARCHIVE = Walk("archive", (State.FAILED,), ("archive_these",))


def _walk(tx: Tx, walk: Walk, until: Micros, left: int) -> int:
    """Go on behind the job last looked at; from how many jobs something was taken (or 1, if more are to be looked at)."""
    at, job = tx.one("walked", (walk.name,)) or (-1, 0)
    queues = [(queue, state) for queue, state, _ in tx.rows("final_counts") if state in walk.states]
    lines = [tx.run(f"walk_{walk.name}", (queue, state, at, job, until)) for queue, state in queues]
    last: tuple[int, int] | None = None
    laden: list[int] = []
    looked = 0
    for ended, n, has in islice(heapq.merge(*lines), LOOKED):
        last = (ended, n)
        looked += 1
        if has:
            laden.append(n)
        if len(laden) == left:
            break
    del lines  # open cursors would still look at the rows that the next statements change
    for statement in walk.takes if laden else ():
        tx.run(statement, (packed(laden),))
    if last is not None:
        tx.run("walk_on", (walk.name, *last))
    return max(len(laden), looked == LOOKED)
