"""Workers as people look at them."""

from collections.abc import Sequence
from typing import Any

import msgspec

from windlass.cli.options import Chosen, Form
from windlass.cli.show import emit_json, emit_lines, emit_table, note, size, span
from windlass.store.protocol import Store
from windlass.values.clock import SECOND, Micros, moment
from windlass.values.lease import WorkerInfo


async def gather(store: Store) -> tuple[list[WorkerInfo], Micros]:
    """The live workers and the store's time."""
    return await store.workers(), await store.now()


def emit_workers(workers: Sequence[WorkerInfo], now: Micros, form: Form) -> None:
    """Print workers in the form asked for."""
    if form is Form.JSON:
        emit_json({"items": [_object(info) for info in workers], "next": None})
    elif form is Form.IDS:
        emit_lines(info.id for info in workers)
    elif not workers:
        note(f"no live workers in {Chosen.store}; start one with `windlass worker -A module:app`")
    else:
        emit_table(
            ["worker", "state", "queues", "run", "done", "seen", "up", "rss"],
            [
                [
                    info.id,
                    "silent" if now - info.seen_at > info.lease else info.state,
                    ",".join(info.queues) if info.queues else "all",
                    str(info.running),
                    str(info.done),
                    span(max(now - info.seen_at, 0) / SECOND),
                    span(max(now - info.started_at, 0) / SECOND),
                    size(info.rss),
                ]
                for info in workers
            ],
            right=("run", "done", "seen", "up", "rss"),
        )


def _object(info: WorkerInfo) -> dict[str, Any]:
    value: dict[str, Any] = msgspec.to_builtins(info)
    for name in ("started_at", "seen_at", "claimed_at"):
        value[name] = None if value[name] is None else moment(value[name])
    value["lease"] = info.lease / SECOND
    return value
