"""The benchmark's phases. What each figure means is said where it is taken."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from windlass.app import Windlass
from windlass.cli.bench.crew import crew
from windlass.cli.bench.jobs import build, item, padded
from windlass.cli.bench.place import Place, choose, sweep, workplace
from windlass.cli.machine import filesystem
from windlass.store.protocol import Store
from windlass.values.clock import SECOND, instant
from windlass.values.job import Job
from windlass.values.query import Where
from windlass.values.queue import QueueChange
from windlass.values.states import State

CHUNK = 1_000
"""Jobs per bulk call."""
AT_ONCE = 100
"""Enqueues awaited at the same time."""
SAMPLES = 200
MOST_SINGLE = 2_000
MOST_BYTES = 5_000
PATIENCE = 600.0


class Load(NamedTuple):
    """How much to measure."""

    jobs: int
    processes: int
    rounds: int


class Round(NamedTuple):
    """One round's figures: rates per second, latencies in seconds."""

    single: float
    concurrent: float
    bulk: float
    drain: float
    commits: list[float]
    pickups: list[float]
    remote: list[float]


class Measured(NamedTuple):
    """Everything measured, and the store's facts."""

    rounds: list[Round]
    bytes_per_job: float
    health: dict[str, Any]
    filesystem: str


async def measure(url: str | None, load: Load, say: Callable[[str], None]) -> Measured:
    """All rounds, each on a fresh store."""
    rounds: list[Round] = []
    health: dict[str, Any] = {}
    size = 0.0
    async with workplace(url) as folder:
        for number in range(1, load.rounds + 1):
            place = choose(url, folder)
            async with build(place.url, place.namespace) as app:
                store = await app.store()
                try:
                    if number == 1:
                        health = await store.health()
                        size = await _bytes(app, store)
                    rounds.append(await _round(app, store, place, load))
                finally:
                    await sweep(store, place)
            say(_line(number, rounds[-1]))
        return Measured(rounds, size, health, filesystem(folder))


def _line(number: int, done: Round) -> str:
    return (
        f"round {number}: single {done.single:,.0f}/s, bulk {done.bulk:,.0f}/s, drain {done.drain:,.0f}/s, "
        f"pickup p50 {sorted(done.pickups)[len(done.pickups) // 2] * 1e3:.2f} ms"
    )


async def _round(app: Windlass, store: Store, place: Place, load: Load) -> Round:
    noop = app.handlers["noop"]
    count = min(max(load.jobs // 10, 100), MOST_SINGLE)
    single = await _single(noop.options(queue="single"), count)
    concurrent = await _concurrent(noop.options(queue="single"), max(load.jobs // 2, AT_ONCE))
    await store.put_queue("bench", QueueChange(paused=True), "bench")
    bulk = await _bulk(app, noop, load.jobs)
    async with crew(store, place, load.processes):
        drained, commits = await _drain(store, load.jobs)
        remote = await _pickups(noop, SAMPLES)
    near = app.worker(queues=["near"])
    running = asyncio.create_task(near.run())
    try:
        pickups = await _pickups(noop.options(queue="near"), SAMPLES)
    finally:
        await near.stop()
        await running
    return Round(single, concurrent, bulk, drained, commits, pickups, remote)


async def _bytes(app: Windlass, store: Store) -> float:
    """What a waiting job with about 130 bytes of arguments takes in the store."""
    noop = app.handlers["noop"].options(queue="bytes")
    await app.enqueue_many([noop.job(padded(n)) for n in range(CHUNK)])  # the first ones also pay for empty pages
    before = (await store.health())["size"]
    for start in range(0, MOST_BYTES, CHUNK):
        await app.enqueue_many([noop.job(padded(n)) for n in range(start, start + CHUNK)])
    return ((await store.health())["size"] - before) / MOST_BYTES


async def _single(noop: Any, count: int) -> float:
    """Awaited enqueues one after the other: each is durable before the next begins."""
    began = time.perf_counter()
    for n in range(count):
        await noop.enqueue(item(n))
    return count / (time.perf_counter() - began)


async def _concurrent(noop: Any, count: int) -> float:
    """A hundred producers in one process, each awaiting its own enqueues one after the other."""

    async def produce(share: int) -> None:
        for n in range(share):
            await noop.enqueue(item(n))

    began = time.perf_counter()
    share = count // AT_ONCE
    await asyncio.gather(*(produce(share) for _ in range(AT_ONCE)))
    return share * AT_ONCE / (time.perf_counter() - began)


async def _bulk(app: Windlass, noop: Any, count: int) -> float:
    """`enqueue_many` by the thousand, the making of the jobs included."""
    began = time.perf_counter()
    for start in range(0, count, CHUNK):
        await app.enqueue_many([noop.job(item(n)) for n in range(start, min(start + CHUNK, count))])
    return count / (time.perf_counter() - began)


async def _drain(store: Store, count: int) -> tuple[float, list[float]]:
    """From the moment the paused queue is opened to idle workers, to the commit of the last job; and for each job from
    the end of its handler to the commit of its end. Every result is looked at."""
    opened = await store.now()
    await store.put_queue("bench", QueueChange(paused=False), "bench")
    await _until_completed(store, count)
    jobs = await _completed(store, count)
    numbers = sorted(job.result["n"] for job in jobs)
    if numbers != list(range(count)):
        raise RuntimeError(f"{count} jobs were drained, {len(set(numbers))} different results came back")
    last = max(_micros(job) for job in jobs)
    return count / ((last - opened) / SECOND), [(_micros(job) - job.result["ran"]) / SECOND for job in jobs]


def _micros(job: Job) -> int:
    return instant(job.finished_at) if job.finished_at else 0


async def _until_completed(store: Store, count: int) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for queue in await store.counts():
            if queue.queue == "bench" and queue.state is State.COMPLETED and queue.n >= count:
                return
        await asyncio.sleep(0.05)
    raise RuntimeError(f"{count} jobs were not drained in {PATIENCE:g} s")


async def _completed(store: Store, count: int) -> Sequence[Job]:
    where = Where(queues=("bench",), states=(State.COMPLETED,))
    page = await store.jobs(where, None, CHUNK)
    jobs = list(page.items)
    while page.next and len(jobs) <= count:
        page = await store.jobs(where, page.next, CHUNK)
        jobs += page.items
    return jobs


async def _pickups(noop: Any, count: int) -> list[float]:
    """Seconds from the call of `enqueue` to the handler's first line, one job at a time on idle workers."""
    taken: list[float] = []
    for n in range(count):
        await asyncio.sleep(random.uniform(0.002, 0.012))  # so that samples do not keep step with anybody's timer
        began = time.time_ns() // 1_000
        ref = await noop.enqueue(item(n))
        result = await ref.result(timeout=30)
        taken.append((result["ran"] - began) / SECOND)
    return taken
