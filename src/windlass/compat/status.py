"""The status of one job, by its queue and id."""

from typing import Any

from windlass.app import Windlass
from windlass.compat.shapes import job_shape
from windlass.produce.results import not_found


async def get_job_status(app: Windlass, queue: str, id: str) -> dict[str, Any]:
    """`{"id", "state", "progress", "attemptsMade", ...}`; raises `JobNotFound`, also if the job is in another queue."""
    job = await app.jobs.get(id)
    if job.queue != queue:
        raise not_found(id)
    return job_shape(job)
