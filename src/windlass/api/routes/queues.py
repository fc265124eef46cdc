"""Queues: how they stand, and pause, resume, order and clear."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from windlass.api.operation import Call, Reply, Routes
from windlass.api.paging import Listing, whole
from windlass.api.problems import Problem
from windlass.api.specs import Duration
from windlass.api.views import Count
from windlass.values.clock import SECOND, moment
from windlass.values.queue import QueueInfo

routes = Routes("queues", "What waits where. Queues are everybody's, so callers bound to a project do not see them.")


class QueueView(msgspec.Struct, frozen=True, kw_only=True):
    """A queue: its settings, and its jobs by state."""

    name: str
    paused: bool
    paused_at: datetime | None
    order: Literal["strict", "fair", "weighted", "ageing"]
    ageing: Annotated[float, Meta(description="Seconds of waiting that a point of priority is worth.")]
    counts: dict[str, int]


class QueueEdit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change; what is left out stays."""

    paused: bool | None = None
    order: Literal["strict", "fair", "weighted", "ageing"] | None = None
    ageing: Duration | None = None


@routes.get("/queues")
async def list_queues(call: Call) -> Reply[Listing[QueueView]]:
    """List queues by name, with their jobs by state."""
    stats = await call.app.queues.stats()
    infos = {info.name: info for info in await call.app.queues.list()}
    return whole(call, [_view(infos.get(name) or QueueInfo(name=name), counts) for name, counts in stats.items()])


@routes.get("/queues/{name:path}", tagged=True)
async def get_queue(call: Call, name: str) -> QueueView:
    """Show a queue."""
    return await _one(call, name)


@routes.patch("/queues/{name:path}", tagged=True, example={"order": "fair"})
async def edit_queue(call: Call, name: str, body: QueueEdit) -> QueueView:
    """Change a queue's settings.

    With `If-Match`, only if it still is as the client has seen it.
    """
    call.require_match(await _one(call, name))
    actor = call.caller.actor
    if body.order is not None or body.ageing is not None:
        await call.app.queues.set(name, order=body.order, ageing=body.ageing, actor=actor)
    if body.paused is not None:
        await (call.app.queues.pause if body.paused else call.app.queues.resume)(name, actor=actor)
    return await _one(call, name)


@routes.put("/queues/{name:path}/pause")
async def pause_queue(call: Call, name: str) -> QueueView:
    """Stop handing out a queue's jobs; running ones go on."""
    await call.app.queues.pause(name, actor=call.caller.actor)
    return await _one(call, name)


@routes.put("/queues/{name:path}/resume")
async def resume_queue(call: Call, name: str) -> QueueView:
    """Hand out a queue's jobs again."""
    await call.app.queues.resume(name, actor=call.caller.actor)
    return await _one(call, name)


@routes.delete("/queues/{name:path}/jobs")
async def clear_queue(call: Call, name: str) -> Count:
    """Delete a queue's jobs that wait for something; running and ended ones stay."""
    await _one(call, name)
    return Count(int(await call.app.queues.clear(name, actor=call.caller.actor)))


async def _one(call: Call, name: str) -> QueueView:
    stats = (await call.app.queues.stats()).get(name)
    if stats is None:
        raise Problem(404, "queue-not-found", "no queue of this name was ever used")
    info = next((info for info in await call.app.queues.list() if info.name == name), QueueInfo(name=name))
    return _view(info, stats)


def _view(info: QueueInfo, counts: dict[str, int]) -> QueueView:
    return QueueView(
        name=info.name,
        paused=info.paused,
        paused_at=None if info.paused_at is None else moment(info.paused_at),
        order=info.order,
        ageing=info.ageing / SECOND,
        counts=counts,
    )
