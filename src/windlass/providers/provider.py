"""Providers: services outside that jobs call, each with a circuit breaker shared by all workers and a price per call."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Concatenate, ParamSpec, Protocol, TypeAlias, TypeVar, cast
from weakref import WeakKeyDictionary

import msgspec

from windlass.declare.refusal import refusal
from windlass.providers.breaker import Call, Numbers
from windlass.providers.breakers import Desk
from windlass.running.capture import CONTEXT, CURRENT
from windlass.store.protocol import Store
from windlass.values.clock import SECOND, Duration, Micros, micros
from windlass.values.failure import Category, Rule, classify, message_of, retry_after, safe_text
from windlass.values.outcome import RateLimited, Signal
from windlass.values.queue import check_name

P = ParamSpec("P")
R = TypeVar("R")

Cost: TypeAlias = float | Callable[[Any], float]

_EVERY = 0.25
"""Seconds for which calls that went well are gathered before they are counted in the store."""
_LONGEST_ERROR = 300
_SHORTEST = 0.001
_FINAL = (Category.PERMANENT, Category.HELD)


class Provider(msgspec.Struct, frozen=True):
    """A service outside. `cost`: US dollars per call that succeeded, or a function of its answer.

    Its breaker opens when `failure_share` of at least `least_calls` calls in `window` failed with an error of category
    `provider`, or `in_a_row` did; it stays open for `pause`, then lets one probe through, and waits twice as long after each
    probe that fails, up to `longest_pause`.
    """

    name: str
    cost: Cost = 0.0
    failure_share: float = 0.5
    least_calls: int = 10
    window: Duration = "60s"
    in_a_row: int = 5
    pause: Duration = "30s"
    longest_pause: Duration = "10m"

    def numbers(self) -> Numbers:
        """The breaker's numbers, checked."""
        share = self.failure_share
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share <= 1:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise refusal("provider.failure_share", share, "above 0, up to 1", "use 0.5 for half of the calls")
        pause = micros(self.pause, "provider.pause", minimum=_SHORTEST)
        longest = micros(self.longest_pause, "provider.longest_pause", minimum=_SHORTEST)
        if longest < pause:
            raise refusal(
                "provider.longest_pause", self.longest_pause, f"at least the pause, {self.pause!r}", "raise it"
            )
        return Numbers(
            float(share),
            _count(self.least_calls, "provider.least_calls"),
            micros(self.window, "provider.window", minimum=_SHORTEST),
            _count(self.in_a_row, "provider.in_a_row"),
            pause,
            longest,
        )

    def price(self, answer: Any) -> float:
        """What a call that brought `answer` cost."""
        return float(self.cost(answer) if callable(self.cost) else self.cost)


class App(Protocol):
    """What a chain asks of an app, for calls that are made outside a worker."""

    async def store(self) -> Store: ...


class _Attempt(Protocol):
    """A running attempt, as far as a chain looks at it."""

    @property
    def store(self) -> Store | None: ...


class Chain:
    """Providers in the order in which they are tried. For handlers of `async def`.

    A call goes to the first provider whose breaker lets it, and to the next one when it fails, except with an error that is
    permanent: that one is the caller's. Failures of category `provider` count for the breakers, a rate limit that says how
    long it lasts shuts the provider's gate for that long. What a successful call cost is added by `ctx.cost`.
    `errors`: what exceptions mean, as in `@app.job(errors=...)`. `app`: whose store is asked where no worker runs.
    """

    def __init__(
        self, providers: Sequence[Provider | str], *, errors: Rule | None = None, app: App | None = None
    ) -> None:
        if isinstance(providers, (str, bytes, Provider)) or not isinstance(providers, Sequence) or not providers:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise refusal("providers", providers, "a list of providers", "use Chain([Provider('a'), Provider('b')])")
        self.providers: tuple[Provider, ...] = tuple(read_provider(given) for given in providers)
        names = [provider.name for provider in self.providers]
        if len({*names}) < len(names):
            raise refusal("providers", names, "different providers", "name each once")
        self._numbers = {provider.name: provider.numbers() for provider in self.providers}
        self._errors = errors
        self._app = app
        self._desks: WeakKeyDictionary[Store, Desk] = WeakKeyDictionary()
        self._flushed = 0.0

    async def call(
        self, fn: Callable[Concatenate[Provider, P], Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """`await fn(provider, *args, **kwargs)` of the first provider that answers.

        Raises the last provider's error when all fail, and `RateLimited`, which puts the job off without spending an attempt,
        when none may be called now.
        """
        desk = await self._desk()
        shut: dict[str, Micros] = {}
        last: Exception | None = None
        for provider in self.providers:
            opens = await desk.admit(provider.name) if desk else None
            if opens is not None:
                shut[provider.name] = opens
                continue
            began = await desk.now() if desk else 0
            try:
                answer = await fn(provider, *args, **kwargs)
            except Exception as error:
                if isinstance(error, Signal) and not isinstance(error, RateLimited):
                    if desk is not None:
                        await desk.withdraw(provider.name)
                    raise
                if await self._failed(desk, provider, began, error) in _FINAL:
                    raise
                last = error
                continue
            await self._went_well(desk, provider, began, answer)
            return answer
        if last is not None:
            raise last
        assert desk is not None
        wait = max(0.0, (min(shut.values()) - await desk.now()) / SECOND)
        raise RateLimited(f"no provider may be called now: {', '.join(shut)}", after=wait)

    async def _failed(self, desk: Desk | None, provider: Provider, began: Micros, error: Exception) -> Category:
        limited = isinstance(error, RateLimited)
        category = Category.RATE_LIMIT if limited else classify(error, self._errors)
        if desk is not None:
            wait = error.after if limited else retry_after(error)
            if category in (Category.PROVIDER, Category.HELD):  # no answer is no better than a bad one
                desk.note(provider.name, Call(False, began, describe_error(error)))
            elif category is Category.RATE_LIMIT and wait is not None:
                desk.note_limit(provider.name, wait)
            if category not in (Category.PROVIDER, Category.HELD):
                await desk.withdraw(provider.name)
            if desk.pending:
                await desk.flush()
        return category

    async def _went_well(self, desk: Desk | None, provider: Provider, began: Micros, answer: Any) -> None:
        spender = CONTEXT.get()
        if spender is not None:
            spender.cost(provider.price(answer))
        if desk is None:
            return
        desk.note(provider.name, Call(True, began))
        now = time.monotonic()
        if desk.urgent or now - self._flushed >= _EVERY:
            self._flushed = now
            await desk.flush()

    async def _desk(self) -> Desk | None:
        attempt = cast("_Attempt | None", CURRENT.get())
        store = None if attempt is None else attempt.store
        if store is None and self._app is not None:
            store = await self._app.store()
        if store is None:
            return None
        desk = self._desks.get(store)
        if desk is None:
            desk = self._desks[store] = Desk(store, self._numbers.__getitem__)
        return desk


def read_provider(given: object) -> Provider:
    """A checked provider: its name, or `Provider(...)`."""
    provider = given if isinstance(given, Provider) else Provider(check_name(given, "provider"))
    check_name(provider.name, "provider")
    provider.numbers()
    cost = provider.cost
    if not callable(cost) and (isinstance(cost, bool) or not isinstance(cost, (int, float)) or not 0 <= cost < 1e9):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise refusal("provider.cost", cost, "dollars of at least 0, or a function of the answer", "use cost=0.002")
    return provider


def describe_error(error: BaseException) -> str:
    """An error in one line, for people who look at a breaker."""
    return safe_text(f"{type(error).__name__}: {message_of(error)}".split("\n")[0], _LONGEST_ERROR)


def _count(value: object, field: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1_000_000:
        return value
    raise refusal(field, value, "1..1000000", "use a whole number in that range")
