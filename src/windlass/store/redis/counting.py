"""How many jobs match, and dead letters by their error: from sums and sorted sets where these tell, else by looking."""

from collections.abc import Sequence
from typing import Any

from windlass.store.redis.codec import NUMBER, STATES, id_text, pack
from windlass.store.redis.connection import Link
from windlass.store.redis.reading import scan
from windlass.values.query import ErrorGroup, Where
from windlass.values.states import FINAL, State

MOST_COUNTED = 10_000
LOOKED_AT = 20_000
"""Jobs that one filter without an index looks at."""


async def count(link: Link, wheres: Sequence[Where], cap: int) -> list[int]:
    cap = max(0, min(cap, MOST_COUNTED))
    asked = [_indexed(where) for where in wheres]
    known = [question for question in asked if question is not None]
    answers = iter(await link.run("count", pack(known)) if known else ())
    return [
        await _looked(link, where, cap) if question is None else min(next(answers), cap)
        for where, question in zip(wheres, asked, strict=True)
    ]


def _indexed(where: Where) -> tuple[Any, ...] | None:
    """The question as count.lua takes it; None when no sum or set can answer it."""
    ended = where.finished_from is not None or where.finished_to is not None
    states, queues = tuple(dict.fromkeys(where.states or STATES)), tuple(dict.fromkeys(where.queues))
    failed = State.FAILED in states
    if where.fingerprints and failed and where == Where(states=where.states, fingerprints=where.fingerprints):
        return tuple(dict.fromkeys(where.fingerprints)), False, (), (), False, False
    if (
        where.retry_before is not None
        and failed
        and where == Where(states=where.states, retry_before=where.retry_before)
    ):
        return False, where.retry_before, (), (), False, False
    if where != Where(
        states=where.states, queues=where.queues, finished_from=where.finished_from, finished_to=where.finished_to
    ):
        return None
    if ended:
        states = tuple(state for state in states if state in FINAL)
    since = False if where.finished_from is None else where.finished_from
    till = False if where.finished_to is None else where.finished_to
    return False, False, tuple(NUMBER[state] for state in states), queues, since, till


async def _looked(link: Link, where: Where, cap: int) -> int:
    n = 0
    if cap:
        async for _, record in scan(link, where, most=LOOKED_AT, small=True):
            n += record is not None
            if n >= cap:
                break
    return n


async def error_groups(link: Link, limit: int) -> list[ErrorGroup]:
    if limit <= 0:
        return []
    flat = await link.run("error_groups", limit)
    rows = [flat[at : at + 5] for at in range(0, len(flat), 5)]
    return [
        ErrorGroup(fingerprint=print.decode(), n=n, first=first, last=last, sample=id_text(sample))
        for print, n, first, last, sample in rows
    ]
