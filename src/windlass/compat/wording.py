"""The founding documents' spelling of a job's options, read into ours. Numbers are milliseconds here, and nowhere else."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple, cast

from windlass.declare.refusal import refusal
from windlass.declare.unique import Unique
from windlass.errors import InvalidOption
from windlass.values.queue import check_name
from windlass.values.retry import RetryPolicy, read_policy

CONTROL = frozenset(
    {
        "priority", "delay", "runAt", "attempts", "maxAttempts", "backoff", "retryStrategy", "timeout", "uniqueKey", "tags",
        "userSubscription", "skipCache", "name",
    }
)  # fmt: skip
"""What stands beside the data of a job, or in it, and says how to run it. `userId` and `projectId` say whose it is and stay in
the data as well: the documents list them there."""
RESERVED = frozenset(
    {
        "user", "status", "stats", "metrics", "dashboard", "dead-letter", "dlq", "delayed", "recurring", "queues", "health",
        "performance", "types", "cancel", "retry", "schedule", "progress", "result", "history", "logs", "events", "workers",
        "batches", "all",
    }
)  # fmt: skip
"""Words of the founding paths: a queue or a job type of such a name could not be reached by them."""


class Wish(NamedTuple):
    """What a founding call asks for: the job's data, the name it is called by, and options of `handler.options(...)`."""

    data: dict[str, Any]
    name: str | None
    options: dict[str, Any]


def read_wish(body: Mapping[str, Any]) -> Wish:
    """A job as a founding document describes it. With `data` an object, that is the payload and the rest is control; else the
    control words are lifted out and everything that remains is the payload. Raises `InvalidOption`."""
    nested = body.get("data")
    if isinstance(nested, Mapping):
        data = dict(cast("Mapping[str, Any]", nested))
        control = {name: value for name, value in body.items() if name not in ("data", "options")}
        control |= _mapping(body.get("options") or {}, "options")
        if "retryStrategy" in data:
            control.setdefault("retryStrategy", data.pop("retryStrategy"))
    else:
        lifted = CONTROL - {"name"}  # flat data may well have a name of its own
        data = {name: value for name, value in body.items() if name not in lifted}
        control = {name: value for name, value in body.items() if name in lifted}
    options = read_options(control)
    for word, option in (("userId", "user"), ("projectId", "project")):
        if isinstance(data.get(word), str):
            options.setdefault(option, data[word])
    name = options.pop("name", None)
    return Wish(data, None if name is None else check_name(name, "name"), options)


def read_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of `handler.options(...)` from founding ones, spelt `runAt` or `run_at`; raises `InvalidOption`."""
    words = {camel(name): value for name, value in given.items() if value is not None}
    unknown = sorted(set(words) - CONTROL - {"userId", "projectId"})
    if unknown:
        raise InvalidOption(
            f"there is no option {unknown[0]!r} of a job",
            field=unknown[0],
            limit=sorted(CONTROL),
            mend="retention is a setting of the installation" if unknown[0].startswith("remove") else "remove it",
        )
    found: dict[str, Any] = {}
    for word, option in _AS_THEY_ARE.items():
        if word in words:
            found[option] = words[word]
    found |= _priority(words.get("priority"))
    for word in ("delay", "timeout"):
        if word in words:
            found[word] = read_milliseconds(words[word], word)
    if "runAt" in words:
        found["run_at"] = read_moment(words["runAt"], "runAt")
    if "uniqueKey" in words:
        found["unique"] = Unique(key=words["uniqueKey"])
    return found | _retry(words)


def camel(name: str) -> str:
    """`run_at` as the documents spell it: `runAt`."""
    return re.sub(r"(?<=[a-z0-9])_([a-z])", lambda found: found[1].upper(), name)


def read_milliseconds(value: Any, field: str) -> float:
    """Seconds of a number of milliseconds."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 3_153_600_000_000:
        return value / 1_000
    raise refusal(field, value, "a number of milliseconds", "5 minutes are 300000")


def read_moment(value: Any, field: str) -> datetime:
    """A time with a zone, as a `datetime` or as ISO 8601 text."""
    try:
        at = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except (TypeError, ValueError):
        at = None
    if at is None or at.tzinfo is None:
        raise refusal(field, value, "a time with a zone", "write 2024-12-25T10:00:00Z")
    return at


def read_days(value: Any, field: str = "days") -> float:
    """A number of days."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 36_500:
        return float(value)
    raise refusal(field, value, "0..36500 days", "use 30")


def _priority(value: Any) -> dict[str, Any]:
    """`"high"`, a number, or `{"level": "high", "weight": 10}`: the level is the class, the weight the share in a fair queue."""
    if not isinstance(value, Mapping):
        return {} if value is None else {"priority": value}
    parts = cast("Mapping[str, Any]", value)
    if not set(parts) <= {"level", "weight"} or "level" not in parts:
        raise refusal("priority", dict(parts), "{level, weight}", "write {'level': 'high', 'weight': 10}")
    weight = parts.get("weight")
    return {"priority": parts["level"]} | ({} if weight is None else {"weight": weight})


def _retry(words: Mapping[str, Any]) -> dict[str, Any]:
    strategy = words.get("retryStrategy")
    spelt = {name: words[name] for name in ("attempts", "maxAttempts", "backoff") if name in words}
    if strategy is not None and spelt:
        raise refusal(
            "retryStrategy", strategy, "either retryStrategy or attempts and backoff", "leave one of them out"
        )
    given = spelt if strategy is None else _mapping(strategy, "retryStrategy")
    if not given:
        return {}
    policy: RetryPolicy = read_policy(given)
    found: dict[str, Any] = {}
    if "attempts" in given or "maxAttempts" in given:
        found["max_attempts"] = policy.max_attempts
    if strategy is not None or "backoff" in given:
        found["backoff"] = policy.backoff
    return found


def _mapping(value: Any, field: str) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, Any]", value))
    raise refusal(field, value, "an object", "write {...}")


_AS_THEY_ARE = {
    "tags": "tags",
    "skipCache": "skip_cache",
    "userSubscription": "plan",
    "userId": "user",
    "projectId": "project",
    "name": "name",
}
