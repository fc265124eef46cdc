"""The typed faces of handlers whose function is a generator (an iterable job) or takes a chunk of jobs."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

from windlass.declare.handler import Handler

if TYPE_CHECKING:
    from windlass.running.chunk import Chunk
    from windlass.running.context import Context

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class AsyncIterHandler(Handler[P, None], Generic[P, T]):
    """The face of `async def f(ctx, ...)` with `yield`."""

    def __call__(self, ctx: "Context", /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        return cast("Callable[..., AsyncGenerator[T, None]]", self.fn)(ctx, *args, **kwargs)


class IterHandler(Handler[P, R], Generic[P, R, T]):
    """The face of `def f(ctx, ...)` with `yield`; what it returns is the job's result."""

    def __call__(self, ctx: "Context", /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return cast("Callable[..., Generator[T, Any, R]]", self.fn)(ctx, *args, **kwargs)


class ChunkHandler(Handler[[T], R], Generic[T, R]):
    """The face of `def f(chunk: Chunk[T, R])`, async or not: jobs are enqueued with one `T`."""

    def __call__(self, chunk: "Chunk[T, R]", /) -> Any:
        return cast("Callable[..., Any]", self.fn)(chunk)


__all__ = ["AsyncIterHandler", "ChunkHandler", "IterHandler"]
