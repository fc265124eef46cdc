"""Limits under several handles, threads and processes at once, counted by those who hold the jobs, never by the store."""

import asyncio
import json
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.store.kit import LEASE, Clock, Hand, Place, act, counted, end, new, promote_all, put
from tests.store.limiting import change, rated, under
from tests.store.test_races import together
from windlass.store import Store
from windlass.values.clock import SECOND
from windlass.values.job import Claim
from windlass.values.lease import Delivery, Step
from windlass.values.limit import GUARD, Bound, LimitChange, Rate, Take
from windlass.values.outcome import DEFAULT_RULES, lapsed
from windlass.values.query import Action, Where
from windlass.values.queue import Order, QueueChange
from windlass.values.states import Event, State


class Tally:
    """How many hold each key now, and how many did at most; told by the holders."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.done: list[str] = []

    def begin(self, *keys: str) -> None:
        with self._lock:
            for key in keys:
                self.now[key] += 1
                self.most[key] = max(self.most[key], self.now[key])

    def end(self, id: str, *keys: str) -> None:
        with self._lock:
            self.now.subtract(keys)
            self.done.append(id)


def keys_of(claim: Claim) -> list[str]:
    return list(json.loads(claim.args)["keys"])


async def work(hand: Hand, tally: Tally, slots: int, total: int) -> None:
    """Claim and complete until all are done, by whomever; what is held is held over a turn of the loop."""
    while len(tally.done) < total:
        claims = (await hand.ask(slots)).jobs
        for claim in claims:
            tally.begin(*keys_of(claim))
        await asyncio.sleep(0.0005 if claims else 0.002)
        for claim in claims:
            tally.end(claim.id, *keys_of(claim))
            await hand.complete(claim)


def keyed(keys: dict[str, int], **fields: object):
    bounds = tuple(Bound(key, n) for key, n in keys.items())
    return new(args=json.dumps({"keys": list(keys)}), limits=bounds, **fields)


async def test_no_limit_is_exceeded_and_nobody_is_left(store: Store, place: Place) -> None:
    limits = {"all": 5, "odd": 2, "third": 3, **{f"user:{n}": 1 for n in range(7)}}

    def keys(n: int) -> dict[str, int]:
        names = [
            f"user:{n % 7}",
            *(["odd"] if n % 2 else []),
            *(["third"] if n % 3 == 0 else []),
            *(["all"] if n % 5 else []),
        ]
        return {name: limits[name] for name in names}

    ids = await put(store, *(keyed(keys(n), priority=n % 3, queue="ab"[n % 2]) for n in range(240)))
    tally = Tally()
    await together(place, lambda store, number: work(Hand(store, f"w{number}"), tally, 1 + number, 240))
    assert sorted(tally.done) == sorted(ids)
    for key, most in tally.most.items():
        assert most <= limits[key], key
    assert await counted(store) == {State.COMPLETED: 240}
    assert {info.held for info in await store.limits()} == {0}


async def test_a_limit_of_one_passes_from_hand_to_hand(store: Store, place: Place) -> None:
    await put(store, *(keyed({"k": 1}, queue="abcd"[n % 4]) for n in range(80)))
    tally = Tally()
    await together(place, lambda store, number: work(Hand(store, f"w{number}", queues=("abcd"[number],)), tally, 3, 80))
    assert tally.most == {"k": 1}
    assert len(set(tally.done)) == 80


async def test_fair_queues_under_limits(store: Store, place: Place) -> None:
    await store.put_queue("default", QueueChange(order="fair"), "ops")
    await change(store, "queue:default", concurrency=3)
    await put(store, *(keyed({f"user:{n % 9}": 1}, group=f"g{n % 4}") for n in range(160)))
    tally = Tally()
    await together(place, lambda store, number: work(Hand(store, f"w{number}"), tally, 4, 160))
    assert len(set(tally.done)) == 160
    assert max(tally.most.values()) == 1
    assert await counted(store) == {State.COMPLETED: 160}


async def test_a_rate_by_the_clock_of_the_starts(store: Store, place: Place) -> None:
    """Real time: a claim that was sent at t may start its job until t + GUARD, and no window may hold more starts."""
    n, window = 20, SECOND // 2
    await put(store, *(rated("k", n, window) for _ in range(80)))
    starts: list[int] = []

    async def body(store: Store, number: int) -> None:
        hand = Hand(store, f"w{number}")
        while len(starts) < 80:
            sent = time.monotonic_ns() // 1_000
            claims = (await hand.ask(7)).jobs
            for claim in claims:
                if time.monotonic_ns() // 1_000 - sent < GUARD:
                    starts.append(time.monotonic_ns() // 1_000)
                    await hand.complete(claim)
                else:
                    await hand.finish(end(claim, Event.RELEASE))
            if not claims:
                await asyncio.sleep(0.005)

    await together(place, body)
    starts.sort()
    for first, beyond in zip(starts, starts[n:], strict=False):
        assert beyond - first >= window, f"{n + 1} starts within {beyond - first} microseconds"


async def test_takes_never_exceed(store: Store, place: Place, clock: Clock) -> None:
    async def body(store: Store, number: int) -> int:
        granted = 0
        for _ in range(30):
            taken = await store.take([Take("u", Rate(50, SECOND)), Take(f"own:{number}", Rate(20, SECOND))])
            assert len({one.granted for one in taken}) == 1
            granted += taken[0].granted
        return granted

    granted = await together(place, body)
    assert sum(granted) == 50
    assert max(granted) <= 20


@pytest.mark.parametrize(("order", "users"), [("strict", 4), ("fair", 4), ("fair", 90), ("ageing", 20)])
async def test_everything_at_once_leaks_no_slot(store: Store, place: Place, order: Order, users: int) -> None:
    """Every way a job leaves, changes of limits, commands; at the end all that is left can run."""
    await store.put_queue("q0", QueueChange(order=order), "ops")
    place.lowered.update({"k0", "k1", "k2", "queue:q1", "kind:odd"})

    async def body(store: Store, number: int) -> None:
        hand = Hand(store, f"w{number}")
        events = [Event.COMPLETE, Event.RETRY, Event.RELEASE, Event.FAIL, Event.SNOOZE, Event.ABORT, Event.SUSPEND]
        for step in range(14):
            jobs = [
                under(
                    f"k{n % 3}",
                    f"user:{n * (number + 1) % users}",
                    n=2,
                    group=f"g{n % 3}",
                    queue=f"q{n % 2}",
                    kind=("even", "odd")[step % 2],
                    priority=n % 3,
                )
                for n in range(step, step + 5)
            ]
            ids = await put(store, *jobs, new(queue="q1"))
            claims = (await hand.ask(5)).jobs
            ends = [end(claim, events[(n + step) % 7], signal="go") for n, claim in enumerate(claims)]
            await store.finish(ends)
            await act(store, Action.CANCEL, ids[0])
            await act(store, Action.REPRIORITISE, *ids[1:3], priority=step % 5)
            await act(store, Action.DELETE, ids[2])
            await act(store, Action.REQUEUE, *(claim.id for claim in claims))
            await store.signal(ids[3], "go", "1", "ops")
            await change(store, f"k{step % 3}", concurrency=1 + (step + number) % 3)
            if number == 0 and step % 5 == 2:
                await store.put_limits([LimitChange(key="queue:q1", concurrency=2, drop=step == 12)], None)
                await store.put_limits([LimitChange(key="kind:odd", concurrency=3 if step % 2 else None)], None)
            await store.promote(50)

    await together(place, body)
    await finish_all(store)


async def finish_all(store: Store) -> None:
    """Everything that is not final can be brought to its end: nothing waits for a slot that nobody holds."""
    hand = Hand(store, "last")
    for id in [job.id for job in (await store.jobs(Where(states=(State.BLOCKED,)), None, 1_000)).items]:
        assert await store.signal(id, "go", "1", "ops") is Delivery.WOKEN
    while True:
        await promote_all(store)
        claims = await hand.up_to(50)
        if not claims:
            break
        await hand.complete(*claims)
    left = await counted(store)
    assert set(left) <= {State.COMPLETED, State.FAILED, State.CANCELLED}, left
    assert {info.held for info in await store.limits()} <= {0}


async def test_rescue_against_the_late_finish(store: Store, clock: Clock, place: Place) -> None:
    """A lapsed holder comes back while its jobs are taken over: each slot is given back once."""
    await put(store, *(under("k", n=30) for _ in range(60)))
    await store.rescue("watch", LEASE, 1)
    claims = await Hand(store).up_to(30)
    for _ in range(3):
        await clock.forward(LEASE // 3 + 1)
        await store.rescue("watch", LEASE, 0)

    async def body(store: Store, number: int) -> None:
        if number == 0:
            for claim in claims:
                await store.finish([end(claim, Event.COMPLETE)])
            return
        while taken := await store.rescue(f"r{number}", LEASE, 4):
            await store.finish([lapsed(claim, DEFAULT_RULES, f"r{number}") for claim in taken])

    await together(place, body, 3)
    await finish_all(store)
    assert await counted(store) == {State.COMPLETED: 60}


async def test_a_key_put_while_jobs_come_and_go(store: Store, place: Place) -> None:
    """From the moment that `put_limits` is back no more than the limit start; jobs that come meanwhile are under it too."""
    place.lowered.add("queue:default")
    tally = Tally()
    put_at = threading.Event()
    total = 600

    async def body(store: Store, number: int) -> None:
        if number == 0:
            for n in range(30):
                await put(store, *(new() for _ in range(20)))
                if n == 15:
                    await store.put_limits([LimitChange(key="queue:default", concurrency=2)], None)
                    put_at.set()
            return
        hand = Hand(store, f"w{number}")
        while len(tally.done) < total:
            after = put_at.is_set()
            claims = (await hand.ask(3)).jobs
            name = "late" if after else "early"
            for _ in claims:
                tally.begin(name)
            await asyncio.sleep(0.0005)
            for claim in claims:
                tally.end(claim.id, name)
                await hand.complete(claim)

    await together(place, body)
    assert tally.most["late"] <= 2
    assert len(set(tally.done)) == total


async def test_a_signal_finds_the_job_or_the_box(store: Store, place: Place) -> None:
    """A signal against the suspend that waits for it: the job never sleeps through it."""
    ids = await put(store, *(new() for _ in range(60)))
    claims = {claim.id: claim for claim in await Hand(store).take(60)}

    async def body(store: Store, number: int) -> list[Delivery]:
        told: list[Delivery] = []
        for id in ids:
            if number == 0:
                assert (await store.report([Step(id, claims[id].lease, 0, "wait", None, False, "go")]))[0].accepted
                await store.finish([end(claims[id], Event.SUSPEND, signal="go")])
            else:
                told.append(await store.signal(id, "go", "1", "ops"))
        return told

    _, told = await together(place, body, 2)
    woken = await counted(store)
    assert set(told) <= {Delivery.WOKEN, Delivery.KEPT}
    # What the step found before the end of the attempt is done; the job may then sleep, for it is asked no more.
    steps = [(await store.steps(id))[0].done for id in ids]
    assert woken.get(State.BLOCKED, 0) <= sum(steps)
    for id, done in zip(ids, steps, strict=True):
        job = await store.job(id)
        assert job is not None
        assert done or job.state is State.WAITING, f"{id} sleeps through its signal"


async def test_processes_share_a_limit(store: Store, place: Place) -> None:
    ids = await put(store, *(under("k", f"user:{n % 5}", n=2) for n in range(120)))
    if not place.crosses_processes:
        return  # a database in memory is of one process
    racers = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.store.racer", place.url, place.namespace, "limited"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        for _ in range(2)
    ]
    outputs = [await racer.communicate() for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0], outputs[0][1] + outputs[1][1]
    spans = [tuple(span) for out, _ in outputs for span in json.loads(out)]
    assert sorted(id for id, _, _ in spans) == sorted(ids)
    edges = sorted([(begin, 1) for _, begin, _ in spans] + [(finish, -1) for _, _, finish in spans])
    at_once = most = 0
    for _, step in edges:
        at_once += step
        most = max(most, at_once)
    assert most <= 2
