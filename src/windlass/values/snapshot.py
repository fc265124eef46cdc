"""A whole job as one engine hands it to another when an installation moves."""

from typing import Any, Literal

import msgspec

from windlass.values.job import Edge, UniqueKey
from windlass.values.lease import StoredStep
from windlass.values.limit import Bound


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """`record`: the raw record under the names of `job.RECORD` and `job.LEDGER`. `order`: its place in line (`priority.order`),
    so that FIFO survives the move. `edges`: parents still open. `unique`: the key it still holds, its `ttl` counted from the
    job's creation. `mode`: how long its key is held, also of a job that holds it no longer. `parked`: why it is out of reach.
    `limits`, `weight`: as of `NewJob`. `signal`: what a suspended job waits for. `steps`, `signals`: of a durable handler;
    signals are (name, data), oldest first."""

    record: dict[str, Any]
    order: int
    edges: tuple[Edge, ...] = ()
    unique: UniqueKey | None = None
    mode: Literal["finished", "started", "period"] | None = None
    parked: str | None = None
    limits: tuple[Bound, ...] = ()
    weight: int = 1
    signal: str | None = None
    steps: tuple[StoredStep, ...] = ()
    signals: tuple[tuple[str, str], ...] = ()
