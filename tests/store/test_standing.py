"""What holds a job back, told by what a claim looks at."""

import pytest

from tests.store.kit import HOUR, T0, Clock, Hand, act, end, fresh_id, get, new, promote_all, put
from tests.store.limiting import change, limit, rated, under
from tests.store.standing import stand
from windlass.store import Store
from windlass.values.clock import SECOND
from windlass.values.job import Edge, UniqueKey
from windlass.values.limit import GUARD, Bound, Rate
from windlass.values.query import Action, Standing
from windlass.values.queue import QueueChange
from windlass.values.states import Event, State


async def standing(store: Store, id: str) -> Standing:
    found = await store.standing(id)
    assert found is not None
    return found


async def test_of_nobody(store: Store) -> None:
    assert await store.standing(fresh_id()) is None


@pytest.mark.parametrize("state", list(State), ids=str)
async def test_in_each_state(store: Store, clock: Clock, state: State) -> None:
    stood = await stand(store, state)
    await clock.forward(SECOND)
    found = await standing(store, stood.id)
    assert found.job == await get(store, stood.id)
    assert (found.now, found.queue.name, found.queue.paused) == (T0 + SECOND, "default", False)
    assert (found.parked, found.limits, dict(found.holders), found.signal, found.unique_holder) == (
        None,
        (),
        {},
        None,
        None,
    )
    assert found.line == (0 if state is State.WAITING else None)
    assert found.parents == (((stood.parent, State.DELAYED),) if stood.parent else ())


async def test_its_queue(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new(queue="mail"))
    await store.put_queue("mail", QueueChange(paused=True, order="fair"), "ops")
    queue = (await standing(store, id)).queue
    assert (queue.name, queue.paused, queue.paused_at, queue.order) == ("mail", True, T0, "fair")


async def test_its_place_in_a_plain_line(store: Store) -> None:
    made = await put(store, *(new(priority=n % 2) for n in range(20)), new(queue="other"), new(runtime="thread"))
    assert [(await standing(store, id)).line for id in made[:20]] == [n // 2 + 10 * (n % 2 == 0) for n in range(20)]
    assert [(await standing(store, id)).line for id in made[20:]] == [0, 0]
    await Hand(store, queues=("default",)).take(3)
    assert (await standing(store, made[0])).line == 7


async def test_its_place_in_a_line_of_its_own(store: Store) -> None:
    made = await put(store, *(under("k") for _ in range(4)), *(new() for _ in range(3)), under("other"))
    await Hand(store).up_to(1)
    assert [(await standing(store, id)).line for id in made] == [None, 0, 1, 2, 0, 1, 2, 0]


async def test_its_place_in_its_group(store: Store) -> None:
    await store.put_queue("default", QueueChange(order="fair"), "ops")
    made = await put(store, *(new(group="ab"[n % 2]) for n in range(6)))
    assert [(await standing(store, id)).line for id in made] == [0, 0, 1, 1, 2, 2]


async def test_very_far_behind(store: Store) -> None:
    """Counted up to ten thousand: a line may be a million jobs long."""
    await put(store, *(new() for _ in range(10_005)))
    (id,) = await put(store, new())
    assert (await standing(store, id)).line == 10_000


async def test_full_limits_and_who_holds_them(store: Store, clock: Clock) -> None:
    made = await put(store, *(under("a", "b", n=2) for _ in range(3)))
    hand = Hand(store)
    assert len(await hand.up_to(9)) == 2
    found = await standing(store, made[2])
    assert sorted(info.key for info in found.limits) == ["a", "b"]
    for info in found.limits:
        assert info == await limit(store, info.key)
        assert (info.concurrency, info.held) == (2, 2)
    assert {key: sorted(holders) for key, holders in found.holders.items()} == {
        "a": sorted(made[:2]),
        "b": sorted(made[:2]),
    }
    running = await standing(store, made[0])
    assert sorted(info.key for info in running.limits) == ["a", "b"], "one that runs tells what it holds"


async def test_no_more_than_twenty_holders_are_named(store: Store) -> None:
    await put(store, *(under("k", n=30) for _ in range(31)))
    claims = await Hand(store).up_to(31)
    (waiting,) = await put(store, under("k", n=30))
    found = await standing(store, waiting)
    assert len(found.holders["k"]) == 20
    assert set(found.holders["k"]) <= {claim.id for claim in claims}
    assert found.limits[0].held == 30


async def test_limits_of_its_queue_and_kind(store: Store) -> None:
    await change(store, "queue:mail", concurrency=1)
    (id,) = await put(store, under("k", queue="mail", kind="send"))
    await change(store, "kind:send", rate=Rate(1, HOUR))
    await change(store, "kind:sender", rate=Rate(1, HOUR))
    assert sorted(info.key for info in (await standing(store, id)).limits) == ["k", "kind:send", "queue:mail"]


async def test_when_a_rate_opens(store: Store, clock: Clock) -> None:
    _, id = await put(store, rated("k", 1, HOUR), rated("k", 1, HOUR))
    assert len(await Hand(store).up_to(9)) == 1
    (info,) = (await standing(store, id)).limits
    assert (info.used, info.opens_at, info.waiting) == (1, T0 + HOUR + GUARD, True)


async def test_a_shut_key(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new(limits=(Bound("provider:x"),)))
    await change(store, "provider:x", shut_for=HOUR, trial=1)
    (info,) = (await standing(store, id)).limits
    assert (info.shut_until, info.trial, info.opens_at) == (T0 + HOUR, 1, T0 + HOUR)


async def test_parents_with_their_states(store: Store) -> None:
    done, open_, failed = new(priority=9), new(delay=HOUR), new(priority=8)
    child = new(after=(Edge(done.id), Edge(open_.id), Edge(failed.id, "hold")))
    await put(store, done, open_, failed, child)
    hand = Hand(store)
    await hand.complete(await hand.one())
    await hand.finish(end(await hand.one(), Event.FAIL))
    found = await standing(store, child.id)
    assert dict(found.parents) == {open_.id: State.DELAYED, failed.id: State.FAILED}
    assert found.signal is None


async def test_the_signal_it_waits_for(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    await hand.finish(end(await hand.one(), Event.SUSPEND, signal="approval", delay=HOUR))
    found = await standing(store, id)
    assert (found.signal, found.parents, found.line) == ("approval", (), None)
    await store.signal(id, "approval", "1", "ops")
    found = await standing(store, id)
    assert (found.signal, found.line) == (None, 0)


async def test_what_it_is_parked_under(store: Store) -> None:
    (id,) = await put(store, under("k", kind="x"))
    hand = Hand(store)
    (claim,) = await hand.up_to(1)
    await hand.finish(end(claim, Event.RELEASE, park="kind:x"))
    assert (await standing(store, id)).parked == "kind:x"
    await store.unpark("kind:x")
    assert (await standing(store, id)).parked is None


async def test_who_holds_its_unique_key(store: Store) -> None:
    rerun = UniqueKey(key="k", on_conflict="rerun")
    holder, follower = new(unique=rerun), new(unique=rerun)
    await put(store, holder)
    hand = Hand(store)
    claim = await hand.one()
    await put(store, follower)
    assert (await standing(store, holder.id)).unique_holder is None
    assert (await standing(store, follower.id)).unique_holder == holder.id
    assert dict((await standing(store, follower.id)).parents) == {holder.id: State.ACTIVE}
    await hand.finish(end(claim, Event.FAIL))
    assert (await standing(store, follower.id)).unique_holder is None
    assert (await standing(store, holder.id)).unique_holder == follower.id


async def test_limits_of_one_that_does_not_wait_yet(store: Store, clock: Clock) -> None:
    """A delayed job tells what it will be under."""
    (id,) = await put(store, under("k", n=3, delay=HOUR))
    assert [info.key for info in (await standing(store, id)).limits] == ["k"]
    await clock.forward(HOUR)
    await promote_all(store)
    assert [info.key for info in (await standing(store, id)).limits] == ["k"]
    await act(store, Action.CANCEL, id)
    assert (await standing(store, id)).line is None
