"""What a worker adds to the ends it commits: the jobs that tell them, in the same transaction, so a crash loses none."""

import logging
from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from windlass.declare.handler import Handler
from windlass.errors import StoreError
from windlass.operate.shelf import Shelf
from windlass.store.protocol import Store
from windlass.values.clock import host_now, moment
from windlass.values.job import NewJob
from windlass.values.outcome import Finish
from windlass.values.queue import HOUSE
from windlass.values.states import Event
from windlass.webhooks.endpoint import SPACE, Endpoint
from windlass.webhooks.messages import ENDED, encoded, of_finish

log = logging.getLogger("windlass.webhooks")

QUEUE = HOUSE
RESCUES = 100
"""Workers that may be lost under a job that tells of something: it does not kill them, and what it tells may be who does."""
REFRESH = 5.0
"""Seconds after which a worker knows of a new endpoint."""
_FLOW_EVENTS = ("workflow.finished", "batch.finished")


class Relay:
    """Knows the endpoints. While there is none, or none wants what happens here, it does nothing."""

    def __init__(
        self, store: Callable[[], Awaitable[Store]], deliver: Handler[..., None], flow: Handler[..., None]
    ) -> None:
        self._shelf = Shelf(store, SPACE, Endpoint)
        self._deliver = deliver
        self._flow = flow
        self._endpoints: tuple[Endpoint, ...] = ()
        self.flows = False
        """Whether an endpoint wants to know of workflows."""

    @property
    def is_idle(self) -> bool:
        """Whether nobody wants to know anything."""
        return not self._endpoints

    async def refresh(self) -> None:
        """Read the endpoints anew; with a store in trouble the ones known stay."""
        try:
            found = await self._shelf.all()
        except StoreError as error:
            log.debug("the endpoints of webhooks could not be read: %r", error)
            return
        self._endpoints = tuple(endpoint for endpoint in found.values() if endpoint.active)
        self.flows = any(endpoint.wants(event) for endpoint in self._endpoints for event in _FLOW_EVENTS)

    def extended(self, end: Finish) -> Finish:
        """An end with the jobs that tell of it."""
        if end.queue == QUEUE or (end.rescued and end.event is Event.RELEASE):
            return end
        event = ENDED.get(end.event)
        if event is None:
            return end
        wanting = [each for each in self._endpoints if each.wants(event, end.queue, end.kind)]
        if not wanting:
            return end
        text = encoded(of_finish(end, event, moment(host_now())))
        told = tuple(delivery(self._deliver, each.id, text) for each in wanting)
        return replace(end, follow=(*end.follow, *told))

    def with_flow(self, end: Finish, workflow: str) -> Finish:
        """The end of a workflow's job, with the job that looks whether it was the last one."""
        if end.event not in (Event.COMPLETE, Event.FAIL, Event.ABORT) or end.queue == QUEUE:
            return end
        return replace(end, follow=(*end.follow, look(self._flow, workflow)))


def delivery(handler: Handler[..., None], endpoint: str, message: str, id: str | None = None) -> NewJob[None]:
    """The job that sends a message to an endpoint."""
    job = handler.options(group=endpoint).job(endpoint, message)
    return job if id is None else replace(job, id=id)


def look(handler: Handler[..., None], workflow: str) -> NewJob[None]:
    """The job that looks whether a workflow is over. One of them waits at a time: it starts after the ends that asked for it."""
    return handler.options(delay="1s").job(workflow)
