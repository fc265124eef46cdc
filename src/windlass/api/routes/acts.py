"""Acts on one job: edit, cancel, retry, run now, fail, clone, signal, delete."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from windlass.api.operation import Call, Reply, Routes
from windlass.api.problems import Problem
from windlass.api.routes.closeup import one_job
from windlass.api.routes.jobs import Created, store_one
from windlass.api.specs import Duration, JobSpec, Maker, Name, Priority
from windlass.api.views import Acted, JobView, view
from windlass.operate.views import Acted as Done
from windlass.produce.results import not_found
from windlass.values.lease import Delivery
from windlass.values.priority import check_priority

routes = Routes("jobs", "Create jobs, look at them, act on them.")


class Edit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change about a job that has not ended."""

    priority: Priority


class Why(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why it is done; kept with the job."""

    reason: Annotated[str, Meta(max_length=500)] | None = None


class Again(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to run again. `keep_attempts`: go on counting; `revive`: also bring back what its failure ended."""

    keep_attempts: bool = False
    revive: bool = False


class Clone(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the copy does otherwise: arguments to replace, and options."""

    args: dict[str, Any] = {}
    queue: Name | None = None
    priority: Priority | None = None
    delay: Duration | None = None


class SignalSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the signal brings along."""

    data: Any = None


class Signalled(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a signal: the job goes on (`woken`), or finds it when it asks (`kept`)."""

    id: str
    delivery: Delivery


@routes.patch("/jobs/{id}", tagged=True, example={"priority": 10})
async def edit_job(call: Call, id: str, body: Edit) -> JobView:
    """Change a job's priority; it keeps its age.

    With `If-Match`, only if it still is as the client has seen it.
    """
    job = await one_job(call, id)
    call.require_match(view(job))
    _require(await call.app.jobs.reprioritise(check_priority(body.priority), id, actor=call.caller.actor), id)
    return view(await one_job(call, id))


@routes.delete("/jobs/{id}")
async def delete_job(call: Call, id: str) -> Acted:
    """Delete a job that is not running, with its log."""
    job = await one_job(call, id)
    return _acted(await call.app.jobs.delete(job.id, actor=call.caller.actor), id)


@routes.post("/jobs/{id}/cancel", needs_body=False, example={"reason": "not needed"})
async def cancel_job(call: Call, id: str, body: Why) -> Acted:
    """Cancel a job that has not ended; a running handler is asked to stop."""
    job = await one_job(call, id)
    return _acted(await call.app.jobs.cancel(job.id, reason=body.reason, actor=call.caller.actor), id)


@routes.post("/jobs/{id}/retry", needs_body=False, example={"keep_attempts": False})
async def retry_job(call: Call, id: str, body: Again) -> Acted:
    """Run an ended job again."""
    job = await one_job(call, id)
    acted = await call.app.jobs.requeue(
        ids=[job.id], keep_attempts=body.keep_attempts, revive=body.revive, actor=call.caller.actor
    )
    return _acted(acted, id)


@routes.post("/jobs/{id}/run-now", needs_body=False)
async def run_job_now(call: Call, id: str) -> Acted:
    """Run a delayed or retrying job without waiting for its time."""
    job = await one_job(call, id)
    return _acted(await call.app.jobs.run_now(job.id, actor=call.caller.actor), id)


@routes.post("/jobs/{id}/fail", needs_body=False, example={"reason": "the order was withdrawn"})
async def fail_job(call: Call, id: str, body: Why) -> Acted:
    """Send a job that is not running to the dead letters."""
    job = await one_job(call, id)
    reason = body.reason or f"failed by {call.caller.actor}"
    return _acted(await call.app.jobs.fail(job.id, reason=reason, actor=call.caller.actor), id)


@routes.post(
    "/jobs/{id}/clone", status=202, others={200: Created}, needs_body=False, example={"args": {"to": "b@example.com"}}
)
async def clone_job(call: Call, id: str, body: Clone) -> Reply[Created]:
    """Create a job like this one, with other arguments or options if given."""
    job = await one_job(call, id)
    spec = JobSpec(
        kind=job.kind,
        args={**call.app.secrecy.args_of(job), **body.args},
        queue=body.queue or job.queue,
        priority=job.priority if body.priority is None else body.priority,
        delay=body.delay,
        max_attempts=job.max_attempts,
        user=job.user,
        project=job.project,
        group=job.group,
    )
    return await store_one(call, await Maker(call).one(spec))


@routes.post("/jobs/{id}/signals/{name}", needs_body=False, example={"data": {"approved": True}})
async def signal_job(call: Call, id: str, name: str, body: SignalSpec) -> Signalled:
    """Hand a signal to a job whose handler waits for it, or will; 409 if the job has ended."""
    await one_job(call, id)
    delivery = await call.app.jobs.signal(id, name, body.data, actor=call.caller.actor)
    if delivery is Delivery.OVER:
        raise Problem(409, "wrong-state", "the job has ended")
    return Signalled(id=id, delivery=delivery)


def _acted(done: Done, id: str) -> Acted:
    _require(done, id)
    return Acted(id=id, outcome="asked" if id in done.flagged else "done")


def _require(done: Done, id: str) -> None:
    """409 for what the job's state does not allow."""
    why = done.refused.get(id)
    if why == "not found":
        raise not_found(id)
    if why is not None:
        raise Problem(409, "wrong-state", f"the job {why}")
