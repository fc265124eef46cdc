"""Schedules: the row as stores keep it, the rule that only the core reads, and what is to be done when a time is due.

The store compares and moves `due`; everything here is a pure function of the rule and of instants, so any worker comes to
the same decision, and the store's compare-and-set lets one of them carry it out.
"""

from collections import deque
from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from itertools import islice, takewhile
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from windlass.errors import ScheduleError
from windlass.values.clock import SECOND, Micros, moment
from windlass.values.job import NewJob

Overlap: TypeAlias = Literal["skip", "queue", "cancel_previous"]
Missed: TypeAlias = Literal["run_once", "skip", "run_all"]
OVERLAPS: tuple[Overlap, ...] = ("skip", "queue", "cancel_previous")
MISSED: tuple[Missed, ...] = ("run_once", "skip", "run_all")

CATCH_UP = 100
"""How many missed times `run_all` makes up for, unless the schedule says otherwise: the newest ones."""

LATE: Micros = 60 * SECOND
"""A time that no worker saw for so long was missed; younger ones are just late."""

TAG = "schedule:"
"""Jobs made by a schedule carry this tag, followed by its key: a schedule's history is a list of jobs."""

DUE = "due:"
"""And this one, followed by the due time they were made for: `due:2030-01-01T06:00:00+00:00`."""


class ScheduleRow(msgspec.Struct, frozen=True, kw_only=True):
    """`spec`: JSON text that only the core reads (rule, zone, policies, the job to make). `owner`: the application whose
    code declared it, None when made at run time. `due`: the next fire, None when it never fires again."""

    key: str
    spec: str
    owner: str | None = None
    due: Micros | None = None
    paused: bool = False
    last_due: Micros | None = None
    last_job: str | None = None
    fired: int = 0


class Rule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a row's `spec` says. Due times: by `cron` in `timezone`, or `every` so many microseconds counted from `start`
    (1970 if None), or once `at` an instant. `jitter`: each job waits a part of it, fixed by key and due time. `job`: what
    every fire makes, without its id."""

    job: NewJob[Any]
    cron: str | None = None
    every: Micros | None = None
    at: Micros | None = None
    start: Micros | None = None
    timezone: str = "UTC"
    overlap: Overlap = "skip"
    missed: Missed = "run_once"
    catch_up: int = CATCH_UP
    jitter: Micros = 0

    @property
    def timing(self) -> tuple[object, ...]:
        """What decides when it is due; two rules of the same timing share their due times."""
        return (self.cron, self.every, self.at, self.start, self.timezone)


class Step(msgspec.Struct, frozen=True):
    """What to do about one due time: move on from `due` to `next_due`, and make a job (`fires`) or none."""

    due: Micros
    next_due: Micros | None
    fires: bool


class Occurrence(msgspec.Struct, frozen=True):
    """A due time, in the schedule's zone. `mark`: `gap` if the clock skips the named wall time, so that the fire comes
    right after the gap; `fold` if the wall time comes twice that day."""

    at: datetime
    mark: Literal["gap", "fold"] | None = None


def write_rule(rule: Rule) -> str:
    """A rule as a row's `spec`."""
    return msgspec.json.encode(rule).decode()


def read_rule(spec: str) -> Rule:
    """The rule of a row's `spec`; raises `ScheduleError` for what this version cannot read."""
    try:
        return _RULE.decode(spec)
    except msgspec.MsgspecError as error:
        raise ScheduleError(f"this version cannot read the schedule: {error}", field="spec") from error


def due_after(rule: Rule, after: Micros) -> Micros | None:
    """The first due time later than an instant; None if it never fires again."""
    return next(_times(rule, after), None)


def plan(rule: Rule, due: Micros, last_due: Micros | None, now: Micros) -> list[Step]:
    """What to do about a due time that has come, and about those missed since: steps to take in order, each only if the
    one before was not somebody else's.

    A time not later than `last_due` was dealt with already (a deploy that read the row before wrote it back) and is only
    passed over: with this, no race between changing a schedule and firing it makes two jobs of one time.
    """
    if last_due is not None and due <= last_due:
        return [Step(due, due_after(rule, last_due), fires=False)]
    most = rule.catch_up if rule.missed == "run_all" else 1
    passed = _newest(rule, due, now, most)
    newest = passed[-1] if passed else due
    following = due_after(rule, newest)
    fires = passed if len(passed) >= most else [due, *passed]
    if rule.missed == "skip" and now - newest > LATE:
        return [Step(due, following, fires=False)]
    steps = [Step(at, later, fires=True) for at, later in zip(fires, [*fires[1:], following], strict=True)]
    return steps if fires[0] == due else [Step(due, fires[0], fires=False), *steps]


def job_for(rule: Rule, key: str, due: Micros, id: str) -> NewJob[Any]:
    """The job that one fire makes: the rule's, to run at the due time plus its jitter (and delay, if it has one), tagged
    with the schedule and the due time."""
    job = rule.job
    at = due + jitter(rule, key, due) + (job.delay or 0)
    tags = (*tagged(job.tags, key), DUE + moment(due).isoformat())
    return replace(job, id=id, delay=None, run_at=at, tags=tags)


def tagged(tags: tuple[str, ...], key: str) -> tuple[str, ...]:
    """A schedule's tags for its jobs."""
    return tuple(dict.fromkeys((*tags, TAG + key)))


def jitter(rule: Rule, key: str, due: Micros) -> Micros:
    """How long the job of one due time waits: the same for everyone who asks, evenly spread over 0 to `rule.jitter`."""
    if not rule.jitter:
        return 0
    digest = sha256(f"{key} {due}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % (rule.jitter + 1)


def preview(rule: Rule, after: Micros, count: int) -> list[Occurrence]:
    """The next due times after an instant, in the rule's zone, without jitter."""
    from windlass.values.cron import read_zone  # only cron needs cronsim, and engines load this module

    zone = read_zone(rule.timezone)
    return [Occurrence(moment(at).astimezone(zone), mark) for at, mark in islice(_marked(rule, after), count)]


def _newest(rule: Rule, after: Micros, until: Micros, most: int) -> list[Micros]:
    """The newest due times in (after, until], at most `most`, oldest first. It looks back in growing steps, so a second's
    schedule that slept for a year costs as little as one that slept for a minute."""
    width = SECOND
    while True:
        begin = max(after, until - width)
        found = deque(takewhile(lambda due: due <= until, _times(rule, begin)), maxlen=most)
        if begin == after or len(found) == most:
            return list(found)
        width *= 2


def _times(rule: Rule, after: Micros) -> Iterator[Micros]:
    return (at for at, _ in _marked(rule, after))


def _marked(rule: Rule, after: Micros) -> Iterator[tuple[Micros, Literal["gap", "fold"] | None]]:
    if rule.cron is not None:
        from windlass.values.cron import due_times, read_zone

        yield from due_times(rule.cron, read_zone(rule.timezone), after)
    elif rule.at is not None:
        if rule.at > after:
            yield rule.at, None
    elif rule.every is not None:
        start = rule.start or 0
        at = start + max(0, (after - start) // rule.every + 1) * rule.every
        while True:
            yield at, None
            at += rule.every


_RULE = msgspec.json.Decoder(Rule)
