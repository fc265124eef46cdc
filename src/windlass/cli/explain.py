"""`windlass jobs explain`: why a job is not running, in words that fit 80 columns, or as one object."""

import shutil
import sys
import textwrap
from collections.abc import Sequence

import typer

from windlass.cli.options import Form
from windlass.cli.show import clean, emit_json, emit_lines, note, span
from windlass.errors import JobNotFound
from windlass.operate.explain import Explanation, Reason, explain_job
from windlass.store.protocol import Store

_WIDEST = 80
_APP = " -A module:app"


async def gather(store: Store, ids: Sequence[str]) -> tuple[list[Explanation], list[str]]:
    """The explanations of those of `ids` that exist, and the others."""
    found: list[Explanation] = []
    missing: list[str] = []
    for id in ids:
        try:
            found.append(await explain_job(store, id))
        except JobNotFound:
            missing.append(id)
    return found, missing


def emit_explanations(found: Sequence[Explanation], missing: Sequence[str], form: Form, flags: str) -> None:
    """Print them; ends with exit code 4 if one was not found. JSON: one object for one id, else `items`. `flags`: what leads
    the commands that mend to the same store."""
    if form is Form.JSON:
        items = [{**_fields(each), "blocked_by": each.blocked_by} for each in found]
        if found:
            emit_json(items[0] if len(found) + len(missing) == 1 else {"items": items, "next": None})
    elif form is Form.IDS:
        emit_lines(each.id for each in found)
    else:
        for index, each in enumerate(found):
            emit_lines(["", *_lines(each, flags)] if index else _lines(each, flags))
    for id in missing:
        note(f"error[job-not-found]: there is no job {id}; `windlass jobs ls` lists the newest")
    if missing:
        raise typer.Exit(4)


def _fields(each: Explanation) -> dict[str, object]:
    return {name: getattr(each, name) for name in each.__struct_fields__}


def _lines(each: Explanation, flags: str) -> list[str]:
    blocking = [reason for reason in each.reasons if reason.blocks]
    others = [reason for reason in each.reasons if not reason.blocks]
    lines = [f"{clean(each.kind)} {each.id} on {each.queue} is {each.state}"]
    for number, reason in enumerate(blocking, 1):
        lines += _reason(reason, f"{number}. " if len(blocking) > 1 else "", flags)
    for reason in others:
        lines += _reason(reason, "", flags)
    if each.position is not None:
        lines += _wrap(f"Place in its line: {each.position}.", "")
    if each.estimate is not None:
        soon = "now" if each.estimate < 0.001 else f"in about {span(each.estimate)}"
        lines += _wrap(f"It may start {soon}, by recent rates and known times.", "")
    return lines


def _reason(reason: Reason, mark: str, flags: str) -> list[str]:
    lines = _wrap(clean(reason.text), mark)
    if reason.mend:  # never folded: it is there to be copied
        prompt = "$" if reason.mend.startswith("windlass ") else ">>>"
        lines.append(f"  {' ' * len(mark)}{prompt} {clean(_command(reason.mend, flags))}")
    return lines


def _command(mend: str, flags: str) -> str:
    if not mend.startswith("windlass "):
        return mend
    return mend.replace(_APP, flags) if " -A " in flags and _APP in mend else mend + flags


def _wrap(text: str, mark: str) -> list[str]:
    width = min(_WIDEST, shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDEST)
    return textwrap.wrap(
        text,
        max(width, 40),
        initial_indent=f"  {mark}",
        subsequent_indent=f"  {' ' * len(mark)}",
        break_long_words=False,
        break_on_hyphens=False,
    )
