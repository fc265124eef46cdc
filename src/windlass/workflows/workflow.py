"""Workflows as values: `chain`, `group` and `batch` join jobs into one graph, which `app.run` stores in one call.

Nothing here touches a store. A job object stands at one place of a workflow; its edges point to its parents.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice, pairwise
from typing import Any, Generic, TypeAlias, TypeVar, cast, overload

import msgspec
from msgspec.structs import replace

from windlass.declare.handler import Handler
from windlass.declare.options import join_edges, read_name, run_text
from windlass.errors import BatchTooLarge, InvalidWorkflow
from windlass.produce.ids import new_id
from windlass.produce.producer import MOST_BYTES, MOST_JOBS
from windlass.values.job import Ahead, Edge, NewJob, OnFailure
from windlass.values.outcome import Flow, Membership, RunOptions

R = TypeVar("R")
T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)
R1 = TypeVar("R1")
R2 = TypeVar("R2")
R3 = TypeVar("R3")
R4 = TypeVar("R4")
R5 = TypeVar("R5")
R6 = TypeVar("R6")
R7 = TypeVar("R7")
R8 = TypeVar("R8")

HEAD = "workflow"
"""The tag of a workflow's first job, by which workflows are listed."""
MOST_EDGES = 200_000
MOST_ITEMS = 1_000_000

Shape: TypeAlias = Any
"""Where a workflow's result is: a job's id; a list of shapes; or `{"ends": ids}`, whose end is awaited for None."""

_RUN = msgspec.json.Decoder(RunOptions)


class Workflow(Generic[R_co]):
    """Jobs joined by edges. `starts`: ids of the jobs that what comes before is put in front of. `ends`: ids of the jobs that
    what comes behind waits for."""

    __slots__ = ("ends", "jobs", "name", "shape", "starts")

    def __init__(
        self,
        jobs: Sequence[NewJob[Any]],
        starts: Sequence[str],
        ends: Sequence[str],
        shape: Shape,
        name: str | None = None,
    ) -> None:
        if len(jobs) > MOST_JOBS:
            raise _too_large(len(jobs))
        self.jobs = tuple(jobs)
        self.starts = tuple(starts)
        self.ends = tuple(ends)
        self.shape = shape
        self.name = name

    def named(self, name: str) -> "Workflow[R_co]":
        """The same workflow under a name, which listings show."""
        return Workflow(self.jobs, self.starts, self.ends, self.shape, read_name(name, "name"))

    def __len__(self) -> int:
        return len(self.jobs)

    def __repr__(self) -> str:
        return f"<Workflow of {len(self.jobs)} jobs>"


Node: TypeAlias = NewJob[R] | Workflow[R]


def chain(*nodes: *tuple[*tuple[Node[Any], ...], Node[R]]) -> Workflow[R]:
    """One after the other: every start of a node waits for all ends of the node before it. Its result is the last one's.

    What a failure does to the rest goes by the later job's `options(on_failure=...)`, cancel by default.
    """
    parts = [_part(node, "chain") for node in cast("tuple[Node[Any], ...]", nodes)]
    if not parts:
        raise InvalidWorkflow("a chain needs at least one job", jobs=[], mend="chain(a.job(), b.job())")
    jobs = list(parts[0].jobs)
    for before, part in pairwise(parts):
        jobs += _behind(part, before.ends)
    return Workflow(jobs, parts[0].starts, parts[-1].ends, parts[-1].shape)


@overload
def group(a: Node[R1], /) -> Workflow[tuple[R1]]: ...
@overload
def group(a: Node[R1], b: Node[R2], /) -> Workflow[tuple[R1, R2]]: ...
@overload
def group(a: Node[R1], b: Node[R2], c: Node[R3], /) -> Workflow[tuple[R1, R2, R3]]: ...
@overload
def group(a: Node[R1], b: Node[R2], c: Node[R3], d: Node[R4], /) -> Workflow[tuple[R1, R2, R3, R4]]: ...
@overload
def group(
    a: Node[R1], b: Node[R2], c: Node[R3], d: Node[R4], e: Node[R5], /
) -> Workflow[tuple[R1, R2, R3, R4, R5]]: ...
@overload
def group(
    a: Node[R1], b: Node[R2], c: Node[R3], d: Node[R4], e: Node[R5], f: Node[R6], /
) -> Workflow[tuple[R1, R2, R3, R4, R5, R6]]: ...
@overload
def group(
    a: Node[R1], b: Node[R2], c: Node[R3], d: Node[R4], e: Node[R5], f: Node[R6], g: Node[R7], /
) -> Workflow[tuple[R1, R2, R3, R4, R5, R6, R7]]: ...
@overload
def group(
    a: Node[R1], b: Node[R2], c: Node[R3], d: Node[R4], e: Node[R5], f: Node[R6], g: Node[R7], h: Node[R8], /
) -> Workflow[tuple[R1, R2, R3, R4, R5, R6, R7, R8]]: ...
@overload
def group(*nodes: Node[R]) -> Workflow[tuple[R, ...]]: ...
def group(*nodes: Node[Any]) -> Workflow[Any]:
    """Side by side, in any order; also a graph whose edges are given by `options(after=[...])`. Its result is a tuple."""
    parts = [_part(node, "group") for node in nodes]
    if not parts:
        raise InvalidWorkflow("a group needs at least one job", jobs=[], mend="group(a.job(), b.job())")
    jobs = [job for part in parts for job in part.jobs]
    return Workflow(jobs, *_borders(parts), [part.shape for part in parts])


@overload
def batch(
    jobs: Iterable[Node[Any]],
    *,
    then: NewJob[R],
    on_success: NewJob[Any] | None = None,
    on_failure: NewJob[Any] | None = None,
    name: str | None = None,
) -> Workflow[R]: ...
@overload
def batch(
    jobs: Iterable[Node[Any]],
    *,
    then: None = None,
    on_success: NewJob[Any] | None = None,
    on_failure: NewJob[Any] | None = None,
    name: str | None = None,
) -> Workflow[None]: ...
@overload
def batch(
    jobs: Iterable[T],
    *,
    each: Handler[[list[T]], Any],
    chunk: int,
    then: NewJob[R],
    on_success: NewJob[Any] | None = None,
    on_failure: NewJob[Any] | None = None,
    name: str | None = None,
) -> Workflow[R]: ...
@overload
def batch(
    jobs: Iterable[T],
    *,
    each: Handler[[list[T]], Any],
    chunk: int,
    then: None = None,
    on_success: NewJob[Any] | None = None,
    on_failure: NewJob[Any] | None = None,
    name: str | None = None,
) -> Workflow[None]: ...
def batch(
    jobs: Iterable[Any],
    *,
    each: Handler[[list[Any]], Any] | None = None,
    chunk: int = 1,
    then: NewJob[Any] | None = None,
    on_success: NewJob[Any] | None = None,
    on_failure: NewJob[Any] | None = None,
    name: str | None = None,
) -> Workflow[Any]:
    """Members with callbacks, each of which runs at most once: `then` when all members have ended, well or not; `on_success`
    when all completed; `on_failure` as soon as the first fails or is cancelled. Its result is `then`'s, else None.

    With `each`, `jobs` are items: one member for every `chunk` of them, `each.job(items)`.
    """
    if each is not None:
        jobs = (each.job(items) for items in chunks(jobs, chunk))
    parts = [_part(node, "batch") for node in islice(_nodes(jobs), MOST_JOBS + 1)]
    if len(parts) > MOST_JOBS:
        raise _too_large(len(parts))
    id = new_id()
    starts, ends = _borders(parts)
    callbacks = make_callbacks(id, ends, then, on_success, on_failure)
    own = membership(id, callbacks)
    members = [_in_batch(job, own) for part in parts for job in part.jobs]
    if not members and not callbacks:
        raise InvalidWorkflow("a batch needs at least one job", jobs=[], mend="batch([a.job()], then=b.job())")
    last = then or on_success
    shape: Shape = {"ends": list(ends)} if then is None else then.id
    return Workflow(
        [*members, *callbacks], starts, ends if last is None else (last.id,), shape, name and read_name(name, "name")
    )


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """`items` in lists of `size`; the last may be shorter."""
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= MOST_ITEMS:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidWorkflow(f"chunk is {size!r:.100}; it must be 1..{MOST_ITEMS:,}", jobs=[], mend="chunk=100")
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part


def make_callbacks(
    id: str,
    ends: Sequence[str],
    then: NewJob[Any] | None,
    on_success: NewJob[Any] | None,
    on_failure: NewJob[Any] | None,
) -> list[NewJob[Any]]:
    """The callback jobs of batch `id` behind its `ends`. Without members no failure can come, so `on_failure` is left out."""
    wanted: list[tuple[NewJob[Any] | None, OnFailure]] = [(then, "run"), (on_success, "cancel")]
    if ends:
        wanted.append((on_failure, "trigger"))
    made: list[NewJob[Any]] = []
    for job, policy in wanted:
        if job is None:
            continue
        if not isinstance(job, NewJob):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidWorkflow(f"a callback is {job!r:.100}, which is not a job", jobs=[], mend="then=report.job()")
        if job.after and (policy == "trigger" or any(edge.on_failure == "trigger" for edge in job.after)):
            raise InvalidWorkflow(
                f"the callback {job.kind} {job.id} waits for jobs of its own, which on_failure= cannot",
                jobs=[job.id],
                mend="leave out after= and result_of() there",
            )
        options = change_run(job.options, callback=id, child=bool(ends))
        made.append(replace(job, after=join_edges(job.after, ends, policy), options=options))
    return made


def membership(id: str, callbacks: Sequence[NewJob[Any]]) -> Membership:
    """What members of batch `id` carry."""
    return Membership(id, tuple((job.id, job.after[-1].on_failure) for job in callbacks if job.after))


def as_member(job: NewJob[Any], workflow: str, batch: Membership) -> NewJob[Any]:
    """`job` as a later member of a stored batch."""
    ahead = tuple(Ahead(child, policy) for child, policy in batch.ahead)
    return replace(job, workflow=workflow, before=ahead, options=change_run(job.options, batch=batch))


def change_run(options: str, **changes: Any) -> str:
    """A job's run options with changes."""
    return _changed(options, tuple(changes.items()))


@lru_cache(maxsize=1024)
def _changed(options: str, changes: tuple[tuple[str, Any], ...]) -> str:
    return run_text(replace(_RUN.decode(options) if options else RunOptions(), **dict(changes)))


def assemble(node: Node[Any], id: str) -> tuple[list[NewJob[Any]], Shape]:
    """The jobs of a workflow as they are stored under its `id`, parents first, and where its result is.

    Raises `InvalidWorkflow` for circles and for a job that stands at two places.
    """
    whole = _part(node, "run")
    jobs = parents_first(whole.jobs)
    head = jobs[0]
    flow = Flow(len(jobs), whole.name)
    stored = [replace(job, workflow=id) for job in jobs]
    tags = tuple(dict.fromkeys((HEAD, *head.tags)))
    stored[0] = replace(stored[0], tags=tags, options=change_run(head.options, flow=flow))
    return stored, whole.shape


def parents_first(jobs: Sequence[NewJob[Any]]) -> list[NewJob[Any]]:
    """The jobs in an order in which each comes behind its parents; raises `InvalidWorkflow` for circles and repetition."""
    by_id = {job.id: job for job in jobs}
    if len(by_id) != len(jobs):
        seen: set[str] = set()
        twice = next(job for job in jobs if job.id in seen or seen.add(job.id))
        raise InvalidWorkflow(
            f"the job {twice.kind} {twice.id} stands at two places of the workflow",
            jobs=[twice.id],
            mend="make a job for each place with handler.job(...)",
        )
    waits = {job.id: sum(edge.parent in by_id for edge in job.after) for job in jobs}
    children: dict[str, list[str]] = {}
    for job in jobs:
        for edge in job.after:
            if edge.parent in by_id:
                children.setdefault(edge.parent, []).append(job.id)
    order = [job.id for job in jobs if not waits[job.id]]
    for id in order:
        for child in children.get(id, ()):
            waits[child] -= 1
            if not waits[child]:
                order.append(child)
    if len(order) != len(jobs):
        stuck = [id for id, n in waits.items() if n > 0]
        raise InvalidWorkflow(
            f"{len(stuck)} jobs wait for each other in a circle, among them {by_id[stuck[0]].kind} {stuck[0]}",
            jobs=stuck,
            mend="leave out one of their after=",
        )
    return [by_id[id] for id in order]


def _part(node: object, where: str) -> Workflow[Any]:
    if isinstance(node, Workflow):
        return cast("Workflow[Any]", node)
    if isinstance(node, NewJob):
        job = cast("NewJob[Any]", node)
        return Workflow((job,), (job.id,), (job.id,), job.id)
    raise InvalidWorkflow(
        f"{where} takes jobs and workflows, not {node!r:.100}",
        jobs=[],
        mend="make jobs with handler.job(...), without calling the function",
    )


def _nodes(jobs: Iterable[Any]) -> Iterator[Any]:
    if isinstance(jobs, (NewJob, Workflow, str)) or not isinstance(jobs, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidWorkflow(f"batch takes a list of jobs, not {jobs!r:.100}", jobs=[], mend="batch([a.job()])")
    return iter(jobs)


def _behind(part: Workflow[Any], parents: Sequence[str]) -> list[NewJob[Any]]:
    """The jobs of `part`, its starts waiting for `parents`."""
    if len(part.starts) * len(parents) > MOST_EDGES:
        raise InvalidWorkflow(
            f"{len(part.starts):,} jobs would each wait for {len(parents):,} others; {MOST_EDGES:,} edges are allowed",
            jobs=[],
            mend="put one job between the two groups: chain(group(...), join.job(), group(...))",
        )
    starts = set(part.starts)
    return [_child(job, parents) if job.id in starts else job for job in part.jobs]


def _child(job: NewJob[Any], parents: Sequence[str]) -> NewJob[Any]:
    if job.after:
        after = join_edges(job.after, parents, job.on_failure)
    else:
        after = tuple([Edge(parent, job.on_failure) for parent in parents])
    return replace(job, after=after, options=change_run(job.options, child=bool(after)))


def _in_batch(job: NewJob[Any], batch: Membership) -> NewJob[Any]:
    """A member; one of an inner batch stays that batch's."""
    options = job.options
    if options and _RUN.decode(options).batch is not None:
        return job
    return replace(job, options=change_run(options, batch=batch))


def _borders(parts: Sequence[Workflow[Any]]) -> tuple[list[str], list[str]]:
    """Starts and ends of parts side by side: those that no edge from another part leads to, or to another part from."""
    home = {job.id: n for n, part in enumerate(parts) for job in part.jobs}
    led_to: set[str] = set()
    led_from: set[str] = set()
    for n, part in enumerate(parts):
        for job in part.jobs:
            for edge in job.after:
                if home.get(edge.parent, n) != n:
                    led_to.add(job.id)
                    led_from.add(edge.parent)
    starts = [id for part in parts for id in part.starts if id not in led_to]
    return starts, [id for part in parts for id in part.ends if id not in led_from]


def _too_large(count: int) -> BatchTooLarge:
    return BatchTooLarge(
        f"a workflow of {count:,} jobs or more; one atomic call takes {MOST_JOBS:,} jobs and {MOST_BYTES:,} bytes",
        count=count,
        limit=MOST_JOBS,
        mend="fill a batch in parts: async with app.workflows.open(then=...) as filling: await filling.add(jobs)",
    )
