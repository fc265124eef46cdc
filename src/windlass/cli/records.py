"""Acts of operators, timelines of jobs and the ledger of users as people look at them."""

from collections.abc import Sequence

from windlass.cli.acts import described
from windlass.cli.options import Chosen, Plain
from windlass.cli.show import clean, emit_json, emit_table, note, span
from windlass.observe.users import UserFigures
from windlass.operate.audit import Act
from windlass.operate.history import Happened
from windlass.values.query import Page


def emit_acts(page: Page[Act], form: Plain) -> None:
    """Print acts."""
    if form is Plain.JSON:
        emit_json({"items": page.items, "next": page.next})
        return
    if not page.items:
        note(f"nothing is on record in {Chosen.store}")
        return
    rows = [
        [f"{act.at:%Y-%m-%d %H:%M:%S}", act.actor, act.action, act.target, described(act.detail)] for act in page.items
    ]
    emit_table(["at", "actor", "action", "target", "detail"], rows, keep=("target",), below=True)
    if page.next:
        note(f"more: --cursor {page.next}")


def emit_history(entries: Sequence[Happened], form: Plain) -> None:
    """Print a timeline."""
    if form is Plain.JSON:
        emit_json(entries)
        return
    rows = [
        [
            f"{entry.at:%Y-%m-%d %H:%M:%S.%f}"[:-3],
            entry.what,
            "" if entry.attempt is None else str(entry.attempt),
            clean(entry.actor or entry.worker or ""),
            _why(entry),
        ]
        for entry in entries
    ]
    emit_table(["at", "what", "try", "by", "why"], rows)


def _why(entry: Happened) -> str:
    if entry.error is not None:
        return clean(f"{entry.error.type}: {entry.error.message}")
    if entry.what == "step":
        return clean(str(entry.detail.get("step", "")))
    return clean(entry.cause or "")


def emit_users(users: Sequence[UserFigures], currency: str, form: Plain) -> None:
    """Print the ledger."""
    if form is Plain.JSON:
        emit_json({"items": users, "currency": currency})
        return
    if not users:
        note(f"no job of a user ended then in {Chosen.store}")
        return
    numbers = ("done", "fail", "retry", "ran", f"cost {currency}")
    rows = [
        [
            clean(each.user),
            f"{each.completed:,}",
            f"{each.failed:,}",
            f"{each.retries:,}",
            "-" if each.run_average is None else span(each.run_average),
            f"{each.cost:,.4f}",
        ]
        for each in users
    ]
    emit_table(["user", *numbers], rows, right=numbers)
