"""Asking: one job, pages of jobs by filter, outcomes, counts, workers, tallies."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

import msgspec

from windlass.errors import InvalidOption
from windlass.store.redis.codec import (
    NUMBER,
    STATES,
    id_bytes,
    id_text,
    known_ids,
    pack,
    record_of,
    unpack,
)
from windlass.store.redis.connection import Link
from windlass.store.redis.ledger import read_ledger
from windlass.values.job import Job, read_job
from windlass.values.lease import WorkerInfo
from windlass.values.metrics import MINUTE, MetricQuery, Point
from windlass.values.query import Count, Page, Where
from windlass.values.queue import AGEING, ORDERS, Order, QueueInfo
from windlass.values.states import FINAL, State

MOST_PAGE = 1_000
SCANNED = 5_000
"""Records that one page looks at: a page of a selective filter may be short, its cursor goes on."""
PAGE = 1_000
GATHERED = 50_000
"""Dead letters of one filter that are put in the order of their ids to be listed; of more all jobs are gone through."""
_STEP = 250
_RETRIES = b"retries"
_INFO = msgspec.json.Decoder(WorkerInfo)
Record = dict[str, Any]
Place = tuple[bytes, bytes]
"""Where a search stands: a key and a cursor in it; of a walk through all jobs no key and the id that it goes on behind."""
START: Place = (b"", b"")


async def read(link: Link, ids: Sequence[bytes], fields: str = "lretp") -> list[Record]:
    """The raw records of those of the ids that exist, in their order; those read with `l` also tell their error's fingerprint."""
    records: list[Record] = []
    width = 3 + len(fields)
    for start in range(0, len(ids), _STEP):
        flat = await link.run("read", b"".join(ids[start : start + _STEP]), fields)
        for at in range(0, len(flat), width):
            texts: dict[str, bytes] = dict(zip(fields, flat[at + 3 : at + width], strict=True))
            id, c, m = flat[at : at + 3]
            ledger = read_ledger(texts.get("l", b""))
            record = record_of(id, c, m, [texts.get(field, b"") for field in "retp"], ledger)
            record["fingerprint"] = ledger.fingerprint
            records.append(record)
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
    link: Link,
    where: Where,
    cursor: str | None = None,
    *,
    most: int = SCANNED,
    step: int = _STEP,
    small: bool = False,
) -> AsyncIterator[tuple[str, Record | None]]:
    """Matching records newest first, each with a cursor to go on behind it. After `most` records looked at, one last
    pair without a record, whose cursor begins with `+`: there may be more. `small`: without results, errors and the like."""
    fits, picky = matcher(where), where != Where(ids=where.ids, states=where.states)
    looks_at = small_fields(where)
    before = read_cursor(cursor) if cursor else None
    looked = 0
    async for ids in candidates(link, where, before):
        width = _STEP if picky else min(step, _STEP)
        for start in range(0, len(ids), width):
            part = ids[start : start + width]
            if small:
                records = await read(link, part, looks_at)
            elif picky:  # look at the small records first: few of them may fit
                fitting = {record["id"] for record in await read(link, part, looks_at) if fits(record)}
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


def small_fields(where: Where) -> str:
    """What `read` must bring beside the two small records for the filter to be judged."""
    return "l" if of_letters(where) else ""


def of_letters(where: Where) -> bool:
    """Whether it asks for dead letters, by the index of those."""
    return bool(where.fingerprints) or where.retry_before is not None


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
    if of_letters(where):
        gathered = set[bytes]()
        async for _, ids in letters(link, where, START):
            gathered.update(ids)
            if len(gathered) > GATHERED:
                break
        else:
            yield _older(gathered, before)
            return
    elif where.states:
        asked = ([NUMBER[state] for state in where.states], where.queues, SCANNED)
        flat = await link.run("listed", pack(asked))
        if isinstance(flat, bytes):
            yield _older(split(flat), before)
            return
    async for ids in walk(link, before):
        yield ids


async def letters(link: Link, where: Where, begin: Place) -> AsyncIterator[tuple[Place, list[bytes]]]:
    """Dead letters that may match, from their indexes, each page with the place where it begins."""
    if where.fingerprints:
        n, *keys = await link.run("letters", pack((list(dict.fromkeys(where.fingerprints)), False, 0, 0)))
        if n:
            async for page in scanned(link, keys, begin):
                yield page
        return
    offset = int(begin[1]) if begin[0] == _RETRIES else 0
    while ids := split(await link.run("letters", pack(((), where.retry_before, offset, PAGE)))):
        yield (_RETRIES, str(offset).encode()), ids
        offset += len(ids)


async def scanned(link: Link, keys: Sequence[bytes], begin: Place) -> AsyncIterator[tuple[Place, list[bytes]]]:
    """The ids in sorted sets, set by set from a place on."""
    key, cursor = begin if begin[0] in keys else (keys[0], b"0")
    for name in keys[keys.index(key) :]:
        cursor = cursor if name == key else b"0"
        while True:
            place = name, cursor
            cursor, flat = await link.run("stands", name, cursor, PAGE)
            yield place, list(dict.fromkeys(split(flat)))
            if cursor == b"0":
                break


def split(flat: bytes) -> list[bytes]:
    return [flat[at : at + 16] for at in range(0, len(flat), 16)]


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
    if of_letters(where):
        tests.append(_letters(where))
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
    fits = _any_of(kinds)
    return lambda record: fits(record["kind"])


def _any_of(names: Sequence[str]) -> Callable[[str], bool]:
    """Names, of which some may end in `*`."""
    whole = frozenset(name for name in names if not name.endswith("*"))
    starts = tuple(name[:-1] for name in names if name.endswith("*"))
    return lambda text: text in whole or text.startswith(starts)


def _without_colon(name: str) -> bool:
    return ":" not in name


def _tags(tags: Sequence[str]) -> Callable[[Record], bool]:
    wanted = frozenset(tags)
    return lambda record: record["tags"] is not None and not wanted.isdisjoint(msgspec.json.decode(record["tags"]))


def _letters(where: Where) -> Callable[[Record], bool]:
    prints, before = frozenset(where.fingerprints), where.retry_before

    def fits(record: Record) -> bool:
        due: int | None = record["next_retry_at"]
        return (
            record["state"] == State.FAILED
            and (not prints or record["fingerprint"] in prints)
            and (before is None or (due is not None and due < before))
        )

    return fits


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
    named = _any_of(query.names) if query.names else _without_colon
    for field, value in zip(flat[::2], flat[1::2], strict=True):
        queue, kind, name, bucket = unpack(field)
        if (not query.queues or queue in query.queues) and (not query.kinds or kind in query.kinds) and named(name):
            points.append(Point(minute, queue, kind, name, bucket, int(value)))
    return points
