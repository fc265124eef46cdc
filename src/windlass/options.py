"""The options of jobs: what `@app.job(...)` declares and what `handler.options(...)` says for one job, read and checked."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any, Literal, TypeAlias, TypedDict, cast

import msgspec
from msgspec.structs import replace

from windlass.clock import Duration, instant, micros, seconds
from windlass.errors import InvalidOption
from windlass.failure import Category, Rule
from windlass.job import POLICIES, RUNTIMES, Edge, NewJob, OnFailure, Runtime, UniqueKey
from windlass.outcome import DEFAULT_RESCUES, RunOptions
from windlass.priority import check_priority
from windlass.queue import check_name
from windlass.ref import JobRef
from windlass.retry import Backoff, BackoffLike, RetryPolicy, check_attempts, read_policy
from windlass.suggest import did_you_mean

Upcast: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]
"""Turns the arguments of one payload version into those of the next."""

LONGEST_KEY = 500
_SHORTEST_TIMEOUT = 0.001


class Unique(msgspec.Struct, frozen=True, kw_only=True):
    """At most one job of this key at a time.

    The key is `key` (namespace-wide text) or the kind and its arguments `args` (None: all of them). Held `until` the job
    has "finished", is first "started", or for a duration whatever becomes of it. `on_conflict`: "existing" and "skip"
    answer with the holder (`created=False`); "replace" also gives a holder that has not started the new arguments.
    """

    args: tuple[str, ...] | None = None
    key: str | None = None
    until: Literal["finished", "started"] | Duration = "finished"
    on_conflict: Literal["existing", "skip", "replace"] = "existing"


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
    unique: str | Unique
    user: str
    project: str
    plan: str
    group: str
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
    unique: str | Unique
    version: int
    upcast: Mapping[int, Upcast]


class UniqueRule(msgspec.Struct, frozen=True):
    """A checked `Unique`: a fixed key, or the parameters whose values make it."""

    fixed: UniqueKey
    args: tuple[str, ...] | None
    by_args: bool

    def key_for(self, kind: str, values: Mapping[str, Any]) -> UniqueKey:
        """The key of one job; `values` are its arguments by parameter name, as JSON's plain values."""
        if not self.by_args:
            return self.fixed
        names = sorted(values) if self.args is None else self.args
        missing = [name for name in names if name not in values]
        if missing:
            raise _bad(
                "unique", missing[0], f"a parameter of {kind}", "name parameters of the handler in Unique(args=)"
            )
        text = msgspec.json.encode([values[name] for name in names], order="sorted")
        return replace(self.fixed, key=f"{kind}:{sha256(text).hexdigest()[:40]}")


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


class Asked(msgspec.Struct, frozen=True):
    """What one job will carry: the job without id and arguments, its run options, its unique rule."""

    job: NewJob[Any]
    run: RunOptions
    unique: UniqueRule | None
    on_failure: OnFailure = "cancel"


@lru_cache(maxsize=4096)
def _checked_name(value: str, field: str) -> str:
    return check_name(value, field)


def read_name(value: object, field: str) -> str:
    """`check_name`, remembering what was good."""
    return _checked_name(value, field) if isinstance(value, str) else check_name(value, field)


def declare(name: str, runtimes: Sequence[Runtime], given: Mapping[str, Any]) -> Declared:
    """The checked options of a kind whose function is called `name` and can run in `runtimes` (the first by default)."""
    _refuse_unknown(given, HandlerOptions.__annotations__)
    policy = _read_retry(given)
    runtime = given.get("runtime", runtimes[0])
    if runtime not in runtimes:
        why = "an async def runs in 'async'" if runtimes == ("async",) else "a def runs in 'thread' or 'process'"
        raise _bad("runtime", runtime, "|".join(RUNTIMES), why)
    expires = given.get("expires")
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
    unique = given.get("unique")
    version = _read_count(given.get("version", 1), "version", 1)
    return Declared(
        job=job,
        backoff=policy.backoff,
        timeout=_read_timeout(given.get("timeout")),
        errors=_read_rule(given.get("errors")),
        max_rescues=_read_count(given.get("max_rescues", DEFAULT_RESCUES), "max_rescues", 0),
        unique=None if unique is None else read_unique(unique),
        version=version,
        upcast=_read_upcast(given.get("upcast", {}), version),
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
    run = replace(run, **runs)
    changes["options"] = run_text(run)
    if "unique" in given:
        unique = read_unique(given["unique"])
    return Asked(replace(job, **changes), run, unique, on_failure)


def run_text(run: RunOptions) -> str:
    """The run options as a job carries them; empty for the kind's own."""
    return "" if run == _NO_RUN_OPTIONS else msgspec.json.encode(run).decode()


def read_unique(given: object) -> UniqueRule:
    """A checked unique declaration: text, or `Unique`."""
    if isinstance(given, str):
        given = Unique(key=given)
    if not isinstance(given, Unique):
        raise _bad("unique", given, "text or Unique(...)", "use unique='welcome:42'")
    if given.key is not None and given.args is not None:
        raise _bad("unique", given.key, "either key= or args=", "leave one of them out")
    until, ttl = "finished", None
    if given.until in ("finished", "started"):
        until = given.until
    else:
        until, ttl = "period", micros(given.until, "unique.until", minimum=0.001)
    if given.on_conflict not in ("existing", "skip", "replace"):
        raise _bad("unique.on_conflict", given.on_conflict, "existing|skip|replace", "use 'existing'")
    key = "" if given.key is None else _read_key(given.key)
    args = given.args
    if args is not None:
        args = (args,) if isinstance(args, str) else tuple(read_name(name, "unique.args") for name in args)
    fixed = UniqueKey(key=key, until=cast(Any, until), ttl=ttl, on_conflict=given.on_conflict)
    return UniqueRule(fixed, args, given.key is None)


def _read_key(key: object) -> str:
    if isinstance(key, str) and 0 < len(key) <= LONGEST_KEY and "\x00" not in key and _is_unicode(key):
        return key
    raise _bad("unique", key, f"1..{LONGEST_KEY} characters of Unicode text", "shorten it, or use Unique(args=...)")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read_retry(given: Mapping[str, Any]) -> RetryPolicy:
    retry = given.get("retry")
    if retry is not None and ("max_attempts" in given or "backoff" in given):
        raise _bad("retry", retry, "either retry= or max_attempts= and backoff=", "leave one of them out")
    if isinstance(retry, RetryPolicy):
        return retry
    if isinstance(retry, Mapping):
        return read_policy(cast("Mapping[str, Any]", retry))
    if retry is not None:
        raise _bad("retry", retry, "RetryPolicy or a dict", "use RetryPolicy(max_attempts=5)")
    settled = {name: given[name] for name in ("max_attempts", "backoff") if given.get(name) is not None}
    return RetryPolicy(**settled)


def _read_rule(rule: Any) -> Any:
    if rule is None or (callable(rule) and not isinstance(rule, Mapping)):
        return rule
    if not isinstance(rule, Mapping):
        raise _bad("errors", rule, "{exception class: category} or a callable", "use {ValueError: 'permanent'}")
    for cls, category in cast("Mapping[Any, Any]", rule).items():
        if not (isinstance(cls, type) and issubclass(cls, BaseException)):
            raise _bad("errors", cast(Any, cls), "exception classes as keys", "use {ValueError: 'permanent'}")
        if category not in list(Category):
            raise _bad("errors", category, "|".join(Category), f"name one of them for {cls.__name__}")
    return cast("Mapping[Any, Any]", rule)


def _read_upcast(given: Any, version: int) -> Mapping[int, Upcast]:
    if not isinstance(given, Mapping):
        raise _bad("upcast", given, "{version: function}", "use upcast={1: from_1_to_2}")
    steps = cast("Mapping[Any, Any]", given)
    for step, fn in steps.items():
        if not (isinstance(step, int) and 1 <= step < version and callable(fn)):
            raise _bad("upcast", step, f"versions from 1 to {version - 1} and functions", "raise version= with it")
    return dict(steps)


def _read_times(given: Mapping[str, Any], changes: dict[str, Any]) -> None:
    if "delay" in given and "run_at" in given:
        raise _bad("delay", given["delay"], "either delay= or run_at=", "leave one of them out")
    if "delay" in given:
        changes.update(delay=micros(given["delay"], "delay"), run_at=None)
    if "run_at" in given:
        changes.update(delay=None, run_at=instant(given["run_at"], "run_at"))
    if "expires" in given:
        when = given["expires"]
        at = isinstance(when, datetime)
        changes["expires_at"] = instant(when, "expires") if at else None
        changes["expires_in"] = None if at else micros(when, "expires")


def _read_edges(parents: Any, on_failure: OnFailure) -> tuple[Edge, ...]:
    if isinstance(parents, (str, JobRef, NewJob)) or not isinstance(parents, Sequence):
        raise _bad("after", cast(Any, parents), "a list of references, jobs or ids", "use after=[ref]")
    ids: dict[str, None] = {}
    for parent in cast("Sequence[Any]", parents):
        id: Any = cast("JobRef[Any] | NewJob[Any]", parent).id if isinstance(parent, (JobRef, NewJob)) else parent
        if not isinstance(id, str) or not id:
            raise _bad("after", id, "references, jobs or ids", "use after=[ref]")
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
    raise _bad("on_failure", value, "|".join(POLICIES), "use 'cancel'")


def _read_tags(value: Any, field: str = "tags") -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise _bad(field, value, "a list of names", "use tags=['urgent']")
    names = cast("Sequence[Any]", value)
    if len(names) > 50:
        raise _bad(field, len(names), "at most 50 tags", "use fewer")
    return tuple(dict.fromkeys(read_name(tag, "tags") for tag in names))


def _read_timeout(value: Any, field: str = "timeout") -> float | None:
    return None if value is None else seconds(value, field, minimum=_SHORTEST_TIMEOUT)


def _read_count(value: Any, field: str, least: int = 0) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= 1_000_000:
        return value
    raise _bad(field, value, f"{least}..1000000", "use a whole number in that range")


def _read_backoff(value: Any, field: str) -> Backoff:
    if isinstance(value, Backoff):
        return value
    raise _bad(field, value, "exponential(...), linear(...) or fixed(...)", "declare functions with @app.job(backoff=)")


def _refuse_unknown(given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    for name in given:
        if name not in known:
            raise InvalidOption(
                f"unknown option {name!r}{did_you_mean(name, known)}",
                field=name,
                value=repr(given[name])[:100],
                limit=sorted(known),
                mend="see the list of options",
            )


def _bad(field: str, value: object, limit: str, mend: str) -> InvalidOption:
    shown = repr(value)[:100]
    return InvalidOption(
        f"{field} is {shown}; it must be {limit}: {mend}", field=field, value=shown, limit=limit, mend=mend
    )


_Reader: TypeAlias = Callable[[Any, str], Any]
_FIELDS: Mapping[str, _Reader] = {
    "queue": read_name,
    "priority": check_priority,
    "max_attempts": check_attempts,
    "user": read_name,
    "project": read_name,
    "group": read_name,
    "name": read_name,
    "tags": _read_tags,
}
_RUN_FIELDS: Mapping[str, _Reader] = {
    "timeout": _read_timeout,
    "backoff": _read_backoff,
    "max_rescues": _read_count,
    "plan": read_name,
}
_NO_RUN_OPTIONS = RunOptions()
