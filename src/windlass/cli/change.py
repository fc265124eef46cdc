"""The commands that change jobs: from what was given to what is done, asked for and reported."""

from collections.abc import Sequence
from typing import NamedTuple

import typer

from windlass.cli.act import Portion, act, confirm, report, tell_left
from windlass.cli.filters import read_ids
from windlass.cli.options import Form
from windlass.cli.target import Target, with_store
from windlass.store.protocol import Store
from windlass.values.priority import check_priority
from windlass.values.query import Action, Command, Commanded, Where
from windlass.values.states import State

_QUESTION = {
    Action.CANCEL: "cancel every job with {filter}",
    Action.DELETE: "remove every job with {filter} for good",
    Action.REQUEUE: "retry every job with {filter}",
    Action.RUN_NOW: "run every job with {filter} now",
    Action.REPRIORITISE: "change the priority of every job with {filter}",
}


class Selection(NamedTuple):
    """Which jobs: by id (`-`: stdin), else by a filter, at most `limit` of them. `within`: only jobs in these states."""

    ids: Sequence[str] | None
    where: Where
    limit: int
    within: tuple[State, ...] = ()


def change(target: Target, command: Command, chosen: Selection, *, yes: bool, form: Form) -> None:
    """Do `command` to the selection; ids and a filter together, or neither, are refused."""
    ids = read_ids(chosen.ids)
    given = described(chosen.where)
    if chosen.ids and given:
        raise typer.BadParameter("give ids or a filter, not both", param_hint="ID")
    if not chosen.ids and not given:
        raise typer.BadParameter("name jobs, - to read ids from stdin, or a filter such as --state", param_hint="ID")
    if not chosen.ids:
        confirm(_QUESTION[command.action].format(filter=given), yes)
    elif not ids:
        report(command.action, Commanded(), form)
        return
    part = Portion(ids, chosen.where, chosen.limit, chosen.within)

    async def run(store: Store) -> Commanded:
        done = await act(store, command, part)
        if command.action is Action.REQUEUE and not command.revive and done.done:
            await tell_left(store, done.done, target.flags)
        return done

    result = with_store(target, run)
    report(command.action, result, form)


def read_priority(text: str) -> int:
    """A priority as typed: a number or the name of a class."""
    return check_priority(int(text) if text.lstrip("+-").isdecimal() else text)


def described(where: Where) -> str:
    """A filter in words: `state failed, queue email`; empty if there is none."""
    parts: list[tuple[str, str]] = [
        ("state", "/".join(where.states)),
        ("queue", "/".join(where.queues)),
        ("kind", "/".join(where.kinds)),
        ("user", where.user or ""),
        ("tags", "+".join(where.tags)),
    ]
    return ", ".join(f"{name} {value}" for name, value in parts if value)


def dead(where: Where) -> Where:
    """The same filter among the dead letters."""
    return Where(states=(State.FAILED,), queues=where.queues, kinds=where.kinds, user=where.user, tags=where.tags)


def dead_selection(ids: Sequence[str] | None, filters: Where, limit: int, everything: bool) -> Selection:
    """The selection among the dead letters; without ids or a filter it takes `--all`."""
    if ids:
        return Selection(ids, filters, limit, (State.FAILED,))
    if not everything and not described(filters):
        raise typer.BadParameter("name dead letters, - to read ids from stdin, a filter, or --all", param_hint="ID")
    return Selection(None, dead(filters), limit)
