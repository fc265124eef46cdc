"""Printing: tables that fit the terminal, JSON that is never cut, ids one per line."""

import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

COLOURS = {
    "blocked": "magenta",
    "delayed": "cyan",
    "waiting": "blue",
    "active": "yellow",
    "retrying": "dark_orange",
    "completed": "green",
    "failed": "red",
    "cancelled": "bright_black",
    "ok": "green",
    "warning": "yellow",
    "wrong": "red",
}
_CONTROL = {
    code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    for code in [*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
}
_BLOCK = {code: text for code, text in _CONTROL.items() if code not in (9, 10)}


def clean(text: str) -> str:
    """One line that cannot steer the terminal: control and direction characters become visible escapes."""
    return " ".join(text.split("\n")).translate(_CONTROL)


def clean_block(text: str) -> str:
    """The same for text of several lines."""
    return text.translate(_BLOCK)


def emit_json(value: Any) -> None:
    """One JSON value, indented, complete."""
    print(msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode())


def emit_lines(lines: Iterable[str]) -> None:
    for text in lines:
        print(text)


def emit_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Iterable[str] = (), key: int = 36
) -> None:
    """A table: cut to the width of a terminal, complete and uncoloured anywhere else.

    `right` columns are numbers and never cut; the first column keeps `key` characters (36: a job's id, which the next
    command takes). What does not fit even so is folded by the terminal.
    """
    cleaned = [[clean(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _rich_table(columns, cleaned, set(right), key)
    else:
        _plain_table(columns, cleaned, set(right))


def _rich_table(columns: Sequence[str], rows: Sequence[Sequence[str]], right: set[str], key: int) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    least = [key, *(1_000 if name in right else 6 for name in columns[1:])]
    widths = _widths(columns, rows, least, console.width)
    console.width = max(console.width, sum(widths) + len(widths))
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for name, width in zip(columns, widths, strict=True):
        side = "right" if name in right else "left"
        table.add_column(name.upper(), justify=side, no_wrap=True, overflow="ellipsis", width=width)
    for row in rows:
        table.add_row(*(Text(cell, style=COLOURS.get(cell, "")) for cell in row))
    console.print(table, soft_wrap=True)


def _widths(columns: Sequence[str], rows: Sequence[Sequence[str]], least: Sequence[int], room: int) -> list[int]:
    """Column widths that fit `room`, if they can: the widest gives way, each down to its least."""
    from rich.cells import cell_len

    widths = [max(map(cell_len, cells)) for cells in zip(columns, *rows, strict=True)]
    while sum(widths) + len(widths) - 1 > room:
        spare = [index for index, width in enumerate(widths) if width > least[index]]
        if not spare:
            break
        widths[max(spare, key=widths.__getitem__)] -= 1
    return widths


def _plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]], right: set[str]) -> None:
    lines = [[name.upper() for name in columns], *rows]
    widths = [max(len(row[index]) for row in lines) for index in range(len(columns))]
    for row in lines:
        cells = [
            cell.rjust(width) if name in right else cell.ljust(width)
            for cell, width, name in zip(row, widths, columns, strict=True)
        ]
        print("  ".join(cells).rstrip())


def emit_wrapped(text: str) -> None:
    """A sentence, folded at the width of a terminal."""
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        text = textwrap.fill(text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    print(text)


def emit_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Names and values, one pair per line."""
    pairs = [(name, value) for name, value in facts if value]
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        first, *rest = clean_block(value).split("\n")
        print(f"{name:{width}}  {first}")
        for more in rest:
            print(f"{'':{width}}  {more}")


def note(text: str) -> None:
    """A remark for people, on stderr, so that stdout stays data."""
    print(clean(text), file=sys.stderr)


def ago(at: datetime | None, now: datetime | None = None) -> str:
    """How long ago (`5m`) or how far ahead (`in 5m`) an instant is; `-` for none."""
    if at is None:
        return "-"
    past = ((now or datetime.now(UTC)) - at).total_seconds()
    return span(past) if past >= 0 else f"in {span(-past)}"


def span(seconds: float) -> str:
    """A duration in one unit: 850us, 12ms, 4.2s, 3m, 5h, 12d."""
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f}us"
    if seconds < 1:
        return f"{seconds * 1e3:.3g}ms"
    for size, unit in ((60, "s"), (3_600, "m"), (86_400, "h")):
        if seconds < size:
            value = seconds * {"s": 1, "m": 1 / 60, "h": 1 / 3_600}[unit]
            return f"{value:.1f}{unit}" if unit == "s" and value < 10 else f"{value:.0f}{unit}"
    return f"{seconds / 86_400:.0f}d"


def size(count: float) -> str:
    """Bytes in one unit: 512 B, 3.4 MB."""
    for unit in ("B", "kB", "MB"):
        if count < 1_000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1_000
    return f"{count:.1f} GB"
