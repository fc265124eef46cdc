"""Looking at single jobs and what stands beside them; nothing here writes."""

from collections.abc import Sequence

import msgspec

from windlass.store.sqlite.statements import FIELDS
from windlass.store.sqlite.transaction import Row, View, packed
from windlass.values.job import Job, read_job
from windlass.values.lease import StoredLine, WorkerInfo
from windlass.values.query import Count, ErrorGroup
from windlass.values.queue import AGEING, QueueInfo
from windlass.values.states import State

_WORKER = msgspec.json.Decoder(WorkerInfo)


def job(view: View, id: str) -> Job | None:
    row = view.one("job", (id,))
    return None if row is None else job_of(row)


def outcomes(view: View, ids: Sequence[str]) -> dict[str, Job]:
    found = [job_of(row) for row in view.rows("outcomes", (packed(list(ids)),))]
    return {each.id: each for each in found}


def job_of(row: Row) -> Job:
    """A job of a row of `statements.FIELDS`."""
    return read_job(dict(zip(FIELDS, row, strict=True)))


def counts(view: View) -> list[Count]:
    return [Count(queue, State(state), n) for queue, state, n in view.rows("counts")]


def queues(view: View) -> list[QueueInfo]:
    return [
        QueueInfo(name=name, paused=bool(paused), paused_at=at, order=order, ageing=ageing or AGEING)
        for name, paused, at, order, ageing in view.rows("queues")
    ]


def workers(view: View) -> list[WorkerInfo]:
    return [
        msgspec.structs.replace(_WORKER.decode(info), seen_at=seen_at, claimed_at=claimed_at)
        for info, seen_at, claimed_at in view.rows("workers", (view.now,))
    ]


def log(view: View, id: str, limit: int) -> list[StoredLine]:
    return [StoredLine(*row) for row in view.rows("log", (id, limit))]


def error_groups(view: View, limit: int) -> list[ErrorGroup]:
    groups: list[ErrorGroup] = []
    for fingerprint, n, first in view.rows("error_groups", (limit,)):
        last, sample = view.rows("newest_of_group", (fingerprint,))[0]
        groups.append(ErrorGroup(fingerprint=fingerprint or "", n=n, first=first, last=last, sample=sample))
    return groups
