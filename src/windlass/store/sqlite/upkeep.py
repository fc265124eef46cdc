"""What time does to jobs: promotion of due ones, the end of expired ones."""

from windlass.store.sqlite.leasing import next_due
from windlass.store.sqlite.lines import enter
from windlass.store.sqlite.revival import revive_left
from windlass.store.sqlite.settle import Ended, cascade, end_pending
from windlass.store.sqlite.transaction import Row, Tx, View
from windlass.values.clock import Micros
from windlass.values.lease import Promoted
from windlass.values.priority import order
from windlass.values.states import Event, State


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
    tx.tell(State.WAITING, list(states))
    return len(found), more


def _expire(tx: Tx, limit: int) -> int:
    rows = tx.rows("expired", (tx.now, limit))
    if rows:
        end_pending(tx, rows, State.CANCELLED, "expired", Event.EXPIRE.value, limit)
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
