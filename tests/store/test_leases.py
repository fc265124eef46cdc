"""Leases: kept by heartbeats, lost by silence, taken over once, and a store that stood still forgives everybody."""

import pytest

from tests.store.kit import HOUR, LEASE, T0, Clock, Hand, act, end, fresh_id, get, new, put, state_of
from windlass.store import Store
from windlass.values.clock import SECOND
from windlass.values.job import Claim
from windlass.values.lease import Held, LogLine, Progress
from windlass.values.outcome import DEFAULT_RULES, RunRules, Verdict, lapsed
from windlass.values.query import Action
from windlass.values.states import Event, State

BEAT = LEASE // 3


class Watch:
    """A rescuer that looks often enough for the store to trust the clock."""

    def __init__(self, store: Store, clock: Clock, name: str = "watch") -> None:
        self.store, self.clock, self.name = store, clock, name

    async def look(self, limit: int = 200) -> list[Claim]:
        return await self.store.rescue(self.name, LEASE, limit)

    async def until(self, at: int) -> list[Claim]:
        """Look every third of a lease until `at`; what was taken over, the last look at exactly `at`."""
        taken: list[Claim] = []
        while self.clock.at < at:
            await self.clock.set(min(self.clock.at + BEAT, at))
            taken += await self.look()
        return taken


@pytest.fixture
def watch(store: Store, clock: Clock) -> Watch:
    return Watch(store, clock)


async def test_a_lapsed_lease_is_taken_over(store: Store, clock: Clock, watch: Watch) -> None:
    (id,) = await put(store, new(args='{"a":1}', max_attempts=7))
    assert await watch.look() == []
    claim = await Hand(store).one()
    assert await watch.until(T0 + LEASE - 1) == []
    (taken,) = await watch.until(T0 + LEASE)
    assert taken.lease > claim.lease
    assert (taken.id, taken.args, taken.attempt, taken.max_attempts, taken.rescues) == (id, '{"a":1}', 1, 7, 0)
    job = await get(store, id)
    assert (job.state, job.worker, job.lease, job.rescues) == (State.ACTIVE, "watch", taken.lease, 0)
    assert await watch.look() == [], "the new lease holds"
    assert len(await watch.until(T0 + 2 * LEASE)) == 1, "and lapses in its turn"


async def test_beats_keep_a_lease(store: Store, clock: Clock, watch: Watch) -> None:
    first, second = await put(store, new(), new())
    await watch.look()
    hand = Hand(store)
    claims = {claim.id: claim for claim in await hand.take()}
    await watch.until(T0 + LEASE - SECOND)
    pulse = await hand.beat(claims[first])
    assert (pulse.lost, pulse.cancelled, pulse.quiet, pulse.stop) == ((), (), False, False)
    assert [claim.id for claim in await watch.until(T0 + LEASE)] == [second], "an unnamed lease lapses"
    assert await watch.until(T0 + 2 * LEASE - SECOND - 1) == []
    taken = await watch.until(T0 + 2 * LEASE - SECOND)
    assert first in [claim.id for claim in taken]


async def test_a_beat_tells_what_is_lost(store: Store, clock: Clock, watch: Watch) -> None:
    await put(store, *(new() for _ in range(3)))
    await watch.look()
    hand = Hand(store)
    kept, finished, gone = await hand.take()
    await hand.complete(finished)
    unknown = fresh_id()
    pulse = await hand.beat(kept, finished, _renamed(gone, unknown))
    assert sorted(pulse.lost) == sorted([finished.id, unknown])
    await watch.until(T0 + LEASE)
    pulse = await hand.beat(kept, gone)
    assert sorted(pulse.lost) == sorted([kept.id, gone.id])


def _renamed(claim: Claim, id: str) -> Held:
    return Held(id, claim.lease)  # a beat reads only these two


async def test_a_beat_tells_who_is_asked_to_stop(store: Store) -> None:
    one, two = await put(store, new(), new())
    hand = Hand(store)
    claims = await hand.take()
    await act(store, Action.CANCEL, two, reason="enough")
    pulse = await hand.beat(*claims)
    assert (pulse.lost, pulse.cancelled) == ((), (two,))
    assert (await hand.beat(*claims)).cancelled == (two,), "and says so until the job has ended"
    assert (await get(store, two)).cancelling
    assert await state_of(store, one) is State.ACTIVE


async def test_a_beat_tells_of_jobs_that_it_does_not_name(store: Store, clock: Clock) -> None:
    """The worker may not have had the answer to its claim yet."""
    (id,) = await put(store, new())
    hand, other = Hand(store), Hand(store, "w2")
    claim = await hand.one()
    await act(store, Action.CANCEL, id)
    assert (await hand.beat()).cancelled == (id,)
    assert (await other.beat()).cancelled == ()
    await hand.finish(end(claim, Event.RETRY, delay=0))
    assert (await hand.beat()).cancelled == ()


async def test_a_beat_without_leases_extends_nothing(store: Store, clock: Clock, watch: Watch) -> None:
    await put(store, new())
    await watch.look()
    hand = Hand(store)
    await hand.take()
    await watch.until(T0 + LEASE - 1)
    await hand.beat()
    assert len(await watch.until(T0 + LEASE)) == 1


async def test_rescue_takes_at_most_so_many(store: Store, clock: Clock, watch: Watch) -> None:
    await put(store, *(new() for _ in range(5)))
    await watch.look()
    await Hand(store).take()
    await watch.until(T0 + LEASE - 1)
    await clock.forward(1)
    first, second = await watch.look(3), await watch.look(3)
    assert (len(first), len(second)) == (3, 2)
    assert len({claim.id for claim in (*first, *second)}) == 5


async def test_a_judged_rescue_gives_the_job_back_in_its_place(store: Store, clock: Clock, watch: Watch) -> None:
    lost, next_ = await put(store, new(), new())
    await watch.look()
    await Hand(store).one()
    (taken,) = await watch.until(T0 + LEASE)
    assert await store.finish([lapsed(taken, DEFAULT_RULES, "watch")]) == [Verdict.ACCEPTED]
    job = await get(store, lost)
    assert (job.state, job.rescues, job.attempt) == (State.WAITING, 1, 0)
    claims = await Hand(store).take()
    assert [claim.id for claim in claims] == [lost, next_]
    assert (claims[0].rescues, claims[0].attempt, claims[0].ready_at) == (1, 1, T0)


async def test_rescues_end_a_poisonous_job(store: Store, clock: Clock, watch: Watch) -> None:
    (id,) = await put(store, new())
    await watch.look()
    for _ in range(3):
        await Hand(store).one()
        (taken,) = await watch.until(clock.at + LEASE)
        await store.finish([lapsed(taken, RunRules(max_rescues=2), "watch")])
    job = await get(store, id)
    assert (job.state, job.reason, job.rescues) == (State.FAILED, "stalled", 3)
    assert job.error is not None
    assert [attempt.outcome for attempt in job.attempts] == ["rescue", "rescue", "fail"]


async def test_a_rescued_job_that_was_asked_to_stop_says_so(store: Store, clock: Clock, watch: Watch) -> None:
    (id,) = await put(store, new())
    await watch.look()
    await Hand(store).one()
    await act(store, Action.CANCEL, id)
    (taken,) = await watch.until(T0 + LEASE)
    assert taken.cancelling
    await store.finish([lapsed(taken, DEFAULT_RULES, "watch")])
    assert await state_of(store, id) is State.CANCELLED


async def test_after_a_standstill_nothing_is_rescued_for_a_lease(store: Store, clock: Clock, watch: Watch) -> None:
    kept, lost = await put(store, new(), new())
    await watch.look()
    hand = Hand(store)
    claims = {claim.id: claim for claim in await hand.take()}
    await clock.forward(HOUR)
    back = clock.at
    assert await watch.look() == []
    assert (await hand.beat(claims[kept])).lost == (), "who comes back in time loses nothing"
    assert await watch.until(back + LEASE - 1) == []
    taken = await watch.until(back + LEASE)
    assert lost in [claim.id for claim in taken]
    assert (await get(store, lost)).worker == "watch"


async def test_a_gap_of_half_a_lease_is_no_standstill(store: Store, clock: Clock, watch: Watch) -> None:
    await put(store, new())
    await watch.look()
    await Hand(store).one()
    await clock.forward(LEASE // 2)
    assert await watch.look() == []
    await clock.forward(LEASE // 2)
    assert len(await watch.look()) == 1


async def test_the_first_look_at_old_leases_waits_for_their_owners(store: Store, clock: Clock, watch: Watch) -> None:
    await put(store, new())
    await Hand(store).one()
    await clock.forward(HOUR)  # nobody has looked yet: these may be leases from before a restart of everything
    back = clock.at
    assert await watch.look() == []
    assert await watch.until(back + LEASE - 1) == []
    assert len(await watch.until(back + LEASE)) == 1


async def test_a_clock_set_back_does_not_freeze_leases(store: Store, clock: Clock, watch: Watch) -> None:
    (id,) = await put(store, new())
    await watch.look()
    await Hand(store).one()
    await clock.set(T0 - HOUR)
    assert await watch.look() == []
    back = clock.at
    taken = await watch.until(back + 2 * LEASE)
    assert [claim.id for claim in taken][:1] == [id]


async def test_workers_are_known_by_their_beats(store: Store, clock: Clock) -> None:
    assert await store.workers() == []
    await put(store, new())
    one, two = Hand(store, "one", queues=("a", "b")), Hand(store, "two")
    await one.beat(running=3, done=9, rss=1_000, cpu=12.5, kinds=("k1", "k2"), host="h", pid=77)
    await clock.forward(SECOND)
    await two.beat()
    await two.one()
    found = {worker.id: worker for worker in await store.workers()}
    assert sorted(found) == ["one", "two"]
    first = found["one"]
    assert (first.running, first.done, first.rss, first.cpu, first.host, first.pid) == (3, 9, 1_000, 12.5, "h", 77)
    assert (first.queues, first.kinds, first.lease, first.session) == (("a", "b"), ("k1", "k2"), LEASE, one.session)
    assert dict(first.slots) == {"async": 10}
    assert (first.seen_at, first.claimed_at, first.started_at) == (T0, None, T0)
    assert (found["two"].queues, found["two"].seen_at, found["two"].claimed_at) == (None, T0 + SECOND, T0 + SECOND)
    await clock.forward(SECOND)
    await two.beat(done=1)
    found = {worker.id: worker for worker in await store.workers()}
    assert (found["two"].done, found["two"].seen_at, found["two"].claimed_at) == (1, T0 + 2 * SECOND, T0 + SECOND)


async def test_only_claims_that_brought_jobs_count_as_claiming(store: Store, clock: Clock) -> None:
    hand = Hand(store)
    await hand.beat()
    assert await hand.take() == []
    (worker,) = await store.workers()
    assert worker.claimed_at is None
    await put(store, new())
    await clock.forward(SECOND)
    await hand.one()
    (worker,) = await store.workers()
    assert worker.claimed_at == T0 + SECOND


async def test_workers_leave_and_vanish(store: Store, clock: Clock) -> None:
    one, two = Hand(store, "one"), Hand(store, "two")
    await one.beat()
    await two.beat()
    await one.beat(leaving=True)
    assert [worker.id for worker in await store.workers()] == ["two"]
    await clock.forward(10 * LEASE - 1)
    assert [worker.id for worker in await store.workers()] == ["two"]
    await clock.forward(2)
    assert await store.workers() == []
    await two.beat()
    assert [worker.id for worker in await store.workers()] == ["two"]


async def test_progress_and_log_of_a_running_attempt(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new())
    claim = await Hand(store).one()
    await clock.forward(10 * SECOND)
    await store.report(
        [
            Progress(id, claim.lease, 10.0, "begun"),
            LogLine(id, claim.lease, 1, "info", "first", 3 * SECOND),
            LogLine(id, claim.lease, 1, "warning", "second\nline"),
            Progress(id, claim.lease, 42.5),
        ]
    )
    job = await get(store, id)
    assert job.progress == 42.5
    lines = await store.log(id)
    assert [(line.at, line.attempt, line.level, line.text) for line in lines] == [
        (T0 + 7 * SECOND, 1, "info", "first"),
        (T0 + 10 * SECOND, 1, "warning", "second\nline"),
    ]
    await store.report([Progress(id, claim.lease, 50, "half way")])
    job = await get(store, id)
    assert (job.progress, job.progress_note) == (50.0, "half way")


async def test_notes_under_a_stale_lease_are_dropped(store: Store) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    old = await hand.one()
    await store.report([LogLine(id, old.lease, 1, "info", "one")])
    await hand.finish(end(old, Event.RELEASE))
    claim = await hand.one()
    await store.report(
        [
            Progress(id, old.lease, 99.0, "ghost"),
            LogLine(id, old.lease, 1, "info", "ghost"),
            LogLine(fresh_id(), claim.lease, 1, "info", "nobody"),
            LogLine(id, claim.lease, 1, "info", "two"),
        ]
    )
    job = await get(store, id)
    assert (job.progress, job.progress_note) == (0.0, None)
    assert [line.text for line in await store.log(id)] == ["one", "two"]
    await hand.complete(claim)
    await store.report([LogLine(id, claim.lease, 1, "info", "after the end")])
    assert [line.text for line in await store.log(id)] == ["one", "two"]


async def test_progress_outlives_a_retry(store: Store) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    claim = await hand.one()
    await store.report([Progress(id, claim.lease, 30.0, "a third")])
    await hand.finish(end(claim, Event.RETRY, delay=HOUR))
    job = await get(store, id)
    assert (job.progress, job.progress_note) == (30.0, "a third")


async def test_a_log_keeps_its_newest_thousand_lines(store: Store) -> None:
    (id,) = await put(store, new())
    claim = await Hand(store).one()
    for start in range(0, 1_200, 300):
        await store.report([LogLine(id, claim.lease, 1, "info", f"line {n}") for n in range(start, start + 300)])
    lines = [line.text for line in await store.log(id)]
    assert lines == [f"line {n}" for n in range(200, 1_200)]
    assert len(await store.log(id, 10)) == 10
    assert await store.log(fresh_id()) == []
