"""Jobs that wait for jobs: what a parent's end does, at once and at any size."""

import pytest

from tests.store.kit import (
    HOUR,
    T0,
    Clock,
    Hand,
    act,
    counted,
    end,
    fresh_id,
    get,
    new,
    promote_all,
    put,
    settle_down,
    state_of,
    states_of,
)
from windlass.errors import UnknownParent
from windlass.store import Store
from windlass.values.clock import SECOND, moment
from windlass.values.job import Edge, Enqueued, OnFailure
from windlass.values.query import Action
from windlass.values.states import Event, State

BLOCKED, DELAYED, WAITING, COMPLETED = State.BLOCKED, State.DELAYED, State.WAITING, State.COMPLETED
FAILED, CANCELLED = State.FAILED, State.CANCELLED


def after(*parents: str, on_failure: OnFailure = "cancel") -> tuple[Edge, ...]:
    return tuple(Edge(parent, on_failure) for parent in parents)


async def finish_next(store: Store, event: Event = Event.COMPLETE) -> str:
    """Claim the next job and end it; its id."""
    hand = Hand(store)
    claim = await hand.one()
    await hand.finish(end(claim, event))
    return claim.id


async def test_a_child_waits_for_all_its_parents(store: Store, clock: Clock) -> None:
    a, b = new(), new()
    child = new(after=after(a.id, b.id))
    await put(store, a, b, child)
    assert await state_of(store, child.id) is BLOCKED
    assert (await get(store, child.id)).parents == (a.id, b.id)
    assert await finish_next(store) == a.id
    assert await state_of(store, child.id) is BLOCKED
    await clock.forward(SECOND)
    assert await finish_next(store) == b.id
    job = await get(store, child.id)
    assert (job.state, job.run_at, job.parents) == (WAITING, moment(T0 + SECOND), (a.id, b.id))
    assert await finish_next(store) == child.id


async def test_parents_that_end_in_one_call_count_both(store: Store) -> None:
    a, b = new(), new()
    child = new(after=after(a.id, b.id))
    await put(store, a, b, child)
    hand = Hand(store)
    await hand.complete(*await hand.take())
    assert await state_of(store, child.id) is WAITING


async def test_a_child_may_stand_before_its_parent_in_the_call(store: Store) -> None:
    parent = new()
    child = new(after=after(parent.id))
    await put(store, child, parent)
    assert await states_of(store, child.id, parent.id) == [BLOCKED, WAITING]
    await finish_next(store)
    assert await state_of(store, child.id) is WAITING


async def test_a_parent_named_twice_counts_once(store: Store) -> None:
    parent = new()
    child = new(after=after(parent.id, parent.id))
    await put(store, parent, child)
    await finish_next(store)
    assert await state_of(store, child.id) is WAITING


@pytest.mark.parametrize("parent_ended", [False, True])
@pytest.mark.parametrize("policies", [("run", "cancel"), ("cancel", "run"), ("fail", "hold", "cancel")])
async def test_of_a_parent_named_twice_the_first_mention_counts(
    store: Store, policies: tuple[OnFailure, ...], parent_ended: bool
) -> None:
    parent = new()
    child = new(after=tuple(Edge(parent.id, policy) for policy in policies))
    await put(store, parent, *([] if parent_ended else [child]))
    await finish_next(store, Event.ABORT)
    if parent_ended:
        await put(store, child)
    assert await state_of(store, child.id) is {"run": WAITING, "cancel": CANCELLED, "fail": FAILED}[policies[0]]
    assert set((await get(store, child.id)).parents) == {parent.id}


async def test_an_unblocked_child_takes_a_new_place(store: Store) -> None:
    parent = new()
    child, other = new(after=after(parent.id)), new()
    await put(store, parent, child, other)
    await finish_next(store)
    assert [claim.id for claim in await Hand(store).take()] == [other.id, child.id]


async def test_a_child_with_a_time_ahead_becomes_delayed(store: Store, clock: Clock) -> None:
    parent = new()
    child = new(after=after(parent.id), delay=HOUR)
    await put(store, parent, child)
    assert await state_of(store, child.id) is BLOCKED
    await finish_next(store)
    job = await get(store, child.id)
    assert (job.state, job.run_at) == (DELAYED, moment(T0 + HOUR))
    await clock.forward(HOUR)
    await promote_all(store)
    assert await state_of(store, child.id) is WAITING


async def test_a_childs_delay_may_pass_while_it_is_blocked(store: Store, clock: Clock) -> None:
    parent = new()
    child = new(after=after(parent.id), delay=SECOND)
    await put(store, parent, child)
    await clock.forward(HOUR)
    assert await promote_all(store) == 0
    assert await state_of(store, child.id) is BLOCKED
    await finish_next(store)
    assert (await get(store, child.id)).run_at == moment(T0 + HOUR)
    assert await state_of(store, child.id) is WAITING


@pytest.mark.parametrize(
    ("on_failure", "state"), [("cancel", CANCELLED), ("run", WAITING), ("hold", BLOCKED), ("fail", FAILED)]
)
@pytest.mark.parametrize("ending", ["failed", "cancelled"])
async def test_a_parents_bad_end(store: Store, clock: Clock, on_failure: OnFailure, state: State, ending: str) -> None:
    parent = new()
    child = new(after=after(parent.id, on_failure=on_failure))
    await put(store, parent, child)
    await clock.forward(SECOND)
    await finish_next(store, Event.FAIL if ending == "failed" else Event.ABORT)
    job = await get(store, child.id)
    assert job.state is state
    if state in (CANCELLED, FAILED):
        assert (job.reason, job.finished_at) == (f"parent {parent.id} {ending}", moment(T0 + SECOND))
    else:
        assert (job.reason, job.finished_at) == (None, None)


async def test_parents_by_different_policies(store: Store) -> None:
    a, b = new(), new()
    child = new(after=(Edge(a.id, "run"), Edge(b.id, "cancel")))
    await put(store, a, b, child)
    await finish_next(store, Event.FAIL)
    assert await state_of(store, child.id) is BLOCKED
    await finish_next(store)
    assert await state_of(store, child.id) is WAITING


async def test_the_first_dooming_parent_decides(store: Store) -> None:
    a, b = new(), new()
    child = new(after=after(a.id, b.id))
    await put(store, a, b, child)
    await finish_next(store, Event.FAIL)
    await finish_next(store, Event.FAIL)
    job = await get(store, child.id)
    assert (job.state, job.reason) == (CANCELLED, f"parent {a.id} failed")
    assert await counted(store) == {FAILED: 2, CANCELLED: 1}


async def test_doom_goes_on_to_grandchildren_by_each_edge(store: Store) -> None:
    root = new()
    child = new(after=after(root.id))
    doomed = new(after=after(child.id))
    runs = new(after=after(child.id, on_failure="run"))
    fails = new(after=after(child.id, on_failure="fail"))
    last = new(after=after(fails.id))
    await put(store, root, child, doomed, runs, fails, last)
    await finish_next(store, Event.FAIL)
    await settle_down(store)
    states = await states_of(store, child.id, doomed.id, runs.id, fails.id, last.id)
    assert states == [CANCELLED, CANCELLED, WAITING, FAILED, CANCELLED]
    assert (await get(store, doomed.id)).reason == f"parent {child.id} cancelled"
    assert (await get(store, fails.id)).reason == f"parent {child.id} cancelled"
    assert (await get(store, last.id)).reason == f"parent {fails.id} failed"


@pytest.mark.parametrize("action", [Action.CANCEL, Action.FAIL])
async def test_a_command_on_a_parent_settles_its_children(store: Store, action: Action) -> None:
    parent = new()
    cancel, run = new(after=after(parent.id)), new(after=after(parent.id, on_failure="run"))
    await put(store, parent, cancel, run)
    await act(store, action, parent.id)
    await settle_down(store)
    assert await states_of(store, cancel.id, run.id) == [CANCELLED, WAITING]


async def test_an_expired_parent_settles_its_children(store: Store, clock: Clock) -> None:
    parent = new(expires_in=SECOND)
    child = new(after=after(parent.id))
    await put(store, parent, child)
    await clock.forward(SECOND)
    await promote_all(store)
    assert await states_of(store, parent.id, child.id) == [CANCELLED, CANCELLED]
    assert (await get(store, child.id)).reason == f"parent {parent.id} cancelled"


async def test_a_held_child_runs_when_its_parent_succeeds_after_all(store: Store) -> None:
    parent = new()
    child = new(after=after(parent.id, on_failure="hold"))
    await put(store, parent, child)
    await finish_next(store, Event.FAIL)
    await settle_down(store)
    assert await state_of(store, child.id) is BLOCKED
    await act(store, Action.REQUEUE, parent.id)
    await finish_next(store)
    assert await state_of(store, child.id) is WAITING


async def test_a_requeued_parent_does_not_touch_settled_children(store: Store) -> None:
    parent = new()
    child = new(after=after(parent.id))
    await put(store, parent, child)
    await finish_next(store, Event.FAIL)
    await act(store, Action.REQUEUE, parent.id)
    await finish_next(store)
    assert await state_of(store, child.id) is CANCELLED


async def test_a_retrying_parent_settles_nothing(store: Store, clock: Clock) -> None:
    parent = new()
    child = new(after=after(parent.id))
    await put(store, parent, child)
    for event in (Event.RETRY, Event.SNOOZE, Event.RELEASE):
        await finish_next(store, event)
        await promote_all(store)
        assert await state_of(store, child.id) is BLOCKED


async def test_a_child_of_a_completed_parent_does_not_wait(store: Store) -> None:
    parent, open_ = new(), new()
    await put(store, parent, open_)
    await finish_next(store)
    child, both = new(after=after(parent.id)), new(after=after(parent.id, open_.id))
    await put(store, child, both)
    assert await states_of(store, child.id, both.id) == [WAITING, BLOCKED]
    assert await finish_next(store) == open_.id
    assert await states_of(store, child.id, both.id) == [WAITING, WAITING]
    assert set((await get(store, child.id)).parents) == {parent.id}


@pytest.mark.parametrize(
    ("on_failure", "state"), [("cancel", CANCELLED), ("run", WAITING), ("hold", BLOCKED), ("fail", FAILED)]
)
@pytest.mark.parametrize("ending", ["failed", "cancelled"])
async def test_a_child_of_a_parent_that_ended_badly(
    store: Store, clock: Clock, on_failure: OnFailure, state: State, ending: str
) -> None:
    (parent,) = await put(store, new())
    await finish_next(store, Event.FAIL if ending == "failed" else Event.ABORT)
    child = new(after=after(parent, on_failure=on_failure))
    grandchild = new(after=after(child.id))
    await put(store, child, grandchild)
    await settle_down(store)
    job = await get(store, child.id)
    assert job.state is state
    if state in (CANCELLED, FAILED):
        assert (job.reason, job.finished_at) == (f"parent {parent} {ending}", moment(T0))
        assert await state_of(store, grandchild.id) is CANCELLED
    else:
        assert await state_of(store, grandchild.id) is BLOCKED


async def test_a_diamond(store: Store) -> None:
    top = new()
    left, right = new(after=after(top.id)), new(after=after(top.id))
    bottom = new(after=after(left.id, right.id))
    await put(store, top, left, right, bottom)
    order = [await finish_next(store) for _ in range(4)]
    assert order[0] == top.id
    assert sorted(order[1:3]) == sorted([left.id, right.id])
    assert order[3] == bottom.id
    assert await counted(store) == {COMPLETED: 4}


async def test_a_doomed_diamond_ends_each_job_once(store: Store) -> None:
    top = new()
    left, right = new(after=after(top.id)), new(after=after(top.id))
    bottom = new(after=after(left.id, right.id))
    await put(store, top, left, right, bottom)
    await finish_next(store, Event.FAIL)
    await settle_down(store)
    assert await states_of(store, left.id, right.id, bottom.id) == [CANCELLED] * 3
    assert await counted(store) == {FAILED: 1, CANCELLED: 3}


@pytest.mark.parametrize(("event", "state"), [(Event.COMPLETE, WAITING), (Event.FAIL, CANCELLED)])
async def test_a_fan_out_of_a_thousand(store: Store, event: Event, state: State) -> None:
    parent = new()
    children = [new(after=after(parent.id), queue="fan") for _ in range(1_000)]
    await put(store, parent, *children)
    assert await counted(store, "fan") == {BLOCKED: 1_000}
    await finish_next(store, event)
    await settle_down(store)
    assert await counted(store, "fan") == {state: 1_000}


async def test_a_fan_in_of_three_hundred(store: Store) -> None:
    parents = [new() for _ in range(300)]
    child = new(after=after(*(parent.id for parent in parents)), queue="in")
    await put(store, *parents, child)
    hand = Hand(store, queues=("default",))
    while claims := await hand.take(100):
        assert await state_of(store, child.id) is BLOCKED
        await hand.complete(*claims)
    assert await state_of(store, child.id) is WAITING


async def test_a_chain_of_a_thousand_is_doomed_without_recursion(store: Store) -> None:
    chain = [new()]
    for _ in range(999):
        chain.append(new(after=after(chain[-1].id)))
    await put(store, *chain)
    await finish_next(store, Event.FAIL)
    await settle_down(store)
    assert await counted(store) == {FAILED: 1, CANCELLED: 999}
    assert (await get(store, chain[-1].id)).reason == f"parent {chain[-2].id} cancelled"


async def test_a_child_that_ended_already_is_left_alone(store: Store) -> None:
    parent = new()
    child = new(after=after(parent.id))
    await put(store, parent, child)
    await act(store, Action.CANCEL, child.id, reason="by hand")
    await finish_next(store)
    job = await get(store, child.id)
    assert (job.state, job.reason) == (CANCELLED, "by hand")


async def test_a_requeued_child_does_not_wait_again(store: Store) -> None:
    parent = new()
    child = new(after=after(parent.id))
    await put(store, parent, child)
    await act(store, Action.CANCEL, child.id)
    await act(store, Action.REQUEUE, child.id)
    assert await states_of(store, parent.id, child.id) == [WAITING, WAITING]
    await finish_next(store)
    assert await state_of(store, child.id) is WAITING


async def test_deleting_a_blocked_child_leaves_its_siblings(store: Store) -> None:
    parent = new()
    one, two = new(after=after(parent.id)), new(after=after(parent.id))
    await put(store, parent, one, two)
    assert (await act(store, Action.DELETE, one.id)).done == (one.id,)
    await finish_next(store)
    assert await states_of(store, one.id, two.id) == [None, WAITING]


async def test_a_parent_that_others_wait_for_is_not_deleted(store: Store) -> None:
    parent = new()
    child = new(after=after(parent.id, on_failure="hold"))
    await put(store, parent, child)
    for _ in range(2):
        answer = await act(store, Action.DELETE, parent.id)
        assert (answer.done, list(answer.refused)) == ((), [parent.id])
        if await state_of(store, parent.id) is WAITING:
            await finish_next(store, Event.FAIL)
    assert await states_of(store, parent.id, child.id) == [FAILED, BLOCKED]
    assert (await act(store, Action.DELETE, child.id)).done == (child.id,)
    assert (await act(store, Action.DELETE, parent.id)).done == (parent.id,)


async def test_an_unknown_parent_is_named(store: Store) -> None:
    missing = fresh_id()
    with pytest.raises(UnknownParent) as refused:
        await store.enqueue([new(), new(after=after(missing))])
    assert refused.value.parent == missing
    assert await store.counts() == []


async def test_a_repeat_does_not_need_its_parents_again(store: Store) -> None:
    parent = new()
    child = new(after=after(parent.id))
    await put(store, parent, child)
    await finish_next(store)
    await act(store, Action.DELETE, parent.id)
    assert await store.enqueue([child]) == [Enqueued(child.id)]
    assert await state_of(store, child.id) is WAITING


async def test_follow_up_jobs_may_wait_for_jobs(store: Store) -> None:
    (first, other) = await put(store, new(), new())
    hand = Hand(store)
    follow = new(after=after(first, other))
    await hand.finish(end(await hand.one(), Event.COMPLETE, follow=(follow,)))
    assert await state_of(store, follow.id) is BLOCKED
    await finish_next(store)
    assert await state_of(store, follow.id) is WAITING


async def test_a_blocked_job_may_expire(store: Store, clock: Clock) -> None:
    parent = new()
    child = new(after=after(parent.id), expires_in=SECOND)
    last = new(after=after(child.id))
    await put(store, parent, child, last)
    await clock.forward(SECOND)
    await promote_all(store)
    assert await states_of(store, parent.id, child.id, last.id) == [WAITING, CANCELLED, CANCELLED]
    assert (await get(store, child.id)).reason == "expired"
    await finish_next(store)
    assert await counted(store) == {COMPLETED: 1, CANCELLED: 2}
