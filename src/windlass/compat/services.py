"""The services that the founding documents call: email, files, analytics, and the queue service."""

from collections.abc import Mapping, Sequence
from typing import Any

from windlass.app import Windlass
from windlass.compat.adding import add_email_job, add_job, chain_jobs, check_file
from windlass.compat.letters import dead_letters
from windlass.declare.refusal import refusal
from windlass.produce.ref import JobRef

_STEPS = (("scanForViruses", "virus_scan"), ("optimizeImage", "image_optimization"), ("generateThumbnail", "thumbnail"))
_PERIODS = ("hourly", "daily", "weekly", "monthly", "custom")


async def queue_health(app: Windlass, queue: str) -> dict[str, Any]:
    """A queue's health: `status` healthy, degraded, unhealthy or error, `issues`, `recommendations`, and the numbers."""
    return health_shape(await app.health(queue))


def health_shape(health: Any) -> dict[str, Any]:
    """The health of a queue in the documents' words."""
    return {
        "queueName": health.queue,
        "status": health.status,
        "issues": [issue.text for issue in health.issues],
        "recommendations": [f"{each.text}: {each.command}" for each in health.recommendations],
        "metrics": {
            "waiting": health.waiting,
            "active": health.active,
            "delayed": health.delayed + health.retrying,
            "failed": health.failed,
            "failureRate": health.failed_share,
            "workers": health.workers,
            "processedPerMinute": health.served_per_minute,
        },
    }


async def enhanced_dead_letters(app: Windlass, queue: str, limit: int = 50) -> list[dict[str, Any]]:
    """The newest dead letters of a queue."""
    return await dead_letters(app, queue, limit)


async def add_enhanced_job(
    app: Windlass, queue: str, name: str, data: Mapping[str, Any], options: Mapping[str, Any] | None = None
) -> JobRef[Any]:
    """Add a job with everything: `{"delay": 5000, "priority": {"level", "weight"}}`; the data may carry `retryStrategy`."""
    return await add_job(app, queue, name, data, options)


async def send_welcome_email(app: Windlass, email: str, name: str, url: str) -> JobRef[Any]:
    """Welcome somebody, by the template `welcome`."""
    return await add_email_job(app, {"to": email, "template": "welcome", "data": {"name": name, "url": url}})


async def process_file(  # noqa: PLR0913  # the document's own signature
    app: Windlass,
    file_id: str,
    file_url: str,
    file_name: str,
    file_type: str,
    file_size: int,
    user_id: str,
    product_id: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> list[JobRef[Any]]:
    """Process an uploaded file: a job for each of `scanForViruses`, `optimizeImage`, `generateThumbnail` that is asked for, in
    this order, each once the one before it has completed, so that nothing touches a file that did not pass the scan."""
    wanted = dict(options or {"scanForViruses": True})
    unknown = sorted(set(wanted) - {word for word, _ in _STEPS})
    if unknown:
        raise refusal("options", unknown[0], "|".join(word for word, _ in _STEPS), "correct its name")
    file = {
        "fileId": file_id,
        "fileUrl": file_url,
        "fileName": file_name,
        "fileType": file_type,
        "fileSize": file_size,
        "userId": user_id,
    }
    if product_id is not None:
        file["productId"] = product_id
    steps = [step for word, step in _STEPS if wanted.get(word)]
    check_file(file)
    jobs = [{"queueName": "file-processing", "data": {**file, "processingType": step}} for step in steps]
    return await chain_jobs(app, jobs)


async def schedule_custom_analytics_aggregation(
    app: Windlass, period: str, start: str, end: str, metrics: Sequence[str]
) -> JobRef[Any]:
    """Aggregate analytics over a range of dates."""
    if period not in _PERIODS:
        raise refusal("type", period, "|".join(_PERIODS), "use 'daily'")
    data = {"type": period, "dateRange": {"start": start, "end": end}, "metrics": list(metrics)}
    return await add_job(app, "analytics-aggregation", "analytics-aggregation", data)
