"""What time does to jobs: promotion of due ones, the end of expired ones, pruning of old ones."""

from collections.abc import Iterator

from windlass.store.sqlite.leasing import next_due
from windlass.store.sqlite.lines import enter
from windlass.store.sqlite.revival import revive_left
from windlass.store.sqlite.settle import Ended, cascade, end_pending, remove
from windlass.store.sqlite.sweeping import sweep
from windlass.store.sqlite.transaction import Row, Tx, View
from windlass.values.clock import Micros
from windlass.values.lease import Promoted
from windlass.values.metrics import MINUTE
from windlass.values.priority import order
from windlass.values.query import Retention
from windlass.values.states import State

_FORGET_WORKERS: Micros = 86_400_000_000


def next_event(view: View) -> Micros | None:
    """Microseconds until promote has something to do; 0 for now, None if nothing is known."""
    if view.value("any_settle") or view.value("any_revive"):
        return 0
    times = [next_due(view)]
    expiry = view.value("next_expiry")
    if expiry is not None:
        times.append(max(expiry - view.now, 0))
    return min((at for at in times if at is not None), default=None)


def promote(tx: Tx, limit: int) -> Promoted:
    moved, more = _due(tx, limit)
    ended = _expire(tx, limit)
    settled = _settle(tx, limit)
    revive_left(tx, limit)
    more = more or ended == limit or bool(tx.value("any_settle")) or bool(tx.value("any_revive"))
    return Promoted(moved=moved + ended + settled, wait=next_event(tx), more=more)


def _due(tx: Tx, limit: int) -> tuple[int, bool]:
    """Due jobs get a new place, in the order of their times."""
    found: list[tuple[Row, str]] = []
    for (queue,) in tx.rows("due_queues"):
        for what in ("due_in", "overslept_in"):
            found += [(row, queue) for row in tx.rows(what, (queue, tx.now, limit))]
    found.sort()
    more = len(found) >= limit
    del found[limit:]
    if not found:
        return 0, False
    states = {n: tx.value("due_state", (n,)) for (_, n, _), _ in found}
    first = tx.count_on("seq", len(found))
    tx.many("promote_one", ((n, order(priority, first + place)) for place, ((_, n, priority), _) in enumerate(found)))
    enter(tx, list(states))
    for (_, n, _), queue in found:
        tx.moved(queue, states[n], State.WAITING)
    return len(found), more


def _expire(tx: Tx, limit: int) -> int:
    rows = tx.rows("expired", (tx.now, limit))
    if rows:
        end_pending(tx, rows, State.CANCELLED, "expired", limit)
    return len(rows)


def _settle(tx: Tx, limit: int) -> int:
    """Parents of the settle set, until `limit` edges are done; how many were."""
    budget = limit
    while budget > 0:
        row = tx.one("take_settle")
        if row is None:
            break
        tx.run("drop_settle", (row[0],))  # cascade puts it back if it cannot do all
        budget = cascade(tx, [Ended(*row)], budget)
    return limit - budget


def prune(tx: Tx, retention: Retention, limit: int) -> int:
    left = limit
    for rows in _old(tx, retention, limit):
        chosen = rows[:left]
        if chosen:
            remove(tx, chosen)
            left -= len(chosen)
        if left <= 0:  # there is more: what does not hang on jobs is looked through once, by the last call
            return limit
    if retention.metrics is not None:
        tx.run("prune_tally", ((tx.now - retention.metrics) // MINUTE * MINUTE,))
    if retention.audit is not None:
        tx.run("prune_audit", (tx.now - retention.audit,))
    tx.run("prune_record", (tx.now,))
    tx.run("lapse_keys", (tx.now,))
    tx.run("prune_key", (tx.now,))
    tx.run("prune_worker", (tx.now - _FORGET_WORKERS,))
    sweep(tx)
    return limit - left


def _old(tx: Tx, retention: Retention, limit: int) -> Iterator[list[Row]]:
    """(n, id, queue, state) of jobs past their age, then of those beyond the number to keep."""
    ages = {
        State.COMPLETED: retention.completed,
        State.FAILED: retention.failed,
        State.CANCELLED: retention.cancelled,
    }
    keeps = {State.COMPLETED: retention.keep_completed, State.FAILED: retention.keep_failed}
    for queue, state, _ in tx.rows("final_counts"):
        age = ages[State(state)]
        if age is not None:
            yield [(*row, queue, state) for row in tx.rows("aged", (queue, state, tx.now - age, limit))]
    for queue, state, n in tx.rows("final_counts"):
        keep = keeps.get(State(state))
        if keep is not None:
            surplus = n + tx.moves.get((queue, state), 0) - keep
            if surplus > 0:
                yield [(*row, queue, state) for row in tx.rows("oldest", (queue, state, surplus, limit))]
