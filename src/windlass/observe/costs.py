"""What a job of a kind is likely to cost, by what its latest attempts took and its price."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from windlass.declare.pricing import PARTS, Tariff
from windlass.observe.figures import read_metrics
from windlass.store.protocol import Store
from windlass.values.clock import SECOND, Duration

if TYPE_CHECKING:
    from windlass.declare.handler import Handler

_PLACES = Decimal("0.000001")
_NONE = Tariff()


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt is likely to cost. `runs`: the attempts that it goes by; 0 means that only the price is known. `seconds`,
    `memory` (bytes): their averages, None where there are none."""

    cost: Decimal
    currency: str
    runs: int
    seconds: float | None
    memory: int | None


async def read_estimate(store: Store, handler: "Handler[..., Any]", last: Duration, currency: str) -> Estimate:
    """By the attempts of the `last` while, in the kind's own queue: what they cost if they cost anything, else by the price."""
    found = (await read_metrics(store, queue=handler.queue, kind=handler.kind, last=last)).total
    seconds = found.run.average if found.run is not None else None
    rule = handler.door.capacity.queues.get(handler.queue)
    tariff = handler.declared.price or (rule.price if rule is not None else None) or _NONE
    runs = found.run.count if found.run is not None else 0
    if runs and found.cost:
        cost = found.cost / runs
    else:
        took = round((seconds or 0.0) * SECOND)
        cost = Decimal(tariff.parts(took, found.average_memory or 0, whole=True)) / PARTS / 1_000_000
    return Estimate(
        cost=cost.quantize(_PLACES).normalize() + Decimal(0),
        currency=currency,
        runs=runs,
        seconds=seconds,
        memory=found.average_memory,
    )
