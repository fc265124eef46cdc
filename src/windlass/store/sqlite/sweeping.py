"""Taking away lines, limits and meters that nothing uses any more."""

from windlass.store.sqlite.meters import forget
from windlass.store.sqlite.transaction import Tx, packed
from windlass.values.clock import Micros

MOST_SWEPT = 5_000
"""Of each kind, in one call."""
_UNUSED: Micros = 86_400_000_000
"""A limit that nothing has used for so long is forgotten; one of a whole queue or kind has no job to bring it back."""


def sweep(tx: Tx) -> None:
    _mark_empty(tx)
    lines = [k for (k,) in tx.rows("sweepable_lines", (MOST_SWEPT,))]
    if lines:
        tx.run("delete_ties", (packed(lines),))
        groups = tx.rows("groups_of_lines", (packed(lines),))
        tx.run("delete_lines", (packed(lines),))
        tx.many("drop_fronts", groups)
    for (k,) in tx.rows("unused_limits", (tx.now - _UNUSED, tx.now, MOST_SWEPT)):
        tx.run("drop_limit", (k,))
        forget(tx, k)
    for (meter,) in tx.rows("stale_meters", (tx.now, MOST_SWEPT)):
        forget(tx, meter)


def _mark_empty(tx: Tx) -> None:
    """Lines whose last jobs were cancelled rather than claimed; some lines each time, round and round."""
    last = tx.value("counter", ("swept",)) or 0
    rows = tx.rows("stale_lines", (last, MOST_SWEPT))
    tx.many("empty_line", [(k,) for k, has_jobs in rows if not has_jobs])
    tx.run("front_lines", (packed([k for k, has_jobs in rows if has_jobs]),))  # of lines that an older version moved
    if rows or last:
        tx.run("set_counter", ("swept", rows[-1][0] if len(rows) == MOST_SWEPT else 0))
