"""The figures of `windlass stats`: queues as they are, kinds as they did over the last while."""

import msgspec

from windlass.cli.backlog import QueueRow, emit_queues
from windlass.cli.backlog import gather as gather_queues
from windlass.cli.options import Form
from windlass.cli.show import emit_json, emit_lines, emit_table, span
from windlass.observe.figures import Figures as KindFigures
from windlass.observe.figures import read_metrics
from windlass.observe.frames import HOUR
from windlass.store.protocol import Store
from windlass.values.clock import SECOND, Micros, instant


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
    found = await read_metrics(store, last=back / SECOND, step="minute" if back <= 24 * HOUR else None)
    workers = [info for info in await store.workers() if now - info.seen_at <= info.lease]
    return Figures(
        seconds=(now - instant(found.since)) / SECOND,
        queues=await gather_queues(store),
        kinds=[_row(kind) for kind in found.kinds],
        workers=len(workers),
        running=sum(info.running for info in workers),
    )


def _row(kind: KindFigures) -> KindRow:
    run, wait = kind.run, kind.wait
    return KindRow(
        kind=str(kind.kind),
        complete=kind.completed,
        fail=kind.failed,
        retry=kind.retries,
        rescue=kind.rescues,
        abort=kind.cancelled,
        per_min=round(kind.per_minute, 2),
        took_p50=run and run.median,
        took_p99=run and run.p99,
        waited_p50=wait and wait.median,
        waited_p99=wait and wait.p99,
    )


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
        )
    workers = f"{figures.workers} worker" + "s" * (figures.workers != 1)
    print(f"\n{workers}, {figures.running} running")


def _span(seconds: float | None) -> str:
    return "-" if seconds is None else span(seconds)
