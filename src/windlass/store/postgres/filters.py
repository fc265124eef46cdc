"""`Where` as SQL over the table `job`: terms with bound values, and pages of ids."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from windlass.store.postgres.connection import Connection
from windlass.store.postgres.database import Database
from windlass.values.query import Where
from windlass.values.states import State, render

SCANNED = 5_000
"""Jobs that one page looks at when its filter has no index of its own; the page may be short."""
COUNTED = 20_000
"""Jobs that a count looks at then."""
FOUND_BY = {"workflow": "workflow", "user": "user_", "project": "project", "group": "group_", "unique": "unique_"}
"""Fields with a table of their own: (workflow) `member`, else `label`, where a letter stands before the value."""
_LETTERS = {"user": "u", "project": "p", "group": "g", "unique": "k"}
_OF_LETTERS = frozenset({"fingerprints", "retry_before", "states"})
_encode = msgspec.json.Encoder().encode


class Terms:
    """Conditions that all must hold, and the values bound in them."""

    def __init__(self, database: Database, values: list[Any] | None = None) -> None:
        self._dead = database.table("dead")
        self.values: list[Any] = [] if values is None else values
        self.list: list[str] = []

    def add(self, term: str, *values: Any) -> None:
        """`term` with `{}` for each value."""
        first = len(self.values) + 1
        self.list.append(term.format(*(f"${first + n}" for n in range(len(values)))))
        self.values += values

    def where(self, where: Where) -> None:
        if where.states:
            # As literals, so that partial indexes can be chosen.
            self.add(f"state IN ({', '.join(literal(state) for state in where.states)})")
        for column, wanted in (("id", where.ids), ("queue", where.queues)):
            if wanted:
                self.add(f"{column} = ANY({{}}::text[])", list(wanted))
        for field, column in FOUND_BY.items():
            value = getattr(where, field)
            if value is not None:
                self.add(f"{column} = {{}}", value)
        if where.fingerprints or where.retry_before is not None:
            letter = dead(where)
            self.add(f"EXISTS (SELECT FROM {self._dead} d WHERE d.job = j.id AND {letter.sql})", *letter.values)
        if where.kinds:
            exact, starts = split(where.kinds)
            any_start = "EXISTS (SELECT FROM unnest({}::text[]) p WHERE starts_with(kind, p))"
            self.add(f"(kind = ANY({{}}::text[]) OR {any_start})", exact, starts)
        for field, column, sign in _TIMES:
            value = getattr(where, field)
            if value is not None:
                self.add(f"{column} {sign} {{}}", value)
        if where.tags:
            # Tags are kept as the text of a JSON list. Inside a tag a quote is escaped, so `,"red"` is only ever an element.
            any_tag = "EXISTS (SELECT FROM unnest({}::text[]) t WHERE starts_with(tags, '[' || t) OR strpos(tags, ',' || t) > 0)"
            self.add(any_tag, [_encode(tag).decode() for tag in where.tags])

    @property
    def sql(self) -> str:
        return " AND ".join(self.list) or "true"

    def take(self) -> str:
        """The conditions for a part of the statement; what is added from now on is for the rest."""
        text, self.list = self.sql, []
        return text


def dead(where: Where) -> "_Dead":
    """What a filter says about dead letters, of the table `dead` as `d`."""
    terms: list[str] = []
    values: list[Any] = []
    if where.fingerprints:
        # One as an equation: its part of the index is in the order of ids.
        one = len(where.fingerprints) == 1
        terms.append("d.fingerprint = {}" if one else "d.fingerprint = ANY({}::text[])")
        values.append(where.fingerprints[0] if one else list(where.fingerprints))
    if where.retry_before is not None:
        terms.append("d.retry_at < {}")
        values.append(where.retry_before)
    return _Dead(" AND ".join(terms), values)


class _Dead(NamedTuple):
    sql: str
    values: list[Any]


def split(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names as they are, and the beginnings of those that end in `*`."""
    return [name for name in names if not name.endswith("*")], [name[:-1] for name in names if name.endswith("*")]


_TIMES = (
    ("created_from", "created_at", ">="),
    ("created_to", "created_at", "<"),
    ("finished_from", "finished_at", ">="),
    ("finished_to", "finished_at", "<"),
)


def literal(state: State) -> str:
    return render(f"{{state:{state}}}")


class Pager:
    """Pages of ids in one direction."""

    def __init__(
        self, database: Database, where: Where, extra: tuple[str, Sequence[Any]] | None, *, newest: bool
    ) -> None:
        self._db = database
        self._table = database.table("job")
        self._where = where
        self._extra = extra
        self._direction, self._past = ("DESC", "<") if newest else ("ASC", ">")

    async def page(self, connection: Connection, cursor: str | None, limit: int) -> tuple[list[str], str | None]:
        """Up to `limit` ids beyond the cursor, and the next cursor, None at the end."""
        terms = Terms(self._db)
        terms.where(self._where)
        if self._extra is not None:
            terms.add(self._extra[0], *self._extra[1])
        few = await self._few(connection, terms.values)
        if few is not None:
            if cursor is not None:
                terms.add(f"id {self._past} {{}}", cursor)
            text = f"SELECT id FROM {few} j WHERE {terms.sql} ORDER BY id {self._direction} LIMIT {limit:d}"
            ids = [row["id"] for row in await connection.fetch(text, *terms.values)]
            return ids, ids[-1] if len(ids) == limit else None
        # One statement, so that the window ends where it ended for the search; a full page never comes to its second half.
        text = (
            f"(SELECT id, false AS ends FROM ({self._window('j.*', cursor, terms.values)} LIMIT {SCANNED}) j"
            f" WHERE {terms.sql} ORDER BY id {self._direction} LIMIT {limit:d}) UNION ALL"
            f" (SELECT id, true FROM ({self._window('j.id', cursor, terms.values)} LIMIT 1 OFFSET {SCANNED - 1}) e)"
            f" LIMIT {limit:d}"
        )
        rows = await connection.fetch(text, *terms.values)
        ids = [row["id"] for row in rows if not row["ends"]]
        return ids, rows[-1]["id"] if rows and (len(ids) == limit or rows[-1]["ends"]) else None

    def _window(self, columns: str, cursor: str | None, values: list[Any]) -> str:
        """The jobs beyond the cursor in order, by the one index that leads to them; what it binds is added to `values`."""
        by = next((field for field in FOUND_BY if getattr(self._where, field) is not None), None)
        source, key = f"{self._table} j", "j.id"
        terms = Terms(self._db, values)
        letter = dead(self._where)
        if letter.sql or by is not None:
            table = "dead" if letter.sql else "member" if by == "workflow" else "label"
            # Fenced off, or the planner might begin at the jobs, which are in the order of ids too.
            job = f"CROSS JOIN LATERAL (SELECT * FROM {self._table} l WHERE l.id = d.job OFFSET 0) j"
            source, key = f"{self._db.table(table)} d {job}", "d.job"
        if letter.sql:
            terms.add(letter.sql, *letter.values)
        elif by is not None:
            terms.add(*self._by(by))
        if cursor is not None:
            terms.add(f"{key} {self._past} {{}}", cursor)
        return f"SELECT {columns} FROM {source} WHERE {terms.sql} ORDER BY {key} {self._direction}"

    async def count(self, connection: Connection, cap: int) -> int:
        """How many there are, up to `cap`; where no index answers, of the newest that may be looked at."""
        where = self._where
        given = {field for field in Where.__struct_fields__ if getattr(where, field) not in ((), None)}
        if given <= {"states", "queues"}:
            rows = await connection.fetch(self._db.sql["inspect.counts"])
            wanted = [
                row["n"]
                for row in rows
                if row["state"] in (where.states or (row["state"],))
                and row["queue"] in (where.queues or (row["queue"],))
            ]
            return min(sum(wanted), cap)
        terms = Terms(self._db)
        source = self._alone(given, terms)
        if source is None:
            terms.where(where)
            source = await self._few(connection, terms.values)
        if source is None:
            source = f"({self._window('j.*', None, terms.values)} LIMIT {COUNTED})"
        text = f"SELECT count(*) FROM (SELECT FROM {source} j WHERE {terms.sql} LIMIT {cap:d}) f"
        return await connection.fetchval(text, *terms.values)

    def _alone(self, given: set[str], terms: Terms) -> str | None:
        """The one table that answers a filter without a look at the jobs; its term is added."""
        letter = dead(self._where)
        if letter.sql and given <= _OF_LETTERS and State.FAILED in (self._where.states or (State.FAILED,)):
            source = self._db.table("dead")
            terms.add(letter.sql, *letter.values)
        elif len(given) == 1 and given <= FOUND_BY.keys():
            (field,) = given
            source = self._db.table("member" if field == "workflow" else "label")
            terms.add(*self._by(field))
        else:
            return None
        return f"(SELECT FROM {source} d WHERE {terms.take()})"

    def _by(self, field: str) -> tuple[str, str]:
        """The term by which the table of such a field finds jobs."""
        value = getattr(self._where, field)
        return ("d.flow = {}", value) if field == "workflow" else ("d.key = {}", _LETTERS[field] + value)

    async def _few(self, connection: Connection, values: list[Any]) -> str | None:
        """The jobs of the wanted states, or the wanted dead letters, from their own indexes, when those are few."""
        where = self._where
        if where.ids:
            return self._table
        letters = await self._few_letters(connection, values)
        if letters is not None:
            return letters
        if not where.states or any(getattr(where, field) is not None for field in FOUND_BY):
            return None
        rows = await connection.fetch(self._db.sql["inspect.counts"])
        if sum(row["n"] for row in rows if row["state"] in where.states) > SCANNED:
            return None
        pieces: list[str] = []
        for state in dict.fromkeys(where.states):
            text = f"SELECT * FROM {self._table} WHERE state = {literal(state)}"
            parked = (" AND park IS NULL", " AND park IS NOT NULL") if state is State.WAITING else ("",)
            pieces += [text + which for which in parked]
        return f"({' UNION ALL '.join(pieces)})"

    async def _few_letters(self, connection: Connection, values: list[Any]) -> str | None:
        letter = dead(self._where)
        if not letter.sql:
            return None
        source = f"{self._db.table('dead')} d"
        terms = Terms(self._db)
        terms.add(letter.sql, *letter.values)
        text = f"SELECT count(*) FROM (SELECT FROM {source} WHERE {terms.sql} LIMIT {SCANNED + 1}) f"
        if await connection.fetchval(text, *terms.values) > SCANNED:
            return None
        terms = Terms(self._db, values)
        terms.add(letter.sql, *letter.values)
        # Fenced off, or the planner might begin at jobs or letters that are in the order of ids already.
        return (
            f"(SELECT j.* FROM (SELECT d.job FROM {source} WHERE {terms.sql} OFFSET 0) d"
            f" CROSS JOIN LATERAL (SELECT * FROM {self._table} j WHERE j.id = d.job OFFSET 0) j)"
        )
