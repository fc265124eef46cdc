"""Judges a history: nothing lost, nothing invented, one end each, one owner at a time, and a reason for every second run.

`python -m tests.crash.checker FILE --lease 2` judges a history that was kept.
"""

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.crash.history import Ended, Wanted, read_events
from tests.crash.ledger import FINAL_EVENTS, Ledger

RESCUE = 2.0
"""Seconds after the end of a lease by which a lost job must be rescued."""

ALLOWED = 0.010
"""Seconds after a handler's end in which its commit must be on its way; what ended in this time before a kill may run twice,
and so may what was part of the commit under way."""

STALL = 0.5
"""Seconds in which a busy machine may give a worker no turns worth `ALLOWED`."""

CLOCKS = 0.05
"""Seconds by which the stores' wall clocks and the histories' monotonic one may drift apart in a run."""


class Rules(NamedTuple):
    """`noise`: by how many seconds a busy machine may keep a worker from its turn. `may_lose`: how many seconds of
    acknowledged work the store's own setting gives away when it is killed."""

    lease: float
    noise: float = 0.05
    may_lose: float = 0.0


class Violation(NamedTuple):
    check: str
    job: str
    text: str

    def __str__(self) -> str:
        return f"{self.check}: {self.job} {self.text}"


class Duplicate(NamedTuple):
    """An attempt whose handler ended though its end was not committed, so the job ran again; `why` is empty if nothing
    explains it."""

    job: str
    lease: int
    why: str


Check = Callable[[Ledger, Rules], Iterator[Violation]]


# existence


def lost(book: Ledger, rules: Rules) -> Iterator[Violation]:
    """What was acknowledged is there at the end, and has ended."""
    for id, (at, stored) in book.acked.items():
        kept = book.kept.get(stored)
        if stored in book.shaken or id in book.shaken:
            continue
        if kept is None:
            yield Violation("lost", stored, f"acknowledged at {at:.3f}, and the store does not have it")
        elif kept.state not in ("completed", "failed", "cancelled"):
            yield Violation("lost", stored, f"acknowledged at {at:.3f} and never ended: {kept.state}")


def phantom(book: Ledger, rules: Rules) -> Iterator[Violation]:
    """Nothing exists that nobody asked for."""
    for job in {*book.kept, *book.leases, *(effect.job for effect in book.began)} - set(book.wanted):
        yield Violation("phantom", job, "was never enqueued")


def ungranted(book: Ledger, rules: Rules) -> Iterator[Violation]:
    """No handler runs without a lease that the store gave."""
    for effect in book.began:
        if book.lease_of(effect.job, effect.lease) is None:
            yield Violation("ungranted", effect.job, f"ran under lease {effect.lease}, which nobody was given")


# ends


def wrong_end(book: Ledger, rules: Rules) -> Iterator[Violation]:
    """A job ends as its plan says, whatever happened to its workers."""
    for job, kept in book.kept.items():
        if job in book.wanted and job not in book.shaken and kept.state in ("completed", "failed", "cancelled"):
            expected = expected_end(book, book.wanted[job])
            if kept.state != expected:
                yield Violation("wrong-end", job, f"ended {kept.state} ({kept.reason}), it should have {expected}")


def expected_end(book: Ledger, job: Wanted) -> str:
    """The state in which a job must end: a child of a job that did not complete is cancelled."""
    for parent in job.parents:
        if parent in book.wanted and expected_end(book, book.wanted[parent]) != "completed":
            return "cancelled"
    return "failed" if job.fails >= job.max_attempts else "completed"


def two_ends(book: Ledger, rules: Rules) -> Iterator[Violation]:
    """A final end is accepted once, and no lease is given after it."""
    for job, commits in book.of_job.items():
        if job in book.shaken:
            continue
        finals = [c for c in commits if c.event in FINAL_EVENTS and c.verdict == "accepted"]
        if len(finals) > 1:
            yield Violation("two-ends", job, f"ended under the leases {[final.lease for final in finals]}")
        for lease in book.leases.get(job, ()) if finals else ():
            if lease.token > finals[0].lease:
                yield Violation("two-ends", job, f"was leased ({lease.token}) after it ended ({finals[0].lease})")


def no_effect(book: Ledger, rules: Rules) -> Iterator[Violation]:
    """A completed job's handler reached its end under the lease that completed it."""
    reached = {(effect.job, effect.lease) for effect in book.ended if effect.good}
    for job, kept in book.kept.items():
        winners = _winners(book, job)
        if kept.state == "completed" and not any((job, winner) in reached for winner in winners):
            yield Violation("no-effect", job, f"completed under lease {winners or kept.lease}, its handler never ended")


def wrong_result(book: Ledger, rules: Rules) -> Iterator[Violation]:
    """The result is the winner's, whole, and of the arguments that were enqueued."""
    for job, kept in book.kept.items():
        if kept.state == "completed" and job in book.wanted:
            winners = _winners(book, job)
            if kept.result not in [{"lease": str(winner), "sum": book.wanted[job].sum} for winner in winners]:
                text = f"has the result {kept.result!r:.100}; it was completed under lease {winners}"
                yield Violation("wrong-result", job, text)


def _winners(book: Ledger, job: str) -> list[int]:
    """The lease that completed a job; several, if only one of them did and the answers were lost."""
    ends = [commit for commit in book.of_job.get(job, ()) if commit.event == "complete" and commit.verdict != "stale"]
    sure = {commit.lease for commit in ends if commit.verdict in ("accepted", "repeat")}
    return sorted(sure or {commit.lease for commit in ends})


# leases


def overlap(book: Ledger, rules: Rules) -> Iterator[Violation]:
    """A job's next lease begins after the last one was given back, or has truly lapsed."""
    for job, leases in book.leases.items():
        for before, after in pairwise(leases):
            if job in book.shaken:
                continue
            if after.how == "rescue":
                early = before.renewed + rules.lease - CLOCKS - after.t
                if early > 0:
                    text = f"lease {after.token} was taken over {early:.3f} s before lease {before.token} had lapsed"
                    yield Violation("overlap", job, text)
            elif book.outcome(job, before.token) not in ("accepted", "unknown"):
                text = f"lease {after.token} was given while lease {before.token} was held"
                yield Violation("overlap", job, text)


def stale(book: Ledger, rules: Rules) -> Iterator[Violation]:
    """An end under a lease that was lost is refused: a lapsed lease is either ended or taken over, never both."""
    for job, commits in book.of_job.items():
        for commit in commits:
            if commit.verdict != "accepted" or job in book.shaken:
                continue
            for lease in book.leases.get(job, ()):
                # Given back, the job may have been leased by a worker that died before it could say so; then it could be
                # taken over, but only when that lease had lapsed.
                taken = lease.how == "rescue" and lease.t < commit.sent + rules.lease - CLOCKS
                if lease.token > commit.lease and (lease.t < commit.sent or taken or commit.event in FINAL_EVENTS):
                    text = f"{commit.event} under lease {commit.lease} was accepted, though {lease.token} was given"
                    yield Violation("stale", job, text)


def attempts(book: Ledger, rules: Rules) -> Iterator[Violation]:
    """No job makes more attempts than it may, and the count is what was committed."""
    for job, kept in book.kept.items():
        wanted = book.wanted.get(job)
        if wanted is None or job in book.shaken:
            continue
        highest = max([kept.attempt, *(lease.attempt for lease in book.leases.get(job, ()))])
        if highest > wanted.max_attempts:
            yield Violation("attempts", job, f"made attempt {highest} of at most {wanted.max_attempts}")
        spent = [c for c in book.of_job.get(job, ()) if c.spends]
        sure = len({c.lease for c in spent if c.verdict in ("accepted", "repeat")})
        most = len({c.lease for c in spent if c.verdict != "stale"})
        if kept.state in ("completed", "failed") and not sure <= kept.attempt <= most:
            yield Violation("attempts", job, f"counts {kept.attempt} attempts, {sure} to {most} were committed")


def late_rescue(book: Ledger, rules: Rules) -> Iterator[Violation]:
    """What a dead worker held is taken over within its lease and a little."""
    for fault in book.faults:
        if fault.kind == "kill" or (fault.kind == "stop" and fault.until - fault.t > rules.lease + RESCUE):
            limit = book.deadline(fault.t, RESCUE + CLOCKS)
            for lease in book.held_at(fault.pid, fault.t):
                after = book.next_lease(lease)
                if after is not None and after.how == "rescue" and after.t > limit and lease.job not in book.shaken:
                    late = after.t - fault.t
                    yield Violation(
                        "late-rescue", lease.job, f"was rescued {late:.2f} s after its worker's {fault.kind}"
                    )


# order and time


def early(book: Ledger, rules: Rules) -> Iterator[Violation]:
    """Nothing runs before its time: neither a delayed job, nor the next try of one that failed."""
    for effect in book.began:
        wanted = book.wanted.get(effect.job)
        if wanted is None or effect.job in book.shaken:
            continue
        times = [book.asked[effect.job] + wanted.delay]
        times += [
            commit.sent + wanted.backoff
            for commit in book.of_job.get(effect.job, ())
            if commit.event == "retry" and commit.lease < effect.lease and commit.verdict == "accepted"
        ]
        if effect.t < max(times) - CLOCKS:
            yield Violation("early", effect.job, f"ran {max(times) - effect.t:.3f} s before its time")


def orphan(book: Ledger, rules: Rules) -> Iterator[Violation]:
    """A child begins after its parents have completed."""
    done: dict[str, float] = {}
    for job, commits in book.of_job.items():
        for commit in commits:
            if commit.event == "complete" and commit.verdict != "stale":
                done[job] = min(done.get(job, commit.sent), commit.sent)
    for effect in book.began:
        wanted = book.wanted.get(effect.job)
        for parent in wanted.parents if wanted and effect.job not in book.shaken else ():
            if done.get(parent, float("inf")) > effect.t:
                yield Violation("orphan", effect.job, f"began before its parent {parent} had completed")


def disorder(book: Ledger, rules: Rules) -> Iterator[Violation]:
    """The jobs of one claim come by priority."""
    for call in book.calls:
        if call.how == "claim":
            order = [grant.priority for grant in call.grants]
            if order != sorted(order, reverse=True):
                yield Violation("disorder", call.grants[0].job, f"came in a claim in the order {order}")


def twins(book: Ledger, rules: Rules) -> Iterator[Violation]:
    """At most one live job holds a unique key."""
    made: dict[str, list[str]] = defaultdict(list)
    for id, (_, stored) in book.acked.items():
        key = book.wanted[id].unique
        if key is not None and stored == id:
            made[key].append(id)
    for key, ids in made.items():
        if not book.shaken.isdisjoint(ids):
            continue
        for first in ids:
            begin, end = book.acked[first][0], _last_alive(book, first)
            for second in ids:
                if first != second and begin <= book.asked[second] and book.acked[second][0] <= end:
                    yield Violation("twins", second, f"was stored while {first} held the key {key!r}")


def _last_alive(book: Ledger, job: str) -> float:
    """Until when a job surely had not ended, neither by itself nor with a parent."""
    ends = [c.sent for c in book.of_job.get(job, ()) if c.event in FINAL_EVENTS and c.verdict != "stale"]
    parents = [book.wanted[parent] for parent in book.wanted[job].parents if parent in book.wanted]
    ends += [_last_alive(book, parent.id) for parent in parents if expected_end(book, parent) != "completed"]
    return min(ends, default=float("inf"))


def counters(book: Ledger, rules: Rules) -> Iterator[Violation]:
    """The sums that the store keeps are those of its jobs."""
    states = dict(Counter(kept.state for kept in book.kept.values()))
    for sums in book.sums:
        if sums.counts != states:
            yield Violation("counters", "-", f"say {sums.counts}, the jobs say {states}")
        for line in sums.audit:
            yield Violation("counters", "-", line)


# second runs


def duplicates(book: Ledger, rules: Rules) -> list[Duplicate]:
    """Every handler's end that was not committed, with the reason."""
    return [
        Duplicate(effect.job, effect.lease, _why(book, rules, effect))
        for effect in book.ended
        if effect.job not in book.shaken and _ran_again(book, effect)
    ]


def _ran_again(book: Ledger, effect: Ended) -> bool:
    lease = book.lease_of(effect.job, effect.lease)
    if lease is None or book.outcome(effect.job, effect.lease) == "accepted":
        return False
    after = book.next_lease(lease)
    if after is None:
        return False
    # An end that nobody answered may have been a retry that counted: then the attempt's number went on.
    return any(other.token > effect.lease and other.attempt == effect.attempt for other in book.leases[effect.job])


def _why(book: Ledger, rules: Rules, effect: Ended) -> str:
    lease = book.lease_of(effect.job, effect.lease)
    assert lease is not None
    kill = book.kills.get(lease.pid)
    outcome = book.outcome(effect.job, effect.lease)
    if kill is not None and outcome in ("none", "unknown") and effect.t <= kill.until:
        since = book.unanswered_since(lease.pid, kill.t)
        if effect.t >= since - ALLOWED:
            return "killed within 10 ms" if since == kill.t else "killed with its commit under way"
        no_turn = kill.t - effect.t <= STALL and book.busy(lease.pid, effect.t, kill.t) <= ALLOWED
        if no_turn or effect.t >= since - ALLOWED - rules.noise:
            return "killed while it had no turn"
        if not _lapsed(book, rules, effect, kill.t):
            return ""
    elif not _lapsed(book, rules, effect, float("inf")):
        return ""
    ways = {"stop": "stood still", "store": "store gone", "cut": "connection cut", "silence": "connection silent"}
    for fault in book.faults:
        mine = fault.pid in (0, lease.pid)
        if mine and fault.kind in ways and fault.t <= effect.t + rules.lease and fault.until >= lease.renewed:
            return f"lease lapsed: {ways[fault.kind]}"
    return "lease lapsed: its worker was late"


def _lapsed(book: Ledger, rules: Rules, effect: Ended, before: float) -> bool:
    """Whether the lease truly lapsed, and did so before the worker was killed."""
    lease = book.lease_of(effect.job, effect.lease)
    after = None if lease is None else book.next_lease(lease)
    if lease is None or after is None or after.how != "rescue":
        return False
    return lease.renewed + rules.lease - CLOCKS <= min(after.t, before)


def unexplained(book: Ledger, rules: Rules) -> Iterator[Violation]:
    """Every second run has a reason."""
    for found in duplicates(book, rules):
        if not found.why:
            yield Violation(
                "duplicate", found.job, f"ended under lease {found.lease}, and ran again for no known reason"
            )


def slow_commits(book: Ledger, rules: Rules) -> Iterator[Violation]:
    """The commit of an end is on its way at once; half of them at least, whatever the store and the machine go through."""
    departures = book.departures()
    if departures and (usual := median(departures)) > ALLOWED:
        yield Violation(
            "slow-commits", "-", f"commits leave {usual * 1e3:.1f} ms after the end, {ALLOWED * 1e3:g} are allowed"
        )


CHECKS: tuple[Check, ...] = (
    lost,
    phantom,
    ungranted,
    wrong_end,
    two_ends,
    no_effect,
    wrong_result,
    overlap,
    stale,
    attempts,
    late_rescue,
    early,
    orphan,
    disorder,
    twins,
    counters,
    unexplained,
    slow_commits,
)


def check(book: Ledger, rules: Rules) -> list[Violation]:
    return [violation for one in CHECKS for violation in one(book, rules)]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash.checker", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--lease", type=float, default=2.0)
    parser.add_argument("--noise", type=float, default=Rules(0).noise)
    parser.add_argument("--may-lose", type=float, default=0.0)
    given = parser.parse_args(arguments)
    rules = Rules(given.lease, given.noise, given.may_lose)
    with given.file.open("rb") as lines:
        book = Ledger(read_events(lines), rules.lease, rules.may_lose)
    found = check(book, rules)
    print("\n".join(map(str, found)) or "nothing is wrong")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
