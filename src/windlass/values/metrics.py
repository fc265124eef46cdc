"""Tallies: what `finish` counts in the same transaction, so that metrics are exact after any crash.

A tally is (queue, kind, name, bucket) -> number, added up per minute by the store. Names: the outcomes (`complete`,
`retry`, `snooze`, `release`, `fail`, `abort`, `rescue`) with bucket 0; `took` and `waited` as histograms, whose bucket b holds
durations in (1.02**(b-1), 1.02**b] microseconds, so a percentile is within 2 %; `took_sum`, `waited_sum` in microseconds;
`cost` in millionths of a dollar; `cpu_sum` in microseconds; `memory`: bucket 0 the sum of peaks in bytes, bucket 1 how many runs
told theirs. `user:<user>` counts per user, bucket by `USER` below. `error:<fingerprint>` counts errors, bucket 0 of attempts that
are made again, 1 of jobs that failed for good. `cancel`, `expire`, `doom` and `fail-by-command` are jobs that the engine ended by
itself: by command, by expiry, by an edge, by command to the dead letters; bucket 0.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from windlass.values.clock import Micros
from windlass.values.outcome import Finish
from windlass.values.states import Event

_GROWTH = math.log(1.02)
_MIDDLE = math.sqrt(1.02)
MINUTE: Micros = 60_000_000

USER = ("complete", "fail", "abort", "retry", "took_sum", "cost", "memory", "memory_runs")
"""What the buckets of `user:<user>` count, by number."""
_TOOK = USER.index("took_sum")
_USER_ENDS = {Event.COMPLETE: 0, Event.FAIL: 1, Event.ABORT: 2, Event.RETRY: 3}


class TallyKey(NamedTuple):
    queue: str
    kind: str
    name: str
    bucket: int


class Point(msgspec.Struct, frozen=True):
    """One stored sum: `minute` is the instant the minute began."""

    minute: Micros
    queue: str
    kind: str
    name: str
    bucket: int
    value: int


class MetricQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which tallies: instants [`since`, `until`), of these queues, kinds and names; empty means all, but no names with a colon:
    those (`user:42`, `user:*`) are given where they come of use. A name may end in `*`."""

    since: Micros
    until: Micros
    queues: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


def bucket(duration: Micros) -> int:
    """The histogram bucket of a duration: 0 for a microsecond or less."""
    return 0 if duration <= 1 else math.ceil(math.log(duration) / _GROWTH)


def bucket_top(number: int) -> float:
    """The largest duration of a bucket, in microseconds."""
    return math.exp(number * _GROWTH)


def tally(finishes: Iterable[Finish]) -> dict[TallyKey, int]:
    """The sums that accepted finishes add. Run times are counted for runs that ended by themselves."""
    alike: dict[tuple[str, str, Event, bool], list[Finish]] = {}
    for end in finishes:  # grouped first: a batch is mostly one kind, and this runs for every job
        alike.setdefault((end.queue, end.kind, end.event, end.rescued), []).append(end)
    sums: dict[TallyKey, int] = {}
    for (queue, kind, event, rescued), ends in alike.items():
        key = TallyKey(queue, kind, "rescue" if rescued else event.value, 0)
        sums[key] = sums.get(key, 0) + len(ends)
        ran = not (event is Event.RELEASE or rescued)
        if ran:
            _tally_times(sums, queue, kind, ends)
        rest = [end for end in ends if end.user is not None or end.spent or end.memory or end.cpu or end.fingerprint]
        if rest:
            _tally_rest(sums, rest, ran)
    return sums


def _tally_times(sums: dict[TallyKey, int], queue: str, kind: str, ends: list[Finish]) -> None:
    for name, durations in (("took", [end.took for end in ends]), ("waited", [end.waited for end in ends])):
        key = TallyKey(queue, kind, name + "_sum", 0)
        sums[key] = sums.get(key, 0) + sum(durations)
        for number, count in Counter(map(bucket, durations)).items():
            key = TallyKey(queue, kind, name, number)
            sums[key] = sums.get(key, 0) + count


def _tally_rest(sums: dict[TallyKey, int], ends: list[Finish], ran: bool) -> None:
    """What few ends have: a user, costs, measured resources, an error. Money and resources count however the attempt ended: what
    was spent before a sleep, a suspension or a release is gone too. `ends`: of one queue, kind and event."""
    first = ends[0]
    queue, kind, event = first.queue, first.kind, first.event
    ended = _USER_ENDS.get(event) if ran else None
    found: dict[tuple[str, int], int] = {}
    users: dict[str, list[int]] = {}
    cost = cpu = memory = measured = 0
    for end in ends:
        spent, peak = end.spent, end.memory
        cost += spent
        cpu += end.cpu
        if peak:
            memory += peak
            measured += 1
        if end.fingerprint:
            name = (f"error:{end.fingerprint}", int(event is Event.FAIL))
            found[name] = found.get(name, 0) + 1
        user = end.user
        if user is not None:
            row = users.get(user)
            if row is None:
                row = users[user] = [0] * len(USER)
            if ended is not None:
                row[ended] += 1
            if ran:
                row[_TOOK] += end.took
            row[_TOOK + 1] += spent
            row[_TOOK + 2] += peak
            row[_TOOK + 3] += peak > 0
    found[("cost", 0)], found[("cpu_sum", 0)], found[("memory", 0)], found[("memory", 1)] = cost, cpu, memory, measured
    for user, row in users.items():
        for number, value in enumerate(row):
            found[f"user:{user}", number] = value
    for (name, number), value in found.items():
        if value:
            key = TallyKey(queue, kind, name, number)
            sums[key] = sums.get(key, 0) + value


def percentiles(histogram: Mapping[int, int], shares: Sequence[float]) -> list[float]:
    """The durations in microseconds below which the shares (ascending, 0 to 1) of a histogram that is not empty lie: the middle
    of the bucket, so within 1 %."""
    pairs = sorted(histogram.items())
    total = sum(histogram.values())
    found: list[float] = []
    seen = at = 0
    for share in shares:
        while seen + pairs[at][1] < share * total and at < len(pairs) - 1:
            seen += pairs[at][1]
            at += 1
        number = pairs[at][0]
        found.append(bucket_top(number) / _MIDDLE if number else 1.0)
    return found
