"""What remains of jobs that retention deleted."""

from windlass.store.sqlite.transaction import Row, Tx, View, packed
from windlass.values.job import REMAINS
from windlass.values.query import Past, Retention, read_past


def remember(tx: Tx, rows: list[Row]) -> None:
    """Jobs that are about to be deleted: `rows` begin with their numbers."""
    tx.run("remember", (packed([row[0] for row in rows]), tx.now))


def forget(tx: Tx, retention: Retention, most: int) -> bool:
    """Drop up to `most` of what is too old or too many, the oldest first; whether there is more. The numbers have no gaps."""
    first: int | None = tx.value("past_first")
    if first is None:
        return False
    end = first  # what goes is before it
    if retention.history is not None:
        old = tx.value("past_old", (first + most, tx.now - retention.history))
        end = first if old is None else old + 1
    if retention.keep_history is not None:
        end = max(end, min(first + most, tx.value("past_last") + 1 - retention.keep_history))
    if end > first:
        tx.run("forget_past", (end - 1,))
    return end - first == most


def past(view: View, id: str) -> Past | None:
    row = view.one("past", (id,))
    return None if row is None else read_past(dict(zip(REMAINS, row[1:], strict=True)), row[0])
