"""Puts a job into any state by the verbs alone."""

from typing import NamedTuple

from tests.store.kit import HOUR, Hand, end, get, new, put
from windlass.store import Store
from windlass.values.job import Claim, Edge
from windlass.values.states import Event, State


class Stood(NamedTuple):
    """`claim`: the last lease of the job, if it ever had one. `parent`: what a blocked one waits for."""

    id: str
    claim: Claim | None = None
    parent: str | None = None


async def stand(store: Store, state: State) -> Stood:
    """A job in `state`, in an otherwise empty store (a blocked one brings its delayed parent)."""
    stood = await _stand(store, state)
    assert (await get(store, stood.id)).state is state
    return stood


async def _stand(store: Store, state: State) -> Stood:
    if state is State.BLOCKED:
        parent = new("parent", delay=HOUR)
        child = new(after=(Edge(parent.id),), expires_in=2 * HOUR)
        await put(store, parent, child)
        return Stood(child.id, parent=parent.id)
    (id,) = await put(store, new(expires_in=2 * HOUR, delay=HOUR if state is State.DELAYED else None))
    if state in (State.DELAYED, State.WAITING):
        return Stood(id)
    hand = Hand(store, "before")
    claim = await hand.one()
    ends = {
        State.RETRYING: Event.RETRY,
        State.COMPLETED: Event.COMPLETE,
        State.FAILED: Event.FAIL,
        State.CANCELLED: Event.ABORT,
    }
    if state in ends:
        await hand.finish(end(claim, ends[state], delay=HOUR))
    return Stood(id, claim)
