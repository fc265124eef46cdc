"""The journal: what verbs did, for live views, written in their own transactions while somebody listens."""

import msgspec

from windlass.store.sqlite.transaction import Told, Tx, View, packed
from windlass.values.clock import SECOND, Micros
from windlass.values.query import Feed, Happening

AWAKE: Micros = 300 * SECOND
"""How long the journal is written after somebody asked for it."""
MOVED: Micros = 60 * SECOND
"""How old the mark may be before a listener moves it."""
KEPT: Micros = 600 * SECOND
MOST_KEPT = 20_000
MOST_FED = 5_000
_IDS = msgspec.json.Decoder(tuple[str, ...])


def publish(tx: Tx, news: dict[str, Told]) -> None:
    """Last thing before the commit."""
    for event, told in news.items():
        tx.run("add_news", (tx.now, event, packed(_names(tx, told)), told.n))


def _names(tx: Tx, told: Told) -> list[str]:
    numbers = [each for each in told.whom if isinstance(each, int)]
    ids: dict[str | int, str] = dict(tx.rows("ids_of", (packed(numbers),))) if numbers else {}
    return [id for each in told.whom if (id := ids.get(each) if isinstance(each, int) else each) is not None]


def trim(tx: Tx) -> None:
    """Take away what is too old or too much."""
    tx.run("trim_news", (int(tx.value("newest_news") or 0) - MOST_KEPT, tx.now - KEPT))


def is_asleep(view: View) -> bool:
    """Whether the mark is to be moved; a clock that was stepped back leaves it too far ahead."""
    return not AWAKE - MOVED < view.value("awake") - view.now <= AWAKE


def awaken(tx: Tx) -> bool:
    """Move the mark; whether it had lapsed, and nobody knows what happened meanwhile."""
    lapsed = not tx.is_heard()
    tx.run("awaken", (tx.now + AWAKE,))
    if lapsed:
        tx.run("set_counter", ("listened", tx.now))
    return lapsed


def feed(view: View, cursor: str | None, limit: int, lapsed: bool) -> Feed:
    """A cursor names the time since when the journal has been awake, and an entry."""
    since, oldest, newest = view.rows("journal")[0]
    last = _read(cursor, since) if cursor is not None else newest
    if lapsed or last is None or not oldest - 1 <= last <= newest:
        return Feed([], f"{since:x}-{newest:x}", reset=True)
    rows = view.rows("news", (last, max(1, min(limit, MOST_FED)))) if last < newest else []
    entries = [Happening(at, event, _IDS.decode(ids), n) for _, at, event, ids, n in rows]
    return Feed(entries, f"{since:x}-{rows[-1][0] if rows else last:x}")


def _read(cursor: str, since: Micros) -> int | None:
    begun, _, last = cursor.partition("-")
    try:
        return int(last, 16) if int(begun, 16) == since else None
    except ValueError:
        return None
