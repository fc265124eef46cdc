"""Dead letters: the failed jobs, by a name of their own."""

from windlass.api.operation import Call, Reply, Routes
from windlass.api.paging import Listing
from windlass.api.problems import Problem
from windlass.api.routes.acts import Again, delete_job, retry_job
from windlass.api.routes.closeup import one_job
from windlass.api.routes.jobs import JobFilter, find_jobs
from windlass.api.views import Acted, JobView, view
from windlass.values.job import Job
from windlass.values.query import Where
from windlass.values.states import State

routes = Routes("dead-letters", "Jobs that gave up. `POST /bulk` acts on many of them at once.")


@routes.get("/dead-letters")
async def list_dead_letters(call: Call, query: JobFilter) -> Reply[Listing[JobView]]:
    """List dead letters, newest first."""
    return await find_jobs(call, query, Where(states=(State.FAILED,)))


@routes.get("/dead-letters/{id}", tagged=True)
async def get_dead_letter(call: Call, id: str) -> JobView:
    """Show a dead letter, with every attempt and its error."""
    return view(await _dead(call, id))


@routes.post("/dead-letters/{id}/retry", needs_body=False)
async def retry_dead_letter(call: Call, id: str, body: Again) -> Acted:
    """Run a dead letter again."""
    await _dead(call, id)
    return await retry_job(call, id, body)


@routes.delete("/dead-letters/{id}")
async def delete_dead_letter(call: Call, id: str) -> Acted:
    """Delete a dead letter."""
    await _dead(call, id)
    return await delete_job(call, id)


async def _dead(call: Call, id: str) -> Job:
    job = await one_job(call, id)
    if job.state is not State.FAILED:
        raise Problem(409, "wrong-state", f"the job is {job.state}, not a dead letter")
    return job
