"""What is measured for one peer in one round; every phase begins with an empty store and checks each job number."""

import dataclasses
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.catalogue import Peer
from benchmarks.peers.effects import Count, Effects
from benchmarks.peers.environments import BENCH, Environment
from benchmarks.peers.processes import Crew, stop
from benchmarks.peers.stores import Store

ENQUEUE_BUDGET = 5.0  # seconds a producer may take; a slow peer enqueues fewer
PACE = 0.01
STARTED = 5  # paced jobs that show that the worker is up
WARM_UP = 50  # the first paced jobs of a producer meet its cold connections and code
ALL = 10.0**9
LATE = 0.3  # a job that runs twice at once does so within this time of the last


@dataclass(frozen=True)
class Sizes:
    jobs: int = 100_000
    single: int = 5_000
    paced: int = 500
    patience: float = 60.0


@dataclass
class Outcome:
    """One round of one peer. Rates are per second, latencies in milliseconds."""

    figures: dict[str, float]
    counts: dict[str, Count]


class Bench:
    """Runs the phases of one peer on one store."""

    def __init__(self, peer: Peer, made: Environment, store: Store, sizes: Sizes) -> None:
        self.peer = peer
        self.made = made
        self.store = store
        self.sizes = sizes

    def round(self, kill: bool) -> Outcome:
        outcome = Outcome({}, {})
        phases = [self.single, self.bulk, self.drain_one, self.drain_four, self.pickup]
        for phase in (*phases, self.kill) if kill else phases:
            phase(outcome)
        return outcome

    @contextmanager
    def fresh(self) -> Iterator[tuple[Crew, Effects]]:
        self.store.empty()
        BENCH.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="run-", dir=BENCH) as folder:
            crew = Crew(self.peer, self.made, self.store.url, Path(folder))
            effects = Effects(crew.effects)
            crew.ask("prepare")
            yield crew, effects

    def single(self, outcome: Outcome) -> None:
        """One producer, one job after the other; then a hundred awaited at once, where the client is async."""
        count = min(self.sizes.single, self.sizes.jobs)
        for figure, verb in (("enqueue_single", "enqueue"), ("enqueue_concurrent", "concurrent")):
            with self.fresh() as (crew, _):
                done = crew.ask(verb, 0, count, ENQUEUE_BUDGET)
                if done is not None:
                    outcome.figures[figure] = done["count"] / done["seconds"]

    def bulk(self, outcome: Outcome) -> None:
        with self.fresh() as (crew, _):
            before = self.store.used()
            done = crew.ask("bulk", 0, self.sizes.jobs, ENQUEUE_BUDGET)
            outcome.figures["enqueue_bulk"] = done["count"] / done["seconds"]
            outcome.figures["bytes_per_job"] = (self.store.used() - before) / done["count"]

    def drain_one(self, outcome: Outcome) -> None:
        self._drain(outcome, 1, self.peer.jobs[0])

    def drain_four(self, outcome: Outcome) -> None:
        self._drain(outcome, 4, self.peer.jobs[1])

    def _drain(self, outcome: Outcome, processes: int, jobs: int) -> None:
        """A backlog first, then workers: the rate is from the first run to the last, so start-up is not in it."""
        jobs = min(jobs, self.sizes.jobs)
        with self.fresh() as (crew, effects):
            crew.ask("bulk", 0, jobs, ALL)
            with crew.workers(processes):
                crew.wait(lambda: effects.runs() >= jobs, effects.runs, self.sizes.patience)
                settled = self._settled(crew, effects)
                time.sleep(LATE)
            first, last = effects.span()
            outcome.counts[f"drain_{processes}"] = effects.count(jobs)
            outcome.figures[f"drain_{processes}"] = (jobs - 1) / (last - first)
            if settled:
                outcome.figures[f"settled_{processes}"] = (jobs - 1) / (max(settled, last) - first)

    def _settled(self, crew: Crew, effects: Effects) -> float | None:
        """When the store's own tables called the last job done, on the monotonic clock."""
        sql = self.peer.unfinished
        if not sql:
            return None
        crew.wait(lambda: not self.store.count(sql), effects.runs, self.sizes.patience)
        return time.monotonic()

    def pickup(self, outcome: Outcome) -> None:
        """From just before the enqueue call to the handler's first line, with one idle worker process."""
        first = STARTED + WARM_UP
        count = first + self.sizes.paced
        with self.fresh() as (crew, effects), crew.workers(1):
            crew.ask("paced", 0, STARTED, PACE)
            crew.wait(lambda: effects.runs() >= STARTED, effects.runs, self.sizes.patience)
            begun = crew.ask("paced", STARTED, count - STARTED, PACE)
            crew.wait(lambda: effects.runs() >= count, effects.runs, self.sizes.patience)
            time.sleep(LATE)
            ran = effects.first_runs()
            outcome.counts["pickup"] = effects.count(count)
        taken = sorted((ran[number] - begun[number - STARTED]) / 1e6 for number in range(first, count) if number in ran)
        outcome.figures["pickup_p50"] = taken[len(taken) // 2]
        outcome.figures["pickup_p99"] = taken[len(taken) * 99 // 100]

    def kill(self, outcome: Outcome) -> None:
        """kill -9 of the only worker a third of the way, then a new one: what is lost, what runs twice, how late.

        `kill_oldest_repeat`: how long before the kill the oldest of the repeated jobs had run, in milliseconds.
        Jobs not seen again when nothing has run for `patience` seconds count as lost, wherever they may still be kept.
        """
        jobs = min(self.peer.jobs[0], self.sizes.jobs)
        with self.fresh() as (crew, effects):
            crew.ask("bulk", 0, jobs, ALL)
            with crew.workers(1) as started:
                crew.wait(lambda: effects.runs() >= jobs // 3, effects.runs, self.sizes.patience)
                killed = time.monotonic()
                stop(started, signal.SIGKILL)
            with crew.workers(1):
                self._until_quiet(effects, jobs)
            outcome.counts["kill"] = effects.count(jobs)
            outcome.figures["kill_last_run"] = effects.span()[1] - killed
            repeated = effects.repeated()
            if repeated:
                outcome.figures["kill_oldest_repeat"] = killed * 1e3 - min(repeated) / 1e6

    def _until_quiet(self, effects: Effects, jobs: int) -> None:
        last, since = -1, time.monotonic()
        while time.monotonic() - since < self.sizes.patience:
            time.sleep(0.05)
            runs = effects.runs()
            if runs != last:
                last, since = runs, time.monotonic()
            elif runs >= jobs and effects.distinct() >= jobs and time.monotonic() - since > LATE:
                return


def as_data(outcome: Outcome) -> dict[str, object]:
    return {
        "figures": outcome.figures,
        "counts": {phase: dataclasses.asdict(count) for phase, count in outcome.counts.items()},
    }
