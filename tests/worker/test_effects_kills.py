"""Workers killed at every call to the store around an effect, and around the send: done once, or held and listed.

What was done is told by the world outside (a file that the handlers append to), never by the store alone.
"""

import asyncio
import random
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.places import chosen_engines, in_turns, place_for
from tests.waiting import until
from tests.worker import effectful
from tests.worker.crew import ROOT, Crew, Process, crew_of
from tests.worker.kit import ended
from windlass.app import Windlass


@pytest.fixture(params=chosen_engines(processes=True))
def app(request: pytest.FixtureRequest) -> Iterator[Windlass]:
    """An app on a store of its own that other processes reach."""
    with place_for(request.param) as place:
        yield Windlass(place.url, namespace=place.namespace)


ENDS = ("finish:1:before", "finish:1:after")
SEND = ("send:1:before", "send:1:after")
TWO = ("exchange:1:before", "exchange:1:after", "exchange:2:before", "exchange:2:after")
THREE = (*TWO, "exchange:3:before", "exchange:3:after")
LOOK = ("claim:1:after", "records:1:before", "records:1:after")
POINTS = {
    "hold": (*LOOK, *TWO, *SEND, *ENDS),
    "look": (*LOOK, *THREE, *SEND, *ENDS),
    "look-in-thread": (*LOOK, *THREE, *SEND, *ENDS),
    "again": (*LOOK, *TWO, *SEND, *ENDS),
    # A child is killed, and its worker lives on: what happens at the store is the worker's.
    "hold-in-process": (*LOOK, *TWO, *ENDS),
}


async def start(crew: Crew, **environment: object) -> Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.worker.effectful"),
        env={**crew.environment, **{name: str(value) for name, value in environment.items()}},
        cwd=ROOT,
    )
    crew.processes.append(process)
    return process


def sent(crew: Crew, key: str) -> int:
    return sum(1 for effect in crew.effects("sent") if effect.job == key)


def is_in_doubt(point: str) -> bool:
    """Whether the worker died between the two records: perhaps sent, perhaps not."""
    return point in ("exchange:1:after", "exchange:2:before", *SEND)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("app", "kind"), in_turns(["hold", "look"], ["look-in-thread", "again", "hold-in-process"]), indirect=["app"]
)
async def test_killed_at_every_call(app: Windlass, tmp_path: Path, kind: str) -> None:
    handler = effectful.app.handlers[kind]
    app.handlers[kind] = handler
    async with app, crew_of(app, tmp_path) as crew:
        jobs: dict[str, str] = {}
        for number, point in enumerate(POINTS[kind]):
            [ref] = await app.enqueue_many([handler.options(queue=f"q{number}").job(point.replace(":", "-"))])
            jobs[point] = ref.id
        room = asyncio.Semaphore(4)  # each is a whole process

        async def doom(number: int, point: str) -> None:
            async with room:
                assert await (await start(crew, KILL=point, QUEUE=f"q{number}")).wait() == -9, point

        await asyncio.gather(*(doom(number, point) for number, point in enumerate(jobs)))
        await start(crew)
        held = 0
        for point, id in jobs.items():
            held += await settle(app, crew, kind, point, id)
        assert held == (sum(map(is_in_doubt, POINTS[kind])) if kind.startswith("hold") else 0)
        assert await app.effects.list(running=True) == []
        assert len(crew.effects("sent")) == len(jobs)


async def settle(app: Windlass, crew: Crew, kind: str, point: str, id: str) -> bool:
    """Wait for the end of a job; decide about it if it is held, as a person would who looks at the world. Whether it was."""
    key = point.replace(":", "-")
    job = await ended(app, id, 60)
    held = job.state == "failed"
    if held:
        assert kind.startswith("hold") and is_in_doubt(point), (point, job.error)
        assert job.error is not None and (job.error.category, job.error.type) == ("held", "OutcomeUnknown"), point
        [info] = [each for each in await app.effects.list() if each.key == key]
        assert (info.state, info.job) == ("held", id), point
        if sent(crew, key):
            await app.effects.resolve(info.effect, "done", actor="test", result="seen")
        else:
            await app.effects.resolve(info.effect, "resend", actor="test")
        await app.jobs.requeue(ids=[id])
        job = await ended(app, id, 60)
    assert (job.state, job.attempt) == ("completed", 1), (point, job.error)
    assert sent(crew, key) == 1, point
    assert job.result == "seen" or str(job.result).startswith("sent under lease"), point
    info = await app.effects.get(f"{kind.split('-')[0]}/{key}")
    assert (info.state, info.result) == ("done", job.result), point
    return held


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_many_jobs_of_a_key_and_many_kills(app: Windlass, tmp_path: Path) -> None:
    """Three jobs for each of forty keys, three workers, one of them killed every now and then: each key once."""
    app.handlers["look"] = effectful.look
    chance = random.Random(1)
    keys = [f"k{n}" for n in range(40)]
    async with app, crew_of(app, tmp_path) as crew:
        jobs = [effectful.look.options(max_attempts=50).job(key) for key in keys * 3]
        refs = await app.enqueue_many(jobs)
        crews = [await start(crew) for _ in range(3)]
        for share in range(1, 9):
            await until(lambda share=share: len(crew.effects("sent")) >= share * 4, "some more of them", 60)
            victim = chance.randrange(3)
            await crew.kill(crews[victim])
            crews[victim] = await start(crew)
        for ref in refs:
            job = await ended(app, ref.id, 90)
            assert job.state == "completed", job.error
        assert Counter(effect.job for effect in crew.effects("sent")) == dict.fromkeys(keys, 1)
        results = {key: {(await app.jobs.get(ref)).result for ref in refs[n::40]} for n, key in enumerate(keys)}
        assert all(len(found) == 1 for found in results.values())
        assert await app.effects.list(running=True) == []


async def test_killed_after_sending_it_is_held(app: Windlass, tmp_path: Path) -> None:
    """One kill, quick enough for every run of the suite: the answer came, and its record did not."""
    app.handlers["hold"] = effectful.hold
    async with app, crew_of(app, tmp_path) as crew:
        [ref] = await app.enqueue_many([effectful.hold.job("send-1-after")])
        assert await (await start(crew, KILL="send:1:after")).wait() == -9
        [doubtful] = await app.effects.list(running=True)
        assert doubtful.state in ("sending", "doubtful")
        await start(crew)
        assert await settle(app, crew, "hold", "send:1:after", ref.id)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["ready", "send"])
async def test_a_worker_that_stood_still_is_fenced(app: Windlass, tmp_path: Path, place: str) -> None:
    """Stopped beyond its lease, before it says that it sends or after: it cannot write over what its successor did."""
    app.handlers["hold"] = effectful.hold
    async with app, crew_of(app, tmp_path, LEASE=3.0) as crew:
        [ref] = await app.enqueue_many([effectful.hold.job("a")])
        sleeper = await start(crew, WAIT=place)
        await until(lambda: crew.effects("at"), "the worker to be there")
        sleeper.send_signal(signal.SIGSTOP)
        await start(crew)
        job = await ended(app, ref.id, 60)
        before = await app.effects.get("hold/a")
        sleeper.send_signal(signal.SIGCONT)
        await asyncio.to_thread(Path(f"{crew.effects_file}.{place}").touch)
        await until(lambda: crew.effects("stopped"), "the sleeper to give up")
        if place == "ready":
            assert job.state == "completed" and before.state == "done"
        else:  # nobody could know, and the sleeper sends when it wakes: it was right to hold it
            assert job.error is not None and job.error.category == "held" and before.state == "held"
        assert sent(crew, "a") == 1
        assert await app.effects.get("hold/a") == before
        # It lives on as if nothing had been.
        [next_one] = await app.enqueue_many([effectful.hold.job("b")])
        assert (await ended(app, next_one.id, 60)).state == "completed"
        assert (await app.jobs.get(ref)).state == job.state
