"""Tallies: what `finish` counts in the same transaction, so that metrics are exact after any crash.

A tally is (queue, kind, name, bucket) -> number, added up per minute by the store. Names: the outcomes (`complete`,
`retry`, `snooze`, `release`, `fail`, `abort`, `rescue`) with bucket 0; `took` and `waited` as histograms, whose bucket b holds
durations in (1.02**(b-1), 1.02**b] microseconds, so a percentile is within 2 %; `took_sum`, `waited_sum` in microseconds;
`cost` in millionths of a dollar; `cpu_sum` in microseconds; `memory`: bucket 0 the sum of peaks in bytes, bucket 1 how many runs
told theirs. `user:<user>` counts per user, bucket by `USER` below. `worker:<worker>`, of the queue and kind "", counts
per worker, bucket by `WORKER`. `error:<fingerprint>` counts errors, bucket 0 of attempts that
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
WORKER = (
    *("complete", "fail", "abort", "retry", "snooze", "suspend", "release", "took_sum", "waited_sum"),
    *("cost", "cpu_sum", "memory", "memory_runs"),
)
"""The same of `worker:<worker>`; of histograms of its own see `TOOK`."""
_WORKER_ENDS = {Event(name): number for number, name in enumerate(WORKER[:7])}
_WORKER_COST = WORKER.index("cost")
COARSE = 4
TOOK, WAITED = 1_000, 2_000
"""Behind these numbers `worker:<worker>` has its histograms, of buckets that are `COARSE` of the others wide (8 %)."""
_USER_ENDS = {Event.COMPLETE: 0, Event.FAIL: 1, Event.ABORT: 2, Event.RETRY: 3}


class TallyKey(NamedTuple):
    queue: str
    kind: str
    name: str
    bucket: int


class Tally(NamedTuple):
    """What is added under one name, by bucket."""

    queue: str
    kind: str
    name: str
    values: Mapping[int, int]


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
    """What accepted finishes add to each sum."""
    sums: dict[TallyKey, int] = {}
    for queue, kind, name, values in tallies(finishes):
        for number, value in values.items():
            key = TallyKey(queue, kind, name, number)
            sums[key] = sums.get(key, 0) + value
    return sums


def tallies(finishes: Iterable[Finish]) -> list[Tally]:
    """The same by name; one may come several times. Run times are counted for runs that ended by themselves."""
    alike: dict[tuple[str, str, Event, bool, str], list[Finish]] = {}
    for end in finishes:  # grouped first: a batch is mostly one kind, and this runs for every job
        alike.setdefault((end.queue, end.kind, end.event, end.rescued, end.worker), []).append(end)
    found: list[Tally] = []
    for (queue, kind, event, rescued, worker), ends in alike.items():
        found.append(Tally(queue, kind, "rescue" if rescued else event.value, {0: len(ends)}))
        ran = not (event is Event.RELEASE or rescued)
        of_worker = {_WORKER_ENDS[event]: len(ends)}
        if ran:
            for name, first, durations in (
                ("took", TOOK, [end.took for end in ends]),
                ("waited", WAITED, [end.waited for end in ends]),
            ):
                histogram, total = Counter(map(bucket, durations)), sum(durations)
                found += (Tally(queue, kind, name, histogram), Tally(queue, kind, name + "_sum", {0: total}))
                of_worker[WORKER.index(name + "_sum")] = total
                for number, count in histogram.items():
                    number = first + -(-number // COARSE)
                    of_worker[number] = of_worker.get(number, 0) + count
        rest = [end for end in ends if end.user is not None or end.spent or end.memory or end.cpu or end.fingerprint]
        if rest:
            _add_rest(found, of_worker, rest, ran)
        if worker and not rescued:
            found.append(Tally("", "", "worker:" + worker, of_worker))
    return found


def _add_rest(found: list[Tally], of_worker: dict[int, int], ends: list[Finish], ran: bool) -> None:
    """What few ends have: a user, costs, measured resources, an error. Money and resources count however the attempt ended: what
    was spent before a sleep, a suspension or a release is gone too. `ends`: of one queue, kind and event."""
    first = ends[0]
    queue, kind, event = first.queue, first.kind, first.event
    peaks = [end.memory for end in ends if end.memory]
    cost, cpu, memory = sum([end.spent for end in ends]), sum([end.cpu for end in ends]), sum(peaks)
    if cost:
        found.append(Tally(queue, kind, "cost", {0: cost}))
    if cpu:
        found.append(Tally(queue, kind, "cpu_sum", {0: cpu}))
    if peaks:
        found.append(Tally(queue, kind, "memory", {0: memory, 1: len(peaks)}))
    for number, value in enumerate((cost, cpu, memory, len(peaks)), _WORKER_COST):
        if value:
            of_worker[number] = value
    for fingerprint, count in Counter([end.fingerprint for end in ends if end.fingerprint]).items():
        found.append(Tally(queue, kind, f"error:{fingerprint}", {int(event is Event.FAIL): count}))
    users: dict[str, list[Finish]] = {}
    for end in ends:
        if end.user is not None:
            users.setdefault(end.user, []).append(end)
    ended = _USER_ENDS.get(event) if ran else None
    for user, own in users.items():
        values: dict[int, int] = {} if ended is None else {ended: len(own)}
        if ran and (took := sum([end.took for end in own])):
            values[_TOOK] = took
        if cost and (spent := sum([end.spent for end in own])):
            values[_TOOK + 1] = spent
        if memory and (peaks := [end.memory for end in own if end.memory]):
            values[_TOOK + 2], values[_TOOK + 3] = sum(peaks), len(peaks)
        found.append(Tally(queue, kind, "user:" + user, values))


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
