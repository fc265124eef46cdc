"""Calls above one script: all or nothing, whoever dies when."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis

from tests.servers import RedisServer
from tests.store.kit import Hand, counted, new, promote_all, put
from windlass.errors import BatchTooLarge, StoreUnavailable
from windlass.store.protocol import MOST_ENQUEUED
from windlass.store.redis import produce
from windlass.store.redis.connection import Link
from windlass.store.redis.engine import RedisStore
from windlass.values.job import Edge, Enqueued, NewJob, UniqueKey
from windlass.values.query import Retention
from windlass.values.states import State

SOME = 2 * produce.CHUNK_JOBS + 100


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@asynccontextmanager
async def opened(server: RedisServer, namespace: str) -> AsyncIterator[RedisStore]:
    store = RedisStore(server.url, namespace)
    await store.open()
    yield store
    assert await store.audit_counts() == []
    await store.close()


def dying(monkeypatch: pytest.MonkeyPatch, when: Callable[[str, int], bool]) -> None:
    """The connection is cut before the n-th call of a verb for which `when` says so."""
    calls: dict[str, int] = {}
    whole = Link.run

    async def run(self: Link, verb: str, *arguments: Any) -> Any:
        calls[verb] = calls.get(verb, 0) + 1
        if when(verb, calls[verb]):
            raise StoreUnavailable("cut by the test")
        return await whole(self, verb, *arguments)

    monkeypatch.setattr(Link, "run", run)


def leftovers(server: RedisServer, namespace: str) -> set[bytes]:
    with redis.Redis.from_url(server.url) as client:
        return {key for pattern in ("stage*", "commits") for key in client.scan_iter(f"{{{namespace}}}:{pattern}")}


async def test_before_the_commit_nothing_exists(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(server, "before") as store:
        jobs = [new() for _ in range(SOME)]
        with monkeypatch.context() as patch:
            dying(patch, lambda verb, n: verb in ("commit", "discard"))
            with pytest.raises(StoreUnavailable):
                await store.enqueue(jobs)
        assert await store.counts() == []
        assert leftovers(server, "before"), "the stage waits for prune"
        await promote_all(store)
        assert await store.counts() == []
        assert await store.enqueue(jobs) == [Enqueued(job.id) for job in jobs], "and the call may be repeated"
        assert await counted(store) == {State.WAITING: SOME}


async def test_a_refused_stage_is_discarded(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(server, "refused") as store:
        with monkeypatch.context() as patch:
            dying(patch, lambda verb, n: verb == "stage" and n == 2)
            with pytest.raises(StoreUnavailable):
                await store.enqueue([new() for _ in range(SOME)])
        assert not leftovers(server, "refused")


@pytest.mark.parametrize("stored", [0, 1])
async def test_after_the_commit_everything_will_exist(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, stored: int
) -> None:
    namespace = f"after{stored}"
    async with opened(server, namespace) as store:
        jobs = [new() for _ in range(SOME)]
        with monkeypatch.context() as patch:
            dying(patch, lambda verb, n: verb == "enqueue" and n == stored + 1)
            with pytest.raises(StoreUnavailable):
                await store.enqueue(jobs)
        assert sum((await counted(store)).values()) == stored * produce.CHUNK_JOBS
        await promote_all(store)
        assert sum((await counted(store)).values()) == stored * produce.CHUNK_JOBS, "its caller may still be alive"
        with redis.Redis.from_url(server.url) as client:  # as if two seconds had passed
            for tx in client.zrange(f"{{{namespace}}}:commits", 0, -1):
                client.zadd(f"{{{namespace}}}:commits", {tx: 1})
        await promote_all(store)
        assert await counted(store) == {State.WAITING: SOME}
        assert not leftovers(server, namespace)
        claims = await Hand(store).drain()
        assert [claim.id for claim in claims] == [job.id for job in jobs], "in the order of the call"


async def test_a_caller_whose_chunk_another_took_sends_it_itself(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(server, "taken") as store:
        jobs: list[NewJob[Any]] = [new() for _ in range(SOME - 1)]
        jobs.append(new(unique=UniqueKey(key="k")))
        whole = Link.run
        taken: list[bool] = []

        async def run(self: Link, verb: str, *arguments: Any) -> Any:
            if verb == "enqueue" and not taken:
                taken.append(True)
                with redis.Redis.from_url(server.url) as client:
                    for tx in client.zrange("{taken}:commits", 0, -1):
                        client.zadd("{taken}:commits", {tx: 1})
                await whole(self, "promote", 500)
            return await whole(self, verb, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(Link, "run", run)
            assert await store.enqueue(jobs) == [Enqueued(job.id) for job in jobs]
        assert taken
        assert await counted(store) == {State.WAITING: SOME}
        assert not leftovers(server, "taken")


async def test_an_abandoned_stage_is_pruned(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(server, "pruned") as store:
        with monkeypatch.context() as patch:
            dying(patch, lambda verb, n: verb in ("commit", "discard"))
            with pytest.raises(StoreUnavailable):
                await store.enqueue([new() for _ in range(SOME)])
        await store.prune(Retention(), 100)
        assert leftovers(server, "pruned")
        with redis.Redis.from_url(server.url) as client:
            for tx in client.zrange("{pruned}:stages", 0, -1):
                client.zadd("{pruned}:stages", {tx: 1})
        await store.prune(Retention(), 100)
        assert not leftovers(server, "pruned")


async def test_parents_may_stand_anywhere_in_a_large_call(server: RedisServer) -> None:
    async with opened(server, "parents") as store:
        last = new(priority=9)
        children = [new(after=(Edge(last.id),), queue="c") for _ in range(SOME)]
        answers = await store.enqueue([*children, last])
        assert answers == [Enqueued(job.id) for job in (*children, last)]
        assert await counted(store) == {State.BLOCKED: SOME, State.WAITING: 1}
        hand = Hand(store)
        await hand.complete(await hand.one())
        await promote_all(store)
        assert await counted(store) == {State.COMPLETED: 1, State.WAITING: SOME}


async def test_keys_are_seen_across_chunks(server: RedisServer) -> None:
    async with opened(server, "keys") as store:
        first = new(unique=UniqueKey(key="k"))
        again = new(unique=UniqueKey(key="k"))
        answers = await store.enqueue([first, *(new() for _ in range(SOME)), again])
        assert answers[0] == Enqueued(first.id)
        assert answers[-1] == Enqueued(first.id, created=False)


async def test_large_arguments_make_more_chunks(server: RedisServer) -> None:
    async with opened(server, "large") as store:
        await put(store, *(new(args='"' + "x" * 300_000 + '"') for _ in range(8)))
        assert await counted(store) == {State.WAITING: 8}


async def test_a_call_has_its_limit(server: RedisServer) -> None:
    async with opened(server, "limit") as store:
        job = new()
        with pytest.raises(BatchTooLarge):
            await store.enqueue([job] * (MOST_ENQUEUED + 1))
