"""The options of jobs: what `@app.job(...)` declares and what `handler.options(...)` says for one job, read and checked."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal, TypeAlias, TypedDict, cast

import msgspec
from msgspec.structs import replace

from windlass.declare.bounds import MOST_COST, Limit, LimitRule, read_limits
from windlass.declare.pricing import Price, Tariff, read_price
from windlass.declare.ranking import PriorityRule, read_rules
from windlass.declare.rates import RateLike, read_most
from windlass.declare.refusal import refusal
from windlass.declare.reviving import DeadRetries, read_dead_retries
from windlass.declare.suggest import did_you_mean
from windlass.declare.unique import Unique, UniqueRule, read_unique
from windlass.errors import InvalidOption
from windlass.flowcontrol.cache import Cache, CacheRule, read_cache
from windlass.flowcontrol.quota import QuotaRule, delaying, read_quota
from windlass.produce.ref import JobRef
from windlass.providers.provider import Provider, read_provider
from windlass.running.chunk import ChunkRule, read_chunk
from windlass.running.iterable import read_slice
from windlass.values.clock import SECOND, Duration, Micros, host_now, job_time, micros, seconds
from windlass.values.failure import Category, Rule
from windlass.values.job import POLICIES, RUNTIMES, Edge, NewJob, OnFailure, Runtime
from windlass.values.outcome import DEFAULT_RESCUES, RunOptions
from windlass.values.priority import check_priority
from windlass.values.queue import check_name
from windlass.values.retry import Backoff, BackoffLike, RetryPolicy, check_attempts, read_policy

Upcast: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]
"""Turns the arguments of one payload version into those of the next."""

_SHORTEST_TIMEOUT = 0.001


class JobOptions(TypedDict, total=False):
    """Options of one job: `handler.options(...)`."""

    queue: str
    priority: int
    delay: Duration
    run_at: datetime
    max_attempts: int
    backoff: Backoff
    timeout: Duration
    max_rescues: int
    expires: Duration | datetime
    deadline: Duration | datetime
    unique: str | Unique
    skip_cache: bool
    provider: str
    user: str
    project: str
    plan: str
    group: str
    weight: int
    cost: int
    name: str
    tags: Sequence[str]
    after: Sequence[JobRef[Any] | NewJob[Any] | str]
    on_failure: OnFailure
    connection: Any


class HandlerOptions(TypedDict, total=False):
    """Options of a kind: `@app.job(...)`."""

    kind: str
    queue: str
    runtime: Runtime
    priority: int
    max_attempts: int
    backoff: BackoffLike
    retry: RetryPolicy | Mapping[str, Any]
    timeout: Duration
    errors: Rule
    max_rescues: int
    tags: Sequence[str]
    expires: Duration
    deadline: Duration
    unique: str | Unique
    priority_rules: Sequence[PriorityRule]
    cache: Duration | Cache
    provider: str | Provider
    limits: Sequence[Limit]
    rate_limit: RateLike
    concurrency: int
    per_user_concurrency: int | Mapping[str, int]
    per_user_rate: RateLike | Mapping[str, RateLike]
    on_rate: Literal["raise", "delay"]
    version: int
    upcast: Mapping[int, Upcast]
    slice: Duration
    chunk: int
    chunk_wait: Duration
    encrypt: bool
    price: Price
    dead_retries: DeadRetries


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """A kind's checked options; `job` is what each job of the kind starts from."""

    job: NewJob[Any]
    backoff: BackoffLike
    timeout: float | None
    errors: Any
    max_rescues: int
    unique: UniqueRule | None
    version: int
    upcast: Mapping[int, Upcast]
    deadline: Micros | None = None
    rules: tuple[PriorityRule, ...] = ()
    cache: CacheRule | None = None
    provider: Provider | None = None
    limits: tuple[LimitRule, ...] = ()
    quota: QuotaRule | None = None
    slice: float | None = None
    chunk: ChunkRule | None = None
    encrypt: bool = False
    price: Tariff | None = None
    ladder: tuple[Micros, ...] | None = None
    """The waits before its dead letters' automatic retries; None leaves it to the queue."""


class Asked(msgspec.Struct, frozen=True):
    """What one job will carry: the job without id and arguments, its run options, its unique rule. `ranked`: its priority was
    given, so no rule decides. `cost`: what a start takes of every rate it is under, if that was given."""

    job: NewJob[Any]
    run: RunOptions
    unique: UniqueRule | None
    on_failure: OnFailure = "cancel"
    ranked: bool = False
    cost: int | None = None


@lru_cache(maxsize=4096)
def _checked_name(value: str, field: str) -> str:
    return check_name(value, field)


def read_name(value: object, field: str) -> str:
    """`check_name`, remembering what was good."""
    return _checked_name(value, field) if isinstance(value, str) else check_name(value, field)


def declare(name: str, runtimes: Sequence[Runtime], given: Mapping[str, Any], *, iterable: bool = False) -> Declared:
    """The checked options of a kind whose function is called `name` and can run in `runtimes` (the first by default).
    `iterable`: it is a generator."""
    _refuse_unknown(given, HandlerOptions.__annotations__)
    policy = _read_retry(given)
    runtime = given.get("runtime", runtimes[0])
    if runtime not in runtimes:
        why = "an async def runs in 'async'" if runtimes == ("async",) else "a def runs in 'thread' or 'process'"
        raise refusal("runtime", runtime, "|".join(RUNTIMES), why)
    expires, deadline = given.get("expires"), given.get("deadline")
    job: NewJob[Any] = NewJob(
        id="",
        kind=read_name(given.get("kind", name), "kind"),
        queue=read_name(given.get("queue", "default"), "queue"),
        runtime=runtime,
        priority=check_priority(given.get("priority", 0)),
        max_attempts=policy.max_attempts,
        tags=_read_tags(given.get("tags", ())),
        expires_in=None if expires is None else micros(expires, "expires"),
    )
    unique, cache, provider = given.get("unique"), given.get("cache"), given.get("provider")
    version = _read_count(given.get("version", 1), "version", 1)
    quota = read_quota(given)
    return Declared(
        job=job,
        backoff=policy.backoff,
        timeout=_read_timeout(given.get("timeout")),
        errors=_read_rule(given.get("errors")),
        max_rescues=_read_count(given.get("max_rescues", DEFAULT_RESCUES), "max_rescues", 0),
        unique=None if unique is None else read_unique(unique),
        version=version,
        upcast=_read_upcast(given.get("upcast", {}), version),
        deadline=None if deadline is None else micros(deadline, "deadline", minimum=_SHORTEST_TIMEOUT),
        rules=read_rules(given.get("priority_rules", ())),
        cache=None if cache is None else read_cache(cache),
        provider=None if provider is None else read_provider(provider),
        limits=(*read_limits(given), *delaying(quota)),
        quota=quota,
        slice=read_slice(given, iterable=iterable),
        chunk=read_chunk(given),
        encrypt=_read_flag(given.get("encrypt", False), "encrypt"),
        price=read_price(given["price"]) if given.get("price") is not None else None,
        ladder=read_dead_retries(given["dead_retries"]) if given.get("dead_retries") is not None else None,
    )


def refine(asked: Asked, given: Mapping[str, Any]) -> Asked:
    """`asked` with the options of one more `handler.options(...)` call over it."""
    _refuse_unknown(given, JobOptions.__annotations__)
    given = {name: value for name, value in given.items() if value is not None}
    job, run, unique, on_failure = asked.job, asked.run, asked.unique, asked.on_failure
    changes: dict[str, Any] = {}
    for field, read in _FIELDS.items():
        if field in given:
            changes[field] = read(given[field], field)
    _read_times(given, changes)
    on_failure = _read_policy(given.get("on_failure", on_failure))
    if "after" in given:
        changes["after"] = _read_edges(given["after"], on_failure)
    elif "on_failure" in given:
        changes["after"] = tuple(Edge(edge.parent, on_failure) for edge in job.after)
    changes["on_failure"] = on_failure
    run = replace(run, child=bool(changes.get("after", job.after)))
    runs = {field: read(given[field], field) for field, read in _RUN_FIELDS.items() if field in given}
    run = replace(run, **runs, **_read_deadline(given))
    changes["options"] = run_text(run)
    if "unique" in given:
        unique = read_unique(given["unique"])
    cost = read_most(given["cost"], "cost", MOST_COST) if "cost" in given else asked.cost
    return Asked(replace(job, **changes), run, unique, on_failure, asked.ranked or "priority" in given, cost)


def first_start(asked: Asked, declared: Micros | None) -> Mapping[str, Micros | None]:
    """By when a job must have started: its expiry, or its deadline (`declared`: the kind's) if that comes first. Two that are
    written differently, a duration and a time, meet on this machine's clock."""
    job, run = asked.job, asked.run
    within = declared if run.deadline is None else round(run.deadline * SECOND)
    at = run.deadline_at
    if at is not None:
        within = None
    if within is None and at is None:
        return {}
    if job.expires_at is None and at is None:
        return {"expires_in": min(x for x in (job.expires_in, within) if x is not None)}
    if job.expires_in is None and within is None:
        return {"expires_at": min(x for x in (job.expires_at, at) if x is not None)}
    now = host_now()
    ends = (job.expires_at, at, _after(now, job.expires_in), _after(now, within))
    return {"expires_in": None, "expires_at": min(x for x in ends if x is not None)}


def _after(now: Micros, duration: Micros | None) -> Micros | None:
    return None if duration is None else now + duration


def run_text(run: RunOptions) -> str:
    """The run options as a job carries them; empty for the kind's own."""
    return "" if run == _NO_RUN_OPTIONS else msgspec.json.encode(run).decode()


def _read_retry(given: Mapping[str, Any]) -> RetryPolicy:
    retry = given.get("retry")
    if retry is not None and ("max_attempts" in given or "backoff" in given):
        raise refusal("retry", retry, "either retry= or max_attempts= and backoff=", "leave one of them out")
    if isinstance(retry, RetryPolicy):
        return retry
    if isinstance(retry, Mapping):
        return read_policy(cast("Mapping[str, Any]", retry))
    if retry is not None:
        raise refusal("retry", retry, "RetryPolicy or a dict", "use RetryPolicy(max_attempts=5)")
    settled = {name: given[name] for name in ("max_attempts", "backoff") if given.get(name) is not None}
    return RetryPolicy(**settled)


def _read_rule(rule: Any) -> Any:
    if rule is None or (callable(rule) and not isinstance(rule, Mapping)):
        return rule
    if not isinstance(rule, Mapping):
        raise refusal("errors", rule, "{exception class: category} or a callable", "use {ValueError: 'permanent'}")
    for cls, category in cast("Mapping[Any, Any]", rule).items():
        if not (isinstance(cls, type) and issubclass(cls, BaseException)):
            raise refusal("errors", cast(Any, cls), "exception classes as keys", "use {ValueError: 'permanent'}")
        if category not in list(Category):
            raise refusal("errors", category, "|".join(Category), f"name one of them for {cls.__name__}")
    return cast("Mapping[Any, Any]", rule)


def _read_upcast(given: Any, version: int) -> Mapping[int, Upcast]:
    if not isinstance(given, Mapping):
        raise refusal("upcast", given, "{version: function}", "use upcast={1: from_1_to_2}")
    steps = cast("Mapping[Any, Any]", given)
    for step, fn in steps.items():
        if not (isinstance(step, int) and 1 <= step < version and callable(fn)):
            raise refusal("upcast", step, f"versions from 1 to {version - 1} and functions", "raise version= with it")
    return dict(steps)


def _read_times(given: Mapping[str, Any], changes: dict[str, Any]) -> None:
    if "delay" in given and "run_at" in given:
        raise refusal("delay", given["delay"], "either delay= or run_at=", "leave one of them out")
    if "delay" in given:
        changes.update(delay=micros(given["delay"], "delay"), run_at=None)
    if "run_at" in given:
        changes.update(delay=None, run_at=job_time(given["run_at"], "run_at"))
    if "expires" in given:
        when = given["expires"]
        at = isinstance(when, datetime)
        changes["expires_at"] = job_time(when, "expires") if at else None
        changes["expires_in"] = None if at else micros(when, "expires")


def _read_deadline(given: Mapping[str, Any]) -> Mapping[str, Any]:
    when = given.get("deadline")
    if when is None:
        return {}
    if isinstance(when, datetime):
        return {"deadline": None, "deadline_at": job_time(when, "deadline")}
    return {"deadline": seconds(when, "deadline", minimum=_SHORTEST_TIMEOUT), "deadline_at": None}


def _read_flag(value: Any, field: str) -> bool:
    if isinstance(value, bool):
        return value
    raise refusal(field, value, "true or false", f"use {field}=True")


def _read_edges(parents: Any, on_failure: OnFailure) -> tuple[Edge, ...]:
    if isinstance(parents, (str, JobRef, NewJob)) or not isinstance(parents, Sequence):
        raise refusal("after", cast(Any, parents), "a list of references, jobs or ids", "use after=[ref]")
    ids: dict[str, None] = {}
    for parent in cast("Sequence[Any]", parents):
        id: Any = cast("JobRef[Any] | NewJob[Any]", parent).id if isinstance(parent, (JobRef, NewJob)) else parent
        if not isinstance(id, str) or not id:
            raise refusal("after", id, "references, jobs or ids", "use after=[ref]")
        ids[id] = None
    return tuple(Edge(id, on_failure) for id in ids)


def join_edges(edges: tuple[Edge, ...], parents: Iterable[str], on_failure: OnFailure) -> tuple[Edge, ...]:
    """`edges` and those to further `parents`; each parent once, the first mention counts."""
    by_parent = {edge.parent: edge for edge in edges}
    for parent in parents:
        if parent not in by_parent:
            by_parent[parent] = Edge(parent, on_failure)
    return tuple(by_parent.values())


def _read_policy(value: Any) -> OnFailure:
    if value in POLICIES:
        return value
    raise refusal("on_failure", value, "|".join(POLICIES), "use 'cancel'")


def _read_tags(value: Any, field: str = "tags") -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise refusal(field, value, "a list of names", "use tags=['urgent']")
    names = cast("Sequence[Any]", value)
    if len(names) > 50:
        raise refusal(field, len(names), "at most 50 tags", "use fewer")
    return tuple(dict.fromkeys(read_name(tag, "tags") for tag in names))


def _read_timeout(value: Any, field: str = "timeout") -> float | None:
    return None if value is None else seconds(value, field, minimum=_SHORTEST_TIMEOUT)


def _read_count(value: Any, field: str, least: int = 0) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= 1_000_000:
        return value
    raise refusal(field, value, f"{least}..1000000", "use a whole number in that range")


def _read_weight(value: Any, field: str) -> int:
    return read_most(value, field, 100)


def _read_backoff(value: Any, field: str) -> Backoff:
    if isinstance(value, Backoff):
        return value
    raise refusal(
        field, value, "exponential(...), linear(...) or fixed(...)", "declare functions with @app.job(backoff=)"
    )


def _refuse_unknown(given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    for name in given:
        if name not in known:
            meant = _ELSEWHERE.get(name)
            raise InvalidOption(
                f"unknown option {name!r}" + (f"; did you mean {meant!r}?" if meant else did_you_mean(name, known)),
                field=name,
                value=repr(given[name])[:100],
                limit=sorted(known),
                mend="max_attempts counts the first run too" if meant else "see the list of options",
            )


_ELSEWHERE = {"max_retries": "max_attempts", "retries": "max_attempts", "retry": "max_attempts"}
"""What other queues call an option."""


_Reader: TypeAlias = Callable[[Any, str], Any]
_FIELDS: Mapping[str, _Reader] = {
    "queue": read_name,
    "priority": check_priority,
    "max_attempts": check_attempts,
    "user": read_name,
    "project": read_name,
    "group": read_name,
    "weight": _read_weight,
    "name": read_name,
    "tags": _read_tags,
}
_RUN_FIELDS: Mapping[str, _Reader] = {
    "timeout": _read_timeout,
    "backoff": _read_backoff,
    "max_rescues": _read_count,
    "plan": read_name,
    "skip_cache": _read_flag,
    "provider": read_name,
}
_NO_RUN_OPTIONS = RunOptions()
