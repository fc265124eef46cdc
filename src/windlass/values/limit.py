"""Limits as the store keeps them: how many jobs of a key may run at once, how many may start in a while, and keys that are
shut for a time. What users declare (`Limit`) becomes these values; `docs/design/limits.md` says how engines hold them."""

import msgspec

from windlass.values.clock import Micros

GUARD: Micros = 100_000
"""A start may come so long after its grant; the store counts a window as this much longer, and a worker gives back what it
could not start in time. So no window ever holds more starts than its limit, whatever the way from store to handler took."""

EXACT = 10_000
"""Windows of up to so many starts are kept to the microsecond; larger ones in `BUCKETS` steps, each rounded to the safe side."""
BUCKETS = 64

QUEUE, KIND, PROVIDER = "queue:", "kind:", "provider:"
"""Prefixes of keys. `queue:<name>` and `kind:<name>` hold for every job of that queue or kind as soon as they have a limit,
whether or not the job names them; every other key holds for the jobs that name it."""


class Rate(msgspec.Struct, frozen=True, gc=False):
    """At most `n` starts (or the sum of their costs) in any `window` microseconds. With `burst`: a token bucket of that
    size which refills with `n` per window, so idle time can be caught up."""

    n: int
    window: Micros
    burst: int | None = None


class Bound(msgspec.Struct, frozen=True, gc=False):
    """One limit that a job is under. The newest enqueue that names a key sets its limit, unless an operator has
    (`LimitInfo.pinned`). `cost`: what a start takes from the rate; more than the limit counts as the limit."""

    key: str
    concurrency: int | None = None
    rate: Rate | None = None
    cost: int = 1


class LimitChange(msgspec.Struct, frozen=True, kw_only=True):
    """What to change about a key; UNSET leaves it, None lifts it.

    `shut_for`: nothing under the key starts for so many microseconds from now, then as before; with `trial`, from then on
    only so many at once, until a change says `shut_for=None`. `pinned`: enqueues do not change it any more. `drop`: forget
    the key, and with it every bound of jobs that name it, until one of them enters the line again.
    """

    key: str
    concurrency: int | msgspec.UnsetType | None = msgspec.UNSET
    rate: Rate | msgspec.UnsetType | None = msgspec.UNSET
    shut_for: Micros | msgspec.UnsetType | None = msgspec.UNSET
    trial: int | None = None
    pinned: bool | msgspec.UnsetType = msgspec.UNSET
    drop: bool = False


class LimitInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it stands. `held`: jobs that run under it; `used`: what the window holds now (of a bucket: what is missing);
    `opens_at`: when a job of cost 1 could start again as far as time decides (rate, shut), None if time does not hinder it;
    `waiting`: whether any job waits because of it."""

    key: str
    concurrency: int | None = None
    rate: Rate | None = None
    shut_until: Micros | None = None
    trial: int | None = None
    pinned: bool = False
    held: int = 0
    used: int = 0
    opens_at: Micros | None = None
    waiting: bool = False


class Take(msgspec.Struct, frozen=True, gc=False):
    """A use of a rate by something other than a start, such as a submission."""

    key: str
    rate: Rate
    cost: int = 1


class Taken(msgspec.Struct, frozen=True, gc=False):
    """`granted` false: nothing was taken, of no key of the call. `count`: what the window holds; `reset_at`: when the asked
    cost fits (now, if it does)."""

    key: str
    granted: bool
    count: int
    limit: int
    remaining: int
    reset_at: Micros
