"""A job of five steps whose worker is killed at every call to the store: what is on record is never done again.

What was done is told by the handlers' own effect file, never by the store alone.
"""

import asyncio
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.chaos import durable
from tests.chaos.durable import STEPS
from tests.store.places import in_turns
from tests.waiting import until
from tests.worker.crew import ROOT, Crew, Process, crew_of
from tests.worker.kit import ended
from windlass.app import Windlass

POINTS = (
    "heartbeat:1:after",
    "promote:1:after",
    "rescue:1:before",
    "claim:1:after",
    "steps:1:before",
    "steps:1:after",
    *(f"report:{number}:{when}" for number in range(1, 6) for when in ("before", "after")),
    "finish:1:before",
    "finish:1:after",
)

HOUSE = ("heartbeat", "promote", "rescue")


async def start(crew: Crew, **environment: object) -> Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.chaos.durable"),
        env={**crew.environment, **{name: str(value) for name, value in environment.items()}},
        cwd=ROOT,
    )
    crew.processes.append(process)
    return process


def expected(point: str, done: Counter[str]) -> Counter[str]:
    """How often each step may have had its effect: twice if the worker died between effect and record. The duties of the house go
    on beside the job, so a kill at one of their calls may meet any one step there."""
    verb, number, when = point.split(":")
    counts = Counter(STEPS)
    if verb == "report" and when == "before":
        counts[STEPS[int(number) - 1]] += 1
    elif verb in HOUSE and done.total() == len(STEPS) + 1:
        counts.update(step for step in STEPS if done[step] == 2)
    return counts


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("app", "kind"), in_turns(["order"], ["order-in-thread", "order-in-process"]), indirect=["app"]
)
async def test_steps_survive_kills(app: Windlass, tmp_path: Path, kind: str) -> None:
    handler = durable.app.handlers[kind]
    app.handlers[kind] = handler
    async with app, crew_of(app, tmp_path) as crew:
        jobs: dict[str, str] = {}
        for number, point in enumerate(POINTS):
            [ref] = await app.enqueue_many([handler.options(queue=f"q{number}").job()])
            jobs[point] = ref.id
        # A few at a time: each is a whole process.
        room = asyncio.Semaphore(4)

        async def doom(number: int, point: str) -> int:
            async with room:
                return await (await start(crew, KILL=point, QUEUE=f"q{number}")).wait()

        codes = await asyncio.gather(*(doom(*each) for each in enumerate(POINTS)))
        assert set(codes) == {-9}
        before = {what: Counter(effect.job for effect in crew.effects(what)) for what in STEPS}
        assert before[STEPS[0]], "nobody came so far as to have an effect"
        await start(crew)
        for point, id in jobs.items():
            await check(app, crew, point, id)


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_sleeps_and_signals_survive_kills(app: Windlass, tmp_path: Path) -> None:
    """Killed at the notes of a step, a sleep's begin and end, the taking of a signal and a step; and at the ends of both runs."""
    reports = [f"report:{number}:{when}" for number in range(1, 6) for when in ("before", "after")]
    points = [*reports, *(f"finish:{number}:{when}" for number in (1, 2) for when in ("before", "after"))]
    app.handlers["approval"] = durable.approval
    async with app, crew_of(app, tmp_path) as crew:
        jobs: dict[str, str] = {}
        for number, point in enumerate(points):
            [ref] = await app.enqueue_many([durable.approval.options(queue=f"q{number}").job()])
            for said in ("first", "second"):
                assert await app.jobs.signal(ref, "go", said) == "kept"
            jobs[point] = ref.id
        room = asyncio.Semaphore(4)

        async def doom(number: int, point: str) -> int:
            async with room:
                return await (await start(crew, KILL=point, QUEUE=f"q{number}")).wait()

        assert set(await asyncio.gather(*(doom(*each) for each in enumerate(points)))) == {-9}
        await start(crew)
        for point, id in jobs.items():
            job = await ended(app, id, 60)
            assert (job.state, job.attempt) == ("completed", 1), point
            assert job.result[1] == "first", f"{point}: the signal was lost or taken twice"
            times = [sum(effect.job == id for effect in crew.effects(what)) for what in ("reserve", "thank")]
            twice = {"report:1:before": [2, 1], "report:5:before": [1, 2]}
            assert times == twice.get(point, [1, 1]), point
            steps = await app.jobs.steps(id)
            assert [(step.what, step.done) for step in steps] == [
                ("step", True), ("sleep", True), ("signal", True), ("step", True)
            ], point  # fmt: skip


@pytest.mark.slow
async def test_an_iterable_job_goes_on_from_its_cursor(app: Windlass, tmp_path: Path) -> None:
    rows = 60
    app.handlers["export"] = durable.export
    async with app, crew_of(app, tmp_path) as crew:
        [ref] = await app.enqueue_many([durable.export.job(rows)])
        doomed = await start(crew)
        await until(lambda: crew.effects("row-40"), "forty rows")
        await crew.kill(doomed)
        [cursor] = await app.jobs.steps(ref)
        await start(crew)
        job = await ended(app, ref.id)
        assert (job.state, job.rescues) == ("completed", 1)
        times = [len(crew.effects(f"row-{row}")) for row in range(rows)]
        assert min(times) == 1 and max(times) == 2
        # What was done again is what came after the cursor, and that is less than was done before it.
        again = [row for row, count in enumerate(times) if count == 2]
        assert again[0] == cursor.result >= 20


@pytest.mark.slow
async def test_a_killed_call_costs_only_those_not_marked(app: Windlass, tmp_path: Path) -> None:
    app.handlers["push"] = durable.push
    async with app, crew_of(app, tmp_path) as crew:
        refs = await app.enqueue_many([durable.push.job(n) for n in range(10)])
        doomed = await start(crew, KILL="finish:1000:before")
        for ref in refs[:5]:
            assert (await ended(app, ref.id)).result is not None
        await crew.kill(doomed)
        assert len(crew.effects("push")) == 10
        await start(crew)
        jobs = [await ended(app, ref.id) for ref in refs]
        assert [job.result for job in jobs] == [0, 1, 2, 3, 4, -1, -1, -1, -1, -1]
        assert [job.rescues for job in jobs] == [0] * 5 + [1] * 5
        assert Counter(effect.job for effect in crew.effects("push")) == {
            ref.id: 1 + (n >= 5) for n, ref in enumerate(refs)
        }


async def check(app: Windlass, crew: Crew, point: str, id: str) -> None:
    job = await ended(app, id, 60)
    assert (job.state, job.attempt) == ("completed", 1), point
    effects = [(effect.what, effect.lease) for what in STEPS for effect in crew.effects(what) if effect.job == id]
    done = Counter(what for what, _ in effects)
    wanted = expected(point, done)
    assert done == wanted, point
    # Every step is on record once, and the result that the job has is that of the effect on record.
    steps = await app.jobs.steps(id)
    assert [(step.position, step.name, step.done) for step in steps] == [
        (n, name, True) for n, name in enumerate(STEPS)
    ]
    last = dict(sorted(effects, key=lambda each: each[1]))
    assert [step.result for step in steps] == [f"{name} by lease {last[name]}" for name in STEPS], point
    assert job.result == [step.result for step in steps], point
    if done.total() == len(STEPS) and point.startswith((*HOUSE, "finish:1:after")):
        return
    # The history shows that a worker was lost, and from where the other went on.
    rescues = [each.finished_at for each in job.attempts if each.outcome == "rescue" and each.finished_at is not None]
    assert rescues, point
    said = [line.text for line in await app.jobs.log(id)]
    if wanted.total() > len(STEPS):
        again = next(name for name in STEPS if wanted[name] > 1)
        assert any(repr(again) in text and "before" in text for text in said), (point, said)
        # On a loaded machine a worker may also lose its short lease before it was killed, having done nothing yet.
        before = [[step.name for step in steps if step.at < rescued_at] for rescued_at in rescues]
        assert list(STEPS[: STEPS.index(again)]) in before, (point, job.attempts)


async def test_what_the_dying_record_is_seen_by_the_next(app: Windlass, tmp_path: Path) -> None:
    """One kill, quick enough for every run of the suite: between the second effect and its record."""
    app.handlers["order"] = durable.order
    async with app, crew_of(app, tmp_path) as crew:
        [ref] = await app.enqueue_many([durable.order.job()])
        assert await (await start(crew, KILL="report:2:before")).wait() == -9
        assert [Counter(e.job for e in crew.effects(what))[ref.id] for what in STEPS] == [1, 1, 0, 0, 0]
        await start(crew)
        await until(lambda: crew.effects("thank"), "the order to be carried out")
        await check(app, crew, "report:2:before", ref.id)
