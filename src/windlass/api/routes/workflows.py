"""Workflows and batches: store a graph of jobs in one call, look at it, cancel it, retry it from where it failed."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from windlass.api.ids import seeded
from windlass.api.operation import Call, Reply, Routes
from windlass.api.paging import Cursor, Limit, Listing, listing, read_cursor
from windlass.api.problems import Flaw, Problem
from windlass.api.specs import JobOptionsSpec, JobSpec, Maker, Name, check_parents, placed
from windlass.errors import JobNotFound, WindlassError
from windlass.produce.producer import MOST_JOBS
from windlass.values.job import Job, NewJob
from windlass.workflows.flow import FlowGraph, FlowState, graph_of
from windlass.workflows.view import FlowInfo
from windlass.workflows.workflow import Node, batch, group

routes = Routes("workflows", "Graphs of jobs, stored in one call.")

Ref = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.\-]+$", min_length=1, max_length=100)]


class NodeSpec(JobOptionsSpec, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """A job of a workflow. `after`: what it waits for, by `ref`, or by the id of a stored job. `inputs`: parameters that are
    results of others, such as `{"path": "render"}`; it waits for those too."""

    ref: Ref
    after: Annotated[tuple[Ref, ...], Meta(max_length=1_000)] = ()
    inputs: dict[str, Ref] = msgspec.field(default_factory=dict)


class NewWorkflow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A workflow: its jobs, in any order."""

    jobs: Annotated[list[NodeSpec], Meta(min_length=1, max_length=MOST_JOBS)]
    name: Name | None = None


class NewBatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Members and callbacks. `then` runs when all members have ended, `on_success` when all completed, `on_failure` when the
    first fails."""

    jobs: Annotated[list[JobSpec], Meta(min_length=1, max_length=MOST_JOBS)]
    then: JobSpec | None = None
    on_success: JobSpec | None = None
    on_failure: JobSpec | None = None
    name: Name | None = None


class CreatedWorkflow(msgspec.Struct, frozen=True, kw_only=True):
    """A stored workflow. `jobs`: the ids of its jobs, by `ref` where they have one, else by their number."""

    id: str
    jobs: dict[str, str]
    href: str


class FlowActed(msgspec.Struct, frozen=True, kw_only=True):
    """What an act did: jobs changed, and running ones asked to stop."""

    id: str
    done: int
    flagged: int


class FlowQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which page."""

    limit: Limit = 50
    cursor: Cursor | None = None


@routes.post(
    "/workflows",
    status=202,
    bulky=True,
    example={"jobs": [{"ref": "a", "kind": "render"}, {"ref": "b", "kind": "send", "inputs": {"path": "a"}}]},
)
async def create_workflow(call: Call, body: NewWorkflow) -> Reply[CreatedWorkflow]:
    """Create a workflow: all its jobs or none are stored."""
    ids = seeded(call.seed)
    own = {spec.ref: next(ids) for spec in body.jobs}
    if len(own) != len(body.jobs):
        raise Problem(
            422, "invalid-workflow", "two jobs have the same ref", flaws=[Flaw("holds a ref twice", "invalid", "/jobs")]
        )
    outside = {name for spec in body.jobs for name in (*spec.after, *spec.inputs.values()) if name not in own}
    await check_parents(call, outside)
    maker = Maker(call)
    await maker.find(spec.kind for spec in body.jobs)
    jobs: list[NewJob[Any]] = []
    for number, spec in enumerate(body.jobs):
        after = [own.get(name, name) for name in spec.after]
        inputs = {parameter: own.get(name, name) for parameter, name in spec.inputs.items()}
        try:
            job = maker.make(spec, after, inputs)
        except (WindlassError, Problem) as error:
            raise placed(error, f"/jobs/{number}") from None
        jobs.append(replace(job, id=own[spec.ref]))
    return await _run(
        call, group(*jobs), body.name, {job.id: spec.ref for job, spec in zip(jobs, body.jobs, strict=True)}
    )


@routes.post(
    "/batches",
    status=202,
    bulky=True,
    example={"jobs": [{"kind": "render", "args": {"page": 1}}], "then": {"kind": "report"}},
)
async def create_batch(call: Call, body: NewBatch) -> Reply[CreatedWorkflow]:
    """Create a batch: its members, and the callbacks that run when they have ended."""
    maker, ids = Maker(call), seeded(call.seed)
    callbacks = {"then": body.then, "on_success": body.on_success, "on_failure": body.on_failure}
    named = [(f"/jobs/{number}", spec) for number, spec in enumerate(body.jobs)]
    named += [(f"/{name}", spec) for name, spec in callbacks.items() if spec is not None]
    await check_parents(call, {id for _, spec in named for id in spec.after})
    await maker.find(spec.kind for _, spec in named)
    made: dict[str, NewJob[Any]] = {}
    for place, spec in named:
        try:
            made[place] = replace(maker.make(spec, spec.after), id=next(ids))
        except (WindlassError, Problem) as error:
            raise placed(error, place) from None
    members = [made[place] for place, _ in named if place.startswith("/jobs/")]
    whole = batch(
        members, then=made.get("/then"), on_success=made.get("/on_success"), on_failure=made.get("/on_failure")
    )
    names = {job.id: place.removeprefix("/jobs").removeprefix("/") for place, job in made.items()}
    return await _run(call, whole, body.name, names)


async def _run(call: Call, whole: Any, name: str | None, names: dict[str, str]) -> Reply[CreatedWorkflow]:
    node: Node[Any] = whole if name is None else whole.named(name)
    ref = await call.app.workflows.run(node, id=call.seed)
    href = call.href(f"/workflows/{ref.id}")
    made = CreatedWorkflow(id=ref.id, jobs={names[id]: id for id in names}, href=href)
    return Reply(made, headers={"Location": href})


@routes.get("/workflows")
async def list_workflows(call: Call, query: FlowQuery) -> Reply[Listing[FlowInfo]]:
    """List workflows and batches, newest first."""
    place = read_cursor("workflows", query.cursor)
    reach = call.caller.reach
    page = await call.app.workflows.list(limit=query.limit, cursor=place, user=reach.user, project=reach.project)
    return listing(call, "workflows", page.items, page.next)


@routes.get("/workflows/{id}")
async def get_workflow(call: Call, id: str) -> FlowGraph:
    """Show a workflow: its jobs, their states, and what waits for what."""
    return graph_of(id, await _jobs(call, id))


@routes.get("/batches/{id}")
async def get_batch(call: Call, id: str) -> FlowState:
    """How a batch stands: its jobs by state."""
    await _jobs(call, id)
    return await call.app.workflows.status(id)


@routes.post("/workflows/{id}/cancel", needs_body=False)
async def cancel_workflow(call: Call, id: str) -> FlowActed:
    """Cancel every job of a workflow that has not ended."""
    await _jobs(call, id)
    acted = await call.app.workflows.cancel(id, actor=call.caller.actor)
    return FlowActed(id=id, done=len(acted.ids), flagged=len(acted.flagged))


@routes.post("/workflows/{id}/retry", needs_body=False)
async def retry_workflow(call: Call, id: str) -> FlowActed:
    """Run again what failed or was cancelled, from there on; completed jobs keep their results."""
    await _jobs(call, id)
    acted = await call.app.workflows.retry(id, actor=call.caller.actor)
    return FlowActed(id=id, done=len(acted.ids), flagged=0)


async def _jobs(call: Call, id: str) -> list[Job]:
    """Its jobs, if all of them are within reach; else it does not exist."""
    try:
        jobs = await call.app.workflows.jobs(id)
    except JobNotFound:
        jobs = []
    if not jobs or not all(map(call.caller.reach.sees, jobs)):
        raise JobNotFound(f"no workflow {id!r}", id=id, mend="it may have been deleted or pruned")
    return jobs
