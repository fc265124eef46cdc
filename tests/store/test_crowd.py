"""A crowd: hundreds of jobs under dozens of keys in queues of every order, and after each claim nobody who may run is left.

The walk is random and repeatable; what may run is told by plain dictionaries (`model.py`), never by the store.
"""

import os
import random
from collections import Counter

import pytest

from tests.store.kit import HOUR, Clock, Hand, Place, act, counted, end, fresh_id, promote_all
from tests.store.model import Model, ModelJob, ModelKey
from windlass.store import Store
from windlass.values.clock import SECOND
from windlass.values.job import Claim, NewJob, Runtime
from windlass.values.limit import Bound, LimitChange, Rate
from windlass.values.query import Action
from windlass.values.queue import Order, QueueChange
from windlass.values.states import Event, State

ORDERS: dict[str, Order] = {"s": "strict", "f": "fair", "w": "weighted", "a": "ageing"}
ENDS = [Event.COMPLETE] * 6 + [Event.RETRY, Event.RELEASE, Event.SNOOZE, Event.FAIL, Event.ABORT]
USERS, TENANTS = 60, 5
RUNTIMES: list[Runtime] = ["async", "async", "async", "thread"]
SCALE = float(os.environ.get("WINDLASS_TEST_SCALE", "1"))


class Crowd:
    """The store and its model, told the same by a random walk."""

    def __init__(self, store: Store, clock: Clock, seed: int) -> None:
        self.store, self.clock, self.chance = store, clock, random.Random(seed)
        self.model = Model(clock.at)
        self.hand = Hand(store)
        self.running: dict[str, Claim] = {}
        limits = {
            "house": ModelKey(concurrency=12),
            "slow": ModelKey(rate=Rate(9, 10 * SECOND)),
            "queue:f": ModelKey(4),
        }
        limits |= {f"user:{n}": ModelKey(concurrency=1 + n % 3) for n in range(USERS)}
        limits |= {f"tenant:{n}": ModelKey(concurrency=5) for n in range(TENANTS)}
        self.model.limits = limits

    async def begin(self) -> None:
        for queue, order in ORDERS.items():
            await self.store.put_queue(queue, QueueChange(order=order), "ops")
        await self.store.put_limits([LimitChange(key="queue:f", concurrency=4)], None)

    async def tick(self, by: int = 1) -> None:
        await self.clock.forward(by)
        self.model.now = self.clock.at

    async def enqueue(self, n: int) -> None:
        await self.tick()
        jobs = [self._job() for _ in range(n)]
        await self.store.enqueue(jobs)
        for job in jobs:
            self.model.enqueue(self._modelled(job), {})

    def _job(self) -> NewJob[object]:
        user = self.chance.randrange(USERS)
        keys = [
            key for key in (f"user:{user}", f"tenant:{user % TENANTS}", "house", "slow") if self.chance.random() < 0.5
        ]
        bounds = tuple(Bound(key, self.model.limits[key].concurrency, self.model.limits[key].rate) for key in keys)
        return NewJob(
            id=fresh_id(),
            kind="work",
            queue=self.chance.choice(list(ORDERS)),
            priority=self.chance.choice([-5, 0, 0, 5, 10]),
            group=f"g{user % TENANTS}",
            runtime=self.chance.choice(RUNTIMES),
            weight=1 + user % TENANTS,
            limits=bounds,
            expires_in=self.chance.choice([None, None, None, 30 * SECOND]),
        )

    def _modelled(self, job: NewJob[object]) -> ModelJob:
        whole = ("queue:f",) if job.queue == "f" else ()
        groups = {"f": job.group, "w": str(job.priority), "a": str(job.priority)}
        expires = None if job.expires_in is None else self.model.now + job.expires_in
        return ModelJob(
            id=job.id,
            queue=job.queue,
            priority=job.priority,
            run_at=self.model.now,
            created_at=self.model.now,
            expires_at=expires,
            key=None,
            keys=(*(bound.key for bound in job.limits), *whole),
            group=groups.get(job.queue),
            runtime=job.runtime,
        )

    async def claim(self, slots: int, runtime: Runtime = "async") -> None:
        claims = await self.hand.up_to(slots, runtime)
        held, used = self._held(), {key: limit.used(self.model.now) for key, limit in self.model.limits.items()}
        for claim in claims:
            job = self.model.jobs[claim.id]
            assert job in self._claimable(runtime)
            assert not [key for key in job.keys if self._is_full(self.model.limits[key], held[key], used[key])]
            self.model.claimed(claim.id, claim.lease, self.clock.at + HOUR, self.hand.name)
            self.running[claim.id] = claim
            held.update(job.keys)
            used |= {key: used[key] + 1 for key in job.keys}
        full = {key for key, limit in self.model.limits.items() if self._is_full(limit, held[key], used[key])}
        if len(claims) < slots:
            left = [job for job in self._claimable(runtime) if not full & set(job.keys)]
            assert left == [], f"{len(left)} jobs could run, the claim brought {len(claims)}"

    def _claimable(self, runtime: str) -> list[ModelJob]:
        return [job for job in self.model.claimable(None) if job.runtime == runtime]

    def _held(self) -> Counter[str]:
        jobs = [self.model.jobs[id] for id in self.running]
        return Counter(key for job in jobs for key in job.keys)

    def _is_full(self, limit: ModelKey, held: int, used: int) -> bool:
        by_time = limit.rate is not None and used >= limit.rate.n
        return by_time or (limit.concurrency is not None and held >= limit.concurrency)

    async def finish(self, n: int) -> None:
        await self.tick()
        chosen = self.chance.sample(sorted(self.running), min(n, len(self.running)))
        ends = [end(self.running.pop(id), self.chance.choice(ENDS)) for id in chosen]
        await self.store.finish(ends)
        for ended in ends:
            self.model.finish(ended)
        await self.promote()

    async def promote(self) -> None:
        await promote_all(self.store)
        self.model.promote()

    async def command(self, n: int) -> None:
        await self.tick()
        waiting = [job.id for job in self.model.jobs.values() if job.state is State.WAITING]
        ids = self.chance.sample(waiting, min(n, len(waiting)))
        action = self.chance.choice([Action.CANCEL, Action.FAIL, Action.DELETE])
        assert set((await act(self.store, action, *ids)).done) == set(ids)
        verbs = {Action.CANCEL: self.model.cancel, Action.FAIL: self.model.fail, Action.DELETE: self.model.delete}
        for id in ids:
            verbs[action](id)

    async def pause(self) -> None:
        queue = self.chance.choice(list(ORDERS))
        paused = queue not in self.model.paused
        (self.model.paused.add if paused else self.model.paused.discard)(queue)
        await self.store.put_queue(queue, QueueChange(paused=paused), "ops")

    async def change(self, place: Place) -> None:
        key = self.chance.choice(["house", "queue:f", f"tenant:{self.chance.randrange(TENANTS)}"])
        place.lowered.add(key)
        self.model.limits[key].concurrency = concurrency = self.chance.choice([1, 3, 6, 12, None])
        await self.store.put_limits([LimitChange(key=key, concurrency=concurrency)], None)


@pytest.mark.parametrize("seed", range(round(2 * SCALE)))
async def test_nobody_who_may_run_is_left(store: Store, clock: Clock, place: Place, seed: int) -> None:
    crowd = Crowd(store, clock, seed)
    await crowd.begin()
    await crowd.enqueue(300)
    for _ in range(60):
        what = crowd.chance.random()
        if what < 0.25:
            await crowd.enqueue(crowd.chance.randrange(1, 20))
        elif what < 0.6:
            await crowd.finish(crowd.chance.randrange(1, 12))
        elif what < 0.7:
            await crowd.command(crowd.chance.choice([1, 5, 40]))
        elif what < 0.8:
            await crowd.change(place)
        elif what < 0.87:
            await crowd.pause()
        else:
            await crowd.tick(crowd.chance.choice([SECOND, 4 * SECOND, 11 * SECOND]))
        await crowd.claim(crowd.chance.choice([1, 4, 15, 60]), crowd.chance.choice(RUNTIMES))
    for queue in sorted(crowd.model.paused):
        await store.put_queue(queue, QueueChange(paused=False), "ops")
    crowd.model.paused.clear()
    while crowd.running or crowd.model.claimable(None):
        await crowd.tick(11 * SECOND)
        for runtime in ("async", "thread"):
            await crowd.claim(60, runtime)
        ends = [end(claim, Event.COMPLETE) for claim in crowd.running.values()]
        await store.finish(ends)
        for ended in ends:
            crowd.model.finish(ended)
        crowd.running.clear()
        await crowd.promote()
    assert set(await counted(store)) <= {State.COMPLETED, State.FAILED, State.CANCELLED}
