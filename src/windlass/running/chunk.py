"""Chunk handlers: what a handler sees that takes many jobs of its kind in one call, each with an end of its own."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args, get_origin, overload

import msgspec

from windlass.declare.refusal import refusal
from windlass.declare.signature import read_hints
from windlass.errors import InvalidOption, NoResult
from windlass.values.clock import seconds

if TYPE_CHECKING:
    from windlass.running.context import Context

T = TypeVar("T")
R = TypeVar("R")

MOST_CHUNK = 1_000
LONGEST_WAIT = 10.0
DEFAULT_WAIT = 0.05
ITEM = "item"
"""The name of the one parameter that the jobs of a chunk handler have."""


class ChunkRule(msgspec.Struct, frozen=True):
    """At most `size` jobs a call; a call starts when they are there, or `wait` seconds after the first came."""

    size: int
    wait: float


class Item(Generic[T, R]):
    """One job of a chunk. It ends when it is marked, once: later marks of it mean nothing."""

    __slots__ = ("_ctx", "_end", "_open", "attempt", "id", "settled", "value")

    def __init__(
        self,
        id: str,
        attempt: int,
        value: T,
        open_context: "Callable[[], Context]",
        end: "Callable[[Item[Any, Any], Any, BaseException | None], None]",
    ) -> None:
        self.id = id
        self.attempt = attempt
        self.value = value
        self.settled = False
        """Whether it has ended: marked, or cancelled meanwhile."""
        self._open = open_context
        self._end = end
        self._ctx: Context | None = None

    def done(self, result: R) -> None:
        """This job is completed. One whose result is no JSON fails by itself."""
        if not self.settled:
            self.settled = True
            self._end(self, result, None)

    def fail(self, error: BaseException) -> None:
        """This attempt failed, as if a handler of its own had raised `error` (`Retry`, `Fail`, `Snooze`, any exception)."""
        if not self.settled:
            self.settled = True
            self._end(self, None, error)

    @property
    def ctx(self) -> "Context":
        """The job's own context, for `progress`, `log` and `enqueue`. It has no steps."""
        if self._ctx is None:
            self._ctx = self._open()
            self._ctx.refuse_steps("a job in a chunk has no steps: one that slept would end the call of all")
        return self._ctx

    def close(self) -> None:
        """The call is over."""
        if self._ctx is not None:
            self._ctx.close_now()

    def __repr__(self) -> str:
        return f"<Item {self.id} {'settled' if self.settled else 'open'}>"


class Chunk(Sequence[Item[T, R]], Generic[T, R]):
    """The jobs of one call, in the order in which they were claimed. `T`: what each was enqueued with; `R`: its result."""

    __slots__ = ("_is_stopping", "_items")

    def __init__(self, items: Sequence[Item[T, R]], is_stopping: Callable[[], bool]) -> None:
        self._items = list(items)
        self._is_stopping = is_stopping

    @property
    def values(self) -> list[T]:
        """What the jobs were enqueued with."""
        return [item.value for item in self._items]

    @property
    def open(self) -> list[Item[T, R]]:
        """The jobs that have not ended yet."""
        return [item for item in self._items if not item.settled]

    @property
    def cancelled(self) -> bool:
        """Whether the call was asked to stop; jobs not marked then are given back."""
        return self._is_stopping()

    def done(self, result: Any = None) -> None:
        """Complete all that are open."""
        for item in self.open:
            item.done(result)

    def results(self, results: Sequence[R | BaseException]) -> None:
        """Mark all with these, in order; an exception fails its job. Handlers may return the list instead."""
        if len(results) != len(self._items):
            raise NoResult(
                f"the handler gave {len(results):,} results for {len(self._items):,} jobs",
                marked=len(results),
                jobs=len(self._items),
            )
        for item, result in zip(self._items, results, strict=True):
            if isinstance(result, BaseException):
                item.fail(result)
            else:
                item.done(result)

    @overload
    def __getitem__(self, index: int) -> Item[T, R]: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item[T, R]]: ...
    def __getitem__(self, index: int | slice) -> Item[T, R] | list[Item[T, R]]:
        return self._items[index]

    def __iter__(self) -> Iterator[Item[T, R]]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)


def take_results(chunk: Chunk[Any, Any], value: Any) -> None:
    """What a chunk handler returned: None, or a result for each job."""
    if value is None:
        return
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise NoResult(
            f"the handler returned {type(value).__name__}: a chunk handler returns a list with a result for each job, or "
            "None when it has marked each with item.done(...) or item.fail(...)",
            marked=len(chunk) - len(chunk.open),
            jobs=len(chunk),
        )
    chunk.results(value)  # pyright: ignore[reportUnknownArgumentType]


def missing(chunk: Chunk[Any, Any]) -> NoResult:
    """The error of the jobs that are open although the handler has returned."""
    marked = len(chunk) - len(chunk.open)
    return NoResult(
        f"the handler returned without a result for this job (it marked {marked:,} of {len(chunk):,}): call item.done(...) "
        "or item.fail(...) for each, chunk.done() for the rest, or return a list",
        marked=marked,
        jobs=len(chunk),
    )


def read_chunk(given: Mapping[str, Any]) -> ChunkRule | None:
    """The checked options `chunk` and `chunk_wait` of a kind."""
    size, wait = given.get("chunk"), given.get("chunk_wait")
    if size is None:
        if wait is not None:
            raise refusal("chunk_wait", wait, "given together with chunk", "say how many jobs a call takes: chunk=100")
        return None
    if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= MOST_CHUNK:
        raise refusal("chunk", size, f"1..{MOST_CHUNK}", "use a whole number in that range")
    if given.get("runtime") == "process":
        raise refusal("runtime", "process", "async or thread for a chunk handler", "start processes from a thread")
    for other in ("slice", "cache"):
        if given.get(other) is not None:
            raise refusal("chunk", size, f"given without {other}", "leave one of them out")
    seconds_ = DEFAULT_WAIT if wait is None else seconds(wait, "chunk_wait")
    if seconds_ > LONGEST_WAIT:
        raise refusal("chunk_wait", wait, f"at most {LONGEST_WAIT:g} seconds", "the jobs are leased while they wait")
    return ChunkRule(size, seconds_)


def item_parameter(
    fn: Callable[..., Any], parameters: Sequence[inspect.Parameter], takes_context: bool, kind: str
) -> inspect.Parameter:
    """The parameter of the kind's jobs; raises `InvalidOption` if the handler takes anything but a `Chunk[T, R]`."""
    hint = read_hints(fn).get(parameters[0].name, Any) if len(parameters) == 1 and not takes_context else None
    if hint is None or not (hint is Any or (get_origin(hint) or hint) is Chunk):
        raise InvalidOption(
            f"{kind} is a chunk handler; it must take one parameter, a Chunk, and nothing else",
            field="chunk",
            value=kind,
            limit="async def f(chunk: Chunk[T, R])",
            mend="give each job's values as one value: a dataclass, a dict or a tuple",
        )
    return inspect.Parameter(ITEM, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def chunk_hints(fn: Callable[..., Any]) -> dict[str, Any]:
    """The types of a chunk handler's jobs: of their parameter, and what they return."""
    hints = read_hints(fn)
    hints.pop("return", None)
    item, result = get_args(next(iter(hints.values()), None)) or (Any, Any)
    return {ITEM: item, "return": result}


__all__ = [
    "Chunk",
    "ChunkRule",
    "Item",
    "chunk_hints",
    "item_parameter",
    "missing",
    "read_chunk",
    "take_results",
]
