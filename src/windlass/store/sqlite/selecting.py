"""Jobs by filter: pages of them, those that a command acts on, how many there are."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from windlass.store.sqlite.reading import job_of
from windlass.store.sqlite.statements import record_columns
from windlass.store.sqlite.transaction import Row, View, packed
from windlass.values.clock import END_OF_TIME
from windlass.values.job import Job
from windlass.values.query import Page, Where
from windlass.values.states import FINAL, State

MOST_JOBS = 1_000
SCANNED = 5_000
"""Jobs that one page looks at when its filter has no index of its own; the page may be short."""
MOST_COUNTED = 10_000
LOOKED = 20_000
"""Jobs that a count looks at when its filter has no index of its own."""
_DEAD = f"state = '{State.FAILED}'"
_DUE = "next_retry_at is not null and next_retry_at < ?"


class Filter:
    """A `Where` as SQL: conditions on `{job}` with their values."""

    def __init__(self, where: Where, tables: dict[str, str]) -> None:
        self.terms: list[str] = []
        self.values: list[Any] = []
        for column, wanted in (("id", where.ids), ("state", where.states), ("queue", where.queues)):
            if wanted:
                self.add(f"{column} in (select value from json_each(?))", packed(list(wanted)))
        for column in _INDEXED:
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
        if where.fingerprints:
            group = f"coalesce((select fingerprint from {tables['ledger']} where job = n), '')"
            among = f"{_DEAD} and {group} in (select value from json_each(?))"
            self.add(among, packed(list(where.fingerprints)))
        if where.retry_before is not None:
            due = f"select next_retry_at from {tables['ledger']} where job = n"
            self.add(f"{_DEAD} and ({due}) < ?", where.retry_before)

    def add(self, term: str, *values: Any) -> None:
        self.terms.append(term)
        self.values += values

    def tagged(self, where: Where, tables: dict[str, str]) -> None:
        """Where no source of jobs sees to the tags."""
        tagged = f"select 1 from {tables['tag']} where job = n and tag in (select value from json_each(?))"
        self.add(f"exists ({tagged})", packed(list(where.tags)))

    def sql(self) -> str:
        return " and ".join(self.terms) or "true"


class Source(NamedTuple):
    """Where to look for matching jobs. `numbers`: a query for a few jobs, by number; else `narrow` is a condition on `rows`, of
    which an index gives the jobs in the order of `id`."""

    values: list[Any]
    rows: str
    numbers: str | None = None
    narrow: str = "true"
    id: str = "id"

    def span(self, past: str, direction: str, most: int) -> str:
        """Whole jobs, in the order of their ids."""
        return self._select("job.*" if self.id != "id" else "*", past, direction) + f" limit {most}"

    def end(self, past: str, direction: str, most: int) -> str:
        """The id of the last job of a full span."""
        return self._select(self.id, past, direction) + f" limit 1 offset {most - 1}"

    def _select(self, columns: str, past: str, direction: str) -> str:
        return f"select {columns} from {self.rows} where {self.narrow} and {past} order by {self.id} {direction}"


class Round(NamedTuple):
    """Where a command by filter goes on: behind the id `after`. `until`: it has been through once, and goes through once more
    up to this id, for what has come behind it."""

    after: str | None = None
    until: str | None = None


_COLUMN = {"group": "grp", "unique": "ukey"}
_INDEXED = ("user", "project", "group", "workflow", "unique")


def jobs(view: View, where: Where, cursor: str | None, limit: int, tables: dict[str, str]) -> Page[Job]:
    limit = max(1, min(limit, MOST_JOBS))
    rows, following = _page(view, where, cursor, limit, tables, record_columns(tables["ns"]), newest=True)
    return Page([job_of(row) for row in rows], following)


def candidates(
    view: View,
    where: Where,
    states: Sequence[State],
    extra: tuple[str, tuple[Any, ...]],
    limit: int,
    tables: dict[str, str],
    go_on: Round,
) -> tuple[list[Row], Round | None]:
    """(id, number) of up to `limit` jobs of these states that match, and where to go on if there are more."""
    kept = tuple(state for state in states if not where.states or state in where.states)
    if not kept:
        return [], None
    narrowed = msgspec.structs.replace(where, states=kept)
    found: list[tuple[Row, str | None]] = []
    after, until = go_on
    while True:
        cursor = after
        while True:
            need = limit + 1 - len(found)
            rows, cursor = _page(view, narrowed, cursor, need, tables, "id, n", newest=False, extra=extra)
            found += [(row, until) for row in rows if until is None or row[0] <= until]
            if len(found) > limit:
                last, phase = found[limit - 1]
                return [row for row, _ in found[:limit]], Round(last[0], phase)
            if cursor is None or (until is not None and cursor >= until):
                break
        if until is not None or after is None:
            return [row for row, _ in found], None
        after, until = None, after


def still(view: View, where: Where, numbers: list[int], tables: dict[str, str]) -> set[int]:
    """Which of these jobs match now."""
    wanted = Filter(where, tables)
    if where.tags:
        wanted.tagged(where, tables)
    text = f"select n from {tables['job']} where n in (select value from json_each(?)) and {wanted.sql()}"
    return {n for (n,) in view.db.execute(text, (packed(numbers), *wanted.values))}


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
    wanted = Filter(where, tables)
    if extra[0]:
        wanted.add(extra[0], *extra[1])
    table = tables["job"]
    direction, sign = ("desc", "<") if newest else ("asc", ">")
    at = [cursor] if cursor is not None else []
    source = _source(view, where, tables, None if newest else SCANNED)
    past = f"{source.id} {sign} ?" if cursor is not None else "true"
    if where.tags and (source.numbers is None or where.ids):
        wanted.tagged(where, tables)
    if source.numbers is not None:
        terms = f"n in ({source.numbers}) and {past} and {wanted.sql()}"
        text = f"select {columns} from {table} where {terms} order by id {direction} limit ?"
        rows = view.db.execute(text, (*source.values, *at, *wanted.values, limit)).fetchall()
        return rows, rows[-1][0] if len(rows) == limit else None
    first = [*source.values, *at]
    span = source.span(past, direction, SCANNED)
    text = f"select {columns} from ({span}) where {wanted.sql()} order by id {direction} limit ?"
    rows = view.db.execute(text, (*first, *wanted.values, limit)).fetchall()
    if len(rows) == limit:
        return rows, rows[-1][0]
    end = view.db.execute(source.end(past, direction, SCANNED), first).fetchone()
    return rows, None if end is None else end[0]


def _source(view: View, where: Where, tables: dict[str, str], most_tagged: int | None) -> Source:
    """Jobs by number where they are few: the named ids, those of tags, dead letters by time, states that hold few jobs now. A
    command has no use for tags of many jobs, all of which it would read again at each call: `most_tagged`."""
    job = tables["job"]
    if where.ids:
        named = f"select n from {job} where id in (select value from json_each(?))"
        return Source([packed(list(where.ids))], job, named)
    if where.tags:
        tagged = f"select job from {tables['tag']} where tag in (select value from json_each(?))"
        source = Source([packed(list(dict.fromkeys(where.tags)))], job, tagged)
        if most_tagged is None or _are_few(view, source, most_tagged):
            return source
    if where.retry_before is not None:
        source = Source([where.retry_before], job, f"select job from {tables['ledger']} where {_DUE}")
        if _are_few(view, source, SCANNED):
            return source
    by = [name for name in _INDEXED if getattr(where, name) is not None][:1]
    if len(where.fingerprints) == 1:
        rows = f"{tables['ledger']} as dead cross join {job} as job on job.n = dead.job"
        narrow = "dead.failed_at is not null and dead.fingerprint is ?"
        return Source([where.fingerprints[0] or None], rows, narrow=narrow, id="dead.id")
    if by:
        return Source([getattr(where, by[0])], job, narrow=f"{_COLUMN.get(by[0], by[0])} = ?")
    if where.fingerprints or where.retry_before is not None:
        return Source([], job, narrow=f"state in ('{State.FAILED}', '{State.CANCELLED}') and {_DEAD}")
    if not where.states:
        return Source([], job)
    held: dict[str, int] = {}
    for _, state, n in view.rows("counts"):
        held[state] = held.get(state, 0) + n
    if sum(held.get(state, 0) for state in where.states) > SCANNED:
        return Source([], job)
    return Source([], job, " union all ".join(view.sql[f"of_{state}"] for state in where.states))


def _are_few(view: View, source: Source, most: int) -> bool:
    return view.db.execute(f"{source.numbers} limit 1 offset {most}", source.values).fetchone() is None


def count(view: View, wheres: Sequence[Where], cap: int, tables: dict[str, str]) -> list[int]:
    """How many jobs match each filter, up to `cap`."""
    cap = max(0, min(cap, MOST_COUNTED))
    return [_count(view, where, cap, tables) for where in wheres]


def _count(view: View, where: Where, cap: int, tables: dict[str, str]) -> int:
    given = {name for name in where.__struct_fields__ if getattr(where, name) not in (None, ())}
    if given <= {"queues", "states"}:
        return min(sum(n for _, _, n in _sums(view, where)), cap)
    if given <= {"queues", "states", "finished_from", "finished_to"} and where.states and {*where.states} <= {*FINAL}:
        return _ended_between(view, where, cap)
    if given == {"fingerprints"}:
        return _in_groups(view, where.fingerprints, cap)
    return view.db.execute(*_counting(view, where, given, cap, tables)).fetchall()[0][0]


def _sums(view: View, where: Where) -> list[tuple[str, str, int]]:
    """The sums that a filter by queue and state adds up."""
    return [
        (queue, state, n)
        for queue, state, n in view.rows("counts")
        if (not where.queues or queue in where.queues) and (not where.states or state in where.states)
    ]


def _ended_between(view: View, where: Where, cap: int) -> int:
    since = 0 if where.finished_from is None else where.finished_from
    until = END_OF_TIME if where.finished_to is None else where.finished_to
    found = 0
    for queue, state, _ in _sums(view, where):
        found += view.value("ended_between", (queue, state, since, until, cap - found))
    return found


def _in_groups(view: View, fingerprints: Sequence[str], cap: int) -> int:
    found = 0
    for each in dict.fromkeys(fingerprints):
        found += view.value("in_group", (each or None, cap - found))
    return found


def _counting(view: View, where: Where, given: set[str], cap: int, tables: dict[str, str]) -> tuple[str, list[Any]]:
    """The statement that counts up to `cap`, and its values. What an index alone answers is not looked up."""
    source = _source(view, where, tables, LOOKED)
    if given == {"retry_before"}:
        source = Source([where.retry_before], tables["ledger"], narrow=_DUE)
    values = list(source.values)
    if given == {"tags"} and source.numbers is not None:
        matching = f"select distinct job from ({source.numbers})"
    elif given == {"retry_before"} or (len(given) == 1 and given <= {*_INDEXED}):
        matching = f"select 1 from {source.rows} where {source.narrow}"
    else:
        wanted = Filter(where, tables)
        if where.tags and (source.numbers is None or where.ids):
            wanted.tagged(where, tables)
        if source.numbers is not None:
            source = source._replace(narrow=f"n in ({source.numbers})")
        looked = source.span("true", "desc", LOOKED)
        matching = f"select 1 from ({looked}) where {wanted.sql()}"
        values += wanted.values
    return f"select count(*) from ({matching} limit {cap})", values
