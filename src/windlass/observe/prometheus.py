"""Metrics in the text format of Prometheus: counters that only grow, whichever process answers and whatever is pruned.

The store keeps sums by the minute and forgets old ones. So everything up to a closed hour is added up in one record, which
each reader moves on by compare-and-set; a scrape reads that and the minutes since.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from windlass.errors import SettingsError, StoreError
from windlass.observe.frames import CLOSED, DAY, HOUR, Cells, Sums, frames, read_cells, text_of, together
from windlass.providers.breakers import states
from windlass.store.protocol import Store
from windlass.values.clock import SECOND, Micros
from windlass.values.limit import PROVIDER
from windlass.values.metrics import MINUTE, bucket
from windlass.values.query import Swap
from windlass.values.states import State

try:
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
    from prometheus_client.registry import Collector
except ImportError as error:
    raise SettingsError(
        "the text format of Prometheus needs prometheus_client", mend='pip install "windlass[metrics]"'
    ) from error

_SPACE, _KEY = "metrics-total", "all"
_START: Micros = 8 * DAY
"""How far back the first reader of a store begins: minutes are kept for a week."""
_BOUNDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3_600, 21_600)
_OUTCOMES = {
    "complete": "completed",
    "fail": "failed",
    "abort": "cancelled",
    "retry": "retried",
    "rescue": "rescued",
    "snooze": "snoozed",
    "suspend": "suspended",
    "release": "released",
}


class _Ready(Collector):
    """Hands out families that were made before."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


async def exposition(store: Store) -> str:
    """All metrics as text."""
    families = [*_attempts(await _totals(store)), *await _gauges(store)]
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Ready(families))
    return generate_latest(registry).decode()


class _Total(msgspec.Struct, frozen=True):
    """What is added up to the instant `upto`; `cells` is the text of a frame."""

    upto: Micros
    cells: str


async def _totals(store: Store) -> Cells:
    """Everything counted up to now, since a week before somebody asked first."""
    now = await store.now()
    record = next(iter(await store.records(_SPACE, [_KEY])), None)
    known = msgspec.json.decode(record.text, type=_Total) if record is not None and record.text else None
    upto = max(now - _START, 0) // HOUR * HOUR if known is None else known.upto
    cells = {} if known is None else read_cells(known.cells)
    closed = max((now - CLOSED) // HOUR * HOUR, upto)
    if closed > upto:
        cells = _sum(cells, together(await frames(store, upto, closed, now, most="hour")))
        text = msgspec.json.encode(_Total(closed, text_of(cells))).decode()
        swap = Swap(space=_SPACE, key=_KEY, text=text, expect=0 if record is None else record.version)
        # Another reader may have been first, or the store takes no writes: the sum is right all the same.
        with contextlib.suppress(StoreError):
            await store.exchange([swap])
    return _sum(cells, together(await frames(store, closed, now // MINUTE * MINUTE + MINUTE, now, most="hour")))


def _sum(first: Cells, second: Cells) -> Cells:
    for key, sums in second.items():
        first.setdefault(key, Sums()).add(sums)
    return first


def _attempts(cells: Cells) -> Iterator[Metric]:
    ends = CounterMetricFamily("windlass_attempts", "Attempts by how they ended.", labels=("queue", "kind", "outcome"))
    run = HistogramMetricFamily("windlass_run_seconds", "How long attempts ran.", labels=("queue", "kind"))
    wait = HistogramMetricFamily(
        "windlass_wait_seconds", "How long attempts waited from when they could run.", labels=("queue", "kind")
    )
    cost = CounterMetricFamily("windlass_cost", "What attempts cost, in the app's currency.", labels=("queue", "kind"))
    cpu = CounterMetricFamily("windlass_cpu_seconds", "CPU time of attempts that tell it.", labels=("queue", "kind"))
    for (queue, kind), sums in sorted(cells.items()):
        if sums.cost:
            cost.add_metric((queue, kind), sums.cost / 1e6)
        if sums.cpu:
            cpu.add_metric((queue, kind), sums.cpu / SECOND)
        for name, outcome in _OUTCOMES.items():
            if n := sums.ends.get(name):
                ends.add_metric((queue, kind, outcome), n)
        if sums.took:
            run.add_metric((queue, kind), _buckets(sums.took), sums.took_sum / SECOND)
        if sums.waited:
            wait.add_metric((queue, kind), _buckets(sums.waited), sums.waited_sum / SECOND)
    yield from (ends, run, wait, cost, cpu)


def _buckets(histogram: Mapping[int, int]) -> list[tuple[str, float]]:
    """Cumulative counts by upper bound in seconds; a bound lies within a bucket of 2 %, which counts as below it."""
    tops = [bucket(round(bound * SECOND)) for bound in _BOUNDS]
    pairs = sorted(histogram.items())
    seen = at = 0
    counted: list[tuple[str, float]] = []
    for bound, top in zip(_BOUNDS, tops, strict=True):
        while at < len(pairs) and pairs[at][0] <= top:
            seen += pairs[at][1]
            at += 1
        counted.append((f"{bound:g}", seen))
    return [*counted, ("+Inf", seen + sum(n for _, n in pairs[at:]))]


async def _gauges(store: Store) -> list[Metric]:
    jobs = GaugeMetricFamily("windlass_jobs", "Jobs by queue and state.", labels=("queue", "state"))
    counts = {(count.queue, count.state): count.n for count in await store.counts()}
    queues = await store.queues()
    for queue in sorted({queue.name for queue in queues} | {queue for queue, _ in counts}):
        for state in State:  # a state without jobs is 0, not absent: absent series raise no alert
            jobs.add_metric((queue, state.value), counts.get((queue, state), 0))
    paused = GaugeMetricFamily("windlass_queue_paused", "1 while a queue is paused.", labels=("queue",))
    for queue in queues:
        paused.add_metric((queue.name,), float(queue.paused))
    now = await store.now()
    live = [worker for worker in await store.workers() if now - worker.seen_at <= worker.lease]
    slots, running = sum(sum(worker.slots.values()) for worker in live), sum(worker.running for worker in live)
    return [
        jobs,
        paused,
        GaugeMetricFamily("windlass_workers", "Workers alive.", value=len(live)),
        GaugeMetricFamily("windlass_worker_slots", "Jobs that live workers can run at once.", value=slots),
        GaugeMetricFamily("windlass_worker_running", "Jobs that live workers run.", value=running),
        await _breakers(store),
    ]


async def _breakers(store: Store) -> Metric:
    open_ = GaugeMetricFamily(
        "windlass_breaker_open", "1 while the breaker of a provider is open, 0.5 half-open.", labels=("provider",)
    )
    limits = await store.limits(limit=1_000)
    names = [limit.key.removeprefix(PROVIDER) for limit in limits if limit.key.startswith(PROVIDER)]
    for name, breaker in sorted((await states(store, names)).items() if names else ()):
        open_.add_metric((name,), {"closed": 0.0, "half-open": 0.5, "open": 1.0}[breaker.state])
    return open_
