"""Handler: the typed face of a registered function, for producers (`enqueue`, `job`, `options`) and for the worker."""

import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator, Mapping, Sequence
from functools import partial, update_wrapper
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, Unpack, cast, overload

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from windlass.declare.bounds import fit_limits
from windlass.declare.keys import About, Arguments, JobLimits
from windlass.declare.options import (
    Asked,
    Declared,
    HandlerOptions,
    JobOptions,
    declare,
    first_start,
    join_edges,
    refine,
    run_text,
)
from windlass.declare.pricing import Tariff
from windlass.declare.ranking import PriorityRule, rank
from windlass.declare.refusal import refusal
from windlass.declare.signature import Binder, Bound, read_hints, read_parameters
from windlass.declare.whole import binder_of
from windlass.errors import InvalidArgs, InvalidOption
from windlass.flowcontrol.capacity import Capacity
from windlass.flowcontrol.quota import Quotas
from windlass.produce.ids import new_id
from windlass.produce.ref import JobRef
from windlass.running.chunk import chunk_hints, item_parameter
from windlass.running.iterable import generator_entry, is_generator, yields_async
from windlass.secrecy.door import Secrecy
from windlass.secrecy.marks import hides
from windlass.secrecy.veil import Veil
from windlass.values.clock import SECOND, Duration, Micros
from windlass.values.codec import convert, decoder, encode
from windlass.values.job import NewJob, Runtime
from windlass.values.limit import PROVIDER
from windlass.values.limit import Bound as UnderLimit
from windlass.values.outcome import Membership, RunOptions, RunRules
from windlass.workflows.inputs import bind_promises, promises_in

if TYPE_CHECKING:
    from windlass.declare.shapes import AsyncIterHandler, ChunkHandler, IterHandler
    from windlass.observe.costs import Estimate
    from windlass.running.chunk import Chunk
    from windlass.running.context import Context
    from windlass.settings import Settings
    from windlass.store.protocol import Store

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_RUN = msgspec.json.Decoder(RunOptions)
_MOST_RULES = 1_000
_ELSEWHERE = {
    "delay": "a job is stored by `await f.enqueue(...)`, later by `f.options(delay='5m').enqueue(...)`",
    "apply_async": "a job is stored by `await f.options(...).enqueue(...)`",
    "send": "a job is stored by `await f.enqueue(...)`",
}
"""What other queues call it."""


class Door(Protocol):
    """What a handler asks of its app."""

    @property
    def args_limit(self) -> int: ...

    @property
    def result_limit(self) -> int: ...

    @property
    def ruled(self) -> bool: ...

    @property
    def priority_rules(self) -> tuple[PriorityRule, ...]: ...

    @property
    def quotas(self) -> Quotas: ...

    @property
    def capacity(self) -> Capacity: ...

    @property
    def secrecy(self) -> Secrecy: ...

    settings: "Settings"

    async def store(self) -> "Store": ...

    async def submit(self, job: NewJob[Any]) -> JobRef[Any]: ...

    async def submit_on(self, job: NewJob[Any], connection: Any) -> JobRef[Any]: ...


class Effective(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker goes by for one job: the job's own run options over the kind's declaration."""

    timeout: float | None
    run: RunRules
    version: int
    plan: str | None = None
    child: bool = False
    inputs: Mapping[str, str] | None = None
    batch: Membership | None = None
    callback: str | None = None
    provider: str | None = None
    watched: bool = False
    """Its end is news for a cache or a breaker, or is to be sealed."""
    price: Tariff | None = None
    priced: bool = False
    """Its end has a price, or a ladder if it is a dead letter."""
    ends_early: bool = False
    """It has a deadline."""
    veil: Any = None
    """What is kept secret of it, a `Veil`; msgspec cannot name that."""


class Handler(Generic[P, R]):
    """A job kind. P: what `enqueue` takes, the function's parameters without ctx. R: what the function returns, awaited."""

    def __init__(self, door: Door, declared: Declared, binder: Binder, asked: Asked | None = None) -> None:
        self._door = door
        self._declared = declared
        self._binder = binder
        self._asked = asked or Asked(declared.job, RunOptions(version=declared.version), declared.unique)
        self._start = _start(self._asked, declared)
        self._unique = self._asked.unique
        self._limits = self._limits_of_jobs()
        self._veil: Veil | UnsetType | None = UNSET
        # Not known before the types have been read, which the first job does.
        self._varies = self._asks_arguments() or declared.encrypt or binder.secrets != ()
        self.kind: str = self._start.kind
        self.queue: str = self._start.queue
        self.runtime: Runtime = self._start.runtime
        self.version: int = declared.version
        self.fn: Callable[..., Any] | None = None
        self.entry: Callable[..., Any] | None = None
        """What workers call: the function, or what drives its generator."""
        self.iterates: bool = False
        self.chunked: bool = declared.chunk is not None
        self.takes_context: bool = False
        self._results: Callable[[Any], Any] | None = None
        self._rules: dict[str, Effective] = {}
        self.connection: Any = None
        self._unjoined: Handler[P, R] = self

    # for producers

    async def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobRef[R]:
        """Store one job of this kind; raises `InvalidArgs` naming the argument, `TooLarge`, `StoreError`."""
        job = self._unjoined.job(*args, **kwargs)
        if self.connection is None:
            return await self._door.submit(job)
        return await self._door.submit_on(job, self.connection)

    def job(self, *args: P.args, **kwargs: P.kwargs) -> NewJob[R]:
        """A job not yet stored, for `app.enqueue_many` and `after=`; checks its arguments like `enqueue`."""
        if self.connection is not None:
            raise InvalidOption(
                "connection= is for enqueue(); a job not yet stored belongs to no transaction",
                field="connection",
                limit="only before enqueue()",
                mend="give it to app.enqueue_many(jobs, connection=...) or app.run(workflow, connection=...)",
            )
        try:
            text = self._binder.bind(args, kwargs, self._door.args_limit)
        except InvalidArgs:
            if not promises_in(args, kwargs):
                raise
            return self._with_promises(args, kwargs)
        if not self._varies and not self._door.ruled:
            return cast("NewJob[R]", replace(self._start, id=new_id(), args=text))
        return self._vary(self._start, text, self._asked.run)

    def _with_promises(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> NewJob[R]:
        """A job that waits for the jobs whose results are its arguments."""
        text, inputs = bind_promises(self._binder, args, kwargs, self._door.args_limit)
        run = replace(self._asked.run, child=True, inputs=inputs)
        after = join_edges(self._start.after, inputs.values(), self._start.on_failure)
        return self._vary(replace(self._start, after=after, options=run_text(run)), text, run)

    def _asks_arguments(self) -> bool:
        """Whether jobs differ in more than their arguments."""
        asked = self._asked
        ruled = bool(self._declared.rules) and not asked.ranked
        return asked.unique is not None or ruled or self._limits is not None or _moves(asked, self._declared.deadline)

    def _limits_of_jobs(self) -> JobLimits | None:
        """What puts each job under its limits; None when the options alone have said it, or there are none."""
        declared, asked, start = self._declared, self._asked, self._start
        if declared.quota is not None:
            if asked.run.plan is not None:
                declared.quota.rate(asked.run.plan)  # an unknown plan is refused where it is named
            self._door.quotas.rules[start.kind] = declared.quota
        if not declared.limits and asked.cost is None:
            return None
        about = About(start.kind, start.queue, start.user, start.group, asked.run.plan)
        limits = JobLimits(declared.limits, about, asked.cost, lambda: self._door.capacity.caps)
        if limits.fixed is None:
            return limits
        self._start = replace(start, limits=(*start.limits, *limits.fixed))
        return None

    def _vary(self, start: NewJob[Any], text: str, run: RunOptions) -> NewJob[R]:
        """A job with what depends on its arguments and on the moment."""
        values: dict[str, Any] = msgspec.json.decode(text)
        changes: dict[str, Any] = {}
        veil = self.veil
        if self._unique is not None:
            changes["unique"] = self._unique.key_for(self.kind, values, None if veil is None else veil.digest)
        if not self._asked.ranked:
            rules = (*self._declared.rules, *self._door.priority_rules)
            ranked = rank(rules, self.kind, values, start.tags, run.plan, start.priority)
            if ranked is not None:
                changes["priority"] = ranked.priority
                changes["options"] = run_text(replace(run, rule=ranked.rule))
        if _moves(self._asked, self._declared.deadline):
            changes |= first_start(self._asked, self._declared.deadline)
        if self._limits is not None:
            arguments = Arguments(self._binder, text, run.inputs or ())
            arguments.hide = None if veil is None else veil.digest
            changes["limits"] = (*start.limits, *self._limits.bounds(arguments))
        job = replace(start, id=new_id(), args=text, **changes)
        if veil is None:
            self._varies = self._asks_arguments()
        else:
            job = replace(job, args=veil.seal_args(text, job))
        return cast("NewJob[R]", job)

    async def estimate(self, *, last: Duration = "24h") -> "Estimate":
        """What an attempt of this kind is likely to cost: by what those of the `last` while cost, else by its price."""
        from windlass.observe.costs import read_estimate

        handler = await self.found()
        return await read_estimate(await self._door.store(), handler, last, self._door.settings.currency)

    def options(self, **options: Unpack[JobOptions]) -> "Handler[P, R]":
        """A copy whose jobs carry these options; raises `InvalidOption` at once. The copy is not callable as a function."""
        return self._copy(options)

    def _copy(self, options: Mapping[str, Any]) -> "Handler[P, R]":
        connection = options.get("connection")
        asked = refine(self._asked, {name: value for name, value in options.items() if name != "connection"})
        copy = self._like(asked)
        if connection is None and self.connection is None:
            return copy
        joined = self._like(asked)
        joined.connection = self.connection if connection is None else connection
        joined._unjoined = copy
        return joined

    def _like(self, asked: Asked) -> "Handler[P, R]":
        copy: Handler[P, R] = Handler(self._door, self._declared, self._binder, asked)
        copy.entry, copy.iterates = self.entry, self.iterates
        copy.fn, copy.takes_context, copy._results = self.fn, self.takes_context, self._results
        return copy

    async def found(self) -> "Handler[P, R]":
        """This handler; of a kind known by name only, the one that the store tells of."""
        return self

    @property
    def unjoined(self) -> "Handler[P, R]":
        """The same without its connection, to make jobs with."""
        return self._unjoined

    @property
    def veil(self) -> Veil | None:
        """What is kept secret of the kind, None for nothing; reads its types at first use."""
        if self._veil is UNSET:
            whole, secrets = self._declared.encrypt, self._binder.read_secrets()
            result = self._results.is_secret if isinstance(self._results, _Results) else False
            self._veil = self._door.secrecy.veil(self.kind, whole=whole, fields=secrets, result=result)
        return self._veil

    # for workers

    def decode(self, args: str, version: int = 1) -> Bound:
        """Positional and keyword values for `fn` without ctx, from stored arguments of a payload version.

        Raises `InvalidArgs` when they do not fit, or when no `upcast` leads from `version` to this code's.
        """
        if version != self.version:
            args = self._upcast(args, version)
        return self._binder.decode(args)

    def encode_result(self, value: Any) -> str | None:
        """The JSON text of a result, None for None; raises `InvalidArgs` (fields are `result...`) or `TooLarge`."""
        return None if value is None else encode(value, "result", self._door.result_limit, "result")

    def result_from(self, value: Any) -> Any:
        """A stored result as the function's return type; as it is where the type cannot be rebuilt from JSON."""
        if value is None or self._results is None:
            return value
        try:
            return self._results(value)
        except (ValueError, TypeError, RecursionError):
            return value

    def rules(self, options: str) -> Effective:
        """What to go by for a job that carries `options` (its `RunOptions` as JSON text)."""
        found = self._rules.get(options)
        if found is None:
            if len(self._rules) >= _MOST_RULES:
                self._rules.clear()
            found = self._rules[options] = self._effective(_RUN.decode(options) if options else RunOptions())
        return found

    # for readers

    @property
    def declared(self) -> Declared:
        """The kind's checked declaration."""
        return self._declared

    @property
    def door(self) -> Door:
        """The app that declared the kind."""
        return self._door

    @property
    def binder(self) -> Binder:
        """The kind's parameters."""
        return self._binder

    if not TYPE_CHECKING:  # for type checkers a misspelt name is none

        def __getattr__(self, name: str) -> Any:
            mend = _ELSEWHERE.get(name)
            text = f"{type(self).__name__!r} object has no attribute {name!r}"
            raise AttributeError(f"{text}; {mend}" if mend else text, name=name, obj=self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.kind!r} on {self.queue!r}>"

    def _effective(self, own: RunOptions) -> Effective:
        declared = self._declared
        provider = own.provider or (declared.provider.name if declared.provider else None)
        veil = self.veil
        return Effective(
            veil=veil,
            timeout=declared.timeout if own.timeout is None else own.timeout,
            run=RunRules(
                backoff=declared.backoff if own.backoff is None else own.backoff,
                max_rescues=declared.max_rescues if own.max_rescues is None else own.max_rescues,
                errors=declared.errors,
                deadline=_deadline(declared, own),
                deadline_at=own.deadline_at,
            ),
            version=own.version,
            plan=own.plan,
            child=own.child,
            inputs=own.inputs,
            batch=own.batch,
            callback=own.callback,
            provider=provider,
            watched=provider is not None or declared.cache is not None or veil is not None,
            price=declared.price,
            priced=declared.price is not None or declared.ladder is not None,
            ends_early=own.deadline_at is not None or _deadline(declared, own) is not None,
        )

    def _upcast(self, args: str, version: int) -> str:
        given: dict[str, Any] = msgspec.json.decode(args)
        for step in range(version, self.version):
            raise_to_next = self._declared.upcast.get(step)
            if raise_to_next is None:
                raise self._wrong_version(version, f"declares no upcast from version {step}")
            given = raise_to_next(given)
        if version > self.version:
            raise self._wrong_version(version, "is older")
        return msgspec.json.encode(given).decode()

    def _wrong_version(self, version: int, why: str) -> InvalidArgs:
        return InvalidArgs(
            f"{self.kind}: the arguments are of payload version {version}; this code has version {self.version} and {why}",
            field="version",
            kind=self.kind,
            found=version,
            known=self.version,
            mend="add the upcast, or let newer workers run it",
        )


class AsyncHandler(Handler[P, R]):
    """The face of `async def f(...)`."""

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return await cast("Callable[P, Coroutine[Any, Any, R]]", self.fn)(*args, **kwargs)


class AsyncCtxHandler(Handler[P, R]):
    """The face of `async def f(ctx, ...)`."""

    async def __call__(self, ctx: "Context", /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await cast("Callable[..., Coroutine[Any, Any, R]]", self.fn)(ctx, *args, **kwargs)


class SyncHandler(Handler[P, R]):
    """The face of `def f(...)`."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return cast("Callable[P, R]", self.fn)(*args, **kwargs)


class SyncCtxHandler(Handler[P, R]):
    """The face of `def f(ctx, ...)`."""

    def __call__(self, ctx: "Context", /, *args: P.args, **kwargs: P.kwargs) -> R:
        return cast("Callable[..., R]", self.fn)(ctx, *args, **kwargs)


class Decorate(Protocol):
    """What `@app.job(...)` returns. The order matters: ctx before plain, coroutine before value, and what yields before all."""

    @overload
    def __call__(self, fn: "Callable[[Chunk[T, R]], object]", /) -> "ChunkHandler[T, R]": ...  # type: ignore[overload-overlap]
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, fn: "Callable[Concatenate[Context, P], AsyncIterator[T]]", /
    ) -> "AsyncIterHandler[P, T]": ...
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, fn: "Callable[Concatenate[Context, P], Generator[T, Any, R]]", /
    ) -> "IterHandler[P, R, T]": ...
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, fn: "Callable[Concatenate[Context, P], Iterator[T]]", /
    ) -> "IterHandler[P, None, T]": ...
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, fn: "Callable[Concatenate[Context, P], Coroutine[Any, Any, R]]", /
    ) -> AsyncCtxHandler[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncHandler[P, R]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, fn: "Callable[Concatenate[Context, P], R]", /) -> SyncCtxHandler[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> SyncHandler[P, R]: ...


def make_handler(door: Door, fn: Callable[..., Any], options: HandlerOptions) -> Handler[..., Any]:
    """The handler of a function; raises `InvalidOption` for what cannot be a job."""
    iterates = is_generator(fn)
    runtimes = _runtimes(fn)
    name = str(getattr(fn, "__name__", type(fn).__name__))
    declared = declare(name, runtimes, options, iterable=iterates)
    if declared.job.runtime == "process" and not _importable(fn):
        raise InvalidOption(
            f"runtime is 'process', but {name} cannot be imported by name in a child process",
            field="runtime",
            value="process",
            limit="a function at the top level of a module",
            mend="move it out of its surrounding function, or use runtime='thread'",
        )
    parameters, takes_context = read_parameters(fn)
    if iterates and not takes_context:
        raise _no_job(fn, "is a generator without ctx, so it could not go on from its cursor", "take ctx first")
    chunked = declared.chunk is not None
    if chunked:
        parameters = [item_parameter(fn, parameters, takes_context or iterates, declared.job.kind)]
    is_async = runtimes == ("async",)
    with_context, without = (AsyncCtxHandler, AsyncHandler) if is_async else (SyncCtxHandler, SyncHandler)
    face = _other_face(is_async, chunked) if iterates or chunked else with_context if takes_context else without
    hints = partial(chunk_hints if chunked else read_hints, fn)
    binder = binder_of(fn, declared.job.kind, parameters, hints)
    declared = replace(declared, limits=fit_limits(declared.limits, declared.job.kind, parameters))
    handler = cast("Any", face(door, declared, binder))
    handler.fn, handler.takes_context = fn, takes_context
    handler.entry, handler.iterates = generator_entry(fn, declared.slice) if iterates else fn, iterates
    handler._results = _Results(hints)
    update_wrapper(handler, fn, updated=())
    return handler


def kind_handler(door: Door, declared: Declared, binder: Binder) -> Handler[..., Any]:
    """The handler of a kind whose function lives elsewhere."""
    return Handler(door, declared, binder)


def any_parameters() -> list[inspect.Parameter]:
    """`(*args, **kwargs)`: what is accepted for a kind of which only the name is known."""
    rest = inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL)
    return [rest, inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)]


def _start(asked: Asked, declared: Declared) -> NewJob[Any]:
    """The job that every job made with these options is a copy of."""
    job = asked.job
    changes: dict[str, Any] = {"options": run_text(asked.run)}
    if not _moves(asked, declared.deadline):
        changes |= first_start(asked, declared.deadline)
    if asked.unique is not None and asked.unique.delay is not None:
        if job.delay is not None or job.run_at is not None:
            raise refusal("delay", "given", "left out where a unique key delays its jobs", "leave out one of the two")
        changes["delay"] = asked.unique.delay
    provider = asked.run.provider or (declared.provider.name if declared.provider else None)
    if provider is not None:
        changes["limits"] = (*job.limits, UnderLimit(PROVIDER + provider))
    return replace(job, **changes)


def _moves(asked: Asked, declared: Micros | None) -> bool:
    """Whether the latest start is a matter of the moment: a duration and a time have to be compared."""
    job, run = asked.job, asked.run
    if run.deadline_at is not None:
        return job.expires_in is not None
    return job.expires_at is not None and (run.deadline is not None or declared is not None)


def _deadline(declared: Declared, own: RunOptions) -> Micros | None:
    if own.deadline_at is not None:
        return None
    return declared.deadline if own.deadline is None else round(own.deadline * SECOND)


class _Results:
    """Converts results to a function's return type, read at first use."""

    def __init__(self, hints: Callable[[], Mapping[str, Any]]) -> None:
        self._hints = hints
        self._hint: Any = None

    def __call__(self, value: Any) -> Any:
        if self._hint is None:
            hint = self._hints().get("return", Any)
            try:
                decoder(hint)
            except (TypeError, ValueError):
                hint = Any
            self._hint = hint
        return value if self._hint is Any else convert(value, self._hint)

    @property
    def is_secret(self) -> bool:
        """Whether the function returns a `Secret`."""
        return hides(self._hints().get("return", Any))


def _runtimes(fn: Callable[..., Any]) -> Sequence[Runtime]:
    if not callable(fn):  # pyright: ignore[reportUnnecessaryComparison]
        raise _no_job(fn, "is not a function", "decorate a def")
    call: Any = type(fn).__call__  # of an object that is called like a function
    # The function itself decides, not what it wraps: a sync adaptor around a coroutine function is sync.
    is_async = yields_async(fn) or any(map(inspect.iscoroutinefunction, (fn, call)))
    return ("async",) if is_async else ("thread", "process")


def _other_face(is_async: bool, chunked: bool) -> type[Handler[..., Any]]:
    from windlass.declare.shapes import AsyncIterHandler, ChunkHandler, IterHandler  # they are handlers themselves

    return cast("Any", ChunkHandler if chunked else AsyncIterHandler if is_async else IterHandler)


def _no_job(fn: object, why: str, mend: str) -> InvalidOption:
    shown = repr(fn)[:100]
    return InvalidOption(f"{shown} {why}", field="fn", value=shown, limit="def or async def", mend=mend)


def _importable(fn: Callable[..., Any]) -> bool:
    name = str(getattr(fn, "__qualname__", "<"))
    return "<" not in name
