"""What only Redis can suffer: lost scripts, full memory, replicas, restarts, eviction, foreign schemas."""

from collections.abc import Iterator

import pytest
import redis
from redis import exceptions as redis_errors

from tests.servers import RedisServer
from tests.store.kit import HOUR, Hand, counted, end, get, new, put
from tests.waiting import until
from windlass.errors import SchemaMismatch, StoreError, StoreFull, StoreReadOnly, StoreUnavailable
from windlass.store.redis.engine import RedisStore
from windlass.store.redis.faults import translate
from windlass.store.redis.migrate import STEPS, known
from windlass.values.clock import SECOND
from windlass.values.outcome import Verdict, completed
from windlass.values.query import Retention, Where
from windlass.values.schedule import ScheduleRow
from windlass.values.states import Event, State


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server of the test's own, which it may break."""
    with RedisServer() as server:
        yield server


def admin(server: RedisServer) -> "redis.Redis":
    return redis.Redis.from_url(server.url)


async def opened(server: RedisServer, namespace: str = "n") -> RedisStore:
    store = RedisStore(server.url, namespace)
    await store.open()
    return store


async def test_lost_scripts_are_sent_again(server: RedisServer) -> None:
    store = await opened(server)
    hand = Hand(store)
    with admin(server) as client:
        for _ in range(3):
            client.script_flush()
            await put(store, new())
            client.script_flush()
            claim = await hand.one()
            client.script_flush()
            assert await hand.finish(completed(claim, None, 1)) == [Verdict.ACCEPTED]
    assert await counted(store) == {State.COMPLETED: 3}
    assert await store.audit_counts() == []
    await store.close()


async def test_a_full_memory_refuses_new_jobs_and_lets_work_go_on(server: RedisServer) -> None:
    store = await opened(server)
    hand = Hand(store)
    await put(store, *(new(args='"' + "x" * 200 + '"') for _ in range(100)))
    with admin(server) as client:
        client.config_set("maxmemory", client.info("memory")["used_memory"])
        with pytest.raises(StoreFull) as full:
            await store.enqueue([new(queue="more")])
        assert full.value.mend
        assert "more" not in {queue.name for queue in await store.queues()}, "nothing of the call has happened"
        claims = await hand.take(100)
        assert len(claims) == 100
        assert (await hand.beat(*claims)).lost == ()
        assert set(await hand.finish(*(end(claim, Event.COMPLETE, result="1") for claim in claims))) == {
            Verdict.ACCEPTED
        }
        await store.hold_time(None)
        client.config_set("maxmemory", 0)
    await put(store, new())
    assert await store.audit_counts() == []
    await store.close()


async def test_prune_goes_on_in_a_full_memory(server: RedisServer) -> None:
    store = await opened(server)
    await put(store, *(new() for _ in range(50)))
    hand = Hand(store)
    await hand.complete(*await hand.take(50))
    with admin(server) as client:
        client.config_set("maxmemory", client.info("memory")["used_memory"] - 1_000)
        assert await store.prune(Retention(keep_completed=0), 100) == 50
        client.config_set("maxmemory", 0)
    assert await store.counts() == []
    await store.close()


async def test_a_replica_is_unavailable_until_it_is_promoted(server: RedisServer) -> None:
    store = await opened(server)
    await put(store, new())
    with admin(server) as client:
        client.replicaof("127.0.0.1", "1")
        with pytest.raises(StoreUnavailable):
            await store.enqueue([new()])
        assert any("replica" in warning for warning in (await store.health())["warnings"])
        client.config_set("replica-serve-stale-data", "no")
        with pytest.raises(StoreUnavailable):
            await store.counts()
        client.replicaof("NO", "ONE")
    await put(store, new())
    assert await counted(store) == {State.WAITING: 2}
    await store.close()


async def test_a_crash_of_the_server_loses_no_acknowledged_job(server: RedisServer) -> None:
    store = await opened(server)
    hand = Hand(store)
    (running, *_) = await put(store, new(priority=5), new(), new(delay=HOUR))
    claim = await hand.one()
    server.kill()
    with pytest.raises(StoreUnavailable):
        await store.counts()
    server.start()
    assert claim.id == running
    assert await until(lambda: hand.finish(completed(claim, '"kept"', 1)), "the finish") == [Verdict.ACCEPTED]
    assert await counted(store) == {State.COMPLETED: 1, State.WAITING: 1, State.DELAYED: 1}
    assert await store.audit_counts() == []
    await store.close()


async def test_a_lease_is_never_given_twice_though_the_counter_was_lost(server: RedisServer) -> None:
    store = await opened(server)
    await put(store, new(), new())
    hand = Hand(store)
    before = await hand.one()
    with admin(server) as client:
        client.delete("{n}:lease")
    after = await hand.one()
    assert 0 < before.lease < after.lease < 2**53
    await store.close()


async def test_a_listener_hears_again_after_a_restart(server: RedisServer) -> None:
    store = await opened(server)
    woken: list[int] = []
    store.listen({"ready"}, lambda: woken.append(1))
    await until(lambda: woken, "the first wake, at the subscription")
    server.kill()
    server.start()
    woken.clear()
    await until(lambda: woken, "a wake at the new subscription")
    woken.clear()

    async def deed() -> bool:
        await put(store, new())
        return bool(woken)

    await until(deed, "a wake by an enqueue")
    await store.close()


async def test_a_nearer_time_wakes(server: RedisServer) -> None:
    store = await opened(server)
    woken: list[int] = []
    store.listen({"ready"}, lambda: woken.append(1))
    await until(lambda: woken, "the first wake, at the subscription")
    hand = Hand(store)
    for delay in (HOUR, HOUR // 2):
        assert await hand.take() == []
        woken.clear()
        await put(store, new(delay=delay))
        await until(lambda: woken, "a wake by a delayed job that is due first")
    await put(store, new())
    claim = await hand.one()
    assert await hand.take() == []
    woken.clear()
    await hand.finish(end(claim, Event.RETRY, delay=SECOND))
    await until(lambda: woken, "a wake by a retry that is due first")
    await store.close()


async def test_everything_flushed_is_no_trap(server: RedisServer) -> None:
    store = await opened(server)
    hand = Hand(store)
    await put(store, *(new() for _ in range(5)))
    await store.put_schedules([ScheduleRow(key="s", spec="{}", due=1)], "ops")
    claims = await hand.take(3)
    with admin(server) as client:
        client.flushall()
    assert set(await hand.finish(*(completed(claim, None, 1) for claim in claims))) == {Verdict.STALE}
    assert len((await hand.beat(*claims)).lost) == 3
    assert await store.rescue("w", SECOND, 10) == []
    assert (await store.promote(10)).moved == 0
    await put(store, new())
    await hand.complete(await hand.one())
    assert await counted(store) == {State.COMPLETED: 1}
    await store.close()


async def test_jobs_lost_to_eviction_are_stepped_over(server: RedisServer) -> None:
    store = await opened(server)
    hand = Hand(store)
    await put(store, *(new() for _ in range(5)), new(delay=1))
    with admin(server) as client:
        for key in client.scan_iter("{n}:job:*"):
            client.delete(key)
    assert await hand.take() == []
    assert (await store.promote(10)).moved == 0
    (id,) = await put(store, new())
    assert (await hand.one()).id == id
    assert [job.id for job in (await store.jobs(Where())).items] == [id]
    assert await store.audit_counts() != [], "the auditor says what is missing"
    await store.close()


async def test_another_schema_is_refused(server: RedisServer) -> None:
    store = await opened(server)
    with admin(server) as client:
        client.set("{n}:schema", known() + 1)
    hand = Hand(store)
    assert (await hand.beat()).stop, "an old worker is told to finish and leave"
    await store.close()
    with pytest.raises(SchemaMismatch) as refused:
        await opened(server)
    assert (refused.value.found, refused.value.known) == (known() + 1, known())


async def test_an_empty_namespace_migrates_itself_once(server: RedisServer) -> None:
    store = RedisStore(server.url, "fresh")
    assert await store.schema() == (0, known())
    assert await store.migrate() == [step.name for step in STEPS]
    assert await store.migrate() == []
    await store.open()
    await store.close()


async def test_health_says_what_would_be_lost(server: RedisServer) -> None:
    store = await opened(server)
    facts = await store.health()
    assert (facts["engine"], facts["appendonly"], facts["appendfsync"]) == ("redis", True, "everysec")
    assert facts["maxmemory_policy"] == "noeviction"
    assert facts["size"] > 0
    assert [warning.split(" is ")[0] for warning in facts["warnings"]] == ["appendfsync"]
    with admin(server) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("appendonly", "no")
    first, second = (await store.health())["warnings"]
    assert "allkeys-lru" in first
    assert "noeviction" in first
    assert "appendonly" in second
    await store.close()


async def test_namespaces_share_a_server_and_nothing_else(server: RedisServer) -> None:
    one, two = await opened(server, "one"), await opened(server, "two")
    (id,) = await put(one, new())
    assert await two.job(id) is None
    assert await Hand(two).take() == []
    assert (await get(one, id)).state is State.WAITING
    await one.close()
    await two.close()


async def test_a_handle_that_is_not_open_says_so() -> None:
    with pytest.raises(StoreUnavailable) as closed:
        await RedisStore("redis://127.0.0.1:1/0", "n").counts()
    assert "open" in closed.value.mend


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (redis_errors.BusyLoadingError("Redis is loading the dataset in memory"), StoreUnavailable),
        (redis_errors.ResponseError("LOADING Redis is loading the dataset in memory"), StoreUnavailable),
        (redis_errors.ReadOnlyError("You can't write against a read only replica."), StoreUnavailable),
        (redis_errors.ResponseError("Error running script: -READONLY You can't write"), StoreUnavailable),
        (redis_errors.MasterDownError("Link with MASTER is down"), StoreUnavailable),
        (redis_errors.ResponseError("MASTERDOWN Link with MASTER is down"), StoreUnavailable),
        (redis_errors.ClusterDownError("CLUSTERDOWN Hash slot not served"), StoreUnavailable),
        (redis_errors.ConnectionError("refused"), StoreUnavailable),
        (redis_errors.TimeoutError("slow"), StoreUnavailable),
        (OSError("unreachable"), StoreUnavailable),
        (
            RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed"),
            StoreUnavailable,
        ),
        (RuntimeError("a defect"), None),
        (redis_errors.AuthenticationError("WRONGPASS"), StoreUnavailable),
        (redis_errors.OutOfMemoryError("command not allowed"), StoreFull),
        (redis_errors.ResponseError("-OOM command not allowed when used memory > 'maxmemory'."), StoreFull),
        (redis_errors.ResponseError("MISCONF Redis is configured to save RDB snapshots"), StoreReadOnly),
        (redis_errors.ResponseError("ERR user_script:12: attempt to index a nil value"), None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else getattr(value, "__name__", "defect"),
)
def test_errors_are_told_in_our_words(error: Exception, expected: type[StoreError] | None) -> None:
    told = translate(error, "redis://host/0")
    assert type(told) is (expected or type(None))
