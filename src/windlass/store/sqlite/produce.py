"""Enqueue: plain jobs by the hundred, jobs with unique keys or parents one by one."""

from collections.abc import Generator, Iterator, Sequence
from typing import Any, TypeAlias

import apsw
import msgspec

from windlass.errors import InvalidArgs, UnknownParent
from windlass.store.sqlite.lines import enter, flows, lines_of, of_new
from windlass.store.sqlite.settle import UNBOUNDED, Ended, cascade
from windlass.store.sqlite.transaction import Row, Tx, Uneven, packed
from windlass.store.sqlite.uniqueness import Holding, follow, holding, take
from windlass.values.clock import Micros
from windlass.values.job import Edge, Enqueued, NewJob
from windlass.values.priority import order, reorder
from windlass.values.states import FINAL, State

STEP = 500
Steps: TypeAlias = Generator[None, None, list[Enqueued]]
AnyJob: TypeAlias = NewJob[Any]


def enqueue(tx: Tx, jobs: Sequence[AnyJob], careful: bool = False) -> list[Enqueued]:
    """Without a pause, for small calls. `careful` is for a call that names a known id: the quick way refuses it."""
    if not careful and plain(jobs):
        try:
            _insert_plain(tx, jobs)
        except UnicodeEncodeError as error:
            raise not_text(error) from error
        return [Enqueued(job.id) for job in jobs]
    steps = enqueue_in_steps(tx, jobs, careful=True)
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
                _insert_plain(tx, jobs[at : at + STEP])
                yield
            answers = [Enqueued(job.id) for job in jobs]
    except UnicodeEncodeError as error:
        raise not_text(error) from error
    return answers


def not_text(error: UnicodeEncodeError) -> InvalidArgs:
    """What to raise where SQLite refuses a text."""
    return InvalidArgs(
        f"a job's text holds a lone surrogate, which is not text: {error.reason}",
        field="args",
        mend="decode the text with errors='replace' first",
    )


def plain(jobs: Sequence[AnyJob]) -> bool:
    for job in jobs:  # not `all`: this runs for every job, and a generator costs as much again
        if job.unique is not None or job.answer is not None:
            return False
        if job.after or job.before:
            return False
    return True


def _insert_plain(tx: Tx, jobs: Sequence[AnyJob]) -> None:
    """New jobs without keys and parents. A known id is an error of the database, since that costs the usual case nothing."""
    first = tx.count_on("seq", len(jobs))
    _tell(tx, jobs)
    if flows(tx, jobs):
        _insert_lined(tx, jobs, first)
        return
    tags: list[Row] = []
    try:
        tx.many("insert_plain", _plain_rows(tx, jobs, first, tags))
    except apsw.ConstraintError as error:
        raise Uneven from error
    if tags:
        tx.many("insert_tag", tags)


def _plain_rows(tx: Tx, jobs: Sequence[AnyJob], first: int, tags: list[Row]) -> Iterator[Row]:
    """Their rows, and the tags that are to be written after them. `_rows` for what most jobs are: two thirds of its time."""
    now = tx.now
    moves: dict[tuple[str, str], int] = {}
    priority, row_of_places = 0, order(0, 0)
    for n, job in enumerate(jobs, first):
        state, run_at = _WAITING, now
        if job.delay is not None or job.run_at is not None:
            run_at = starts(job, now)
            if run_at > now:
                state = _DELAYED
        if job.priority != priority:
            priority = job.priority
            row_of_places = order(priority, 0)
        if job.tags:
            tags += [(tag, n) for tag in job.tags]
        key = (job.queue, state)
        moves[key] = moves.get(key, 0) + 1
        yield (
            n,
            job.id,
            state,
            job.queue,
            job.kind,
            job.runtime,
            row_of_places + n,
            priority,
            job.max_attempts,
            now,
            run_at,
            job.expires_at if job.expires_in is None else now + job.expires_in,
            job.user,
            job.project,
            job.group,
            job.workflow,
            job.name,
            packed(job.tags) if job.tags else None,
            job.options,
            job.args,
        )
    for (queue, state), count in moves.items():
        tx.moved(queue, None, state, count)


def _insert_lined(tx: Tx, jobs: Sequence[AnyJob], first: int) -> None:
    try:
        tx.many("insert_lined", _lined(tx, jobs, first))
    except apsw.ConstraintError as error:
        raise Uneven from error
    lines_of(tx).flush()
    _tag(tx, jobs, first)


def _insert(tx: Tx, job: AnyJob) -> int:
    """Any new job; its number."""
    n = tx.count_on("seq")
    _tell(tx, (job,))
    if flows(tx, (job,)):
        _insert_lined(tx, (job,), n)
        return n
    try:
        tx.many("insert_job", _rows(tx, (job,), n))
    except apsw.ConstraintError as error:
        raise Uneven from error
    _tag(tx, (job,), n)
    return n


def _tell(tx: Tx, jobs: Sequence[AnyJob]) -> None:
    if tx.is_heard():
        told: dict[State, list[str]] = {}
        for job in jobs:
            told.setdefault(_state(job, starts(job, tx.now), tx.now), []).append(job.id)
        for state, ids in told.items():
            tx.tell(state, ids)


def _tag(tx: Tx, jobs: Sequence[AnyJob], first: int) -> None:
    tags = [(tag, n) for n, job in enumerate(jobs, first) for tag in job.tags]
    if tags:
        tx.many("insert_tag", tags)


def _rows(tx: Tx, jobs: Sequence[AnyJob], first: int) -> Iterator[Row]:
    now = tx.now
    moves: dict[tuple[str, State], int] = {}
    for n, job in enumerate(jobs, first):
        run_at = starts(job, now)
        parents = job.after
        state = _state(job, run_at, now)
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


def _lined(tx: Tx, jobs: Sequence[AnyJob], first: int) -> Iterator[Row]:
    """The same where some jobs are not of the plain line."""
    lines = lines_of(tx)
    for job, row in zip(jobs, _rows(tx, jobs, first), strict=True):
        line = None
        if row[_STATE] == State.WAITING:
            line = lines.enter(of_new(job, row[_ORDER], row[_RUN_AT]), sets=True)
        else:
            lines.bind(job.limits, sets=True)
        weight = None if job.weight == 1 else job.weight
        yield (*row, line, packed(job.limits) if job.limits else None, weight)


_STATE, _ORDER, _RUN_AT = 2, 6, 11
"""Where these stand in a row of `_rows`."""
_WAITING, _DELAYED = State.WAITING.value, State.DELAYED.value


def _state(job: AnyJob, run_at: Micros, now: Micros) -> State:
    """In which a new job begins."""
    if job.answer is not None:
        return State.COMPLETED
    if job.after:
        return State.BLOCKED
    return State.DELAYED if run_at > now else State.WAITING


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
        self._behind: dict[str, str] = {}
        """Followers of a key -> the job behind which they run, which is none of their `parents`."""

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
        tx, unique = self._tx, job.unique
        if unique is not None:
            held = holding(tx, unique.key)
            if held is None:
                if job.answer is None or unique.until == "period":  # else it leaves the key as it comes
                    take(tx, unique, job.id)
            elif unique.on_conflict == "rerun" and job.answer is None:
                stood_for = self._rerun(held, job)
                if stood_for is not None:
                    return self._stood_for_by(stood_for, job)
                return Enqueued(job.id)
            else:
                if unique.on_conflict == "replace":
                    _replace(tx, held.holder, job)
                return self._stood_for_by(held.holder, job)
        self._insert(job)
        return Enqueued(job.id)

    def _insert(self, job: AnyJob) -> None:
        tx = self._tx
        n = _insert(tx, job)
        self._fresh[job.id] = job
        if job.answer is not None:
            tx.run("answer", (n, job.answer, tx.now))
            tx.topics.add("done")

    def _stood_for_by(self, holder: str, job: AnyJob) -> Enqueued:
        self._stand_in[job.id] = holder
        return Enqueued(holder, created=False)

    def _rerun(self, held: Holding, job: AnyJob) -> str | None:
        """Once more after the run that goes on: who takes over what the new job would do, or None if it is the follower."""
        tx, unique = self._tx, job.unique
        assert unique is not None
        for each in held:
            if each is not None and _replace(tx, each, job):
                return each
        last = held.follower or held.holder
        if tx.rows("places", (packed([last]),)):  # a key held for a period outlives its job
            self._behind[job.id] = last
            job = msgspec.structs.replace(job, after=(*job.after, Edge(last, "run")))
        self._insert(job)
        follow(tx, unique, job.id)
        return None

    def _join(self) -> Generator[None, None, None]:
        """Edges of the new jobs; those of parents that have ended are settled at once, by the usual way."""
        tx = self._tx
        self._step_before()
        children = [job for job in self._fresh.values() if job.after and job.answer is None]
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
            behind = self._behind.get(job.id)
            parents = [self._parent(edge.parent) for edge in job.after if edge.parent != behind]
            if parents != [edge.parent for edge in job.after]:
                tx.run("set_parents", (child, len(edges), packed(parents)))
            if at % STEP == 0:
                yield
        cascade(tx, over.values(), UNBOUNDED)

    def _step_before(self) -> None:
        """Stored jobs that are still blocked wait for these new ones too."""
        tx = self._tx
        live = [job for job in self._fresh.values() if job.before and job.answer is None]
        ahead = [(job.id, each) for job in live for each in job.before if each.child not in self._fresh]
        if not ahead:
            return
        numbers = {id: n for id, n, _ in tx.rows("places", (packed([id for id, _ in ahead]),))}
        for id, each in ahead:
            child = tx.value("join", (numbers[id], each.child))
            if child is not None:
                tx.run("insert_edge", (numbers[id], child, each.on_failure))

    def _parent(self, id: str) -> str:
        return self._stand_in.get(id, id)


def _replace(tx: Tx, holder: str, job: AnyJob) -> bool:
    """A holder that has not started takes over what the new job would do; whether it could."""
    row = tx.one("replaceable", (holder,))
    if row is None:
        return False
    n, old, queue, place, created_at = row
    run_at = starts(job, tx.now)
    if job.unique is not None and job.unique.latest is not None:
        run_at = max(min(run_at, created_at + job.unique.latest), tx.now)
    state = old
    if old != State.BLOCKED:
        state = State.DELAYED if run_at > tx.now else State.WAITING
    if old == State.DELAYED and state == State.WAITING:
        place = order(job.priority, tx.count_on("seq"))
    else:
        place = reorder(place, job.priority)
    tags = packed(job.tags) if job.tags else None
    weight, bounds = (None if job.weight == 1 else job.weight), packed(job.limits) if job.limits else None
    values = (job.args, job.options, job.priority, place, tags, run_at, job.max_attempts, str(state), weight, bounds)
    tx.run("replace", (n, *values))
    if flows(tx, (job,)):
        lines_of(tx).bind(job.limits, sets=True)
    enter(tx, (n,))
    tx.run("drop_tags", (n,))
    tx.many("insert_tag", ((tag, n) for tag in job.tags))
    tx.moved(queue, old, str(state))
    tx.tell(state, (n,))
    return True
