"""Breakers in the store: the counting that all workers share, the gate that holds jobs back, and `app.breakers`."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Literal, NamedTuple, TypeAlias

import msgspec
from msgspec.structs import replace

from windlass.providers.breaker import Breaker, Call, Numbers, after, closed, opened, pause_of
from windlass.store.protocol import Store
from windlass.values.clock import SECOND, Duration, Micros, micros, moment
from windlass.values.failure import safe_text
from windlass.values.limit import PROVIDER, LimitChange, LimitInfo
from windlass.values.query import Record, Swap
from windlass.values.queue import check_name

log = logging.getLogger("windlass")

SPACE = "breaker"

OpenStore: TypeAlias = Callable[[], Awaitable[Store]]
NumbersOf: TypeAlias = Callable[[str], Numbers]

_KEPT = 30 * 86_400 * SECOND
"""A provider that nobody called for a month is forgotten."""
_TRIES = 50
_MOST_PENDING = 10_000
_PROBE = 60 * SECOND
"""How long a probe outside the line may take before another one may try; less where the breaker's pause is short."""
_SHORTEST_PROBE = 5 * SECOND
_LONGEST_ACTOR = 200

_READ = msgspec.json.Decoder(Breaker)


class BreakerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A provider's breaker as it stands. `opens_at`: when its gate lets jobs through again, None if it does now; a closed
    breaker's gate may be shut by a rate limit of the provider's. `calls`, `failures`: of its window. `running`: jobs that
    call it now; `waiting`: whether jobs wait because of it. `error`: the last failure."""

    name: str
    state: Literal["closed", "open", "half-open"]
    since: datetime | None
    opens_at: datetime | None
    calls: int
    failures: int
    in_a_row: int
    openings: int
    running: int
    waiting: bool
    error: str


class BreakerState(NamedTuple):
    """What an explanation says of a breaker."""

    state: Literal["closed", "open", "half-open"]
    error: str


async def states(store: Store, names: Sequence[str]) -> dict[str, BreakerState]:
    """The breakers of these providers; one that was never called is closed."""
    now = await store.now()
    found = {record.key: _breaker(record) for record in await store.records(SPACE, names)}
    return {
        name: BreakerState(_state(found.get(name, Breaker()), now), found.get(name, Breaker()).error) for name in names
    }


class Desk:
    """Counts calls for the breakers of a store. What is noted reaches the store with `flush`, many notes in one write."""

    def __init__(self, store: Store, numbers_of: NumbersOf) -> None:
        self._store = store
        self._numbers_of = numbers_of
        self._noted: dict[str, list[Call]] = {}
        self._limited: dict[str, float] = {}
        self._known: dict[str, tuple[Breaker, int]] = {}
        self._probing: set[str] = set()
        self._flushing = asyncio.Lock()
        self.urgent = False
        """A failure, or what a probe found, is among what was noted."""

    @property
    def pending(self) -> bool:
        """Whether there is anything to flush."""
        return bool(self._noted or self._limited)

    def note(self, name: str, call: Call) -> None:
        """A call of the provider ended."""
        calls = self._noted.setdefault(name, [])
        if len(calls) < _MOST_PENDING:  # a store that is away for long must not fill the memory
            calls.append(call)
        known = self._known.get(name)
        self.urgent = (
            self.urgent or not call.ok or name in self._probing or (known is not None and known[0].state == "open")
        )
        self._probing.discard(name)

    async def withdraw(self, name: str) -> None:
        """A probe ended in a way that says nothing of the provider: another call may be the probe at once."""
        if name not in self._probing:
            return
        self._probing.discard(name)
        self._known.pop(name, None)
        breaker, version = await self._read(name)
        if breaker.probing:
            await self._write(name, replace(breaker, probing=0), version)

    def note_limit(self, name: str, seconds: float) -> None:
        """The provider asked to be left alone for so long."""
        self._limited[name] = max(seconds, self._limited.get(name, 0.0))
        self.urgent = True

    def forget(self) -> None:
        """Drop what was noted."""
        self._noted.clear()
        self._limited.clear()
        self.urgent = False

    async def now(self) -> Micros:
        """The store's time."""
        return await self._store.now()

    async def flush(self) -> None:
        """Bring what was noted to the store; raises `StoreError`, and then it is still noted."""
        async with self._flushing:  # who waits here finds its own notes written, or writes them
            while self.pending:
                self.urgent = False
                for name in list(self._limited):
                    await self._shut(name, self._limited[name])
                    self._limited.pop(name, None)
                for name in list(self._noted):
                    calls = list(self._noted[name])
                    await self._count(name, calls)
                    rest = self._noted.pop(name, calls)[len(calls) :]
                    if rest:
                        self._noted[name] = rest

    async def admit(self, name: str) -> Micros | None:
        """When the provider may be called by somebody outside the line of jobs; None: now. Half-open it lets one through."""
        gates = await self._store.limits([PROVIDER + name])
        now = await self.now()
        if not gates:
            return None
        gate = gates[0]
        if gate.shut_until is not None and gate.shut_until > now:
            return gate.shut_until
        if gate.trial is None:
            return None
        return await self._probe(name, gate, now)

    async def _probe(self, name: str, gate: LimitInfo, now: Micros) -> Micros | None:
        breaker, version = await self._read(name)
        if breaker.state == "closed":
            return None
        if gate.held or breaker.probing > now:
            # Until the probe's time is over at the latest; it usually answers long before, so who asked looks again sooner.
            soon = now + max(self._numbers_of(name).pause, SECOND)
            return min(max(breaker.probing, now + SECOND), soon)
        patience = min(_PROBE, max(10 * self._numbers_of(name).pause, _SHORTEST_PROBE))
        record = await self._write(name, replace(breaker, probing=now + patience), version)
        if not record.swapped:
            return now + SECOND
        self._known[name] = (_breaker(record), record.version)
        self._probing.add(name)
        return None

    async def _count(self, name: str, calls: list[Call]) -> None:
        known = self._known.get(name)
        breaker, version = await self._read(name) if known is None else known
        now = await self.now()
        for _ in range(_TRIES):
            new = after(breaker, calls, now, self._numbers_of(name))
            if new == breaker and breaker.applied:
                return
            record = await self._write(name, new, version)
            if record.swapped:
                self._known[name] = (new, record.version)
                if new.state != breaker.state or new.openings != breaker.openings:
                    _tell(name, new, now)
                await self._apply(name, new, record.version)
                return
            breaker, version = _breaker(record), record.version
        log.warning("provider %s: %d calls could not be counted, too many workers write at once", name, len(calls))

    async def _apply(self, name: str, breaker: Breaker, version: int) -> None:
        """Make the gate say what the breaker says. Whoever finds one that was not applied (a crash between) does it again."""
        if not breaker.applied:
            self._known[name] = await apply(self._store, name, breaker, version)

    async def _shut(self, name: str, seconds: float) -> None:
        """A rate limit of the provider's: shut until then, unless it is shut for longer."""
        key, wait = PROVIDER + name, round(seconds * SECOND)
        now = await self.now()
        gates = await self._store.limits([key])
        until = gates[0].shut_until if gates else None
        if wait > 0 and (until is None or until < now + wait):
            trial = gates[0].trial if gates else None
            await self._store.put_limits([LimitChange(key=key, shut_for=wait, trial=trial)], None)

    async def _read(self, name: str) -> tuple[Breaker, int]:
        records = await self._store.records(SPACE, [name])
        return (_breaker(records[0]), records[0].version) if records else (Breaker(), 0)

    async def _write(self, name: str, breaker: Breaker, version: int) -> Record:
        (record,) = await self._store.exchange([_swap(name, breaker, version)])
        return record


class Breakers:
    """`app.breakers`: look at the providers' breakers and steer them."""

    def __init__(self, store: OpenStore, numbers_of: NumbersOf) -> None:
        self._store = store
        self._numbers_of = numbers_of

    async def list(self) -> "list[BreakerInfo]":
        """Every provider that was called lately or whose gate is known, by name."""
        store = await self._store()
        kept = {record.key: _breaker(record) for record in await store.records(SPACE)}
        gates = {gate.key.removeprefix(PROVIDER): gate for gate in await _gates(store, kept)}
        now = await store.now()
        return [self._info(name, kept.get(name, Breaker()), gates.get(name), now) for name in sorted({*kept, *gates})]

    async def get(self, name: str) -> BreakerInfo:
        """One provider's breaker; one that was never called is closed."""
        store = await self._store()
        records = await store.records(SPACE, [check_name(name, "provider")])
        gates = await store.limits([PROVIDER + name])
        breaker = _breaker(records[0]) if records else Breaker()
        return self._info(name, breaker, gates[0] if gates else None, await store.now())

    async def reset(self, name: str, *, actor: str = "app") -> BreakerInfo:
        """Close it: jobs of the provider run again at once, and counting starts anew."""
        store = await self._store()
        breaker = closed(await store.now())
        return await self._put(store, check_name(name, "provider"), breaker, actor)

    async def open(self, name: str, duration: Duration | None = None, *, actor: str = "app") -> BreakerInfo:
        """Open it for a while (default: as long as a failure would): its jobs wait, then one of them probes."""
        store = await self._store()
        numbers = self._numbers_of(check_name(name, "provider"))
        pause = pause_of(numbers, 0) if duration is None else micros(duration, "duration", minimum=0.001)
        breaker = opened(Breaker(), await store.now(), pause, f"opened by {safe_text(actor, _LONGEST_ACTOR)}")
        return await self._put(store, name, breaker, actor)

    async def _put(self, store: Store, name: str, breaker: Breaker, actor: str) -> BreakerInfo:
        (record,) = await store.exchange([_swap(name, breaker, None)])
        await apply(store, name, breaker, record.version, safe_text(actor, _LONGEST_ACTOR))
        return await self.get(name)

    def _info(self, name: str, breaker: Breaker, gate: LimitInfo | None, now: Micros) -> BreakerInfo:
        calls, failures = breaker.counted(now, self._numbers_of(name).window)
        shut = gate.shut_until if gate is not None else None
        return BreakerInfo(
            name=name,
            state=_state(breaker, now),
            since=moment(breaker.since) if breaker.since else None,
            opens_at=moment(shut) if shut is not None and shut > now else None,
            calls=calls,
            failures=failures,
            in_a_row=breaker.in_a_row,
            openings=breaker.openings,
            running=gate.held if gate is not None else 0,
            waiting=gate.waiting if gate is not None else False,
            error=breaker.error,
        )


async def apply(
    store: Store, name: str, breaker: Breaker, version: int, actor: str | None = None
) -> tuple[Breaker, int]:
    """Set the gate, then note that it is set, if the breaker still stands so; else set it as it stands by now: whoever is last
    has the newest, however slow somebody's change of the gate was."""
    for _ in range(_TRIES):
        await store.put_limits([gate_of(name, breaker, await store.now())], actor)
        done = replace(breaker, applied=True)
        (record,) = await store.exchange([_swap(name, done, version)])
        if record.swapped:
            return done, record.version
        breaker, version, actor = _breaker(record), record.version, None
    return breaker, version


def gate_of(name: str, breaker: Breaker, now: Micros) -> LimitChange:
    """What the gate of a provider must be for its breaker to hold."""
    if breaker.state == "closed":
        return LimitChange(key=PROVIDER + name, shut_for=None)
    return LimitChange(key=PROVIDER + name, shut_for=max(breaker.until - now, 1), trial=1)


async def _gates(store: Store, kept: dict[str, Breaker]) -> list[LimitInfo]:
    names = [PROVIDER + name for name in kept]
    known = {gate.key: gate for gate in await store.limits() if gate.key.startswith(PROVIDER)}
    for gate in await store.limits(names) if names else ():
        known[gate.key] = gate
    return list(known.values())


def _breaker(record: Record) -> Breaker:
    return _READ.decode(record.text) if record.text else Breaker()


def _state(breaker: Breaker, now: Micros) -> Literal["closed", "open", "half-open"]:
    if breaker.state == "closed":
        return "closed"
    return "open" if breaker.until > now else "half-open"


def _swap(name: str, breaker: Breaker, expect: int | None) -> Swap:
    text = msgspec.json.encode(breaker).decode()
    return Swap(space=SPACE, key=name, text=text, expect=expect, ttl=_KEPT)


def _tell(name: str, breaker: Breaker, now: Micros) -> None:
    if breaker.state == "closed":
        log.info("provider %s answers again: its breaker is closed", name)
    else:
        pause = (breaker.until - now) / SECOND
        log.warning("provider %s: its breaker is open for %g s; last failure: %s", name, pause, breaker.error)
