"""Which jobs a command by filter acts on, so that commands over a million jobs look at each of them about twice."""

from collections.abc import AsyncIterator, Container, Mapping
from typing import Any

import msgspec

from windlass.store.redis.codec import NUMBER, need_id, pack
from windlass.store.redis.connection import Link
from windlass.store.redis.reading import (
    PAGE,
    SCANNED,
    START,
    Place,
    letters,
    matcher,
    of_letters,
    read,
    scanned,
    small_fields,
    split,
    walk,
)
from windlass.values.clock import Micros
from windlass.values.query import Action, Command, Where, actionable
from windlass.values.states import State

_REMEMBERED = 64


async def find(
    link: Link, command: Command, where: Where, most: int, passed: Container[str]
) -> tuple[list[bytes], bool]:
    """Jobs that match, whose state allows the act and which it would change; whether there are more.

    The next call goes on where this one stopped: what was passed over (it did not match, or stays as it is) would be looked at
    again by every call. At the end of that way all is looked at once more, so nothing is missed and `more` is true only if so.
    """
    allowed = actionable(command.action)
    if command.action is Action.RUN_NOW:
        allowed = (*allowed, State.BLOCKED)  # those of them that are suspended
    states = tuple(state for state in where.states or allowed if state in allowed)
    if not states:
        return [], False
    sought = msgspec.structs.replace(where, states=states)
    search = msgspec.json.encode((command.action, command.priority, sought))
    fits = matcher(sought)
    now: Micros = 0 if command.run_at is None else await link.run("now")
    start = link.stopped.pop(search, START)
    chosen: dict[bytes, None] = {}
    for begin in dict.fromkeys((start, START)):
        async for place, ids in _pages(link, sought, begin):
            for record in await read(link, ids, small_fields(where)):
                id = need_id(record["id"])
                if record["id"] in passed or id in chosen or not fits(record) or not _changes(command, record, now):
                    continue
                if len(chosen) == most:
                    _remember(link, search, place)
                    return list(chosen), True
                chosen[id] = None
    return list(chosen), False


def _remember(link: Link, search: bytes, place: Place) -> None:
    link.stopped[search] = place
    if len(link.stopped) > _REMEMBERED:
        del link.stopped[next(iter(link.stopped))]


def _changes(command: Command, record: Mapping[str, Any], now: Micros) -> bool:
    """Whether the act would leave the job different; else a caller that goes on while there are more would never end."""
    if command.action is Action.CANCEL:
        return not record["cancelling"]
    if command.action is Action.RUN_NOW and record["state"] == State.BLOCKED:
        return record["lease"] is not None  # only what was claimed before can be suspended; the script knows which are
    if command.action is Action.EDIT:
        return _edits(command, record, now)
    return command.action is not Action.REPRIORITISE or record["priority"] != command.priority


def _edits(command: Command, record: Mapping[str, Any], now: Micros) -> bool:
    timed = record["state"] in (State.DELAYED, State.RETRYING)
    if command.run_at is not None and not timed:
        return False
    return (
        (command.args is not None and record["args"] != command.args)
        or (command.max_attempts is not None and record["max_attempts"] != command.max_attempts)
        or (command.run_at is not None and max(record["run_at"], now) != max(command.run_at, now))
    )


async def _pages(link: Link, where: Where, begin: Place) -> AsyncIterator[tuple[Place, list[bytes]]]:
    """Ids that may match, each page with the place where it begins: newest first if they are few, else set by set."""
    if of_letters(where):
        async for page in letters(link, where, begin):
            yield page
        return
    found = await link.run("listed", pack(([NUMBER[state] for state in where.states], where.queues, SCANNED)))
    if isinstance(found, bytes):
        yield START, sorted(split(found), reverse=True)
    elif found == 0:
        async for page in _walked(link, begin):
            yield page
    else:
        async for page in scanned(link, found, begin):
            yield page


async def _walked(link: Link, begin: Place) -> AsyncIterator[tuple[Place, list[bytes]]]:
    last = b"" if begin[0] else begin[1]
    async for ids in walk(link, last or None):
        for at in range(0, len(ids), PAGE):
            yield (b"", last), ids[at : at + PAGE]
            last = ids[min(at + PAGE, len(ids)) - 1]
