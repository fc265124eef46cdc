"""A store in plain dictionaries: what the verbs should do, written for reading. `test_model` plays it against the engines.

It says which jobs are in which state, with how many attempts, and in which order they may be claimed. Among jobs that
moved together (children of one parent) the order is free: they share a place.
"""

from dataclasses import dataclass, field

from windlass.clock import Micros
from windlass.priority import order
from windlass.states import FINAL, PENDING, Event, State


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

    @property
    def order(self) -> int:
        return order(self.priority, self.place)


class Model:
    def __init__(self, now: Micros) -> None:
        self.now = now
        self.jobs: dict[str, ModelJob] = {}
        self.keys: dict[str, str] = {}
        self.paused: set[str] = set()
        self.places = 0

    def next_place(self) -> int:
        self.places += 1
        return self.places

    # produce

    def enqueue(self, job: ModelJob, parents: dict[str, str]) -> tuple[str, bool]:
        if job.id in self.jobs:
            return job.id, True
        if job.key is not None and job.key in self.keys:
            return self.keys[job.key], False
        if job.key is not None:
            self.keys[job.key] = job.id
        self.jobs[job.id] = job
        job.place = self.next_place()
        job.waits = dict(parents)
        self._stand(job, State.BLOCKED)
        for parent in parents:
            if self.jobs[parent].state in FINAL:
                self._settle_edge(job, self.jobs[parent])
        if job.state is State.BLOCKED and not job.waits:
            self._stand(job, State.DELAYED if job.run_at > self.now else State.WAITING)
        return job.id, True

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
        job.state, job.lease, job.lease_until, job.worker = State.ACTIVE, lease, until, worker

    def worker_of(self, id: str) -> str | None:
        job = self.jobs.get(id)
        return job.worker if job is not None and job.state is State.ACTIVE else None

    def asked_to_stop(self, worker: str) -> list[str]:
        return sorted(job.id for job in self.jobs.values() if job.cancelling and self.worker_of(job.id) == worker)

    def finish(self, id: str, lease: int, event: Event, delay: Micros, spends: bool) -> str:
        job = self.jobs.get(id)
        if job is None or job.state is not State.ACTIVE or job.lease != lease:
            return "repeat" if job is not None and job.settled == lease else "stale"
        job.settled, job.lease = lease, None
        job.attempt += spends
        if event in (Event.RETRY, Event.SNOOZE, Event.RELEASE) and job.cancelling:
            event = Event.ABORT
        if event is Event.COMPLETE:
            self._end(job, State.COMPLETED)
        elif event is Event.FAIL:
            self._end(job, State.FAILED)
        elif event is Event.ABORT:
            self._end(job, State.CANCELLED)
        elif event is Event.RELEASE:
            self._stand(job, State.WAITING)
        else:
            job.run_at = self.now + delay
            self._stand(job, State.RETRYING if event is Event.RETRY else State.DELAYED)
        return "accepted"

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
        expired = [job for job in self.jobs.values() if self._expired(job)]
        self._end_all(expired, State.CANCELLED)

    def next_times(self) -> list[Micros]:
        """Instants ahead at which something becomes possible."""
        times = [j.run_at for j in self.jobs.values() if j.state in (State.DELAYED, State.RETRYING)]
        times += [j.expires_at for j in self.jobs.values() if j.state in PENDING and j.expires_at is not None]
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

    def requeue(self, id: str) -> str:
        job = self.jobs[id]
        if job.state not in FINAL or (job.key is not None and self.keys.get(job.key) is not None):
            return "refused"
        if job.key is not None:
            self.keys[job.key] = id
        job.attempt = job.rescues = 0
        job.cancelling = False
        job.run_at, job.place = self.now, self.next_place()
        if job.expires_at is not None and job.expires_at <= self.now:
            job.expires_at = None
        self._stand(job, State.WAITING)
        return "done"

    def run_now(self, id: str) -> str:
        job = self.jobs[id]
        if job.state not in (State.DELAYED, State.RETRYING):
            return "refused"
        job.place = self.next_place()
        self._stand(job, State.WAITING)
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
        if job.key is not None and self.keys.get(job.key) == job.id:
            del self.keys[job.key]
        job.waits = {}

    def _end(self, job: ModelJob, state: State) -> None:
        self._end_all([job], state)

    def _end_all(self, jobs: list[ModelJob], state: State) -> None:
        """Ends spread level by level: all children of one job before theirs. What several ends in one call set free shares
        a place: their order is the engine's."""
        for job in jobs:
            job.state, job.lease = state, None
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
            self._free(child)
            return True
        del child.waits[parent.id]
        if child.waits or place is None:
            return False
        child.place = place
        child.run_at = max(child.run_at, self.now)
        self._stand(child, State.DELAYED if child.run_at > self.now else State.WAITING)
        return False
