"""Random verbs against a small model: states, attempts, order and counts agree after every step."""

import asyncio
import os
from contextlib import ExitStack
from typing import Any, ClassVar

import msgspec
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

from tests.store.kit import LEASE, Clock, Hand, act, end, failing, fresh_id, groups_of, listen, promote_all
from tests.store.model import Model, ModelJob, ModelKey
from tests.store.places import chosen_engines, place_for
from windlass.values.clock import SECOND, moment
from windlass.values.job import Claim, Edge, NewJob, UniqueKey
from windlass.values.lease import Claimed, Step
from windlass.values.limit import Bound, LimitChange, Rate
from windlass.values.outcome import Finish
from windlass.values.query import Action, Command, Where
from windlass.values.queue import QueueChange
from windlass.values.states import PENDING, Event, State

SCALE = float(os.environ.get("WINDLASS_TEST_SCALE", "1"))
ENDS = (Event.COMPLETE, Event.FAIL, Event.ABORT, Event.RETRY, Event.SNOOZE, Event.RELEASE, Event.SUSPEND)
FAIR = "f"
FINGERPRINTS = ("one", "other", "")
LADDERS = ((), (0, 7 * SECOND), (SECOND,) * 4)
QUEUES = st.sampled_from(["a", "a", "b", "b", FAIR])
KEYS = st.sampled_from([(), (), (), ("one",), ("two",), ("one", "two"), ("rate",), ("rate", "two")])
PRIORITIES = st.sampled_from([-5, 0, 0, 5])
DELAYS = st.sampled_from([0, 0, 0, SECOND, 20 * SECOND])


class Play(RuleBasedStateMachine):
    """One store and one model, told the same."""

    engine: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.room = ExitStack()
        self.place = self.room.enter_context(place_for(self.engine))
        self.store = self.place.first
        self.place.clock = self.clock = Clock(self.store)
        self.run(self.place.open())
        self.listener = self.run(listen(self.store, self.clock))
        self.told: dict[str, str] = {}
        self.model = Model(self.clock.at)
        self.hands = [
            Hand(self.store, "one"),
            Hand(self.store, "two", queues=("a",)),
            Hand(self.store, "three", queues=("a", "b")),
        ]
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

    @initialize(paused=st.booleans(), whole=st.booleans())
    def begin(self, paused: bool, whole: bool) -> None:
        if paused:
            self.pause("b", True)
        self.run(self.store.put_queue(FAIR, QueueChange(order="fair"), "ops"))
        self.model.limits = {
            "one": ModelKey(concurrency=1),
            "two": ModelKey(concurrency=2),
            "rate": ModelKey(rate=Rate(2, 20 * SECOND)),
        }
        if whole:
            self.model.limits["queue:a"] = ModelKey(concurrency=3)
            self.run(self.store.put_limits([LimitChange(key="queue:a", concurrency=3)], "ops"))

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
        key=st.sampled_from([None, None, None, "k1", "k2"]),
        rerun=st.booleans(),
        keys=KEYS,
        group=st.sampled_from([None, "g1", "g2"]),
        answered=st.sampled_from([False] * 9 + [True]),
        parents=st.lists(st.tuples(st.integers(0, 50), st.sampled_from(["cancel", "run", "hold", "fail"])), max_size=3),
    )
    def enqueue(
        self,
        queue: str,
        priority: int,
        delay: int,
        expires: int | None,
        key: str | None,
        rerun: bool,
        keys: tuple[str, ...],
        group: str | None,
        answered: bool,
        parents: list[tuple[int, Any]],
    ) -> None:
        self._tick()
        known = list(self.model.jobs)
        edges = {known[n % len(known)]: policy for n, policy in parents} if known and not rerun and not answered else {}
        job = NewJob(
            id=fresh_id(),
            kind="work",
            queue=queue,
            priority=priority,
            delay=delay or None,
            # A child that expires together with its parent may end by either: only jobs without parents expire here.
            expires_in=None if edges or answered else expires,
            unique=UniqueKey(key=key, on_conflict="rerun" if rerun else "existing") if key else None,
            # Whether a job that is not created changes a limit is left open, so these name what stands already.
            limits=tuple(Bound(key, limit.concurrency, limit.rate) for key, limit in self._bounds(keys)),
            group=group,
            answer='"known"' if answered else None,
            after=tuple(Edge(parent, policy) for parent, policy in edges.items()),
        )
        self.sent.append((job, edges))
        self._enqueue(job, edges)

    @rule(
        queue=QUEUES,
        keys=st.sampled_from([("one",), ("two",), ("one", "two"), ("rate",), ("rate", "two")]),
        groups=st.lists(st.sampled_from([None, "g1", "g2"]), min_size=2, max_size=4),
        priority=PRIORITIES,
    )
    def enqueue_several(self, queue: str, keys: tuple[str, ...], groups: list[str | None], priority: int) -> None:
        """More than their limits let run at once."""
        for group in groups:
            self._tick()
            bounds = tuple(Bound(key, limit.concurrency, limit.rate) for key, limit in self._bounds(keys))
            job = NewJob(id=fresh_id(), kind="work", queue=queue, priority=priority, limits=bounds, group=group)
            self.sent.append((job, {}))
            self._enqueue(job, {})

    @precondition(lambda self: self.model.claimable(None))
    @rule(which=st.integers(0, 2))
    def claim_all(self, which: int) -> None:
        self.claim(which, 6)

    @precondition(lambda self: any(job.state is State.ACTIVE for job in self.model.jobs.values()))
    @rule(which=st.integers(0, 50), event=st.sampled_from([Event.COMPLETE, Event.SUSPEND, *ENDS]), delay=DELAYS)
    def finish_one_that_runs(self, which: int, event: Event, delay: int) -> None:
        running = [claim for claim in self.claims if self.model.holds(claim.id, claim.lease)]
        if running:
            self._tick()
            self._finish_with(running[which % len(running)], event, delay)

    @precondition(lambda self: self.model.claimable(None))
    @rule(which=st.integers(0, 2), delay=DELAYS)
    def suspend_the_next(self, which: int, delay: int) -> None:
        before = len(self.claims)
        self.claim(which, 1)
        for claim in self.claims[before:]:
            self._tick()
            self._finish_with(claim, Event.SUSPEND, delay)

    @precondition(lambda self: any(job.signal for job in self.model.jobs.values()))
    @rule(which=st.integers(0, 9), action=st.sampled_from([Action.RUN_NOW, Action.CANCEL, Action.FAIL, Action.DELETE]))
    def command_a_suspended_one(self, which: int, action: Action) -> None:
        ids = [job.id for job in self.model.jobs.values() if job.signal]
        self._command(ids[which % len(ids)], action)

    def _bounds(self, keys: tuple[str, ...]) -> list[tuple[str, ModelKey]]:
        return [(key, self.model.limits[key]) for key in keys]

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
                rerun=job.unique is not None and job.unique.on_conflict == "rerun",
                keys=(*(bound.key for bound in job.limits), *self._keys_of_queue(job.queue)),
                group=job.group if job.queue == FAIR else None,
            ),
            edges,
            answered=job.answer is not None,
        )
        (answer,) = self.run(self.store.enqueue([job]))
        assert (answer.id, answer.created) == expected

    # run

    def _keys_of_queue(self, queue: str) -> tuple[str, ...]:
        return (f"queue:{queue}",) if f"queue:{queue}" in self.model.limits else ()

    @rule(which=st.integers(0, 2), slots=st.integers(1, 4))
    def claim(self, which: int, slots: int) -> None:
        hand = self.hands[which]
        claimed = self.run(hand.ask(slots))
        while claimed.more and not claimed.jobs:  # the store did a bounded part and says so
            claimed = self.run(hand.ask(slots))
        jobs = [self.model.jobs[claim.id] for claim in claimed.jobs]
        candidates = self.model.claimable(hand.queues)
        if len({job.order for job in candidates}) == len(candidates) and all(job.queue != FAIR for job in candidates):
            expected = self.model.chosen(hand.queues, slots)
            # A claim that says that there is more did a part of what it could.
            assert [job.id for job in jobs] == [job.id for job in expected][: len(jobs) if claimed.more else slots]
        for claim in sorted(claimed.jobs, key=lambda claim: self.model.jobs[claim.id].order):
            job = self.model.jobs[claim.id]
            assert job.order in [head.order for head in self.model.runnable(hand.queues) if head.line == job.line]
            assert claim.attempt == job.attempt + 1
            assert claim.lease > max(job.lease or 0, job.settled or 0)
            assert (claim.limited, claim.rated) == (bool(job.keys), "rate" in job.keys)
            self.model.claimed(claim.id, claim.lease, self.model.now + LEASE, hand.name)
        if len(jobs) < slots and not claimed.more:
            assert [job.id for job in self.model.runnable(hand.queues)] == [], "nobody who may run is left behind"
        if not jobs and not claimed.more:
            self._check_wait(hand, claimed)
        self.claims += claimed.jobs
        if which == 0:
            self.first_brought = bool(jobs)

    def _check_wait(self, hand: Hand, claimed: Claimed) -> None:
        """It is no longer than until time lets the next job of these queues run."""
        now, queues = self.model.now, hand.queues
        open_ = [job for job in self.model.jobs.values() if job.queue not in self.model.paused]
        mine = [job for job in open_ if queues is None or job.queue in queues]
        due = [job.run_at for job in mine if job.state in (State.DELAYED, State.RETRYING)]
        due += [opens for job in self.model.claimable(queues) if (opens := self.model.opens_at(job)) is not None]
        if due:
            assert claimed.wait is not None
            assert claimed.wait <= max(min(due) - now, 0)

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
        self._finish_with(claim, event, delay)

    def _finish_with(self, claim: Claim, event: Event, delay: int) -> None:
        n = len(self.ends)
        fields: dict[str, Any] = {"delay": 0 if event is Event.RELEASE else delay, "spent": n % 3}
        if event in (Event.FAIL, Event.RETRY):
            ended = failing(claim, FINGERPRINTS[n % 3], event=event, ladder=LADDERS[n // 3 % 3], **fields)
        else:
            ended = end(claim, event, signal="go" if event is Event.SUSPEND else None, **fields)
        self.ends.append(ended)
        self._finish(ended)

    @precondition(lambda self: self.ends)
    @rule(which=st.integers(0, 50))
    def finish_again(self, which: int) -> None:
        self._finish(self.ends[which % len(self.ends)])

    def _finish(self, ended: Finish) -> None:
        expected = self.model.finish(ended)
        assert [str(verdict) for verdict in self.run(self.store.finish([ended]))] == [expected]

    @precondition(lambda self: self.model.jobs)
    @rule(which=st.sampled_from([0, 0, 0, 1, 2, 7, 30]), data=st.integers(0, 9))
    def signal(self, which: int, data: int) -> None:
        self._tick()
        # Those that are suspended first: a walk among many jobs seldom meets them.
        ids = sorted(self.model.jobs, key=lambda id: self.model.jobs[id].signal is None)
        id = ids[which % len(ids)]
        assert self.run(self.store.signal(id, "go", str(data), "ops")) == self.model.signal(id, str(data))

    @precondition(lambda self: self.claims)
    @rule(which=st.integers(0, 200), position=st.integers(0, 2), stale=st.sampled_from([False, False, True]))
    def ask_for_a_signal(self, which: int, position: int, stale: bool) -> None:
        claims = [claim for claim in self.claims if stale or self.model.holds(claim.id, claim.lease)] or self.claims
        claim = claims[-1 - which % len(claims)]
        (noted,) = self.run(self.store.report([Step(claim.id, claim.lease, position, "wait", None, False, "go")]))
        holds = self.model.holds(claim.id, claim.lease)
        assert (noted.accepted, noted.value) == (holds, self.model.take_signal(claim.id, position) if holds else None)

    @rule(key=st.sampled_from(["one", "two", "queue:a"]), concurrency=st.sampled_from([1, 2, 3, None]))
    def change_a_limit(self, key: str, concurrency: int | None) -> None:
        if key in self.model.limits:
            self.place.lowered.add(key)
            self.model.limits[key].concurrency = concurrency
            self.run(self.store.put_limits([LimitChange(key=key, concurrency=concurrency)], "ops"))

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
        ids = list(self.model.jobs)
        self._command(ids[which % len(ids)], action)

    def _command(self, id: str, action: Action) -> None:
        self._tick()
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

    @precondition(lambda self: any(job.next_retry_at for job in self.model.jobs.values()))
    @rule(limit=st.sampled_from([1, 2, 50]), wait=st.sampled_from([1, 8 * SECOND]))
    def sweep(self, limit: int, wait: int) -> None:
        """The schedule that retries dead letters. Those of one call share a place: their order is the engine's."""
        self._tick(wait)
        command = Command(action=Action.REQUEUE, scheduled=True)
        answer = self.run(self.store.command(command, Where(retry_before=self.model.now), limit, "scheduler"))
        assert len(answer.done) <= limit
        place = self.model.next_place()
        for id in answer.done:
            assert id in self.model.due_letters()
            assert self.model.requeue(id, scheduled=True, place=place) == "done"
        if not answer.more:
            assert [id for id in self.model.due_letters() if self.model.may_requeue(id)] == [], "nobody is left behind"

    @precondition(lambda self: self.model.jobs)
    @rule(which=st.integers(0, 50), moves=st.booleans(), by=DELAYS)
    def edit(self, which: int, moves: bool, by: int) -> None:
        self._tick()
        ids = list(self.model.jobs)
        id = ids[which % len(ids)]
        is_timed = self.model.jobs[id].state in (State.DELAYED, State.RETRYING)
        fields: dict[str, Any] = {"args": f'{{"n":{self.model.now}}}'}
        if moves and is_timed:
            fields["run_at"] = self.model.now + by
        expected = self.model.edit(id, fields["args"], fields.get("run_at"))
        answer = self.run(act(self.store, Action.EDIT, id, **fields))
        assert (id in answer.done, id in answer.refused) == (expected == "done", expected == "refused")

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
            assert job.args == msgspec.json.decode(expected.args), id
            assert (job.cost * 1_000_000, job.revivals) == (expected.cost, expected.revivals), id
            at = expected.next_retry_at
            assert job.next_retry_at == (None if at is None else moment(at)), id

    @invariant()
    def the_counts_agree(self) -> None:
        found = {(count.queue, count.state): count.n for count in self.run(self.store.counts())}
        expected: dict[tuple[str, State], int] = {}
        for job in self.model.jobs.values():
            expected[job.queue, job.state] = expected.get((job.queue, job.state), 0) + 1
        assert found == expected

    @invariant()
    def the_error_groups_agree(self) -> None:
        groups = self.run(groups_of(self.store))
        assert {name: (group.n, group.first, group.last) for name, group in groups.items()} == self.model.groups()

    @invariant()
    def the_journal_agrees(self) -> None:
        """Who follows it knows the state of every job."""
        for entry in self.run(self.listener.news()):
            if entry.event == "deleted":
                for id in entry.ids:
                    del self.told[id]
            elif entry.event in set(State):
                self.told |= dict.fromkeys(entry.ids, entry.event)
        assert self.told == {job.id: job.state.value for job in self.model.jobs.values()}

    @invariant()
    def the_limits_agree(self) -> None:
        for info in self.run(self.store.limits()):
            assert info.held == self.model.held(info.key), info.key
            assert info.used == self.model.limits[info.key].used(self.model.now), info.key


@pytest.mark.timeout(60 + 120 * SCALE)
@pytest.mark.parametrize("engine", chosen_engines())
def test_the_engine_does_what_the_model_does(engine: str) -> None:
    machine = type("Play", (Play,), {"engine": engine})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=max(5, round(20 * SCALE)),
            stateful_step_count=60,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
            print_blob=True,
        ),
    )
