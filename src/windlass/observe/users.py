"""What users' jobs came to and cost: a user's metrics, and the ledger of all of them.

Users are counted by the minute like kinds. There may be very many, so a closed day is added up in shards by a hash of the
user: a month of one user is thirty small records.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from zlib import crc32

import msgspec

from windlass.errors import StoreError
from windlass.observe.figures import Span, money, read_span
from windlass.observe.frames import DAY, HOUR, KEEP_DAYS, closed
from windlass.store.protocol import Store
from windlass.values.clock import SECOND, Duration, Micros, moment
from windlass.values.metrics import USER, MetricQuery, Point
from windlass.values.query import Swap
from windlass.values.queue import check_name

DAYS = "metrics-user"
"""The space of records; the key of a shard is `<day>:<shard>`, that of the mark that a day is complete `<day>`."""

SHARDS = 64
_PREFIX = "user:"
_AT_ONCE = 200
_RUN = 6 * HOUR


class UserFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What a user's jobs came to, exactly. `queue`, `kind` None: all together. `retries`: attempts that failed and were or
    are to be made again. `run_average`: seconds; `cost`: what was spent; `average_memory`: bytes at the highest, of the
    `measured` runs that told theirs."""

    user: str
    queue: str | None = None
    kind: str | None = None
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    retries: int = 0
    success_rate: float | None = None
    run_average: float | None = None
    cost: Decimal = Decimal(0)
    average_memory: int | None = None
    measured: int = 0


class UserDay(msgspec.Struct, frozen=True, kw_only=True):
    """A day (UTC) of a user's."""

    at: datetime
    completed: int
    failed: int
    retries: int
    cost: Decimal


class UserMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of a user in [`since`, `until`): all together, by queue, by kind, by day. Minutes are kept for a week
    (`keep_metrics`), days for 400."""

    user: str
    since: datetime
    until: datetime
    total: UserFigures
    queues: tuple[UserFigures, ...]
    kinds: tuple[UserFigures, ...]
    days: tuple[UserDay, ...]
    currency: str


class _Row(NamedTuple):
    """What was counted of a user in a queue and kind on a day; `sums` by `metrics.USER`."""

    day: Micros
    user: str
    queue: str
    kind: str
    sums: tuple[int, ...]


class _Stored(msgspec.Struct, frozen=True, array_like=True, gc=False):
    user: str
    queue: str
    kind: str
    sums: tuple[int, ...]


_READ = msgspec.json.Decoder(list[_Stored])


async def read_user_metrics(
    store: Store,
    user: str,
    *,
    queue: str | None = None,
    kind: str | None = None,
    last: Duration = "24h",
    since: datetime | None = None,
    until: datetime | None = None,
    currency: str = "USD",
) -> UserMetrics:
    """A user's metrics of the `last` while, or from `since` to `until`."""
    user = check_name(user, "user")
    span = read_span(await store.now(), last, since, until, None)
    rows = [
        row
        for row in await _rows(store, span, user)
        if queue in (None, row.queue) and kind in (None, row.kind) and row.user == user
    ]
    days = sorted({row.day for row in rows})
    return UserMetrics(
        user=user,
        since=moment(span.since),
        until=moment(span.until),
        total=_figures(user, rows, queue, kind),
        queues=tuple(_figures(user, part, name, kind) for name, part in _by(rows, "queue")),
        kinds=tuple(_figures(user, part, queue, name) for name, part in _by(rows, "kind")),
        days=tuple(_day(day, [row for row in rows if row.day == day]) for day in days),
        currency=currency,
    )


async def read_users(
    store: Store,
    *,
    last: Duration = "24h",
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 100,
) -> list[UserFigures]:
    """What each user's jobs came to, the dearest first, then those with most jobs."""
    span = read_span(await store.now(), last, since, until, None)
    rows = await _rows(store, span, None)
    figures = [_figures(user, part, None, None) for user, part in _by(rows, "user")]
    figures.sort(key=lambda each: (-each.cost, -(each.completed + each.failed), each.user))
    return figures[:limit]


async def fold_users(store: Store, back: Micros) -> int:
    """Write the shards of closed days of the last `back` microseconds that are not written yet; how many days."""
    now = await store.now()
    days, _ = closed(max(now - back, 0) // DAY * DAY, now, DAY, now)
    known = await _complete(store, days)
    written = 0
    for day in (day for day in days if day not in known):
        rows = await _counted(store, [(day, day + DAY)], "*")
        shards: dict[int, list[_Stored]] = {}
        for row in rows:
            shards.setdefault(_shard(row.user), []).append(_Stored(row.user, row.queue, row.kind, row.sums))
        texts = {f"{day}:{shard}": msgspec.json.encode(part).decode() for shard, part in sorted(shards.items())}
        swaps = [Swap(space=DAYS, key=key, text=text, ttl=KEEP_DAYS) for key, text in texts.items()]
        with contextlib.suppress(StoreError):  # a store that is full is asked again in an hour
            if swaps:
                await store.exchange(swaps)
            await store.exchange([Swap(space=DAYS, key=str(day), text="1", ttl=KEEP_DAYS)])
            written += 1
    return written


async def _rows(store: Store, span: Span, user: str | None) -> list[_Row]:
    """What was counted in a span, of one user or all."""
    days, rest = closed(span.since, span.until, DAY, span.now)
    known = await _complete(store, days)
    rest = [*rest, *((day, day + DAY) for day in days if day not in known)]
    shards = range(SHARDS) if user is None else (_shard(user),)
    keys = [f"{day}:{shard}" for day in sorted(known) for shard in shards]
    rows: list[_Row] = []
    for at in range(0, len(keys), _AT_ONCE):
        for record in await store.records(DAYS, keys[at : at + _AT_ONCE]):
            day = int(record.key.partition(":")[0])
            rows += [_Row(day, *msgspec.structs.astuple(each)) for each in _READ.decode(record.text or "[]")]
    rows += await _counted(store, rest, "*" if user is None else user)
    return rows if user is None else [row for row in rows if row.user == user]


async def _complete(store: Store, days: Sequence[Micros]) -> set[Micros]:
    keys = [str(day) for day in days]
    found: set[Micros] = set()
    for at in range(0, len(keys), _AT_ONCE):
        found |= {int(record.key) for record in await store.records(DAYS, keys[at : at + _AT_ONCE])}
    return found


async def _counted(store: Store, spans: Iterable[tuple[Micros, Micros]], user: str) -> list[_Row]:
    sums: dict[tuple[Micros, str, str, str], list[int]] = {}
    for start, end in spans:
        for since in range(start, end, _RUN):
            query = MetricQuery(since=since, until=min(since + _RUN, end), names=(_PREFIX + user,))
            _add(sums, await store.metrics(query))
    return [_Row(*key, tuple(each)) for key, each in sums.items()]


def _add(sums: dict[tuple[Micros, str, str, str], list[int]], points: Iterable[Point]) -> None:
    for point in points:
        if point.bucket < len(USER):
            key = (point.minute // DAY * DAY, point.name.removeprefix(_PREFIX), point.queue, point.kind)
            sums.setdefault(key, [0] * len(USER))[point.bucket] += point.value


def _shard(user: str) -> int:
    return crc32(user.encode()) % SHARDS


def _by(rows: Iterable[_Row], field: str) -> Iterator[tuple[str, list[_Row]]]:
    groups: dict[str, list[_Row]] = {}
    for row in rows:
        groups.setdefault(getattr(row, field), []).append(row)
    yield from sorted(groups.items())


def _merged(rows: Iterable[_Row]) -> Mapping[str, int]:
    sums = [0] * len(USER)
    for row in rows:
        for number, value in enumerate(row.sums[: len(USER)]):
            sums[number] += value
    return dict(zip(USER, sums, strict=True))


def _figures(user: str, rows: Iterable[_Row], queue: str | None, kind: str | None) -> UserFigures:
    sums = _merged(rows)
    completed, failed = sums["complete"], sums["fail"]
    runs = completed + failed + sums["abort"] + sums["retry"]
    return UserFigures(
        user=user,
        queue=queue,
        kind=kind,
        completed=completed,
        failed=failed,
        cancelled=sums["abort"],
        retries=sums["retry"],
        success_rate=round(completed / (completed + failed), 6) if completed + failed else None,
        run_average=round(sums["took_sum"] / runs / SECOND, 6) if runs else None,
        cost=money(sums["cost"]),
        average_memory=round(sums["memory"] / sums["memory_runs"]) if sums["memory_runs"] else None,
        measured=sums["memory_runs"],
    )


def _day(day: Micros, rows: Iterable[_Row]) -> UserDay:
    sums = _merged(rows)
    return UserDay(
        at=moment(day),
        completed=sums["complete"],
        failed=sums["fail"],
        retries=sums["retry"],
        cost=money(sums["cost"]),
    )
