"""Queues as people look at them: jobs per state, and whether they are paused."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import cast

import msgspec

from windlass.cli.act import actor
from windlass.cli.complaint import QueueNotFound
from windlass.cli.options import Chosen, Form
from windlass.cli.show import emit_json, emit_lines, emit_table, note, span
from windlass.flowcontrol.capacity import read_order
from windlass.operate.views import Queues
from windlass.store.protocol import Store
from windlass.values.clock import SECOND
from windlass.values.queue import Order, QueueChange, QueueInfo, check_name
from windlass.values.states import State

SHOWN: tuple[State, ...] = (
    State.WAITING,
    State.ACTIVE,
    State.DELAYED,
    State.RETRYING,
    State.BLOCKED,
    State.COMPLETED,
    State.FAILED,
    State.CANCELLED,
)
_HEADS = {State.RETRYING: "retry", State.COMPLETED: "done", State.CANCELLED: "cancel"}
ALWAYS = frozenset({State.WAITING, State.ACTIVE, State.COMPLETED, State.FAILED})


class QueueRow(msgspec.Struct, frozen=True):
    """A queue and how many of its jobs are in each state."""

    name: str
    paused: bool
    states: dict[State, int]
    order: Order = "strict"


async def gather(store: Store) -> list[QueueRow]:
    """Every queue, by name."""
    counts: dict[str, dict[State, int]] = {}
    for count in await store.counts():
        counts.setdefault(count.queue, {})[count.state] = count.n
    known = {info.name: info for info in await store.queues()}
    return [
        QueueRow(
            name,
            known[name].paused if name in known else False,
            {state: counts.get(name, {}).get(state, 0) for state in SHOWN},
            known[name].order if name in known else "strict",
        )
        for name in sorted({*counts, *known})
    ]


def emit_queues(rows: Sequence[QueueRow], form: Form) -> None:
    """Print queues. A table leaves out states in which no queue has a job, unless they are the usual ones."""
    if form is Form.JSON:
        emit_json(
            {
                "items": [{"name": row.name, "paused": row.paused, "order": row.order, **row.states} for row in rows],
                "next": None,
            }
        )
    elif form is Form.IDS:
        emit_lines(row.name for row in rows)
    elif not rows:
        note(f"no queues yet in {Chosen.store}")
    else:
        states = [state for state in SHOWN if state in ALWAYS or any(row.states[state] for row in rows)]
        paused = ["paused"] if any(row.paused for row in rows) else []
        order = ["order"] if any(row.order != "strict" for row in rows) else []
        heads = [_HEADS.get(state, state) for state in states]
        emit_table(
            ["queue", *paused, *order, *heads],
            [
                [
                    row.name,
                    *["yes" if row.paused else ""][: len(paused)],
                    *[row.order][: len(order)],
                    *(str(row.states[state]) for state in states),
                ]
                for row in rows
            ],
            right=heads,
        )


async def set_paused(store: Store, names: Sequence[str], *, paused: bool, create: bool) -> list[QueueInfo]:
    """Pause or resume queues; all must be known (or `create`), else nothing happens."""
    await _check_known(store, names, create=create, hint=paused)
    return [await store.put_queue(name, QueueChange(paused=paused), actor()) for name in names]


async def set_order(
    store: Store, names: Sequence[str], order: str | None, ageing: str | None, *, pinned: bool, create: bool
) -> list[QueueInfo]:
    """Set the order of queues, or (not `pinned`) leave it to code; all must be known (or `create`)."""
    read_order(order, ageing)
    await _check_known(store, names, create=create, hint=True)

    async def here() -> Store:
        return store

    queues = Queues(here)
    return [
        await queues.set(name, order=cast(Order | None, order), ageing=ageing, pinned=pinned, actor=actor())
        for name in names
    ]


async def _check_known(store: Store, names: Sequence[str], *, create: bool, hint: bool) -> None:
    known = [info.name for info in await store.queues()]
    for name in names:
        check_name(name, "queue")
        if name not in known and not create:
            near = get_close_matches(name, known, 1)
            mend = f"did you mean {near[0]}?" if near else "`windlass queues ls` lists them" + " or add --create" * hint
            raise QueueNotFound(f"there is no queue {name!r}", queue=name, mend=mend)


def emit_orders(infos: Sequence[QueueInfo], form: Form) -> None:
    """Print in which order the queues hand out their jobs."""
    if form is Form.TABLE:
        for info in infos:
            worth = f", a point of priority is worth {span(info.ageing / SECOND)}" if info.order == "ageing" else ""
            print(f"{info.name} is {info.order}{worth}")
    else:
        emit_set(infos, form)


def emit_set(infos: Sequence[QueueInfo], form: Form) -> None:
    """Print what became of the queues."""
    if form is Form.JSON:
        emit_json({"items": infos, "next": None})
    elif form is Form.IDS:
        emit_lines(info.name for info in infos)
    else:
        for info in infos:
            print(f"{info.name} is {'paused' if info.paused else 'open'}")
