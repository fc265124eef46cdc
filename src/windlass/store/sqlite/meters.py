"""What of a rate is used: a log of (time, cost) for windows, what is missing for token buckets.

A meter is known by a limit's number, or by the text of a `Take`, so the two never share one.
"""

from windlass.store.sqlite.transaction import Tx, View
from windlass.values.clock import Micros
from windlass.values.limit import BUCKETS, EXACT, Rate

MeterId = int | str


class Meter:
    """One rate at one instant. `spend` changes it in memory, `flush` writes."""

    def __init__(self, view: View, id: MeterId, rate: Rate, guard: Micros) -> None:
        self._view = view
        self._id = id
        self._rate = rate
        self._now = view.now
        self._spent = 0
        self.most = rate.n if rate.burst is None else rate.burst
        """What fits into an empty one."""
        row = view.one("meter", (id,))
        self._used, self._at = row or (0, view.now)
        if rate.burst is not None:
            self._life = 0
            self._used = max(0, self._used - max(view.now - self._at, 0) * rate.n)
        else:
            self._life = rate.window + guard
            if row is not None:
                self._used -= view.value("spent_before", (id, view.now - self._life))

    @property
    def used(self) -> int:
        """What the window holds; of a bucket, what is missing."""
        if self._rate.burst is None:
            return self._used + self._spent
        return -(-(self._used + self._spent * self._rate.window) // self._rate.window)

    @property
    def left(self) -> int:
        return max(self.most - self.used, 0)

    def fits(self, cost: int) -> bool:
        return self.most - self.used >= min(cost, self.most)

    def spend(self, cost: int) -> None:
        self._spent += min(cost, self.most)

    def opens(self, cost: int) -> Micros:
        """When `cost` fits; now, if it does."""
        cost = min(cost, self.most)
        if self.fits(cost):
            return self._now
        rate = self._rate
        if rate.burst is not None:
            excess = self._used + (self._spent + cost - rate.burst) * rate.window
            return self._now + -(-excess // rate.n)
        excess = self.used + cost - self.most
        for at, freed in self._view.rows("spends", (self._id, self._now - self._life)):
            excess -= freed
            if excess <= 0:
                return at + self._life
        return self._stamp() + self._life

    def _stamp(self) -> Micros:
        """The time of an entry: large windows count in steps, each rounded to the later side, which is the safe one."""
        if self._rate.n <= EXACT:
            return self._now
        step = max(self._rate.window // BUCKETS, 1)
        return -(-self._now // step) * step

    def flush(self, tx: Tx) -> None:
        if not self._spent:
            return
        rate = self._rate
        if rate.burst is not None:
            missing = self._used + self._spent * rate.window
            tx.run("put_meter", (self._id, missing, tx.now, tx.now - (-missing // rate.n)))
        else:
            stamp = self._stamp()
            if (
                self._at > stamp + rate.window
            ):  # the clock was stepped back: entries from the future would last for ever
                self._restamp(tx, stamp)
            tx.run("drop_spends", (self._id, tx.now - self._life))
            tx.run("add_spend", (self._id, stamp, self._spent))
            tx.run("put_meter", (self._id, self._used + self._spent, stamp, stamp + self._life))
        self._used, self._spent = self._used + self._spent * (rate.window if rate.burst is not None else 1), 0

    def _restamp(self, tx: Tx, stamp: Micros) -> None:
        ahead = tx.value("spent_after", (self._id, stamp))
        tx.run("drop_spends_after", (self._id, stamp))
        tx.run("add_spend", (self._id, stamp, ahead))


def reshape(tx: Tx, id: MeterId, old: Rate | None, new: Rate | None) -> None:
    """A key's rate has changed: what was used stays used, in the new measure."""
    if old is None or old == new:
        return
    if new is not None and (old.burst is None) == (new.burst is None):
        if new.burst is None or old.window == new.window:
            return
        tx.run("scale_meter", (id, old.window, new.window))
        return
    used = Meter(tx, id, old, 0).used
    forget(tx, id)
    if new is not None and used:
        fresh = Meter(tx, id, new, 0)
        fresh.spend(used)
        fresh.flush(tx)


def forget(tx: Tx, id: MeterId) -> None:
    tx.run("drop_meter", (id,))
    tx.run("drop_all_spends", (id,))
