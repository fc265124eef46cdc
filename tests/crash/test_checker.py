"""The checker itself: a sound story passes, and each wrong that is planted into it is found by the check of that name."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.crash.checker import CHECKS, Duplicate, Rules, Violation, check, duplicates
from tests.crash.history import (
    Acked,
    Asked,
    Asks,
    Began,
    End,
    Ended,
    Ending,
    Event,
    Fault,
    Grant,
    Granted,
    Judged,
    Kept,
    Recorder,
    Renewed,
    Summed,
    Wanted,
    read_events,
)
from tests.crash.ledger import Ledger

LEASE = 2.0
RULES = Rules(LEASE, noise=0.0)


class Story:
    """A history told by hand. Worker 1 lives, worker 2 is the one that things happen to."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._calls = 0
        self._kept: dict[str, str] = {}
        # The living worker looks for lapsed leases each half second, or the store would have stood still.
        for look in range(40):
            self.rescue((), t=look * 0.5, pid=1)

    def number(self) -> int:
        self._calls += 1
        return self._calls

    def enqueue(self, job: str, t: float = 0.1, *, stored: str | None = None, **wanted: Any) -> None:
        self.events.append(Asked(t, (Wanted(job, "plain", **wanted),)))
        self.events.append(Acked(t + 0.01, (job,), (stored or job,)))

    def claim(self, job: str, lease: int, t: float, *, pid: int = 1, attempt: int = 1, priority: int = 0) -> None:
        grant = Grant(job, lease, attempt, priority, "async")
        self.events.append(Granted(t, t - 0.01, pid, self.number(), "claim", (grant,)))

    def rescue(self, jobs: tuple[tuple[str, int], ...], t: float, *, pid: int = 1) -> None:
        number = self.number()
        grants = tuple(Grant(job, lease, 1, 0, "async") for job, lease in jobs)
        self.events.append(Asks(t - 0.01, pid, number, "rescue"))
        self.events.append(Granted(t, t - 0.01, pid, number, "rescue", grants))

    def run(self, job: str, lease: int, t: float, *, pid: int = 1, attempt: int = 1, good: bool = True) -> None:
        self.events.append(Began(t, job, lease, attempt, pid))
        self.events.append(Ended(t + 0.01, job, lease, attempt, pid, good))

    def finish(
        self, job: str, lease: int, t: float, *, event: str = "complete", verdict: str | None = "accepted", pid: int = 1
    ) -> None:
        number = self.number()
        spends = event not in ("release", "snooze")
        self.events.append(Ending(t, pid, number, (End(job, lease, event, spends),)))
        if verdict:
            self.events.append(Judged(t + 0.002, pid, number, (verdict,)))

    def whole(self, job: str, lease: int, t: float, *, pid: int = 1, attempt: int = 1) -> None:
        """Claimed, run and completed."""
        self.claim(job, lease, t, pid=pid, attempt=attempt)
        self.run(job, lease, t + 0.01, pid=pid, attempt=attempt)
        self.finish(job, lease, t + 0.022, pid=pid)

    def fault(self, kind: str, t: float, until: float, pid: int = 2) -> None:
        self.events.append(Fault(t, kind, until, pid))

    def keep(self, job: str, lease: int | None, *, state: str = "completed", attempt: int = 1, sum: int = 0) -> None:
        result = {"lease": str(lease), "sum": sum} if state == "completed" else None
        self.events.append(Kept(19.0, job, state, attempt, 0, lease, None, result))
        self._kept[job] = state

    def told(self) -> list[Event]:
        states = list(self._kept.values())
        sums = Summed(19.1, {state: states.count(state) for state in states})
        has_own = any(isinstance(event, Summed) for event in self.events)
        return sorted([*self.events, *(() if has_own else (sums,))], key=lambda event: event.t)

    def book(self, may_lose: float = 0.0) -> Ledger:
        return Ledger(self.told(), LEASE, may_lose)

    def violations(self, rules: Rules = RULES) -> list[Violation]:
        return check(self.book(rules.may_lose), rules)


def sound() -> Story:
    """Everything that may happen: a plain run, a retry, a rescue after a kill, a parent and its child, a unique key."""
    story = Story()
    story.enqueue("plain")
    story.whole("plain", 1, 1.0)
    story.keep("plain", 1)

    story.enqueue("again", fails=1, backoff=0.2)
    story.claim("again", 2, 1.0)
    story.run("again", 2, 1.1, good=False)
    story.finish("again", 2, 1.2, event="retry")
    story.whole("again", 3, 1.5, attempt=2)
    story.keep("again", 3, attempt=2)

    story.enqueue("rescued")
    story.claim("rescued", 4, 1.0, pid=2)
    story.events.append(Renewed(1.72, 1.7, 2, (("rescued", 4),)))
    story.run("rescued", 4, 1.98, pid=2)
    story.fault("kill", 1.995, 2.0)
    story.rescue((("rescued", 5),), 3.8)
    story.finish("rescued", 5, 3.81, event="release")
    story.whole("rescued", 6, 3.9)
    story.keep("rescued", 6)

    story.enqueue("child", parents=("plain",))
    story.whole("child", 7, 1.2)
    story.keep("child", 7)
    story.enqueue("doomed", fails=4, max_attempts=4)
    for attempt in (1, 2, 3, 4):
        at = 2.0 + attempt
        story.claim("doomed", 10 + attempt, at, attempt=attempt)
        story.run("doomed", 10 + attempt, at + 0.1, attempt=attempt, good=False)
        story.finish("doomed", 10 + attempt, at + 0.115, event="fail" if attempt == 4 else "retry")
    story.keep("doomed", 14, state="failed", attempt=4)
    story.enqueue("orphaned", parents=("doomed",))
    story.keep("orphaned", None, state="cancelled", attempt=0)

    story.enqueue("key", unique="k")
    story.enqueue("refused", t=0.3, unique="k", stored="key")
    story.whole("key", 20, 1.0)
    story.keep("key", 20)
    return story


def test_a_sound_story_passes() -> None:
    story = sound()
    assert story.violations() == []
    assert duplicates(story.book(), RULES) == [Duplicate("rescued", 4, "killed within 10 ms")]


def lose_a_job(story: Story) -> None:
    story.enqueue("x")


def leave_a_job_unfinished(story: Story) -> None:
    story.enqueue("x")
    story.keep("x", None, state="waiting", attempt=0)


def invent_a_job(story: Story) -> None:
    story.keep("x", None, state="cancelled", attempt=0)


def run_without_a_lease(story: Story) -> None:
    story.enqueue("x")
    story.whole("x", 30, 5.0)
    story.run("x", 31, 5.5)
    story.keep("x", 30)


def end_otherwise(story: Story) -> None:
    story.enqueue("x")
    story.claim("x", 30, 5.0)
    story.finish("x", 30, 5.1, event="fail")
    story.keep("x", 30, state="failed")


def complete_a_child_of_a_failed_parent(story: Story) -> None:
    story.enqueue("x", parents=("doomed",))
    story.whole("x", 30, 8.0)
    story.keep("x", 30)


def end_twice(story: Story) -> None:
    story.enqueue("x")
    story.whole("x", 30, 5.0)
    story.finish("x", 30, 5.5)
    story.keep("x", 30)


def lease_after_the_end(story: Story) -> None:
    story.enqueue("x")
    story.whole("x", 30, 5.0)
    story.claim("x", 31, 5.5)
    story.keep("x", 30)


def complete_without_running(story: Story) -> None:
    story.enqueue("x")
    story.claim("x", 30, 5.0)
    story.finish("x", 30, 5.1)
    story.keep("x", 30)


def keep_a_losers_result(story: Story) -> None:
    story.enqueue("x")
    story.whole("x", 30, 5.0)
    story.keep("x", 29)


def damage_a_result(story: Story) -> None:
    story.enqueue("x", sum=77)
    story.whole("x", 30, 5.0)
    story.keep("x", 30, sum=76)


def take_over_too_soon(story: Story) -> None:
    story.enqueue("x")
    story.claim("x", 30, 5.0, pid=2)
    story.fault("kill", 5.1, 5.1)
    story.rescue((("x", 31),), 6.5)
    story.finish("x", 31, 6.6, event="release")
    story.whole("x", 32, 6.7)
    story.keep("x", 32)


def take_over_in_spite_of_a_heartbeat(story: Story) -> None:
    story.enqueue("x")
    story.claim("x", 30, 5.0, pid=2)
    story.events.append(Renewed(6.4, 6.39, 2, (("x", 30),)))
    story.rescue((("x", 31),), 7.2)
    story.finish("x", 31, 7.3, event="release")
    story.whole("x", 32, 7.4)
    story.keep("x", 32)


def claim_what_is_held(story: Story) -> None:
    story.enqueue("x")
    story.claim("x", 30, 5.0, pid=2)
    story.whole("x", 31, 5.5)
    story.keep("x", 31)


def accept_a_late_end(story: Story) -> None:
    story.enqueue("x")
    story.claim("x", 30, 5.0, pid=2)
    story.run("x", 30, 9.0, pid=2)
    story.fault("stop", 5.1, 9.0)
    story.rescue((("x", 31),), 7.3)
    story.finish("x", 31, 7.4, event="release")
    story.claim("x", 32, 7.5)
    story.run("x", 32, 7.6)
    story.finish("x", 30, 9.02, pid=2)
    story.keep("x", 30)


def take_over_what_was_ended(story: Story) -> None:
    story.enqueue("x")
    story.whole("x", 30, 5.0, pid=2)
    story.rescue((("x", 31),), 9.0)
    story.keep("x", 30)


def take_over_what_was_given_back(story: Story) -> None:
    story.enqueue("x")
    story.claim("x", 30, 5.0, pid=2)
    story.run("x", 30, 5.1, pid=2, good=False)
    story.rescue((("x", 31),), 7.3)
    story.finish("x", 30, 7.25, event="retry", pid=2)
    story.finish("x", 31, 7.4, event="release")
    story.whole("x", 32, 7.5, attempt=2)
    story.keep("x", 32, attempt=2)


def try_too_often(story: Story) -> None:
    story.enqueue("x", fails=2, max_attempts=2)
    for attempt in (1, 2, 3):
        story.claim("x", 30 + attempt, 5.0 + attempt, attempt=attempt)
        story.run("x", 30 + attempt, 5.1 + attempt, attempt=attempt, good=False)
        story.finish("x", 30 + attempt, 5.2 + attempt, event="fail" if attempt == 3 else "retry")
    story.keep("x", 33, state="failed", attempt=3)


def count_a_rescue_as_an_attempt(story: Story) -> None:
    story.enqueue("x")
    story.whole("x", 30, 5.0)
    story.keep("x", 30, attempt=2)


def rescue_late(story: Story) -> None:
    story.enqueue("x")
    story.claim("x", 30, 5.0, pid=2)
    story.fault("kill", 5.1, 5.1)
    story.rescue((("x", 31),), 9.4)
    story.finish("x", 31, 9.45, event="release")
    story.whole("x", 32, 9.5)
    story.keep("x", 32)


def run_a_delayed_job_early(story: Story) -> None:
    story.enqueue("x", t=1.0, delay=3.0)
    story.whole("x", 30, 3.8)
    story.keep("x", 30)


def try_again_at_once(story: Story) -> None:
    story.enqueue("x", fails=1, backoff=1.0)
    story.claim("x", 30, 5.0)
    story.run("x", 30, 5.1, good=False)
    story.finish("x", 30, 5.2, event="retry")
    story.whole("x", 31, 5.5, attempt=2)
    story.keep("x", 31, attempt=2)


def run_a_child_first(story: Story) -> None:
    story.enqueue("p")
    story.enqueue("x", parents=("p",))
    story.whole("x", 30, 5.0)
    story.whole("p", 31, 6.0)
    story.keep("x", 30)
    story.keep("p", 31)


def claim_in_disorder(story: Story) -> None:
    grants = []
    for job, priority in (("x", 0), ("y", 5)):
        story.enqueue(job, priority=priority)
        story.run(job, 30, 5.1)
        story.finish(job, 30, 5.2)
        story.keep(job, 30)
        grants.append(Grant(job, 30, 1, priority, "async"))
    story.events.append(Granted(5.0, 4.9, 1, story.number(), "claim", tuple(grants)))


def let_two_hold_a_key(story: Story) -> None:
    story.enqueue("x", t=0.5, unique="k")
    story.whole("x", 30, 5.0)
    story.keep("x", 30)


def count_wrong(story: Story) -> None:
    story.events.append(Summed(19.2, {"completed": 99}))


def find_a_stray_by_the_audit(story: Story) -> None:
    states = [event.state for event in story.events if isinstance(event, Kept)]
    story.events.append(Summed(19.2, {s: states.count(s) for s in states}, ("a key without a job",)))


def run_twice_for_nothing(story: Story) -> None:
    """The handler ended more than half a second before the kill, and its end was not on its way."""
    story.enqueue("x")
    story.claim("x", 30, 5.0, pid=2)
    story.run("x", 30, 5.1, pid=2)
    story.fault("kill", 5.7, 5.71)
    story.rescue((("x", 31),), 7.4)
    story.finish("x", 31, 7.5, event="release")
    story.whole("x", 32, 7.6)
    story.keep("x", 32)


def commit_late(story: Story) -> None:
    for n in range(20):
        job = f"x{n}"
        story.enqueue(job)
        story.claim(job, 50 + n, 5.0)
        story.run(job, 50 + n, 5.1)
        story.finish(job, 50 + n, 5.15)
        story.keep(job, 50 + n)


PLANTED: list[tuple[str, Callable[[Story], None]]] = [
    ("lost", lose_a_job),
    ("lost", leave_a_job_unfinished),
    ("phantom", invent_a_job),
    ("ungranted", run_without_a_lease),
    ("wrong-end", end_otherwise),
    ("wrong-end", complete_a_child_of_a_failed_parent),
    ("two-ends", end_twice),
    ("two-ends", lease_after_the_end),
    ("no-effect", complete_without_running),
    ("wrong-result", keep_a_losers_result),
    ("wrong-result", damage_a_result),
    ("overlap", take_over_too_soon),
    ("overlap", take_over_in_spite_of_a_heartbeat),
    ("overlap", claim_what_is_held),
    ("stale", accept_a_late_end),
    ("stale", take_over_what_was_ended),
    ("stale", take_over_what_was_given_back),
    ("attempts", try_too_often),
    ("attempts", count_a_rescue_as_an_attempt),
    ("late-rescue", rescue_late),
    ("early", run_a_delayed_job_early),
    ("early", try_again_at_once),
    ("orphan", run_a_child_first),
    ("disorder", claim_in_disorder),
    ("twins", let_two_hold_a_key),
    ("counters", count_wrong),
    ("counters", find_a_stray_by_the_audit),
    ("duplicate", run_twice_for_nothing),
    ("slow-commits", commit_late),
]


@pytest.mark.parametrize(("name", "plant"), PLANTED, ids=[plant.__name__ for _, plant in PLANTED])
def test_what_is_planted_is_found(name: str, plant: Callable[[Story], None]) -> None:
    story = sound()
    plant(story)
    assert name in {violation.check for violation in story.violations()}


def test_every_check_has_something_planted() -> None:
    found = set()
    for one in CHECKS:
        for _, plant in PLANTED:
            story = sound()
            plant(story)
            if any(one(story.book(), RULES)):
                found.add(one)
    assert found == set(CHECKS)


# what is allowed


def test_a_commit_under_way_explains_a_second_run() -> None:
    story = sound()
    run_twice_for_nothing(story)
    story.events.append(
        Ending(5.105, 2, 900, (End("y", 29, "complete", True),))
    )  # a full flight that was never answered
    assert story.violations() == []
    assert Duplicate("x", 30, "killed with its commit under way") in duplicates(story.book(), RULES)


@pytest.mark.parametrize("busy", [False, True])
def test_a_worker_without_a_turn_explains_a_second_run(busy: bool) -> None:
    story = sound()
    run_twice_for_nothing(story)
    story.events = [e for e in story.events if not (isinstance(e, Fault) and e.t > 5.0)]
    story.fault("kill", 5.31, 5.32)
    if busy:  # it had turns, and used them for something else
        for n in range(4):
            story.run("plain", 1, 5.2 + n * 0.003, pid=2)
    assert [v.check for v in story.violations() if v.job == "x"] == (["duplicate"] if busy else [])


def test_a_claim_that_nobody_heard_of_may_lapse_too() -> None:
    story = sound()
    story.enqueue("x")
    story.claim("x", 30, 5.0)
    story.finish("x", 30, 5.1, event="release")
    story.fault("kill", 5.2, 5.2)  # of the worker that had just claimed it
    story.rescue((("x", 32),), 7.3)
    story.finish("x", 32, 7.4, event="release")
    story.whole("x", 33, 7.5)
    story.keep("x", 33)
    assert story.violations() == []


def test_a_key_is_free_when_its_holders_parent_has_failed() -> None:
    story = sound()
    story.enqueue("x", unique="other", parents=("doomed",))
    story.keep("x", None, state="cancelled", attempt=0)
    story.enqueue("y", t=7.0, unique="other")
    story.whole("y", 40, 8.0)
    story.keep("y", 40)
    assert story.violations() == []


def test_a_standstill_of_the_worker_explains_a_second_run() -> None:
    story = sound()
    accept_a_late_end(story)
    late = next(i for i, e in enumerate(story.events) if isinstance(e, Judged) and e.t > 9.0)
    story.events[late] = msgspec.structs.replace(story.events[late], verdicts=("stale",))
    story.finish("x", 32, 7.7)
    story.events = [e for e in story.events if not (isinstance(e, Kept) and e.job == "x")]
    story.keep("x", 32)
    assert story.violations() == []
    assert Duplicate("x", 30, "lease lapsed: stood still") in duplicates(story.book(), RULES)


def test_an_enqueue_of_unknown_outcome_may_exist_or_not() -> None:
    for exists in (False, True):
        story = sound()
        story.events.append(Asked(0.1, (Wanted("x", "plain"),)))
        if exists:
            story.whole("x", 30, 5.0)
            story.keep("x", 30)
        assert story.violations() == []


def test_a_lost_answer_to_a_final_end_is_no_second_end() -> None:
    story = sound()
    story.enqueue("x")
    story.claim("x", 30, 5.0)
    story.run("x", 30, 5.1)
    story.finish("x", 30, 5.2, verdict=None)
    story.finish("x", 30, 5.3, verdict="repeat")
    story.keep("x", 30)
    assert story.violations() == []


def test_after_the_store_stood_still_a_rescue_may_take_a_lease_more() -> None:
    story = sound()
    rescue_late(story)
    quiet = [e for e in story.events if isinstance(e, (Asks, Granted)) and e.how == "rescue" and 5.2 < e.t < 7.2]
    story.events = [e for e in story.events if e not in quiet]
    assert story.violations() == []


def test_a_store_may_lose_what_its_setting_says_and_no_more() -> None:
    story = sound()
    story.fault("store", 10.0, 10.2, pid=0)
    story.enqueue("young", t=9.0)
    assert [v.check for v in story.violations(Rules(LEASE, 0.0, 0.0))] == ["lost"]
    assert story.violations(Rules(LEASE, 0.0, 2.0)) == []
    story.enqueue("old", t=7.0)
    assert [(v.check, v.job) for v in story.violations(Rules(LEASE, 0.0, 2.0))] == [("lost", "old")]


def test_half_a_line_of_a_killed_worker_hides_nothing(tmp_path: Any) -> None:
    path = tmp_path / "history.jsonl"
    record = Recorder(path)
    record(Began(1.0, "a", 1, 1, 7))
    with path.open("ab") as file:
        file.write(b'\n{"op":"began","t":2.0,"job')
    record(Began(3.0, "b", 2, 1, 7))
    record.close()
    assert [event.t for event in read_events(path.read_bytes().splitlines())] == [1.0, 3.0]
