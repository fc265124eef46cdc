"""What remains of jobs of every shape, ids that come again at the same instant, clocks that step back, prunes beside work."""

import asyncio
import random
from typing import Any

import pytest

from tests.store.kit import DAY, HOUR, Clock, Hand, act, end, failing, get, new, prune_all, put, state_of, fresh_id
from tests.store.test_past import GONE, ended, keeping, known, remaining
from windlass.store import Store
from windlass.values.clock import SECOND
from windlass.values.job import Edge, UniqueKey
from windlass.values.limit import Bound
from windlass.values.query import Action
from windlass.values.states import Event, State

ODD = ["", "a", "é", "𝄞", "À", "ࠀ", "x\u0080", "Ѐ", "\u2010", "0" * 31, "0" * 32, "0" * 300, "'\"\\", "\x00", "\n", "{}", "А", "а", "Р", "ѐ", "ऀ", "\u0410\u0420"]


def some(dice: random.Random, *choices: Any) -> Any:
    return dice.choice(choices)


def shape(dice: random.Random, n: int, parent: str) -> Any:
    fields: dict[str, Any] = {}
    fields["args"] = some(dice, "{}", '{"x":1}', '{"long":"' + "é" * dice.randrange(300) + '"}', "[]", '{"x":"' + "y" * 70_000 + '"}' if n % 50 == 0 else "{}")
    fields["options"] = some(dice, "", "", '{"timeout":5}', '{"p":"' + "x" * dice.randrange(400) + '"}')
    fields["tags"] = tuple(dict.fromkeys(dice.choices([t for t in ODD if t and chr(0) not in t], k=dice.randrange(20)))) if dice.random() < 0.7 else ()
    for name in ("user", "project", "group", "workflow", "name"):
        if dice.random() < 0.4:
            fields[name] = dice.choice([t for t in ODD if t and "\x00" not in t])
    if dice.random() < 0.3:
        fields["unique"] = UniqueKey(key=f"k{n}é", until=some(dice, "finished", "started"))
    if dice.random() < 0.3:
        fields["after"] = (Edge(parent),)
    if dice.random() < 0.3:
        fields["expires_at"] = 4_000_000_000 * SECOND
    if dice.random() < 0.3:
        fields["limits"] = (Bound(key=f"key{n % 3}", concurrency=50),)
    fields["priority"] = dice.randrange(-5, 6)
    fields["queue"] = some(dice, "default", "q", "é" * 10)
    return new(some(dice, "work", "k" * 100, "ü.x"), **fields)


@pytest.mark.parametrize("seed", range(6))
async def test_shapes(store: Store, clock: Clock, seed: int) -> None:
    dice = random.Random(seed)
    (parent,) = await ended(store)
    jobs = [shape(dice, n, parent) for n in range(150)]
    await put(store, *jobs)
    hand = Hand(store, "w" * dice.randrange(1, 60))
    for _ in range(30):
        claims = await hand.drain()
        if not claims:
            break
        ends = []
        for claim in claims:
            match dice.randrange(5):
                case 0:
                    ends.append(failing(claim, dice.choice(["f", "", "é"]), took=3, worker=hand.name, reason=dice.choice([t for t in ODD[1:] if chr(0) not in t] + [None]), spent=dice.choice([0, 5])))
                case 1:
                    ends.append(failing(claim, "x" * 40, event=Event.RETRY, delay=0, worker=hand.name))
                case 2:
                    ends.append(end(claim, Event.ABORT, reason="r" * 500, worker=hand.name))
                case _:
                    ends.append(end(claim, Event.COMPLETE, trail=None, result='"' + "r" * 50 + '"', took=9, spent=dice.choice([0, 7])))
        await hand.finish(*ends)
        await clock.forward(1)
        await store.promote(1000)
    before = [await get(store, job.id) for job in jobs]
    await clock.forward(HOUR)
    await prune_all(store, keeping())
    left = 0
    for job in before:
        past = await store.past(job.id)
        if not job.is_final:
            left += 1
            assert past is None
            continue
        assert past is not None, job
        assert remaining(past.job) == remaining(job)
    assert left < 10, left


async def test_the_same_id_twice_in_one_instant(store: Store, clock: Clock) -> None:
    """The clock stands still: an id goes, comes again and goes."""
    job = new("first")
    hand = Hand(store)
    for kind in ("first", "second", "third"):
        await put(store, new(kind, id=job.id))
        await hand.complete(await hand.one())
        await prune_all(store, keeping())
    past = await store.past(job.id)
    assert past is not None and past.job.kind == "third"
    await prune_all(store, keeping(keep_history=1))
    past = await store.past(job.id)
    assert past is not None and past.job.kind == "third"
    await prune_all(store, keeping(keep_history=0))
    assert await store.past(job.id) is None


async def test_clock_back(store: Store, clock: Clock) -> None:
    first = await ended(store, 3)
    await prune_all(store, keeping())
    await clock.forward(-DAY)
    second = await ended(store, 3)
    await clock.forward(1)
    await prune_all(store, keeping())
    assert all(await known(store, first + second))
    assert await prune_all(store, keeping(history=2 * DAY)) == 0
    await clock.forward(4 * DAY)
    await prune_all(store, keeping(history=2 * DAY))
    assert not any(await known(store, first + second))


async def test_odd_ids(store: Store, clock: Clock) -> None:
    for id in ("a" * 100_000, "{}", "../x", " ", fresh_id().upper(), fresh_id().replace("-", "")):
        assert await store.past(id) is None, id


async def test_errors_of_a_megabyte(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new(max_attempts=50))
    hand = Hand(store)
    for n in range(12):
        claim = await hand.one()
        await hand.finish(end(claim, Event.RETRY if n < 11 else Event.FAIL, delay=0, error='{"type":"B","message":"' + "é" * 500_000 + '","fingerprint":"f"}', reason="r"))
        await clock.forward(SECOND)
        await store.promote(10)
    before = await get(store, id)
    await prune_all(store, keeping())
    past = await store.past(id)
    assert past is not None and remaining(past.job) == remaining(before)


async def test_prune_beside_everything(store: Store, make_store: Any) -> None:
    """Ids come again and again while retention deletes them; what is past is what was last, and nothing is both."""
    ids = [fresh_id() for _ in range(40)]
    others = [await make_store() for _ in range(4)]
    until = asyncio.get_running_loop().time() + 6
    done = False

    async def produce(s: Store, n: int) -> None:
        while not done:
            await s.enqueue([new(f"k{n}", id=id) for id in random.sample(ids, 10)])
            await asyncio.sleep(0)

    async def work(s: Store, n: int) -> None:
        hand = Hand(s, f"w{n}")
        while not done:
            claims = await hand.take(7)
            if claims:
                await hand.finish(*[end(c, Event.COMPLETE, trail=None) if random.random() < 0.7 else failing(c, "f", worker=hand.name) for c in claims])
            await asyncio.sleep(0)

    async def prune(s: Store) -> None:
        while not done:
            await s.prune(keeping(keep_history=random.choice([5, 20, 100])), random.choice([1, 5, 100]))
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(t) for t in (produce(others[0], 0), produce(store, 1), work(others[1], 1), work(others[2], 2), prune(others[3]), prune(others[0]))]
    while asyncio.get_running_loop().time() < until and not any(t.done() for t in tasks):
        await asyncio.sleep(0.1)
    done = True
    await asyncio.gather(*tasks)
    for id in ids:
        if await store.job(id) is not None:
            assert await store.past(id) is None
    await prune_all(store, keeping(keep_history=0))
    await store.enqueue([new("again", id=id) for id in ids])
    hand = Hand(store, "last")
    await hand.complete(*await hand.drain())
    await prune_all(store, keeping())
    assert all(await known(store, ids))
    await prune_all(store, keeping(keep_history=7))
    assert sum(await known(store, ids)) == 7
    assert await prune_all(store, keeping(keep_history=7)) == 0
