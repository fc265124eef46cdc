"""Submission rates: how many jobs of a kind each user may enqueue in a while, asked of the store before a job is stored."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from windlass.declare.bounds import Cap, LimitRule, cap_for, read_caps
from windlass.declare.keys import key_of
from windlass.declare.rates import write_rate
from windlass.declare.refusal import refusal
from windlass.errors import RateLimitExceeded
from windlass.store.protocol import Store
from windlass.values.clock import Micros, moment
from windlass.values.job import NewJob
from windlass.values.limit import Rate, Take, Taken

_FIELD = "per_user_rate"


class QuotaRule(msgspec.Struct, frozen=True, omit_defaults=True):
    """A kind's checked `per_user_rate` and `on_rate`."""

    cap: Cap
    plans: dict[str, Cap] | None = None
    on_rate: Literal["raise", "delay"] = "raise"

    def rate(self, plan: str | None) -> Rate:
        """The rate of a plan; raises `InvalidOption` for one that is not named."""
        found = cap_for(self.cap, self.plans, plan, _FIELD).rate
        assert found is not None
        return found


def read_quota(given: Mapping[str, Any]) -> QuotaRule | None:
    """The rule among the options of a kind; raises `InvalidOption`."""
    on_rate = given.get("on_rate", "raise")
    if on_rate not in ("raise", "delay"):
        raise refusal("on_rate", on_rate, "raise|delay", "use 'raise'")
    if given.get(_FIELD) is None:
        if "on_rate" in given:
            raise refusal("on_rate", on_rate, "given with per_user_rate=", "leave it out")
        return None
    cap, plans = read_caps(None, given[_FIELD], None, "", _FIELD)
    return QuotaRule(cap, plans, on_rate)


def delaying(rule: QuotaRule | None) -> tuple[LimitRule, ...]:
    """What holds back the starts of delayed jobs: those that were put off to the same moment must not all run then."""
    if rule is None or rule.on_rate == "raise":
        return ()
    return (LimitRule(by="user", name="user", cap=rule.cap, plans=rule.plans),)


def quota_key(kind: str, user: str) -> str:
    """Under which a user's submissions of a kind are counted."""
    key = key_of(kind, "submit.user", user, "user")
    assert key is not None
    return key


class Quotas:
    """The submission rates of an app's kinds. Jobs of other kinds, and jobs without a user, pass unasked."""

    def __init__(self) -> None:
        self.rules: dict[str, QuotaRule] = {}

    async def admit(self, store: Store, jobs: Sequence[NewJob[Any]]) -> list[NewJob[Any]]:
        """The jobs as they may be stored, some of them delayed. Raises `RateLimitExceeded`, and then none may be."""
        counted: Counter[str] = Counter()
        rates: dict[str, Rate] = {}
        owners: dict[str, NewJob[Any]] = {}
        for job in jobs:
            rule = self.rules.get(job.kind)
            if rule is not None and job.user is not None:
                key = quota_key(job.kind, job.user)
                counted[key] += 1
                rates[key] = rule.rate(plan_of(job))
                owners[key] = job
        strict = {key: n for key, n in counted.items() if self.rules[owners[key].kind].on_rate == "raise"}
        if strict:
            await _take_all(store, strict, rates, owners)
        late = {key: await _put_off(store, key, rates[key], counted[key]) for key in counted if key not in strict}
        return await _delayed(store, jobs, late) if any(late.values()) else list(jobs)


def plan_of(job: NewJob[Any]) -> str | None:
    """The plan that a job's options name."""
    return _PLAN.decode(job.options).plan if job.options else None


def exceeded(taken: Taken, rate: Rate, job: NewJob[Any], asked: int) -> RateLimitExceeded:
    """The error of a submission that does not fit."""
    reset_at = moment(taken.reset_at)
    again = f"{asked} fit at {reset_at:%Y-%m-%d %H:%M:%S}Z" if asked <= taken.limit else f"{asked} at once never fit"
    return RateLimitExceeded(
        f"user {job.user!r} may enqueue {write_rate(rate)} of {job.kind}; {taken.remaining} more fit now, {again}",
        limit=taken.limit,
        remaining=taken.remaining,
        reset_at=reset_at,
        count=taken.count,
        user=job.user,
        kind=job.kind,
        mend="enqueue it after reset_at, or declare the kind with on_rate='delay'",
    )


class Window(msgspec.Struct, frozen=True):
    """How many jobs of one user are put off, and until when: all but the first `free`."""

    free: int
    until: Micros


async def _take_all(
    store: Store, counted: Mapping[str, int], rates: Mapping[str, Rate], owners: Mapping[str, NewJob[Any]]
) -> None:
    for key, n in counted.items():
        if n > rates[key].n:  # the store would count it as the limit itself
            (taken,) = await store.take([Take(key, rates[key], 0)])
            raise exceeded(taken, rates[key], owners[key], n)
    answers = await store.take([Take(key, rates[key], n) for key, n in counted.items()])
    denied = [taken for taken in answers if not taken.granted]
    if denied:  # of no key was anything taken; the error is about the one that is short
        taken = next((each for each in denied if each.remaining < counted[each.key]), denied[0])
        raise exceeded(taken, rates[taken.key], owners[taken.key], counted[taken.key])


async def _put_off(store: Store, key: str, rate: Rate, n: int) -> Window | None:
    """Take what fits now; when the rest may be tried, None if all of it fits."""
    asked = min(n, rate.n)
    (taken,) = await store.take([Take(key, rate, asked)])
    free = asked if taken.granted else 0
    if free == n:
        return None
    if not taken.granted and taken.remaining:
        (again,) = await store.take([Take(key, rate, min(taken.remaining, n))])
        free = min(taken.remaining, n) if again.granted else 0
    (now,) = await store.take([Take(key, rate, 0)])
    return None if free == n else Window(free, now.reset_at)


async def _delayed(store: Store, jobs: Sequence[NewJob[Any]], late: Mapping[str, Window | None]) -> list[NewJob[Any]]:
    now = await store.now()
    seen: Counter[str] = Counter()
    made: list[NewJob[Any]] = []
    for job in jobs:
        key = quota_key(job.kind, job.user) if job.user is not None else ""
        window = late.get(key)
        if window is not None:
            seen[key] += 1
            if seen[key] > window.free:
                own = now + job.delay if job.delay is not None else job.run_at or 0
                job = replace(job, delay=None, run_at=max(own, window.until))
        made.append(job)
    return made


class _Plan(msgspec.Struct):
    plan: str | None = None


_PLAN = msgspec.json.Decoder(_Plan)
