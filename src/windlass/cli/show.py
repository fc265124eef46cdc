"""Printing: tables that fit the terminal, JSON that is never cut, ids one per line."""

import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from rich.text import Text

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


_LEAST = 6
"""What is left of a column that is cut."""
_ID = 36


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
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Iterable[str] = (),
    keep: Iterable[str] = (),
    below: bool = False,
) -> None:
    """A table: cut to the width of a terminal, complete and uncoloured anywhere else.

    What may be copied into the next command is never cut: the first column and those to `keep`; nor are `right` columns, which
    are numbers. A first cell that leaves the others too little room has a line of its own. `below`: what the last column says
    stands under its row, in full.
    """
    cleaned = [[clean(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        _plain_table(columns, cleaned, set(right))
    elif below:
        told = [row[-1] for row in cleaned]
        _rich_table(columns[:-1], [row[:-1] for row in cleaned], set(right), set(keep), told)
    else:
        _rich_table(columns, cleaned, set(right), set(keep), [""] * len(cleaned))


def _rich_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], right: set[str], keep: set[str], below: Sequence[str]
) -> None:
    from rich.cells import cell_len
    from rich.console import Console

    console = Console(highlight=False)
    widths = _widths(columns, rows, [name in right or name in keep for name in columns[1:]], console.width)
    sides = [name in right for name in columns]
    console.print(_row([name.upper() for name in columns], widths, sides, "bold"), soft_wrap=True)
    for row, more in zip(rows, below, strict=True):
        cells = row
        if cell_len(row[0]) > widths[0]:
            console.print(_row(row[:1], [cell_len(row[0])], sides, ""), soft_wrap=True)
            cells = ["", *row[1:]]
        console.print(_row(cells, widths, sides, ""), soft_wrap=True)
        if more not in ("", "-"):
            emit_wrapped(f"  {more}")


def _row(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool], style: str) -> "Text":
    from rich.text import Text

    line = Text()
    for cell, width, is_number in zip(cells, widths, right, strict=False):
        text = Text(cell, style=style or COLOURS.get(cell, ""))
        text.truncate(width, overflow="ellipsis")
        text.pad_left(width - text.cell_len) if is_number else text.pad_right(width - text.cell_len)
        line.append_text(text).append(" ")
    line.rstrip()
    return line


def _widths(columns: Sequence[str], rows: Sequence[Sequence[str]], whole: Sequence[bool], room: int) -> list[int]:
    """Column widths that fit `room`, if they can: of the columns that may be cut the widest gives way, down to its least; then
    the first, down to its head."""
    from rich.cells import cell_len

    widths = [max(map(cell_len, cells)) for cells in zip(columns, *rows, strict=True)]
    if sum(widths) + len(widths) - 1 > room:  # a few very long names do not take the others' room
        widths[0] = min(widths[0], max(_ID, room // 2))
    least = [widths[0], *(width if kept else _LEAST for width, kept in zip(widths[1:], whole, strict=True))]
    while sum(widths) + len(widths) - 1 > room:
        spare = [index for index, width in enumerate(widths) if width > least[index]]
        if not spare:
            break
        widths[max(spare, key=widths.__getitem__)] -= 1
    over = sum(widths) + len(widths) - 1 - room
    widths[0] = max(len(columns[0]), widths[0] - max(0, over))
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
