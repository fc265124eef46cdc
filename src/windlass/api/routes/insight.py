"""What the installation knows of itself: kinds, workers, metrics, the audit, health."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from windlass.api.operation import Call, Reply, Routes
from windlass.api.paging import Listing, whole
from windlass.api.problems import Problem
from windlass.api.routes.closeup import ActView, act_view
from windlass.clock import SECOND, micros, moment
from windlass.errors import InvalidOption
from windlass.kinds import KindInfo, Param, describe
from windlass.lease import WorkerInfo
from windlass.metrics import MINUTE, MetricQuery, Point, percentile
from windlass.queue import check_name

routes = Routes("insight", "Kinds, workers, metrics, audit and health.")

_LONGEST: float = 7 * 86_400.0
_ENDS = ("complete", "fail", "retry", "rescue", "abort", "snooze", "release")


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


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Percentiles in seconds, within 2 %."""

    p50: float
    p95: float
    p99: float


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the attempts of a kind in a queue, and how long they ran (`took`) and waited."""

    queue: str
    kind: str
    complete: int
    fail: int
    retry: int
    rescue: int
    abort: int
    snooze: int
    release: int
    took: Spread | None
    waited: Spread | None


class MinuteView(msgspec.Struct, frozen=True, kw_only=True):
    """Ends of one minute, all queues and kinds asked for together."""

    at: datetime
    complete: int
    fail: int
    retry: int


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of a span of time."""

    since: datetime
    until: datetime
    kinds: list[Figures]
    minutes: list[MinuteView]


class MetricsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far to look back, up to a week, and at which queue and kind."""

    back: Annotated[str, Meta(pattern=r"^\d{1,6}(s|m|h|d)$", examples=["1h"])] = "1h"
    queue: str | None = None
    kind: str | None = None


class AuditQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`target`: a job's id, `queue:<name>`, `schedule:<key>`; left out, everything."""

    target: Annotated[str, Meta(max_length=250)] | None = None
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How the installation is: `ok`, or what is amiss. `store`: facts of the engine."""

    ok: bool
    warnings: list[str]
    workers: int
    running: int
    store: dict[str, Any]


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
    """Attempts by outcome, with run and waiting times, exact to the minute."""
    back = micros(query.back, "back")
    if back > _LONGEST * SECOND:
        raise InvalidOption("back is at most 7d", field="back", limit="7d", mend="ask for less")
    store = await call.app.store()
    now = await store.now()
    since = max(now - back, 0) // MINUTE * MINUTE
    asked = MetricQuery(
        since=since,
        until=now + MINUTE,
        queues=() if query.queue is None else (check_name(query.queue, "queue"),),
        kinds=() if query.kind is None else (check_name(query.kind, "kind"),),
    )
    points = await store.metrics(asked)
    return Metrics(since=moment(since), until=moment(now), kinds=_figures(points), minutes=_minutes(points))


def _figures(points: Sequence[Point]) -> list[Figures]:
    ends: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: dict.fromkeys(_ENDS, 0))
    shapes: dict[tuple[str, str, str], dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for point in points:
        if point.name in _ENDS:
            ends[point.queue, point.kind][point.name] += point.value
        elif point.name in ("took", "waited"):
            shapes[point.queue, point.kind, point.name][point.bucket] += point.value
    return [
        Figures(
            queue=queue,
            kind=kind,
            **sums,
            took=_spread(shapes[queue, kind, "took"]),
            waited=_spread(shapes[queue, kind, "waited"]),
        )
        for (queue, kind), sums in sorted(ends.items())
    ]


def _spread(histogram: dict[int, int]) -> Spread | None:
    p50, p95, p99 = (percentile(histogram.items(), share) for share in (0.50, 0.95, 0.99))
    if p50 is None or p95 is None or p99 is None:
        return None
    return Spread(p50=round(p50 / SECOND, 6), p95=round(p95 / SECOND, 6), p99=round(p99 / SECOND, 6))


def _minutes(points: Sequence[Point]) -> list[MinuteView]:
    sums: dict[int, dict[str, int]] = defaultdict(lambda: {"complete": 0, "fail": 0, "retry": 0})
    for point in points:
        if point.name in ("complete", "fail", "retry"):
            sums[point.minute][point.name] += point.value
    return [MinuteView(at=moment(minute), **ends) for minute, ends in sorted(sums.items())]


@routes.get("/audit")
async def list_audit(call: Call, query: AuditQuery) -> Reply[Listing[ActView]]:
    """What operators did, newest first."""
    entries = await (await call.app.store()).audit(query.target, query.limit)
    return whole(call, [act_view(entry) for entry in entries])


@routes.get("/health")
async def get_health(call: Call) -> Health:
    """How the store and the workers are."""
    store = await call.app.store()
    facts = dict(await store.health())
    warnings = [str(text) for text in facts.pop("warnings", ())]
    now = await store.now()
    alive = [info for info in await call.app.workers() if now - info.seen_at <= info.lease]
    if not alive:
        warnings.append("no worker is alive: nothing runs")
    return Health(
        ok=not warnings,
        warnings=warnings,
        workers=len(alive),
        running=sum(info.running for info in alive),
        store={name: msgspec.to_builtins(value, enc_hook=str) for name, value in facts.items()},
    )
