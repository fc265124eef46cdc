"""Jobs as clients describe them, and how a description becomes a `NewJob` that its caller may store."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from hashlib import sha256
from operator import attrgetter
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from windlass.api.operation import Call
from windlass.api.problems import Flaw, Problem, problem_of
from windlass.declare.handler import Handler
from windlass.declare.kinds import BUILT_IN
from windlass.declare.signature import REST
from windlass.declare.unique import LONGEST_KEY, Unique
from windlass.errors import InvalidArgs, UnknownKind, UnknownParent, WindlassError
from windlass.produce.ref import JobRef
from windlass.values.job import NewJob
from windlass.values.queue import HOUSE
from windlass.values.retry import exponential, fixed, linear
from windlass.values.schedule import DUE, TAG
from windlass.workflows.inputs import result_of
from windlass.workflows.workflow import HEAD

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:@/+\-]+$", min_length=1, max_length=200)]
JobId = Annotated[str, Meta(pattern=r"^[0-9A-Za-z\-]+$", min_length=1, max_length=64)]
Duration = (
    Annotated[float, Meta(ge=0, le=3_153_600_000, description="Seconds.")]
    | Annotated[
        str,
        Meta(pattern=r"^(\d{1,9}(\.\d{1,6})?(ms|s|m|h|d|w))+$", max_length=40, description="Such as 250ms, 30s, 5m."),
    ]
)
Instant = Annotated[datetime, Meta(tz=True)]
Priority = (
    Annotated[int, Meta(ge=-100, le=100, description="Higher runs first.")]
    | Literal["low", "normal", "high", "critical"]
)
_STEP = 500


class BackoffSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long to wait between attempts: `base`, growing by `factor` (exponential) or by itself (linear), never above `cap`."""

    shape: Literal["exponential", "linear", "fixed"] = "exponential"
    base: Duration = "2s"
    factor: Annotated[float, Meta(ge=1, le=100)] = 2.0
    cap: Duration = "5m"
    jitter: Annotated[float, Meta(ge=0, le=1)] = 0.2


class UniqueSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most one job at a time: by `key`, or by the arguments named in `args` (null: all). Held until it has `finished`, has
    `started`, or for a `period`. A second job is answered with the first, or (`replace`) gives it its arguments, or (`rerun`)
    runs behind one that has started. `delay` and `latest` make a debounce."""

    key: Annotated[str, Meta(min_length=1, max_length=400)] | None = None
    args: Annotated[tuple[Name, ...], Meta(max_length=50)] | None = None
    until: Literal["finished", "started"] = "finished"
    period: Duration | None = None
    on_conflict: Literal["existing", "skip", "replace", "rerun"] = "existing"
    delay: Duration | None = None
    latest: Duration | None = None


class JobOptionsSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """What is left out goes by the kind's own declaration. `on_failure`: what the failure of jobs it waits for does to it."""

    kind: Name
    args: dict[str, Any] = {}
    queue: Name | None = None
    priority: Priority | None = None
    delay: Duration | None = None
    run_at: Instant | None = None
    max_attempts: Annotated[int, Meta(ge=1, le=1_000)] | None = None
    backoff: BackoffSpec | None = None
    timeout: Duration | None = None
    max_rescues: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    expires: Duration | None = None
    expires_at: Instant | None = None
    deadline: Duration | None = None
    deadline_at: Instant | None = None
    skip_cache: bool | None = None
    provider: Name | None = None
    unique: UniqueSpec | None = None
    user: Name | None = None
    project: Name | None = None
    plan: Name | None = None
    group: Name | None = None
    weight: Annotated[int, Meta(ge=1, le=100)] | None = None
    cost: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    name: Name | None = None
    tags: Annotated[tuple[Name, ...], Meta(max_length=50)] | None = None
    on_failure: Literal["cancel", "run", "hold", "fail", "trigger"] | None = None


class JobSpec(JobOptionsSpec, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """A job to be made. `after`: ids of jobs it waits for."""

    after: Annotated[tuple[JobId, ...], Meta(max_length=1_000)] = ()


_PLAIN = (
    "queue", "delay", "run_at", "max_attempts", "timeout", "max_rescues", "skip_cache", "provider", "plan", "group",
    "weight", "cost", "name", "tags", "on_failure",
)  # fmt: skip
_PRIVILEGED = ("plan", "weight", "cost", "provider")
"""What decides how much a user gets: users cannot say it of themselves."""
_INTERNAL = (HEAD, TAG, DUE)


Known = dict[tuple[Any, ...], Handler[..., Any]]


class Handlers:
    """Handlers with options, by the kind's own handler, the caller and the options: checking options costs more than the rest of
    making a job, and most jobs of an installation have the same few."""

    MOST = 1_000

    def __init__(self) -> None:
        self._known: dict[tuple[Handler[..., Any], str], Known] = {}

    def of(self, found: Handler[..., Any], owner: str) -> Known:
        """Those of one kind and caller, by their options."""
        known = self._known.get((found, owner))
        if known is None:
            if len(self._known) >= self.MOST:
                self._known.clear()
            known = self._known[found, owner] = {}
        return known


class Maker:
    """Makes the jobs of one call. `find` looks kinds up, once each; after that making is plain work without waiting."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._found: dict[str, tuple[Handler[..., Any], Known] | UnknownKind] = {}

    async def find(self, kinds: Iterable[str]) -> None:
        """Look kinds up; unknown ones are refused by `make`."""
        for kind in dict.fromkeys(kinds):
            try:
                if kind.startswith(BUILT_IN):
                    raise UnknownKind(f"no handler and no worker names the kind {kind!r}", kind=kind)
                found = await self._call.app.find_kind(kind)
                self._found[kind] = (found, self._call.rooms.handlers.of(found, self._call.caller.owner))
            except UnknownKind as error:
                self._found[kind] = error

    async def one(self, spec: JobOptionsSpec, after: Iterable[str] = ()) -> NewJob[Any]:
        """Look up and make a single job."""
        await self.find([spec.kind])
        return self.make(spec, after)

    def make(
        self, spec: JobOptionsSpec, after: Iterable[str] = (), inputs: Mapping[str, str] | None = None
    ) -> NewJob[Any]:
        """The job of a description; raises `WindlassError` for what does not fit, `Problem` for what is not allowed."""
        handler = self._handler(spec)
        args, rest = spec.args, cast("list[Any]", [])
        if after:
            handler = handler.options(after=tuple(after))
        if REST in args:
            args = dict(args)
            rest = args.pop(REST)
        if "self" in args or not isinstance(rest, list):  # names that Python takes before the handler could refuse them
            raise InvalidArgs(f"{spec.kind}: there is no parameter of this name", field="self", kind=spec.kind)
        if inputs:
            args = {**args, **{name: result_of(JobRef[Any](id)) for name, id in inputs.items()}}
        job = handler.job(*rest, **args)
        return job if job.unique is None else _within_reach(self._call, job)

    def _handler(self, spec: JobOptionsSpec) -> Handler[..., Any]:
        found = self._found[spec.kind]
        if isinstance(found, UnknownKind):
            raise found
        own, known = found
        key = _options_of(spec)
        handler = known.get(key)
        if handler is None:
            if len(known) >= Handlers.MOST:
                known.clear()
            handler = known[key] = own.options(**read_options(self._call, spec))
        return handler


_options_of = attrgetter(*[name for name in JobOptionsSpec.__struct_fields__ if name not in ("kind", "args")])


def read_options(call: Call, spec: JobOptionsSpec) -> Any:
    """The options of `handler.options(...)`."""
    options: dict[str, Any] = {name: getattr(spec, name) for name in _PLAIN}
    options["priority"] = spec.priority
    for name in ("expires", "deadline"):
        within, at = getattr(spec, name), getattr(spec, f"{name}_at")
        if within is not None and at is not None:
            raise _unfit(f"/{name}_at", f"give {name} or {name}_at, not both")
        options[name] = at if within is None else within
    if spec.backoff is not None:
        options["backoff"] = _read_backoff(spec.backoff)
    if spec.unique is not None:
        options["unique"] = _read_unique(spec.unique)
    if spec.queue == HOUSE:
        raise _unfit("/queue", f"the queue {HOUSE!r} is Windlass's own: what fills it delays alerts and webhooks")
    for tag in spec.tags or ():
        if tag.startswith(_INTERNAL):
            raise _unfit("/tags", f"the tag {tag!r} is Windlass's own")
    options.update(_read_owner(call, spec))
    return options


def _read_owner(call: Call, spec: JobOptionsSpec) -> dict[str, str | None]:
    """Whose job it is, and on which plan. Callers with a reach of their own cannot make jobs beyond it."""
    reach = call.caller.reach
    given = [name for name in _PRIVILEGED if reach.user is not None and getattr(spec, name) is not None]
    if given:
        flaws = [Flaw("is not for users to say", "forbidden", f"/{name}") for name in given]
        raise Problem(403, "forbidden", f"{given[0]} is not for users to say", flaws=flaws)
    for name, own, asked in (("user", reach.user, spec.user), ("project", reach.project, spec.project)):
        if own is not None and asked not in (None, own):
            raise Problem(
                403, "out-of-reach", f"the {name} is not yours", flaws=[Flaw("not yours", "forbidden", f"/{name}")]
            )
    owner = {"user": reach.user or spec.user, "project": reach.project or spec.project}
    return owner if reach.user is None else {**owner, "plan": call.caller.plan}


def _read_backoff(spec: BackoffSpec) -> Any:
    if spec.shape == "fixed":
        return fixed(spec.base, jitter=spec.jitter)
    if spec.shape == "linear":
        return linear(spec.base, cap=spec.cap, jitter=spec.jitter)
    return exponential(spec.base, factor=spec.factor, cap=spec.cap, jitter=spec.jitter)


def _read_unique(spec: UniqueSpec) -> Unique:
    until = spec.until if spec.period is None else spec.period
    return Unique(
        key=spec.key,
        args=spec.args,
        until=until,
        on_conflict=spec.on_conflict,
        delay=spec.delay,
        latest=spec.latest,
    )


def _within_reach(call: Call, job: NewJob[Any]) -> NewJob[Any]:
    """A unique key of a caller with a reach of its own is unique there: it must neither tell of others' jobs nor change
    them."""
    reach = call.caller.reach
    if job.unique is None or reach.everything:
        return job
    key = f"{reach.project or ''}/{reach.user or ''}/{job.unique.key}"
    if len(key) > LONGEST_KEY:
        key = f"{reach.project or ''}/{sha256(key.encode()).hexdigest()}"[-LONGEST_KEY:]
    return replace(job, unique=replace(job.unique, key=key))


def _unfit(pointer: str, message: str) -> Problem:
    return Problem(422, "invalid-body", message, flaws=[Flaw(message, "invalid", pointer)])


async def check_parents(call: Call, ids: Collection[str]) -> None:
    """Refuse parents out of reach as if they did not exist: their results would be their children's to read."""
    wanted = list(dict.fromkeys(ids))
    if call.caller.reach.everything:
        return  # the store itself refuses what does not exist
    store = await call.app.store()
    for start in range(0, len(wanted), _STEP):
        part = tuple(wanted[start : start + _STEP])
        page = await store.jobs(call.caller.reach.of(part), limit=_STEP)
        missing = set(part) - {job.id for job in page.items}
        if missing:
            parent = next(id for id in part if id in missing)
            raise UnknownParent(f"there is no job {parent!r} to wait for", parent=parent)


def placed(error: Exception, pointer: str) -> Problem:
    """The problem of one of several jobs, with its place in the body."""
    if isinstance(error, WindlassError):
        return problem_of(error, pointer)
    if not isinstance(error, Problem):
        raise error
    flaws = [replace(flaw, pointer=pointer + flaw.pointer) for flaw in error.flaws if flaw.pointer is not None]
    return Problem(error.status, error.code, error.detail, flaws=flaws or [Flaw(error.detail, error.code, pointer)])
