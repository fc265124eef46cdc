"""Edges turned round: a job that a failure releases; and new jobs that stored ones shall wait for."""

import pytest

from tests.store.kit import Hand, act, counted, end, fresh_id, get, new, put, settle_down, state_of, states_of
from tests.store.test_dependencies import after, finish_next
from windlass.store import Store
from windlass.values.job import NOT_TRIGGERED, Ahead, Edge
from windlass.values.query import Action
from windlass.values.states import Event, State

BLOCKED, WAITING, COMPLETED, FAILED, CANCELLED = (
    State.BLOCKED,
    State.WAITING,
    State.COMPLETED,
    State.FAILED,
    State.CANCELLED,
)


@pytest.mark.parametrize("event", [Event.FAIL, Event.ABORT])
async def test_the_first_failure_releases_at_once(store: Store, event: Event) -> None:
    members = [new() for _ in range(3)]
    alarm = new(after=after(*(member.id for member in members), on_failure="trigger"), queue="alarm")
    await put(store, *members, alarm)
    await finish_next(store)
    assert await state_of(store, alarm.id) is BLOCKED
    hand = Hand(store, queues=("default",))
    last, first = await hand.take(2)
    await hand.finish(end(first, event))
    assert await state_of(store, alarm.id) is WAITING
    await hand.finish(end(last, Event.FAIL))
    assert await counted(store, "alarm") == {WAITING: 1}
    await finish_next(store)
    assert await state_of(store, alarm.id) is COMPLETED


async def test_when_all_complete_it_is_cancelled(store: Store) -> None:
    members = [new(), new()]
    alarm = new(after=after(*(member.id for member in members), on_failure="trigger"))
    behind = new(after=after(alarm.id))
    await put(store, *members, alarm, behind)
    await finish_next(store)
    await finish_next(store)
    await settle_down(store)
    job = await get(store, alarm.id)
    assert (job.state, job.reason) == (CANCELLED, NOT_TRIGGERED)
    assert await state_of(store, behind.id) is CANCELLED


async def test_members_that_end_in_one_call(store: Store) -> None:
    members = [new() for _ in range(4)]
    alarm = new(after=after(*(member.id for member in members), on_failure="trigger"), queue="alarm")
    calm = new(after=after(*(member.id for member in members[:2]), on_failure="trigger"), queue="calm")
    await put(store, *members, alarm, calm)
    claims = await Hand(store).take()
    await store.finish(
        [end(claim, Event.FAIL if claim.id == members[2].id else Event.COMPLETE, took=1) for claim in claims]
    )
    assert await states_of(store, alarm.id, calm.id) == [WAITING, CANCELLED]


async def test_parents_that_ended_before(store: Store) -> None:
    good, bad = await put(store, new(), new())
    await finish_next(store)
    await finish_next(store, Event.FAIL)
    open_ = new(queue="open")
    hit, spared = new(after=after(good, bad, on_failure="trigger")), new(after=after(good, on_failure="trigger"))
    waits = new(after=after(good, open_.id, on_failure="trigger"))
    await put(store, open_, hit, spared, waits)
    await settle_down(store)
    assert await states_of(store, hit.id, spared.id, waits.id) == [WAITING, CANCELLED, BLOCKED]
    assert (await get(store, spared.id)).reason == NOT_TRIGGERED


async def test_a_doomed_member_releases_too(store: Store) -> None:
    root = new()
    member = new(after=after(root.id))
    alarm = new(after=after(member.id, on_failure="trigger"))
    await put(store, root, member, alarm)
    await act(store, Action.CANCEL, root.id)
    await settle_down(store)
    assert await states_of(store, member.id, alarm.id) == [CANCELLED, WAITING]


async def test_many_members(store: Store) -> None:
    members = [new() for _ in range(600)]
    ids = [member.id for member in members]
    alarm = new(after=after(*ids, on_failure="trigger"), queue="alarm")
    calm = new(after=after(*ids[:-1], on_failure="trigger"), queue="calm")
    await put(store, *members, alarm, calm)
    hand = Hand(store, queues=("default",))
    while claims := await hand.take(200):
        await store.finish([end(c, Event.FAIL if c.id == ids[-1] else Event.COMPLETE, took=1) for c in claims])
    await settle_down(store)
    assert await states_of(store, alarm.id, calm.id) == [WAITING, CANCELLED]


async def test_one_level_is_ended_before_the_next(store: Store) -> None:
    a = new()
    b = new(after=after(a.id))
    c = new(after=(Edge(b.id, "cancel"), Edge(a.id, "fail")))
    await put(store, a, b, c)
    await act(store, Action.CANCEL, a.id)
    await settle_down(store)
    assert await states_of(store, a.id, b.id, c.id) == [CANCELLED, CANCELLED, FAILED]
    assert (await get(store, c.id)).reason == f"parent {a.id} cancelled"


async def test_a_stored_job_waits_for_a_later_one_too(store: Store) -> None:
    first = new()
    last = new(after=after(first.id, on_failure="run"), queue="last")
    await put(store, first, last)
    late = new(before=(Ahead(last.id),))
    await put(store, late)
    assert await finish_next(store) == first.id
    assert await state_of(store, last.id) is BLOCKED
    assert await finish_next(store, Event.FAIL) == late.id
    assert await state_of(store, last.id) is WAITING
    assert (await get(store, last.id)).parents == (first.id,)


async def test_each_edge_added_so_has_its_policy(store: Store) -> None:
    first = new()
    strict = new(after=after(first.id), queue="last")
    alarm = new(after=after(first.id, on_failure="trigger"), queue="last")
    await put(store, first, strict, alarm)
    await put(store, new(before=(Ahead(strict.id, "cancel"), Ahead(alarm.id, "trigger"), Ahead(strict.id, "cancel"))))
    await finish_next(store)
    assert await states_of(store, strict.id, alarm.id) == [BLOCKED, BLOCKED]
    await finish_next(store, Event.FAIL)
    assert await states_of(store, strict.id, alarm.id) == [CANCELLED, WAITING]


async def test_what_no_longer_waits_is_passed_over(store: Store) -> None:
    running, blocked = new(), new(after=(), queue="other")
    await put(store, running, blocked)
    late = new(before=(Ahead(running.id), Ahead(fresh_id())))
    await put(store, late)
    assert await states_of(store, running.id, late.id) == [WAITING, WAITING]


async def test_a_member_adds_members_with_its_own_end(store: Store) -> None:
    member = new()
    done = new(after=after(member.id, on_failure="run"), queue="done")
    await put(store, member, done)
    hand = Hand(store, queues=("default",))
    for _ in range(3):
        more = new(before=(Ahead(done.id),))
        await hand.finish(end(await hand.one(), Event.COMPLETE, follow=(more,)))
        assert await states_of(store, done.id, more.id) == [BLOCKED, WAITING]
    await hand.complete(await hand.one())
    assert await state_of(store, done.id) is WAITING


async def test_a_follow_up_may_wait_for_the_job_that_hands_it_over(store: Store) -> None:
    (id,) = await put(store, new())
    follow = new(after=after(id))
    hand = Hand(store)
    await hand.finish(end(await hand.one(), Event.COMPLETE, follow=(follow,)))
    await settle_down(store)
    assert await state_of(store, follow.id) is WAITING


async def test_a_large_batch_is_filled_in_parts(store: Store) -> None:
    gate = new(delay=3_600_000_000)
    done = new(after=after(gate.id, on_failure="run"), queue="done")
    await put(store, gate, done)
    for _ in range(3):
        await put(store, *(new(before=(Ahead(done.id),)) for _ in range(700)))
    hand = Hand(store, queues=("default",))
    while claims := await hand.take(200):
        await hand.complete(*claims)
    assert await state_of(store, done.id) is BLOCKED
    await act(store, Action.RUN_NOW, gate.id)
    await finish_next(store)
    assert await state_of(store, done.id) is WAITING
