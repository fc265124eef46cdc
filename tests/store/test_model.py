"""Random verbs against a small model: states, attempts, order and counts agree after every step."""

import asyncio
import os
from contextlib import ExitStack
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.store.kit import LEASE, T0, Clock, Hand, act, end, fresh_id, promote_all
from tests.store.model import Model, ModelJob
from tests.store.places import chosen_engines, tidy_place_for
from windlass.clock import SECOND
from windlass.job import Claim, Edge, NewJob, UniqueKey
from windlass.outcome import Finish
from windlass.query import Action, Where
from windlass.queue import QueueChange
from windlass.states import PENDING, Event, State

SCALE = float(os.environ.get("WINDLASS_TEST_SCALE", "1"))
ENDS = (Event.COMPLETE, Event.FAIL, Event.ABORT, Event.RETRY, Event.SNOOZE, Event.RELEASE)
QUEUES = st.sampled_from(["a", "b"])
PRIORITIES = st.sampled_from([-5, 0, 0, 5])
DELAYS = st.sampled_from([0, 0, 0, SECOND, 20 * SECOND])


class Play(RuleBasedStateMachine):
    """One store and one model, told the same."""

    engine: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.room = ExitStack()
        self.place = self.room.enter_context(tidy_place_for(self.engine))
        self.store = self.place.first
        self.place.clock = self.clock = Clock(self.store)
        self.run(self.place.open())
        self.model = Model(T0)
        self.hands = [Hand(self.store, "one"), Hand(self.store, "two", queues=("a",))]
        self.watch = Hand(self.store, "watch")
        self.first_brought = False
        self.claims: list[Claim] = []
        self.ends: list[Finish] = []
        self.sent: list[tuple[NewJob[Any], dict[str, str]]] = []
        self.run(self.store.rescue("watch", LEASE, 0))

    def run(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    def teardown(self) -> None:
        try:
            assert self.run(self.place.audit()) == []
        finally:
            self.run(self.place.close())
            self.runner.close()
            self.room.close()

    # time: every verb happens at an instant of its own, so that no two due times are equal by accident

    def _tick(self, by: int = 1) -> None:
        self.model.now += by
        self.run(self.clock.set(self.model.now))

    @initialize(paused=st.booleans())
    def begin(self, paused: bool) -> None:
        if paused:
            self.pause("b", True)

    @rule(by=st.sampled_from([SECOND, 7 * SECOND, 21 * SECOND]))
    def wait(self, by: int) -> None:
        self._tick(by)

    @precondition(lambda self: self.model.next_times())
    @rule(early=st.sampled_from([0, 0, 1]))
    def wait_for_the_next_thing(self, early: int) -> None:
        """To the very instant at which something is due, or one microsecond before it."""
        self._tick(max(self.model.next_times()[0] - early - self.model.now, 0))

    @rule()
    def promote(self) -> None:
        self.run(promote_all(self.store))
        self.model.promote()

    # produce

    @rule(
        queue=QUEUES,
        priority=PRIORITIES,
        delay=DELAYS,
        expires=st.sampled_from([None, None, None, 2 * SECOND, 40 * SECOND]),
        key=st.sampled_from([None, None, "k1", "k2"]),
        parents=st.lists(st.tuples(st.integers(0, 50), st.sampled_from(["cancel", "run", "hold", "fail"])), max_size=3),
    )
    def enqueue(
        self,
        queue: str,
        priority: int,
        delay: int,
        expires: int | None,
        key: str | None,
        parents: list[tuple[int, Any]],
    ) -> None:
        self._tick()
        known = list(self.model.jobs)
        edges = {known[n % len(known)]: policy for n, policy in parents} if known else {}
        job = NewJob(
            id=fresh_id(),
            kind="work",
            queue=queue,
            priority=priority,
            delay=delay or None,
            # A child that expires together with its parent may end by either: only jobs without parents expire here.
            expires_in=None if edges else expires,
            unique=UniqueKey(key=key) if key else None,
            after=tuple(Edge(parent, policy) for parent, policy in edges.items()),
        )
        self.sent.append((job, edges))
        self._enqueue(job, edges)

    @precondition(lambda self: self.sent)
    @rule(which=st.integers(0, 50))
    def enqueue_again(self, which: int) -> None:
        job, edges = self.sent[which % len(self.sent)]
        if (
            job.id in self.model.jobs
        ):  # else it was refused or deleted: that would be a new job, whose parents may be gone
            self._enqueue(job, edges)

    def _enqueue(self, job: NewJob[Any], edges: dict[str, str]) -> None:
        now = self.model.now
        expected = self.model.enqueue(
            ModelJob(
                id=job.id,
                queue=job.queue,
                priority=job.priority,
                run_at=now + (job.delay or 0),
                created_at=now,
                expires_at=None if job.expires_in is None else now + job.expires_in,
                key=job.unique.key if job.unique else None,
            ),
            edges,
        )
        (answer,) = self.run(self.store.enqueue([job]))
        assert (answer.id, answer.created) == expected

    # run

    @rule(which=st.integers(0, 1), slots=st.integers(1, 4))
    def claim(self, which: int, slots: int) -> None:
        hand = self.hands[which]
        expected = self.model.claimable(hand.queues)[:slots]
        claimed = self.run(hand.ask(slots))
        while claimed.more and not claimed.jobs:  # the store did a bounded part and says so
            claimed = self.run(hand.ask(slots))
        got = claimed.jobs
        by_id = [self.model.jobs[claim.id] for claim in got]
        assert [job.order for job in by_id] == [job.order for job in expected]
        for claim, job in zip(got, by_id, strict=True):
            assert job.state is State.WAITING
            assert claim.attempt == job.attempt + 1
            assert claim.lease > max(job.lease or 0, job.settled or 0)
            self.model.claimed(claim.id, claim.lease, self.model.now + LEASE, hand.name)
        self.claims += got
        if which == 0:
            self.first_brought = bool(got)

    @precondition(lambda self: self.first_brought)
    @rule()
    def claim_again(self) -> None:
        """A lost reply: the last claim of the first worker, once more."""
        hand = self.hands[0]
        again = self.run(hand.ask(4, again=True)).jobs
        for claim in again:
            assert self.model.holds(claim.id, claim.lease)
            self.model.claimed(claim.id, claim.lease, self.model.now + LEASE, hand.name)

    @precondition(lambda self: self.claims)
    @rule(which=st.integers(0, 200), event=st.sampled_from(ENDS), delay=DELAYS)
    def finish(self, which: int, event: Event, delay: int) -> None:
        """The end of some claim, often a stale one."""
        self._tick()
        claim = self.claims[-1 - which % len(self.claims)]
        ended = end(claim, event, delay=0 if event is Event.RELEASE else delay)
        self.ends.append(ended)
        self._finish(ended)

    @precondition(lambda self: self.ends)
    @rule(which=st.integers(0, 50))
    def finish_again(self, which: int) -> None:
        self._finish(self.ends[which % len(self.ends)])

    def _finish(self, ended: Finish) -> None:
        expected = self.model.finish(ended.id, ended.lease, ended.event, ended.delay, ended.spends)
        assert [str(verdict) for verdict in self.run(self.store.finish([ended]))] == [expected]

    @precondition(lambda self: self.claims)
    @rule(whose=st.sampled_from(["one", "two", "watch"]), which=st.lists(st.integers(0, 200), max_size=3))
    def beat(self, whose: str, which: list[int]) -> None:
        """A worker names some leases, of which some are no longer, or never were, its own."""
        held = {self.claims[-1 - n % len(self.claims)].id: self.claims[-1 - n % len(self.claims)] for n in which}
        mine = [claim for claim in held.values() if self.model.worker_of(claim.id) in (None, whose)]
        hand = next(hand for hand in (*self.hands, self.watch) if hand.name == whose)
        pulse = self.run(hand.beat(*mine))
        lost = [claim.id for claim in mine if not self.model.holds(claim.id, claim.lease)]
        assert sorted(pulse.lost) == sorted(lost)
        assert sorted(pulse.cancelled) == self.model.asked_to_stop(whose)
        for claim in mine:
            if claim.id not in lost:
                self.model.jobs[claim.id].lease_until = self.model.now + LEASE

    @rule()
    def rescue(self) -> None:
        """A watch that never stood still: it looks twice, so the gap before is never taken for a standstill of the store."""
        lapsed = set(self.model.lapsed())
        before = self.model.now
        taken = self.run(self.store.rescue("watch", LEASE, 200))
        if not taken and lapsed:
            # The random walk slept longer than half a lease: everybody has one lease of grace from here.
            while self.model.now < before + LEASE:
                self._tick(LEASE // 3)
                taken += self.run(self.store.rescue("watch", LEASE, 200))
        for claim in taken:
            job = self.model.jobs[claim.id]
            assert job.state is State.ACTIVE
            assert job.lease_until <= self.model.now
            assert job.lease is not None
            assert claim.lease > job.lease
            assert (claim.attempt, claim.rescues) == (job.attempt + 1, job.rescues)
            self.model.claimed(claim.id, claim.lease, self.model.now + LEASE, "watch")
        assert lapsed <= {claim.id for claim in taken}
        self.claims += taken

    # operate

    @precondition(lambda self: self.model.jobs)
    @rule(
        which=st.integers(0, 50),
        action=st.sampled_from([Action.CANCEL, Action.FAIL, Action.REQUEUE, Action.RUN_NOW, Action.DELETE]),
    )
    def command(self, which: int, action: Action) -> None:
        self._tick()
        ids = list(self.model.jobs)
        id = ids[which % len(ids)]
        verbs = {
            Action.CANCEL: self.model.cancel,
            Action.FAIL: self.model.fail,
            Action.REQUEUE: self.model.requeue,
            Action.RUN_NOW: self.model.run_now,
            Action.DELETE: self.model.delete,
        }
        expected = verbs[action](id)
        answer = self.run(act(self.store, action, id))
        assert (id in answer.done, id in answer.flagged, id in answer.refused) == (
            expected == "done",
            expected == "flagged",
            expected == "refused",
        )

    @precondition(lambda self: any(job.state in PENDING for job in self.model.jobs.values()))
    @rule(which=st.integers(0, 50), priority=PRIORITIES)
    def reprioritise(self, which: int, priority: int) -> None:
        pending = [job.id for job in self.model.jobs.values() if job.state in PENDING]
        id = pending[which % len(pending)]
        self.model.reprioritise(id, priority)
        assert self.run(act(self.store, Action.REPRIORITISE, id, priority=priority)).done == (id,)

    @rule(queue=QUEUES, paused=st.booleans())
    def pause(self, queue: str, paused: bool) -> None:
        (self.model.paused.add if paused else self.model.paused.discard)(queue)
        self.run(self.store.put_queue(queue, QueueChange(paused=paused), "ops"))

    # what must agree

    @invariant()
    def the_jobs_agree(self) -> None:
        page = self.run(self.store.jobs(Where(), None, 1_000))
        found = {job.id: job for job in page.items}
        assert sorted(found) == sorted(self.model.jobs)
        for id, expected in self.model.jobs.items():
            job = found[id]
            assert (job.state, job.priority) == (expected.state, expected.priority), id
            assert job.attempt == expected.attempt + (expected.state is State.ACTIVE), id
            assert job.cancelling == expected.cancelling or job.state is not State.ACTIVE, id

    @invariant()
    def the_counts_agree(self) -> None:
        found = {(count.queue, count.state): count.n for count in self.run(self.store.counts())}
        expected: dict[tuple[str, State], int] = {}
        for job in self.model.jobs.values():
            expected[job.queue, job.state] = expected.get((job.queue, job.state), 0) + 1
        assert found == expected


@pytest.mark.timeout(60 + 120 * SCALE)
@pytest.mark.parametrize("engine", chosen_engines())
def test_the_engine_does_what_the_model_does(engine: str) -> None:
    machine = type("Play", (Play,), {"engine": engine})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=max(5, round(60 * SCALE)),
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
            print_blob=True,
        ),
    )
