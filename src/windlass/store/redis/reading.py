"""Asking: one job, pages of jobs by filter, outcomes, counts, workers, audit, tallies."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

import msgspec

from windlass.errors import InvalidOption
from windlass.store.redis.codec import NUMBER, STATES, id_bytes, id_text, known_ids, pack, record_of, unpack
from windlass.store.redis.connection import Link
from windlass.values.job import Job, read_job
from windlass.values.lease import WorkerInfo
from windlass.values.metrics import MINUTE, MetricQuery, Point
from windlass.values.query import AuditEntry, Count, Page, Where
from windlass.values.queue import AGEING, ORDERS, Order, QueueInfo
from windlass.values.states import FINAL

MOST_PAGE = 1_000
SCANNED = 5_000
"""Records that one page looks at: a page of a selective filter may be short, its cursor goes on."""
_STEP = 250
_INFO = msgspec.json.Decoder(WorkerInfo)
Record = dict[str, Any]


async def read(link: Link, ids: Sequence[bytes], fields: str = "retp") -> list[Record]:
    """The raw records of those of the ids that exist, in their order."""
    records: list[Record] = []
    width = 3 + len(fields)
    for start in range(0, len(ids), _STEP):
        flat = await link.run("read", b"".join(ids[start : start + _STEP]), fields)
        for at in range(0, len(flat), width):
            texts: dict[str, bytes] = dict(zip(fields, flat[at + 3 : at + width], strict=True))
            id, c, m = flat[at : at + 3]
            records.append(record_of(id, c, m, [texts.get(field, b"") for field in "retp"]))
    return records


async def job(link: Link, id: str) -> Job | None:
    data = id_bytes(id)
    found = await read(link, [data]) if data else []
    return read_job(found[0]) if found else None


async def outcomes(link: Link, ids: Sequence[str]) -> dict[str, Job]:
    found = await read(link, known_ids(ids))
    return {record["id"]: read_job(record) for record in found if record["state"] in FINAL}


async def jobs(link: Link, where: Where, cursor: str | None, limit: int) -> Page[Job]:
    limit = max(1, min(limit, MOST_PAGE))
    items: list[Job] = []
    last: str | None = None
    async for id, record in scan(link, where, cursor, step=limit + 1):
        if len(items) == limit:
            return Page(items, last)
        last = id
        if record is not None:
            items.append(read_job(record))
    return Page(items, last if last is not None and last.startswith("+") else None)


async def scan(
    link: Link, where: Where, cursor: str | None = None, *, most: int = SCANNED, step: int = _STEP
) -> AsyncIterator[tuple[str, Record | None]]:
    """Matching records newest first, each with a cursor to go on behind it. After `most` records looked at, one last
    pair without a record, whose cursor begins with `+`: there may be more."""
    fits, picky = matcher(where), where != Where(ids=where.ids, states=where.states)
    before = read_cursor(cursor) if cursor else None
    looked = 0
    async for ids in candidates(link, where, before):
        width = _STEP if picky else min(step, _STEP)
        for start in range(0, len(ids), width):
            part = ids[start : start + width]
            if picky:  # look at the two small records first: few of them may fit
                fitting = {record["id"] for record in await read(link, part, "") if fits(record)}
                records = await read(link, [id for id in part if id_text(id) in fitting]) if fitting else []
            else:
                records = await read(link, part)
            for record in records:
                if fits(record):  # it may have changed meanwhile
                    yield record["id"], record
            looked += len(part)
            if looked >= most:
                yield "+" + id_text(part[-1]), None
                return


def read_cursor(cursor: str) -> bytes:
    """The id that a cursor stands for."""
    data = id_bytes(cursor.removeprefix("+"))
    if data is None:
        raise InvalidOption(
            f"cursor is {cursor!r}; it must be the `next` of an earlier page",
            field="cursor",
            value=cursor,
            limit="a cursor",
            mend="start again without one",
        )
    return data


async def candidates(link: Link, where: Where, before: bytes | None) -> AsyncIterator[list[bytes]]:
    """Ids that may match, newest first, in bounded lists: those named, those of rare states, else all by their time."""
    if where.ids:
        yield _older(known_ids(where.ids), before)
        return
    if where.states:
        asked = ([NUMBER[state] for state in where.states], where.queues, SCANNED)
        flat = await link.run("listed", pack(asked))
        if isinstance(flat, bytes):
            yield _older((flat[at : at + 16] for at in range(0, len(flat), 16)), before)
            return
    async for ids in walk(link, before):
        yield ids


async def walk(link: Link, before: bytes | None) -> AsyncIterator[list[bytes]]:
    """All ids below `before`, newest first, segment by segment."""
    segment, inclusive = ("", "0") if before is None else (segment_of(before), "1")
    while found := await next_segment(link, True, segment, inclusive):
        segment, inclusive = found[0], "0"
        ids = _older(found[1], before)
        if ids:
            yield ids


async def next_segment(link: Link, down: bool, segment: str, inclusive: str) -> tuple[str, set[bytes]] | None:
    """The next segment from `segment` on, newer or older, with its ids; None at the end."""
    name, flat, more = await link.run("page", str(int(down)), segment, inclusive, "")
    if not name:
        return None
    ids = {flat[at : at + 16] for at in range(0, len(flat), 16)}
    while more:
        _, flat, more = await link.run("page", str(int(down)), name, "1", more)
        ids |= {flat[at : at + 16] for at in range(0, len(flat), 16)}
    return name.decode(), ids


def segment_of(id: bytes) -> str:
    """The name of an id's segment, as prelude.lua makes it."""
    return f"{id[:4].hex()}{id[4] << 2 | id[5] >> 6:03x}"


def _older(ids: Iterable[bytes], before: bytes | None) -> list[bytes]:
    chosen = set(ids) if before is None else {id for id in ids if id < before}
    return sorted(chosen, reverse=True)


def matcher(where: Where) -> Callable[[Record], bool]:
    """The filter as a function of a raw record."""
    tests: list[Callable[[Record], bool]] = []
    if where.ids:
        tests.append(_one_of("id", where.ids))
    if where.states:
        tests.append(_one_of("state", where.states))
    if where.queues:
        tests.append(_one_of("queue", where.queues))
    if where.kinds and "*" not in where.kinds:
        tests.append(_kinds(where.kinds))
    for name in ("user", "project", "group", "workflow", "unique"):
        wanted = getattr(where, name)
        if wanted is not None:
            tests.append(_one_of(name, (wanted,)))
    if where.tags:
        tests.append(_tags(where.tags))
    for name, since, until in (
        ("created_at", where.created_from, where.created_to),
        ("finished_at", where.finished_from, where.finished_to),
    ):
        if since is not None or until is not None:
            tests.append(_between(name, since, until))
    return lambda record: all(test(record) for test in tests)


def _one_of(name: str, values: Sequence[str]) -> Callable[[Record], bool]:
    wanted = frozenset(map(str, values))
    return lambda record: record[name] in wanted


def _kinds(kinds: Sequence[str]) -> Callable[[Record], bool]:
    whole = frozenset(kind for kind in kinds if not kind.endswith("*"))
    starts = tuple(kind[:-1] for kind in kinds if kind.endswith("*"))
    return lambda record: record["kind"] in whole or record["kind"].startswith(starts)


def _tags(tags: Sequence[str]) -> Callable[[Record], bool]:
    wanted = frozenset(tags)
    return lambda record: record["tags"] is not None and not wanted.isdisjoint(msgspec.json.decode(record["tags"]))


def _between(name: str, since: int | None, until: int | None) -> Callable[[Record], bool]:
    def fits(record: Record) -> bool:
        at = record[name]
        return at is not None and (since is None or at >= since) and (until is None or at < until)

    return fits


async def counts(link: Link) -> list[Count]:
    flat = await link.run("counts")
    found: list[Count] = []
    for name, n in zip(flat[::2], flat[1::2], strict=True):
        state, _, queue = name.decode().partition(":")
        found.append(Count(queue, STATES[int(state) - 1], int(n)))
    return sorted(found, key=lambda count: (count.queue, NUMBER[count.state]))


async def queues(link: Link) -> list[QueueInfo]:
    flat = await link.run("queues")
    rows = sorted(zip(flat[::2], flat[1::2], strict=True))
    return [queue_info(name.decode(), paused) for name, paused in rows]


_ORDERS: dict[str, Order] = {order[0]: order for order in ORDERS}


def queue_info(name: str, settings: bytes) -> QueueInfo:
    """A queue, from its settings as `queue_settings` in prelude.lua reads them."""
    paused, _, rest = settings.decode().partition("|")
    order, _, ageing = rest.partition("|")
    return QueueInfo(
        name=name,
        paused=bool(paused),
        paused_at=int(paused) if paused else None,
        order=_ORDERS[order or "s"],
        ageing=int(ageing) if ageing else AGEING,
    )


async def workers(link: Link) -> list[WorkerInfo]:
    now, flat, claims = await link.run("workers")
    claimed = dict(zip(claims[::2], claims[1::2], strict=True))
    found: list[WorkerInfo] = []
    for name, packed in zip(flat[::2], flat[1::2], strict=True):
        seen, _, text = packed.partition(b" ")
        info = _INFO.decode(text)
        if int(seen) > now - 10 * info.lease:
            last = claimed.get(name)
            found.append(msgspec.structs.replace(info, seen_at=int(seen), claimed_at=int(last) if last else None))
    return sorted(found, key=lambda info: info.id)


async def audit(link: Link, target: str | None, limit: int) -> list[AuditEntry]:
    found: list[AuditEntry] = []
    start, step = 0, max(limit, 1) if target is None else 1_000
    while len(found) < limit:
        page = [AuditEntry(*unpack(entry)) for entry in await link.run("audit", start, start + step - 1)]
        found += [entry for entry in page if target in (None, entry.target)]
        if len(page) < step:
            break
        start += step
    return found[:limit]


async def metrics(link: Link, query: MetricQuery) -> list[Point]:
    points: list[Point] = []
    minute, last = -(-query.since // MINUTE), -(-query.until // MINUTE)
    while minute >= 0:
        minute, found = await link.run("metrics", minute, last)
        for at in range(0, len(found), 2):
            points += _points(found[at] * MINUTE, found[at + 1], query)
    return points


def _points(minute: int, flat: Sequence[bytes], query: MetricQuery) -> list[Point]:
    points: list[Point] = []
    for field, value in zip(flat[::2], flat[1::2], strict=True):
        queue, kind, name, bucket = unpack(field)
        if (
            (not query.queues or queue in query.queues)
            and (not query.kinds or kind in query.kinds)
            and (not query.names or name in query.names)
        ):
            points.append(Point(minute, queue, kind, name, bucket, int(value)))
    return points
