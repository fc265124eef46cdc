"""Where a job stands and what holds it back, told by what a claim looks at."""

from windlass.store.sqlite.keys import Key, info, numbers
from windlass.store.sqlite.lines import BOUNDS
from windlass.store.sqlite.reading import job_of
from windlass.store.sqlite.transaction import View, packed
from windlass.store.sqlite.uniqueness import key_holder
from windlass.values.limit import KIND, QUEUE
from windlass.values.query import Standing
from windlass.values.queue import AGEING, QueueInfo
from windlass.values.states import State

MOST_AHEAD = 10_000
SHOWN_HOLDERS = 20


def standing(view: View, id: str) -> Standing | None:
    row = view.one("job", (id,))
    if row is None:
        return None
    job = job_of(row)
    n, parked, line, order, signal, bounds = view.rows("stands", (id,))[0]
    keys = [Key(view, each) for each in _limits(view, job.queue, job.kind, line, bounds, job.state)]
    held = {key.key: tuple(id for (id,) in view.rows("holders", (key.k, SHOWN_HOLDERS))) for key in keys}
    holder = None if job.unique is None else key_holder(view, job.unique)
    return Standing(
        job=job,
        now=view.now,
        queue=_queue(view, job.queue),
        parked=parked,
        line=_ahead(view, job.queue, job.runtime, line, order) if job.state is State.WAITING else None,
        limits=tuple(info(view, key) for key in keys),
        holders={key: holders for key, holders in held.items() if holders},
        parents=tuple((parent, State(state)) for parent, state in view.rows("open_parents", (n,))),
        signal=signal,
        unique_holder=None if holder == id else holder,
    )


def _limits(
    view: View, queue: str, kind: str, line: int | None, bounds: str | None, state: State
) -> list[tuple[object, ...]]:
    """The keys of its line; before it stands in one, those that it will be under."""
    if line is not None:
        ((_, keys),) = view.rows("line_keys", (packed([line]),))
        rows = [view.one("limit_numbered", (k,)) for k in numbers(keys)]
        return sorted((row for row in rows if row is not None), key=lambda row: row[1])
    if state in (State.WAITING, State.ACTIVE):
        return []
    names = [each.key for each in BOUNDS.decode(bounds)] if bounds else []
    return view.rows("limits_named", (packed([*names, QUEUE + queue, KIND + kind]),))


def _ahead(view: View, queue: str, runtime: str, line: int | None, order: int) -> int:
    if line is None:
        return view.value("ahead", (queue, runtime, order, MOST_AHEAD))
    return view.value("ahead_in_line", (line, order, MOST_AHEAD))


def _queue(view: View, name: str) -> QueueInfo:
    row = view.one("queue_row", (name,))
    if row is None:
        return QueueInfo(name=name)
    return QueueInfo(name=name, paused=bool(row[1]), paused_at=row[2], order=row[3], ageing=row[4] or AGEING)
