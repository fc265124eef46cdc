"""Counting by filter: exact up to a cap, whatever answers it."""

import os
import random
from typing import Any

import pytest

from tests.store.kit import DAY, HOUR, T0, Clock, Hand, act, all_ids, end, failing, new, promote_all, put
from windlass.store import Store
from windlass.values.clock import SECOND
from windlass.values.job import Edge, Job, UniqueKey
from windlass.values.query import Action, Where
from windlass.values.states import FINAL, LIVE, Event, State

SCALE = float(os.environ.get("WINDLASS_TEST_SCALE", "1"))
QUEUES, KINDS, USERS, TAGS = (
    ("mail", "main", "x"),
    ("a.one", "a.two", "b"),
    (None, "u1", "u2", "u3"),
    ("t1", "t2", "t3"),
)
FINGERPRINTS = ("f1", "f2", "")
LADDERS = ((), (HOUR,), (DAY,))


async def fill(store: Store, clock: Clock, dice: random.Random, n: int = 300) -> list[Job]:
    """Jobs of every sort in every state; what they are."""
    ids: list[str] = []
    for _ in range(n // 10):
        await clock.forward(dice.randrange(1, 60) * SECOND)
        ids += await put(store, *(some_job(dice, ids) for _ in range(10)))
        hand = Hand(store)
        for claim in await hand.take(dice.randrange(8)):
            event = dice.choice([Event.COMPLETE, Event.FAIL, Event.FAIL, Event.ABORT, Event.RETRY, Event.SNOOZE])
            if event is Event.FAIL:
                ended = failing(claim, dice.choice(FINGERPRINTS), ladder=dice.choice(LADDERS))
            else:
                ended = end(claim, event, delay=HOUR)
            await hand.finish(ended)
        await hand.take(dice.randrange(2))
    await act(store, Action.CANCEL, *dice.sample(ids, 10))
    await promote_all(store)
    jobs: list[Job] = []
    cursor: str | None = None
    while True:
        page = await store.jobs(Where(), cursor, 1_000)
        jobs += page.items
        if page.next is None:
            assert sorted(job.id for job in jobs) == sorted(ids)
            return jobs
        cursor = page.next


def some_job(dice: random.Random, ids: list[str]) -> Any:
    return new(
        dice.choice(KINDS),
        queue=dice.choice(QUEUES),
        user=dice.choice(USERS),
        project=dice.choice([None, "p1", "p2"]),
        group=dice.choice([None, "g1", "g2"]),
        workflow=dice.choice([None, "w1", "w2"]),
        tags=tuple(dice.sample(TAGS, dice.randrange(3))),
        unique=dice.choice([None, UniqueKey(key=f"k{len(ids)}-{dice.random()}")]),
        delay=dice.choice([None, None, HOUR]),
        after=tuple(Edge(id, "run") for id in dice.sample(ids, min(len(ids), dice.choice([0, 0, 0, 1])))),
    )


def micros(at: Any) -> int | None:
    return None if at is None else round(at.timestamp() * 1_000_000)


def matches(job: Job, where: Where) -> bool:
    """A filter, said once more."""

    def within(at: int | None, start: int | None, stop: int | None) -> bool:
        if start is None and stop is None:
            return True
        return at is not None and (start is None or at >= start) and (stop is None or at < stop)

    retry = micros(job.next_retry_at)
    fingerprint = job.error.fingerprint if job.error else ""
    return all(
        (
            not where.ids or job.id in where.ids,
            not where.states or job.state in where.states,
            not where.queues or job.queue in where.queues,
            not where.kinds or any(_kind(job.kind, kind) for kind in where.kinds),
            where.user in (None, job.user),
            where.project in (None, job.project),
            where.group in (None, job.group),
            where.workflow in (None, job.workflow),
            where.unique in (None, job.unique),
            not where.tags or bool({*where.tags} & {*job.tags}),
            within(micros(job.created_at), where.created_from, where.created_to),
            within(micros(job.finished_at), where.finished_from, where.finished_to),
            not where.fingerprints or (job.state is State.FAILED and fingerprint in where.fingerprints),
            where.retry_before is None or (retry is not None and retry < where.retry_before),
        )
    )


def _kind(kind: str, pattern: str) -> bool:
    return kind.startswith(pattern[:-1]) if pattern.endswith("*") else kind == pattern


def some_where(dice: random.Random, jobs: list[Job]) -> Where:
    start = T0 + dice.randrange(1_000) * SECOND
    every: dict[str, Any] = {
        "ids": tuple(job.id for job in dice.sample(jobs, 30)),
        "states": tuple(dice.sample(list(State), dice.randrange(1, 4))),
        "queues": tuple(dice.sample([*QUEUES, "none"], dice.randrange(1, 3))),
        "kinds": dice.choice([("a.one",), ("a.*",), ("b", "a.two"), ("none*",), ("*",)]),
        "user": dice.choice(USERS),
        "project": "p1",
        "group": "g2",
        "workflow": "w1",
        "unique": dice.choice([job.unique for job in jobs]),
        "tags": tuple(dice.sample(TAGS, dice.randrange(1, 3))),
        "created_from": start,
        "created_to": start + HOUR // 6,
        "finished_from": start,
        "finished_to": start + HOUR // 6,
        "fingerprints": tuple(dice.sample(FINGERPRINTS, dice.randrange(1, 3))),
        "retry_before": T0 + dice.choice([HOUR, 2 * HOUR, 2 * DAY]),
    }
    return Where(**{name: every[name] for name in dice.sample(sorted(every), dice.choice([1, 1, 2, 3]))})


@pytest.mark.parametrize("seed", range(round(2 * SCALE)))
async def test_counts_are_the_truth(store: Store, clock: Clock, seed: int) -> None:
    dice = random.Random(seed)
    jobs = await fill(store, clock, dice)
    wheres = [Where(), *(some_where(dice, jobs) for _ in range(120))]
    truth = [{job.id for job in jobs if matches(job, where)} for where in wheres]
    assert sum(0 < len(some) < len(jobs) for some in truth) > 60, "filters that tell something"
    for where, some in zip(wheres[:40], truth, strict=False):
        assert set(await all_ids(store, where, 200)) == some, where
    for cap in (10_000, 50, 7, 1):
        counted = await store.count(wheres, cap)
        wrong = [
            (where, n, len(some))
            for where, n, some in zip(wheres, counted, truth, strict=True)
            if n != min(len(some), cap)
        ]
        assert wrong == [], cap


async def test_nothing_to_count(store: Store) -> None:
    assert await store.count([], 10) == []
    every = (Where(), Where(states=FINAL), Where(fingerprints=("",)), Where(retry_before=T0), Where(ids=("none",)))
    assert await store.count(every, 10) == [0] * 5


async def test_a_cap_is_the_most(store: Store) -> None:
    await put(store, *(new(user="u", tags=("t",)) for _ in range(120)))
    wheres = [
        Where(),
        Where(user="u"),
        Where(tags=("t",)),
        Where(states=LIVE),
        Where(queues=("default",)),
        Where(user="v"),
    ]
    for cap in (1, 100, 119, 120, 121, 10_000):
        assert await store.count(wheres, cap) == [min(cap, 120)] * 5 + [0]


async def test_a_cap_of_nothing(store: Store) -> None:
    await put(store, new())
    assert await store.count([Where(), Where(queues=("none",))], 0) == [0, 0]


async def test_each_filter_is_counted_for_itself(store: Store) -> None:
    await put(store, *(new(queue="ab"[n % 2]) for n in range(9)))
    a, b = Where(queues=("a",)), Where(queues=("b",))
    assert await store.count([a, b, a, Where(), b], 6) == [5, 4, 5, 6, 4]


@pytest.mark.slow
async def test_a_rare_match_far_back_is_looked_for_within_bounds(store: Store) -> None:
    """A filter that no index answers looks at 20,000 jobs at most, and says what it found among them."""
    await put(store, new(tags=("old",), project="old"))
    for _ in range(3):
        await put(store, *(new(tags=("new",), project="new") for _ in range(10_000)))
    both = [Where(tags=("new",), project="new"), Where(tags=("old",), project="old", states=(State.WAITING,))]
    assert (await store.count(both, 10_000))[0] == 10_000
    assert (await store.count(both, 10_000))[1] in (0, 1)
    assert await store.count([Where(states=(State.WAITING,))], 10_000) == [10_000]


async def test_a_worker_tells_how_many_of_its_attempts_failed(store: Store) -> None:
    await Hand(store).beat(done=7, failed=3)
    (info,) = await store.workers()
    assert (info.done, info.failed) == (7, 3)
    await Hand(store).beat(done=9, failed=4)
    assert [info.failed for info in await store.workers()] == [4]
