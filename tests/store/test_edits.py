"""Edits: what an operator changes about a job that stands, and a requeue with other arguments."""

from typing import Any

import msgspec
import pytest

from tests.store.kit import (
    DAY,
    HOUR,
    T0,
    Clock,
    Hand,
    Place,
    act,
    act_on_all,
    bury,
    counted,
    end,
    failing,
    fresh_id,
    get,
    new,
    promote_all,
    put,
    state_of,
    states_of,
)
from tests.store.limiting import held, limit, rated, under
from tests.store.standing import stand
from tests.store.test_races import together
from tests.store.test_text import TEXTS
from tests.waiting import until
from windlass.store import Store
from windlass.values.clock import SECOND, moment
from windlass.values.job import Edge, UniqueKey
from windlass.values.lease import LogLine, Step
from windlass.values.metrics import MINUTE
from windlass.values.query import Action, AuditQuery, Command, Where
from windlass.values.queue import QueueChange
from windlass.values.states import PENDING, Event, State

EDITABLE = (*PENDING, State.FAILED)
ARGS = '{"n":2,"who":"you"}'


async def edit(store: Store, id: str, **fields: Any) -> None:
    answer = await act(store, Action.EDIT, id, **fields)
    assert (answer.done, answer.flagged, answer.refused, answer.more) == ((id,), (), {}, False)


@pytest.mark.parametrize("state", EDITABLE, ids=str)
async def test_arguments_and_attempts_in_each_state(store: Store, clock: Clock, state: State) -> None:
    stood = await stand(store, state)
    before = await get(store, stood.id)
    await clock.forward(SECOND)
    await edit(store, stood.id, args=ARGS, max_attempts=9)
    assert await get(store, stood.id) == msgspec.structs.replace(before, args={"n": 2, "who": "you"}, max_attempts=9), (
        "all else stays"
    )
    (entry,) = await store.audit(AuditQuery(target=stood.id))
    assert (entry.actor, entry.action, entry.at) == ("ops", "edit", clock.at)
    assert msgspec.json.decode(entry.detail)["count"] == 1


@pytest.mark.parametrize("state", [state for state in State if state not in EDITABLE], ids=str)
@pytest.mark.parametrize("fields", [{"args": ARGS}, {"max_attempts": 9}, {"run_at": T0 + DAY}], ids=str)
async def test_what_runs_or_is_over_is_refused(store: Store, state: State, fields: dict[str, Any]) -> None:
    stood = await stand(store, state)
    before = await get(store, stood.id)
    answer = await act(store, Action.EDIT, stood.id, **fields)
    assert (answer.done, answer.refused) == ((), {stood.id: f"is {state}"})
    assert await get(store, stood.id) == before
    assert await store.audit(AuditQuery()) == []


async def test_the_record_tells_what_was_edited_and_no_arguments(store: Store) -> None:
    """Arguments may hold what no record of acts should."""
    (id,) = await put(store, new(delay=HOUR))
    await edit(store, id, args='{"password":"secret"}', max_attempts=4, run_at=T0 + MINUTE)
    (entry,) = await store.audit(AuditQuery())
    detail = msgspec.json.decode(entry.detail)
    assert detail == {"where": {"ids": [id]}, "count": 1, "args": True, "max_attempts": 4, "run_at": T0 + MINUTE}
    await act(store, Action.CANCEL, id)
    await act(store, Action.REQUEUE, id, args='{"password":"other"}')
    detail = msgspec.json.decode((await store.audit(AuditQuery()))[0].detail)
    assert detail == {"where": {"ids": [id]}, "count": 1, "args": True}


async def test_one_thing_leaves_the_other(store: Store) -> None:
    (id,) = await put(store, new(args='{"n":1}', max_attempts=4))
    await edit(store, id, args=ARGS)
    assert (await get(store, id)).max_attempts == 4
    await edit(store, id, max_attempts=2)
    job = await get(store, id)
    assert (job.args, job.max_attempts) == ({"n": 2, "who": "you"}, 2)
    assert [entry.action for entry in await store.audit(AuditQuery(target=id))] == ["edit", "edit"]


async def test_who_is_unknown_or_does_not_match_is_refused(store: Store) -> None:
    (id,) = await put(store, new(queue="a", args='{"n":1}'))
    gone = fresh_id()
    command = Command(action=Action.EDIT, args=ARGS)
    answer = await store.command(command, Where(ids=(gone,)), 10, "ops")
    assert (answer.done, answer.refused) == ((), {gone: "not found"})
    answer = await store.command(command, Where(ids=(id,), queues=("b",)), 10, "ops")
    assert (answer.done, answer.refused) == ((), {id: "does not match"})
    assert (await get(store, id)).args == {"n": 1}
    assert await store.audit(AuditQuery()) == []


@pytest.mark.parametrize("state", EDITABLE, ids=str)
async def test_the_next_claim_brings_what_was_edited(store: Store, clock: Clock, state: State) -> None:
    stood = await stand(store, state)
    await edit(store, stood.id, args=ARGS, max_attempts=9)
    if stood.parent is not None:
        await act(store, Action.RUN_NOW, stood.parent)
        hand = Hand(store)
        await hand.complete(await hand.one())
    elif state is State.FAILED:
        await act(store, Action.REQUEUE, stood.id)
    elif state is not State.WAITING:
        await act(store, Action.RUN_NOW, stood.id)
    claim = await Hand(store).one()
    assert (claim.id, claim.args, claim.max_attempts) == (stood.id, ARGS, 9)


@pytest.mark.parametrize("name", TEXTS)
async def test_any_text_comes_back_byte_for_byte(store: Store, name: str) -> None:
    text = msgspec.json.encode({"t": TEXTS[name]}).decode()
    (id,) = await put(store, new())
    await edit(store, id, args=text)
    assert (await Hand(store).one()).args == text


async def test_large_arguments(store: Store) -> None:
    (id,) = await put(store, new(args='{"small":1}'))
    large = msgspec.json.encode({"x": "y" * 300_000}).decode()
    await edit(store, id, args=large)
    await edit(store, id, max_attempts=2)
    assert (await Hand(store).one()).args == large


async def test_attempts_decide_when_it_gives_up_and_are_told(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new(max_attempts=1))
    hand = Hand(store)
    await hand.finish(failing(await hand.one(), "f", event=Event.RETRY, delay=SECOND))
    await edit(store, id, max_attempts=5)
    await clock.forward(SECOND)
    await promote_all(store)
    claim = await hand.one()
    assert (claim.attempt, claim.max_attempts) == (2, 5)


# the place in line


async def test_the_place_in_line_is_kept(store: Store, clock: Clock) -> None:
    ids = await put(store, *(new(priority=n % 2) for n in range(6)))
    expected = ids[1::2] + ids[0::2]
    for id in (ids[4], ids[0], ids[3]):
        await clock.forward(SECOND)
        await edit(store, id, args=ARGS, max_attempts=7)
    assert [claim.id for claim in await Hand(store).take()] == expected


@pytest.mark.parametrize("order", ["fair", "weighted", "ageing"])
async def test_the_place_in_any_order_of_queue(store: Store, clock: Clock, order: Any) -> None:
    await store.put_queue("default", QueueChange(order=order), "ops")
    await store.put_queue("twin", QueueChange(order=order), "ops")
    for n in range(12):
        await clock.forward(SECOND)
        for queue in ("default", "twin"):
            await put(store, new(queue=queue, name=str(n), group="gh"[n % 2], priority=n % 3 * 5))
    page = await store.jobs(Where(queues=("default",)), None, 100)
    for job in page.items[::2]:
        await edit(store, job.id, args=ARGS)

    async def names(queue: str) -> list[str | None]:
        hand = Hand(store, f"w-{queue}", queues=(queue,))
        return [claim.name for _ in range(12) for claim in await hand.up_to(1)]

    assert await names("default") == await names("twin"), "as if nobody had edited"


async def test_lines_under_limits_stay_as_they_were(store: Store, clock: Clock) -> None:
    ids = await put(
        store, *(under("k", n=2, group="gh"[n % 2]) for n in range(6)), rated("r", 1, HOUR), rated("r", 1, HOUR)
    )
    hand = Hand(store)
    first = await hand.up_to(9)
    assert len(first) == 3
    for id in ids:
        if id not in {claim.id for claim in first}:
            await edit(store, id, args=ARGS, max_attempts=5)
    assert await hand.up_to(9) == [], "an edit opens no limit"
    assert await held(store, "k", "r") == [2, 1]
    taken = list(first)
    while running := [claim for claim in first if not claim.rated]:
        await hand.complete(*running)
        first = await hand.up_to(9)
        taken += first
    await clock.forward(2 * HOUR)
    taken += await hand.up_to(9)
    assert sorted(claim.id for claim in taken) == sorted(ids)
    assert [claim.id for claim in taken if not claim.rated] == ids[:6], "in their old order"
    assert {claim.args for claim in taken if claim.attempt == 1} == {"{}", ARGS}


async def test_a_delayed_job_under_a_limit_moves_and_waits_its_turn(store: Store, clock: Clock) -> None:
    one, two = await put(store, under("k"), under("k", delay=DAY))
    await edit(store, two, run_at=T0 + MINUTE, args=ARGS)
    hand = Hand(store)
    (claim,) = await hand.up_to(2)
    assert claim.id == one
    await clock.forward(MINUTE)
    await promote_all(store)
    assert await hand.up_to(2) == []
    assert (await limit(store, "k")).waiting
    await hand.complete(claim)
    (claim,) = await hand.up_to(2)
    assert (claim.id, claim.args) == (two, ARGS)


# another time


async def delayed(store: Store, state: State, by: int = HOUR) -> str:
    """A job that is due in `by`, delayed or retrying."""
    if state is State.DELAYED:
        (id,) = await put(store, new(delay=by))
        return id
    (id,) = await put(store, new())
    hand = Hand(store)
    await hand.finish(failing(await hand.one(), "f", event=Event.RETRY, delay=by))
    return id


@pytest.mark.parametrize("state", [State.DELAYED, State.RETRYING], ids=str)
async def test_an_earlier_time(store: Store, clock: Clock, state: State) -> None:
    id = await delayed(store, state)
    before = await get(store, id)
    await edit(store, id, run_at=T0 + MINUTE)
    assert await get(store, id) == msgspec.structs.replace(before, run_at=moment(T0 + MINUTE))
    assert (await store.promote(10)).wait == MINUTE
    assert (await Hand(store).ask()).wait == MINUTE
    await clock.set(T0 + MINUTE - 1)
    assert await promote_all(store) == 0
    await clock.forward(1)
    assert await promote_all(store) == 1
    claim = await Hand(store).one()
    assert (claim.id, claim.ready_at) == (id, T0 + MINUTE)


@pytest.mark.parametrize("state", [State.DELAYED, State.RETRYING], ids=str)
async def test_a_later_time(store: Store, clock: Clock, state: State) -> None:
    id = await delayed(store, state)
    await edit(store, id, run_at=T0 + DAY)
    assert (await store.promote(10)).wait == DAY
    await clock.set(T0 + DAY - 1)
    assert await promote_all(store) == 0
    assert await state_of(store, id) is state
    await clock.forward(1)
    assert await promote_all(store) == 1
    assert await state_of(store, id) is State.WAITING


@pytest.mark.parametrize("state", [State.DELAYED, State.RETRYING], ids=str)
async def test_a_time_that_has_passed(store: Store, clock: Clock, state: State) -> None:
    id = await delayed(store, state)
    await clock.forward(MINUTE)
    await edit(store, id, run_at=T0)
    assert (await get(store, id)).run_at == moment(clock.at), "it counts as now"
    await promote_all(store)
    assert await state_of(store, id) is State.WAITING
    claim = await Hand(store).one()
    assert (claim.id, claim.ready_at) == (id, clock.at)


@pytest.mark.parametrize("state", [State.BLOCKED, State.WAITING, State.FAILED], ids=str)
@pytest.mark.parametrize("more", [{}, {"args": ARGS, "max_attempts": 9}], ids=["alone", "with more"])
async def test_what_waits_for_no_time_is_told_none(store: Store, state: State, more: dict[str, Any]) -> None:
    """Half an edit would be worse than none: the operator sees that the job has moved on."""
    stood = await stand(store, state)
    before = await get(store, stood.id)
    answer = await act(store, Action.EDIT, stood.id, run_at=T0 + DAY, **more)
    assert (answer.done, answer.refused) == ((), {stood.id: f"is {state}"})
    assert await get(store, stood.id) == before
    assert await store.audit(AuditQuery()) == []


async def test_several_are_moved_by_name(store: Store, clock: Clock) -> None:
    one = await delayed(store, State.RETRYING)
    two = await delayed(store, State.DELAYED)
    three = await delayed(store, State.DELAYED)
    answer = await act(store, Action.EDIT, one, two, run_at=T0 + MINUTE)
    assert sorted(answer.done) == sorted([one, two])
    await clock.set(T0 + MINUTE)
    assert await promote_all(store) == 2
    assert await states_of(store, one, two, three) == [State.WAITING, State.WAITING, State.DELAYED]


@pytest.mark.parametrize("among_others", [False, True])
async def test_all_of_a_filter_are_moved_in_bounded_steps(store: Store, clock: Clock, among_others: bool) -> None:
    ids = [await delayed(store, State.RETRYING) for _ in range(3)] + [
        await delayed(store, State.DELAYED) for _ in range(4)
    ]
    await put(store, *(new() for _ in range(3)))
    where = Where(queues=("default",)) if among_others else Where(states=(State.DELAYED, State.RETRYING))
    done = await act_on_all(store, Command(action=Action.EDIT, run_at=T0 + MINUTE), where, 3)
    assert sorted(done) == sorted(ids), "each once, and none that has no time to move"
    await clock.set(T0 + MINUTE)
    assert await promote_all(store) == 7


async def test_moved_jobs_come_by_their_new_times(store: Store, clock: Clock) -> None:
    ids = await put(store, *(new(delay=HOUR + n) for n in range(5)))
    for n, id in enumerate(ids):
        await edit(store, id, run_at=T0 + MINUTE * (5 - n))
    for id in reversed(ids):
        await clock.forward(MINUTE)
        assert await promote_all(store) == 1
        assert (await Hand(store).one()).id == id


async def test_a_move_may_be_repeated_and_taken_back(store: Store, clock: Clock) -> None:
    id = await delayed(store, State.DELAYED)
    for at in (T0 + DAY, T0 + DAY, T0 + MINUTE, T0 + HOUR):
        await edit(store, id, run_at=at)
    assert (await store.promote(10)).wait == HOUR
    await clock.set(T0 + HOUR)
    assert await promote_all(store) == 1


async def test_an_earlier_time_wakes_who_waits(store: Store) -> None:
    """An idle worker sleeps until the time it knows."""
    (id,) = await put(store, new(delay=HOUR))
    woken: list[int] = []
    stop = store.listen(["ready"], lambda: woken.append(1))
    times = iter(range(3_000, 0, -1))
    try:

        async def edited() -> bool:
            # Earlier each time, since a listener may need a moment before it hears anything.
            await edit(store, id, run_at=await store.now() + next(times) * SECOND)
            return bool(woken)

        await until(edited, "the wake-up")
    finally:
        stop()


async def test_a_time_leaves_an_expiry(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new(delay=HOUR, expires_in=2 * HOUR))
    await edit(store, id, run_at=T0 + 3 * HOUR)
    await clock.forward(2 * HOUR)
    await promote_all(store)
    job = await get(store, id)
    assert (job.state, job.reason) == (State.CANCELLED, "expired")


async def test_an_edit_beside_a_claim(store: Store, place: Place) -> None:
    """It is refused, or the claim brings what was edited."""
    ids = await put(store, *(new() for _ in range(80)))
    edited: set[str] = set()
    claimed: dict[str, str] = {}

    async def body(store: Store, number: int) -> None:
        if number == 0:
            for id in ids:
                edited.update((await act(store, Action.EDIT, id, args=ARGS)).done)
            return
        hand = Hand(store, f"w{number}")
        for _ in range(20):
            claimed.update({claim.id: claim.args for claim in await hand.take(2)})

    await together(place, body, 3)
    claimed.update({claim.id: claim.args for claim in await Hand(store).drain()})
    assert {id for id, args in claimed.items() if args == ARGS} == edited
    assert sorted(claimed) == sorted(ids)


# what stays


@pytest.mark.parametrize("until_", ["finished", "started"])
async def test_the_unique_key_stays(store: Store, until_: Any) -> None:
    key = UniqueKey(key="k", until=until_)
    (id,) = await put(store, new(unique=key))
    await edit(store, id, args=ARGS)
    (answer,) = await store.enqueue([new(unique=key)])
    assert (answer.id, answer.created) == (id, False)
    assert (await get(store, id)).unique == "k"
    hand = Hand(store)
    await hand.complete(await hand.one())
    assert (await store.enqueue([new(unique=key)]))[0].created


async def test_a_follower_still_follows(store: Store) -> None:
    """Who waits for the running holder of its key; a later one of the key replaces what was edited."""
    rerun = UniqueKey(key="k", on_conflict="rerun")
    holder, follower = new(unique=rerun), new(unique=rerun)
    await put(store, holder)
    hand = Hand(store)
    claim = await hand.one()
    await put(store, follower)
    await edit(store, follower.id, args=ARGS)
    assert await state_of(store, follower.id) is State.BLOCKED
    (answer,) = await store.enqueue([new(unique=rerun, args='{"n":3}')])
    assert (answer.id, (await get(store, follower.id)).args) == (follower.id, {"n": 3})
    await edit(store, follower.id, args=ARGS)
    await hand.complete(claim)
    claim = await hand.one()
    assert (claim.id, claim.args) == (follower.id, ARGS)


async def test_edges_and_their_policies_stay(store: Store) -> None:
    parent = new(priority=1)
    child = new(after=(Edge(parent.id),))
    last = new(after=(Edge(child.id),))
    await put(store, parent, child, last)
    await edit(store, child.id, args=ARGS)
    await edit(store, parent.id, args=ARGS)
    hand = Hand(store)
    await hand.complete(await hand.one())
    assert await states_of(store, child.id, last.id) == [State.WAITING, State.BLOCKED]
    await hand.finish(end(await hand.one(), Event.FAIL))
    assert await state_of(store, last.id) is State.CANCELLED


async def test_a_suspended_job_still_waits_for_its_signal(store: Store) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    claim = await hand.one()
    await store.report([Step(id, claim.lease, 0, "one", "1"), LogLine(id, claim.lease, 1, "info", "here")])
    await hand.finish(end(claim, Event.SUSPEND, signal="go"))
    await edit(store, id, args=ARGS)
    assert [step.value for step in await store.steps(id)] == ["1"]
    assert [line.text for line in await store.log(id)] == ["here"]
    await store.signal(id, "go", "1", "ops")
    assert (await hand.one()).args == ARGS


async def test_a_parked_job_stays_parked(store: Store) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    await hand.finish(end(await hand.one(), Event.RELEASE, park="kind:work"))
    await edit(store, id, args=ARGS)
    assert await hand.take() == []
    assert await store.unpark("kind:work") == 1
    assert (await hand.one()).args == ARGS


async def test_a_dead_letter_keeps_its_plan_and_its_group(store: Store, clock: Clock) -> None:
    (id,) = await bury(store, new(), fingerprint="f", ladder=(HOUR,))
    await edit(store, id, args=ARGS)
    job = await get(store, id)
    assert (job.state, job.next_retry_at, job.revivals) == (State.FAILED, moment(T0 + HOUR), 0)
    assert [group.n for group in await store.error_groups()] == [1]
    await clock.forward(2 * HOUR)
    await store.command(Command(action=Action.REQUEUE, scheduled=True), Where(retry_before=clock.at), 10, "s")
    assert (await Hand(store).one()).args == ARGS


async def test_edited_jobs_move_with_what_they_got(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new(delay=HOUR))
    await edit(store, id, args=ARGS, max_attempts=8, run_at=T0 + MINUTE)
    page = await store.dump()
    await store.erase(force=True)
    await store.open()
    await clock.set(T0 + MINUTE)
    await store.load(page.items)
    await promote_all(store)
    claim = await Hand(store).one()
    assert (claim.id, claim.args, claim.max_attempts) == (id, ARGS, 8)


# requeue with other arguments


@pytest.mark.parametrize("event", [Event.FAIL, Event.COMPLETE, Event.ABORT], ids=str)
async def test_a_requeue_with_other_arguments(store: Store, clock: Clock, event: Event) -> None:
    (id,) = await put(store, new(args='{"n":1}', max_attempts=1))
    hand = Hand(store)
    await hand.finish(end(await hand.one(), event))
    await clock.forward(SECOND)
    assert (await act(store, Action.REQUEUE, id, args=ARGS, max_attempts=4)).done == (id,)
    job = await get(store, id)
    assert (job.state, job.args, job.max_attempts, job.attempt) == (State.WAITING, {"n": 2, "who": "you"}, 4, 0)
    claim = await hand.one()
    assert (claim.id, claim.args, claim.max_attempts) == (id, ARGS, 4)


async def test_a_plain_requeue_keeps_the_arguments(store: Store) -> None:
    (id,) = await put(store, new(args='{"n":1}', max_attempts=2))
    hand = Hand(store)
    await hand.finish(end(await hand.one(), Event.FAIL))
    await act(store, Action.REQUEUE, id)
    claim = await hand.one()
    assert (claim.args, claim.max_attempts) == ('{"n":1}', 2)


async def test_a_refused_requeue_changes_no_arguments(store: Store) -> None:
    key = UniqueKey(key="k")
    (id,) = await bury(store, new(unique=key, args='{"n":1}'))
    (holder,) = await put(store, new(unique=key))
    answer = await act(store, Action.REQUEUE, id, args=ARGS, max_attempts=9)
    assert (answer.done, answer.refused) == ((), {id: f"unique key held by {holder}"})
    job = await get(store, id)
    assert (job.state, job.args, job.max_attempts) == (State.FAILED, {"n": 1}, 3)
    assert await counted(store) == {State.FAILED: 1, State.WAITING: 1}


async def test_a_requeued_job_with_other_arguments_takes_its_key_again(store: Store) -> None:
    key = UniqueKey(key="k")
    (id,) = await bury(store, new(unique=key))
    await act(store, Action.REQUEUE, id, args=ARGS)
    (answer,) = await store.enqueue([new(unique=key)])
    assert (answer.id, answer.created) == (id, False)
