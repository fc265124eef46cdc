"""A history put in order: each job's leases, what became of their ends, which worker died when, when the store stood still."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise
from typing import Literal, TypeAlias

import msgspec

from tests.crash.history import (
    Acked,
    Asked,
    Asks,
    Began,
    Ended,
    Ending,
    Event,
    Fault,
    Granted,
    Judged,
    Kept,
    Renewed,
    Summed,
    Wanted,
)

FINAL_EVENTS = ("complete", "fail", "abort")
_CLOSELY = 0.005
Outcome: TypeAlias = Literal["accepted", "unknown", "stale", "none"]


class Lease(msgspec.Struct):
    """One lease of one job. `sent` and `t`: its call and the answer; `renewed`: when the newest extension that is known
    to have worked was sent, so the store cannot have let it lapse before `renewed` plus its length."""

    job: str
    token: int
    how: str
    attempt: int
    pid: int
    sent: float
    t: float
    renewed: float


class Commit(msgspec.Struct):
    """One try to commit the end of a lease; `verdict` None: nobody knows. `flight`: the call it was part of."""

    job: str
    lease: int
    event: str
    spends: bool
    pid: int
    sent: float
    flight: int
    t: float | None = None
    verdict: str | None = None


class Ledger:
    """Read once from the events; the checks only look."""

    def __init__(self, events: Iterable[Event], lease: float, may_lose: float = 0.0) -> None:
        self.lease = lease
        self.wanted: dict[str, Wanted] = {}
        self.asked: dict[str, float] = {}
        self.acked: dict[str, tuple[float, str]] = {}
        self.leases: dict[str, list[Lease]] = defaultdict(list)
        self.calls: list[Granted] = []
        self.commits: dict[tuple[str, int], list[Commit]] = defaultdict(list)
        self.of_job: dict[str, list[Commit]] = defaultdict(list)
        self.began: list[Began] = []
        self.ended: list[Ended] = []
        self.faults: list[Fault] = []
        self.kept: dict[str, Kept] = {}
        self.sums: list[Summed] = []
        self._words: dict[int, list[float]] = defaultdict(list)
        self._of_worker: dict[int, list[Lease]] = defaultdict(list)
        self._in_air: dict[int, set[tuple[str, int]]] = defaultdict(set)
        self._unhindered: list[Ended] = []
        self._by_token: dict[tuple[str, int], Lease] = {}
        self._flights: dict[tuple[int, int], list[Commit]] = {}
        self._rescues: dict[tuple[int, int], float] = {}
        for event in events:
            self._read(event)
        for leases in self.leases.values():
            leases.sort(key=lambda lease: lease.token)
        self.kills = {fault.pid: fault for fault in self.faults if fault.kind == "kill"}
        self.troubles = self._standstills()
        self.shaken = self._shaken(may_lose)

    # reading

    def _read(self, event: Event) -> None:
        if isinstance(event, Asks | Granted | Renewed | Ending | Judged | Began | Ended):
            self._words[event.pid].append(event.t)
        match event:
            case Asked():
                for job in event.jobs:
                    self.wanted[job.id] = job
                    self.asked.setdefault(job.id, event.t)
            case Acked():
                self.acked.update({id: (event.t, stored) for id, stored in zip(event.ids, event.stored, strict=True)})
            case Asks() if event.how == "rescue":
                self._rescues[event.pid, event.number] = event.t
            case Granted():
                self._granted(event)
            case Renewed():
                for key in event.held:
                    if key in self._by_token:
                        self._by_token[key].renewed = max(self._by_token[key].renewed, event.sent)
            case Ending() | Judged():
                self._committed(event)
            case Began():
                self.began.append(event)
            case Ended():
                self.ended.append(event)
                if not self._in_air[event.pid]:
                    self._unhindered.append(event)
            case Fault():
                self.faults.append(event)
            case Kept():
                self.kept[event.job] = event
            case Summed():
                self.sums.append(event)
            case _:
                pass

    def _granted(self, event: Granted) -> None:
        self.calls.append(event)
        self._rescues.pop((event.pid, event.number), None)
        for grant in event.grants:
            known = self._by_token.get((grant.job, grant.lease))
            if known is not None:  # the repeat of a claim whose answer was lost
                known.renewed = max(known.renewed, event.sent)
                continue
            lease = Lease(grant.job, grant.lease, event.how, grant.attempt, event.pid, event.sent, event.t, event.sent)
            self._by_token[grant.job, grant.lease] = lease
            self.leases[grant.job].append(lease)
            self._of_worker[event.pid].append(lease)

    def _committed(self, event: Ending | Judged) -> None:
        if isinstance(event, Ending):
            flight = [
                Commit(end.job, end.lease, end.event, end.spends, event.pid, event.t, event.number)
                for end in event.ends
            ]
            self._flights[event.pid, event.number] = flight
            for commit in flight:
                self.commits[commit.job, commit.lease].append(commit)
                self.of_job[commit.job].append(commit)
            self._in_air[event.pid].update((end.job, end.lease) for end in event.ends[:1])
            return
        for commit, verdict in zip(self._flights.get((event.pid, event.number), ()), event.verdicts, strict=False):
            commit.verdict, commit.t = verdict, event.t
            self._in_air[event.pid].discard((commit.job, commit.lease))

    # facts

    def outcome(self, job: str, lease: int) -> Outcome:
        """What became of the end of a lease: committed, nobody knows, refused, or never handed in."""
        commits = self.commits.get((job, lease), [])
        if any(commit.verdict in ("accepted", "repeat") for commit in commits):
            return "accepted"
        if any(commit.verdict is None for commit in commits):
            return "unknown"
        return "stale" if commits else "none"

    def lease_of(self, job: str, token: int) -> Lease | None:
        return self._by_token.get((job, token))

    def next_lease(self, lease: Lease) -> Lease | None:
        """The job's next lease that is known."""
        return next((other for other in self.leases[lease.job] if other.token > lease.token), None)

    def busy(self, pid: int, since: float, until: float) -> float:
        """For how many seconds of a while a worker was surely running: those between its words that follow closely. On a
        machine with more work than cores a process is heard in bursts; between them it had no turn."""
        words = self._words[pid]
        heard = words[bisect_left(words, since) : bisect_right(words, until)]
        return sum(gap for a, b in pairwise(heard) if (gap := b - a) < _CLOSELY)

    def held_at(self, pid: int, at: float) -> list[Lease]:
        """What a worker held at an instant, as far as it had heard: its last lease of each job, if that was not ended."""
        last = {lease.job: lease for lease in self._of_worker[pid] if lease.t <= at}
        return [lease for lease in last.values() if self.outcome(lease.job, lease.token) != "accepted"]

    def departures(self) -> list[float]:
        """Seconds until a handler's end was on its way to the store, shortest first; of workers that had no other commit
        under way, for those may have to wait for it."""
        return sorted(
            min(commit.sent for commit in self.commits[effect.job, effect.lease]) - effect.t
            for effect in self._unhindered
            if (effect.job, effect.lease) in self.commits
        )

    def unanswered_since(self, pid: int, at: float) -> float:
        """Since when a worker had ends on their way to the store at `at`, through all repeats; `at` if it had none."""
        since = at
        mine = [flight for (owner, _), flight in self._flights.items() if owner == pid and flight]
        for flight in mine:
            answered = flight[0].t
            if flight[0].sent <= at and (answered is None or answered > at):
                batch = {(commit.job, commit.lease) for commit in flight}
                tries = [f[0].sent for f in mine if batch & {(commit.job, commit.lease) for commit in f}]
                since = min(since, *tries)
        return since

    def deadline(self, death: float, allowed: float) -> float:
        """By when what a worker held at its death must be rescued: a lease plus what is allowed, counted anew from each
        standstill of the store, because after one nothing may be rescued for a lease."""
        limit = death + self.lease + allowed
        for begin, end in self.troubles:
            if begin <= limit and end >= death:
                limit = max(limit, end + self.lease + allowed)
        return limit

    def _standstills(self) -> list[tuple[float, float]]:
        """When nobody looked for lapsed leases for half a lease (as the store sees it), and rescues nobody has heard of."""
        looks = sorted(call.t for call in self.calls if call.how == "rescue")
        gaps = [(a, b) for a, b in pairwise(looks) if b - a > self.lease / 2 - 0.1]
        return sorted([*gaps, *((at, at) for at in self._rescues.values())])

    def _shaken(self, may_lose: float) -> set[str]:
        """Jobs about which something was said shortly before the store was killed, where its setting may lose that much."""
        if not may_lose:
            return set()
        windows = [(fault.t - may_lose, fault.until) for fault in self.faults if fault.kind == "store"]
        told = [(id, t) for id, (t, _) in self.acked.items()]
        told += [(lease.job, at) for all_ in self.leases.values() for lease in all_ for at in (lease.sent, lease.t)]
        told += [(c.job, at) for all_ in self.of_job.values() for c in all_ for at in (c.sent, c.t) if at is not None]
        shaken = {job for job, at in told if any(begin <= at <= end for begin, end in windows)}
        while more := {id for id, job in self.wanted.items() if id not in shaken and shaken.intersection(job.parents)}:
            shaken |= more
        return shaken
