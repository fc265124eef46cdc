"""Tallies: written down in the transaction that counts them, one row a call, and added up now and then.

A call of `finish` counts in 40 places (buckets of two histograms) and in three more for each user; adding each to its sum took
3 us, a third of a call. One row of text takes 5 us in all, and a sum is written once for what many calls added.
"""

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from windlass.store.sqlite.transaction import Row, Tx, View, packed
from windlass.values.clock import Micros
from windlass.values.metrics import MINUTE, MetricQuery, Point, Tally

MOST_SPOOLED = 3_000
"""Beyond so much the spool is added up: half a millisecond for a few kinds, 10 ms when each item is of another user."""
_ROW = 20
"""What a row weighs beside its items, so that there are never very many rows."""
_ITEMS = msgspec.json.Decoder(list[Tally])
_Sums: TypeAlias = dict[tuple[str, str, str], dict[int, int]]
"""By queue, kind and name, by bucket."""


def note(tx: Tx, counted: Sequence[Tally]) -> None:
    """What a call counted."""
    weight = _ROW + sum([len(each.values) for each in counted])
    tx.run("spool", (tx.now - tx.now % MINUTE, packed(counted), weight))
    if tx.db.last_insert_rowid() >= MOST_SPOOLED:
        add_up(tx)


def add_up(tx: Tx) -> None:
    """Empty the spool."""
    spool = _sums(tx.rows("spooled"))
    if spool:
        for minute, sums in spool.items():
            rows = [(minute, *key, bucket, n) for key, values in sums.items() for bucket, n in values.items()]
            tx.many("add_tally", sorted(rows))
        tx.run("empty_spool")


def _sums(rows: Sequence[Row]) -> dict[Micros, _Sums]:
    """What rows of the spool come to, by minute."""
    found: dict[Micros, _Sums] = {}
    for minute, text in rows:
        sums = found.setdefault(minute, {})
        for queue, kind, name, values in _ITEMS.decode(text):
            known = sums.setdefault((queue, kind, name), {})
            for bucket, n in values.items():
                known[bucket] = known.get(bucket, 0) + n
    return found


def metrics(view: View, query: MetricQuery) -> list[Point]:
    """Sums, with what is still in the spool. Both are looked at in one instant."""
    names = [name for name in query.names if not name.endswith("*")]
    prefixes = [name[:-1] for name in query.names if name.endswith("*")]
    chosen = [packed(list(some)) if some else None for some in (query.queues, query.kinds)]
    named = packed(names) if query.names else None
    view.db.execute("savepoint metrics")
    try:
        rows = view.rows("tallies", (query.since, query.until, *chosen, named, packed(prefixes)))
        spool = view.rows("spooled")
    finally:
        view.db.execute("release metrics")
    late = _sums([row for row in spool if query.since <= row[0] < query.until])
    if not late:
        return [Point(*row) for row in rows]
    at = next((at for at, row in enumerate(rows) if row[0] >= min(late)), len(rows))
    for minute, queue, kind, name, bucket, n in rows[at:]:
        known = late.setdefault(minute, {}).setdefault((queue, kind, name), {})
        known[bucket] = known.get(bucket, 0) + n
    points = [Point(*row) for row in rows[:at]]
    for minute, sums in sorted(late.items()):
        for (queue, kind, name), values in sorted(sums.items()):
            if _is_asked(query, queue, kind, name):
                points += [Point(minute, queue, kind, name, bucket, n) for bucket, n in sorted(values.items())]
    return points


def _is_asked(query: MetricQuery, queue: str, kind: str, name: str) -> bool:
    if (query.queues and queue not in query.queues) or (query.kinds and kind not in query.kinds):
        return False
    if not query.names:
        return ":" not in name
    return any(name.startswith(each[:-1]) if each.endswith("*") else name == each for each in query.names)
