"""One look at the database, and one write transaction with what it leaves to do at its end."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from windlass.store.sqlite.connection import Connection, Cursor, Row
from windlass.values.clock import Micros
from windlass.values.states import State

_encode = msgspec.json.encode
MOST_NAMED = 100
"""Ids in one entry of the journal."""


class Uneven(Exception):
    """The quick statement met an item that needs a closer look. The transaction is undone and run again, item by item."""


def packed(values: object) -> str:
    """JSON text for `json_each`."""
    return _encode(values).decode()


class View:
    """Statements by name on a connection, at one instant."""

    __slots__ = ("db", "now", "sql")

    def __init__(self, db: Connection, sql: dict[str, str], now: Micros) -> None:
        self.db = db
        self.sql = sql
        self.now = now

    def run(self, name: str, params: Sequence[Any] = ()) -> Cursor:
        return self.db.execute(self.sql[name], params)

    def many(self, name: str, rows: Iterable[Sequence[Any]]) -> None:
        self.db.executemany(self.sql[name], rows)

    def rows(self, name: str, params: Sequence[Any] = ()) -> list[Row]:
        return self.db.execute(self.sql[name], params).fetchall()

    def one(self, name: str, params: Sequence[Any] = ()) -> Row | None:
        return self.db.execute(self.sql[name], params).fetchone()

    def value(self, name: str, params: Sequence[Any] = ()) -> Any:
        row = self.db.execute(self.sql[name], params).fetchone()
        return row[0] if row else None


class Told:
    """What the journal is told of one event: jobs by id or number (the first of them), and how many."""

    __slots__ = ("n", "whom")

    def __init__(self) -> None:
        self.whom: list[str | int] = []
        self.n = 0


class Tx(View):
    """A write transaction. `moves`: what it changes in the sums of jobs. `topics`: whom its commit wakes. `lines`: what
    `lines.py` knows of it. `flow`: whether there may be any lines but the plain ones, None until asked. `awake`: until when
    the journal is written, None until asked. `news`: what is to be written there."""

    __slots__ = ("awake", "flow", "lines", "moves", "news", "topics")

    def __init__(self, db: Connection, sql: dict[str, str], now: Micros) -> None:
        super().__init__(db, sql, now)
        self.moves: dict[tuple[str, str], int] = {}
        self.topics: set[str] = set()
        self.lines: object = None
        self.flow: bool | None = None
        self.awake: Micros | None = None
        self.news: dict[str, Told] | None = None

    def moved(self, queue: str, old: str | None, new: str | None, n: int = 1) -> None:
        """`n` jobs of a queue went from one state to another; None is "not there"."""
        moves = self.moves
        if old is not None:
            moves[queue, old] = moves.get((queue, old), 0) - n
        if new is not None:
            moves[queue, new] = moves.get((queue, new), 0) + n
            if new in _RUNNABLE:
                self.topics.add("ready")

    def changed(self, name: str, params: Sequence[Any] = ()) -> int:
        """Run a statement; how many rows it changed."""
        self.db.execute(self.sql[name], params)
        return self.db.changes()

    def count_on(self, counter: str, by: int = 1) -> int:
        """Move a counter on; the first of the `by` numbers that are now the caller's."""
        n, flag, awake = self.db.execute(self.sql["count_on"], (counter, by)).fetchall()[0]
        if counter == "seq":
            self.flow = bool(flag)
            self.awake = awake
        return n - by + 1

    def flows(self) -> bool:
        """Whether there may be any lines but the plain ones: limits, or queues whose order is not strict."""
        if self.flow is None:
            self.flow = bool(self.value("flow"))
        return self.flow

    def let_flow(self) -> None:
        """From now on there may be."""
        if not self.flows():
            self.run("set_flow")
            self.flow = True

    def is_heard(self) -> bool:
        """Whether somebody follows the journal. Else nobody needs to find out what to tell."""
        if self.awake is None:
            self.awake = int(self.value("awake"))
        return self.awake > self.now

    def tell(self, event: str, whom: Sequence[str | int]) -> None:
        """News for the journal: the state that these jobs, by id or number, came into; or what else changed, by name."""
        if whom and self.is_heard():
            if self.news is None:
                self.news = {}
            told = self.news.setdefault(event, Told())
            told.whom += whom[: MOST_NAMED - len(told.whom)]
            told.n += len(whom)

    def audit(self, actor: str, action: str, target: str, detail: object) -> None:
        self.run("add_audit", (self.now, actor, action, target, packed(detail)))

    def settle_sums(self) -> None:
        """Last thing before the commit: the sums of jobs by queue and state. A queue without such a sum is one that has never
        had a job, so it is listed here: enqueueing need not ask whether it is."""
        for (queue, state), n in self.moves.items():
            if n and not self.changed("add_count", (queue, state, n)):
                self.run("new_count", (queue, state, n))
                self.run("insert_queue", (queue,))


# A sleeping worker wants to hear of delayed jobs too: it sleeps until the next one it knew of.
_RUNNABLE = frozenset({State.WAITING, State.DELAYED, State.RETRYING})
