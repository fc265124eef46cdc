"""Windlass: a job queue for Python. Names are imported at first use, so `import windlass` costs next to nothing."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from windlass.app import Windlass
    from windlass.bounds import Limit
    from windlass.cache import Cache
    from windlass.chunk import Chunk, Item
    from windlass.context import Context
    from windlass.errors import (
        BatchTooLarge,
        DuplicateKind,
        InsideLoop,
        InvalidArgs,
        InvalidOption,
        InvalidStep,
        InvalidWorkflow,
        JobCancelled,
        JobFailed,
        JobNotFound,
        LeaseLost,
        NoResult,
        RateLimitExceeded,
        ResultTimeout,
        ScheduleError,
        ScheduleNotFound,
        SchemaMismatch,
        SettingsError,
        SignalTimeout,
        StepsChanged,
        StoreError,
        StoreFull,
        StoreReadOnly,
        StoreUnavailable,
        TooLarge,
        UnknownKind,
        UnknownParent,
        WindlassError,
    )
    from windlass.failure import Category
    from windlass.flow import FlowGraph, FlowState, WorkflowRef
    from windlass.handler import Handler
    from windlass.inputs import result_of
    from windlass.job import Attempt, ErrorInfo, Job, NewJob
    from windlass.lease import Delivery
    from windlass.limits import KeyLimit, RateStatus
    from windlass.options import HandlerOptions, JobOptions
    from windlass.outcome import Cancel, Fail, RateLimited, Retry, Signal, Snooze
    from windlass.priority import Priority
    from windlass.providers import Provider
    from windlass.query import Page
    from windlass.ranking import PriorityRule
    from windlass.ref import JobRef
    from windlass.retry import Backoff, RetryPolicy, exponential, fixed, linear
    from windlass.schedules import Schedule
    from windlass.settings import Settings
    from windlass.states import State
    from windlass.steps import StepRecord
    from windlass.unique import Unique, debounce, throttle
    from windlass.workflow import Workflow, batch, chain, group

_HOMES = {
    "app": ("Windlass",),
    "bounds": ("Limit",),
    "cache": ("Cache",),
    "chunk": ("Chunk", "Item"),
    "context": ("Context",),
    "errors": (
        "BatchTooLarge",
        "DuplicateKind",
        "InsideLoop",
        "InvalidArgs",
        "InvalidOption",
        "InvalidStep",
        "InvalidWorkflow",
        "JobCancelled",
        "JobFailed",
        "JobNotFound",
        "LeaseLost",
        "NoResult",
        "RateLimitExceeded",
        "ResultTimeout",
        "ScheduleError",
        "ScheduleNotFound",
        "SchemaMismatch",
        "SettingsError",
        "SignalTimeout",
        "StepsChanged",
        "StoreError",
        "StoreFull",
        "StoreReadOnly",
        "StoreUnavailable",
        "TooLarge",
        "UnknownKind",
        "UnknownParent",
        "WindlassError",
    ),
    "failure": ("Category",),
    "flow": ("FlowGraph", "FlowState", "WorkflowRef"),
    "handler": ("Handler",),
    "inputs": ("result_of",),
    "job": ("Attempt", "ErrorInfo", "Job", "NewJob"),
    "lease": ("Delivery",),
    "limits": ("KeyLimit", "RateStatus"),
    "options": ("HandlerOptions", "JobOptions"),
    "outcome": ("Cancel", "Fail", "RateLimited", "Retry", "Signal", "Snooze"),
    "priority": ("Priority",),
    "providers": ("Provider",),
    "query": ("Page",),
    "ranking": ("PriorityRule",),
    "ref": ("JobRef",),
    "retry": ("Backoff", "RetryPolicy", "exponential", "fixed", "linear"),
    "schedules": ("Schedule",),
    "settings": ("Settings",),
    "states": ("State",),
    "steps": ("StepRecord",),
    "unique": ("Unique", "debounce", "throttle"),
    "workflow": ("Workflow", "batch", "chain", "group"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Attempt",
    "Backoff",
    "BatchTooLarge",
    "Cache",
    "Cancel",
    "Category",
    "Chunk",
    "Context",
    "Delivery",
    "DuplicateKind",
    "ErrorInfo",
    "Fail",
    "FlowGraph",
    "FlowState",
    "Handler",
    "HandlerOptions",
    "InsideLoop",
    "InvalidArgs",
    "InvalidOption",
    "InvalidStep",
    "InvalidWorkflow",
    "Item",
    "Job",
    "JobCancelled",
    "JobFailed",
    "JobNotFound",
    "JobOptions",
    "JobRef",
    "KeyLimit",
    "LeaseLost",
    "Limit",
    "NewJob",
    "NoResult",
    "Page",
    "Priority",
    "PriorityRule",
    "Provider",
    "RateLimitExceeded",
    "RateLimited",
    "RateStatus",
    "ResultTimeout",
    "Retry",
    "RetryPolicy",
    "Schedule",
    "ScheduleError",
    "ScheduleNotFound",
    "SchemaMismatch",
    "Settings",
    "SettingsError",
    "Signal",
    "SignalTimeout",
    "Snooze",
    "State",
    "StepRecord",
    "StepsChanged",
    "StoreError",
    "StoreFull",
    "StoreReadOnly",
    "StoreUnavailable",
    "TooLarge",
    "Unique",
    "UnknownKind",
    "UnknownParent",
    "Windlass",
    "WindlassError",
    "Workflow",
    "WorkflowRef",
    "batch",
    "chain",
    "debounce",
    "exponential",
    "fixed",
    "group",
    "linear",
    "result_of",
    "throttle",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'windlass' has no attribute {name!r}")
    value = getattr(import_module(f"windlass.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
