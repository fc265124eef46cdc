"""What operators did: writing entries that no verb writes, and reading them back."""

from collections.abc import Sequence
from typing import Any

from windlass.errors import InvalidOption
from windlass.store.sqlite.transaction import Tx, View
from windlass.values.query import AuditEntry, AuditQuery

MOST_ACTS = 10_000


def note_acts(tx: Tx, acts: Sequence[AuditEntry]) -> None:
    tx.many("add_audit", [(tx.now, act.actor, act.action, act.target, act.detail) for act in acts])


def audit(view: View, query: AuditQuery, tables: dict[str, str]) -> list[AuditEntry]:
    """Newest first; entries are numbered in the order in which they were written."""
    terms = ["true"]
    values: list[Any] = []
    for column, wanted in (("target", query.target), ("action", query.action), ("actor", query.actor)):
        if wanted is None:
            continue
        if wanted.endswith("*") and column != "actor":
            terms.append(f"substr({column}, 1, ?) = ?")
            values += [len(wanted) - 1, wanted[:-1]]
        else:
            terms.append(f"{column} = ?")
            values.append(wanted)
    bounds = (("at >= ?", query.since), ("at < ?", query.until), ("k < ?", _number(query.before)))
    for term, value in bounds:
        if value is not None:
            terms.append(term)
            values.append(value)
    chosen = f"select at, actor, action, target, detail, k from {tables['audit']} where {' and '.join(terms)}"
    limit = max(0, min(query.limit, MOST_ACTS))
    rows = view.db.execute(f"{chosen} order by k desc limit {limit}", values).fetchall()
    return [AuditEntry(*row[:5], id=f"{row[5]:016d}") for row in rows]


def _number(id: str | None) -> int | None:
    if id is None or (id.isascii() and id.isdigit() and len(id) <= 18):
        return None if id is None else int(id)
    raise InvalidOption(
        f"before is {id[:100]!r}; it must be the `id` of an earlier entry",
        field="before",
        value=id[:100],
        limit="the `id` of an entry",
        mend="start again without one",
    )
