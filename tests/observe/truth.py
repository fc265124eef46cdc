"""Attempts whose outcomes, run and waiting times are known: brought through the store as a worker would, at held times."""

import math
import random
from collections import Counter
from dataclasses import dataclass, field

import msgspec

from tests.store.kit import HOUR, LEASE, Hand, end, new, put
from windlass import Windlass
from windlass.store import Store
from windlass.values.clock import SECOND, Micros
from windlass.values.job import Claim
from windlass.values.outcome import Finish, Verdict
from windlass.values.states import Event

START: Micros = 1_800_000_000 * SECOND // HOUR * HOUR
"""A full hour, far from the machine's own time."""


@dataclass
class Truth:
    """What was done, by (queue, kind)."""

    ends: Counter[tuple[str, str, Event]] = field(default_factory=Counter)
    took: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    waited: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    at: Counter[tuple[Micros, Event]] = field(default_factory=Counter)

    def count(self, event: Event, queue: str | None = None, kind: str | None = None) -> int:
        return sum(
            n
            for (q, k, e), n in self.ends.items()
            if e is event and (queue is None or q == queue) and (kind is None or k == kind)
        )


def rank(values: list[float], share: float) -> float:
    """The smallest value that `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[math.ceil(len(ordered) * share) - 1]


EVENTS = [Event.COMPLETE] * 14 + [Event.FAIL] * 2 + [Event.RETRY] * 3 + [Event.ABORT] + [Event.SNOOZE]


async def live(
    store: Store, at: Micros, jobs: int, truth: Truth, rng: random.Random, *, queues: int = 2, kinds: int = 3
) -> None:
    """At `at`, so many jobs are stored, claimed and ended."""
    await store.hold_time(at)
    await put(store, *(new(f"k{n % kinds}", queue=f"q{n % queues}") for n in range(jobs)))
    hand = Hand(store, f"w{at}", lease=10 * LEASE)
    for at_once in _parts(await hand.drain()):
        ends: list[Finish] = []
        for claim in at_once:
            event = rng.choice(EVENTS)
            took = round(rng.lognormvariate(0, 1.5) * SECOND)
            waited = round(rng.expovariate(1 / 20) * SECOND)
            finish = end(claim, event, delay=100_000 * HOUR, took=took)
            ends.append(msgspec.structs.replace(finish, waited=waited))
            key = (claim.queue, claim.kind)
            truth.ends[(*key, event)] += 1
            truth.at[at, event] += 1
            truth.took.setdefault(key, []).append(took / SECOND)
            truth.waited.setdefault(key, []).append(waited / SECOND)
        assert set(await hand.finish(*ends)) == {Verdict.ACCEPTED}


def _parts(claims: list[Claim]) -> list[list[Claim]]:
    return [claims[at : at + 200] for at in range(0, len(claims), 200)]


async def at(app: Windlass, instant: Micros) -> None:
    await (await app.store()).hold_time(instant)
