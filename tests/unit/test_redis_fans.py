"""Large fan-outs on Redis: children released as a run, beside others that need more, and what is left to `promote`."""

from collections.abc import Iterator

import pytest

from tests.servers import RedisServer
from tests.store.kit import HOUR, T0, Hand, counted, new, promote_all, put, states_of
from windlass.store.redis.engine import RedisStore
from windlass.values.job import Edge
from windlass.values.limit import Bound
from windlass.values.query import Action, Command, Where
from windlass.values.states import State


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


async def opened(server: RedisServer, namespace: str) -> RedisStore:
    store = RedisStore(server.url, namespace)
    await store.open()
    await store.hold_time(T0)
    return store


async def test_a_run_keeps_priority_runtime_and_order(server: RedisServer) -> None:
    store = await opened(server, "run")
    parent = new()
    edge = (Edge(parent.id),)
    low, high = [new(after=edge) for _ in range(12)], [new(after=edge, priority=7) for _ in range(12)]
    threads = [new(after=edge, runtime="thread") for _ in range(12)]
    await put(store, parent, *low, *threads, *high)
    hand = Hand(store)
    await hand.complete(*await hand.take(1))
    claims = await hand.take({"async": 40, "thread": 40})
    assert [claim.id for claim in claims if claim.runtime == "async"] == [job.id for job in (*high, *low)]
    assert [claim.id for claim in claims if claim.runtime == "thread"] == [job.id for job in threads]
    assert {claim.ready_at for claim in claims} == {T0}
    assert await store.audit_counts() == []
    await store.close()


@pytest.mark.parametrize("apart", [True, False], ids=["neighbours", "with others between"])
async def test_children_that_need_more_stand_among_plain_ones(server: RedisServer, apart: bool) -> None:
    store = await opened(server, f"mixed-{apart}")
    parent, other = new(), new(queue="late")
    edge = (Edge(parent.id),)
    plain = [new(after=edge) for _ in range(20)]
    both = new(after=(Edge(parent.id), Edge(other.id)))
    delayed, limited = new(after=edge, delay=HOUR), new(after=edge, limits=(Bound("k", 1),))
    elsewhere, asleep = new(after=edge, queue="b"), new(after=(Edge(other.id),))
    special = [both, delayed, limited, elsewhere, *([] if apart else [asleep])]
    await put(store, parent, other, *plain[:10], *special, *plain[10:])
    await store.command(Command(action=Action.REPRIORITISE, priority=3), Where(ids=(plain[15].id,)), 1, "ops")
    hand = Hand(store, queues=("default",))
    await hand.complete(*await hand.take(1))
    assert await states_of(store, *(job.id for job in plain)) == [State.WAITING] * 20
    expected = [State.BLOCKED, State.DELAYED, State.WAITING, State.WAITING]
    assert await states_of(store, both.id, delayed.id, limited.id, elsewhere.id) == expected
    assert await store.audit_counts() == []
    assert (await hand.one()).id == plain[15].id
    late = Hand(store, "late", queues=("late",))
    await late.complete(*await late.take(1))
    assert await states_of(store, both.id) == [State.WAITING]
    assert await store.audit_counts() == []
    await store.close()


async def test_whoever_ends_the_parent_releases_some_thousand(server: RedisServer) -> None:
    store = await opened(server, "wide")
    for width, left in ((1_500, 0), (3_000, 744)):
        parent = new(queue=f"p{width}")
        await put(store, parent, *(new(queue=f"c{width}", after=(Edge(parent.id),)) for _ in range(width)))
        hand = Hand(store, queues=(parent.queue,))
        await hand.complete(*await hand.take(1))
        expected = {State.WAITING: width - left, **({State.BLOCKED: left} if left else {})}
        assert await counted(store, f"c{width}") == expected
        assert await store.audit_counts() == []
    assert await promote_all(store) == 744
    assert await counted(store, "c3000") == {State.WAITING: 3_000}
    assert await store.audit_counts() == []
    await store.close()


async def test_a_claim_passes_over_what_it_may_not_take(server: RedisServer) -> None:
    """Lines are left by range only where all from the head on was taken."""
    store = await opened(server, "heads")
    jobs = [new(expires_in=HOUR if n % 5 == 0 else None) for n in range(50)]
    await put(store, *jobs)
    await store.hold_time(T0 + 2 * HOUR)
    hand = Hand(store)
    claims = await hand.take(25)
    assert [claim.id for claim in claims] == [job.id for n, job in enumerate(jobs) if n % 5][:25]
    assert await store.audit_counts() == []
    assert len(await hand.take(100)) == 15
    assert await store.audit_counts() == []
    await store.close()
