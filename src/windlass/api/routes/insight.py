"""What the installation knows of itself: kinds, workers, metrics, health."""

from datetime import datetime
from typing import Annotated, Any, cast

import msgspec
from msgspec import Meta

from windlass.api.operation import Call, Reply, Routes
from windlass.api.paging import Listing, whole
from windlass.api.problems import Problem
from windlass.api.specs import Name
from windlass.declare.kinds import KindInfo, Param, describe
from windlass.observe.figures import Metrics
from windlass.observe.frames import Step
from windlass.observe.health import Health, QueueHealth
from windlass.observe.trend import HealthMoment, read_trend
from windlass.values.clock import moment
from windlass.values.lease import WorkerInfo

routes = Routes("insight", "Kinds, workers, metrics and health.")


class KindView(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of job. `schema`: the JSON Schema of its arguments, null where a type has none."""

    name: str
    queue: str
    runtime: str
    priority: int
    max_attempts: int
    version: int
    tags: tuple[str, ...]
    params: tuple[Param, ...]
    schema: dict[str, Any] | None


class WorkerView(msgspec.Struct, frozen=True, kw_only=True):
    """A worker process. `queues` null: every queue."""

    id: str
    host: str
    pid: int
    version: str
    state: str
    started_at: datetime
    seen_at: datetime
    claimed_at: datetime | None
    queues: tuple[str, ...] | None
    kinds: tuple[str, ...]
    slots: dict[str, int]
    running: int
    done: int
    rss: int
    cpu: float


class MetricsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of which queue and kind, and when: the `last` while, or from `since` to `until`; `step` is that of the series."""

    queue: str | None = None
    kind: str | None = None
    last: Annotated[str, Meta(pattern=r"^\d{1,6}(s|m|h|d)$", examples=["24h"])] = "24h"
    since: datetime | None = None
    until: datetime | None = None
    step: Annotated[str, Meta(pattern=r"^(minute|hour|day)$")] | None = None


class TrendQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of the `last` while, 30 days at most; of one queue, or all."""

    last: Annotated[str, Meta(pattern=r"^\d{1,6}(s|m|h|d)$", examples=["24h"])] = "24h"
    queue: Name | None = None


@routes.get("/kinds")
async def list_kinds(call: Call) -> Reply[Listing[KindView]]:
    """List the kinds of jobs that can be created, with the JSON Schema of their arguments."""
    return whole(call, [_kind(info) for _, info in sorted((await _kinds(call)).items())])


@routes.get("/kinds/{name:path}")
async def get_kind(call: Call, name: str) -> KindView:
    """Show a kind."""
    info = (await _kinds(call)).get(name)
    if info is None:
        raise Problem(404, "kind-not-found", "no worker and no app names this kind")
    return _kind(info)


async def _kinds(call: Call) -> dict[str, KindInfo]:
    found = {info.name: info for info in await call.app.published_kinds()}
    found.update((name, describe(call.app.handlers[name])) for name in call.app.kinds.own())
    return found


def _kind(info: KindInfo) -> KindView:
    return KindView(**{name: getattr(info, name) for name in KindView.__struct_fields__})


@routes.get("/workers")
async def list_workers(call: Call) -> Reply[Listing[WorkerView]]:
    """List the workers that are alive."""
    return whole(call, [_worker(info) for info in await call.app.workers()])


@routes.get("/workers/{id:path}")
async def get_worker(call: Call, id: str) -> WorkerView:
    """Show a worker."""
    found = next((info for info in await call.app.workers() if info.id == id), None)
    if found is None:
        raise Problem(404, "worker-not-found", "no worker of this id is alive")
    return _worker(found)


def _worker(info: WorkerInfo) -> WorkerView:
    same = ("id", "host", "pid", "version", "state", "queues", "kinds", "running", "done", "rss", "cpu")
    return WorkerView(
        **{name: getattr(info, name) for name in same},
        started_at=moment(info.started_at),
        seen_at=moment(info.seen_at),
        claimed_at=None if info.claimed_at is None else moment(info.claimed_at),
        slots=dict(info.slots),
    )


@routes.get("/metrics")
async def get_metrics(call: Call, query: MetricsQuery) -> Metrics:
    """Attempts by outcome, rates, run and waiting times in seconds, and a series."""
    return await call.app.metrics(
        queue=query.queue,
        kind=query.kind,
        last=query.last,
        since=query.since,
        until=query.until,
        step=cast("Step | None", query.step),
    )


@routes.get("/health")
async def get_health(call: Call) -> Health:
    """How everything is, with the issues in numbers and the commands that mend them."""
    return await call.app.health()


@routes.get("/health/trend")
async def get_health_trend(call: Call, query: TrendQuery) -> Reply[Listing[HealthMoment]]:
    """How things stood, every five minutes."""
    moments = await read_trend(await call.app.store(), query.last, query.queue)
    return whole(call, moments)


@routes.get("/health/{queue:path}")
async def get_queue_health(call: Call, queue: str) -> QueueHealth:
    """How one queue is."""
    return await call.app.health(queue)
