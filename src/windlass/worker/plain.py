"""Running a `def` handler: context, middleware, handler, result; used by threads and by child processes."""

import contextvars
from collections.abc import Callable, Sequence
from typing import Any

from windlass.running.capture import CURRENT, flush_partial
from windlass.running.context import Context
from windlass.values.outcome import Finish
from windlass.worker.run import Run, raised_end

Open = Callable[[Run], Context]
Around = Callable[..., Any]


class PlainCall:
    """Runs attempts of `def` handlers to their `Finish`, in whatever thread or process calls it."""

    def __init__(self, open_context: Open, around: Sequence[Around], worker: str) -> None:
        self._open = open_context
        self._around = around
        self.worker = worker

    def do(self, run: Run) -> Finish | None:
        """Run the handler; everything it may raise becomes a finish."""
        try:
            value = contextvars.copy_context().run(self._call, run)
            result = None if value is None else run.handler.encode_result(value)
        except BaseException as error:
            return raised_end(run, error, self.worker)
        return run.completed(result)

    def _call(self, run: Run) -> Any:
        CURRENT.set(run)
        handler = run.handler
        try:
            args, kwargs = handler.decode(run.claim.args, run.rules.version)
            if not handler.takes_context and not self._around:
                return run.call(*args, **kwargs)
            ctx = self._open(run)
            try:
                value = call_around(self._around, ctx, run, args, kwargs)
            except BaseException as error:
                ctx.check_end(error)
                raise
            else:
                ctx.check_end(None)
                return value
            finally:
                ctx.close_now()
        finally:
            flush_partial(run)


def call_around(around: Sequence[Around], ctx: Context, run: Run, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A `def` handler with its context and the app's middleware around it, outermost first."""
    if run.handler.takes_context:
        args = (ctx, *args)

    def innermost() -> Any:
        return run.call(*args, **kwargs)

    call: Callable[[], Any] = innermost
    for middleware in reversed(around):
        call = _bind(middleware, ctx, call)
    return call()


def _bind(middleware: Around, ctx: Context, call: Callable[[], Any]) -> Callable[[], Any]:
    def bound() -> Any:
        return middleware(ctx, call)

    return bound
