"""`app.health`: whether queues are well, judged from a census; each issue names numbers, and the command that mends it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Literal, TypeAlias

import msgspec

from windlass.errors import StoreError
from windlass.observe.census import Census, Ward, take_census
from windlass.operate.explain import Reason
from windlass.store.protocol import Store
from windlass.values.clock import SECOND, host_now, moment, span_text
from windlass.values.lease import WorkerInfo
from windlass.values.limit import PROVIDER
from windlass.values.queue import check_name
from windlass.values.states import State

Status: TypeAlias = Literal["healthy", "degraded", "unhealthy", "error"]
Level: TypeAlias = Literal["note", "degraded", "unhealthy", "error"]
_ORDER: tuple[Status, ...] = ("healthy", "degraded", "unhealthy", "error")

ENOUGH = 20
"""So many jobs must have ended in the last 15 minutes before their failed share means anything."""
MANY_FAILED, MOST_FAILED = 0.10, 0.50
LATE = 5
"""A job waits too long when it waits so many times as long as 95 % of jobs usually do, and at least a minute."""
LEAST_LATE = 60.0
LONG = 300.0
"""Seconds after which jobs that nobody serves make a queue unhealthy."""
IDLE = 60 * SECOND
"""A worker with free slots that took no job for so long, while jobs wait that nothing holds, is stuck."""
FORGOTTEN = 3_600.0
"""Seconds after which a pause looks forgotten."""

_UNSERVED = {"no-worker", "no-worker-for-queue", "no-worker-for-kind", "no-slots", "workers-quiet", "parked"}
_GATED = {"limit-full", "limit-shut", "rate-full", "breaker-open", "breaker-half-open", "provider-limited"}
_HELD = _UNSERVED | _GATED | {"queue-paused", "expired"}


class Issue(msgspec.Struct, frozen=True, kw_only=True):
    """Something amiss. `code` is stable; `facts` holds the numbers of the text; `level` is what it makes of the whole: a `note`
    says what may well be meant, and changes no status."""

    code: str
    level: Level
    text: str
    queue: str | None = None
    facts: dict[str, Any] = {}


class Recommendation(msgspec.Struct, frozen=True, kw_only=True):
    """What to do about an issue: why, and the command."""

    code: str
    text: str
    command: str


class QueueHealth(msgspec.Struct, frozen=True, kw_only=True):
    """A queue's health. `waiting` ... `failed`: jobs in that state now. `oldest_wait`: seconds that the job waits which waits
    longest; when `oldest_exact` is false (more than 2,000 wait) it waits at least so long. `served_per_minute`,
    `arrived_per_minute`: jobs that ended and that were created, over the last five minutes. `drain`: seconds until nothing
    waits at these rates, None if they never
    get there (also paused, or without workers), 0 if nothing waits. `failed_share`: of the jobs that ended in the last
    15 minutes, 0 to 1, None if none did; `ended`: how many those are. `usual_wait`: seconds within which 95 % of the last
    day's attempts were taken. `workers`: live ones that serve the queue; `slots`: what they can run at once."""

    queue: str
    status: Status
    issues: tuple[Issue, ...]
    recommendations: tuple[Recommendation, ...]
    paused: bool = False
    waiting: int = 0
    active: int = 0
    delayed: int = 0
    retrying: int = 0
    blocked: int = 0
    failed: int = 0
    oldest_wait: float | None = None
    oldest_exact: bool = True
    usual_wait: float | None = None
    served_per_minute: float = 0.0
    arrived_per_minute: float = 0.0
    drain: float | None = None
    ended: int = 0
    failed_share: float | None = None
    workers: int = 0
    slots: int = 0


class WorkerHealth(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's health. `state`: `working` (took jobs in the last minute, or all its slots are full), `idle` (nothing it may
    take waits), `stuck`, `quiet` (told to take none), `lost` (silent for longer than its lease). `claimed_at`: its last claim
    that brought jobs."""

    id: str
    host: str
    pid: int
    state: Literal["working", "idle", "stuck", "quiet", "lost"]
    running: int
    slots: int
    seen_at: datetime
    claimed_at: datetime | None


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The health of everything: the worst of the queues and of what concerns them all. `error`: the store does not answer."""

    status: Status
    at: datetime
    issues: tuple[Issue, ...]
    recommendations: tuple[Recommendation, ...]
    queues: tuple[QueueHealth, ...] = ()
    workers: tuple[WorkerHealth, ...] = ()


_Found: TypeAlias = tuple[Issue, Recommendation | None]


async def read_health(open_store: Callable[[], Any]) -> Health:
    """The health of all queues. A store that does not answer is a finding, not an exception."""
    try:
        store: Store = await open_store()
        census = await take_census(store)
    except StoreError as error:
        return Health(status="error", at=moment(host_now()), **_split([_unreachable(error)]))
    queues = tuple(_queue(census, ward) for ward in census.wards)
    workers = tuple(_worker(census, worker) for worker in census.workers)
    found = [*_lost(census), *_stuck(census, workers), *_breakers(census)]
    own = [issue for queue in queues for issue in queue.issues]
    advice = [each for queue in queues for each in queue.recommendations]
    status = _worst([*(issue for issue, _ in found), *own])
    split = _split(found)
    return Health(
        status=status,
        at=moment(census.now),
        issues=tuple(sorted([*split["issues"], *own], key=_weight)),
        recommendations=_distinct([*split["recommendations"], *advice]),
        queues=queues,
        workers=workers,
    )


async def read_queue_health(open_store: Callable[[], Any], queue: str) -> QueueHealth:
    """The health of one queue, the workers that serve it included."""
    queue = check_name(queue, "queue")
    try:
        store: Store = await open_store()
        census = await take_census(store, queue)
    except StoreError as error:
        return QueueHealth(queue=queue, status="error", **_split([_unreachable(error)]))
    ward = census.wards[0]
    serving = [worker for worker in census.workers if _serves(worker, queue)]
    workers = [_worker(census, worker) for worker in serving]
    return _queue(census, ward, [*_lost(census, serving), *_stuck(census, workers)])


def _queue(census: Census, ward: Ward, more: Sequence[_Found] = ()) -> QueueHealth:
    rates, name = ward.rates, ward.info.name
    found = [*more, *(each for examination in _EXAMINATIONS for each in examination(census, ward))]
    ended = rates.completed + rates.failed
    crew = [worker for worker in _alive(census) if _serves(worker, name)]
    return QueueHealth(
        queue=name,
        status=_worst(issue for issue, _ in found),
        **_split(found),
        paused=ward.info.paused,
        waiting=ward.waiting,
        active=ward.counts.get(State.ACTIVE, 0),
        delayed=ward.counts.get(State.DELAYED, 0),
        retrying=ward.counts.get(State.RETRYING, 0),
        blocked=ward.counts.get(State.BLOCKED, 0),
        failed=ward.counts.get(State.FAILED, 0),
        oldest_wait=None if ward.oldest is None else round(ward.oldest, 3),
        oldest_exact=ward.exact,
        usual_wait=rates.usual_wait,
        served_per_minute=round(rates.served * 60, 3),
        arrived_per_minute=round(rates.arrived * 60, 3),
        drain=_drain(ward, len(crew)),
        ended=ended,
        failed_share=round(rates.failed / ended, 6) if ended else None,
        workers=len(crew),
        slots=sum(sum(worker.slots.values()) for worker in crew),
    )


def _drain(ward: Ward, workers: int) -> float | None:
    """Seconds until nothing waits, at the rates of late."""
    if not ward.waiting:
        return 0.0
    if ward.info.paused or not workers:
        return None
    gain = ward.rates.served - ward.rates.arrived
    return round(ward.waiting / gain, 1) if gain > 0 else None


def _failing(_: Census, ward: Ward) -> Iterator[_Found]:
    rates, name = ward.rates, ward.info.name
    ended = rates.completed + rates.failed
    if ended >= ENOUGH and rates.failed / ended > MANY_FAILED:
        share = rates.failed / ended
        yield _found(
            "failing",
            "unhealthy" if share > MOST_FAILED else "degraded",
            f"{rates.failed:,} of {ended:,} jobs that ended in the last 15 minutes failed ({share:.0%})",
            name,
            {"failed": rates.failed, "ended": ended, "share": round(share, 4)},
            "look at the newest failures",
            f"windlass dead ls --queue {name}",
        )
    tried = rates.completed + rates.failed + rates.retried
    if tried >= ENOUGH and rates.retried / tried > MOST_FAILED:
        yield _found(
            "retrying",
            "degraded",
            f"{rates.retried:,} of {tried:,} attempts of the last 15 minutes failed and are made again",
            name,
            {"retried": rates.retried, "attempts": tried},
            "see what they fail with",
            f"windlass jobs ls --queue {name} --state retrying",
        )


def _lost_attempts(_: Census, ward: Ward) -> Iterator[_Found]:
    if n := ward.rates.rescued:
        yield _found(
            "rescued",
            "degraded",
            f"{n:,} attempt{'s' * (n != 1)} lost their worker in the last 15 minutes",
            ward.info.name,
            {"rescued": n},
            "see which workers live, and why others ended (memory, kills)",
            "windlass workers",
        )


def _unserved(_: Census, ward: Ward) -> Iterator[_Found]:
    if not ward.waiting or ward.info.paused:
        return
    reasons = _reasons(ward, _UNSERVED)
    for reason in reasons:
        waits = ward.oldest or 0.0
        yield _found(
            reason.code,
            "unhealthy" if waits > LONG else "degraded",
            f"{ward.waiting:,} wait, the oldest for {_span(ward)}; {_lower(reason.text)}",
            ward.info.name,
            {**reason.facts, "waiting": ward.waiting, "oldest_wait": round(waits, 3)},
            "start a worker that serves them",
            reason.mend,
        )


def _gated(_: Census, ward: Ward) -> Iterator[_Found]:
    if ward.info.paused:
        return
    for reason in _reasons(ward, _GATED):
        broken = reason.code.startswith("breaker")
        yield _found(
            reason.code,
            "degraded" if broken else "note",
            f"{ward.waiting:,} wait, the oldest for {_span(ward)}, some of them so: {_lower(reason.text)}",
            ward.info.name,
            {**reason.facts, "waiting": ward.waiting},
            "once the provider answers again" if broken else "to let more start",
            reason.mend,
        )


def _paused(census: Census, ward: Ward) -> Iterator[_Found]:
    if not ward.info.paused or not ward.waiting:
        return
    since = ward.info.paused_at
    seconds = (census.now - since) / SECOND if since is not None else 0.0
    yield _found(
        "paused",
        "degraded" if seconds > FORGOTTEN else "note",
        f"paused for {span_text(seconds)}, {ward.waiting:,} wait",
        ward.info.name,
        {"waiting": ward.waiting, "paused_for": round(seconds, 3)},
        "let its jobs run again",
        f"windlass queues resume {ward.info.name}",
    )


def _late(_: Census, ward: Ward) -> Iterator[_Found]:
    usual, oldest = ward.rates.usual_wait, ward.oldest
    if usual is None or oldest is None or ward.info.paused or oldest <= max(LATE * usual, LEAST_LATE):
        return
    if any(code in _HELD for told in ward.samples for code in told.blocked_by):
        return  # said already, with its cause
    text = (
        f"the oldest of {ward.waiting:,} waits for {_span(ward)}; 95 % usually wait no longer than {span_text(usual)}"
    )
    facts = {"oldest_wait": round(oldest, 3), "usual_wait": usual, "waiting": ward.waiting}
    yield _found("late", "degraded", text, ward.info.name, facts, "start more workers", _start(ward.info.name))


def _growing(_: Census, ward: Ward) -> Iterator[_Found]:
    rates = ward.rates
    enough = ward.waiting >= 100 and rates.served > 0 and rates.arrived > 1.1 * rates.served
    if ward.info.paused or not enough or (ward.oldest or 0.0) < LEAST_LATE:
        return
    text = f"{ward.waiting:,} wait and they grow: {rates.arrived * 60:,.0f} come a minute, {rates.served * 60:,.0f} are served"
    facts = {"arrived": round(rates.arrived * 60, 3), "served": round(rates.served * 60, 3), "waiting": ward.waiting}
    yield _found("growing", "degraded", text, ward.info.name, facts, "start more workers", _start(ward.info.name))


_EXAMINATIONS: tuple[Callable[[Census, Ward], Iterable[_Found]], ...] = (
    _failing, _lost_attempts, _unserved, _gated, _paused, _late, _growing,
)  # fmt: skip


def _lost(census: Census, workers: Sequence[WorkerInfo] | None = None) -> Iterator[_Found]:
    for worker in census.workers if workers is None else workers:
        quiet = census.now - worker.seen_at
        if quiet > worker.lease:
            held = census.running.get(worker.id, 0)
            yield _found(
                "worker-lost",
                "degraded",
                f"worker {worker.id} ({worker.host}, pid {worker.pid}) is silent for {span_text(quiet / SECOND)}, its lease is "
                f"{span_text(worker.lease / SECOND)}; it held {held:,} jobs, which others take over",
                None,
                {"worker": worker.id, "silent": round(quiet / SECOND, 3), "held": held},
                f"see what became of pid {worker.pid} on {worker.host}, and start another",
                "windlass worker -A module:app",
            )


def _stuck(census: Census, workers: Sequence[WorkerHealth]) -> Iterator[_Found]:
    stuck = [worker for worker in workers if worker.state == "stuck"]
    fit = [worker for worker in workers if worker.state in ("working", "idle")]
    for worker in stuck:
        since = census.now - _last_claim(next(info for info in census.workers if info.id == worker.id))
        yield _found(
            "worker-stuck",
            "degraded" if fit else "unhealthy",
            f"worker {worker.id} took no job for {span_text(since / SECOND)} with {worker.slots - worker.running:,} of "
            f"{worker.slots:,} slots free, while jobs wait that nothing holds back",
            None,
            {"worker": worker.id, "idle": round(since / SECOND, 3), "running": worker.running, "slots": worker.slots},
            f"see what it runs, then restart pid {worker.pid} on {worker.host}",
            "windlass jobs ls --state active",
        )


def _breakers(census: Census) -> Iterator[_Found]:
    """Breakers that hold jobs; those that the queues' own jobs told of are not said twice."""
    told = {
        reason.facts.get("provider")
        for ward in census.wards
        if not ward.info.paused
        for each in ward.samples
        for reason in each.reasons
        if reason.code.startswith("breaker")
    }
    waiting = {limit.key.removeprefix(PROVIDER): limit.waiting for limit in census.limits}
    for name, breaker in sorted(census.breakers.items()):
        if breaker.state != "closed" and name not in told:
            held = "jobs wait for it" if waiting.get(name) else "no job waits for it now"
            text = f"the breaker of {name} is {breaker.state}, {held}" + (f": {breaker.error}" if breaker.error else "")
            facts = {"provider": name, "state": breaker.state, "waiting": waiting.get(name, False)}
            mend = f"windlass breakers reset {name}"
            yield _found("breaker-open", "degraded", text, None, facts, "once the provider answers again", mend)


def _worker(census: Census, worker: WorkerInfo) -> WorkerHealth:
    slots = sum(worker.slots.values())
    running = max(census.running.get(worker.id, 0), worker.running)
    if census.now - worker.seen_at > worker.lease:
        state = "lost"
    elif worker.state != "running":
        state = "quiet"
    elif census.now - _last_claim(worker) <= IDLE or running >= slots:
        state = "working" if running or worker.claimed_at is not None else "idle"
    else:
        state = "stuck" if any(_neglected(worker, ward) for ward in census.wards) else "idle"
    return WorkerHealth(
        id=worker.id,
        host=worker.host,
        pid=worker.pid,
        state=state,
        running=running,
        slots=slots,
        seen_at=moment(worker.seen_at),
        claimed_at=None if worker.claimed_at is None else moment(worker.claimed_at),
    )


def _neglected(worker: WorkerInfo, ward: Ward) -> bool:
    """Whether a job waits in the queue, for as long, that the worker could run and that nothing holds back: no limit, no
    breaker, no pause."""
    if ward.info.paused or not _serves(worker, ward.info.name) or (ward.oldest or 0.0) * SECOND < IDLE:
        return False
    return any(told.kind in worker.kinds and not _HELD.intersection(told.blocked_by) for told in ward.samples)


def _last_claim(worker: WorkerInfo) -> int:
    return worker.claimed_at or worker.started_at


def _alive(census: Census) -> list[WorkerInfo]:
    return [worker for worker in census.workers if census.now - worker.seen_at <= worker.lease]


def _serves(worker: WorkerInfo, queue: str) -> bool:
    return worker.queues is None or queue in worker.queues


def _reasons(ward: Ward, codes: set[str]) -> list[Reason]:
    """What holds the sampled jobs, of these codes, each text once."""
    told = {reason.text: reason for each in ward.samples for reason in each.reasons if reason.code in codes}
    return list(told.values())


def _found(
    code: str, level: Level, text: str, queue: str | None, facts: dict[str, Any], advice: str, mend: str | None
) -> _Found:
    issue = Issue(code=code, level=level, text=text, queue=queue, facts=facts)
    return issue, Recommendation(code=code, text=advice, command=mend) if mend else None


def _unreachable(error: StoreError) -> _Found:
    mend = str(error.facts.get("mend", "")) or "windlass doctor"
    issue = Issue(code=error.code, level="error", text=error.message)
    return issue, Recommendation(
        code=error.code, text="see whether the store runs and its address is right", command=mend
    )


def _split(found: Sequence[_Found]) -> dict[str, Any]:
    issues = sorted((issue for issue, _ in found), key=_weight)
    return {"issues": tuple(issues), "recommendations": _distinct(each for _, each in found if each is not None)}


def _distinct(several: Iterable[Recommendation]) -> tuple[Recommendation, ...]:
    return tuple({each.command: each for each in reversed(list(several))}.values())[::-1]


def _weight(issue: Issue) -> int:
    return -_ORDER.index(_status(issue))


def _status(issue: Issue) -> Status:
    return "healthy" if issue.level == "note" else issue.level


def _worst(issues: Iterable[Issue]) -> Status:
    found = {_status(issue) for issue in issues}
    worst: list[Status] = [status for status in _ORDER if status in found]
    return worst[-1] if worst else "healthy"


def _start(queue: str) -> str:
    return f"windlass worker -A module:app -q {queue}"


def _span(ward: Ward) -> str:
    return ("" if ward.exact else "at least ") + span_text(ward.oldest or 0.0)


def _lower(text: str) -> str:
    """A sentence inside another one."""
    return text[:1].lower() + text[1:].rstrip(".") if not text.startswith("Its ") else "its " + text[4:].rstrip(".")
