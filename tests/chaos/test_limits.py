"""Worker processes under limits, some of them killed: what ran at once and what started in a while, told by effects.

What happened is told by the handlers' own effect file, never by the store. A killed worker's handlers ended when it was
gone, at the latest.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from time import time
from typing import Any, NamedTuple

import pytest
from uuid_utils import uuid7

from tests.chaos.test_kill import DYING, all_completed, kind, states
from tests.store.places import SCALE, in_turns
from tests.waiting import until
from tests.worker.crew import Crew, Effect, Process, crew_of
from windlass.app import Windlass
from windlass.values.clock import SECOND
from windlass.values.job import NewJob
from windlass.values.limit import Bound, LimitChange, Rate
from windlass.values.queue import QueueChange
from windlass.values.states import State

LEASE = 2.0
WORKERS = 8 if SCALE > 1 else 5  # each is a process that has to begin


class Span(NamedTuple):
    """One run of a handler, in seconds of the system's clock."""

    job: str
    begin: float
    end: float


def job_of(app: Windlass, seconds: float, *bounds: Bound, runtime: str = "async", **fields: Any) -> NewJob[Any]:
    """A job as the store gets it: the door that declares limits is not what is on trial here."""
    made: NewJob[Any] = kind(app, runtime).job(seconds=seconds)
    copied = {name: getattr(made, name) for name in NewJob.__struct_fields__}
    return NewJob(**{**copied, "id": str(uuid7()), "limits": bounds, **fields})


async def enqueue(app: Windlass, jobs: list[NewJob[Any]]) -> dict[str, tuple[Bound, ...]]:
    """What each job is under, by its id."""
    store = await app.store()
    for start in range(0, len(jobs), 500):
        await store.enqueue(jobs[start : start + 500])
    return {job.id: job.limits for job in jobs}


def spans_of(crew: Crew, gone: Mapping[int, float]) -> list[Span]:
    """Every run: from its begin to its end, or to when its process was gone."""
    ends = {(effect.job, effect.lease): effect.at for effect in crew.effects("end")}
    return [_span(effect, ends, gone) for effect in crew.effects("begin")]


def _span(effect: Effect, ends: Mapping[tuple[str, int], float], gone: Mapping[int, float]) -> Span:
    end = ends.get((effect.job, effect.lease))
    if end is None:
        assert effect.pid in gone, f"{effect.job} began in a process that lives, and has no end"
        end = gone[effect.pid]
    return Span(effect.job, effect.at, end)


def most_at_once(spans: Iterable[Span]) -> int:
    """How many of these ran at one moment, at most; one that ends where another begins is not beside it."""
    edges = sorted([(span.begin, 1) for span in spans] + [(span.end, -1) for span in spans])
    now = most = 0
    for _, step in edges:
        now += step
        most = max(most, now)
    return most


def check_concurrency(spans: list[Span], under: Mapping[str, tuple[Bound, ...]]) -> dict[str, int]:
    """No key ran more than its limit; how many each did at most."""
    by_key: dict[str, list[Span]] = {}
    allowed: dict[str, int] = {}
    for span in spans:
        for bound in under[span.job]:
            if bound.concurrency is not None:
                by_key.setdefault(bound.key, []).append(span)
                allowed[bound.key] = bound.concurrency
    found = {key: most_at_once(some) for key, some in by_key.items()}
    assert {key: most for key, most in found.items() if most > allowed[key]} == {}
    return found


def check_rate(begins: list[tuple[float, int]], n: int, window: float) -> None:
    """No window of so many seconds, wherever it is put, holds starts of more than `n` in costs."""
    begins.sort()
    for at, (first, _) in enumerate(begins):
        inside = [cost for begin, cost in begins[at:] if begin < first + window]
        assert sum(inside) <= n, f"{sum(inside)} started within {window} s from {first}, {n} are allowed"


async def nothing_is_left(app: Windlass, total: int) -> None:
    """All jobs have ended, no slot leaked, nobody is left behind."""
    assert await states(app) == {State.COMPLETED: total}
    store = await app.store()
    assert {info.key: info.held for info in await store.limits() if info.held} == {}
    assert not any(info.waiting for info in await store.limits())


PLANS = {"free": 1, "basic": 2, "pro": 5}


def by_plan(n: int) -> tuple[Bound, ...]:
    """Each user under the limit of a plan; every third job under a provider's too, and all under one of the house."""
    plan = list(PLANS)[n % 3]
    bounds = [Bound(f"user:{plan}:{n % 4}", PLANS[plan]), Bound("house", 14)]
    return tuple([*bounds, Bound("provider", 3)] if n % 5 == 0 else bounds)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("app", "runtime"), in_turns(["async"], ["thread"]), indirect=["app"])
async def test_no_key_runs_more_than_its_limit(app: Windlass, tmp_path: Path, scale: float, runtime: str) -> None:
    total = int(400 * scale)
    async with app, crew_of(app, tmp_path, LEASE=LEASE, CONCURRENCY=10, THREADS=6, PROCESSES=1) as crew:
        jobs = [job_of(app, 0.02, *by_plan(n), runtime=runtime, priority=n % 3) for n in range(total)]
        under = await enqueue(app, jobs)
        for _ in range(WORKERS):
            await crew.start()
        await until(lambda: all_completed(app, total), "all jobs to end", 200)
        found = check_concurrency(spans_of(crew, {}), under)
        assert Counter(effect.job for effect in crew.effects("end")) == dict.fromkeys(under, 1)
        assert max(found.values()) > 1, "they did run beside each other"
        await nothing_is_left(app, total)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_killed_holders_leak_no_slot(app: Windlass, tmp_path: Path, scale: float) -> None:
    total = int(300 * scale)
    chance = random.Random(20_26)
    async with app, crew_of(app, tmp_path, LEASE=LEASE, CONCURRENCY=10) as crew:
        under = await enqueue(app, [job_of(app, 0.05, *by_plan(n), queue="ab"[n % 2]) for n in range(total)])
        team: list[Process] = [await crew.start() for _ in range(WORKERS)]
        await until(lambda: crew.effects("begin"), "the work to begin")
        gone: dict[int, float] = {}
        while not await all_completed(app, total):
            if len(crew.effects("end")) < total * 0.9:
                for victim in chance.sample(team, 2):
                    await crew.kill(victim)
                    gone[victim.pid] = time() + DYING
                    team[team.index(victim)] = await crew.start()
            await asyncio.sleep(chance.uniform(0.3, 0.9))
        assert gone
        check_concurrency(spans_of(crew, gone), under)
        assert {effect.job for effect in crew.effects("end")} == set(under)
        await nothing_is_left(app, total)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_hundreds_of_users_behind_one_limit_in_turns(app: Windlass, tmp_path: Path, scale: float) -> None:
    """Each user a line, all under one key, in groups that take turns: nobody is forgotten in the crowd."""
    total = int(500 * scale)
    async with app, crew_of(app, tmp_path, LEASE=LEASE, CONCURRENCY=4) as crew:
        store = await app.store()
        await store.put_queue("default", QueueChange(order="fair"), "ops")
        jobs = [
            job_of(app, 0.01, Bound("house", 9), Bound(f"user:{n % 300}", 1), group=f"tenant:{n % 5}")
            for n in range(total)
        ]
        under = await enqueue(app, jobs)
        for _ in range(WORKERS):
            await crew.start()
        await until(lambda: all_completed(app, total), "all jobs to end", 200)
        check_concurrency(spans_of(crew, {}), under)
        await nothing_is_left(app, total)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_all_holders_die_at_once(app: Windlass, tmp_path: Path) -> None:
    """Every slot of every key is in dead hands: the next workers take them over after a lease."""
    async with app, crew_of(app, tmp_path, LEASE=LEASE, CONCURRENCY=10) as crew:
        bounds = [Bound(f"k{n % 4}", 2) for n in range(16)]
        under = await enqueue(app, [job_of(app, 0.3, bound) for bound in bounds])
        doomed = [await crew.start() for _ in range(2)]
        await until(lambda: len(crew.effects("begin")) >= 8, "all slots to be taken")
        for process in doomed:
            await crew.kill(process)
        gone = {process.pid: time() + DYING for process in doomed}
        for _ in range(WORKERS):
            await crew.start()
        await until(lambda: all_completed(app, 16), "all jobs to end", 60)
        check_concurrency(spans_of(crew, gone), under)
        await nothing_is_left(app, 16)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_no_window_holds_more_starts_than_its_rate(app: Windlass, tmp_path: Path, scale: float) -> None:
    rates = {"slow": Rate(5, SECOND // 2), "fast": Rate(40, SECOND), "costly": Rate(10, SECOND // 2)}
    total = int(60 * scale)
    async with app, crew_of(app, tmp_path, LEASE=LEASE, CONCURRENCY=10) as crew:
        jobs = [job_of(app, 0.001, Bound("slow", rate=rates["slow"])) for _ in range(total)]
        jobs += [job_of(app, 0.001, Bound("fast", rate=rates["fast"])) for _ in range(4 * total)]
        jobs += [job_of(app, 0.001, Bound("costly", rate=rates["costly"], cost=1 + n % 4)) for n in range(total)]
        under = await enqueue(app, jobs)
        for _ in range(WORKERS):
            await crew.start()
        await until(lambda: all_completed(app, 6 * total), "all jobs to end", 200)
        begins: dict[str, list[tuple[float, int]]] = {}
        for effect in crew.effects("begin"):
            (bound,) = under[effect.job]
            begins.setdefault(bound.key, []).append((effect.at, bound.cost))
        for key, rate in rates.items():
            check_rate(begins[key], rate.n, rate.window / SECOND)
        await nothing_is_left(app, 6 * total)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_rate_and_kills(app: Windlass, tmp_path: Path, scale: float) -> None:
    """What a killed worker started stays counted; what it had only claimed starts elsewhere, in a window with room."""
    total, rate = int(120 * scale), Rate(10, SECOND // 2)
    chance = random.Random(4)
    async with app, crew_of(app, tmp_path, LEASE=LEASE, CONCURRENCY=4) as crew:
        await enqueue(app, [job_of(app, 0.05, Bound("k", 6, rate)) for _ in range(total)])
        team = [await crew.start() for _ in range(WORKERS)]
        await until(lambda: crew.effects("begin"), "the work to begin")
        while not await all_completed(app, total):
            if len(crew.effects("end")) < total * 0.9:
                victim = chance.choice(team)
                await crew.kill(victim)
                team[team.index(victim)] = await crew.start()
            await asyncio.sleep(chance.uniform(0.3, 0.9))
        check_rate([(effect.at, 1) for effect in crew.effects("begin")], rate.n, rate.window / SECOND)
        await nothing_is_left(app, total)


CLAIMED_BEFORE = 0.5
"""Seconds in which what a claim brought that began before a change may still begin."""


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_limits_changed_while_they_work(app: Windlass, tmp_path: Path, scale: float) -> None:
    """A limit put on a whole queue, lowered and lifted holds for all that is claimed once the change is back."""
    total = int(400 * scale)
    async with app, crew_of(app, tmp_path, LEASE=LEASE, CONCURRENCY=4) as crew:
        await enqueue(app, [job_of(app, 0.03, Bound("k", 20)) for _ in range(total)])
        for _ in range(WORKERS):
            await crew.start()
        store = await app.store()
        changed: list[tuple[float, float, int]] = []
        for part, change, allowed in (
            (0.1, LimitChange(key="queue:default", concurrency=6), 6),
            (0.3, LimitChange(key="queue:default", concurrency=2), 2),
            (0.5, LimitChange(key="queue:default", drop=True), 20),
            (0.6, LimitChange(key="k", concurrency=3, pinned=True), 3),
        ):
            await until(lambda part=part: len(crew.effects("end")) >= total * part, f"{part:.0%} of the jobs", 60)
            asked = time()
            await store.put_limits([change], "ops")
            changed.append((asked, time(), allowed))
        await until(lambda: all_completed(app, total), "all jobs to end", 100)
        spans = spans_of(crew, {})
        for (_, since, allowed), (until_, *_) in zip(changed, [*changed[1:], (time(), 0, 0)], strict=True):
            for span in spans:
                if since + CLAIMED_BEFORE <= span.begin < until_:
                    beside = sum(other.begin <= span.begin < other.end for other in spans)
                    assert beside <= allowed, f"{beside} ran {span.begin - since:.3f} s after the limit was {allowed}"
        await nothing_is_left(app, total)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_one_job_does_not_wait_for_a_tenants_thousands(app: Windlass, tmp_path: Path) -> None:
    async with app, crew_of(app, tmp_path, LEASE=LEASE, CONCURRENCY=2) as crew:
        store = await app.store()
        await store.put_queue("default", QueueChange(order="fair"), "ops")
        await enqueue(app, [job_of(app, 0.01, group="large") for _ in range(6_000)])
        for _ in range(WORKERS):
            await crew.start()
        await until(lambda: len(crew.effects("end")) >= 200, "the work to be under way", 60)
        lone = [job_of(app, 0.01, group=f"small:{n}") for n in range(5)]
        await enqueue(app, lone)
        before = len(crew.effects("begin"))
        await until(
            lambda: {e.job for e in crew.effects("begin")} >= {job.id for job in lone}, "the small ones to run", 60
        )
        order = [effect.job for effect in crew.effects("begin")]
        last = max(order.index(job.id) for job in lone)
        # A few, which the workers had in their hands; more if the worker that got the small ones had to wait for a processor.
        assert last - before <= 1_500
