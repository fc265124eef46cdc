"""Limits of keys: how they stand, changing them, uses of rates that are no starts; and where a job stands."""

from collections.abc import Iterable, Sequence
from heapq import nsmallest
from typing import Any

import msgspec

from windlass.store.redis.codec import (
    STATES,
    binary,
    definition,
    id_bytes,
    id_text,
    pack,
    rate_of,
    read_state,
    record_of,
)
from windlass.store.redis.connection import Link
from windlass.store.redis.ledger import read_ledger
from windlass.store.redis.reading import queue_info
from windlass.values.job import read_job
from windlass.values.limit import LimitChange, LimitInfo, Take, Taken
from windlass.values.query import Standing
from windlass.values.states import State

_AT_ONCE = 500
_FARTHEST, _SHOWN = 10_000, 20


async def limits(link: Link, keys: Sequence[str] | None, limit: int) -> list[LimitInfo]:
    wanted = await _names(link, limit) if keys is None else sorted({key.encode() for key in keys})[:limit]
    found: list[LimitInfo] = []
    for at in range(0, len(wanted), _AT_ONCE):
        blob = pack([binary(key) for key in wanted[at : at + _AT_ONCE]])
        found += map(_info, await link.run("limits", blob))
    return sorted(found, key=lambda info: info.key)


async def _names(link: Link, limit: int) -> list[bytes]:
    """The first keys there are, read in bounded steps."""
    cursor, names = b"0", set[bytes]()
    while True:
        cursor, flat = await link.run("limits", b"", cursor)
        names.update(flat[::2])
        if cursor == b"0":
            return nsmallest(limit, names)


def _info(row: Sequence[Any]) -> LimitInfo:
    key, most, n, window, burst, shut, trial, pinned, held, used, opens, waiting = row
    return LimitInfo(
        key=key.decode(),
        concurrency=None if most < 0 else most,
        rate=rate_of(n, window, burst),
        shut_until=shut or None,
        trial=None if trial < 0 else trial,
        pinned=bool(pinned),
        held=held,
        used=used,
        opens_at=opens or None,
        waiting=bool(waiting),
    )


async def put_limits(link: Link, changes: Sequence[LimitChange], actor: str | None) -> None:
    for at in range(0, len(changes), _AT_ONCE):
        rows = [_change(change) for change in changes[at : at + _AT_ONCE]]
        for key in await link.run("put_limits", pack(rows), actor or ""):
            await _reline(link, key)


def _change(change: LimitChange) -> tuple[Any, ...]:
    """False for what stays, -1 for what is lifted."""
    most = change.concurrency
    rate = change.rate
    shut = change.shut_for
    return (
        change.key,
        change.drop,
        False if most is msgspec.UNSET else -1 if most is None else most,
        False if rate is msgspec.UNSET else definition(None, rate)[1:],
        False if shut is msgspec.UNSET else -1 if shut is None else shut,
        -1 if change.trial is None else change.trial,
        False if change.pinned is msgspec.UNSET else int(change.pinned),
        _detail(change),
    )


def _detail(change: LimitChange) -> str:
    named = {name: getattr(change, name) for name in change.__struct_fields__ if name != "key"}
    told = {name: value for name, value in named.items() if value is not msgspec.UNSET}
    return msgspec.json.encode(
        {name: value for name, value in told.items() if value or name not in ("trial", "drop")}
    ).decode()


async def _reline(link: Link, key: bytes) -> None:
    """Put the jobs of a whole queue or kind, waiting and running, into lines that know its new key."""
    plain = await link.run("reline", key, "plain")
    for runtime, queue in zip(plain[::2], plain[1::2], strict=True):
        await _move(link, key, b"", runtime, queue)
    cursor = b"0"
    while True:
        cursor, lines = await link.run("reline", key, "lines", cursor)
        for line in await link.run("reline", key, "small", pack([binary(line) for line in lines])) if lines else ():
            await _move(link, key, line, 0, b"")
        if cursor == b"0":
            break
    cursor = b"0"
    while (cursor := await link.run("reline", key, "active", cursor)) != b"0":
        pass


async def _move(link: Link, key: bytes, line: bytes, runtime: int, queue: bytes) -> None:
    behind = b"-1"
    while behind:
        behind = await link.run("reline", key, "move", line, runtime, queue, behind)


async def take(link: Link, takes: Sequence[Take]) -> list[Taken]:
    if not takes:
        return []
    items: list[Any] = []
    for each in takes:
        items += (each.key, *definition(None, each.rate)[1:], each.cost)
    flat = await link.run("take", pack(items))
    rows = [flat[at : at + 5] for at in range(0, len(flat), 5)]
    return [Taken(each.key, bool(granted), *rest) for each, (granted, *rest) in zip(takes, rows, strict=True)]


async def standing(link: Link, id: str) -> Standing | None:
    data = id_bytes(id)
    if data is None:
        return None
    found = await link.run("standing", data, _FARTHEST, _SHOWN)
    return _standing(data, found) if found else None


def _standing(id: bytes, found: Sequence[Any]) -> Standing:
    fields, now, queue, ahead, rows, holders, parents, holder = found
    c, m, *texts, ledger = fields
    job = read_job(record_of(id, c, m, texts, read_ledger(ledger)))
    state = read_state(m) if m else None
    park = state.park if state is not None else ""
    limits = tuple(map(_info, rows))
    pairs: Iterable[tuple[bytes, int]] = zip(parents[::2], parents[1::2], strict=True)
    named: Iterable[tuple[LimitInfo, Sequence[bytes]]] = zip(limits, holders, strict=True)
    return Standing(
        job=job,
        now=now,
        queue=queue_info(job.queue, queue),
        parked=park if park and job.state is State.WAITING else None,
        line=None if ahead < 0 else ahead,
        limits=limits,
        holders={info.key: _ids(ids) for info, ids in named},
        parents=tuple((id_text(parent), STATES[number - 1]) for parent, number in pairs),
        signal=park[1:] or None if park and job.state is State.BLOCKED else None,
        unique_holder=id_text(holder) if holder else None,
    )


def _ids(data: Sequence[bytes]) -> tuple[str, ...]:
    return tuple(map(id_text, data))
