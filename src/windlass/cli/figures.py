"""The figures of `windlass stats`: queues as they are, kinds as they did over the last while."""

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from windlass.cli.backlog import QueueRow, emit_queues
from windlass.cli.backlog import gather as gather_queues
from windlass.cli.options import Form
from windlass.cli.show import emit_json, emit_lines, emit_table, span
from windlass.store.protocol import Store
from windlass.values.clock import SECOND, Micros
from windlass.values.metrics import MINUTE, MetricQuery, Point, percentile

ENDS = ("complete", "fail", "retry", "rescue", "abort")


class KindRow(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a kind's attempts, and how long they ran and waited (seconds; None: none ended)."""

    kind: str
    complete: int
    fail: int
    retry: int
    rescue: int
    abort: int
    per_min: float
    took_p50: float | None
    took_p99: float | None
    waited_p50: float | None
    waited_p99: float | None


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """All of it: `seconds` is how far the kinds' figures look back."""

    seconds: float
    queues: list[QueueRow]
    kinds: list[KindRow]
    workers: int
    running: int


async def gather(store: Store, back: Micros) -> Figures:
    """Ask the store."""
    now = await store.now()
    since = max(now - back, 0) // MINUTE * MINUTE
    points = await store.metrics(MetricQuery(since=since, until=now + MINUTE))
    workers = [info for info in await store.workers() if now - info.seen_at <= info.lease]
    return Figures(
        seconds=(now - since) / SECOND,
        queues=await gather_queues(store),
        kinds=_kinds(points, max((now - since) / MINUTE, 1 / 60)),
        workers=len(workers),
        running=sum(info.running for info in workers),
    )


def _kinds(points: Sequence[Point], minutes: float) -> list[KindRow]:
    sums: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    shapes: dict[tuple[str, str], dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for point in points:
        if point.name in ENDS:
            sums[point.kind][point.name] += point.value
        elif point.name in ("took", "waited"):
            shapes[point.kind, point.name][point.bucket] += point.value
    return [
        KindRow(
            kind=kind,
            **{name: ends[name] for name in ENDS},
            per_min=round(ends["complete"] / minutes, 2),
            took_p50=_at(shapes[kind, "took"], 0.50),
            took_p99=_at(shapes[kind, "took"], 0.99),
            waited_p50=_at(shapes[kind, "waited"], 0.50),
            waited_p99=_at(shapes[kind, "waited"], 0.99),
        )
        for kind, ends in sorted(sums.items())
    ]


def _at(histogram: dict[int, int], share: float) -> float | None:
    found = percentile(histogram.items(), share)
    return None if found is None else round(found / SECOND, 6)


def emit_figures(figures: Figures, form: Form) -> None:
    """Print figures; ids are the queues' names."""
    if form is Form.JSON:
        emit_json(figures)
        return
    if form is Form.IDS:
        emit_lines(row.name for row in figures.queues)
        return
    emit_queues(figures.queues, form)
    if figures.kinds:
        print(f"\nlast {span(figures.seconds)}:")
        emit_table(
            ["kind", "done", "fail", "retry", "rescue", "done/min", "ran p50", "p99", "waited p50", "p99 "],
            [
                [
                    row.kind,
                    *map(str, (row.complete, row.fail, row.retry, row.rescue)),
                    f"{row.per_min:g}",
                    *(_span(x) for x in (row.took_p50, row.took_p99, row.waited_p50, row.waited_p99)),
                ]
                for row in figures.kinds
            ],
            right=("done", "fail", "retry", "rescue", "done/min", "ran p50", "p99", "waited p50", "p99 "),
            key=12,
        )
    workers = f"{figures.workers} worker" + "s" * (figures.workers != 1)
    print(f"\n{workers}, {figures.running} running")


def _span(seconds: float | None) -> str:
    return "-" if seconds is None else span(seconds)
