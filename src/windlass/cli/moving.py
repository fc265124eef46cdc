"""Moving between stores: both opened, progress on stderr, the result as facts."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import NamedTuple

import typer

from windlass.cli.options import Chosen, Plain
from windlass.cli.show import emit_facts, emit_json, note
from windlass.cli.target import check_present
from windlass.declare.keeping import KEEPS
from windlass.errors import InvalidOption
from windlass.flowcontrol.capacity import DECLARED, PINNED
from windlass.operate.dead_letters import ARCHIVED
from windlass.operate.errors import MARKS
from windlass.operate.facts import FACTS
from windlass.running.effects import OPEN, SPACE
from windlass.store import open_store
from windlass.store.moving import Moved, Plan, move, plan
from windlass.store.protocol import Store

_EACH = 5_000
_SPACES = (PINNED, DECLARED, SPACE, OPEN, KEEPS, ARCHIVED, FACTS, MARKS, "app.mail.suppressed")
"""Without the first two a deploy at the target would undo an operator's order of a queue, and not know which limits to take
away; without the next two a charge that was made would be made again; then come retention of queues, what was archived, and
what is known and said of error groups; without the last, mail goes to who wants none."""


class End(NamedTuple):
    """One end of a move."""

    url: str
    namespace: str

    def store(self) -> Store:
        return open_store(self.url, self.namespace)


@asynccontextmanager
async def _opened(end: End) -> AsyncGenerator[Store]:
    store = end.store()
    Chosen.store = store.url
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def show_plan(source: End, target: End, form: Plain) -> None:
    """Count; exit code 1 while workers are in the way. The target's address is checked, but it is not opened."""
    _check_apart(source, target)
    found = asyncio.run(_look(source))
    if form is Plain.JSON:
        emit_json({"dry_run": True, "total": found.total, **_plain(found)})
    else:
        rows = [*((state, f"{n:,}") for state, n in sorted(found.jobs.items())), ("jobs in all", f"{found.total:,}")]
        rows += [("schedules", f"{found.schedules:,}"), ("paused queues", f"{found.paused:,}")]
        emit_facts(rows)
        note("nothing was written (--dry-run)")
    if found.workers:
        run = "a worker runs" if len(found.workers) == 1 else f"{len(found.workers)} workers run"
        note(f"{run} on the source; a move needs that stopped: {', '.join(found.workers)}")
        raise typer.Exit(1)


@asynccontextmanager
async def _opened_source(end: End) -> AsyncGenerator[Store]:
    """The store that is left, which must be there: opening one by a mistyped address would make it."""
    await check_present(end.store(), end.namespace, "look at --from and --namespace-from")
    async with _opened(end) as opened:
        yield opened


async def _look(source: End) -> Plan:
    async with _opened_source(source) as store:
        return await plan(store)


def _plain(found: Plan) -> dict[str, object]:
    return {
        "jobs": found.jobs,
        "schedules": found.schedules,
        "paused_queues": found.paused,
        "workers": found.workers,
    }


def move_engine(source: End, target: End, form: Plain) -> None:
    """Move and say what was moved."""
    _check_apart(source, target)
    moved, urls = asyncio.run(_move(source, target))
    if form is Plain.JSON:
        emit_json(
            {
                "jobs": moved.jobs,
                "new": moved.new,
                "schedules": moved.schedules,
                "paused_queues": moved.paused,
                "checksum": moved.checksum,
            }
        )
        return
    emit_facts(
        [
            ("jobs", f"{moved.jobs:,} ({moved.new:,} new)"),
            ("schedules", f"{moved.schedules:,}"),
            ("paused queues", f"{moved.paused:,}"),
            ("checksum", f"{moved.checksum}, the same on both sides"),
        ]
    )
    note(f"start workers and producers on {urls[1]}; {urls[0]} still has its jobs, so start none there")


async def _move(source: End, target: End) -> tuple[Moved, tuple[str, str]]:
    async with _opened_source(source) as old, _opened(target) as fresh:
        expected = (await plan(old)).total
        return await move(old, fresh, _Progress(expected), _SPACES), (old.url, fresh.url)


class _Progress:
    """A line that is written over on a terminal, a line now and then elsewhere."""

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._due = _EACH

    def __call__(self, copied: int) -> None:
        if copied < self._due and copied < self._expected:
            return
        self._due = copied + _EACH
        note(f"copied {copied:,} of {max(self._expected, copied):,} jobs")


def _check_apart(source: End, target: End) -> None:
    """A store cannot be moved onto itself."""
    one, other = source.store(), target.store()
    if (one.url, source.namespace) == (other.url, target.namespace):
        raise InvalidOption(
            f"--from and --to are the same store: {one.url}",
            field="to",
            value=other.url,
            limit="another store or namespace",
            mend="give another --to, or --namespace-to",
        )
