"""A move between every two engines: all that is not finished arrives as it was, in its order, or the move says what did not."""

import itertools
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest

from tests.store.kit import HOUR, T0, Clock, Hand, Place, act, counted, end, get, new, promote_all, put, state_of
from tests.store.places import chosen_engines, place_for
from windlass.store import Store, moving
from windlass.store.moving import MoveFailed, MoveRefused, move, plan
from windlass.values.clock import SECOND
from windlass.values.job import Ahead, Edge, NewJob, UniqueKey
from windlass.values.lease import Delivery, LogLine, Progress, Step
from windlass.values.limit import Bound, LimitChange, Rate
from windlass.values.metrics import MINUTE
from windlass.values.query import Action, Page, Swap
from windlass.values.queue import QueueChange
from windlass.values.schedule import ScheduleRow
from windlass.values.snapshot import Snapshot
from windlass.values.states import Event, State

ENGINES = chosen_engines()
PAIRS = list(itertools.product(ENGINES, ENGINES))
ODD = '{"t":"nul \\u0000 \\ud800, 日本","f":1.5e300}'


@asynccontextmanager
async def stores(*engines: str) -> AsyncIterator[list[Store]]:
    """Fresh stores at the same held instant, audited at the end."""
    with ExitStack() as stack:
        places: list[Place] = [stack.enter_context(place_for(engine)) for engine in engines]
        for place in places:
            await place.open()
            await Clock(place.first).set(T0)
        try:
            yield [place.first for place in places]
            assert [await place.audit() for place in places] == [[] for _ in places]
        finally:
            for place in places:
                await place.close()


async def fill(store: Store) -> dict[str, str]:
    """One of everything that moves, and some that stay; ids by name."""
    hand = Hand(store)
    made: dict[str, NewJob[Any]] = {
        "dead": new(args=ODD, unique=UniqueKey(key="dead"), max_attempts=1, tags=("a", "b"), user="ann", name="n"),
        "retrying": new(args=ODD, project="p", group="g"),
        "done": new(),
        "active": new(options='{"timeout":3.0}'),
        "parked": new(),
        "held parent": new(),
        "started": new(unique=UniqueKey(key="started", until="started")),
    }
    for job in made.values():
        await put(store, job)
    for name, claim in zip(made, await hand.take(len(made)), strict=True):
        assert claim.id == made[name].id
        if name == "dead":
            await store.report([LogLine(claim.id, claim.lease, 1, "info", "a line")])
            await hand.finish(end(claim, Event.FAIL, reason="broken", error='{"type":"E","message":"m"}', took=5))
        if name == "retrying":
            await store.report([Progress(claim.id, claim.lease, 33.3, "a third")])
            await hand.finish(end(claim, Event.RETRY, delay=HOUR, error='{"type":"E","message":"m"}'))
        if name == "done":
            await hand.complete(claim, result='{"x":1}')
        if name == "parked":
            await hand.finish(end(claim, Event.RELEASE, park="kind:unknown"))
        if name == "held parent":
            await act(store, Action.CANCEL, claim.id)
            await hand.finish(end(claim, Event.ABORT, reason="cancelled"))
    parent = new(priority=-5)
    more = {
        "parent": parent,
        "child": new(after=(Edge(parent.id, "run"), Edge(made["dead"].id, "hold"))),
        "held child": new(after=(Edge(made["held parent"].id, "hold"),)),
        "delayed": new(delay=HOUR, expires_in=2 * HOUR, queue="other", runtime="thread"),
        "unique": new(unique=UniqueKey(key="u", on_conflict="replace")),
        "period": new(unique=UniqueKey(key="p", until="period", ttl=HOUR)),
        "workflow": new(workflow="w", max_attempts=9),
    }
    await put(store, *more.values())
    ahead = new(priority=-6, before=(Ahead(more["child"].id),))
    await put(store, ahead)
    await put(store, *(new(priority=n % 7 - 3, queue=f"q{n % 2}") for n in range(40)))
    await hand.beat(leaving=True)
    return {name: job.id for name, job in {**made, **more, "ahead": ahead}.items()}


@pytest.mark.parametrize(("source", "target"), PAIRS, ids=["-to-".join(pair) for pair in PAIRS])
async def test_everything_that_is_not_finished_arrives(source: str, target: str) -> None:
    async with stores(source, target) as (old, fresh):
        ids = await fill(old)
        row = ScheduleRow(key="s", spec='{"cron":"0 6 * * *"}', owner="app", due=T0 + HOUR, last_due=T0, fired=7)
        await old.put_schedules([row], "ops")
        await old.put_queue("other", QueueChange(paused=True), "ops")
        seen = await plan(old)
        told: list[int] = []
        moved = await move(old, fresh, told.append)
        assert (moved.jobs, moved.new, moved.schedules, moved.paused) == (told[-1], told[-1], 1, 1)
        # The cancelled parent comes along because a child still waits for it.
        assert (seen.total + 1, seen.schedules, seen.paused, seen.workers) == (moved.jobs, 1, 1, [])
        assert [r.fired for r in await fresh.schedules()] == [7]
        assert [q.name for q in await fresh.queues() if q.paused] == ["other"]
        for name, id in ids.items():
            if name == "done":
                assert await fresh.job(id) is None
                continue
            was, now = await get(old, id), await get(fresh, id)
            state = State.WAITING if was.state is State.ACTIVE else was.state
            assert (now.state, now.args, now.tags) == (state, was.args, was.tags), name
            assert now.attempts == (() if was.state is State.ACTIVE else was.attempts), name
        assert (await get(fresh, ids["dead"])).error == (await get(old, ids["dead"])).error
        again = await move(old, fresh)
        assert (again.jobs, again.new, again.checksum) == (moved.jobs, 0, moved.checksum)


@pytest.mark.parametrize(("source", "target"), PAIRS, ids=["-to-".join(pair) for pair in PAIRS])
async def test_limits_turns_and_steps_arrive(source: str, target: str) -> None:
    async with stores(source, target) as (old, fresh):
        await old.put_queue("work", QueueChange(order="fair", ageing=5 * MINUTE), "ops")
        changes = [
            LimitChange(key="queue:default", concurrency=3),
            LimitChange(key="tenant:a", rate=Rate(5, HOUR), pinned=True),
            LimitChange(key="provider:x", shut_for=HOUR, trial=1),
        ]
        await old.put_limits(changes, "ops")
        hand = Hand(old)
        durable = new()
        await put(old, durable)
        claim = await hand.one()
        await old.report([Step(claim.id, claim.lease, 0, "charge", "17")])
        await hand.finish(end(claim, Event.SUSPEND, signal="approval"))
        await old.signal(durable.id, "other", '"early"', "ops")
        await hand.beat(leaving=True)
        await put(old, *(new(group=f"g{n}", weight=n + 1, queue="work", limits=(Bound("own", 1),)) for n in range(3)))
        await move(old, fresh)
        settings = {queue.name: (queue.order, queue.ageing) for queue in await fresh.queues()}
        assert settings["work"] == ("fair", 5 * MINUTE)
        limits = {limit.key: limit for limit in await fresh.limits()}
        assert limits["queue:default"].concurrency == 3
        assert (limits["tenant:a"].rate, limits["tenant:a"].pinned) == (Rate(5, HOUR), True)
        assert (limits["provider:x"].shut_until, limits["provider:x"].trial) == (T0 + HOUR, 1)
        assert len(await Hand(fresh, "there").drain()) == 1, "one of the three runs at a time"
        assert [(step.name, step.value) for step in await fresh.steps(durable.id)] == [("charge", "17")]
        assert await fresh.signal(durable.id, "approval", "true", "ops") is Delivery.WOKEN


@pytest.mark.parametrize(("source", "target"), PAIRS, ids=["-to-".join(pair) for pair in PAIRS])
async def test_records_arrive_and_leave_those_of_the_target_alone(source: str, target: str) -> None:
    async with stores(source, target) as (old, fresh):
        await old.exchange([Swap(space="pinned", key=f"q{n}", text=f'"{n}"') for n in range(3)])
        await old.exchange([Swap(space="other", key="q", text="1")])
        await fresh.exchange([Swap(space="pinned", key="q1", text='"new"')])
        await move(old, fresh, spaces=("pinned",))
        texts = {record.key: record.text for record in await fresh.records("pinned")}
        assert texts == {"q0": '"0"', "q1": '"new"', "q2": '"2"'}
        assert await fresh.records("other") == []


@pytest.mark.parametrize(("source", "target"), PAIRS, ids=["-to-".join(pair) for pair in PAIRS])
async def test_work_goes_on_as_it_would_have(source: str, target: str) -> None:
    async with stores(source, target) as (old, fresh):
        ids = await fill(old)
        await move(old, fresh)
        hands = Hand(old, "a"), Hand(fresh, "b")
        expected, order = [[claim.id for claim in await hand.drain()] for hand in hands]
        stayed = {ids["active"], ids["started"]}  # they are active at the source
        assert [id for id in order if id not in stayed] == expected
        assert stayed <= set(order)
        await fresh.unpark("kind:unknown")
        (claim,) = await hands[1].take()
        assert claim.id == ids["parked"]
        assert await fresh.enqueue([new(unique=UniqueKey(key="u"))]) == await old.enqueue(
            [new(unique=UniqueKey(key="u"))]
        )
        held = [(await store.enqueue([new(unique=UniqueKey(key="p"))]))[0] for store in (old, fresh)]
        assert [(answer.id, answer.created) for answer in held] == [(ids["period"], False)] * 2
        assert (await fresh.enqueue([new(unique=UniqueKey(key="started"))]))[0].created
        # A dead letter takes its key again when it is requeued, and a held child is released by what it waits for.
        assert (await act(fresh, Action.REQUEUE, ids["dead"])).done == (ids["dead"],)
        assert (await fresh.enqueue([new(unique=UniqueKey(key="dead"))]))[0].id == ids["dead"]
        await Clock(fresh).set(T0 + HOUR + SECOND)
        await promote_all(fresh)
        assert await state_of(fresh, ids["retrying"]) is State.WAITING
        assert (await fresh.enqueue([new(unique=UniqueKey(key="p"))]))[0].created, "the period ends when it would have"
        first = (await fresh.enqueue([new()]))[0].id
        last = [claim.id for claim in await hands[1].drain()]
        assert last.index(first) > last.index(ids["dead"]), "places given here come after those that were moved"


@pytest.mark.parametrize(("source", "target"), PAIRS, ids=["-to-".join(pair) for pair in PAIRS])
async def test_edges_are_settled_at_the_target(source: str, target: str) -> None:
    async with stores(source, target) as (old, fresh):
        hand = Hand(old)
        wide, narrow, dead = new(), new(), new(max_attempts=1)
        await put(old, wide, narrow, dead)
        children = [new("child", after=(Edge(wide.id),)) for _ in range(600)]
        chained = new("child", after=(Edge(narrow.id, "run"), Edge(dead.id, "hold")))
        ahead = new(priority=-9, before=(Ahead(chained.id),))
        await put(old, *children, chained)
        await put(old, ahead)
        claims = {claim.id: claim for claim in await hand.take(3)}
        await hand.complete(claims[wide.id])  # 256 children are released at once, the rest is left to promote
        await hand.finish(end(claims[dead.id], Event.FAIL))
        await hand.finish(end(claims[narrow.id], Event.RELEASE))
        await hand.beat(leaving=True)
        await move(old, fresh)
        await promote_all(fresh)
        mine = Hand(fresh)
        taken = await mine.drain()
        assert {claim.id for claim in taken} == {narrow.id, ahead.id, *(child.id for child in children)}
        by_id = {claim.id: claim for claim in taken}
        await mine.complete(by_id[narrow.id])
        assert await state_of(fresh, chained.id) is State.BLOCKED
        await act(fresh, Action.REQUEUE, dead.id)
        await mine.complete(await mine.one())
        assert await state_of(fresh, chained.id) is State.BLOCKED, "it still waits for the job that was put ahead of it"
        await mine.complete(by_id[ahead.id])
        await promote_all(fresh)
        assert await state_of(fresh, chained.id) is State.WAITING


class Breaking:
    """A store whose connection breaks at the n-th page that it is to store."""

    def __init__(self, store: Store, after: int) -> None:
        self._store = store
        self._left = after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def load(self, snapshots: list[Snapshot]) -> int:
        self._left -= 1
        if self._left < 0:
            raise ConnectionError("cut")
        return await self._store.load(snapshots)


@pytest.mark.parametrize(
    ("source", "target"), [("sqlite-file", "redis"), ("redis", "postgres"), ("postgres", "sqlite-file")]
)
async def test_a_move_that_broke_off_is_made_again(source: str, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not {source, target} <= set(ENGINES):
        return
    monkeypatch.setattr(moving, "PAGE", 10)
    async with stores(source, target) as (old, fresh):
        ids = await fill(old)
        with pytest.raises(ConnectionError):
            await move(old, Breaking(fresh, 3))  # type: ignore[arg-type]
        part = sum((await counted(fresh)).values())
        assert 0 < part <= 30  # an engine may give a short page
        moved = await move(old, fresh)
        assert moved.new == moved.jobs - part
        assert await state_of(fresh, ids["child"]) is State.BLOCKED


@pytest.mark.parametrize("engine", ENGINES)
async def test_workers_are_in_the_way(engine: str) -> None:
    async with stores(engine, engine) as (old, fresh):
        await put(old, new())
        for busy in (old, fresh):
            hand = Hand(busy, "alive")
            await hand.beat()
            with pytest.raises(MoveRefused) as refused:
                await move(old, fresh)
            assert refused.value.workers == ["alive"]
            await hand.beat(leaving=True)
        assert await fresh.counts() == []
        assert (await move(old, fresh)).jobs == 1


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_copy_that_differs_is_found(engine: str) -> None:
    async with stores(engine, engine) as (old, fresh):
        job, good = new(args='{"n":1}'), new()
        await put(old, job, good)
        await put(fresh, NewJob(id=job.id, kind="work", args='{"n":2}'))
        with pytest.raises(MoveFailed) as refused:
            await move(old, fresh)
        assert (refused.value.missing, refused.value.changed) == ([], [job.id])
        assert await counted(old) == {State.WAITING: 2}


class Forgetful:
    """A store that has lost a job by the time it is read."""

    def __init__(self, store: Store, id: str) -> None:
        self._store = store
        self._id = id

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def dump(self, cursor: str | None = None, limit: int = 500) -> Page[Snapshot]:
        page = await self._store.dump(cursor, limit)
        return Page([each for each in page.items if each.record["id"] != self._id], page.next)


async def test_a_copy_that_is_missing_is_found() -> None:
    async with stores("sqlite-file", "sqlite-memory") as (old, fresh):
        job = new()
        await put(old, job, new())
        with pytest.raises(MoveFailed) as refused:
            await move(old, Forgetful(fresh, job.id))  # type: ignore[arg-type]
        assert refused.value.missing == [job.id]


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_source_that_changes_meanwhile_is_found(engine: str) -> None:
    async with stores(engine, "sqlite-memory") as (old, fresh):
        await put(old, new())
        late = new()

        class Late(Breaking):
            async def load(self, snapshots: list[Snapshot]) -> int:
                await put(old, late)
                return await fresh.load(snapshots)

        with pytest.raises(MoveFailed, match="changed during the move"):
            await move(old, Late(fresh, 9))  # type: ignore[arg-type]
        moved = await move(old, fresh)
        assert (moved.jobs, moved.new) == (2, 1)


@pytest.mark.parametrize("engine", ENGINES)
async def test_an_empty_store_moves_too(engine: str) -> None:
    async with stores(engine, engine) as (old, fresh):
        assert (await move(old, fresh)).jobs == 0
        assert (await plan(old)).total == 0
