"""What remains of jobs of any shape, of clocks that step back, and of ids that come again while retention deletes them."""

import asyncio
import random
from typing import Any

import pytest

from tests.store.conftest import MakeStore
from tests.store.kit import DAY, HOUR, Clock, Hand, end, failing, fresh_id, get, new, prune_all, put
from tests.store.test_past import ended, keeping, known, remaining
from windlass.store import Store
from windlass.values.clock import SECOND
from windlass.values.job import Claim, Edge, NewJob, UniqueKey
from windlass.values.limit import Bound
from windlass.values.outcome import Finish
from windlass.values.states import Event

TEXTS = [
    "a",
    "é",
    "𝄞",
    "\u0410",
    "\u0420",
    "x\u0080",
    "y\u00a0",
    "\u2010",
    "0" * 31,
    "0" * 32,
    "0" * 300,
    "'\"\\",
    "\n",
    "{}",
]
"""Among them those that end in bytes that say other things at the end of a packed record."""


def shaped(dice: random.Random, n: int, parent: str) -> NewJob[Any]:
    """A job with some of all that a job may have."""
    names = ("user", "project", "group", "workflow", "name")
    fields: dict[str, Any] = {name: dice.choice(TEXTS) for name in names if dice.random() < 0.4}
    if dice.random() < 0.7:
        fields["tags"] = tuple(dict.fromkeys(dice.choices(TEXTS, k=dice.randrange(20))))
    if dice.random() < 0.3:
        fields["unique"] = UniqueKey(key=f"k{n}é", until=dice.choice(["finished", "started"]))
    if dice.random() < 0.3:
        fields["after"] = (Edge(parent),)
    if dice.random() < 0.3:
        fields["expires_at"] = 4_000_000_000 * SECOND
    if dice.random() < 0.3:
        fields["limits"] = (Bound(key=f"key{n % 3}", concurrency=50),)
    return new(
        dice.choice(["work", "k" * 100, "ü.x"]),
        queue=dice.choice(["default", "é" * 10]),
        priority=dice.randrange(-5, 6),
        args=dice.choice(
            ["{}", '{"x":1}', '{"x":"' + "é" * dice.randrange(300) + '"}', '{"x":"' + "y" * 70_000 + '"}']
        ),
        options=dice.choice(["", '{"timeout":5}', '{"p":"' + "x" * dice.randrange(400) + '"}']),
        **fields,
    )


def shaped_end(dice: random.Random, claim: Claim, worker: str) -> Finish:
    reason, spent = dice.choice([None, *TEXTS]), dice.choice([0, 7])
    match dice.randrange(5):
        case 0:
            return failing(claim, dice.choice(["f", "", "é"]), took=3, worker=worker, reason=reason, spent=spent)
        case 1:
            return failing(claim, "x" * 40, event=Event.RETRY, worker=worker)
        case 2:
            return end(claim, Event.ABORT, reason=reason, worker=worker)
        case _:
            return end(claim, Event.COMPLETE, trail=None, result='"r"', took=9, spent=spent)


@pytest.mark.parametrize("seed", range(3))
async def test_jobs_of_any_shape(store: Store, clock: Clock, seed: int) -> None:
    dice = random.Random(seed)
    (parent,) = await ended(store)
    jobs = [shaped(dice, n, parent) for n in range(100)]
    await put(store, *jobs)
    hand = Hand(store, "w" * dice.randrange(1, 60))
    while claims := await hand.drain():
        await hand.finish(*[shaped_end(dice, claim, hand.name) for claim in claims])
        await clock.forward(1)
        await store.promote(1_000)
    before = [await get(store, job.id) for job in jobs]
    await clock.forward(HOUR)
    await prune_all(store, keeping())
    for job in before:
        past = await store.past(job.id)
        assert past is not None and remaining(past.job) == remaining(job)


async def test_errors_of_half_a_megabyte(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new(max_attempts=9))
    hand = Hand(store)
    error = '{"type":"B","message":"' + "é" * 250_000 + '","fingerprint":"f"}'
    for n in range(8):
        await hand.finish(end(await hand.one(), Event.RETRY if n < 7 else Event.FAIL, error=error))
        await clock.forward(1)
        await store.promote(10)
    before = await get(store, id)
    await prune_all(store, keeping())
    past = await store.past(id)
    assert past is not None and remaining(past.job) == remaining(before)


async def test_a_clock_that_steps_back(store: Store, clock: Clock) -> None:
    """What went in a time that has not come yet stays until that is over, and keeps nothing else for ever."""
    ids = await ended(store, 3)
    await prune_all(store, keeping())
    await clock.forward(-DAY)
    ids += await ended(store, 3)
    await clock.forward(1)
    await prune_all(store, keeping(history=2 * DAY))
    assert all(await known(store, ids))
    await clock.forward(4 * DAY)
    await prune_all(store, keeping(history=2 * DAY))
    assert not any(await known(store, ids))


async def test_ids_that_come_again_from_several_while_they_go(store: Store, make_store: MakeStore) -> None:
    """To store an id again is never an error, whoever else stores or deletes it; and a job lives or is past."""
    ids = [fresh_id() for _ in range(40)]
    other, third = await make_store(), await make_store()
    under_way = 3

    async def produce(own: Store, seed: int) -> None:
        nonlocal under_way
        dice = random.Random(seed)
        for _ in range(150):
            assert len(await own.enqueue([new(id=id) for id in dice.sample(ids, 10)])) == 10
        under_way -= 1

    async def work(own: Store) -> None:
        hand = Hand(own, "w")
        while under_way:
            if claims := await hand.take(7):
                await hand.finish(*[end(claim, Event.COMPLETE, trail=None) for claim in claims])
            await own.prune(keeping(keep_history=20), 5)
            await asyncio.sleep(0)

    await asyncio.gather(produce(store, 0), produce(other, 1), produce(third, 2), work(other), work(third))
    for id in ids:
        if await store.job(id) is not None:
            assert await store.past(id) is None
    await store.enqueue([new(id=id) for id in ids])
    hand = Hand(store, "last")
    await hand.complete(*await hand.drain())
    await prune_all(store, keeping())
    assert all(await known(store, ids))
    await prune_all(store, keeping(keep_history=7))
    assert sum(await known(store, ids)) == 7
