"""Acting on many jobs by id or by filter: bounded calls, one summary, exit codes 0, 1 and 4."""

import getpass
import sys
from collections.abc import Sequence
from typing import NamedTuple

import typer

from windlass.cli.options import Form
from windlass.cli.show import clean, emit_json, emit_lines, note
from windlass.errors import InvalidOption
from windlass.store.protocol import Store
from windlass.values.query import Action, Command, Commanded, Where
from windlass.values.states import State

CHUNK = 500
_FLOWS = 20
"""Of how many workflows one act tells."""

_DONE = {
    Action.REQUEUE: "will run again",
    Action.CANCEL: "cancelled",
    Action.DELETE: "removed",
    Action.RUN_NOW: "will run now",
    Action.REPRIORITISE: "got the priority",
}


def actor() -> str:
    """Who the audit names: the user of this process."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):  # a container's user without a name
        return "cli"


def confirm(question: str, yes: bool) -> None:
    """Ask on a terminal unless `--yes`; elsewhere refuse, for nobody can answer."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidOption(f"{question} needs --yes when nobody can be asked", field="yes", mend="add --yes")
    if not typer.confirm(f"{question}?", err=True):
        raise typer.Exit(1)


class Portion(NamedTuple):
    """The jobs of one act: `ids` (only those in the states of `within`, if any), else at most `limit` that match."""

    ids: tuple[str, ...]
    where: Where
    limit: int
    within: tuple[State, ...] = ()


async def act(store: Store, command: Command, on: Portion) -> Commanded:
    """Run `command` in bounded calls; the sum of their answers."""
    return await (_by_id if on.ids else _by_filter)(store, command, on)


async def _by_id(store: Store, command: Command, on: Portion) -> Commanded:
    done: list[str] = []
    flagged: list[str] = []
    refused: dict[str, str] = {}
    for start in range(0, len(on.ids), CHUNK):
        ids = on.ids[start : start + CHUNK]
        answer = await store.command(command, Where(ids=ids, states=on.within), len(ids), actor())
        done += answer.done
        flagged += answer.flagged
        refused.update(answer.refused)
    for id in on.ids:
        if on.within and id in refused:  # an engine cannot tell another state from no such job
            refused[id] = f"is not {' or '.join(on.within)}" if await store.job(id) else "not found"
    return Commanded(done=tuple(done), flagged=tuple(flagged), refused=refused)


async def _by_filter(store: Store, command: Command, on: Portion) -> Commanded:
    done: list[str] = []
    flagged: dict[str, None] = {}
    while (room := on.limit - len(done) - len(flagged)) > 0:
        answer = await store.command(command, on.where, min(room, CHUNK), actor())
        news = len(answer.done) + len([id for id in answer.flagged if id not in flagged])
        done += answer.done
        flagged.update(dict.fromkeys(answer.flagged))
        if not answer.more or not news:  # jobs asked to stop go on matching until they have stopped
            break
    return Commanded(done=tuple(done), flagged=tuple(flagged))


async def tell_left(store: Store, ids: Sequence[str], flags: str) -> None:
    """Say of workflows what the failure of these jobs had ended: they run again, that does not by itself."""
    jobs = await store.jobs(Where(ids=tuple(ids[:CHUNK])), None, CHUNK)
    for id in list(dict.fromkeys(job.workflow for job in jobs.items if job.workflow))[:_FLOWS]:
        page = await store.jobs(Where(workflow=id, states=(State.CANCELLED, State.FAILED)), None, CHUNK)
        left = sum((job.reason or "").startswith("parent ") for job in page.items)
        if left:
            count = f"{_jobs(left)} or more" if page.next else _jobs(left)
            note(f"{count} that a failure ended in workflow {id} stay so: windlass workflows retry{flags} {id}")


def report(action: Action, result: Commanded, form: Form) -> None:
    """Print what was done; ends with exit code 4 if only unknown ids were refused, 1 for other refusals."""
    if form is Form.JSON:
        emit_json(result)
    elif form is Form.IDS:
        emit_lines((*result.done, *result.flagged))
    else:
        print(f"{_jobs(len(result.done))} {_DONE[action]}")
        if result.flagged:
            print(f"{_jobs(len(result.flagged))} asked to stop (running now)")
    if form is not Form.JSON:
        for id, reason in result.refused.items():
            note(f"{id}: {clean(reason)}")
    if result.refused:
        raise typer.Exit(4 if all(reason == "not found" for reason in result.refused.values()) else 1)


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count:,} jobs"
