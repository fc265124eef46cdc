"""The journal: what happened, resumably, for live views."""

import re

from windlass.store.redis.codec import id_text, unpack
from windlass.store.redis.connection import Link
from windlass.values.query import Feed, Happening

MOST_NEWS = 1_000
_CURSOR = re.compile(r"\d{1,15}-\d{1,15}")
_UNKNOWN = "0-0"
"""A cursor that no entry has."""
_NAMED = {"queue", "schedule", "limit"}


async def feed(link: Link, cursor: str | None, limit: int) -> Feed:
    behind = "" if cursor is None else cursor if _CURSOR.fullmatch(cursor) else _UNKNOWN
    goes_on, reset, flat = await link.run("feed", behind, max(1, min(limit, MOST_NEWS)))
    entries = [_happening(event.decode(), value) for event, value in zip(flat[::2], flat[1::2], strict=True)]
    return Feed(entries, goes_on.decode(), bool(reset))


def _happening(event: str, value: bytes) -> Happening:
    at, n, about = int.from_bytes(value[:7], "big"), int.from_bytes(value[7:11], "big"), value[11:]
    ids = (
        unpack(about) if event in _NAMED else (id_text(about[start : start + 16]) for start in range(0, len(about), 16))
    )
    return Happening(at, event, tuple(ids), n)
