"""A stored workflow: the reference that `app.run` gives, and the graph as data."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar, cast

import msgspec

from windlass.errors import ResultTimeout, WindlassError
from windlass.produce.ref import JobRef
from windlass.values.clock import Duration, seconds
from windlass.values.job import NOT_TRIGGERED, Job
from windlass.values.states import LIVE, State

R_co = TypeVar("R_co", covariant=True)


class FlowNode(msgspec.Struct, frozen=True, kw_only=True):
    """A job of a workflow. `role`: `job`, `member` or `callback` of the batch with the id `batch`."""

    id: str
    kind: str
    name: str | None
    queue: str
    state: State
    reason: str | None
    attempt: int
    role: str = "job"
    batch: str | None = None


class FlowEdge(msgspec.Struct, frozen=True):
    """`child` runs after `parent`."""

    parent: str
    child: str


class FlowState(msgspec.Struct, frozen=True, kw_only=True):
    """How a workflow stands. `state`: `running` while a job has not ended; then `failed` if one failed, `cancelled` if one was
    cancelled, else `completed`. A callback that no failure called counts for neither. `counts`: jobs by state."""

    id: str
    name: str | None
    state: str
    counts: dict[str, int]

    @property
    def is_over(self) -> bool:
        return self.state != "running"


class FlowGraph(FlowState, frozen=True, kw_only=True):
    """The whole graph, parents before children."""

    nodes: tuple[FlowNode, ...]
    edges: tuple[FlowEdge, ...]


class Flows(Protocol):
    """What a reference asks of its app."""

    async def result_of(self, id: str, timeout: Duration | None = None) -> Any: ...

    async def flow_state(self, id: str) -> FlowState: ...

    async def cancel_flow(self, id: str) -> int: ...


class WorkflowRef(msgspec.Struct, Generic[R_co], frozen=True, dict=True):
    """A stored workflow. `jobs`: references to its jobs, parents first. A plain value: `app.workflows.ref(ref)` gives one that
    has travelled its app again."""

    id: str
    jobs: tuple[JobRef[Any], ...] = ()
    shape: Any = None

    async def result(self, timeout: Duration | None = None) -> R_co:
        """The result of its end: a chain's last job, a tuple for a group, a batch's `then`. Raises what the jobs it waits for
        raise (`JobFailed`, `JobCancelled`), or after `timeout` `ResultTimeout`."""
        deadline = None if timeout is None else time.monotonic() + seconds(timeout, "timeout")
        return cast("R_co", await self._value(self.shape, deadline))

    async def cancel(self) -> int:
        """Cancel every job that has not ended; how many."""
        return await self._flows().cancel_flow(self.id)

    async def status(self) -> FlowState:
        """How it stands now."""
        return await self._flows().flow_state(self.id)

    async def _value(self, shape: Any, deadline: float | None) -> Any:
        if isinstance(shape, str):
            return await self._flows().result_of(shape, self._left(deadline))
        if isinstance(shape, dict):
            await self._all(cast("dict[str, list[Any]]", shape)["ends"], deadline)
            return None
        return tuple(await self._all(cast("list[Any]", shape), deadline))

    async def _all(self, shapes: Sequence[Any], deadline: float | None) -> list[Any]:
        try:
            async with asyncio.TaskGroup() as tasks:
                found = [tasks.create_task(self._value(shape, deadline)) for shape in shapes]
        except BaseExceptionGroup as errors:  # the first says it
            raise errors.exceptions[0] from None
        return [task.result() for task in found]

    def _left(self, deadline: float | None) -> float | None:
        if deadline is None:
            return None
        left = deadline - time.monotonic()
        if left <= 0:
            raise ResultTimeout(f"workflow {self.id} did not end in time", id=self.id, timeout=0, state="running")
        return left

    def _flows(self) -> Flows:
        door = self.__dict__.get("door")
        if door is None:
            raise WindlassError(
                f"this reference to workflow {self.id} belongs to no app; use app.workflows.ref(ref)", id=self.id
            )
        return cast(Flows, door)


def make_flow_ref(id: str, jobs: Sequence[JobRef[Any]], shape: Any, door: Flows) -> WorkflowRef[Any]:
    """A reference that knows its app."""
    ref: WorkflowRef[Any] = WorkflowRef(id, tuple(jobs), shape)
    vars(ref)["door"] = door
    return ref


def state_of(id: str, jobs: Sequence[Job]) -> FlowState:
    """How a workflow of these jobs stands."""
    counts: dict[str, int] = {}
    for job in jobs:
        counts[str(job.state)] = counts.get(str(job.state), 0) + 1
    return FlowState(id=id, name=name_of(jobs), state=_standing(jobs), counts=counts)


def graph_of(id: str, jobs: Sequence[Job]) -> FlowGraph:
    """The graph of a workflow's jobs. Edges to jobs that are not there (pruned, or of elsewhere) are left out."""
    there = {job.id for job in jobs}
    parents = {job.id: [parent for parent in job.parents if parent in there] for job in jobs}
    for job in jobs:
        for child, _ in job.options.get("batch", {}).get("ahead", ()):
            if job.id not in parents.get(child, ()) and child in there and not _leads_on(job, jobs):
                parents[child].append(job.id)
    order = _ordered(sorted(there), parents)
    by_id = {job.id: job for job in jobs}
    whole = state_of(id, jobs)
    return FlowGraph(
        id=id,
        name=whole.name,
        state=whole.state,
        counts=whole.counts,
        nodes=tuple(_node(by_id[each]) for each in order),
        edges=tuple(FlowEdge(parent, child) for child in order for parent in parents[child]),
    )


def name_of(jobs: Sequence[Job]) -> str | None:
    """The name that a workflow's first job carries."""
    return next((job.options["flow"].get("name") for job in jobs if "flow" in job.options), None)


def _leads_on(job: Job, jobs: Sequence[Job]) -> bool:
    """Whether a member is an inner job of its part: an end of that part has the edge to the callbacks, not it."""
    return any(job.id in other.parents for other in jobs)


def _standing(jobs: Sequence[Job]) -> str:
    states = {job.state for job in jobs if job.reason != NOT_TRIGGERED}
    if states & set(LIVE):
        return "running"
    for state in (State.FAILED, State.CANCELLED):
        if state in states:
            return str(state)
    return str(State.COMPLETED)


def _node(job: Job) -> FlowNode:
    options = job.options
    batch = options.get("callback") or options.get("batch", {}).get("id")
    role = "callback" if "callback" in options else "member" if batch else "job"
    return FlowNode(
        id=job.id,
        kind=job.kind,
        name=job.name,
        queue=job.queue,
        state=job.state,
        reason=job.reason,
        attempt=job.attempt,
        role=role,
        batch=batch,
    )


def _ordered(ids: Sequence[str], parents: dict[str, list[str]]) -> list[str]:
    """Parents before children, else by age."""
    waits = {id: len(parents[id]) for id in ids}
    children: dict[str, list[str]] = {}
    for id in ids:
        for parent in parents[id]:
            children.setdefault(parent, []).append(id)
    order = [id for id in ids if not waits[id]]
    for id in order:
        for child in children.get(id, ()):
            waits[child] -= 1
            if not waits[child]:
                order.append(child)
    return order
