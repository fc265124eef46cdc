"""Metrics as people look at them: a row for each kind or queue, and the series as a line of bars."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from windlass.cli.options import Chosen, Plain
from windlass.cli.show import clean, emit_json, emit_table, note, span
from windlass.errors import InvalidOption
from windlass.observe.crew import WorkerFigures
from windlass.observe.figures import Figures, Metrics, Times

_BARS = "▁▂▃▄▅▆▇█"
_MOST_BARS = 62


def read_time(text: str | None, name: str) -> datetime | None:
    """An instant as people type it; without a zone it is UTC."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidOption(
            f"{name} is {text[:50]!r}; it must be a time such as 2026-03-01T12:00Z",
            field=name,
            value=text[:50],
            limit="an ISO 8601 time",
            mend="write it as 2026-03-01T12:00Z",
        ) from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def emit_metrics(found: Metrics, by: Literal["kind", "queue", "pair"], form: Plain) -> None:
    """Print metrics in the form asked for."""
    if form is Plain.JSON:
        emit_json(found)
        return
    rows = {"kind": found.kinds, "queue": found.queues, "pair": found.pairs}[by]
    print(f"{found.since:%Y-%m-%d %H:%M} to {found.until:%Y-%m-%d %H:%M} UTC, by {found.step}")
    if not rows:
        note(f"no attempt ended then in {Chosen.store}")
        return
    print(f"{'jobs/' + found.step:12} {bars([point.completed for point in found.series])}\n")
    emit_table(
        [by if by != "pair" else "queue/kind", *_NUMBERS],
        [*(_row(row, _name(row, by)) for row in rows), *([_row(found.total, "all")] if len(rows) > 1 else [])],
        right=_NUMBERS,
    )
    others = ("cancelled", "rescues", "snoozed", "suspended", "released")
    told = [f"{getattr(found.total, name):,} {name}" for name in others if getattr(found.total, name)]
    if told:
        print("\nalso: " + ", ".join(told))
    if found.oldest is not None and found.oldest > found.since and by != "pair":
        note(f"nothing is older than {found.oldest:%Y-%m-%d %H:%M} UTC")


def emit_workers(found: Sequence[WorkerFigures], form: Plain) -> None:
    """Print what workers did."""
    if form is Plain.JSON:
        emit_json({"items": found})
    elif not found:
        note(f"no attempt ended then in {Chosen.store}")
    else:
        emit_table(["worker", *_NUMBERS], [_row(row, clean(row.worker)) for row in found], right=_NUMBERS)


_NUMBERS = ("done", "fail", "retry", "ok", "/min", "ran p50", "p95", "p99", "waited p50", "p99 ")


def _name(row: Figures, by: str) -> str:
    return f"{row.queue}/{row.kind}" if by == "pair" else str(row.kind if by == "kind" else row.queue)


def _row(row: Figures, name: str) -> list[str]:
    share = "-" if row.success_rate is None else f"{row.success_rate:.1%}"
    return [
        name,
        *(_number(n) for n in (row.completed, row.failed, row.retries)),
        share,
        f"{row.per_minute:.3g}" if row.per_minute < 1_000 else _number(round(row.per_minute)),
        *_times(row.run, ("median", "p95", "p99")),
        *_times(row.wait, ("median", "p99")),
    ]


def _times(times: Times | None, names: Sequence[str]) -> list[str]:
    return ["-" if times is None else span(getattr(times, name)) for name in names]


def _number(n: int) -> str:
    """Whole up to five digits, then thousands and millions: the table must fit 80 columns."""
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if n >= 100 * size or (unit == "M" and n >= size):
            return f"{n / size:.1f}{unit}"
    return str(n)


def bars(values: Sequence[int]) -> str:
    """Bars, several steps together where there are more than fit; the tallest step in numbers."""
    together = -(-len(values) // _MOST_BARS)
    sums = [sum(values[at : at + together]) for at in range(0, len(values), together)]
    top = max(sums, default=0)
    bars = _BARS if (sys.stdout.encoding or "").lower().startswith("utf") else ".:-=+*%@"
    line = "".join(" " if not n else bars[min(n * len(bars) // (top + 1), len(bars) - 1)] for n in sums)
    return f"{line.rstrip() or '-'}  (most: {max(values, default=0):,})"
