"""The one table of the founding paths: each with the canonical operation whose permission it takes, and what carries it out."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from windlass.api.founding import jobs, queues
from windlass.api.operation import Handler, Operation, Reply
from windlass.api.permissions import OPERATIONS


class Row(NamedTuple):
    """A founding path. `operation`: the canonical one that it is another door to."""

    id: str
    method: str
    path: str
    operation: str
    handler: Handler
    status: int = 200


_ENHANCED = "/api/v1/queue/enhanced"
TABLE: Sequence[Row] = (
    Row("E01", "GET", "/api/jobs/metrics/queue/{queue}", "get_metrics", queues.metrics_of_queue),
    Row("E02", "GET", "/api/jobs/metrics/user", "list_jobs", queues.metrics_of_user),
    Row("E03", "GET", "/api/jobs/dead-letter", "list_dead_letters", queues.list_letters),
    Row("E04", "POST", "/api/jobs/dead-letter/{id}/retry", "retry_dead_letter", queues.retry_letter),
    Row("E05", "POST", "/api/jobs/dead-letter/cleanup", "delete_dead_letter", queues.clean_up_letters),
    Row("E06", "GET", "/api/jobs/user", "list_jobs", jobs.list_own),
    Row("E07", "GET", "/api/jobs/user/{id}", "get_job", jobs.show_own),
    Row("E08", "POST", "/api/jobs/user/{id}/cancel", "cancel_job", jobs.cancel_own),
    Row("E09", "GET", "/api/jobs/dashboard", "list_queues", queues.dashboard),
    Row("E10", "GET", "/api/jobs/dashboard/stats", "list_queues", queues.stats_of_queues),
    Row("E11", "GET", "/api/jobs/dashboard/jobs/{queue}", "list_jobs", jobs.list_of_queue),
    Row("E12", "GET", "/api/jobs/status/{queue}/{id}", "get_job", jobs.show),
    Row("E13", "GET", "/api/jobs/stats/{queue}", "get_queue", queues.stats_of_queue),
    Row("E14", "POST", "/api/jobs/cancel/{queue}/{id}", "cancel_job", jobs.cancel),
    Row("E15", "POST", "/api/jobs/retry/{queue}/{id}", "retry_job", jobs.retry),
    Row("E16", "POST", "/api/jobs/{job_type}", "create_job", jobs.create_of_type, 202),
    Row("E17", "GET", "/api/jobs/{queue}/{id}", "get_job", jobs.show),
    Row("E18", "GET", "/api/jobs/{queue}/{id}/progress", "get_job_progress", jobs.show_progress),
    Row("E19", "GET", "/api/jobs/{queue}/{id}/result", "get_job_result", jobs.show_result),
    Row("E20", "DELETE", "/api/jobs/{queue}/{id}", "delete_job", jobs.remove),
    Row("E21", "POST", "/api/jobs/{queue}/{id}/retry", "retry_job", jobs.retry),
    Row("E22", "POST", "/api/jobs/delayed", "create_job", jobs.create_delayed, 202),
    Row("E23", "POST", "/api/jobs/recurring", "put_schedule", jobs.create_recurring, 201),
    Row("E24", "DELETE", "/api/jobs/recurring/{id}", "delete_schedule", jobs.remove_recurring),
    Row("E25", "GET", "/api/jobs/user/{user}/history", "list_jobs", jobs.list_of_user),
    Row("E26", "GET", "/api/jobs/stats", "list_queues", queues.statistics),
    Row("E27", "GET", "/api/jobs/queues/stats", "list_queues", queues.stats_of_queues),
    Row("E28", "GET", "/api/jobs/health", "get_health", queues.health),
    Row("E29", "GET", "/api/jobs/performance", "get_metrics", queues.performance),
    Row("E30", "POST", "/api/jobs/queues/{queue}/pause", "pause_queue", queues.pause),
    Row("E31", "POST", "/api/jobs/queues/{queue}/resume", "resume_queue", queues.resume),
    Row("E32", "DELETE", "/api/jobs/queues/{queue}/clear", "clear_queue", queues.clear),
    Row("E33", "GET", "/api/jobs/types", "list_kinds", queues.types),
    Row("E34", "GET", f"{_ENHANCED}/{{queue}}/metrics", "get_metrics", queues.full_metrics_of_queue),
    Row("E35", "GET", f"{_ENHANCED}/{{queue}}/health", "get_health", queues.health_of_queue),
    Row("E36", "GET", f"{_ENHANCED}/{{queue}}/performance", "get_metrics", queues.performance_of_queue),
    Row("E37", "GET", f"{_ENHANCED}/metrics/all", "get_metrics", queues.all_metrics),
    Row("E38", "GET", f"{_ENHANCED}/{{queue}}/dlq", "list_dead_letters", queues.list_letters_of),
    Row("E39", "GET", f"{_ENHANCED}/{{queue}}/dlq/stats", "list_dead_letters", queues.letter_stats),
    Row("E40", "POST", f"{_ENHANCED}/{{queue}}/dlq/{{id}}/retry", "retry_dead_letter", queues.retry_letter_of),
    Row("E41", "POST", f"{_ENHANCED}/{{queue}}/dlq/process-retries", "retry_dead_letter", queues.process_retries),
    Row("E42", "DELETE", f"{_ENHANCED}/{{queue}}/dlq/purge", "delete_dead_letter", queues.purge_letters),
    Row("E43", "POST", f"{_ENHANCED}/{{queue}}/jobs", "create_job", jobs.create_enhanced, 202),
    Row("E44", "GET", f"{_ENHANCED}/{{queue}}/priority-distribution", "get_queue", queues.priorities),
    Row("E45", "GET", "/api/jobs/queues/{queue}", "get_queue", queues.show_queue),
    Row("E46", "DELETE", "/api/jobs/queues/{queue}", "clear_queue", queues.clear),
    Row("E47", "POST", "/api/jobs/retry", "retry_job", jobs.retry_some),
    Row("E48", "POST", "/api/jobs/schedule", "put_schedule", jobs.schedule, 201),
)


def operations() -> list[Operation]:
    """The table as operations, the more literal path first: a word of a path goes before a queue or job of that name."""
    rows = sorted(TABLE, key=lambda row: [segment.startswith("{") for segment in row.path.split("/")])
    return [_operation(row) for row in rows]


def _operation(row: Row) -> Operation:
    hints = get_type_hints(row.handler, include_extras=True)
    answer: Any = hints["return"]
    if get_origin(answer) is Reply:
        answer = get_args(answer)[0]
    body = hints.get("body")
    return Operation(
        name=f"founding_{row.id.lower()}",
        method=row.method,
        path=row.path,
        prefix="",
        tag="founding",
        handler=row.handler,
        permission=OPERATIONS[row.operation],
        status=row.status,
        query=hints.get("query"),
        body=body,
        answer=answer,
        needs_body=body == dict[str, Any],
        params=tuple(re.findall(r"{(\w+)}", row.path)),
    )
