"""`ctx.batch`: a batch as its members and callbacks see it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

from windlass.errors import WindlassError
from windlass.produce.ref import JobRef
from windlass.store.protocol import Store
from windlass.values.job import Job, NewJob
from windlass.values.outcome import Membership
from windlass.values.query import Where
from windlass.values.states import State
from windlass.workflows.workflow import as_member

_PAGE = 500
_NONE: Mapping[str, Any] = {}


class Giver(Protocol):
    """What a batch asks of the context."""

    def hand_over(self, job: NewJob[Any]) -> JobRef[Any]: ...


class Batch:
    """The batch that the running job belongs to, or whose callback it is."""

    def __init__(
        self, id: str, membership: Membership | None, workflow: str, store: Store | None, giver: Giver
    ) -> None:
        self.id = id
        self._membership = membership
        self._workflow = workflow
        self._store = store
        self._giver = giver

    async def members(self, state: State | str | Sequence[State | str] | None = None) -> AsyncIterator[Job]:
        """The members as they stand, newest first, a page at a time. Only in async handlers."""
        async for job in batch_jobs(self._reach(), self._workflow, _states(state)):
            if job.options.get("batch", _NONE).get("id") == self.id:
                yield job

    async def counts(self) -> dict[str, int]:
        """How many members are in each state (all eight are there). Only in async handlers."""
        found = {str(state): 0 for state in State}
        async for job in self.members():
            found[str(job.state)] += 1
        return found

    def add(self, *jobs: NewJob[Any]) -> list[JobRef[Any]]:
        """Add members from within a member: they are stored together with this attempt's completion, and the callbacks wait
        for them too."""
        if self._membership is None:
            raise WindlassError(
                "a callback cannot add members: they have all ended", mend="hand jobs over with ctx.enqueue(...)"
            )
        return [self._giver.hand_over(as_member(job, self._workflow, self._membership)) for job in jobs]

    def _reach(self) -> Store:
        if self._store is None:
            raise WindlassError(
                "ctx.batch reads the store, which only async handlers can", mend="make the handler an async def"
            )
        return self._store


async def batch_jobs(store: Store, workflow: str, states: tuple[State, ...] = ()) -> AsyncIterator[Job]:
    """Every job of a workflow that is in one of the states, newest first."""
    cursor: str | None = None
    while True:
        page = await store.jobs(Where(workflow=workflow, states=states), cursor, _PAGE)
        for job in page.items:
            yield job
        if page.next is None:
            return
        cursor = page.next


def _states(state: State | str | Sequence[State | str] | None) -> tuple[State, ...]:
    if state is None:
        return ()
    return (State(state),) if isinstance(state, str) else tuple(map(State, state))
