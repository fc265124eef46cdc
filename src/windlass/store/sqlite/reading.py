"""Looking at jobs and what stands beside them; nothing here writes."""

from collections.abc import Sequence
from typing import Any

import msgspec

from windlass.store.sqlite.statements import RECORD_COLUMNS
from windlass.store.sqlite.transaction import Row, View, packed
from windlass.values.clock import Micros
from windlass.values.job import RECORD, Job, read_job
from windlass.values.lease import StoredLine, WorkerInfo
from windlass.values.metrics import MetricQuery, Point
from windlass.values.query import AuditEntry, Count, Page, Where
from windlass.values.queue import AGEING, QueueInfo
from windlass.values.states import State

MOST_JOBS = 1_000
SCANNED = 5_000
"""Jobs that one page looks at when its filter has no index of its own; the page may be short."""
_WORKER = msgspec.json.Decoder(WorkerInfo)


def job(view: View, id: str) -> Job | None:
    row = view.one("job", (id,))
    return None if row is None else _job(row)


def outcomes(view: View, ids: Sequence[str]) -> dict[str, Job]:
    found = [_job(row) for row in view.rows("outcomes", (packed(list(ids)),))]
    return {each.id: each for each in found}


def _job(row: Row) -> Job:
    return read_job(dict(zip(RECORD, row, strict=True)))


class Filter:
    """A `Where` as SQL: conditions on `{job}` with their values."""

    def __init__(self, where: Where) -> None:
        self.terms: list[str] = []
        self.values: list[Any] = []
        for column, wanted in (("id", where.ids), ("state", where.states), ("queue", where.queues)):
            if wanted:
                self.add(f"{column} in (select value from json_each(?))", packed(list(wanted)))
        for column in ("user", "project", "group", "workflow", "unique"):
            value = getattr(where, column)
            if value is not None:
                self.add(f"{_COLUMN.get(column, column)} = ?", value)
        if where.kinds:
            exact = [kind for kind in where.kinds if not kind.endswith("*")]
            either = ["kind in (select value from json_each(?))"]
            values: list[Any] = [packed(exact)]
            for prefix in (kind[:-1] for kind in where.kinds if kind.endswith("*")):
                either.append("substr(kind, 1, ?) = ?")
                values += [len(prefix), prefix]
            self.add(f"({' or '.join(either)})", *values)
        for column in ("created", "finished"):
            for edge, sign in (("from", ">="), ("to", "<")):
                value = getattr(where, f"{column}_{edge}")
                if value is not None:
                    self.add(f"{column}_at {sign} ?", value)

    def add(self, term: str, *values: Any) -> None:
        self.terms.append(term)
        self.values += values

    def sql(self) -> str:
        return " and ".join(self.terms) or "true"


_COLUMN = {"group": "grp", "unique": "ukey"}
_INDEXED = ("user", "project", "group", "workflow", "unique")


def jobs(view: View, where: Where, cursor: str | None, limit: int, tables: dict[str, str]) -> Page[Job]:
    limit = max(1, min(limit, MOST_JOBS))
    rows, following = _page(view, where, cursor, limit, tables, RECORD_COLUMNS, newest=True)
    return Page([_job(row) for row in rows], following)


def candidates(
    view: View,
    where: Where,
    states: Sequence[State],
    extra: tuple[str, tuple[Any, ...]],
    limit: int,
    tables: dict[str, str],
    after: str | None = None,
) -> tuple[list[Row], bool]:
    """(id, number) of up to `limit` jobs of these states that match, oldest first, and whether there are more. `after`: those
    past this id come first, then the others, so that a call that goes on from another finds what it looks for at once."""
    kept = tuple(state for state in states if not where.states or state in where.states)
    if not kept:
        return [], False
    narrowed = msgspec.structs.replace(where, states=kept)
    found: list[Row] = []
    for start, end in ((after, None),) if after is None else ((after, None), (None, after)):
        cursor = start
        while True:
            need = limit + 1 - len(found)
            rows, cursor = _page(view, narrowed, cursor, need, tables, "id, n", newest=False, extra=extra)
            found += rows if end is None else [row for row in rows if row[0] <= end]
            if len(found) > limit:
                return found[:limit], True
            if cursor is None or (end is not None and cursor >= end):
                break
    return found, False


def _page(
    view: View,
    where: Where,
    cursor: str | None,
    limit: int,
    tables: dict[str, str],
    columns: str,
    newest: bool,
    extra: tuple[str, tuple[Any, ...]] = ("", ()),
) -> tuple[list[Row], str | None]:
    """Rows of a page (their first column is the id) and the cursor of the next."""
    wanted = Filter(where)
    if extra[0]:
        wanted.add(extra[0], *extra[1])
    table = tables["job"]
    direction, sign = ("desc", "<") if newest else ("asc", ">")
    past = f"id {sign} ?" if cursor is not None else "true"
    at = [cursor] if cursor is not None else []
    chosen = _chosen(view, where, tables, newest)
    if where.tags and (chosen is None or where.ids):
        tagged = f"select 1 from {tables['tag']} where job = n and tag in (select value from json_each(?))"
        wanted.add(f"exists ({tagged})", packed(list(where.tags)))
    if chosen is not None:
        source, values = chosen
        terms = f"n in ({source}) and {past} and {wanted.sql()}"
        text = f"select {columns} from {table} where {terms} order by id {direction} limit ?"
        rows = view.db.execute(text, (*values, *at, *wanted.values, limit)).fetchall()
        return rows, rows[-1][0] if len(rows) == limit else None
    by = [name for name in _INDEXED if getattr(where, name) is not None][:1]
    narrow = f"{_COLUMN.get(by[0], by[0])} = ? and {past}" if by else past
    first = [*(getattr(where, name) for name in by), *at]
    span = f"select * from {table} where {narrow} order by id {direction} limit {SCANNED}"
    text = f"select {columns} from ({span}) where {wanted.sql()} order by id {direction} limit ?"
    rows = view.db.execute(text, (*first, *wanted.values, limit)).fetchall()
    if len(rows) == limit:
        return rows, rows[-1][0]
    last = f"select id from {table} where {narrow} order by id {direction} limit 1 offset {SCANNED - 1}"
    end = view.db.execute(last, first).fetchone()
    return rows, None if end is None else end[0]


def _chosen(view: View, where: Where, tables: dict[str, str], newest: bool) -> tuple[str, list[Any]] | None:
    """A source of job numbers that is small: the named ids, tags, or states that hold few jobs now. A command has no use for
    tags of many jobs, all of which it would read again at each call."""
    if where.ids:
        return f"select n from {tables['job']} where id in (select value from json_each(?))", [packed(list(where.ids))]
    if where.tags:
        source = f"select job from {tables['tag']} where tag in (select value from json_each(?))"
        values = [packed(list(dict.fromkeys(where.tags)))]
        is_large = not newest and view.db.execute(f"{source} limit 1 offset {SCANNED}", values).fetchone() is not None
        return None if is_large else (source, values)
    if not where.states or any(getattr(where, name) is not None for name in _INDEXED):
        return None
    held: dict[str, int] = {}
    for _, state, n in view.rows("counts"):
        held[state] = held.get(state, 0) + n
    if sum(held.get(state, 0) for state in where.states) > SCANNED:
        return None
    return " union all ".join(view.sql[f"of_{state}"] for state in where.states), []


def counts(view: View) -> list[Count]:
    return [Count(queue, State(state), n) for queue, state, n in view.rows("counts")]


def queues(view: View) -> list[QueueInfo]:
    return [
        QueueInfo(name=name, paused=bool(paused), paused_at=at, order=order, ageing=ageing or AGEING)
        for name, paused, at, order, ageing in view.rows("queues")
    ]


def workers(view: View) -> list[WorkerInfo]:
    return [
        msgspec.structs.replace(_WORKER.decode(info), seen_at=seen_at, claimed_at=claimed_at)
        for info, seen_at, claimed_at in view.rows("workers", (view.now,))
    ]


def log(view: View, id: str, limit: int) -> list[StoredLine]:
    return [StoredLine(*row) for row in view.rows("log", (id, limit))]


def audit(view: View, target: str | None, limit: int) -> list[AuditEntry]:
    rows = view.rows("audit", (limit,)) if target is None else view.rows("audit_of", (target, limit))
    return [AuditEntry(*row) for row in rows]


def metrics(view: View, query: MetricQuery) -> list[Point]:
    chosen = [packed(list(names)) if names else None for names in (query.queues, query.kinds, query.names)]
    since: Micros = query.since
    return [Point(*row) for row in view.rows("tallies", (since, query.until, *chosen))]
