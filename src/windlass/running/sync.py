"""`ctx.sync`: steps and effects for `def` handlers, in threads and in processes."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from windlass.running.effects import KEPT, Asked, BlockingEffect, Effect, InDoubt, Lookup, read_effect
from windlass.running.steps import Steps, through
from windlass.values.clock import Duration

P = ParamSpec("P")
R = TypeVar("R")


class Blocking:
    """`ctx.sync`: what `ctx` offers to `async def` handlers, for those that are a plain `def`."""

    __slots__ = ("_effect", "_steps")

    def __init__(self, steps: Callable[[], Steps], effect: Callable[[Asked], Effect]) -> None:
        self._steps = steps
        self._effect = effect

    def step(self, name: str, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `fn` once in the life of the job, and give what it returned then to every later run."""
        return through(self._steps().step(name, fn, args, kwargs))

    def sleep(self, duration: Duration) -> None:
        """End this run; the handler starts again from the top when the time has passed, and comes by here at once."""
        through(self._steps().sleep(duration))

    def wait_for(self, signal: str, timeout: Duration | None = None) -> Any:
        """The data of a signal to this job; until one comes, the run ends. Raises `SignalTimeout`."""
        return through(self._steps().wait_for(signal, timeout))

    def effect(
        self,
        name: str,
        key: str,
        request: Any = None,
        *,
        in_doubt: InDoubt = "hold",
        lookup: Lookup | None = None,
        epoch: int = 1,
        keep: Duration = KEPT,
    ) -> BlockingEffect:
        """`ctx.effect` for a plain `with`; `lookup` is a plain function too."""
        return BlockingEffect(self._effect(read_effect(name, key, request, in_doubt, lookup, epoch, keep)))


__all__ = ["Blocking"]
