"""What an app's code declares of whole queues and kinds, limits and orders, and making the store's equal to it."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypedDict

import msgspec

from windlass.declare.bounds import Cap, LimitRule, read_caps
from windlass.declare.keeping import KEEPS, Keep, keep_text, read_keep
from windlass.declare.keys import About, whole_key
from windlass.declare.pricing import Price, Tariff, read_price
from windlass.declare.rates import RateLike
from windlass.declare.refusal import refusal
from windlass.declare.reviving import DeadRetries, read_dead_retries
from windlass.declare.suggest import did_you_mean
from windlass.errors import InvalidOption
from windlass.store.protocol import Store
from windlass.values.clock import Duration, Micros, micros
from windlass.values.limit import QUEUE, LimitChange
from windlass.values.query import Swap
from windlass.values.queue import ORDERS, Order, QueueChange, check_name

log = logging.getLogger("windlass")

DECLARED = "declared"
"""The space of records that say what each app's code has declared, so that what it no longer declares is taken back."""
PINNED = "pinned-queues"
"""The space of records that keep the queues whose order an operator has set: code leaves them alone."""

_SHORTEST = 0.001


class QueueOptions(TypedDict, total=False):
    """Options of `app.queue(...)`. `burst`: of the rate; `ageing`: what a point of priority is worth, in an `ageing` queue;
    `price`, `dead_retries`: of its jobs whose kinds say nothing of their own; `keep`: how long its jobs that ended stay."""

    rate_limit: RateLike
    concurrency: int
    burst: int
    order: Order
    ageing: Duration
    price: Price
    dead_retries: DeadRetries
    keep: Keep


class QueueRule(msgspec.Struct, frozen=True):
    """What code says of a queue. `place`: the module that says so."""

    cap: Cap
    order: Order | None = None
    ageing: Micros | None = None
    place: str = ""
    price: Tariff | None = None
    ladder: tuple[Micros, ...] | None = None
    keep: Keep | None = None


class _Record(msgspec.Struct, frozen=True):
    keys: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()


class Capacity:
    """Whole queues and kinds of one app. `owner` marks what it wrote, so that it takes back nobody else's."""

    def __init__(self, owner: Callable[[], str]) -> None:
        self._owner = owner
        self.queues: dict[str, QueueRule] = {}
        self.caps: dict[str, Cap] = {}
        self._wholes: dict[str, dict[str, Cap]] = {}

    def queue(self, name: str, given: Mapping[str, Any], place: str) -> None:
        """Declare a queue; the same module may say it anew. Raises `InvalidOption`."""
        name = check_name(name, "queue")
        rule = read_queue(given, place)
        other = self.queues.get(name)
        if other is not None and other.place != place:
            raise InvalidOption(
                f"the queue {name!r} is declared by {other.place} and by {place}",
                field="queue",
                value=name,
                limit="declared once",
                mend="declare it in one place",
            )
        self._settle({**self.queues, name: rule}, self._wholes)

    def kind(self, kind: str, queue: str, rules: tuple[LimitRule, ...]) -> None:
        """What a kind's limits say of its whole queue and of itself; raises `InvalidOption` if others say otherwise."""
        own: dict[str, Cap] = {}
        for rule in rules:
            key = whole_key(rule, About(kind, queue))
            if key is not None:
                own[key] = _joined(own.get(key, Cap()), rule.cap, key)
        if own or kind in self._wholes:
            self._settle(self.queues, {**self._wholes, kind: own})

    async def deploy(self, store: Store, *, sweep: bool) -> None:
        """Write what is declared where the store's differs and nobody has pinned it. `sweep`: also take back what this app's
        code declared once and does not any more."""
        record = _Record(
            tuple(sorted(self.caps)),
            tuple(sorted(n for n, rule in self.queues.items() if rule.order)),
            tuple(sorted(n for n, rule in self.queues.items() if rule.keep)),
        )
        gone = _Record()
        if sweep:
            gone = await self._swept(store, record)
        if self.caps or gone.keys:
            await self._put_limits(store, gone.keys)
        if self.queues or gone.queues:
            await self._put_queues(store, gone.queues)
        if record.keeps or gone.keeps:
            await self._put_keeps(store, gone.keeps)

    async def _swept(self, store: Store, now: _Record) -> _Record:
        """What was declared before and is no more; from here on the record says what is declared now."""
        owner = self._owner()
        there = await store.records(DECLARED, [owner])
        text = there[0].text if there else None
        before = msgspec.json.decode(text, type=_Record) if text else _Record()
        if before != now:
            written = msgspec.json.encode(now).decode() if now != _Record() else None
            await store.exchange([Swap(space=DECLARED, key=owner, text=written)])
        return _Record(
            tuple(key for key in before.keys if key not in now.keys),
            tuple(name for name in before.queues if name not in now.queues),
            tuple(name for name in before.keeps if name not in now.keeps),
        )

    async def _put_limits(self, store: Store, gone: tuple[str, ...]) -> None:
        infos = {info.key: info for info in await store.limits([*self.caps, *gone])}
        changes: list[LimitChange] = []
        for key, cap in self.caps.items():
            info = infos.get(key)
            if info is not None and info.pinned:
                log.info("the limit %s was set by an operator; what the code declares stays aside", key)
            elif info is None or (info.concurrency, info.rate) != (cap.concurrency, cap.rate):
                changes.append(LimitChange(key=key, concurrency=cap.concurrency, rate=cap.rate))
        changes += [LimitChange(key=key, drop=True) for key in gone if key in infos and not infos[key].pinned]
        if changes:
            await store.put_limits(changes, f"deploy:{self._owner()}")

    async def _put_queues(self, store: Store, gone: tuple[str, ...]) -> None:
        pinned = {record.key for record in await store.records(PINNED)}
        infos = {info.name: info for info in await store.queues()}
        wanted: dict[str, QueueChange] = {
            name: QueueChange(order=rule.order, ageing=rule.ageing)
            for name, rule in self.queues.items()
            if rule.order is not None
        }
        wanted |= {name: QueueChange(order="strict") for name in gone if name in infos}
        for name, change in wanted.items():
            info = infos.get(name)
            same = info is not None and info.order == change.order and change.ageing in (None, info.ageing)
            if name not in pinned and not same:
                await store.put_queue(name, change, f"deploy:{self._owner()}")

    async def _put_keeps(self, store: Store, gone: tuple[str, ...]) -> None:
        there = {record.key: record.text for record in await store.records(KEEPS)}
        wanted = {name: keep_text(rule.keep) for name, rule in self.queues.items() if rule.keep is not None}
        swaps = [Swap(space=KEEPS, key=name, text=text) for name, text in wanted.items() if there.get(name) != text]
        swaps += [Swap(space=KEEPS, key=name, text=None) for name in gone if name in there and name not in wanted]
        if swaps:
            await store.exchange(swaps)

    def _settle(self, queues: dict[str, QueueRule], wholes: dict[str, dict[str, Cap]]) -> None:
        caps = {QUEUE + name: rule.cap for name, rule in queues.items() if rule.cap != Cap()}
        for own in wholes.values():
            for key, cap in own.items():
                caps[key] = _joined(caps.get(key, Cap()), cap, key)
        self.queues, self._wholes, self.caps = queues, wholes, caps


def read_queue(given: Mapping[str, Any], place: str = "") -> QueueRule:
    """The checked options of a queue; raises `InvalidOption`."""
    for name in given:
        if name not in QueueOptions.__annotations__:
            hint = did_you_mean(name, QueueOptions.__annotations__)
            raise InvalidOption(f"unknown option {name!r} of a queue{hint}", field=name, mend="correct its name")
    rate, burst = given.get("rate_limit"), given.get("burst")
    if burst is not None and rate is None:
        raise refusal("burst", burst, "given with rate_limit=", "leave it out")
    cap, plans = read_caps(given.get("concurrency"), rate, burst, "concurrency", "rate_limit")
    if plans is not None:
        raise refusal(
            "queue", list(plans), "under one limit for all plans", "limit by user: per_user_concurrency={...}"
        )
    order = given.get("order")
    ageing = given.get("ageing")
    price, ladder, keep = given.get("price"), given.get("dead_retries"), given.get("keep")
    return QueueRule(
        cap,
        read_order(order, ageing),
        None if ageing is None else read_ageing(ageing),
        place,
        None if price is None else read_price(price),
        None if ladder is None else read_dead_retries(ladder),
        None if keep is None else read_keep(keep),
    )


def read_order(order: Any, ageing: object = None) -> Order | None:
    """A checked order; `ageing=` alone means an ageing queue."""
    if order is None:
        return None if ageing is None else "ageing"
    if order not in ORDERS:
        raise refusal("order", order, "|".join(ORDERS), "use 'strict'")
    if ageing is not None and order != "ageing":
        raise refusal("ageing", ageing, "given with order='ageing'", "leave it out")
    return order


def read_ageing(ageing: Duration) -> Micros:
    """How long a job waits for what one point of priority is worth."""
    return micros(ageing, "ageing", minimum=_SHORTEST)


def _joined(one: Cap, other: Cap, key: str) -> Cap:
    for name in ("concurrency", "rate"):
        ours, theirs = getattr(one, name), getattr(other, name)
        if ours is not None and theirs is not None and ours != theirs:
            raise InvalidOption(
                f"{key} is declared with two limits: {name} {ours!r} and {theirs!r}",
                field=name,
                value=repr(theirs),
                limit=f"one {name} for {key}",
                mend="declare it in one place, with app.queue(...) or at one kind",
            )
    return Cap(
        other.concurrency if one.concurrency is None else one.concurrency,
        other.rate if one.rate is None else one.rate,
    )
