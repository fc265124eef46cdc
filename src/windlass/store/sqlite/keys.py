"""Keys with their limits: rows, room, changes, and what operators see of them."""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import UNSET

from windlass.store.sqlite.meters import Meter, forget, reshape
from windlass.store.sqlite.transaction import Row, Tx, View, packed
from windlass.values.clock import Micros
from windlass.values.limit import GUARD, KIND, QUEUE, Bound, LimitChange, LimitInfo, Rate, Take, Taken

UNLIMITED = 1 << 60


def is_broad(key: str) -> bool:
    """Whether it holds for a whole queue or kind, named by the job or not."""
    return key.startswith((QUEUE, KIND))


class Key:
    """A limit at one instant. What a claim does to it stays in memory until `flush`."""

    def __init__(self, view: View, row: Row) -> None:
        (
            self.k,
            self.key,
            self.concurrency,
            n,
            window,
            burst,
            self.shut_until,
            self.trial,
            pinned,
            self.held,
            awake,
            self.timer,
        ) = row
        self.rate = None if n is None else Rate(n, window, burst)
        self.pinned, self.awake = bool(pinned), bool(awake)
        self._view = view
        self._meter: Meter | None = None
        self._changed = False

    @property
    def meter(self) -> Meter | None:
        if self._meter is None and self.rate is not None:
            self._meter = Meter(self._view, self.k, self.rate, GUARD)
        return self._meter

    @property
    def is_shut(self) -> bool:
        return self.shut_until is not None and self.shut_until > self._view.now

    @property
    def slots(self) -> int:
        """How many more may run at once."""
        left = UNLIMITED if self.concurrency is None else self.concurrency - self.held
        if self.trial is not None and self.shut_until is not None:
            left = min(left, self.trial - self.held)
        return max(left, 0)

    @property
    def room(self) -> int:
        if self.is_shut:
            return 0
        return self.slots if self.meter is None else min(self.slots, self.meter.left)

    def fits(self, cost: int) -> bool:
        return not self.is_shut and self.slots > 0 and (self.meter is None or self.meter.fits(cost))

    def opens(self, cost: int) -> Micros | None:
        """When a start of that cost could come as far as time decides; None if time does not hinder it."""
        times = [self.shut_until] if self.is_shut else []
        if self.meter is not None and not self.meter.fits(cost):
            times.append(self.meter.opens(cost))
        return max((at for at in times if at is not None), default=None)

    def take(self, cost: int) -> None:
        self.held += 1
        if self.meter is not None:
            self.meter.spend(cost)
        self._changed = True

    def wait(self, cost: int) -> None:
        """A line waits for it from now on. What time has closed, time opens."""
        at = self.opens(cost)
        if at is not None and (self.timer is None or at < self.timer):
            self.timer = at
            self._changed = True

    def sleep(self) -> None:
        """Nothing is to be looked at until room grows."""
        self.awake = False
        self._changed = True

    def flush(self, tx: Tx) -> None:
        if self._meter is not None:
            self._meter.flush(tx)
        if self._changed:
            tx.run("keep_limit", (self.k, self.held, self.awake, self.timer, tx.now))
            self._changed = False


def wake(tx: Tx, k: int) -> None:
    """Room may have grown: those who wait for it are to be looked at."""
    if tx.changed("wake_limit", (k,)):
        tx.topics.add("ready")


def give_back(tx: Tx, lines: Sequence[int]) -> None:
    """Jobs of these lines (one for each) run no more."""
    if not lines:
        return
    counts: dict[int, int] = {}
    for line in lines:
        counts[line] = counts.get(line, 0) + 1
    held: dict[int, int] = {}
    for line, keys in tx.rows("line_keys", (packed(list(counts)),)):
        for k in numbers(keys):
            held[k] = held.get(k, 0) + counts[line]
    for k, n in held.items():
        if tx.value("give_back_held", (k, n)):
            tx.topics.add("ready")


def numbers(keys: str) -> list[int]:
    """The limits' numbers of a line's `keys`."""
    return [int(each) for each in keys[1:-1].split(",")] if len(keys) > 2 else []


def bind(tx: Tx, bound: Bound, *, sets: bool) -> int:
    """The number of a bound's key; its row is made if there is none, and (`sets`) takes over the bound unless it is pinned."""
    row = tx.one("limit_named", (bound.key,))
    rate = bound.rate
    figures = (None, None, None) if rate is None else (rate.n, rate.window, rate.burst)
    if row is None:
        values = (bound.key, is_broad(bound.key), bound.concurrency, *figures, tx.now)
        return int(tx.value("add_limit", values))
    found = Key(tx, row)
    if sets and not found.pinned and (found.concurrency, found.rate) != (bound.concurrency, rate):
        reshape(tx, found.k, found.rate, rate)
        tx.run("set_limit", (found.k, bound.concurrency, *figures, found.shut_until, found.trial, False, tx.now))
        wake(tx, found.k)
    return found.k


def change(tx: Tx, changes: Iterable[LimitChange], actor: str | None) -> list[str]:
    """Apply an operator's changes; the new keys of whole queues and kinds, whose jobs are to be put into lines."""
    fresh: list[str] = []
    tx.let_flow()
    changes = list(changes)
    tx.tell("limit", [each.key for each in changes])
    for each in changes:
        row = tx.one("limit_named", (each.key,))
        if actor is not None:
            tx.audit(actor, "drop-limit" if each.drop else "put-limit", f"limit:{each.key}", _detail(each))
        if each.drop:
            if row is not None:
                _drop(tx, row[0])
            continue
        if row is None:
            tx.value("add_limit", (each.key, is_broad(each.key), None, None, None, None, tx.now))
            row = tx.one("limit_named", (each.key,))
            if is_broad(each.key):
                fresh.append(each.key)
        assert row is not None
        _set(tx, Key(tx, row), each)
    return fresh


def _set(tx: Tx, found: Key, asked: LimitChange) -> None:
    concurrency = found.concurrency if asked.concurrency is UNSET else asked.concurrency
    rate = found.rate if asked.rate is UNSET else asked.rate
    pinned = found.pinned if asked.pinned is UNSET else asked.pinned
    shut_until, trial = found.shut_until, found.trial
    if asked.shut_for is not UNSET:
        shut_until = None if asked.shut_for is None else tx.now + asked.shut_for
        trial = None if asked.shut_for is None else asked.trial
    reshape(tx, found.k, found.rate, rate)
    figures = (None, None, None) if rate is None else (rate.n, rate.window, rate.burst)
    tx.run("set_limit", (found.k, concurrency, *figures, shut_until, trial, pinned, tx.now))
    wake(tx, found.k)


def _drop(tx: Tx, k: int) -> None:
    """Lines keep its number, which means nothing from now on."""
    tx.run("drop_limit", (k,))
    tx.run("release_lines", (k,))
    tx.run("release_fronts", (k,))
    forget(tx, k)
    tx.topics.add("ready")


def _detail(asked: LimitChange) -> dict[str, Any]:
    return {
        name: value
        for name in asked.__struct_fields__
        if name != "key" and (value := getattr(asked, name)) is not UNSET and not (name in _SELDOM and not value)
    }


_SELDOM = ("trial", "drop")


def take(tx: Tx, takes: Sequence[Take]) -> list[Taken]:
    """All or nothing. A cost of 0 only looks."""
    meters: dict[str, Meter] = {}
    answers: list[tuple[Take, Meter, bool, Micros]] = []
    for each in takes:
        meter = meters.get(each.key) or meters.setdefault(each.key, Meter(tx, each.key, each.rate, 0))
        cost = max(each.cost, 1)
        fits, opens = meter.fits(cost), meter.opens(cost)
        if fits and each.cost > 0:
            meter.spend(each.cost)
        answers.append((each, meter, fits, opens))
    granted = all(fits for _, _, fits, _ in answers)
    if granted:
        for meter in meters.values():
            meter.flush(tx)
    else:
        meters = {each.key: Meter(tx, each.key, each.rate, 0) for each in takes}
    return [
        Taken(
            key=each.key,
            granted=granted,
            count=meters[each.key].used,
            limit=meter.most,
            remaining=meters[each.key].left,
            reset_at=opens,
        )
        for each, meter, _, opens in answers
    ]


def limit_infos(view: View, keys: Sequence[str] | None, limit: int) -> list[LimitInfo]:
    rows = view.rows("limits", (limit,)) if keys is None else view.rows("limits_named", (packed(list(keys)),))
    return [info(view, Key(view, row)) for row in rows[:limit]]


def info(view: View, key: Key) -> LimitInfo:
    return LimitInfo(
        key=key.key,
        concurrency=key.concurrency,
        rate=key.rate,
        shut_until=key.shut_until,
        trial=key.trial,
        pinned=key.pinned,
        held=key.held,
        used=0 if key.meter is None else key.meter.used,
        opens_at=key.opens(1),
        waiting=bool(view.value("anyone_really_waits", (key.k,))),
    )
