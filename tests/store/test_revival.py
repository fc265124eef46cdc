"""Requeue with `revive`: what a parent's end had ended comes back, and waits again."""

from tests.store.kit import (
    SECOND,
    Clock,
    Hand,
    act,
    counted,
    end,
    get,
    new,
    promote_all,
    put,
    settle_down,
    state_of,
    states_of,
)
from tests.store.test_dependencies import after, finish_next
from windlass.store import Store
from windlass.values.job import Edge, OnFailure, UniqueKey
from windlass.values.query import Action
from windlass.values.states import Event, State

BLOCKED, WAITING, COMPLETED, FAILED, CANCELLED = (
    State.BLOCKED,
    State.WAITING,
    State.COMPLETED,
    State.FAILED,
    State.CANCELLED,
)


async def fail(store: Store, *ids: str) -> None:
    await act(store, Action.FAIL, *ids)
    await settle_down(store)


async def revive(store: Store, *ids: str) -> None:
    assert (await act(store, Action.REQUEUE, *ids, revive=True)).done == tuple(sorted(ids))
    await promote_all(store)


async def test_the_doomed_subtree_comes_back_and_runs(store: Store, clock: Clock) -> None:
    top = new()
    left, right = new(after=after(top.id)), new(after=after(top.id, on_failure="fail"))
    bottom = new(after=after(left.id, right.id))
    await put(store, top, left, right, bottom)
    await fail(store, top.id)
    assert await states_of(store, left.id, right.id, bottom.id) == [CANCELLED, FAILED, CANCELLED]
    await clock.forward(SECOND)
    await revive(store, top.id)
    assert await states_of(store, top.id, left.id, right.id, bottom.id) == [WAITING, BLOCKED, BLOCKED, BLOCKED]
    job = await get(store, bottom.id)
    assert (job.reason, job.finished_at, job.attempt, job.parents) == (None, None, 0, (left.id, right.id))
    order = [await finish_next(store) for _ in range(4)]
    assert (order[0], order[3]) == (top.id, bottom.id)
    assert await counted(store) == {COMPLETED: 4}


async def test_a_revived_job_is_doomed_again(store: Store) -> None:
    parent = new()
    child = new(after=after(parent.id))
    await put(store, parent, child)
    for _ in range(3):
        await finish_next(store, Event.FAIL)
        assert await state_of(store, child.id) is CANCELLED
        await revive(store, parent.id)
        assert await state_of(store, child.id) is BLOCKED
    await finish_next(store)
    assert await state_of(store, child.id) is WAITING


async def test_without_revive_the_doomed_stay(store: Store) -> None:
    parent = new()
    child = new(after=after(parent.id))
    await put(store, parent, child)
    await fail(store, parent.id)
    await act(store, Action.REQUEUE, parent.id)
    await finish_next(store)
    assert await state_of(store, child.id) is CANCELLED
    await act(store, Action.REQUEUE, child.id)
    assert await state_of(store, child.id) is WAITING


async def test_completed_parents_are_not_waited_for(store: Store) -> None:
    one, two = new(priority=5), new()
    child = new(after=after(one.id, two.id))
    await put(store, one, two, child)
    assert await finish_next(store) == one.id
    await fail(store, two.id)
    await revive(store, two.id)
    assert await state_of(store, child.id) is BLOCKED
    assert await finish_next(store) == two.id
    assert await state_of(store, child.id) is WAITING


async def test_a_parent_that_stays_failed_holds_the_child(store: Store) -> None:
    one, two = new(), new()
    child = new(after=after(one.id, two.id))
    await put(store, one, two, child)
    await fail(store, one.id)
    await fail(store, two.id)
    await revive(store, one.id)
    assert await finish_next(store) == one.id
    assert await state_of(store, child.id) is BLOCKED
    await act(store, Action.REQUEUE, two.id)
    assert await finish_next(store) == two.id
    assert await state_of(store, child.id) is WAITING


async def test_a_job_cancelled_while_blocked_waits_again_only_when_asked(store: Store) -> None:
    parent = new()
    child = new(after=after(parent.id))
    await put(store, parent, child)
    await act(store, Action.CANCEL, child.id)
    await act(store, Action.REQUEUE, child.id, revive=True)
    assert await state_of(store, child.id) is BLOCKED
    await finish_next(store)
    assert await state_of(store, child.id) is WAITING


async def test_a_job_cancelled_by_hand_does_not_come_back_with_its_parent(store: Store) -> None:
    parent = new()
    child = new(after=after(parent.id))
    await put(store, parent, child)
    await act(store, Action.CANCEL, child.id)
    await fail(store, parent.id)
    await revive(store, parent.id)
    assert await state_of(store, child.id) is CANCELLED


async def test_a_whole_cancelled_chain_in_one_call(store: Store) -> None:
    chain = [new()]
    for _ in range(3):
        chain.append(new(after=after(chain[-1].id)))
    ids = await put(store, *chain)
    await act(store, Action.CANCEL, *reversed(ids))
    await settle_down(store)
    assert await states_of(store, *ids) == [CANCELLED] * 4
    await revive(store, *ids)
    assert await states_of(store, *ids) == [WAITING, BLOCKED, BLOCKED, BLOCKED]
    assert [await finish_next(store) for _ in ids] == ids


async def test_policies_survive(store: Store) -> None:
    top = new()
    policies: tuple[OnFailure, ...] = ("cancel", "run", "fail", "hold")
    middle = new(after=after(top.id))
    leaves = [new(after=(Edge(middle.id, policy),)) for policy in policies if policy != "run"]
    await put(store, top, middle, *leaves)
    await fail(store, top.id)
    await revive(store, top.id)
    await finish_next(store)
    await finish_next(store, Event.FAIL)
    assert await states_of(store, *(leaf.id for leaf in leaves)) == [CANCELLED, FAILED, BLOCKED]


async def test_a_subtree_of_a_thousand_comes_back(store: Store) -> None:
    root = new()
    wide = [new(after=after(root.id), queue="tree") for _ in range(600)]
    deep = [new(after=after(parent.id), queue="tree") for parent in wide[:400]]
    await put(store, root, *wide, *deep)
    await fail(store, root.id)
    assert await counted(store, "tree") == {CANCELLED: 1_000}
    await revive(store, root.id)
    assert await counted(store, "tree") == {BLOCKED: 1_000}
    hand = Hand(store)
    while claims := await hand.take(200):
        await hand.complete(*claims)
        await settle_down(store)
    assert await counted(store, "tree") == {COMPLETED: 1_000}


async def test_a_lost_unique_key_keeps_a_job_out(store: Store) -> None:
    parent = new()
    child = new(after=after(parent.id), unique=UniqueKey(key="k"))
    await put(store, parent, child)
    await fail(store, parent.id)
    await put(store, new(unique=UniqueKey(key="k"), queue="other"))
    await revive(store, parent.id)
    assert await state_of(store, child.id) is CANCELLED


async def test_deleted_ends_leave_nothing_behind(store: Store) -> None:
    parent, other = new(), new()
    child, second = new(after=after(parent.id)), new(after=after(other.id))
    await put(store, parent, other, child, second)
    await fail(store, parent.id)
    await fail(store, other.id)
    assert (await act(store, Action.DELETE, parent.id)).done == (parent.id,)
    assert (await act(store, Action.DELETE, second.id)).done == (second.id,)
    await act(store, Action.REQUEUE, child.id, revive=True)
    assert await state_of(store, child.id) is WAITING
    await revive(store, other.id)
    assert await state_of(store, other.id) is WAITING


async def test_a_parent_that_fails_while_its_subtree_comes_back(store: Store) -> None:
    root = new()
    wide = [new(after=after(root.id), queue="tree") for _ in range(400)]
    await put(store, root, *wide)
    await fail(store, root.id)
    await act(store, Action.REQUEUE, root.id, revive=True)
    hand = Hand(store, queues=("default",))
    await hand.finish(end(await hand.one(), Event.FAIL))
    await settle_down(store)
    assert await counted(store, "tree") == {CANCELLED: 400}
