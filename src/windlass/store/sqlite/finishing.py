"""Committing how attempts ended: completions in one statement, everything else item by item."""

from collections.abc import Sequence
from typing import Any

from windlass.store.protocol import INLINE_EDGES
from windlass.store.sqlite.keys import give_back
from windlass.store.sqlite.lines import enter
from windlass.store.sqlite.noting import box_holds, wake
from windlass.store.sqlite.produce import enqueue
from windlass.store.sqlite.settle import Ended, leave
from windlass.store.sqlite.tallying import note
from windlass.store.sqlite.transaction import Tx, Uneven, packed
from windlass.store.sqlite.uniqueness import free_keys
from windlass.values.clock import END_OF_TIME
from windlass.values.failure import safe_text
from windlass.values.job import NewJob, append_trail, trail_line
from windlass.values.metrics import MINUTE, tallies
from windlass.values.outcome import Finish, Verdict
from windlass.values.states import FINAL, TRANSITIONS, Event, State

_LONGEST = 2_000_000
_FEW = 3
"""Leases of one call up to which ends without results are committed by lease: 0.6 us a job less than with four values each."""
_COMPLETE = Event.COMPLETE  # looked up once: an enum's member takes 0.05 us
_TARGETS = {event: move.target for event, move in TRANSITIONS.items() if move.target is not None}


def finish(tx: Tx, finishes: Sequence[Finish]) -> list[Verdict]:
    """The quick way: all completions at once. Raises `Uneven` when one of them is not accepted."""
    plain = [end for end in finishes if end.event is _COMPLETE and end.spends and not end.rescued]
    if len({end.id for end in finishes}) != len(finishes):
        raise Uneven
    if not plain:
        return finish_carefully(tx, finishes)
    flow, tx.awake, hangs = tx.rows("gates")[0]
    tx.flow = bool(flow)
    _complete(tx, plain)
    if len(plain) == len(finishes):
        _after(tx, plain, _ended(tx, plain, hangs))
        return [Verdict.ACCEPTED] * len(plain)
    others = [end for end in finishes if end.event is not Event.COMPLETE or not end.spends or end.rescued]
    one_by_one = _OneByOne(tx, others)
    verdicts = dict(zip([end.id for end in others], map(one_by_one.commit, others), strict=True))
    _after(tx, plain + one_by_one.accepted, _ended(tx, plain, hangs) + one_by_one.ended)
    return [verdicts.get(end.id, Verdict.ACCEPTED) for end in finishes]


def finish_carefully(tx: Tx, finishes: Sequence[Finish]) -> list[Verdict]:
    """Each item by itself, in order."""
    one_by_one = _OneByOne(tx, finishes)
    verdicts = [one_by_one.commit(end) for end in finishes]
    _after(tx, one_by_one.accepted, one_by_one.ended)
    return verdicts


def _complete(tx: Tx, plain: Sequence[Finish]) -> None:
    leases = {end.lease for end in plain}
    bare = len(leases) <= _FEW and all(end.result is None for end in plain)
    items = "" if bare else _items(plain)
    if tx.flows():
        give_back(tx, [line for (line,) in tx.rows("held_lines", (packed([end.id for end in plain]),))])
    if bare:
        changed = 0
        for lease in leases:
            took = {end.id: end.took for end in plain if end.lease == lease}
            changed += tx.changed("complete_bare", (packed(took), tx.now, lease))
    else:
        changed = tx.changed("complete_all", (items, tx.now))
    if changed != len(plain):
        raise Uneven
    for queue in {end.queue for end in plain}:
        tx.moved(queue, State.ACTIVE, State.COMPLETED, sum(end.queue == queue for end in plain))
    if tx.is_heard():
        tx.tell(State.COMPLETED, [end.id for end in plain])


def _items(plain: Sequence[Finish]) -> str:
    try:
        items = packed([(end.id, end.lease, end.result, end.took) for end in plain])
    except UnicodeEncodeError as error:
        raise Uneven from error
    if (
        "\\u0000" in items
    ):  # json_each would cut a raw NUL; it cannot be in JSON text, but nothing must be lost if it is
        raise Uneven
    return items


def _ended(tx: Tx, plain: Sequence[Finish], hangs: bool) -> list[Ended]:
    """The completed jobs that anything hangs on; none of them when nothing hangs on any job."""
    if not hangs:
        return []
    rows = tx.rows("places_of", (packed([end.id for end in plain]),))
    return [Ended(n, id, State.COMPLETED.value) for id, n in rows]


def _after(tx: Tx, accepted: Sequence[Finish], ended: list[Ended]) -> None:
    """What the accepted ends bring: follow-up jobs, freed keys and children, tallies."""
    follow: list[NewJob[Any]] = [job for end in accepted if end.follow for job in end.follow]
    if follow:  # while what they are to be `before` of is still blocked; they may take a key that these ends free
        free_keys(tx, [job.id for job in ended])
        enqueue(tx, follow, careful=True)
    if ended:
        leave(tx, ended, INLINE_EDGES)
    if not accepted:
        return
    spent = {end.id: end.spent for end in accepted if end.spent}  # a job ends once
    if spent:
        tx.run("add_cost", (packed(spent),))
    tx.topics.add("done")
    note(tx, tallies(accepted))


class _Attempt:
    """A job as one call of finish knows it; changed along the way, since a call may name a job twice."""

    __slots__ = (
        "attempt",
        "cancelling",
        "lease",
        "line",
        "n",
        "priority",
        "queue",
        "revivals",
        "run_at",
        "settled",
        "state",
        "trail",
    )

    def __init__(self, row: Sequence[Any]) -> None:
        (
            self.n,
            self.queue,
            self.state,
            self.lease,
            self.settled,
            self.attempt,
            self.trail,
            self.cancelling,
            self.run_at,
            self.priority,
            self.line,
            self.revivals,
        ) = row


class _OneByOne:
    def __init__(self, tx: Tx, finishes: Sequence[Finish]) -> None:
        self._tx = tx
        rows = tx.rows("attempts", (packed([end.id for end in finishes]),))
        self._attempts = {id: _Attempt(rest) for id, *rest in rows}
        self.accepted: list[Finish] = []
        self.ended: list[Ended] = []

    def commit(self, end: Finish) -> Verdict:
        job = self._attempts.get(end.id)
        if job is None or job.state != State.ACTIVE or job.lease != end.lease:
            return Verdict.REPEAT if job is not None and job.settled == end.lease else Verdict.STALE
        target = _TARGETS[end.event]
        if target is State.COMPLETED:
            self._complete(job, end)
        elif target in FINAL:
            self._end(job, end, target, end.reason)
        elif job.cancelling is not None:
            target = State.CANCELLED
            self._end(job, end, target, job.cancelling)
            minute = self._tx.now - self._tx.now % MINUTE
            self._tx.run("add_tally", (minute, end.queue, end.kind, Event.CANCEL.value, 0, 1))
        else:
            target = self._give_back(job, end)
        self._tx.moved(job.queue, State.ACTIVE, target)
        if job.line is not None:
            give_back(self._tx, (job.line,))
            job.line = None
        if target is State.WAITING:
            enter(self._tx, (job.n,))
        elif target is State.BLOCKED:
            target = self._suspend(job, end)
        job.state, job.settled = target, end.lease
        self.accepted.append(end)
        self._tx.tell(target, (end.id,))
        if target in FINAL:
            self.ended.append(Ended(job.n, end.id, target.value))
        return Verdict.ACCEPTED

    def _complete(self, job: _Attempt, end: Finish) -> None:
        self._tx.run("complete_one", (job.n, _clean(end.result), self._tx.now, end.took, end.spends, end.rescued))

    def _end(self, job: _Attempt, end: Finish, state: State, reason: str | None) -> None:
        if end.event is Event.ABORT and job.cancelling is not None and job.cancelling != "cancelled":
            reason = job.cancelling  # what the operator said is worth more than the worker's word for it
        self._tx.run(
            "end_one",
            (
                job.n,
                state.value,
                _clean(end.error),
                _clean(reason),
                self._tx.now,
                self._trail(job, end),
                end.spends,
                end.rescued,
            ),
        )
        if state is State.FAILED:
            waits = end.ladder[job.revivals :]
            retry_at = self._tx.now + waits[0] if waits else None
            self._tx.run("bury", (packed([job.n]), self._tx.now, _clean(end.fingerprint) or None, retry_at))

    def _give_back(self, job: _Attempt, end: Finish) -> State:
        now = self._tx.now
        run_at = now + end.delay
        if end.event is Event.RELEASE and end.delay <= 0:
            state, run_at = State.WAITING, job.run_at
        elif end.event is Event.SUSPEND:
            state, run_at = State.BLOCKED, run_at if end.delay > 0 else END_OF_TIME
        else:
            state = State.RETRYING if end.event is Event.RETRY else State.DELAYED
        self._tx.run(
            "give_back",
            (
                job.n,
                state.value,
                _clean(end.error),
                _clean(end.reason),
                run_at,
                self._trail(job, end),
                end.spends,
                end.rescued,
                end.park if end.event is Event.RELEASE else None,
            ),
        )
        return state

    def _suspend(self, job: _Attempt, end: Finish) -> State:
        """It waits for its signal, unless that came first."""
        name = _clean(end.signal) or ""
        self._tx.run("suspend", (job.n, name, _clean(end.reason) or f"waits for {name}"))
        if not box_holds(self._tx, job.n, name):
            return State.BLOCKED
        wake(self._tx, job.n, job.queue, job.priority, self._tx.now)
        return State.WAITING

    def _trail(self, job: _Attempt, end: Finish) -> str | None:
        if end.trail is None:
            return job.trail
        line = trail_line(job.attempt + 1, self._tx.now, safe_text(end.trail, _LONGEST))
        return append_trail(job.trail, line)


def _clean(text: str | None) -> str | None:
    """Text that SQLite takes: a lone surrogate must not keep a whole batch from being committed for ever."""
    if text is None:
        return None
    try:
        text.encode()
    except UnicodeEncodeError:
        return safe_text(text, _LONGEST)
    return text
