"""Windlass: a job queue for Python. Names are imported at first use, so `import windlass` costs next to nothing."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from windlass.app import Windlass
    from windlass.declare.bounds import Limit
    from windlass.declare.handler import Handler
    from windlass.declare.keeping import Keep
    from windlass.declare.options import HandlerOptions, JobOptions
    from windlass.declare.pricing import Price
    from windlass.declare.ranking import BY_PLAN, BY_TAG, PriorityRule
    from windlass.declare.unique import Unique, debounce, throttle
    from windlass.errors import (
        BatchTooLarge,
        DuplicateKind,
        EffectMismatch,
        EffectNotFound,
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
        OutcomeUnknown,
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
    from windlass.flowcontrol.cache import Cache
    from windlass.flowcontrol.limits import KeyLimit, RateStatus
    from windlass.operate.dead_letters import DeadLetter
    from windlass.operate.effects import EffectInfo
    from windlass.operate.hooks import JobEvent
    from windlass.produce.ref import JobRef
    from windlass.providers.provider import Provider
    from windlass.running.chunk import Chunk, Item
    from windlass.running.context import Context
    from windlass.running.effects import Effect
    from windlass.running.steps import StepRecord
    from windlass.schedules.view import Schedule
    from windlass.settings import Settings
    from windlass.values.failure import Category
    from windlass.values.job import Attempt, ErrorInfo, Job, NewJob
    from windlass.values.lease import Delivery
    from windlass.values.outcome import Cancel, Fail, RateLimited, Retry, Signal, Snooze
    from windlass.values.priority import Priority
    from windlass.values.query import Page
    from windlass.values.retry import Backoff, RetryPolicy, exponential, fixed, linear
    from windlass.values.states import State
    from windlass.workflows.flow import FlowGraph, FlowState, WorkflowRef
    from windlass.workflows.inputs import result_of
    from windlass.workflows.workflow import Workflow, batch, chain, group

_HOMES = {
    "operate.dead_letters": ("DeadLetter",),
    "operate.hooks": ("JobEvent",),
    "declare.pricing": ("Price",),
    "declare.keeping": ("Keep",),
    "app": ("Windlass",),
    "declare.bounds": ("Limit",),
    "flowcontrol.cache": ("Cache",),
    "running.chunk": ("Chunk", "Item"),
    "running.context": ("Context",),
    "errors": (
        "BatchTooLarge",
        "DuplicateKind",
        "EffectMismatch",
        "EffectNotFound",
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
        "OutcomeUnknown",
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
    "values.failure": ("Category",),
    "workflows.flow": ("FlowGraph", "FlowState", "WorkflowRef"),
    "declare.handler": ("Handler",),
    "workflows.inputs": ("result_of",),
    "values.job": ("Attempt", "ErrorInfo", "Job", "NewJob"),
    "values.lease": ("Delivery",),
    "flowcontrol.limits": ("KeyLimit", "RateStatus"),
    "declare.options": ("HandlerOptions", "JobOptions"),
    "values.outcome": ("Cancel", "Fail", "RateLimited", "Retry", "Signal", "Snooze"),
    "values.priority": ("Priority",),
    "providers.provider": ("Provider",),
    "values.query": ("Page",),
    "declare.ranking": ("BY_PLAN", "BY_TAG", "PriorityRule"),
    "produce.ref": ("JobRef",),
    "values.retry": ("Backoff", "RetryPolicy", "exponential", "fixed", "linear"),
    "schedules.view": ("Schedule",),
    "settings": ("Settings",),
    "values.states": ("State",),
    "operate.effects": ("EffectInfo",),
    "running.effects": ("Effect",),
    "running.steps": ("StepRecord",),
    "declare.unique": ("Unique", "debounce", "throttle"),
    "workflows.workflow": ("Workflow", "batch", "chain", "group"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Attempt",
    "BY_PLAN",
    "BY_TAG",
    "Backoff",
    "BatchTooLarge",
    "Cache",
    "Cancel",
    "Category",
    "Chunk",
    "Context",
    "DeadLetter",
    "Delivery",
    "DuplicateKind",
    "Effect",
    "EffectInfo",
    "EffectMismatch",
    "EffectNotFound",
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
    "JobEvent",
    "JobFailed",
    "JobNotFound",
    "JobOptions",
    "JobRef",
    "Keep",
    "KeyLimit",
    "LeaseLost",
    "Limit",
    "NewJob",
    "NoResult",
    "OutcomeUnknown",
    "Page",
    "Price",
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
    if name == "__version__":
        from importlib.metadata import version

        return version("windlass")
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'windlass' has no attribute {name!r}")
    value = getattr(import_module(f"windlass.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
