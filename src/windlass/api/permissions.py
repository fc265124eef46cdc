"""Who may do what, as data: roles to permissions, and every operation to the one permission it takes.

An operation without a row here cannot be declared, so a new route is closed until somebody decides.
"""

from collections.abc import Mapping
from enum import StrEnum

from windlass.api.caller import Caller, Role


class Permission(StrEnum):
    """A scope of tokens and keys. Those in `SHARED` concern what all tenants share."""

    JOBS_READ = "jobs:read"
    JOBS_CREATE = "jobs:create"
    JOBS_CHANGE = "jobs:change"
    JOBS_DELETE = "jobs:delete"
    KINDS_READ = "kinds:read"
    QUEUES_READ = "queues:read"
    QUEUES_CHANGE = "queues:change"
    SCHEDULES_READ = "schedules:read"
    SCHEDULES_CHANGE = "schedules:change"
    LIMITS_READ = "limits:read"
    LIMITS_CHANGE = "limits:change"
    WORKERS_READ = "workers:read"
    METRICS_READ = "metrics:read"
    HEALTH_READ = "health:read"
    AUDIT_READ = "audit:read"
    ALERTS_READ = "alerts:read"
    ALERTS_CHANGE = "alerts:change"
    WEBHOOKS_READ = "webhooks:read"
    WEBHOOKS_CHANGE = "webhooks:change"
    KEYS_READ = "keys:read"
    KEYS_CHANGE = "keys:change"
    SELF = "self"


_P = Permission
SHARED = frozenset(
    {
        _P.QUEUES_READ,
        _P.QUEUES_CHANGE,
        _P.SCHEDULES_READ,
        _P.SCHEDULES_CHANGE,
        _P.LIMITS_READ,
        _P.LIMITS_CHANGE,
        _P.WORKERS_READ,
        _P.METRICS_READ,
        _P.HEALTH_READ,
        _P.AUDIT_READ,
        _P.ALERTS_READ,
        _P.ALERTS_CHANGE,
        _P.WEBHOOKS_READ,
        _P.WEBHOOKS_CHANGE,
        _P.KEYS_READ,
        _P.KEYS_CHANGE,
    }
)
"""What a caller that is bound to a project never gets, whatever the role: it would show or change what is others'."""

_LOOKING = {
    _P.JOBS_READ, _P.KINDS_READ, _P.QUEUES_READ, _P.SCHEDULES_READ, _P.LIMITS_READ, _P.WORKERS_READ, _P.METRICS_READ, _P.SELF,
}  # fmt: skip
_OWN = {_P.JOBS_READ, _P.JOBS_CREATE, _P.JOBS_CHANGE, _P.JOBS_DELETE, _P.KINDS_READ, _P.SELF}
_STEERING = {
    _P.QUEUES_CHANGE,
    _P.SCHEDULES_CHANGE,
    _P.LIMITS_CHANGE,
    _P.HEALTH_READ,
    _P.AUDIT_READ,
    _P.WEBHOOKS_READ,
    _P.WEBHOOKS_CHANGE,
    _P.ALERTS_READ,
    _P.ALERTS_CHANGE,
}
_OPERATING = {*_LOOKING, *_OWN, *_STEERING}

ROLES: Mapping[Role, frozenset[Permission]] = {
    Role.VIEWER: frozenset(_LOOKING),
    Role.USER: frozenset(_OWN),
    Role.OPERATOR: frozenset(_OPERATING),
    Role.ADMIN: frozenset(Permission),
}

OPERATIONS: Mapping[str, Permission] = {
    "list_jobs": _P.JOBS_READ,
    "search_jobs": _P.JOBS_READ,
    "create_job": _P.JOBS_CREATE,
    "create_jobs": _P.JOBS_CREATE,
    "get_job": _P.JOBS_READ,
    "edit_job": _P.JOBS_CHANGE,
    "delete_job": _P.JOBS_DELETE,
    "cancel_job": _P.JOBS_CHANGE,
    "retry_job": _P.JOBS_CHANGE,
    "run_job_now": _P.JOBS_CHANGE,
    "fail_job": _P.JOBS_CHANGE,
    "clone_job": _P.JOBS_CREATE,
    "get_job_result": _P.JOBS_READ,
    "get_job_progress": _P.JOBS_READ,
    "explain_job": _P.JOBS_READ,
    "get_job_steps": _P.JOBS_READ,
    "signal_job": _P.JOBS_CHANGE,
    "get_job_log": _P.JOBS_READ,
    "get_job_history": _P.JOBS_READ,
    "list_dead_letters": _P.JOBS_READ,
    "get_dead_letter_stats": _P.QUEUES_READ,
    "replay_dead_letters": _P.QUEUES_CHANGE,
    "archive_dead_letters": _P.QUEUES_CHANGE,
    "purge_dead_letters": _P.QUEUES_CHANGE,
    "get_dead_letter": _P.JOBS_READ,
    "retry_dead_letter": _P.JOBS_CHANGE,
    "delete_dead_letter": _P.JOBS_DELETE,
    "list_errors": _P.QUEUES_READ,
    "get_error": _P.QUEUES_READ,
    "retry_error": _P.QUEUES_CHANGE,
    "replay_error": _P.QUEUES_CHANGE,
    "resolve_error": _P.QUEUES_CHANGE,
    "ignore_error": _P.QUEUES_CHANGE,
    "reopen_error": _P.QUEUES_CHANGE,
    "create_bulk": _P.JOBS_CHANGE,
    "list_bulk": _P.JOBS_READ,
    "get_bulk": _P.JOBS_READ,
    "cancel_bulk": _P.JOBS_CHANGE,
    "create_workflow": _P.JOBS_CREATE,
    "list_workflows": _P.JOBS_READ,
    "get_workflow": _P.JOBS_READ,
    "cancel_workflow": _P.JOBS_CHANGE,
    "retry_workflow": _P.JOBS_CHANGE,
    "create_batch": _P.JOBS_CREATE,
    "get_batch": _P.JOBS_READ,
    "list_kinds": _P.KINDS_READ,
    "get_kind": _P.KINDS_READ,
    "list_queues": _P.QUEUES_READ,
    "get_queue": _P.QUEUES_READ,
    "edit_queue": _P.QUEUES_CHANGE,
    "pause_queue": _P.QUEUES_CHANGE,
    "resume_queue": _P.QUEUES_CHANGE,
    "clear_queue": _P.QUEUES_CHANGE,
    "list_schedules": _P.SCHEDULES_READ,
    "get_schedule": _P.SCHEDULES_READ,
    "put_schedule": _P.SCHEDULES_CHANGE,
    "delete_schedule": _P.SCHEDULES_CHANGE,
    "pause_schedule": _P.SCHEDULES_CHANGE,
    "resume_schedule": _P.SCHEDULES_CHANGE,
    "trigger_schedule": _P.SCHEDULES_CHANGE,
    "preview_schedule": _P.SCHEDULES_READ,
    "preview_new_schedule": _P.SCHEDULES_READ,
    "get_schedule_history": _P.SCHEDULES_READ,
    "list_limits": _P.LIMITS_READ,
    "get_limit": _P.LIMITS_READ,
    "put_limit": _P.LIMITS_CHANGE,
    "clear_limit": _P.LIMITS_CHANGE,
    "list_breakers": _P.LIMITS_READ,
    "get_breaker": _P.LIMITS_READ,
    "reset_breaker": _P.LIMITS_CHANGE,
    "open_breaker": _P.LIMITS_CHANGE,
    "list_workers": _P.WORKERS_READ,
    "get_worker": _P.WORKERS_READ,
    "get_metrics": _P.METRICS_READ,
    "get_health": _P.HEALTH_READ,
    "get_queue_health": _P.HEALTH_READ,
    "list_audit": _P.AUDIT_READ,
    "list_users": _P.METRICS_READ,
    "get_user_metrics": _P.METRICS_READ,
    "list_worker_metrics": _P.METRICS_READ,
    "list_alerts": _P.ALERTS_READ,
    "list_alert_notices": _P.ALERTS_READ,
    "look_for_alerts": _P.ALERTS_CHANGE,
    "list_alert_rules": _P.ALERTS_READ,
    "put_alert_rule": _P.ALERTS_CHANGE,
    "delete_alert_rule": _P.ALERTS_CHANGE,
    "list_alert_channels": _P.ALERTS_READ,
    "put_alert_channel": _P.ALERTS_CHANGE,
    "delete_alert_channel": _P.ALERTS_CHANGE,
    "try_alert_channel": _P.ALERTS_CHANGE,
    "get_health_trend": _P.HEALTH_READ,
    "list_templates": _P.KINDS_READ,
    "get_template": _P.KINDS_READ,
    "put_template": _P.QUEUES_CHANGE,
    "delete_template": _P.QUEUES_CHANGE,
    "create_job_from_template": _P.JOBS_CREATE,
    "list_webhooks": _P.WEBHOOKS_READ,
    "get_webhook": _P.WEBHOOKS_READ,
    "create_webhook": _P.WEBHOOKS_CHANGE,
    "edit_webhook": _P.WEBHOOKS_CHANGE,
    "delete_webhook": _P.WEBHOOKS_CHANGE,
    "rotate_webhook": _P.WEBHOOKS_CHANGE,
    "ping_webhook": _P.WEBHOOKS_CHANGE,
    "list_webhook_deliveries": _P.WEBHOOKS_READ,
    "replay_webhook": _P.WEBHOOKS_CHANGE,
    "stream_events": _P.JOBS_READ,
    "poll_events": _P.JOBS_READ,
    "list_keys": _P.KEYS_READ,
    "create_key": _P.KEYS_CHANGE,
    "revoke_key": _P.KEYS_CHANGE,
    "get_self": _P.SELF,
}


READING = frozenset(permission for permission in Permission if permission.endswith(":read")) | {Permission.SELF}
"""What is left to anybody where the API is read-only."""


def allowed(caller: Caller, read_only: bool) -> list[Permission]:
    """All that the caller may do here."""
    return [each for each in Permission if may(caller, each) and (not read_only or each in READING)]


def may(caller: Caller, permission: Permission) -> bool:
    """Whether the caller's role, scopes and project allow it."""
    if caller.scopes is not None and permission not in caller.scopes and permission is not Permission.SELF:
        return False
    if caller.project is not None and permission in SHARED:
        return False
    return permission in ROLES[caller.role]
