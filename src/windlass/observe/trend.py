"""Health over time: every five minutes a built-in job keeps how the queues stood, so that trends can be seen."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeAlias

import msgspec

from windlass.observe.health import Health, QueueHealth, Status
from windlass.store.protocol import Store
from windlass.values.clock import SECOND, Duration, Micros, micros
from windlass.values.query import Swap

OpenStore: TypeAlias = Callable[[], Awaitable[Store]]

SPACE = "health"
EVERY: Micros = 300 * SECOND
KEPT: Micros = 30 * 86_400 * SECOND
_AT_ONCE = 500


class QueueMoment(msgspec.Struct, frozen=True, kw_only=True):
    """How a queue stood; the fields are those of `QueueHealth`."""

    queue: str
    status: Status
    waiting: int
    active: int
    delayed: int
    retrying: int
    failed: int
    oldest_wait: float | None
    served_per_minute: float
    arrived_per_minute: float
    failed_share: float | None
    workers: int


class HealthMoment(msgspec.Struct, frozen=True, kw_only=True):
    """How everything stood at an instant."""

    at: datetime
    status: Status
    workers: int
    queues: tuple[QueueMoment, ...]


_READ = msgspec.json.Decoder(HealthMoment)


async def keep_moment(store: Store, health: Health) -> None:
    """Keep how things stand; twice in the same five minutes is kept once."""
    taken = HealthMoment(
        at=health.at,
        status=health.status,
        workers=sum(worker.state != "lost" for worker in health.workers),
        queues=tuple(_moment(queue) for queue in health.queues),
    )
    text = msgspec.json.encode(taken).decode()
    key = _key(round(health.at.timestamp() * SECOND))
    await store.exchange([Swap(space=SPACE, key=key, text=text, expect=0, ttl=KEPT)])


async def read_trend(store: Store, last: Duration = "24h", queue: str | None = None) -> list[HealthMoment]:
    """How things stood in the `last` while (30 days at most), the oldest first; of one queue alone if it is named."""
    now = await store.now()
    back = min(micros(last, "last", minimum=300.0), KEPT)
    keys = [_key(at) for at in range(now - back, now + 1, EVERY)]
    found: list[HealthMoment] = []
    for start in range(0, len(keys), _AT_ONCE):
        records = await store.records(SPACE, keys[start : start + _AT_ONCE])
        found += [_READ.decode(record.text) for record in records if record.text]
    found.sort(key=lambda each: each.at)
    if queue is None:
        return found
    return [
        msgspec.structs.replace(each, queues=tuple(own for own in each.queues if own.queue == queue)) for each in found
    ]


def _moment(queue: QueueHealth) -> QueueMoment:
    return QueueMoment(**{name: getattr(queue, name) for name in QueueMoment.__struct_fields__})


def _key(at: Micros) -> str:
    return f"{at // EVERY:010d}"


__all__ = ["HealthMoment", "QueueMoment", "keep_moment", "read_trend"]
