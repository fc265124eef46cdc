"""Why a job is not running: every reason, from what a claim looks at (`Store.standing`), the workers and recent rates."""

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from windlass.produce.results import not_found
from windlass.providers.breakers import BreakerState, states
from windlass.store.protocol import Store
from windlass.values.clock import END_OF_TIME, SECOND, Micros, instant, moment, span_text
from windlass.values.job import Job
from windlass.values.lease import WorkerInfo
from windlass.values.limit import PROVIDER, LimitInfo
from windlass.values.metrics import MINUTE, MetricQuery, Point
from windlass.values.query import Standing, Where
from windlass.values.states import State

RECENT = 5 * MINUTE
"""How far back the rates look from which an estimate comes."""

_ENDS = ("complete", "fail", "retry", "snooze", "abort")
_COUNTED = 10_000
_MOST_SLOTS = 1_000
_SHOWN = 5


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that holds the job back, or says how it stands. `code` is stable; `facts` holds every number and name of the
    text; `until`: when it is over by itself; `mend`: the command that ends it. `blocks`: without it the job might run."""

    code: str
    text: str
    facts: dict[str, Any] = {}
    until: datetime | None = None
    mend: str | None = None
    blocks: bool = True


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a job is not running. `reasons`: what holds it back first. `position`: its place in its line from 1 (the jobs of
    its queue that share its limits and group), None unless it is waiting. `estimate`: seconds until it starts, as far as
    recent rates and known times tell; None when nothing tells. `now`: the store's."""

    id: str
    kind: str
    queue: str
    state: State
    now: datetime
    reasons: tuple[Reason, ...]
    position: int | None = None
    estimate: float | None = None

    @property
    def blocked_by(self) -> tuple[str, ...]:
        """The codes of what holds it back; empty when it may run, runs or has run."""
        return tuple(reason.code for reason in self.reasons if reason.blocks)

    def __str__(self) -> str:
        return "\n".join([f"{self.kind} {self.id} is {self.state}", *(reason.text for reason in self.reasons)])


class Recent(msgspec.Struct, frozen=True):
    """What the tallies of the last minutes say: runs that ended per second, in the queue; mean run time of the kind."""

    per_second: float | None = None
    took: float | None = None


class Crew(msgspec.Struct, frozen=True):
    """The live workers, and how many jobs of the job's runtime each of them runs."""

    workers: Sequence[WorkerInfo] = ()
    running: Mapping[str, int] = {}


async def explain_job(store: Store, id: str) -> Explanation:
    """Why job `id` is not running; raises `JobNotFound`."""
    standing = await store.standing(id)
    if standing is None:
        raise not_found(id)
    job = standing.job
    if job.is_final or job.state is State.ACTIVE:
        return explain(standing, Crew(), Recent(), {})
    named = [limit.key.removeprefix(PROVIDER) for limit in standing.limits if limit.key.startswith(PROVIDER)]
    known = await states(store, named) if named else {}
    return explain(standing, await _crew(store, job), await _recent(store, standing), known)


def explain(standing: Standing, crew: Crew, recent: Recent, breakers: Mapping[str, BreakerState]) -> Explanation:
    """The explanation of where a job stands."""
    job = standing.job
    reasons = list(_reasons(standing, crew, breakers))
    reasons.sort(key=lambda reason: not reason.blocks)
    return Explanation(
        id=job.id,
        kind=job.kind,
        queue=job.queue,
        state=job.state,
        now=moment(standing.now),
        reasons=tuple(reasons),
        position=None if standing.line is None else standing.line + 1,
        estimate=None if job.is_final or job.state is State.ACTIVE else _estimate(standing, reasons, recent),
    )


def _reasons(standing: Standing, crew: Crew, breakers: Mapping[str, BreakerState]) -> Iterator[Reason]:
    job = standing.job
    if job.is_final:
        yield _ended(job)
        return
    if job.state is State.ACTIVE:
        yield from _running(job)
        return
    if job.state is State.BLOCKED:
        yield from _blocked(standing)
    elif job.state in (State.DELAYED, State.RETRYING):
        yield _later(standing)
    yield from _places(standing)
    for limit in standing.limits:
        yield from _limit(standing, limit, breakers)
    yield from _workers(job, crew)
    if job.state is State.WAITING:
        yield _line(standing)
    yield from _remarks(standing)


def _ended(job: Job) -> Reason:
    why = f" ({job.reason})" if job.reason else ""
    facts = {"reason": job.reason, "finished_at": job.finished_at}
    if job.state is State.COMPLETED:
        source = f": answered from the cache by the result of {job.cached}" if job.cached else ""
        return Reason("completed", f"It has completed{source}.", facts | {"cached": job.cached}, blocks=False)
    if job.state is State.FAILED:
        said = f": {job.error.type}: {job.error.message}".split("\n")[0] if job.error else ""
        return Reason("failed", f"It failed{why}{said}.", facts, mend=f"windlass jobs retry {job.id}", blocks=False)
    return Reason("cancelled", f"It was cancelled{why}.", facts, mend=f"windlass jobs retry {job.id}", blocks=False)


def _running(job: Job) -> Iterator[Reason]:
    facts = {"worker": job.worker, "started_at": job.started_at, "attempt": job.attempt}
    yield Reason("active", f"It runs: attempt {job.attempt} on worker {job.worker}.", facts, blocks=False)
    if job.cancelling:
        yield Reason("cancelling", "It was asked to stop; its handler has not ended yet.", blocks=False)


def _blocked(standing: Standing) -> Iterator[Reason]:
    job = standing.job
    if standing.signal is not None:
        name = standing.signal
        at = job.run_at if job.run_at is not None and job.run_at < moment(END_OF_TIME) else None
        text = f"It waits for the signal {name!r}" + (f", at most until {_clock(at)}" if at else "") + "."
        mend = f"windlass jobs signal {job.id} {shlex.quote(name)}"
        yield Reason("signal", text, {"signal": name}, until=at, mend=mend)
    for parent, state in standing.parents:
        ended = state in (State.FAILED, State.CANCELLED)
        yield Reason(
            "parent-held" if ended else "parent",
            f"It waits for job {parent}, which is {state}"
            + (": it goes on when that completes after all." if ended else "."),
            {"parent": parent, "state": str(state)},
            mend=f"windlass jobs {'retry' if ended else 'explain'} {parent}",
        )


def _later(standing: Standing) -> Reason:
    job = standing.job
    at = job.run_at
    facts = {"run_at": at}
    mend = f"windlass jobs run-now {job.id}"
    if job.state is State.DELAYED:
        text = f"It is delayed until {_clock(at)} ({_ahead(standing, at)})."
        return Reason("delayed", text, facts, until=at, mend=mend)
    said = (
        f" Attempt {job.attempt} ended with {job.error.type}: {job.error.message}".split("\n")[0] if job.error else ""
    )
    text = f"It is tried again at {_clock(at)} ({_ahead(standing, at)}).{said}"
    return Reason("retrying", text, facts | {"attempt": job.attempt, "max_attempts": job.max_attempts}, at, mend)


def _places(standing: Standing) -> Iterator[Reason]:
    job, queue = standing.job, standing.queue
    if queue.paused:
        since = moment(queue.paused_at) if queue.paused_at is not None else None
        text = f"The queue {job.queue} is paused" + (f" since {_clock(since)}" if since else "") + "."
        yield Reason(
            "queue-paused", text, {"queue": job.queue, "since": since}, mend=f"windlass queues resume {job.queue}"
        )
    if standing.parked is not None:
        key = standing.parked
        what = f"no worker that took it knows the kind {job.kind}" if key == f"kind:{job.kind}" else f"under {key}"
        text = f"It is parked: {what}. A worker that does brings it back into line."
        yield Reason("parked", text, {"key": key}, mend=f"windlass worker -A module:app -q {job.queue}")
    if job.expires_at is not None and job.attempt == 0 and instant(job.expires_at) <= standing.now:
        yield Reason(
            "expired", "It has expired: a worker is about to end it as cancelled.", {"expires_at": job.expires_at}
        )


def _limit(standing: Standing, limit: LimitInfo, breakers: Mapping[str, BreakerState]) -> Iterator[Reason]:
    now, name = standing.now, limit.key
    holders = standing.holders.get(limit.key, ())
    shut = limit.shut_until is not None and limit.shut_until > now
    if name.startswith(PROVIDER):
        yield from _provider(standing, limit, breakers.get(name.removeprefix(PROVIDER)), shut)
    elif shut:
        until = moment(limit.shut_until or 0)
        yield Reason("limit-shut", f"Its limit {name} is shut until {_clock(until)}.", {"key": name}, until=until)
    if limit.concurrency is not None and limit.held >= limit.concurrency:
        some = ", ".join(holders[:_SHOWN]) + (" ..." if limit.held > _SHOWN else "")
        yield Reason(
            "limit-full",
            f"Its limit {name} is full: {limit.held} of {limit.concurrency} run" + (f" ({some})." if some else "."),
            {"key": name, "limit": limit.concurrency, "held": limit.held, "holders": list(holders)},
            mend=_raise(limit, concurrency=limit.concurrency + 1),
        )
    if limit.rate is not None and not shut and limit.opens_at is not None and limit.opens_at > now:
        until = moment(limit.opens_at)
        window = limit.rate.window / SECOND
        yield Reason(
            "rate-full",
            f"Its limit {name} allows {limit.rate.n} starts in {window:g} s; the next one at {_clock(until)} "
            f"({_ahead(standing, until)}).",
            {"key": name, "limit": limit.rate.n, "window": window, "used": limit.used},
            until=until,
            mend=_raise(limit, starts=limit.rate.n * 2),
        )


def _raise(limit: LimitInfo, *, concurrency: int | None = None, starts: int | None = None) -> str:
    """The command that allows more of one thing and the same of the other: what `set` is not told, it lifts."""
    words = ["windlass limits set", shlex.quote(limit.key)]
    concurrency = limit.concurrency if concurrency is None else concurrency
    if concurrency is not None:
        words.append(f"--concurrency {concurrency}")
    if limit.rate is not None:
        words.append(f"--rate {starts or limit.rate.n}/{limit.rate.window / SECOND:g}s")
    return " ".join(words)


def _provider(standing: Standing, limit: LimitInfo, breaker: BreakerState | None, shut: bool) -> Iterator[Reason]:
    name = limit.key.removeprefix(PROVIDER)
    is_open = breaker is not None and breaker.state != "closed"
    why = f" Last failure: {breaker.error}" if breaker is not None and is_open and breaker.error else ""
    facts = {"provider": name, "state": breaker.state if breaker else None, "error": breaker.error if breaker else ""}
    mend = f"windlass breakers reset {name}"
    if shut:
        until = moment(limit.shut_until or 0)
        when = f"until {_clock(until)} ({_ahead(standing, until)})"
        if is_open:
            yield Reason("breaker-open", f"The breaker of {name} is open {when}.{why}", facts, until, mend)
        else:
            text = f"{name} limits the rate: its jobs wait {when}."
            yield Reason("provider-limited", text, facts, until, mend)
    elif limit.trial is not None and limit.held >= limit.trial:
        text = f"The breaker of {name} is half-open: one job probes whether it answers again.{why}"
        holders = list(standing.holders.get(limit.key, ()))
        yield Reason("breaker-half-open", text, facts | {"holders": holders}, mend=mend)


def _workers(job: Job, crew: Crew) -> Iterator[Reason]:
    workers = crew.workers
    start = f"windlass worker -A module:app -q {job.queue}"
    facts = {"queue": job.queue, "kind": job.kind, "workers": len(workers)}
    serving = [worker for worker in workers if worker.queues is None or job.queue in worker.queues]
    awake = [worker for worker in serving if worker.state == "running"]
    knowing = [worker for worker in awake if job.kind in worker.kinds or job.kind.startswith("windlass.")]
    able = [worker for worker in knowing if worker.slots.get(job.runtime, 0) > 0]
    if not workers:
        yield Reason("no-worker", "No worker is alive.", facts, mend=start)
    elif not serving:
        text = f"None of the {_count(len(workers), 'live worker')} serves the queue {job.queue}."
        yield Reason("no-worker-for-queue", text, facts, mend=start)
    elif not awake:
        states = sorted({worker.state for worker in serving})
        text = f"The {_count(len(serving), 'worker')} of the queue {job.queue} take no jobs: {', '.join(states)}."
        yield Reason("workers-quiet", text, facts | {"states": states}, mend=start)
    elif not knowing:
        text = f"No worker of the queue {job.queue} knows the kind {job.kind}."
        yield Reason("no-worker-for-kind", text, facts, mend=start)
    elif not able:
        text = f"No worker of the queue {job.queue} has slots for the runtime {job.runtime}."
        flag = {"process": "-p 4", "thread": "--threads 32"}.get(job.runtime, "-c 100")
        yield Reason("no-slots", text, facts | {"runtime": job.runtime}, mend=f"{start} {flag}")
    elif all(crew.running.get(worker.id, 0) >= worker.slots[job.runtime] for worker in able):
        slots = sum(worker.slots[job.runtime] for worker in able)
        text = f"All {_count(slots, f'{job.runtime} slot')} of {_count(len(able), 'worker')} are busy."
        yield Reason("workers-busy", text, facts | {"slots": slots}, mend=start)


def _line(standing: Standing) -> Reason:
    ahead = standing.line or 0
    facts = {"ahead": ahead, "order": standing.queue.order, "priority": standing.job.priority}
    some = f"at least {ahead}" if ahead >= _COUNTED else str(ahead)
    if not ahead:
        return Reason("next-in-line", "It is the next in its line.", facts, blocks=False)
    mend = f"windlass jobs reprioritise critical {standing.job.id}" if standing.queue.order == "strict" else None
    text = f"{some} {'job is' if ahead == 1 else 'jobs are'} ahead of it in its line."
    return Reason("in-line", text, facts, mend=mend)


def _remarks(standing: Standing) -> Iterator[Reason]:
    job = standing.job
    if standing.unique_holder is not None and standing.unique_holder != job.id:
        text = f"Its unique key is held by job {standing.unique_holder}."
        yield Reason("unique-held", text, {"holder": standing.unique_holder, "key": job.unique}, blocks=False)
    if job.expires_at is not None and job.attempt == 0 and instant(job.expires_at) > standing.now:
        text = f"If it has not started by {_clock(job.expires_at)}, it ends as cancelled."
        yield Reason("expires", text, {"expires_at": job.expires_at}, until=job.expires_at, blocks=False)
    if standing.queue.order != "strict":
        text = f"The order of the queue {job.queue} is {standing.queue.order}: other lines take turns with its own."
        yield Reason("queue-order", text, {"order": standing.queue.order}, blocks=False)


_OPEN_ENDED = frozenset(
    {
        "signal",
        "parent",
        "parent-held",
        "queue-paused",
        "parked",
        "expired",
        "no-worker",
        "no-worker-for-queue",
        "no-worker-for-kind",
        "no-slots",
        "workers-quiet",
    }
)


def _estimate(standing: Standing, reasons: Iterable[Reason], recent: Recent) -> float | None:
    """Seconds: the last of the known times, then the jobs ahead at the slowest of the rates that bind it."""
    codes = {reason.code for reason in reasons}
    if codes & _OPEN_ENDED:
        return None
    times = [instant(reason.until) - standing.now for reason in reasons if reason.blocks and reason.until is not None]
    start = max(0.0, max(times, default=0) / SECOND)
    full = bool(codes & {"limit-full", "workers-busy", "breaker-half-open"})
    ahead = (standing.line or 0) + full
    if not ahead:
        return start
    rates = [limit.rate.n / (limit.rate.window / SECOND) for limit in standing.limits if limit.rate is not None]
    if recent.took:
        rates += [limit.concurrency / recent.took for limit in standing.limits if limit.concurrency is not None]
    if recent.per_second:
        rates.append(recent.per_second)
    return round(start + ahead / min(rates), 3) if rates else None


async def _crew(store: Store, job: Job) -> Crew:
    workers = await store.workers()
    slots = sum(worker.slots.get(job.runtime, 0) for worker in workers)
    if not workers or slots >= _MOST_SLOTS:  # more than are worth counting: some are free in all likelihood
        return Crew(workers)
    active = await store.jobs(Where(states=(State.ACTIVE,)), limit=_MOST_SLOTS)
    return Crew(workers, Counter(each.worker or "" for each in active.items if each.runtime == job.runtime))


async def _recent(store: Store, standing: Standing) -> Recent:
    job, now = standing.job, standing.now
    points = await store.metrics(
        MetricQuery(since=now - RECENT, until=now + MINUTE, queues=(job.queue,), names=(*_ENDS, "took_sum"))
    )
    ended = _sum(points, _ENDS)
    own = [point for point in points if point.kind == job.kind]
    ran = _sum(own, _ENDS)
    since = min((point.minute for point in points), default=now)
    span = max(now - max(since, now - RECENT), SECOND) / SECOND
    took = _sum(own, ("took_sum",)) / SECOND
    return Recent(ended / span if ended else None, took / ran if ran and took else None)


def _sum(points: Iterable[Point], names: Sequence[str]) -> int:
    return sum(point.value for point in points if point.name in names)


def _clock(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at is not None else "-"


def _ahead(standing: Standing, at: datetime | None) -> str:
    if at is None:
        return "now"
    left: Micros = instant(at) - standing.now
    return "due now" if left <= 0 else f"in {span_text(left / SECOND)}"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" + ("" if n == 1 else "s")


__all__ = ["Explanation", "Reason", "explain", "explain_job"]
