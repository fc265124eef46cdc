"""A report's numbers as CSV, and as the pages that typst makes of them."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from windlass import WindlassError
from windlass.catalogue.reports_snapshot import Compared, Line, Snapshot

_TEMPLATE = Path(__file__).parent / "reports.typ"
_RISKY = ("=", "+", "-", "@", "\t", "\r")
_NAMES = {
    "completed": "Completed",
    "failed": "Failed for good",
    "success_rate": "Success rate",
    "retries": "Retries",
    "rescues": "Rescued",
    "run_average": "Average run",
    "run_p95": "Run, 95 %",
    "wait_average": "Average wait",
    "cost": "Cost",
}
_BAD_WHEN_UP = {"failed", "retries", "rescues", "run_average", "run_p95", "wait_average", "cost"}
_TIMES = {"run_average", "run_p95", "wait_average"}


class ReportBroken(WindlassError, RuntimeError):
    """The template does not work with these numbers: a fault of ours, or of fonts that cannot be read."""

    code = "report-broken"
    retryable = False


def as_csv(taken: Snapshot) -> bytes:
    """One row a number: section, name, field, value, before, change. Text that a spreadsheet would run is quoted."""
    out = io.StringIO()
    write = csv.writer(out).writerow
    write(("section", "name", "field", "value", "before", "change"))
    for section, numbers in (("totals", taken.totals), ("analytics", taken.analytics)):
        for each in numbers:
            write((section, cell(each.name), "value", each.value, each.before, each.change))
    for section, lines in (("queue", taken.queues), ("kind", taken.kinds)):
        for line in lines:
            for name, value in msgspec.structs.asdict(line).items():
                if name not in ("name", "before"):
                    write((section, cell(line.name), name, value, line.before if name == "completed" else None, None))
    for failure in taken.failures:
        write(("failure", cell(f"{failure.type}: {failure.message}"), "letters", failure.letters, None, None))
    for bar in taken.bars:
        write(("series", bar.label, "completed", bar.completed, bar.before, None))
        write(("series", bar.label, "failed", bar.failed, None, None))
    return out.getvalue().encode()


def cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_RISKY) else text


def as_pdf(taken: Snapshot, *, charts: bool = True, fonts: Path | None = None) -> bytes:
    """The pages. The same numbers make the same bytes. Blocks for some ten milliseconds: call it in a thread."""
    import typst

    data = msgspec.json.encode(_view(taken, charts)).decode()
    try:
        compiler = typst.Compiler(
            str(_TEMPLATE),
            root=str(_TEMPLATE.parent),
            font_paths=[] if fonts is None else [str(fonts)],
            ignore_system_fonts=True,
            sys_inputs={"data": data},
        )
        made = compiler.compile(format="pdf", timestamp=int(taken.until.timestamp()))
    except typst.TypstError as error:
        raise ReportBroken(f"typst: {error.message}"[:500]) from error
    assert isinstance(made, bytes)
    return made


def _view(taken: Snapshot, charts: bool) -> dict[str, Any]:
    """What the template shows: text that is ready, and the chart's numbers."""
    shown = {"daily": "Daily report", "weekly": "Weekly report"}[taken.kind]
    return {
        "title": f"{shown} {taken.period}",
        "span": f"{taken.since:%Y-%m-%d %H:%M} to {taken.until:%Y-%m-%d %H:%M} UTC, days of {taken.timezone}",
        "compared": f"compared with {taken.before}" if taken.before else "nothing is known of the period before",
        "cards": [_card(each, taken.currency) for each in taken.totals],
        "bars": [msgspec.to_builtins(bar) for bar in taken.bars] if charts else [],
        "legend": f"{'Hours' if taken.kind == 'daily' else 'Days'}: completed, failed"
        + (f", and completed in {taken.before}" if taken.before else ""),
        "tables": [
            _table("Queues", "Queue", taken.queues, taken),
            _table("Kinds", "Kind", taken.kinds, taken),
            _numbers("Analytics", taken.analytics),
            _failures(taken),
        ],
    }


def _card(each: Compared, currency: str) -> dict[str, Any]:
    return {
        "name": _NAMES[each.name],
        "value": _shown(each.name, each.value, currency),
        "change": _change(each.change),
        "good": each.change is None or each.change == 0 or (each.change > 0) is not (each.name in _BAD_WHEN_UP),
    }


def _table(title: str, head: str, lines: Iterable[Line], taken: Snapshot) -> dict[str, Any]:
    columns = [head, "Completed", "Before", "Failed", "Retries", "Success", "Run", "95 %", "Wait", "Cost"]
    rows = [
        [
            line.name,
            f"{line.completed:,}",
            "-" if line.before is None else f"{line.before:,}",
            f"{line.failed:,}",
            f"{line.retries:,}",
            _shown("success_rate", line.success_rate, ""),
            *(_shown("run_p95", value, "") for value in (line.run_average, line.run_p95, line.wait_average)),
            _shown("cost", line.cost, taken.currency),
        ]
        for line in lines
    ]
    return {"title": title, "columns": columns, "rows": rows, "none": "Nothing ran."}


def _numbers(title: str, numbers: Iterable[Compared]) -> dict[str, Any]:
    rows = [[each.name, _plain(each.value), _plain(each.before), _change(each.change) or "-"] for each in numbers]
    none = "Nothing was aggregated for this period."
    return {"title": title, "columns": ["Metric", "Value", "Before", "Change"], "rows": rows, "none": none}


def _failures(taken: Snapshot) -> dict[str, Any]:
    rows = [[f"{each.type}: {each.message}", f"{each.letters:,}", ", ".join(each.kinds)] for each in taken.failures]
    columns = ["What failed for good", "Dead letters", "Kinds"]
    return {"title": "Failures", "columns": columns, "rows": rows, "none": "No dead letters fell in this period."}


def _shown(name: str, value: float | None, currency: str) -> str:
    if value is None:
        return "-"
    if name == "success_rate":
        return f"{value * 100:.1f} %"
    if name == "cost":
        return f"{value:,.2f} {currency}" if value == 0 or value >= 0.01 else f"{value:.6f} {currency}"
    if name in _TIMES:
        return f"{value:,.1f} s" if value >= 1 else f"{value * 1000:,.1f} ms"
    return f"{value:,}"


def _plain(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4f}".rstrip("0").rstrip(".")


def _change(change: float | None) -> str:
    return "" if change is None else f"{change * 100:+,.1f} %"
