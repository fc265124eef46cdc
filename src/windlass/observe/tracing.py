"""OpenTelemetry: a span for each enqueue, one for each attempt under it, whichever process runs that."""

from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from windlass.errors import SettingsError
from windlass.observe.carrying import carried, carrying
from windlass.running.context import Context
from windlass.values.outcome import Cancel, RateLimited, Snooze

try:
    from opentelemetry.propagate import extract, inject
    from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider, get_tracer
except ImportError as error:
    raise SettingsError("tracing needs OpenTelemetry", mend='pip install "windlass[otel]"') from error

if TYPE_CHECKING:
    from windlass.app import Windlass

Store: TypeAlias = Callable[..., Awaitable[Any]]

_STEERING = (Snooze, RateLimited, Cancel)
"""What handlers raise that is no failure."""


_sending: ContextVar[bool] = ContextVar("windlass_sending", default=False)


def trace_app(app: "Windlass", provider: TracerProvider | None = None) -> None:
    """Trace what the app enqueues and its attempts; `provider` None takes OpenTelemetry's global one. Call it once, where the
    app is made: workers and their child processes import that too."""
    tracing = Tracing(provider)
    app.around.insert(0, tracing.around)
    app.around_sync.insert(0, tracing.around_sync)
    # Put over the app's own methods, so that an app that is not traced does not even ask.
    for name, traced in (
        ("submit", tracing.one(app.submit)),
        ("submit_on", tracing.one(app.submit_on)),
        ("enqueue_many", tracing.many(app.enqueue_many)),
        ("store_jobs", tracing.many(app.store_jobs)),
    ):
        setattr(app, name, traced)


class Tracing:
    """What an app traces with. The attributes follow OpenTelemetry's conventions for messaging where those have a name."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._tracer = get_tracer("windlass", tracer_provider=provider)

    @contextmanager
    def sending(self, kind: str | None) -> Generator[Callable[[Any], Any]]:
        """A span around a call that stores jobs; what it gives makes jobs carry it. `kind` None: several."""
        attributes = {"messaging.system": "windlass", "messaging.operation.type": "send"}
        if kind is not None:
            attributes["windlass.kind"] = kind
        name = f"enqueue {kind}" if kind is not None else "enqueue"
        with self._tracer.start_as_current_span(name, kind=SpanKind.PRODUCER, attributes=attributes):
            carrier: dict[str, str] = {}
            inject(carrier)
            token = _sending.set(True)
            try:
                yield partial(carrying, carrier=carrier)
            finally:
                _sending.reset(token)

    def one(self, store: Store) -> Store:
        """What stores one job, with a span around it."""

        async def traced(job: Any, *args: Any, **kwargs: Any) -> Any:
            if _sending.get():
                return await store(job, *args, **kwargs)
            with self.sending(getattr(job, "kind", None)) as carry:
                return await store(carry(job), *args, **kwargs)

        return traced

    def many(self, store: Store) -> Store:
        """What stores several, with one span around them all."""

        async def traced(jobs: Any, *args: Any, **kwargs: Any) -> Any:
            # What is no collection of jobs is refused by what it is handed to.
            if _sending.get() or not isinstance(jobs, Iterable) or isinstance(jobs, str):
                return await store(jobs, *args, **kwargs)
            with self.sending(None) as carry:
                carried = map(carry, cast("Iterable[Any]", jobs))
                return await store(list(carried) if isinstance(jobs, list) else carried, *args, **kwargs)

        return traced

    async def around(self, ctx: Context, call: Callable[[], Awaitable[Any]]) -> Any:
        """Middleware of `async def` handlers."""
        with self._attempt(ctx):
            return await call()

    def around_sync(self, ctx: Context, call: Callable[[], Any]) -> Any:
        """Middleware of `def` handlers."""
        with self._attempt(ctx):
            return call()

    @contextmanager
    def _attempt(self, ctx: Context) -> Generator[None]:
        job = ctx.job
        attributes: dict[str, Any] = {
            "messaging.system": "windlass",
            "messaging.operation.type": "process",
            "messaging.destination.name": job.queue,
            "messaging.message.id": job.id,
            "windlass.kind": job.kind,
            "windlass.attempt": ctx.attempt,
            "windlass.max_attempts": job.max_attempts,
        }
        if job.workflow is not None:
            attributes["windlass.workflow"] = job.workflow
        with self._tracer.start_as_current_span(
            f"run {job.kind}",
            context=extract(carried(job.options)) if carried(job.options) else None,
            kind=SpanKind.CONSUMER,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            carrier: dict[str, str] = {}
            inject(carrier)
            ctx.carrier = carrier
            try:
                yield
            except BaseException as error:
                _tell(span, error)
                raise
            span.set_attribute("windlass.outcome", "complete")


def _tell(span: Span, error: BaseException) -> None:
    """How the attempt ended: a failure is an error, being steered or stopped is not."""
    if isinstance(error, Exception) and not isinstance(error, _STEERING):
        span.record_exception(error)
        span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
        span.set_attribute("windlass.outcome", "error")
        span.set_attribute("error.type", type(error).__qualname__)
    else:
        span.set_attribute("windlass.outcome", type(error).__name__.lower())
