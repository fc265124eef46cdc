"""Enqueue: plain jobs by the hundred, jobs with unique keys or parents one by one."""

from collections.abc import Generator, Iterator, Sequence
from typing import Any, TypeAlias

import apsw

from windlass.clock import Micros
from windlass.errors import InvalidArgs, UnknownParent
from windlass.job import Enqueued, NewJob
from windlass.priority import order, reorder
from windlass.states import FINAL, State
from windlass.store.sqlite.settle import UNBOUNDED, Ended, cascade
from windlass.store.sqlite.transaction import Row, Tx, Uneven, packed

STEP = 500
Steps: TypeAlias = Generator[None, None, list[Enqueued]]
AnyJob: TypeAlias = NewJob[Any]


def enqueue(tx: Tx, jobs: Sequence[AnyJob], careful: bool = False) -> list[Enqueued]:
    """Without a pause, for small calls. `careful` is for a call that names a known id: the quick way refuses it."""
    steps = enqueue_in_steps(tx, jobs, careful or not plain(jobs))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def enqueue_in_steps(tx: Tx, jobs: Sequence[AnyJob], careful: bool) -> Steps:
    """Stops after each `STEP` jobs. Raises `Uneven` when the quick way meets a known id."""
    try:
        if careful:
            answers = yield from _Careful(tx).store(jobs)
        else:
            for at in range(0, len(jobs), STEP):
                _insert(tx, jobs[at : at + STEP])
                yield
            answers = [Enqueued(job.id) for job in jobs]
    except UnicodeEncodeError as error:
        raise InvalidArgs(
            f"a job's text holds a lone surrogate, which is not text: {error.reason}",
            field="args",
            mend="decode the text with errors='replace' first",
        ) from error
    tx.many("insert_queue", ((queue,) for queue in {job.queue for job in jobs}))
    return answers


def plain(jobs: Sequence[AnyJob]) -> bool:
    return all(job.unique is None and not job.after and not job.before for job in jobs)


def _insert(tx: Tx, jobs: Sequence[AnyJob]) -> None:
    """New jobs. A known id is an error of the database, since that costs the usual case nothing."""
    first = tx.count_on("seq", len(jobs))
    try:
        tx.many("insert_job", _rows(tx, jobs, first))
    except apsw.ConstraintError as error:
        raise Uneven from error
    tags = [(tag, first + at) for at, job in enumerate(jobs) for tag in job.tags]
    if tags:
        tx.many("insert_tag", tags)


def _rows(tx: Tx, jobs: Sequence[AnyJob], first: int) -> Iterator[Row]:
    now = tx.now
    moves: dict[tuple[str, State], int] = {}
    for n, job in enumerate(jobs, first):
        run_at = starts(job, now)
        parents = job.after
        state = State.BLOCKED if parents else State.DELAYED if run_at > now else State.WAITING
        unique = job.unique
        key = (job.queue, state)
        moves[key] = moves.get(key, 0) + 1
        yield (
            n,
            job.id,
            state.value,
            job.queue,
            job.kind,
            job.runtime,
            order(job.priority, n),
            job.priority,
            job.max_attempts,
            len({edge.parent for edge in parents}) if parents else 0,
            now,
            run_at,
            job.expires_at if job.expires_in is None else now + job.expires_in,
            unique.key if unique else None,
            unique.until if unique else None,
            job.user,
            job.project,
            job.group,
            job.workflow,
            job.name,
            packed(job.tags) if job.tags else None,
            packed([edge.parent for edge in parents]) if parents else None,
            job.options,
            job.args,
        )
    for (queue, state), count in moves.items():
        tx.moved(queue, None, state, count)


def starts(job: AnyJob, now: Micros) -> Micros:
    """When a new job may run: never before it exists."""
    if job.delay is not None:
        return now + max(job.delay, 0)
    return now if job.run_at is None else max(job.run_at, now)


class _Careful:
    """One enqueue with known ids, unique keys or parents among its jobs."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._fresh: dict[str, AnyJob] = {}
        self._stand_in: dict[str, str] = {}
        """Jobs of this call that were not created -> the holder of their key, whom their children wait for instead."""

    def store(self, jobs: Sequence[AnyJob]) -> Steps:
        known = {id for (id,) in self._tx.rows("known_ids", (packed([job.id for job in jobs]),))}
        answers: list[Enqueued] = []
        for at, job in enumerate(jobs, 1):
            if job.id in known or job.id in self._fresh or job.id in self._stand_in:
                answers.append(Enqueued(job.id))
            else:
                answers.append(self._store(job))
            if at % STEP == 0:
                yield
        yield from self._join()
        return answers

    def _store(self, job: AnyJob) -> Enqueued:
        tx = self._tx
        if job.unique is not None:
            holder = key_holder(tx, job.unique.key)
            if holder is not None:
                if job.unique.on_conflict == "replace":
                    _replace(tx, holder, job)
                self._stand_in[job.id] = holder
                return Enqueued(holder, created=False)
            until = None if job.unique.ttl is None else tx.now + job.unique.ttl
            tx.run("take_key", (job.unique.key, job.id, job.unique.until, until))
        _insert(tx, (job,))
        self._fresh[job.id] = job
        return Enqueued(job.id)

    def _join(self) -> Generator[None, None, None]:
        """Edges of the new jobs; those of parents that have ended are settled at once, by the usual way."""
        tx = self._tx
        self._step_before()
        children = [job for job in self._fresh.values() if job.after]
        if not children:
            return
        wanted = {job.id for job in children} | {self._parent(edge.parent) for job in children for edge in job.after}
        places = {id: (n, state) for id, n, state in tx.rows("places", (packed(list(wanted)),))}
        over: dict[int, Ended] = {}
        for at, job in enumerate(children, 1):
            child = places[job.id][0]
            edges: dict[int, Row] = {}
            for edge in job.after:
                id = self._parent(edge.parent)
                if id not in places:
                    raise UnknownParent(
                        f"job {job.id} is to run after {id}, which does not exist", parent=id, mend="enqueue it first"
                    )
                n, state = places[id]
                edges.setdefault(n, (n, child, edge.on_failure))
                if state in FINAL:
                    over[n] = Ended(n, id, state)
            tx.many("insert_edge", edges.values())
            parents = [self._parent(edge.parent) for edge in job.after]
            if parents != [edge.parent for edge in job.after]:
                tx.run("set_parents", (child, len(edges), packed(parents)))
            if at % STEP == 0:
                yield
        cascade(tx, over.values(), UNBOUNDED)

    def _step_before(self) -> None:
        """Stored jobs that are still blocked wait for these new ones too."""
        tx = self._tx
        ahead = [(job.id, each) for job in self._fresh.values() for each in job.before if each.child not in self._fresh]
        if not ahead:
            return
        numbers = {id: n for id, n, _ in tx.rows("places", (packed([id for id, _ in ahead]),))}
        for id, each in ahead:
            child = tx.value("join", (numbers[id], each.child))
            if child is not None:
                tx.run("insert_edge", (numbers[id], child, each.on_failure))

    def _parent(self, id: str) -> str:
        return self._stand_in.get(id, id)


def key_holder(tx: Tx, key: str) -> str | None:
    """The id of the job that holds a unique key now."""
    row = tx.one("key_holder", (key,))
    if row is None:
        return None
    holder, _, until = row
    return None if until is not None and until <= tx.now else holder


def _replace(tx: Tx, holder: str, job: AnyJob) -> None:
    """A holder that has not started takes over what the new job would do."""
    row = tx.one("replaceable", (holder,))
    if row is None:
        return
    n, old, queue, place = row
    run_at = starts(job, tx.now)
    state = old
    if old != State.BLOCKED:
        state = State.DELAYED if run_at > tx.now else State.WAITING
    if old == State.DELAYED and state == State.WAITING:
        place = order(job.priority, tx.count_on("seq"))
    else:
        place = reorder(place, job.priority)
    tags = packed(job.tags) if job.tags else None
    tx.run("replace", (n, job.args, job.options, job.priority, place, tags, run_at, job.max_attempts, str(state)))
    tx.run("drop_tags", (n,))
    tx.many("insert_tag", ((tag, n) for tag in job.tags))
    tx.moved(queue, old, str(state))
