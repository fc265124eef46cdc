"""`app.metrics`: what became of the attempts of a span of time, how long they ran and waited, as a whole and step by step."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias

import msgspec

from windlass.errors import InvalidOption
from windlass.observe.frames import (
    DAY,
    HOUR,
    KEEP_DAYS,
    WIDTH,
    Cells,
    Frame,
    Step,
    Sums,
    closed,
    counted,
    hours_of,
    only,
    together,
)
from windlass.observe.windows import Window, window
from windlass.store.protocol import Store
from windlass.values.clock import SECOND, Duration, Micros, instant, micros, moment
from windlass.values.metrics import MINUTE, percentiles
from windlass.values.queue import check_name

OpenStore: TypeAlias = Callable[[], Awaitable[Store]]

_MOST_POINTS = 1_500


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """How long `count` attempts took, in seconds. `average` is exact, the others within 1 %: they come from histograms whose
    steps are 2 % wide."""

    count: int
    average: float
    median: float
    p95: float
    p99: float


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What became of attempts, exactly: each is counted in the transaction that ended it. `queue`, `kind` None: all together.

    `completed`, `failed` (for good), `cancelled` (by their handlers or while they ran) are jobs that ended. `retries`: attempts
    that failed and were or are to be made again. `rescues`: attempts whose worker was lost. `snoozed`, `suspended`,
    `released`: runs that gave their slot back without an end. Without a worker jobs end by command (`called_off`,
    `failed_by_command`), by expiry (`expired`) and with a parent (`doomed`). `success_rate`: completed of completed and
    failed, 0 to 1, None if none ended. `per_minute`, `per_hour`: completed jobs, over the whole span. `run`: how long
    attempts ran; `wait`: how long they waited from when they could run until a worker took them; None if there were none.
    `cost`: what was spent; `cpu`: seconds; `average_memory`: bytes at the highest, of the `measured` runs that told theirs,
    None if none did."""

    queue: str | None = None
    kind: str | None = None
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    retries: int = 0
    rescues: int = 0
    snoozed: int = 0
    suspended: int = 0
    released: int = 0
    called_off: int = 0
    expired: int = 0
    doomed: int = 0
    failed_by_command: int = 0
    success_rate: float | None = None
    per_minute: float = 0.0
    per_hour: float = 0.0
    run: Times | None = None
    wait: Times | None = None
    cost: Decimal = Decimal(0)
    cpu: float = 0.0
    average_memory: int | None = None
    measured: int = 0


class SeriesPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a series: `at` is when it began (UTC); steps without any attempt are there too, with zeroes. `run_average`,
    `wait_average`: seconds, None if nothing ran."""

    at: datetime
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    retries: int = 0
    rescues: int = 0
    run_average: float | None = None
    wait_average: float | None = None
    cost: Decimal = Decimal(0)


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of [`since`, `until`). `oldest`: the beginning of the first minute, hour or day that holds anything, None if
    nothing does; minutes are kept for a week (`Retention.metrics`), hours for 90 days, days for 400. `total`: all together;
    `queues`, `kinds`: each by itself; `pairs`: each kind in each queue. `series`: steps of the width of `step`."""

    since: datetime
    until: datetime
    oldest: datetime | None
    total: Figures
    queues: tuple[Figures, ...]
    kinds: tuple[Figures, ...]
    pairs: tuple[Figures, ...]
    step: Step
    series: tuple[SeriesPoint, ...]
    currency: str = "USD"


class Span(msgspec.Struct, frozen=True):
    """What is asked about, in whole steps."""

    since: Micros
    until: Micros
    now: Micros
    step: Step

    @property
    def seconds(self) -> float:
        """What rates are over: an end ahead of now is not."""
        return max(min(self.until, self.now) - self.since, SECOND) / SECOND


async def read_metrics(
    store: Store,
    *,
    queue: str | None = None,
    kind: str | None = None,
    last: Duration = "24h",
    since: datetime | None = None,
    until: datetime | None = None,
    step: Step | None = None,
    currency: str = "USD",
) -> Metrics:
    """The metrics of the `last` while, or from `since` to `until`."""
    queues = () if queue is None else (check_name(queue, "queue"),)
    kinds = () if kind is None else (check_name(kind, "kind"),)
    span = read_span(await store.now(), last, since, until, step)
    cells, steps = await _gathered(store, span, queues, kinds)
    by_queue = [(name, _merged(several)) for name, several in _by(cells, 0)]
    total = _merged([sums for _, sums in by_queue])
    return Metrics(
        since=moment(span.since),
        until=moment(span.until),
        oldest=moment(min(frame.start for frame in steps)) if steps else None,
        total=figures_of(total, span, queue, kind),
        queues=tuple(figures_of(sums, span, name, kind) for name, sums in by_queue),
        kinds=tuple(figures_of(_merged(several), span, queue, name) for name, several in _by(cells, 1)),
        pairs=tuple(figures_of(sums, span, *key) for key, sums in sorted(cells.items())),
        step=span.step,
        series=_series(steps, span),
        currency=currency,
    )


async def _gathered(
    store: Store, span: Span, queues: tuple[str, ...], kinds: tuple[str, ...]
) -> tuple[Cells, list[Frame]]:
    """The sums of a span, and frames no wider than its steps, without histograms, which together make them up."""
    days, rest = closed(span.since, span.until, DAY, span.now)
    parts = [closed(start, end, HOUR, span.now) for start, end in rest]
    hours = [hour for whole, _ in parts for hour in whole]
    edges = [edge for _, some in parts for edge in some]
    wide = await window(store, DAY, days, span.now)
    near = await window(store, HOUR, hours, span.now)
    minutes = await counted(store, edges, min(WIDTH[span.step], HOUR), queues, kinds)
    found = [*_frames(wide, DAY), *_frames(near, HOUR)]
    if span.step != "day":
        found = await _finer(store, found, span, queues, kinds)
    chosen = [only(Frame(0, 0, each.cells), queues, kinds) for each in (wide, near)]
    steps = [only(frame, queues, kinds) for frame in found]
    return together([*chosen, *minutes]), [frame for frame in (*steps, *minutes) if frame.cells]


def _frames(found: Window, width: Micros) -> list[Frame]:
    return [Frame(start, width, cells) for start, cells in found.parts.items() if start in found.starts]


async def _finer(
    store: Store, found: list[Frame], span: Span, queues: tuple[str, ...], kinds: tuple[str, ...]
) -> list[Frame]:
    """The same frames in the span's steps, those that are wider read again."""
    fine = [frame for frame in found if frame.width <= WIDTH[span.step]]
    wide = [(frame.start, frame.start + frame.width) for frame in found if frame.width > WIDTH[span.step]]
    if span.step == "hour":
        hours = [hour for start, end in wide for hour in range(start, end, HOUR)]
        return fine + await hours_of(store, hours, shapes=False)
    return fine + await counted(store, wide, MINUTE, queues, kinds, plain=True)


def read_span(now: Micros, last: Duration, since: datetime | None, until: datetime | None, step: Step | None) -> Span:
    """The checked span: the `last` while, or from `since` to `until`."""
    end = now + 1 if until is None else instant(until, "until")
    back = micros(last, "last", minimum=60.0)
    start = end - back if since is None else instant(since, "since")
    if not 0 <= start < end:
        raise _bad("since", since, "before until, after 1970", "give since before until")
    if end - start > KEEP_DAYS:
        raise _bad("since", since, "400 days", "ask for a shorter span")
    width = end - start
    chosen: Step = step or ("minute" if width <= 2 * HOUR + MINUTE else "hour" if width <= 8 * DAY else "day")
    if chosen not in WIDTH:
        raise _bad("step", step, "minute, hour or day", "give one of them")
    if width // WIDTH[chosen] > _MOST_POINTS:
        raise _bad("step", step, f"{_MOST_POINTS} steps", "ask for wider steps or a shorter span")
    # Whole steps, so that the first of the series is not a piece, and closed hours and days are read as they are kept.
    align = WIDTH[chosen]
    return Span(start // align * align, -(-end // MINUTE) * MINUTE, now, chosen)


def _by(cells: Cells, part: int) -> list[tuple[str, list[Sums]]]:
    groups: dict[str, list[Sums]] = {}
    for key, sums in cells.items():
        groups.setdefault(key[part], []).append(sums)
    return sorted(groups.items())


def figures_of(sums: Sums, span: Span, queue: str | None, kind: str | None) -> Figures:
    """Sums as figures."""
    ends = sums.ends.get
    completed, failed = ends("complete", 0), ends("fail", 0)
    return Figures(
        queue=queue,
        kind=kind,
        completed=completed,
        failed=failed,
        cancelled=ends("abort", 0),
        retries=ends("retry", 0),
        rescues=ends("rescue", 0),
        snoozed=ends("snooze", 0),
        suspended=ends("suspend", 0),
        released=ends("release", 0),
        called_off=ends("cancel", 0),
        expired=ends("expire", 0),
        doomed=ends("doom", 0),
        failed_by_command=ends("fail-by-command", 0),
        success_rate=round(completed / (completed + failed), 6) if completed + failed else None,
        per_minute=round(completed / span.seconds * 60, 4),
        per_hour=round(completed / span.seconds * 3_600, 4),
        run=_times(sums.took, sums.took_sum),
        wait=_times(sums.waited, sums.waited_sum),
        cost=money(sums.cost),
        cpu=round(sums.cpu / SECOND, 6),
        average_memory=round(sums.memory / sums.measured) if sums.measured else None,
        measured=sums.measured,
    )


def money(millionths: int) -> Decimal:
    """An amount as a decimal, with as many places as it needs."""
    return Decimal(millionths).scaleb(-6).normalize() + Decimal(0)


def _merged(several: Sequence[Sums]) -> Sums:
    if len(several) == 1:
        return several[0]
    whole = Sums()
    for sums in several:
        whole.add(sums)
    return whole


def _times(histogram: dict[int, int], total: int) -> Times | None:
    count = sum(histogram.values())
    if not count:
        return None
    median, p95, p99 = (round(each / SECOND, 6) for each in percentiles(histogram, (0.50, 0.95, 0.99)))
    return Times(count=count, average=round(total / count / SECOND, 6), median=median, p95=p95, p99=p99)


def _series(found: Sequence[Frame], span: Span) -> tuple[SeriesPoint, ...]:
    width = WIDTH[span.step]
    steps: dict[Micros, Sums] = {at: Sums() for at in range(span.since // width * width, span.until, width)}
    for frame in found:
        sums = steps[frame.start // width * width]
        for cell in frame.cells.values():
            sums.add_plain(cell)
    return tuple(_point(at, sums) for at, sums in steps.items())


def _point(at: Micros, sums: Sums) -> SeriesPoint:
    ends = sums.ends.get
    timed = sums.timed
    return SeriesPoint(
        at=moment(at),
        completed=ends("complete", 0),
        failed=ends("fail", 0),
        cancelled=ends("abort", 0),
        retries=ends("retry", 0),
        rescues=ends("rescue", 0),
        run_average=round(sums.took_sum / timed / SECOND, 6) if timed else None,
        wait_average=round(sums.waited_sum / timed / SECOND, 6) if timed else None,
        cost=money(sums.cost),
    )


def _bad(field: str, value: object, limit: str, mend: str) -> InvalidOption:
    shown = repr(value)[:100]
    return InvalidOption(f"{field} is {shown}; it must be {limit}", field=field, value=shown, limit=limit, mend=mend)
