"""Windlass: the app. It registers handlers, enqueues their jobs, and opens the store."""

import contextlib
import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import AbstractAsyncContextManager
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeAlias, TypeVar, Unpack, cast, overload

from windlass.declare.handler import (
    AsyncCtxHandler,
    AsyncHandler,
    Decorate,
    Handler,
    SyncCtxHandler,
    SyncHandler,
    make_handler,
)
from windlass.declare.kinds import KindInfo, Kinds
from windlass.declare.named import NamedHandler
from windlass.declare.options import HandlerOptions
from windlass.declare.ranking import PriorityRule, read_rules
from windlass.errors import DuplicateKind, InvalidOption, StoreError
from windlass.flowcontrol.cache import Cached, ResultCache, look_up
from windlass.flowcontrol.capacity import Capacity, QueueOptions
from windlass.flowcontrol.limits import Limits
from windlass.flowcontrol.quota import Quotas
from windlass.operate.dead_letters import DeadLetters
from windlass.operate.effects import Effects
from windlass.operate.errors import Errors
from windlass.operate.hooks import EventName, Hooks
from windlass.operate.views import Jobs, Queues
from windlass.operate.watching import Watching
from windlass.produce.joining import Joining
from windlass.produce.producer import check_job, read_jobs
from windlass.produce.ref import JobRef, make_ref
from windlass.produce.results import value_of
from windlass.providers.breakers import Breakers
from windlass.providers.provider import Provider
from windlass.schedules.timetable import DeclareOptions, H, Timetable, calling_module
from windlass.schedules.view import Schedules
from windlass.secrecy.door import Secrecy
from windlass.secrecy.ring import Keys
from windlass.secrecy.veil import Veil
from windlass.settings import SettingFlags, Settings, load_settings
from windlass.store.protocol import Store, Transaction
from windlass.stores import Stores
from windlass.sync import Sync
from windlass.values.clock import Duration, seconds
from windlass.values.job import Enqueued, Job, NewJob
from windlass.values.lease import WorkerInfo
from windlass.workflows.flow import WorkflowRef
from windlass.workflows.view import Workflows
from windlass.workflows.workflow import Node, parents_first

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from windlass.alerts.view import Alerts
    from windlass.api.authentication import HostCallback
    from windlass.api.settings import ApiFlags
    from windlass.declare.shapes import AsyncIterHandler, IterHandler
    from windlass.operate.templates import Templates
    from windlass.running.context import Context
    from windlass.webhooks.view import Webhooks
    from windlass.worker.worker import Worker

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

Around: TypeAlias = "Callable[[Context, Callable[[], Awaitable[Any]]], Awaitable[Any]]"
AroundSync: TypeAlias = "Callable[[Context, Callable[[], Any]], Any]"
Opener: TypeAlias = Callable[[], AbstractAsyncContextManager[Any]]


class Middleware(list[F]):
    """What wraps every attempt, the first one outermost; calling it adds one, so it is a decorator."""

    def __call__(self, fn: F) -> F:
        self.append(fn)
        return fn


class Windlass(Watching):
    """A job queue: `Windlass("sqlite:///jobs.db")`. Without a URL the environment decides (see `windlass.settings`).

    Opens its store at first use, one handle per event loop; `async with app` closes it at the end.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        namespace: str | None = None,
        encryption: Keys | None = None,
        **settings: Unpack[SettingFlags],
    ) -> None:
        self.settings: Settings = load_settings({**settings, "url": url, "namespace": namespace})
        self.handlers: dict[str, Handler[..., Any]] = {}
        self.around: Middleware[Around] = Middleware()
        self.around_sync: Middleware[AroundSync] = Middleware()
        self.resources: dict[str, Opener] = {}
        self.stores = Stores(self.settings.url, self.settings.namespace)
        self.kinds = Kinds(self, self.handlers, accept=self.settings.unknown_kinds == "accept")
        self.providers: dict[str, Provider] = {}
        self.breakers = Breakers(self.store, lambda name: self.provider_of(name).numbers())
        self.cache = ResultCache(self.store, self.kinds)
        self._priority_rules: tuple[PriorityRule, ...] = ()
        self.ruled: bool = False
        """Whether there are priority rules for every kind: looked at for each job that is made."""
        self.jobs = Jobs(self.store, lambda: self.secrecy)
        self.queues = Queues(self.store)
        self.effects = Effects(self.store)
        self.joining = Joining(self)
        self.workflows = Workflows(self)
        self.schedules = Schedules(self.store, self._submit_copy)
        self.timetable = Timetable(calling_module(2))
        self.capacity = Capacity(lambda: self.timetable.owner)
        self.quotas = Quotas()
        self.limits = Limits(self)
        self.hooks = Hooks()
        self.dead_letters = DeadLetters(self)
        self.errors = Errors(self)
        self.sync = Sync(self)
        self.secrecy = Secrecy(self.store, encryption or self.settings.encryption_keys, self._veil_of)
        self.args_limit: int = self.settings.args_limit
        self.result_limit: int = self.settings.result_limit

    @cached_property
    def webhooks(self) -> "Webhooks":
        """Endpoints that are told what happens."""
        from windlass.webhooks.view import Webhooks  # a producer never needs it

        return Webhooks(self)

    @cached_property
    def templates(self) -> "Templates":
        """Jobs by name, with arguments and options that are kept."""
        from windlass.operate.templates import Templates

        return Templates(self)

    @cached_property
    def alerts(self) -> "Alerts":
        """Rules that watch, channels that are told."""
        from windlass.alerts.view import Alerts  # mail and TLS come with it

        return Alerts(self)

    @property
    def url(self) -> str:
        """The store's address, password included."""
        return self.stores.url

    @property
    def namespace(self) -> str:
        """The part of the store that is this app's."""
        return self.stores.namespace

    # declaring

    @property
    def priority_rules(self) -> tuple[PriorityRule, ...]:
        """The rules for jobs of every kind: `app.priority_rules = [PriorityRule("urgent", Priority.HIGH, tags="urgent")]`.
        The kind's own rules are looked at too; the highest priority wins, and one given with `options(priority=)` beats all."""
        return self._priority_rules

    @priority_rules.setter
    def priority_rules(self, rules: Iterable[PriorityRule]) -> None:
        self._priority_rules = read_rules(rules)
        self.ruled = bool(self._priority_rules)

    @overload
    def job(  # type: ignore[overload-overlap]
        self, fn: "Callable[Concatenate[Context, P], AsyncIterator[T]]", /
    ) -> "AsyncIterHandler[P, T]": ...
    @overload
    def job(  # type: ignore[overload-overlap]
        self, fn: "Callable[Concatenate[Context, P], Generator[T, Any, R]]", /
    ) -> "IterHandler[P, R, T]": ...
    @overload
    def job(self, fn: "Callable[Concatenate[Context, P], Iterator[T]]", /) -> "IterHandler[P, None, T]": ...  # type: ignore[overload-overlap]
    @overload
    def job(  # type: ignore[overload-overlap]
        self, fn: "Callable[Concatenate[Context, P], Coroutine[Any, Any, R]]", /
    ) -> AsyncCtxHandler[P, R]: ...
    @overload
    def job(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncHandler[P, R]: ...  # type: ignore[overload-overlap]
    @overload
    def job(self, fn: "Callable[Concatenate[Context, P], R]", /) -> SyncCtxHandler[P, R]: ...
    @overload
    def job(self, fn: Callable[P, R], /) -> SyncHandler[P, R]: ...
    @overload
    def job(self, /, **options: Unpack[HandlerOptions]) -> Decorate: ...
    def job(self, fn: Callable[..., Any] | None = None, /, **options: Unpack[HandlerOptions]) -> Any:
        """Make a function a job kind: `@app.job` or `@app.job(queue="email", ...)`. It stays callable.

        Raises `InvalidOption`, and `DuplicateKind` when another function has the kind.
        """
        if fn is not None:
            return self._register(fn, options)

        def decorate(fn: Callable[..., Any]) -> Handler[..., Any]:
            return self._register(fn, options)

        return decorate

    def declare(
        self, name: str, params: Sequence[str] | None = None, **options: Unpack[HandlerOptions]
    ) -> Handler[..., Any]:
        """A kind that other programs run, so that this one can enqueue it; `params` None takes any arguments."""
        return self._counted(self.kinds.declare(name, params, options))

    def queue(self, name: str, **options: Unpack[QueueOptions]) -> None:
        """Limits and the order of a whole queue: `app.queue("email", rate_limit="100/m", concurrency=10, order="fair")`.

        Written to the store by `async with app` and by workers when they start, unless an operator has pinned it. Raises
        `InvalidOption`."""
        self.capacity.queue(name, options, calling_module(2))

    def schedule(self, cron: str | None = None, **options: Unpack[DeclareOptions]) -> Callable[[H], H]:
        """Run a job again and again: `@app.schedule("0 6 * * *", timezone="Europe/Berlin")` above `@app.job`; also `every="5m"`,
        `at=datetime`. Workers write it to the store when they start. Raises `ScheduleError`, `InvalidOption`, `InvalidArgs`."""
        return self.timetable.declare(cron, options)

    def on(
        self,
        *events: EventName,
        queue: str | Sequence[str] | None = None,
        kind: str | Sequence[str] | None = None,
    ) -> Callable[[F], F]:
        """Call a function, async or plain, in the worker when something happened to a job and the store has accepted it:
        `@app.on("failed", queue="email")`. It gets a `JobEvent`. Best effort: a worker that dies tells nobody (webhooks and
        follow-up jobs are the durable way). Raises `InvalidOption`."""
        return self.hooks.on(events, queue, kind)

    def resource(self, fn: F) -> F:
        """A resource that each worker opens once: an async generator that yields it, or an async context manager function.
        Handlers reach it as `ctx.resource("<name>")`."""
        if not callable(fn):  # pyright: ignore[reportUnnecessaryComparison]
            raise InvalidOption(f"{fn!r} is not a function", field="resource", mend="decorate an async generator")
        opener = contextlib.asynccontextmanager(fn) if inspect.isasyncgenfunction(fn) else fn
        self.resources[fn.__name__] = cast(Opener, opener)
        return fn

    # enqueueing

    @overload
    async def enqueue(self, handler: Handler[P, R], /, *args: P.args, **kwargs: P.kwargs) -> JobRef[R]: ...
    @overload
    async def enqueue(self, handler: str, /, *args: Any, **kwargs: Any) -> JobRef[Any]: ...
    async def enqueue(self, handler: Any, /, *args: Any, **kwargs: Any) -> JobRef[Any]:
        """Store one job of a handler, or of a kind by name; raises `UnknownKind` with suggestions, `InvalidArgs`."""
        return await self.enqueue_any(handler, args, kwargs)

    async def enqueue_many(
        self, jobs: Iterable[NewJob[R]], *, atomic: bool = True, connection: Any = None
    ) -> list[JobRef[R]]:
        """Store many jobs, references in the same order. Atomic: all or nothing, up to 10,000 jobs or 16 MB.

        `atomic=False` takes any number, also from a generator, and stores them in chunks; an error then says how many
        jobs were stored (`error.stored`).
        `connection`: in its open transaction, like `handler.options(connection=...)`.
        """
        every = self._bound([check_job(job) for job in read_jobs(jobs)]) if atomic else _Tee(read_jobs(jobs))
        if isinstance(every, list) and any(job.after for job in every):
            parents_first(every)  # refuses circles, whose jobs would wait for ever
        connection = self.joining.here() if connection is None else connection
        if connection is not None:
            joined = await self.joining.put_many(connection, every, atomic)
            return [make_ref(answer.id, job.kind, answer.created, self) for job, answer in joined]
        producer = (await self.stores.here()).producer
        if isinstance(every, list):
            found = await self._answered(every)
            answers = await producer.atomic(await self.admitted(found.jobs))
            kinds: Iterable[str] = [job.kind for job in every]
            known: Collection[str] = found.answered
        else:
            known = every.known
            answers = await producer.stream(every, self._answerer(every))
            kinds = every.kinds
        return [
            make_ref(answer.id, kind, answer.created, self, bool(known) and answer.id in known)
            for kind, answer in zip(kinds, answers, strict=True)
        ]

    async def run(self, workflow: Node[R], *, connection: Any = None) -> WorkflowRef[R]:
        """Store a workflow in one atomic call, up to 10,000 jobs or 16 MB, and return its reference at once. `connection`: in its
        open transaction, like `handler.options(connection=...)`."""
        return await self.workflows.run(workflow, connection)

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """On SQLite: `async with app.transaction() as tx:` commits `tx.execute(...)` on your tables in the same file together
        with the jobs enqueued in the block, or nothing of it when the block raises. It may last a second: nobody else can
        write meanwhile. Elsewhere `InvalidOption`: use `handler.options(connection=...)` on a connection of your own."""
        return self.joining.transaction()

    def kind(self, name: str) -> Handler[..., Any]:
        """A kind by name, for its options: `app.kind("add").options(delay="5m").enqueue(3, b=4)`. One that this app does
        not know is looked up in the store when it is enqueued."""
        return self.kinds.here(name) or NamedHandler(self, name)

    def ref(self, job: JobRef[R] | str) -> JobRef[R]:
        """A reference of this app to a job by its id, or from a reference that has travelled."""
        if isinstance(job, str):
            return make_ref(job, "", True, self)
        return make_ref(job.id, job.kind, job.created, self)

    # running

    def worker(
        self,
        queues: Sequence[str] | None = None,
        *,
        concurrency: int | None = None,
        threads: int | None = None,
        processes: int | None = None,
        lease: Duration | None = None,
        grace: Duration | None = None,
    ) -> "Worker":
        """A worker of this app: `await worker.run()` until `worker.stop()` or a signal. None leaves it to the settings."""
        from windlass.worker.worker import Worker  # a producer never needs it

        own = self.settings
        return Worker(
            self,
            queues=queues,
            concurrency=own.concurrency if concurrency is None else concurrency,
            threads=own.threads if threads is None else threads,
            processes=own.processes if processes is None else processes,
            lease=own.lease if lease is None else seconds(lease, "lease", minimum=1.0),
            grace=own.grace if grace is None else seconds(grace, "grace"),
        )

    def asgi(
        self,
        *,
        authenticate: "HostCallback | None" = None,
        development: bool = False,
        **settings: "Unpack[ApiFlags]",
    ) -> "ASGIApp":
        """The REST API as an ASGI application, to serve or to mount under any path: `host.mount("/queue", app.asgi())`.

        Closed: callers need an API key or a token (`jwt_secret=`, `jwks_url=`, ... or `WINDLASS_API_...`), or `authenticate`
        asks the host application who makes a request. `development` lets in what comes straight from this machine.
        """
        from windlass.api.asgi import make_asgi  # its libraries are an extra: windlass[api]

        return make_asgi(self, authenticate=authenticate, development=development, **settings)

    async def drain(self) -> int:
        """Run a worker here until nothing is runnable now; how many jobs it ran. Jobs of a later time stay."""
        return await self.worker().run(until_idle=True)

    async def workers(self) -> list[WorkerInfo]:
        """The workers that are alive."""
        return await (await self.store()).workers()

    async def publish_kinds(self) -> int:
        """Tell producers without this code about its kinds; how many were new or changed."""
        return await self.kinds.publish(await self.store())

    async def published_kinds(self) -> list[KindInfo]:
        """The kinds that apps and workers of this store have published."""
        return await self.kinds.published(await self.store())

    # opening and closing

    async def store(self) -> Store:
        """The running loop's store, opened if it is not."""
        return (await self.stores.here()).store

    def open_sibling(self) -> Store:
        """An unopened handle on the same store, for another thread's loop."""
        return self.stores.sibling()

    async def close(self) -> None:
        """Close the running loop's store; the next use opens it again."""
        await self.stores.close()

    async def __aenter__(self) -> Self:
        opened = await self.stores.here()
        opened.users += 1
        if opened.users == 1:
            # Publishing is a courtesy to producers elsewhere; a full or read-only store must still open.
            with contextlib.suppress(StoreError):
                await self.kinds.publish(opened.store)
                await self.capacity.deploy(opened.store, sweep=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        opened = await self.stores.here()
        opened.users -= 1
        if opened.users <= 0:
            await self.stores.close()

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Any = None) -> AsyncGenerator[None]:
        """An ASGI lifespan: `FastAPI(lifespan=app.lifespan)`."""
        async with self:
            yield

    # what handlers and references ask

    async def submit(self, job: NewJob[R]) -> JobRef[R]:
        """Store one job that `handler.job(...)` made."""
        joined = self.joining.here()
        if joined is not None:
            return await self.submit_on(job, joined)
        opened = await self.stores.here()
        job = check_job(job)
        if job.kind in self.secrecy.kinds:
            job = self.secrecy.bind(job)
        if job.kind in self.kinds.cached:
            (found, answered) = await self._answered([job])
            (job,) = await self.admitted(found)
            answer = await opened.producer.one(job)
            return make_ref(answer.id, job.kind, answer.created, self, answer.id in answered)
        if self.quotas.rules:
            (job,) = await self.admitted([job])
        answer = await opened.producer.one(job)
        return make_ref(answer.id, job.kind, answer.created, self)

    async def submit_on(self, job: NewJob[R], connection: Any) -> JobRef[R]:
        """The same inside the transaction of a connection."""
        (answer,) = await self.joining.put(connection, self._bound([check_job(job)]))
        return make_ref(answer.id, job.kind, answer.created, self)

    async def store_jobs(self, jobs: list[NewJob[Any]], connection: Any = None) -> list[Enqueued]:
        """Store jobs, all or nothing; inside the transaction of a connection, if one is given or open here."""
        connection = self.joining.here() if connection is None else connection
        jobs = self._bound(jobs)
        if connection is not None:
            return [answer for _, answer in await self.joining.put_many(connection, jobs, True)]
        found = await self._answered([check_job(job) for job in jobs])
        return await (await self.stores.here()).producer.atomic(await self.admitted(found.jobs))

    async def enqueue_any(self, handler: Handler[..., Any] | str, args: tuple[Any, ...], kwargs: Any) -> JobRef[Any]:
        """`enqueue`, with the call's arguments as they are."""
        if isinstance(handler, str):
            handler = await self.find_kind(handler)
        if not isinstance(handler, Handler):  # pyright: ignore[reportUnnecessaryIsInstance]
            shown = repr(handler)[:100]
            raise InvalidOption(
                f"{shown} is not a job; decorate the function with @app.job",
                field="handler",
                value=shown,
                limit="a decorated function, or the name of a kind",
                mend="decorate the function with @app.job",
            )
        return await handler.enqueue(*args, **kwargs)

    async def find_kind(self, name: str) -> Handler[..., Any]:
        """The handler of a kind by name, from the store if need be; raises `UnknownKind`."""
        return await self.kinds.find(name, await self.store())

    async def result_of(self, id: str, timeout: Duration | None = None) -> Any:
        """What a job returned, as its handler's return type where this app knows it."""
        limit = None if timeout is None else seconds(timeout, "timeout")
        job = await (await self.stores.here()).watcher.final(id, limit)
        handler = self.handlers.get(job.kind)
        value = value_of(self.secrecy.end_of(job))
        return value if handler is None else handler.result_from(value)

    async def job_of(self, id: str) -> Job:
        """One job; raises `JobNotFound`."""
        return await self.jobs.get(id)

    async def cancel_job(self, id: str) -> bool:
        """Cancel one job; False if it had ended."""
        return await self.jobs.cancel(id) > 0

    async def admitted(self, jobs: list[NewJob[Any]]) -> list[NewJob[Any]]:
        """The jobs as their users' submission rates let them be stored; raises `RateLimitExceeded`."""
        if not self.quotas.rules or not any(job.kind in self.quotas.rules for job in jobs):
            return jobs
        return await self.quotas.admit(await self.store(), jobs)

    def provider_of(self, name: str) -> Provider:
        """A provider as its kinds declare it; one that none describes has the usual numbers."""
        return self.providers.get(name) or Provider(name)

    async def _answered(self, jobs: list[NewJob[Any]]) -> Cached:
        """The jobs, those with their results whose kinds' caches know them."""
        cached = self.kinds.cached
        if not cached or not any(job.kind in cached for job in jobs):
            return Cached(jobs, frozenset())
        return await look_up(await self.store(), jobs, cached.get, self.secrecy.kinds)

    async def _submit_copy(self, job: NewJob[R]) -> JobRef[R]:
        return await self.submit(self.secrecy.bind(job))

    def _bound(self, jobs: list[NewJob[Any]]) -> list[NewJob[Any]]:
        """The jobs, those of encrypted kinds sealed for the ids that they have now."""
        return [self.secrecy.bind(job) for job in jobs] if self.secrecy.kinds else jobs

    def _veil_of(self, kind: str) -> Veil | None:
        handler = self.kinds.here(kind)
        return None if handler is None else handler.veil

    def _answerer(self, tee: "_Tee") -> Callable[[list[NewJob[Any]]], Awaitable[list[NewJob[Any]]]] | None:
        """What looks a stream's chunks up and counts them, if any kind has a cache or a submission rate."""
        if not self.kinds.cached and not self.quotas.rules:
            return None

        async def answer(jobs: list[NewJob[Any]]) -> list[NewJob[Any]]:
            found = await self._answered(jobs)
            tee.known |= found.answered
            return await self.admitted(found.jobs)

        return answer

    def _register(self, fn: Callable[..., Any], options: HandlerOptions) -> Handler[..., Any]:
        handler = make_handler(self, fn, options)
        other = self.handlers.get(handler.kind)
        if other is not None and _place(other.fn) != _place(fn):
            raise DuplicateKind(
                f"the kind {handler.kind!r} is declared by {_place(other.fn)} and by {_place(fn)}",
                kind=handler.kind,
                places=[_place(other.fn), _place(fn)],
                mend="give one of them another name with @app.job(kind=...)",
            )
        self._learn(handler.declared.provider)
        self._counted(handler)
        self.handlers[handler.kind] = handler
        self.kinds.remember_cache(handler)
        return handler

    def _counted(self, handler: Handler[..., Any]) -> Handler[..., Any]:
        """Remember what the kind's limits say of its whole queue and of itself."""
        self.capacity.kind(handler.kind, handler.queue, handler.declared.limits)
        return handler

    def _learn(self, provider: Provider | None) -> None:
        if provider is None or provider == Provider(provider.name):  # a name only, or the usual numbers
            return
        known = self.providers.setdefault(provider.name, provider)
        if known != provider:
            raise InvalidOption(
                f"the provider {provider.name!r} is described in two ways: {known!r} and {provider!r}",
                field="provider",
                value=provider.name,
                limit="one description",
                mend="describe it once, and name it elsewhere: provider='...'",
            )


class _Tee:
    """Remembers the kinds of jobs that pass, so that a stream needs not be kept."""

    def __init__(self, jobs: Iterable[NewJob[Any]]) -> None:
        self._jobs = jobs
        self.kinds: list[str] = []
        self.known: set[str] = set()

    def __iter__(self) -> Iterator[NewJob[Any]]:
        keep = self.kinds.append
        for job in self._jobs:
            keep(check_job(job).kind)
            yield job


def _place(fn: Any) -> str:
    return f"{getattr(fn, '__module__', '?')}:{getattr(fn, '__qualname__', repr(fn))}"
