"""How an attempt ended, and what follows: signals that handlers raise, and `judge`, which turns an end into a `Finish`.

Decided here once, in plain Python; engines only commit the `Finish` if the lease still holds.
"""

from enum import StrEnum
from typing import Any

import msgspec

from windlass.errors import OutcomeUnknown
from windlass.values.clock import SECOND, Duration, Micros, seconds
from windlass.values.failure import Category, Rule, classify, describe, message_of, retry_after, safe_text
from windlass.values.job import Claim, ErrorInfo, NewJob, OnFailure, Trail
from windlass.values.retry import DEFAULT_BACKOFF, Backoff, BackoffLike, delay_after
from windlass.values.states import Event

DEFAULT_RESCUES = 5
LONGEST_REASON = 500
DEADLINE = "deadline"
RATE_LIMITED = "rate limited"
_COMPLETE = Event.COMPLETE  # looked up once: an enum's member takes 0.05 us


class Signal(Exception):
    """Raised by a handler to steer its job. Not a `WindlassError`: `except WindlassError` must not swallow it."""


class Retry(Signal):
    """Try again, spending an attempt; after `after`, else by the job's backoff."""

    def __init__(self, reason: str = "", *, after: Duration | None = None) -> None:
        super().__init__(reason)
        self.after = None if after is None else seconds(after, "after")


class Snooze(Signal):
    """Run again after `delay` without spending an attempt."""

    def __init__(self, delay: Duration, reason: str = "") -> None:
        super().__init__(reason)
        self.delay = seconds(delay, "delay")


class Fail(Signal):
    """Give up now: the job goes to the dead letters."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class Cancel(Signal):
    """End the job as cancelled."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class RateLimited(Signal):
    """A limit elsewhere is used up: run again after `after` without spending an attempt."""

    def __init__(self, reason: str = "", *, after: Duration) -> None:
        super().__init__(reason)
        self.after = seconds(after, "after")


class Flow(msgspec.Struct, frozen=True, omit_defaults=True):
    """A workflow as its first job carries it."""

    jobs: int
    name: str | None = None


class Membership(msgspec.Struct, frozen=True, omit_defaults=True):
    """A batch, and what further members are to run before: its callbacks, each with its edges' policy."""

    id: str
    ahead: tuple[tuple[str, OnFailure], ...] = ()


class RunOptions(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What one job says about its runs, stored with it; None leaves it to the kind's declaration in the worker."""

    timeout: float | None = None
    backoff: Backoff | None = None
    max_rescues: int | None = None
    version: int = 1
    plan: str | None = None
    trace: dict[str, str] | None = None
    child: bool = False
    """It has parents: a handler that takes the context gets their results."""
    inputs: dict[str, str] | None = None
    """Parameters that are results of parents: name -> job id."""
    batch: Membership | None = None
    """The batch it is a member of."""
    callback: str | None = None
    """The batch it is a callback of."""
    flow: Flow | None = None
    """On the first job of a workflow: what the whole is."""
    rule: str | None = None
    """The priority rules that decided the job's priority."""
    deadline: float | None = None
    """Seconds from its creation, over all attempts."""
    deadline_at: Micros | None = None
    """The same as an instant; one of the two."""
    provider: str | None = None
    """The provider whose breaker it is under, if not its kind's."""
    skip_cache: bool = False
    """It runs although its kind's cache knows the answer."""
    cached: str | None = None
    """It was answered from the cache: the job that made the result."""


class RunRules(msgspec.Struct, frozen=True, kw_only=True):
    """What `judge` goes by: the job's options over the kind's declaration."""

    backoff: BackoffLike = DEFAULT_BACKOFF
    max_rescues: int = DEFAULT_RESCUES
    errors: Any = None
    """A `failure.Rule`; typed Any because msgspec cannot name a callable union."""
    deadline: Micros | None = None
    """From the job's creation; beyond it no attempt starts."""
    deadline_at: Micros | None = None

    def ends_by(self, claim: Claim) -> Micros | None:
        """The instant by which the job must be over. None without a deadline, and after an operator's requeue beyond it: the
        store drops an expiry that has passed then. (It drops it of suspended jobs too, but they wake at their deadline.)"""
        ends_by = self.deadline_at if self.deadline is None else claim.created_at + self.deadline
        if ends_by is not None and claim.expires_at is None and claim.ready_at > ends_by + SECOND:
            return None
        return ends_by


DEFAULT_RULES = RunRules()


class Finish(msgspec.Struct, frozen=True, gc=False):
    """How an attempt ends, for the store to commit if `lease` is still the job's.

    event: complete, retry, snooze, release, suspend, fail, abort. `result`: JSON text. `error`: `ErrorInfo` as JSON text (it
    replaces the job's). `trail`: a `Trail` as JSON text, kept for every end but complete. `delay`: microseconds from the
    store's now (retry, snooze, release with delay; of suspend the longest wait, 0 for ever). `spends`: the attempt
    counts. `rescued`: adds one to the job's rescues (only a judged lapse does). `park`: keep the released job out of reach
    until a worker that serves the key comes (`kind:<name>`). `took`, `waited`: microseconds of run and of waiting, for the
    tallies. `follow`: jobs to enqueue in the same transaction. `signal`: what a suspended job waits for; if it has come
    already, the job is waiting at once. `user`: the job's, for the tallies. `spent`: millionths of a dollar, added to the job's
    `cost`. `cpu`: microseconds, `memory`: bytes at the highest, both 0 where they are not known. `fingerprint`: the error's
    (retry, fail). `ladder`: of a failed job that may be retried by itself later, the waits (microseconds) before the first,
    second, third automatic retry: the store takes the one behind the retries that it had (`Job.revivals`). `worker`: who ran it,
    for the tallies.
    """

    id: str
    lease: int
    event: Event
    queue: str
    kind: str
    result: str | None = None
    error: str | None = None
    trail: str | None = None
    reason: str | None = None
    delay: Micros = 0
    spends: bool = True
    rescued: bool = False
    park: str | None = None
    took: Micros = 0
    waited: Micros = 0
    user: str | None = None
    follow: tuple[NewJob[Any], ...] = ()
    signal: str | None = None
    spent: int = 0
    cpu: Micros = 0
    memory: int = 0
    fingerprint: str = ""
    ladder: tuple[Micros, ...] = ()
    worker: str = ""


class Verdict(StrEnum):
    """What a store says of one finish: taken; taken before (a lost reply, no effect now); refused, the lease is gone."""

    ACCEPTED = "accepted"
    REPEAT = "repeat"
    STALE = "stale"


def completed(claim: Claim, result: str | None, took: Micros) -> Finish:
    """The handler returned. The hot path: positional, no keyword, no trail (the record's own times tell it)."""
    return Finish(
        claim.id,
        claim.lease,
        _COMPLETE,
        claim.queue,
        claim.kind,
        result,
        None,
        None,
        None,
        0,
        True,
        False,
        None,
        took,
        claim.claimed_at - claim.ready_at,
        claim.user,
    )


def overdue(claim: Claim, worker: str, error: ErrorInfo | None = None, took: Micros = 0) -> Finish:
    """The job's deadline has passed, or comes before its next attempt (`error`: why it would need one)."""
    info = error or ErrorInfo(
        type="DeadlinePassed",
        category=Category.PERMANENT,
        reason=DEADLINE,
        message=f"its deadline passed before attempt {claim.attempt} could start",
    )
    return _Ended(claim, worker, took).as_(Event.FAIL, error=info, reason=DEADLINE, spends=error is not None)


def judge(claim: Claim, error: BaseException, rules: RunRules, worker: str, took: Micros) -> Finish:
    """What follows when the handler raised `error` (a `Signal` or any exception, a timeout included).

    Never raises: a slot whose attempt has no end would hold its job for ever. An error that cannot even be looked at
    (properties, comparisons, texts that raise) counts as temporary.
    """
    try:
        return _judge(claim, error, rules, worker, took)
    except (Exception, KeyboardInterrupt, SystemExit, GeneratorExit) as broken:
        text = f"a {type(error).__name__} that cannot be looked at: {type(broken).__name__}"
        plain = RuntimeError(text).with_traceback(error.__traceback__)
        return _judge(claim, plain, DEFAULT_RULES, worker, took)


def _judge(claim: Claim, error: BaseException, rules: RunRules, worker: str, took: Micros) -> Finish:
    end = _Ended(claim, worker, took)
    if isinstance(error, (Snooze, RateLimited)):
        return _put_off(end, error, rules)
    if isinstance(error, Cancel):
        return end.as_(Event.ABORT, reason=_reason(error))
    if isinstance(error, Fail):
        return end.as_(Event.FAIL, error=describe(error, Category.PERMANENT), reason=_reason(error))
    category = Category.TEMPORARY if isinstance(error, Retry) else _category(error, rules.errors)
    info = describe(error, category)
    if category is Category.HELD:
        return end.as_(Event.FAIL, error=info, reason=_reason(error))
    if category is Category.PERMANENT:
        return end.as_(Event.FAIL, error=info, reason="permanent error")
    if claim.attempt >= claim.max_attempts:
        return end.as_(Event.FAIL, error=info, reason="attempts used up")
    asked = error.after if isinstance(error, Retry) else retry_after(error)
    if category is Category.RATE_LIMIT and asked is not None:
        info = msgspec.structs.replace(info, retry_after=asked)
    delay = delay_after(rules.backoff, claim.attempt) if asked is None else asked
    if _too_late(claim, rules, took, delay):
        return overdue(claim, worker, info, took)
    return end.as_(Event.RETRY, error=info, delay=delay)


def lapsed(claim: Claim, rules: RunRules, worker: str) -> Finish:
    """The job's lease lapsed: its worker died or stood still. Back to waiting, unspent, until the rescues are used up."""
    end = _Ended(claim, worker, 0)
    if claim.cancelling:
        return end.as_(Event.ABORT, reason="cancelled while its worker was lost", rescued=True)
    if claim.rescues + 1 > rules.max_rescues:
        info = ErrorInfo(
            type="WorkerLost",
            category=Category.PERMANENT,
            reason="stalled",
            message=f"its worker was lost {claim.rescues + 1} times; at most {rules.max_rescues} rescues are allowed",
        )
        return end.as_(Event.FAIL, error=info, reason="stalled", rescued=True)
    return end.as_(Event.RELEASE, reason="rescued", spends=False, rescued=True)


def released(claim: Claim, worker: str, reason: str, *, park: str | None = None) -> Finish:
    """Given back unrun or unfinished: shutdown, or (`park`) a kind this worker does not know. Spends nothing."""
    return _Ended(claim, worker, 0).as_(Event.RELEASE, reason=reason, spends=False, park=park)


def aborted(claim: Claim, worker: str, reason: str, took: Micros) -> Finish:
    """Stopped while running because somebody cancelled it."""
    return _Ended(claim, worker, took).as_(Event.ABORT, reason=reason)


def paused(
    claim: Claim, worker: str, took: Micros, event: Event, reason: str, delay: Micros, signal: str | None
) -> Finish:
    """The handler is to be run again from the top: it sleeps (snooze), waits for a signal (suspend; 0 is for ever), or was
    interrupted (release). Spends nothing."""
    end = _Ended(claim, worker, took).as_(event, reason=reason, spends=False)
    return msgspec.structs.replace(end, delay=delay, signal=signal)


def within_deadline(end: Finish, claim: Claim, rules: RunRules, worker: str) -> Finish:
    """A pause that ends by the job's deadline: no sleep goes beyond it, and who waits for a signal wakes at it."""
    ends_by = rules.ends_by(claim)
    if ends_by is None or end.event is Event.RELEASE:
        return end
    left = ends_by - claim.claimed_at - end.took
    if left <= 0 or (end.event is Event.SNOOZE and end.delay >= left):
        return overdue(claim, worker, took=end.took)
    if end.event is Event.SUSPEND and (end.delay == 0 or end.delay > left):
        return msgspec.structs.replace(end, delay=left)
    return end


class _Ended(msgspec.Struct, frozen=True):
    claim: Claim
    worker: str
    took: Micros

    def as_(
        self,
        event: Event,
        *,
        error: ErrorInfo | None = None,
        delay: float = 0.0,
        reason: str | None = None,
        spends: bool = True,
        rescued: bool = False,
        park: str | None = None,
        told: ErrorInfo | None = None,
    ) -> Finish:
        claim = self.claim
        entry = Trail(
            outcome="rescue" if rescued and event is Event.RELEASE else str(event),
            error=error or told,
            reason=reason,
            worker=self.worker,
            took=self.took,
        )
        return Finish(
            claim.id,
            claim.lease,
            event,
            claim.queue,
            claim.kind,
            error=_text(error) if error else None,
            trail=_text(entry),
            reason=reason,
            delay=round(delay * SECOND),
            spends=spends,
            rescued=rescued,
            park=park,
            took=self.took,
            waited=claim.claimed_at - claim.ready_at,
            user=claim.user,
            fingerprint=error.fingerprint if error else "",
        )


def _put_off(end: _Ended, error: Snooze | RateLimited, rules: RunRules) -> Finish:
    """Later, unspent, unless the deadline comes before. The trail tells of a rate limit; the job's error stays what it was."""
    limited = isinstance(error, RateLimited)
    delay = error.after if limited else error.delay
    info = describe(error, Category.RATE_LIMIT if limited else Category.TEMPORARY)
    if _too_late(end.claim, rules, end.took, delay):
        return overdue(end.claim, end.worker, info, end.took)
    reason = _reason(error) or (RATE_LIMITED if limited else None)
    told = msgspec.structs.replace(info, retry_after=delay) if limited else None
    return end.as_(Event.SNOOZE, delay=delay, reason=reason, spends=False, told=told)


def _too_late(claim: Claim, rules: RunRules, took: Micros, delay: float) -> bool:
    ends_by = rules.ends_by(claim)
    return ends_by is not None and claim.claimed_at + took + round(delay * SECOND) >= ends_by


def _category(error: BaseException, rule: Rule | None) -> Category:
    if isinstance(error, OutcomeUnknown):  # whatever the user's rule says of all errors
        return Category.HELD
    try:
        return classify(error, rule)
    except Exception:  # a user's rule that raises must not hide the error it was asked about
        return classify(error)


def _reason(error: BaseException) -> str | None:
    return safe_text(message_of(error), LONGEST_REASON) or None


def _text(value: msgspec.Struct) -> str:
    return msgspec.json.encode(value).decode()
