"""Every event in every state, generated from the table: legal moves land where it says, others change nothing and say so."""

from collections.abc import Awaitable, Callable

import pytest

from tests.store.kit import HOUR, LEASE, Clock, Hand, act, end, get, promote_all, state_of
from tests.store.standing import Stood, stand
from windlass.store import Store
from windlass.values.job import Claim
from windlass.values.lease import Held
from windlass.values.outcome import Finish, Verdict
from windlass.values.query import Action
from windlass.values.states import TRANSITIONS, Event, State, allowed

# Events that no verb brings yet: durable waiting for signals, revival of doomed jobs, answers from a cache.
LATER = {Event.SUSPEND, Event.SIGNAL, Event.REVIVE, Event.ANSWER}

Said = bool
"""Whether the verb claims to have moved the job."""


async def _claim(store: Store, clock: Clock, stood: Stood) -> Said:
    return stood.id in [claim.id for claim in await Hand(store, "claimer").take()]


def _finish(event: Event) -> Callable[[Store, Clock, Stood], Awaitable[Said]]:
    async def finish(store: Store, clock: Clock, stood: Stood) -> Said:
        if stood.claim is None:
            ended = Finish(stood.id, 1, event, "default", "work")
        else:
            ended = end(stood.claim, event, delay=HOUR if event in (Event.RETRY, Event.SNOOZE) else 0)
        return await store.finish([ended]) == [Verdict.ACCEPTED]

    return finish


def _command(action: Action) -> Callable[[Store, Clock, Stood], Awaitable[Said]]:
    async def command(store: Store, clock: Clock, stood: Stood) -> Said:
        answer = await act(store, action, stood.id)
        assert (stood.id in answer.refused) == (stood.id not in (*answer.done, *answer.flagged))
        return stood.id in answer.done

    return command


async def _rescue(store: Store, clock: Clock, stood: Stood) -> Said:
    taken: list[Claim] = []
    for _ in range(4):
        taken += await store.rescue("rescuer", LEASE, 10)
        await clock.forward(LEASE // 3)
    return stood.id in [claim.id for claim in taken]


async def _promote(store: Store, clock: Clock, stood: Stood) -> Said:
    before = await state_of(store, stood.id)
    if before is State.BLOCKED:  # its parent must not come due
        return await promote_all(store) > 0
    await clock.forward(HOUR)
    return await promote_all(store) > 0


async def _expire(store: Store, clock: Clock, stood: Stood) -> Said:
    await clock.forward(2 * HOUR)
    await promote_all(store)
    job = await get(store, stood.id)
    return job.reason == "expired"


async def _end_parent(store: Store, event: Event, stood: Stood) -> Said:
    if stood.parent is None:  # only blocked jobs have one to end
        return False
    await act(store, Action.RUN_NOW, stood.parent)
    hand = Hand(store)
    await hand.finish(end(await hand.one(), event))
    return True


async def _unblock(store: Store, clock: Clock, stood: Stood) -> Said:
    return await _end_parent(store, Event.COMPLETE, stood)


async def _doom(store: Store, clock: Clock, stood: Stood) -> Said:
    return await _end_parent(store, Event.FAIL, stood)


VERBS: dict[Event, Callable[[Store, Clock, Stood], Awaitable[Said]]] = {
    Event.CLAIM: _claim,
    Event.RESCUE: _rescue,
    Event.PROMOTE: _promote,
    Event.UNBLOCK: _unblock,
    Event.DOOM: _doom,
    Event.EXPIRE: _expire,
    Event.CANCEL: _command(Action.CANCEL),
    Event.REQUEUE: _command(Action.REQUEUE),
    Event.DELETE: _command(Action.DELETE),
    **{
        event: _finish(event)
        for event in (Event.COMPLETE, Event.RETRY, Event.SNOOZE, Event.RELEASE, Event.FAIL, Event.ABORT)
    },
}


def test_every_event_of_the_table_is_driven() -> None:
    assert set(VERBS) | LATER == set(Event)


@pytest.mark.parametrize("state", list(State), ids=str)
@pytest.mark.parametrize("event", sorted(VERBS), ids=str)
async def test_each_event_in_each_state(store: Store, clock: Clock, event: Event, state: State) -> None:
    await store.rescue("rescuer", LEASE, 10)
    stood = await stand(store, state)
    if event is Event.EXPIRE and state is State.RETRYING:
        # Expiry is for jobs that never started; one between attempts goes on.
        assert not await _expire(store, clock, stood)
        return
    before = await get(store, stood.id)
    drive = VERBS[event]
    if event is Event.FAIL and state is not State.ACTIVE:
        drive = _command(Action.FAIL)
    said = await drive(store, clock, stood)
    after = await store.job(stood.id)
    if not allowed(event, state):
        assert not said
        assert after is not None
        if (event, state) == (Event.CANCEL, State.ACTIVE):
            assert (after.state, after.cancelling) == (State.ACTIVE, True)
        elif (event, state) in ((Event.EXPIRE, State.ACTIVE), (Event.PROMOTE, State.ACTIVE)):
            assert after.state is State.ACTIVE
        else:
            assert after == before
        return
    assert said
    assert (None if after is None else after.state) is TRANSITIONS[event].target


@pytest.mark.parametrize("state", [state for state in State if state is not State.ACTIVE], ids=str)
async def test_a_beat_holds_only_active_jobs(store: Store, clock: Clock, state: State) -> None:
    stood = await stand(store, state)
    held = stood.claim or Held(stood.id, 1)
    assert (await Hand(store).beat(held)).lost == (stood.id,)
    assert await state_of(store, stood.id) is state
