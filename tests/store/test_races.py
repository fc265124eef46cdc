"""Several handles, threads and processes at once: what must happen once happens once."""

import asyncio
import json
import sys
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from tests.store.kit import HOUR, LEASE, T0, Clock, Hand, Place, act, counted, end, get, new, promote_all, put, state_of
from tests.store.racer import race
from windlass.store import Store
from windlass.values.job import Edge, NewJob, UniqueKey
from windlass.values.outcome import Verdict
from windlass.values.query import Action, Retention, Swap
from windlass.values.queue import QueueChange
from windlass.values.schedule import ScheduleRow
from windlass.values.states import Event, State

T = TypeVar("T")


async def together(place: Place, body: Callable[[Store, int], Awaitable[T]], racers: int = 4) -> list[T]:
    """`body(store, number)` in so many threads, each with its own loop and handle, let off at one moment."""
    start = threading.Barrier(racers, timeout=30)

    async def main(number: int) -> T:
        store = place.handle()
        await store.open()
        try:
            start.wait()
            return await body(store, number)
        finally:
            await store.close()

    return await asyncio.gather(*(asyncio.to_thread(lambda n=n: asyncio.run(main(n))) for n in range(racers)))


async def test_no_job_is_claimed_twice(store: Store, place: Place) -> None:
    ids = await put(store, *(new(priority=n % 3, queue="abc"[n % 3]) for n in range(400)))

    async def claim_all(store: Store, number: int) -> list[str]:
        hand = Hand(store, f"w{number}")
        return [claim.id for claim in await hand.drain(7)]

    taken = [id for some in await together(place, claim_all) for id in some]
    assert sorted(taken) == sorted(ids)
    assert await counted(store) == {State.ACTIVE: 400}


async def test_work_and_production_together(store: Store, place: Place) -> None:
    """Two enqueue while two work: every job ends once."""
    made = threading.Event()
    ids: list[str] = []

    async def body(store: Store, number: int) -> list[str]:
        if number < 2:
            try:
                for _ in range(15):
                    ids.extend(await put(store, *(new() for _ in range(10))))
            finally:
                if number == 1:
                    made.set()
            return []
        done: list[str] = []
        hand = Hand(store, f"w{number}")
        while True:
            last = made.is_set()
            claims = await hand.take(9)
            await hand.complete(*claims)
            done += [claim.id for claim in claims]
            if last and not claims:
                return done

    done = [id for some in await together(place, body) for id in some]
    hand = Hand(store)
    while claims := await hand.take(200):  # the other producer may have gone on a little longer
        await hand.complete(*claims)
        done += [claim.id for claim in claims]
    assert sorted(done) == sorted(ids)
    assert await counted(store) == {State.COMPLETED: 300}


async def test_processes_share_the_work(store: Store, place: Place) -> None:
    ids = await put(store, *(new(args=json.dumps({"n": n})) for n in range(300)))
    if place.crosses_processes:
        racers = [await _process(place) for _ in range(2)]
        outputs = [await racer.communicate() for racer in racers]
        assert [racer.returncode for racer in racers] == [0, 0], outputs[0][1] + outputs[1][1]
        done = [id for out, _ in outputs for id in json.loads(out)]
    else:
        done = [id for some in await together(place, lambda store, number: race(store, f"w{number}"), 2) for id in some]
    assert sorted(done) == sorted(ids)
    assert await counted(store) == {State.COMPLETED: 300}


async def _process(place: Place) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.store.racer", place.url, place.namespace),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )


async def test_a_due_time_fires_once(store: Store, place: Place) -> None:
    keys = [f"s{n}" for n in range(20)]
    await store.put_schedules([ScheduleRow(key=key, spec="{}", due=T0) for key in keys], "ops")

    async def fire_all(store: Store, number: int) -> int:
        fired = [await store.fire(key, T0, T0 + HOUR, new(key)) for key in keys]
        return sum(answer is not None for answer in fired)

    assert sum(await together(place, fire_all)) == 20
    assert await counted(store) == {State.WAITING: 20}
    assert {row.fired for row in await store.schedules()} == {1}


async def test_a_lapsed_lease_goes_to_one_rescuer(store: Store, clock: Clock, place: Place) -> None:
    ids = await put(store, *(new() for _ in range(60)))
    await store.rescue("first", LEASE, 1)
    await Hand(store).take(60)
    for _ in range(3):
        await clock.forward(LEASE // 3 - 1)
        assert await store.rescue("first", LEASE, 10) == []
    await clock.forward(3)

    async def rescue(store: Store, number: int) -> list[str]:
        taken: list[str] = []
        while some := await store.rescue(f"r{number}", LEASE, 7):
            taken += [claim.id for claim in some]
        return taken

    taken = [id for some in await together(place, rescue) for id in some]
    assert sorted(taken) == sorted(ids)


async def test_a_unique_key_elects_one(store: Store, place: Place) -> None:
    async def enqueue_all(store: Store, number: int) -> list[tuple[str, bool]]:
        answers = []
        for n in range(30):
            answers += await store.enqueue([new(unique=UniqueKey(key=f"k{n}"))])
        return [(answer.id, answer.created) for answer in answers]

    answers = await together(place, enqueue_all)
    for of_one_key in zip(*answers, strict=True):
        assert len({id for id, _ in of_one_key}) == 1
        assert [created for _, created in of_one_key].count(True) == 1
    assert await counted(store) == {State.WAITING: 30}


async def test_one_id_is_stored_once(store: Store, place: Place) -> None:
    jobs = [new() for _ in range(30)]

    async def enqueue_all(store: Store, number: int) -> list[str]:
        return [answer.id for job in jobs for answer in await store.enqueue([job]) if answer.created]

    for ids in await together(place, enqueue_all):
        assert ids == [job.id for job in jobs]
    assert await counted(store) == {State.WAITING: 30}


async def test_finish_against_cancel(store: Store, place: Place) -> None:
    """A retry against a cancel ends cancelled, whoever is first; a completion is either before or after the flag."""
    ids = await put(store, *(new() for _ in range(60)))
    claims = await Hand(store).take(60)
    retried = {claim.id for claim in claims[::2]}

    async def body(store: Store, number: int) -> list[str]:
        if number == 0:
            for claim in claims:
                event = Event.RETRY if claim.id in retried else Event.COMPLETE
                assert await store.finish([end(claim, event, delay=HOUR)]) == [Verdict.ACCEPTED]
            return []
        return [id for id in ids for id in (await act(store, Action.CANCEL, id)).refused]

    _, refused = await together(place, body, 2)
    assert not set(refused) & retried
    for id in ids:
        job = await get(store, id)
        assert job.state is (State.CANCELLED if id in retried else State.COMPLETED)


async def test_one_finish_of_a_lease_is_taken(store: Store, place: Place) -> None:
    await put(store, *(new() for _ in range(50)))
    claims = await Hand(store).take(50)
    follows = {claim.id: new("follow") for claim in claims}

    async def finish_all(store: Store, number: int) -> list[Verdict]:
        verdicts: list[Verdict] = []
        for claim in claims:
            verdicts += await store.finish([end(claim, Event.COMPLETE, follow=(follows[claim.id],))])
        return verdicts

    for verdicts in zip(*await together(place, finish_all), strict=True):
        assert Counter(verdicts) == {Verdict.ACCEPTED: 1, Verdict.REPEAT: 3}
    assert await counted(store) == {State.COMPLETED: 50, State.WAITING: 50}


async def test_parents_that_end_together_unblock_their_child(store: Store, place: Place) -> None:
    parents = [[new(queue="parents") for _ in range(4)] for _ in range(25)]
    children = [new(queue="children", after=tuple(Edge(parent.id) for parent in some)) for some in parents]
    await put(store, *(parent for some in parents for parent in some), *children)
    claims = {claim.id: claim for claim in await Hand(store, queues=("parents",)).drain()}

    async def finish_mine(store: Store, number: int) -> None:
        for some in parents:
            await Hand(store).complete(claims[some[number].id])

    await together(place, finish_mine)
    await promote_all(store)
    assert await counted(store, "children") == {State.WAITING: 25}


async def test_a_child_born_while_its_parent_ends_is_not_forgotten(store: Store, place: Place) -> None:
    parents = [new(queue="parents") for _ in range(40)]
    await put(store, *parents)
    claims = await Hand(store).take(40)

    async def body(store: Store, number: int) -> None:
        for parent, claim in zip(parents, claims, strict=True):
            if number == 0:
                await Hand(store).complete(claim)
            else:
                await put(store, new(queue="children", after=(Edge(parent.id),)))

    await together(place, body, 3)
    await promote_all(store)
    assert await counted(store, "children") == {State.WAITING: 80}


async def test_compare_and_set_counts_every_step(store: Store, place: Place) -> None:
    async def step(store: Store, number: int) -> None:
        for _ in range(20):
            while True:
                found = await store.records("s", ["n"])
                version, value = (found[0].version, int(found[0].text or 0)) if found else (0, 0)
                (record,) = await store.exchange([Swap(space="s", key="n", text=str(value + 1), expect=version)])
                if record.swapped:
                    break

    await together(place, step)
    (record,) = await store.records("s")
    assert record.text == "80"


async def test_promotions_move_each_job_once(store: Store, clock: Clock, place: Place) -> None:
    await put(store, *(new(delay=1) for _ in range(200)))
    await clock.forward(1)

    async def promote(store: Store, number: int) -> int:
        moved = 0
        while (promoted := await store.promote(20)).moved:
            moved += promoted.moved
        return moved

    assert sum(await together(place, promote)) == 200
    assert await counted(store) == {State.WAITING: 200}


async def test_everything_at_once_keeps_the_sums(store: Store, place: Place) -> None:
    """All verbs in all threads; the audit after the test compares the sums with the jobs."""

    async def body(store: Store, number: int) -> None:
        hand = Hand(store, f"w{number}")
        for step in range(12):
            await store.enqueue(_mixture(step, number))
            claims = await hand.take(6)
            events = [Event.COMPLETE, Event.FAIL, Event.RETRY, Event.RELEASE, Event.SNOOZE, Event.ABORT]
            await store.finish([end(claim, events[n]) for n, claim in enumerate(claims)])
            await act(store, Action.CANCEL, *(claim.id for claim in claims[2:4]))
            await act(store, Action.REQUEUE, *(claim.id for claim in claims[:2]))
            await act(store, Action.DELETE, *(claim.id for claim in claims[4:5]))
            await store.promote(50)
            await store.prune(Retention(keep_completed=5), 20)
            await hand.beat()

    await together(place, body)
    assert sum((await counted(store)).values()) > 0


def _mixture(step: int, number: int) -> list[NewJob]:
    parent = new(priority=step % 3)
    return [
        parent,
        new(after=(Edge(parent.id),)),
        new(after=(Edge(parent.id, "run"),)),
        new(unique=UniqueKey(key=f"k{step % 4}")),
        new(queue=f"q{number}", delay=step % 2 * HOUR),
    ]


async def test_a_call_given_up_half_way_takes_no_later_one_with_it(store: Store, place: Place) -> None:
    """A cancelled call must not leave its transaction on the connection: the next call's writes would be accepted there
    and never committed."""
    other = await place.another()
    for n in range(60):
        calls = (store.put_queue("q", QueueChange(paused=bool(n % 2)), "ops"), put(store, new("given-up")))
        given_up = [asyncio.create_task(call) for call in calls]
        await asyncio.sleep(n * 0.00005)  # not a wait for anything: each round cuts the call at another point
        for call in given_up:
            call.cancel()
        await asyncio.gather(*given_up, return_exceptions=True)
        (id,) = await put(store, new("kept"))
        assert await state_of(other, id) is State.WAITING
