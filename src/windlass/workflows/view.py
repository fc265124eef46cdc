"""`app.workflows`: look at stored workflows, cancel and retry them, and fill batches larger than one call."""

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar, cast

import msgspec
from msgspec.structs import replace

from windlass.errors import InvalidWorkflow, JobNotFound
from windlass.operate.views import Acted, act_on
from windlass.produce.ids import new_id
from windlass.produce.ref import JobRef, make_ref
from windlass.store.protocol import Store
from windlass.values.clock import Micros
from windlass.values.job import GATE, NOT_TRIGGERED, Enqueued, Job, NewJob
from windlass.values.outcome import Flow
from windlass.values.query import Action, Command, Page, Where
from windlass.values.states import LIVE, PENDING, State
from windlass.workflows.flow import FlowGraph, FlowState, WorkflowRef, graph_of, make_flow_ref, name_of, state_of
from windlass.workflows.membership import batch_jobs
from windlass.workflows.workflow import (
    HEAD,
    Node,
    as_member,
    assemble,
    change_run,
    make_callbacks,
    membership,
    parents_first,
)

R = TypeVar("R")

_STEP = 500
_FAR: Micros = 7_258_118_400_000_000
"""The year 2200: when a batch that nobody closes would close itself."""


class FlowInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a listing. `jobs`: how many it was stored with. `batch`: it is a batch, or begins with one."""

    id: str
    name: str | None
    state: str
    jobs: int
    created_at: Any
    head: str
    batch: bool = False


class Door(Protocol):
    """What workflows ask of their app."""

    async def store(self) -> Store: ...

    async def store_jobs(self, jobs: list[NewJob[Any]], connection: Any = None) -> list[Enqueued]: ...

    async def result_of(self, id: str, timeout: Any = None) -> Any: ...

    async def job_of(self, id: str) -> Job: ...

    async def cancel_job(self, id: str) -> bool: ...


class Workflows:
    """Stored workflows by id."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def run(self, node: Node[R], connection: Any = None, *, id: str | None = None) -> WorkflowRef[R]:
        """Store a workflow in one atomic call and return at once. Raises `InvalidWorkflow`, `BatchTooLarge`, `UnknownParent`.
        `id`: what it is called, for callers that repeat a call with the same jobs."""
        id = id or new_id()
        jobs, shape = assemble(node, id)
        answers = await self._door.store_jobs(jobs, connection)
        refs = [make_ref(a.id, job.kind, a.created, self._door) for job, a in zip(jobs, answers, strict=True)]
        stand_in = {job.id: answer.id for job, answer in zip(jobs, answers, strict=True) if answer.id != job.id}
        return make_flow_ref(id, refs, _renamed(shape, stand_in) if stand_in else shape, self)

    def open(
        self,
        *,
        then: NewJob[R] | None = None,
        on_success: NewJob[Any] | None = None,
        on_failure: NewJob[Any] | None = None,
        name: str | None = None,
    ) -> "Filling":
        """A batch that is filled in parts, for more members than one call takes: `async with app.workflows.open(then=...) as
        filling: await filling.add(jobs)`. Leaving the block closes it; until then no callback runs for want of members."""
        return Filling(self, self._door, (then, on_success, on_failure), name)

    def ref(self, ref: WorkflowRef[R]) -> WorkflowRef[R]:
        """A reference of this app from one that has travelled."""
        return make_flow_ref(ref.id, [make_ref(j.id, j.kind, j.created, self._door) for j in ref.jobs], ref.shape, self)

    async def get(self, id: str) -> FlowGraph:
        """The whole graph; raises `JobNotFound`."""
        return graph_of(id, await self.jobs(id))

    async def status(self, id: str) -> FlowState:
        """How it stands, without the graph; raises `JobNotFound`."""
        return state_of(id, await self.jobs(id))

    async def jobs(self, id: str) -> list[Job]:
        """Its jobs, oldest first; raises `JobNotFound`."""
        found = [job async for job in batch_jobs(await self._door.store(), id)]
        if not found:
            raise JobNotFound(f"no workflow {id!r}", id=id, mend="it may have been deleted or pruned")
        return found[::-1]

    async def list(
        self, *, limit: int = 50, cursor: str | None = None, user: str | None = None, project: str | None = None
    ) -> Page[FlowInfo]:
        """Workflows, newest first, as long as their first job is kept; of a user or a project, by whose the first job is. A page
        may be short: only `next is None` is the end."""
        store = await self._door.store()
        page = await store.jobs(Where(tags=(HEAD,), user=user, project=project), cursor, limit)
        return Page([await self._info(job) for job in page.items if job.workflow and "flow" in job.options], page.next)

    async def cancel(self, id: str, *, reason: str = "workflow cancelled", actor: str = "app") -> Acted:
        """Cancel every job that has not ended: first what waits, so that no end sets anything free, then what may run."""
        store = await self._door.store()
        command = Command(action=Action.CANCEL, reason=reason)
        acted = await act_on(store, command, [Where(workflow=id, states=(State.BLOCKED,))], actor)
        rest = [Where(workflow=id, states=(*PENDING, State.ACTIVE))]
        more = await act_on(store, command, rest, actor)
        return Acted((*acted.ids, *more.ids), more.flagged, {})

    async def retry(self, id: str, *, actor: str = "app") -> Acted:
        """Run again what failed or was cancelled, from there on: completed jobs keep their results, and what a failure ended
        waits for its parents again. Callbacks that have run do not run again."""
        store = await self._door.store()
        graph = await self.get(id)
        over = (State.FAILED, State.CANCELLED)
        ids = [node.id for node in graph.nodes if node.state in over and node.reason != NOT_TRIGGERED]
        steps = [Where(ids=tuple(ids[at : at + _STEP])) for at in range(0, len(ids), _STEP)]
        command = Command(action=Action.REQUEUE, revive=True)
        acted = await act_on(store, command, steps, actor)
        return Acted(acted.ids, (), {})

    # what references ask

    async def result_of(self, id: str, timeout: Any = None) -> Any:
        return await self._door.result_of(id, timeout)

    async def flow_state(self, id: str) -> FlowState:
        return await self.status(id)

    async def cancel_flow(self, id: str) -> int:
        return await self.cancel(id)

    async def _info(self, head: Job) -> FlowInfo:
        store = await self._door.store()
        flow = head.options["flow"]
        id = head.workflow or ""
        return FlowInfo(
            id=id,
            name=name_of([head]),
            state=await _standing(store, id),
            jobs=flow["jobs"],
            created_at=head.created_at,
            head=head.kind,
            batch="batch" in head.options,
        )


async def _standing(store: Store, id: str) -> str:
    """`FlowState.state` by looking for one job of each kind."""
    asked: list[tuple[str, tuple[State, ...]]] = [
        ("running", LIVE),
        ("failed", (State.FAILED,)),
        ("cancelled", (State.CANCELLED,)),
    ]
    for word, states in asked:
        async for job in batch_jobs(store, id, states):
            if job.reason != NOT_TRIGGERED:
                return word
    return "completed"


def _renamed(shape: Any, stand_in: dict[str, str]) -> Any:
    """A shape whose duplicates (`unique`) stand for the holders of their keys."""
    if isinstance(shape, str):
        return stand_in.get(shape, shape)
    if isinstance(shape, dict):
        ends = cast("dict[str, list[Any]]", shape)["ends"]
        return {"ends": [_renamed(each, stand_in) for each in ends]}
    return [_renamed(each, stand_in) for each in cast("list[Any]", shape)]


class Filling:
    """An open batch. Its gate is a job that keeps the callbacks waiting; closing lets any worker complete it."""

    def __init__(
        self,
        flows: Workflows,
        door: Door,
        callbacks: tuple[NewJob[Any] | None, NewJob[Any] | None, NewJob[Any] | None],
        name: str | None,
    ) -> None:
        self.id = new_id()
        self._flows = flows
        self._door = door
        self._name = name
        first = next((job for job in callbacks if job is not None), None)
        if first is None:
            raise InvalidWorkflow("an open batch without a callback is enqueue_many", jobs=[], mend="give it a then=")
        gate: NewJob[Any] = NewJob(id=new_id(), kind=GATE, queue=first.queue, run_at=_FAR, max_attempts=1)
        made = make_callbacks(self.id, [gate.id], *callbacks)
        self._batch = membership(self.id, made)
        self._gate = gate.id
        self._jobs = [gate, *made]
        self._last = callbacks[0]

    async def open(self) -> "WorkflowRef[Any]":
        """Store gate and callbacks; the batch may be filled from here on."""
        shape: Any = {"ends": [job.id for job in self._jobs[1:]]} if self._last is None else self._last.id
        tags = (HEAD,)
        flow = change_run("", flow=Flow(len(self._jobs), self._name))
        jobs = [replace(job, workflow=self.id) for job in parents_first(self._jobs)]
        jobs[0] = replace(jobs[0], tags=tags, options=flow)
        await self._door.store_jobs(jobs)
        refs: list[JobRef[Any]] = [make_ref(job.id, job.kind, True, self._door) for job in jobs]
        return make_flow_ref(self.id, refs, shape, self._flows)

    async def add(self, jobs: Iterable[NewJob[Any]]) -> int:
        """Store members, any number of them, in parts of 2,000; how many. Each part is atomic."""
        count = 0
        part: list[NewJob[Any]] = []
        for job in jobs:
            part.append(as_member(job, self.id, self._batch))
            if len(part) >= 2_000:
                await self._door.store_jobs(part)
                count += len(part)
                part = []
        if part:
            await self._door.store_jobs(part)
        return count + len(part)

    async def close(self) -> None:
        """No more members from outside: the callbacks go by those there are."""
        store = await self._door.store()
        await store.command(Command(action=Action.RUN_NOW), Where(ids=(self._gate,)), 1, "app")

    @property
    def ref(self) -> "WorkflowRef[Any]":
        """The batch's reference."""
        return self._ref

    async def __aenter__(self) -> Self:
        self._ref = await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            await self.close()
        else:
            await self._flows.cancel(self.id, reason="its filling was broken off")
