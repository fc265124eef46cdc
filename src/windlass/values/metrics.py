"""Tallies: what `finish` counts in the same transaction, so that metrics are exact after any crash.

A tally is (queue, kind, name, bucket) -> number, added up per minute by the store. Names: the outcomes (`complete`,
`retry`, `snooze`, `release`, `fail`, `abort`, `rescue`) with bucket 0; `took` and `waited` as histograms, whose bucket b holds
durations in (1.02**(b-1), 1.02**b] microseconds, so a percentile is within 2 %; `took_sum`, `waited_sum` in microseconds.
"""

import math
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from windlass.values.clock import Micros
from windlass.values.outcome import Finish
from windlass.values.states import Event

_GROWTH = math.log(1.02)
MINUTE: Micros = 60_000_000


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
    """Which tallies: instants [`since`, `until`), of these queues, kinds and names; empty means all."""

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
        if event is Event.RELEASE or rescued:
            continue
        for name, durations in (("took", [end.took for end in ends]), ("waited", [end.waited for end in ends])):
            key = TallyKey(queue, kind, name + "_sum", 0)
            sums[key] = sums.get(key, 0) + sum(durations)
            for number, count in Counter(map(bucket, durations)).items():
                key = TallyKey(queue, kind, name, number)
                sums[key] = sums.get(key, 0) + count
    return sums


def percentile(histogram: Iterable[tuple[int, int]], share: float) -> float | None:
    """The duration in microseconds below which `share` (0..1) of the (bucket, count) pairs lie; None when empty."""
    pairs = sorted(histogram)
    total = sum(count for _, count in pairs)
    if not total:
        return None
    need = share * total
    seen = 0
    for number, count in pairs:
        seen += count
        if seen >= need:
            return bucket_top(number)
    return bucket_top(pairs[-1][0])
