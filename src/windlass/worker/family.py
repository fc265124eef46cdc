"""Reads what the parents of claimed jobs returned, for `ctx.parents` and for arguments that are results."""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from windlass.errors import InvalidArgs, WindlassError
from windlass.produce.results import value_of
from windlass.secrecy.marks import is_sealed
from windlass.store.protocol import Store
from windlass.values.job import Job
from windlass.values.query import Where
from windlass.worker.run import Run
from windlass.workflows.inputs import fill
from windlass.workflows.parents import MOST_PARENTS, Parents

_PAGE = 200


def wants_parents(run: Run) -> bool:
    """Whether this attempt needs to know what its parents returned."""
    return run.rules.inputs is not None or (run.rules.child and run.handler.takes_context)


async def read_parents(store: Store, runs: Sequence[Run]) -> None:
    """Give every run its `parents`: one look for the jobs and one for all their parents, in pages of 200."""
    own = await _read(store, [run.claim.id for run in runs])
    wanted: dict[str, None] = {}
    for run in runs:
        job = own.get(run.claim.id)
        if job is not None and len(job.parents) <= MOST_PARENTS:
            wanted |= dict.fromkeys(job.parents)
        wanted |= dict.fromkeys((run.rules.inputs or {}).values())
    found = {id: replace(job, args={}, attempts=()) for id, job in (await _read(store, list(wanted))).items()}
    for run in runs:
        job = own.get(run.claim.id)
        ids: dict[str, None] = {} if job is None else dict.fromkeys(job.parents)
        count = len(ids)
        ids |= dict.fromkeys((run.rules.inputs or {}).values())
        run.parents = Parents([found[id] for id in ids if id in found], count)


def fill_inputs(run: Run) -> None:
    """Put the results of parents in the place of the arguments that were promised; raises what the parents raised."""
    door = run.handler.door
    if any(is_sealed(job.result) for job in run.parents.known):
        run.parents = Parents([door.secrecy.end_of(job) for job in run.parents.known], run.parents.count)
    inputs = run.rules.inputs
    if not inputs:
        return
    known = {job.id: job for job in run.parents.known}
    results = {name: _result(run, name, known.get(id)) for name, id in inputs.items()}
    run.claim = replace(run.claim, args=fill(run.claim.args, results))


def _result(run: Run, name: str, parent: Job | None) -> Any:
    try:
        if parent is not None:
            return value_of(parent)
        why = "that job is no longer in the store"
    except WindlassError as error:
        why = error.message
    raise InvalidArgs(
        f"{run.claim.kind}: {name} is the result of another job, but {why}",
        field=name,
        mend="run the whole workflow again; keep parents longer than their children may take (docs/guides/retention.md)",
    )


async def _read(store: Store, ids: Sequence[str]) -> dict[str, Job]:
    found: dict[str, Job] = {}
    for at in range(0, len(ids), _PAGE):
        some = tuple(ids[at : at + _PAGE])
        found |= _by_id((await store.jobs(Where(ids=some), limit=_PAGE)).items)
    return found


def _by_id(jobs: Iterable[Job]) -> dict[str, Job]:
    return {job.id: job for job in jobs}
