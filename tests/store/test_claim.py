"""Which jobs a worker gets, in which order, and what it is told when there are none."""

from tests.store.kit import HOUR, LEASE, T0, Clock, Hand, counted, end, get, new, promote_all, put, state_of
from windlass.store import Store
from windlass.store.protocol import MOST_CLAIMED
from windlass.values.clock import SECOND, moment
from windlass.values.job import Edge
from windlass.values.lease import ClaimRequest
from windlass.values.outcome import Verdict
from windlass.values.queue import QueueChange
from windlass.values.states import Event, State


def ids(claims: list) -> list[str]:
    return [claim.id for claim in claims]


async def test_first_in_first_out(store: Store) -> None:
    made = [id for n in range(30) for id in await put(store, new(args=f'{{"n":{n}}}'))]
    hand = Hand(store)
    assert ids([*await hand.take(7), *await hand.take(20), *await hand.take(20)]) == made


async def test_priority_goes_before_age(store: Store) -> None:
    low, normal, high, top, normal_2, high_2 = await put(
        store, *(new(priority=priority) for priority in (-100, 0, 5, 100, 0, 5))
    )
    assert ids(await Hand(store).take()) == [top, high, high_2, normal, normal_2, low]


async def test_one_order_over_all_queues(store: Store) -> None:
    jobs = [new(queue="abc"[n % 3], priority=n % 2) for n in range(12)]
    await put(store, *jobs)
    expected = sorted(range(12), key=lambda n: (-jobs[n].priority, n))
    hand = Hand(store, queues=("c", "a", "b"))
    assert ids([*await hand.take(5), *await hand.take(20)]) == [jobs[n].id for n in expected]


async def test_only_the_workers_queues(store: Store) -> None:
    a, b, c = await put(store, new(queue="a"), new(queue="b"), new(queue="c"))
    assert ids(await Hand(store, queues=("b",)).take()) == [b]
    assert ids(await Hand(store, queues=("never-used", "c")).take()) == [c]
    assert ids(await Hand(store).take()) == [a]


async def test_slots_are_per_runtime(store: Store) -> None:
    await put(store, *(new(runtime="thread") for _ in range(300)))
    a1, a2, p1, a3 = await put(store, new(), new(), new(runtime="process"), new())
    hand = Hand(store)
    claims = await hand.take({"async": 2, "process": 5})
    assert sorted(ids(claims)) == sorted([a1, a2, p1])
    claims = await hand.take({"thread": 3, "async": 5})
    assert sorted(claim.runtime for claim in claims) == ["async", "thread", "thread", "thread"]
    assert a3 in ids(claims)


async def test_no_slots_no_jobs(store: Store) -> None:
    await put(store, new())
    hand = Hand(store)
    assert await hand.take(0) == []
    assert await hand.take({}) == []
    assert await hand.take({"process": 3}) == []
    assert len(await hand.take(1)) == 1


async def test_a_claim_carries_the_whole_job(store: Store, clock: Clock) -> None:
    job = new(
        "mail.send",
        queue="mail",
        args='{"to":"a@x"}',
        runtime="thread",
        priority=7,
        max_attempts=9,
        options='{"timeout":1.5}',
        expires_at=T0 + HOUR,
        user="u",
        project="p",
        group="g",
        workflow="w",
        name="n",
        tags=("x", "y"),
    )
    await put(store, job)
    await clock.forward(5 * SECOND)
    (claim,) = await Hand(store).take({"thread": 1})
    assert (claim.id, claim.kind, claim.queue, claim.args) == (job.id, "mail.send", "mail", '{"to":"a@x"}')
    assert (claim.runtime, claim.priority, claim.max_attempts, claim.options) == ("thread", 7, 9, '{"timeout":1.5}')
    assert (claim.user, claim.project, claim.group, claim.workflow, claim.name) == ("u", "p", "g", "w", "n")
    assert (claim.tags, claim.attempt, claim.rescues, claim.cancelling) == (("x", "y"), 1, 0, False)
    assert (claim.created_at, claim.ready_at, claim.claimed_at) == (T0, T0, T0 + 5 * SECOND)
    assert claim.expires_at == T0 + HOUR


async def test_a_claimed_job_shows_who_has_it(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new())
    claim = await Hand(store, "worker-9").one()
    job = await get(store, id)
    assert (job.state, job.worker, job.lease, job.attempt) == (State.ACTIVE, "worker-9", claim.lease, 1)
    assert (job.started_at, job.finished_at) == (moment(T0), None)
    assert [(attempt.number, attempt.outcome) for attempt in job.attempts] == [(1, "active")]


async def test_a_lease_is_of_the_claim_and_only_grows(store: Store) -> None:
    await put(store, *(new() for _ in range(6)))
    hand = Hand(store)
    first, second = await hand.take(3), await hand.take(3)
    assert len({claim.lease for claim in first}) == len({claim.lease for claim in second}) == 1
    assert 0 < first[0].lease < second[0].lease
    await hand.finish(*(end(claim, Event.RELEASE) for claim in first))
    again = await hand.take(3)
    assert ids(again) == ids(first)
    assert again[0].lease > second[0].lease


async def test_a_delayed_job_was_ready_at_its_time(store: Store, clock: Clock) -> None:
    await put(store, new(delay=10 * SECOND))
    await clock.forward(25 * SECOND)
    await promote_all(store)
    claim = await Hand(store).one()
    assert (claim.created_at, claim.ready_at, claim.claimed_at) == (T0, T0 + 10 * SECOND, T0 + 25 * SECOND)


async def test_promote_says_how_long_until_the_next_is_due(store: Store, clock: Clock) -> None:
    assert (await store.promote(500)).wait is None
    await put(store, new())
    assert (await store.promote(500)).wait is None
    await put(store, new(delay=10 * SECOND), new(delay=HOUR))
    assert (await store.promote(500)).wait == 10 * SECOND
    await clock.forward(4 * SECOND)
    assert (await store.promote(500)).wait == 6 * SECOND
    await clock.forward(6 * SECOND)
    promoted = await store.promote(500)
    assert (promoted.moved, promoted.wait) == (1, HOUR - 10 * SECOND)


async def test_paused_queues_are_passed_over(store: Store) -> None:
    await store.put_queue("a", QueueChange(paused=True), "ops")
    a, b = await put(store, new(queue="a", priority=9), new(queue="b"))
    hand = Hand(store)
    assert ids(await hand.take()) == [b]
    assert (await Hand(store, queues=("a",)).ask()).jobs == []
    assert await state_of(store, a) is State.WAITING
    await store.put_queue("a", QueueChange(paused=False), "ops")
    assert ids(await hand.take()) == [a]


async def test_a_queue_is_paused_while_in_use(store: Store) -> None:
    await put(store, new(queue="a"), new(queue="a"))
    hand = Hand(store, queues=("a",))
    running = await hand.one()
    await store.put_queue("a", QueueChange(paused=True), "ops")
    assert await hand.take() == []
    await hand.complete(running)
    assert await counted(store, "a") == {State.WAITING: 1, State.COMPLETED: 1}


async def test_parked_jobs_are_out_of_reach_until_unparked(store: Store) -> None:
    first, second, third = await put(store, new("odd"), new(), new("odd"))
    hand = Hand(store)
    claims = {claim.id: claim for claim in await hand.take()}
    await hand.finish(
        end(claims[first], Event.RELEASE, park="kind:odd"),
        end(claims[third], Event.RELEASE, park="kind:odd"),
        end(claims[second], Event.RELEASE),
    )
    assert await state_of(store, first) is State.WAITING
    assert ids(await hand.take()) == [second]
    (fourth,) = await put(store, new())
    assert await store.unpark("kind:other") == 0
    assert await store.unpark("kind:odd") == 2
    assert await store.unpark("kind:odd") == 0
    assert ids(await hand.take()) == [first, third, fourth], "they come back in their old place"


async def test_unpark_goes_in_bounded_steps(store: Store) -> None:
    await put(store, *(new("odd") for _ in range(600)))
    hand = Hand(store)
    for batch in (await hand.take(200), await hand.take(200), await hand.take(200)):
        await hand.finish(*(end(claim, Event.RELEASE, park="kind:odd") for claim in batch))
    assert await hand.take() == []
    assert await store.unpark("kind:odd") == 500
    assert await store.unpark("kind:odd") == 100
    assert len(await hand.drain()) == 600


async def test_expired_jobs_are_passed_over(store: Store, clock: Clock) -> None:
    gone, live = await put(store, new(expires_in=10 * SECOND, priority=5), new(expires_in=20 * SECOND))
    await clock.forward(10 * SECOND)
    assert ids(await Hand(store).take()) == [live]
    assert await state_of(store, gone) in (State.WAITING, State.CANCELLED)
    await promote_all(store)
    assert await state_of(store, gone) is State.CANCELLED


async def test_a_lost_reply_brings_the_same_jobs_again(store: Store, clock: Clock) -> None:
    await put(store, *(new() for _ in range(5)))
    hand = Hand(store)
    first = (await hand.ask(3)).jobs
    await hand.complete(first[1])
    await clock.forward(LEASE // 2)
    again = (await hand.ask(3, again=True)).jobs
    assert ids(again) == [first[0].id, first[2].id]
    assert [claim.lease for claim in again] == [first[0].lease] * 2
    assert [claim.attempt for claim in again] == [1, 1]
    await store.rescue("other", LEASE, 10)
    await clock.forward(LEASE // 2)
    assert await store.rescue("other", LEASE, 10) == [], "the repeat renewed the leases"
    assert len(await hand.take(9)) == 2


async def test_a_repeat_gives_no_job_that_went_to_another(store: Store) -> None:
    await put(store, new())
    one, two = Hand(store, "one"), Hand(store, "two")
    claim = await one.one()
    await one.finish(end(claim, Event.RELEASE))
    taken = await two.one()
    assert (await one.ask(1, again=True)).jobs == []
    assert await two.finish(end(taken, Event.RELEASE)) == [Verdict.ACCEPTED]


async def test_numbers_count_per_session(store: Store) -> None:
    await put(store, *(new() for _ in range(3)))
    before, after = Hand(store, "same"), Hand(store, "same")
    first, second = await before.one(), await after.one()
    assert before.number == after.number == 1
    assert first.id != second.id


async def test_at_most_so_many_a_call(store: Store) -> None:
    await put(store, *(new() for _ in range(MOST_CLAIMED + 50)))
    hand = Hand(store)
    assert len(await hand.take(1_000)) == MOST_CLAIMED
    assert len(await hand.take(1_000)) == 50


async def test_an_empty_claim_says_how_long_to_wait(store: Store, clock: Clock) -> None:
    hand = Hand(store, queues=("a",))
    assert (await hand.ask()).wait is None
    await put(store, new(queue="b", delay=SECOND), new(queue="a", delay=9 * SECOND), new(queue="a", delay=4 * SECOND))
    claimed = await hand.ask()
    assert (claimed.jobs, claimed.wait, claimed.more) == ([], 4 * SECOND, False)
    await clock.forward(3 * SECOND)
    assert (await hand.ask()).wait == SECOND
    await clock.forward(SECOND)
    await promote_all(store)
    assert len(await hand.take()) == 1
    assert (await hand.ask()).wait == 5 * SECOND


async def test_a_retry_ahead_counts_as_a_wait(store: Store, clock: Clock) -> None:
    await put(store, new())
    hand = Hand(store)
    await hand.finish(end(await hand.one(), Event.RETRY, delay=7 * SECOND))
    assert (await hand.ask()).wait == 7 * SECOND


async def test_blocked_jobs_are_not_claimed(store: Store) -> None:
    (parent,) = await put(store, new())
    await put(store, new(after=(Edge(parent),), priority=50))
    assert ids(await Hand(store).take()) == [parent]


async def test_a_claim_without_queues_named_sees_new_queues(store: Store) -> None:
    hand = Hand(store)
    assert await hand.take() == []
    (id,) = await put(store, new(queue="born-later"))
    assert ids(await hand.take()) == [id]


async def test_the_second_attempt_is_number_two(store: Store, clock: Clock) -> None:
    await put(store, new())
    hand = Hand(store)
    first = await hand.one()
    await hand.finish(end(first, Event.RETRY, delay=0))
    await promote_all(store)
    second = await hand.one()
    assert (first.attempt, second.attempt) == (1, 2)


async def test_a_request_may_name_a_queue_twice(store: Store) -> None:
    await put(store, new(queue="a"), new(queue="a"))
    request = ClaimRequest(worker="w", session="s", number=1, slots={"async": 9}, lease=LEASE, queues=("a", "a"))
    assert len((await store.claim(request)).jobs) == 2
