"""A store in plain dictionaries: what the verbs should do, written for reading. `test_model` plays it against the engines.

It says which jobs are in which state, with how many attempts, and in which order they may be claimed. Among jobs that
moved together (children of one parent) the order is free: they share a place. Which group's turn it is in a fair queue it
leaves open too; it says who may run.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from windlass.values.clock import END_OF_TIME, Micros
from windlass.values.limit import GUARD, Rate
from windlass.values.outcome import Finish
from windlass.values.priority import order
from windlass.values.states import FINAL, PENDING, Event, State


@dataclass
class ModelJob:
    id: str
    queue: str
    priority: int
    run_at: Micros
    created_at: Micros
    expires_at: Micros | None
    key: str | None
    state: State = State.WAITING
    place: int = 0
    attempt: int = 0
    rescues: int = 0
    lease: int | None = None
    lease_until: Micros = 0
    worker: str | None = None
    settled: int | None = None
    cancelling: bool = False
    waits: dict[str, str] = field(default_factory=dict)
    """Open edges: parent -> on_failure."""
    rerun: bool = False
    keys: tuple[str, ...] = ()
    """Of limits."""
    group: str | None = None
    runtime: str = "async"
    signal: str | None = None
    """What it is suspended for."""
    box: list[str] = field(default_factory=list)
    """Signals nobody has asked for."""
    steps: dict[int, str] = field(default_factory=dict)
    """What done steps were answered with, by position."""
    args: str = "{}"
    cost: int = 0
    error: str = ""
    """The fingerprint of the error on record."""
    revivals: int = 0
    next_retry_at: Micros | None = None
    ended_at: Micros = 0

    @property
    def order(self) -> int:
        return order(self.priority, self.place)

    @property
    def line(self) -> tuple[object, ...]:
        return self.queue, self.runtime, self.group, self.keys

    @property
    def is_replaceable(self) -> bool:
        return self.state in (State.BLOCKED, State.DELAYED, State.WAITING) and self.signal is None


@dataclass
class ModelKey:
    """A limit; `starts` are those of its rate."""

    concurrency: int | None = None
    rate: Rate | None = None
    starts: list[Micros] = field(default_factory=list)

    def used(self, now: Micros) -> int:
        return sum(at > now - self.rate.window - GUARD for at in self.starts) if self.rate else 0


class Model:
    def __init__(self, now: Micros) -> None:
        self.now = now
        self.jobs: dict[str, ModelJob] = {}
        self.keys: dict[str, str] = {}
        self.followers: dict[str, str] = {}
        self.limits: dict[str, ModelKey] = {}
        self.paused: set[str] = set()
        self.places = 0

    def next_place(self) -> int:
        self.places += 1
        return self.places

    # produce

    def enqueue(self, job: ModelJob, parents: dict[str, str], *, answered: bool = False) -> tuple[str, bool]:
        if job.id in self.jobs:
            return job.id, True
        waits = dict(parents)
        if job.key is not None and job.key in self.keys:
            if not job.rerun or answered:
                return self.keys[job.key], False
            for id in (self.keys[job.key], self.followers.get(job.key)):
                if id is not None and self.jobs[id].is_replaceable:
                    self._replace(self.jobs[id], job)
                    return id, False
            waits[self.keys[job.key]] = "run"
            self.followers[job.key] = job.id
        elif job.key is not None and not answered:
            self.keys[job.key] = job.id
        self.jobs[job.id] = job
        job.place = self.next_place()
        if answered:
            job.state = State.COMPLETED
            return job.id, True
        job.waits = waits
        self._stand(job, State.BLOCKED)
        for parent in parents:
            if self.jobs[parent].state in FINAL:
                self._settle_edge(job, self.jobs[parent])
        if job.state is State.BLOCKED and not job.waits:
            self._stand(job, State.DELAYED if job.run_at > self.now else State.WAITING)
        return job.id, True

    def _replace(self, holder: ModelJob, job: ModelJob) -> None:
        state = holder.state
        holder.priority, holder.run_at, holder.args = job.priority, job.run_at, job.args
        whole = tuple(key for key in holder.keys if key.startswith("queue:"))
        holder.keys = (*(key for key in job.keys if not key.startswith("queue:")), *whole)
        if state is not State.BLOCKED:
            self._stand(holder, State.DELAYED if job.run_at > self.now else State.WAITING)
        if state is State.DELAYED and holder.state is State.WAITING:
            holder.place = self.next_place()

    # limits

    def held(self, key: str) -> int:
        return sum(job.state is State.ACTIVE and key in job.keys for job in self.jobs.values())

    def room(self, key: str) -> int:
        limit = self.limits[key]
        room = 1_000_000 if limit.concurrency is None else limit.concurrency - self.held(key)
        return room if limit.rate is None else min(room, limit.rate.n - limit.used(self.now))

    def runnable(self, queues: tuple[str, ...] | None) -> list[ModelJob]:
        """The heads of lines that have room in all their keys, in order."""
        heads: dict[tuple[object, ...], ModelJob] = {}
        for job in self.claimable(queues):
            heads.setdefault(job.line, job)
        return [job for job in heads.values() if all(self.room(key) > 0 for key in job.keys)]

    def chosen(self, queues: tuple[str, ...] | None, slots: int) -> list[ModelJob]:
        """What a claim brings of strict queues: the best first, lines that meet a full key left out."""
        rooms = {key: self.room(key) for key in self.limits}
        full: set[tuple[object, ...]] = set()
        found: list[ModelJob] = []
        for job in self.claimable(queues):
            if len(found) == slots:
                break
            if job.line in full or any(rooms[key] <= 0 for key in job.keys):
                full.add(job.line)
                continue
            for key in job.keys:
                rooms[key] -= 1
            found.append(job)
        return found

    def opens_at(self, job: ModelJob) -> Micros | None:
        """When time lets a job start that nothing else holds back; None if something else does."""
        opens = self.now
        for key in job.keys:
            limit = self.limits[key]
            if limit.concurrency is not None and limit.concurrency <= self.held(key):
                return None
            if limit.rate is not None and limit.used(self.now) >= limit.rate.n:
                opens = max(opens, sorted(limit.starts)[-limit.rate.n] + limit.rate.window + GUARD)
        return opens

    # run

    def claimable(self, queues: tuple[str, ...] | None) -> list[ModelJob]:
        found = [
            job
            for job in self.jobs.values()
            if job.state is State.WAITING
            and job.queue not in self.paused
            and (queues is None or job.queue in queues)
            and not self._expired(job)
        ]
        return sorted(found, key=lambda job: job.order)

    def claimed(self, id: str, lease: int, until: Micros, worker: str) -> None:
        job = self.jobs[id]
        if job.state is State.WAITING:
            for key in job.keys:
                self.limits[key].starts.append(self.now)
        job.state, job.lease, job.lease_until, job.worker = State.ACTIVE, lease, until, worker

    def worker_of(self, id: str) -> str | None:
        job = self.jobs.get(id)
        return job.worker if job is not None and job.state is State.ACTIVE else None

    def asked_to_stop(self, worker: str) -> list[str]:
        return sorted(job.id for job in self.jobs.values() if job.cancelling and self.worker_of(job.id) == worker)

    def finish(self, end: Finish) -> str:
        job, event = self.jobs.get(end.id), end.event
        if job is None or job.state is not State.ACTIVE or job.lease != end.lease:
            return "repeat" if job is not None and job.settled == end.lease else "stale"
        job.settled, job.lease = end.lease, None
        job.attempt += end.spends
        job.cost += end.spent
        if end.error is not None:
            job.error = end.fingerprint
        if event in (Event.RETRY, Event.SNOOZE, Event.RELEASE, Event.SUSPEND) and job.cancelling:
            event = Event.ABORT
        if event is Event.COMPLETE:
            self._end(job, State.COMPLETED)
        elif event is Event.FAIL:
            if job.revivals < len(end.ladder):
                job.next_retry_at = self.now + end.ladder[job.revivals]
            self._end(job, State.FAILED)
        elif event is Event.ABORT:
            self._end(job, State.CANCELLED)
        elif event is Event.RELEASE:
            self._stand(job, State.WAITING)
        elif event is Event.SUSPEND:
            self._suspend(job, end.delay)
        else:
            job.run_at = self.now + end.delay
            self._stand(job, State.RETRYING if event is Event.RETRY else State.DELAYED)
        return "accepted"

    def _suspend(self, job: ModelJob, delay: Micros) -> None:
        job.expires_at = None  # it has started
        if job.box:
            job.run_at = self.now
            job.place = self.next_place()
            self._stand(job, State.WAITING)
            return
        job.signal = "go"
        job.run_at = self.now + delay if delay else END_OF_TIME
        self._stand(job, State.BLOCKED)

    def signal(self, id: str, data: str) -> str:
        job = self.jobs[id]
        if job.state in FINAL:
            return "over"
        job.box.append(data)
        if job.signal is None:
            return "kept"
        self._wake([job])
        return "woken"

    def take_signal(self, id: str, position: int) -> str | None:
        job = self.jobs[id]
        if position not in job.steps and job.box:
            job.steps[position] = job.box.pop(0)
        return job.steps.get(position)

    def _wake(self, jobs: Collection[ModelJob]) -> None:
        for job in jobs:
            job.signal, job.run_at, job.place = None, min(job.run_at, self.now), self.next_place()
            self._stand(job, State.WAITING)

    def holds(self, id: str, lease: int) -> bool:
        job = self.jobs.get(id)
        return job is not None and job.state is State.ACTIVE and job.lease == lease

    def lapsed(self) -> list[str]:
        return [job.id for job in self.jobs.values() if job.state is State.ACTIVE and job.lease_until <= self.now]

    # time

    def promote(self) -> None:
        due = [j for j in self.jobs.values() if j.state in (State.DELAYED, State.RETRYING) and j.run_at <= self.now]
        for job in sorted(due, key=lambda job: job.run_at):
            job.place = self.next_place()
            self._stand(job, State.WAITING)
        self._wake(sorted((j for j in self.jobs.values() if j.signal and j.run_at <= self.now), key=lambda j: j.run_at))
        expired = [job for job in self.jobs.values() if self._expired(job)]
        self._end_all(expired, State.CANCELLED)

    def next_times(self) -> list[Micros]:
        """Instants ahead at which something becomes possible."""
        times = [j.run_at for j in self.jobs.values() if j.state in (State.DELAYED, State.RETRYING)]
        times += [j.expires_at for j in self.jobs.values() if j.state in PENDING and j.expires_at is not None]
        times += [j.run_at for j in self.jobs.values() if j.signal is not None and j.run_at < END_OF_TIME]
        times += [at + k.rate.window + GUARD for k in self.limits.values() if k.rate for at in k.starts]
        times += [j.lease_until for j in self.jobs.values() if j.state is State.ACTIVE]
        return sorted({at for at in times if at > self.now})

    # operate

    def cancel(self, id: str) -> str:
        job = self.jobs[id]
        if job.state is State.ACTIVE:
            job.cancelling = True
            return "flagged"
        if job.state in FINAL:
            return "refused"
        self._end(job, State.CANCELLED)
        return "done"

    def fail(self, id: str) -> str:
        job = self.jobs[id]
        if job.state not in PENDING:
            return "refused"
        self._end(job, State.FAILED)
        return "done"

    def may_requeue(self, id: str) -> bool:
        job = self.jobs[id]
        return job.state in FINAL and (job.key is None or self.keys.get(job.key) is None)

    def requeue(self, id: str, *, scheduled: bool = False, place: int = 0) -> str:
        """`place`: where it stands together with others of the same call."""
        job = self.jobs[id]
        if not self.may_requeue(id):
            return "refused"
        if job.key is not None:
            self.keys[job.key] = id
        job.attempt = job.rescues = 0
        job.steps = {}
        job.cancelling = False
        job.error, job.next_retry_at = "", None
        job.revivals = job.revivals + 1 if scheduled else 0
        job.run_at, job.place = self.now, place or self.next_place()
        if job.expires_at is not None and job.expires_at <= self.now:
            job.expires_at = None
        self._stand(job, State.WAITING)
        return "done"

    def run_now(self, id: str) -> str:
        job = self.jobs[id]
        if job.signal is not None:
            self._wake([job])
            return "done"
        if job.state not in (State.DELAYED, State.RETRYING):
            return "refused"
        job.place = self.next_place()
        self._stand(job, State.WAITING)
        return "done"

    def due_letters(self) -> list[str]:
        """Dead letters whose automatic retry is due."""
        return [j.id for j in self.jobs.values() if j.next_retry_at is not None and j.next_retry_at < self.now]

    def groups(self) -> dict[str, tuple[int, Micros, Micros]]:
        """Error groups: how many, when the first and the last of them failed."""
        times: dict[str, list[Micros]] = {}
        for job in self.jobs.values():
            if job.state is State.FAILED:
                times.setdefault(job.error, []).append(job.ended_at)
        return {fingerprint: (len(some), min(some), max(some)) for fingerprint, some in times.items()}

    def edit(self, id: str, args: str, run_at: Micros | None) -> str:
        job = self.jobs[id]
        if job.state not in (*PENDING, State.FAILED):
            return "refused"
        job.args = args
        job.run_at = job.run_at if run_at is None else run_at
        return "done"

    def reprioritise(self, id: str, priority: int) -> str:
        self.jobs[id].priority = priority
        return "done"

    def delete(self, id: str) -> str:
        job = self.jobs[id]
        if job.state is State.ACTIVE or any(id in other.waits for other in self.jobs.values()):
            return "refused"
        self._free(job)
        del self.jobs[id]
        return "done"

    # within

    def _expired(self, job: ModelJob) -> bool:
        never_ran = job.state in PENDING and job.attempt == 0
        return never_ran and job.expires_at is not None and job.expires_at <= self.now

    def _stand(self, job: ModelJob, state: State) -> None:
        job.state = state

    def _free(self, job: ModelJob) -> None:
        job.waits, job.signal = {}, None
        if job.key is None:
            return
        if self.followers.get(job.key) == job.id:
            del self.followers[job.key]
        if self.keys.get(job.key) == job.id:
            del self.keys[job.key]
            if job.key in self.followers:
                self.keys[job.key] = self.followers.pop(job.key)

    def _end(self, job: ModelJob, state: State) -> None:
        self._end_all([job], state)

    def _end_all(self, jobs: list[ModelJob], state: State) -> None:
        """Ends spread level by level: all children of one job before theirs. What several ends in one call set free shares
        a place: their order is the engine's."""
        for job in jobs:
            job.state, job.lease, job.ended_at = state, None, self.now
            self._free(job)
        ended = list(jobs)
        shared = self.next_place() if len(jobs) > 1 else 0
        for parent in ended:
            place = shared or self.next_place()
            for child in [other for other in self.jobs.values() if parent.id in other.waits]:
                if self._settle_edge(child, parent, place):
                    ended.append(child)

    def _settle_edge(self, child: ModelJob, parent: ModelJob, place: int | None = None) -> bool:
        """What the end of `parent` does to a blocked child: whether it ends too. One that becomes ready takes `place`."""
        if child.state is not State.BLOCKED or parent.id not in child.waits:
            return False
        policy = "run" if parent.state is State.COMPLETED else child.waits[parent.id]
        if policy == "hold":
            return False
        if policy in ("cancel", "fail"):
            child.state = State.CANCELLED if policy == "cancel" else State.FAILED
            child.ended_at = self.now
            self._free(child)
            return True
        del child.waits[parent.id]
        if child.waits or place is None:
            return False
        child.place = place
        child.run_at = max(child.run_at, self.now)
        self._stand(child, State.DELAYED if child.run_at > self.now else State.WAITING)
        return False
