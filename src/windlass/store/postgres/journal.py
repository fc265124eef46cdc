"""The journal's reader: what happened since a cursor, each entry once, whatever transactions overtake each other.

A cursor is what its reader has seen: a snapshot of the database. What is new is what a later snapshot sees and that one does not;
a transaction that ends late is new then, and hides nothing meanwhile.
"""

import re
from typing import Any, NamedTuple

from windlass.store.postgres.connection import Connection
from windlass.store.postgres.database import Database
from windlass.values.clock import SECOND, Micros
from windlass.values.query import Feed, Happening

MOST_READ = 10_000
SETTLES: Micros = 2 * SECOND
"""A verb that was under way when the mark was set may have found the journal asleep."""
_CURSOR = re.compile(r"(\d+)/(\d+:\d+:[\d,]*)/(\d+:\d+:[\d,]*)?/(\d+)/(\d+)")


class _Cursor(NamedTuple):
    """Of the journal `home` all of `seen`; of `upto`, if there is more, the entries up to `n`. `woken`: when this reader set
    the mark."""

    home: int
    seen: str
    upto: str | None = None
    n: int = 0
    woken: Micros = 0

    def __str__(self) -> str:
        return f"{self.home}/{self.seen}/{self.upto or ''}/{self.n}/{self.woken}"


class Journal:
    """Reads for one handle."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def feed(self, cursor: str | None, limit: int) -> Feed:
        # The mark first: what is not seen by the snapshot that follows has met it.
        now, lapsed, _, _, home = await self._db.row("journal.wake")
        at = None if cursor is None else _read(cursor)
        if lapsed:
            return await self._begin(home, now, reset=True)
        if at is None or at.home != home or now - SETTLES < at.woken:
            return await self._begin(home, 0, reset=cursor is not None)
        return await self._db.run(lambda connection: self._go_on(connection, at, max(1, min(limit, MOST_READ))))

    async def _begin(self, home: int, woken: Micros, *, reset: bool) -> Feed:
        return Feed([], str(_Cursor(home, await self._db.value("journal.here"), woken=woken)), reset)

    async def _go_on(self, connection: Connection, at: _Cursor, limit: int) -> Feed:
        told: list[Happening] = []
        while True:
            rows = await connection.fetch(self._db.sql["journal.read"], at.seen, at.upto, at.n, limit - len(told))
            if rows[0]["lost"]:
                here = await connection.fetchval(self._db.sql["journal.here"])
                return Feed([], str(_Cursor(at.home, here)), reset=True)
            upto, last = rows[0]["upto"], rows[-1]["n"]
            told += [_happening(row) for row in rows if row["n"] is not None]
            if len(told) == limit:
                return Feed(told, str(_Cursor(at.home, at.seen, upto, last)))
            if at.upto is None:
                return Feed(told, str(_Cursor(at.home, upto)))
            at = _Cursor(at.home, upto)


def _happening(row: Any) -> Happening:
    return Happening(row["at"], row["event"], tuple(row["ids"]), row["count"])


def _read(text: str) -> _Cursor | None:
    """None for what no reader of this kind was given."""
    found = _CURSOR.fullmatch(text)
    if found is None or len(text) > 100_000:
        return None
    home, seen, upto, n, woken = found.groups()
    if not all(_is_snapshot(each) for each in (seen, upto) if each) or any(len(each) > 18 for each in (home, n, woken)):
        return None
    return _Cursor(int(home), seen, upto, int(n), int(woken))


def _is_snapshot(text: str) -> bool:
    low, high, between = text.split(":")
    if max(len(low), len(high)) > 18:
        return False
    running = [int(xid) for xid in between.split(",")] if between else []
    rising = [int(low), *running, int(high)]
    return rising[0] > 0 and rising == sorted(rising) and len(set(running)) == len(running) and int(high) not in running
