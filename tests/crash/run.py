"""One run: produce jobs while a storm rages, heal, let the queue drain, read everything, and judge the history."""

import asyncio
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from tests.crash.checker import Rules, Violation, check
from tests.crash.history import Acked, Asked, Kept, Recorder, Summed, Unsure, now, read_events
from tests.crash.ledger import Ledger
from tests.crash.mix import Mix
from tests.crash.places import Ground, ground_for
from tests.crash.proxy import Proxy, proxy_to
from tests.crash.storm import Front, Storm
from tests.crash.team import Team
from windlass.app import Windlass
from windlass.errors import StoreError, UnknownParent
from windlass.store import open_store
from windlass.values.query import Where
from windlass.values.states import FINAL

DRAIN = 60.0
"""Seconds after the last fault in which everything must have ended; a run that needs them has lost something."""


class Plan(NamedTuple):
    engine: str
    seconds: float
    seed: int
    lease: float = 2.0
    team: int = 3
    pause: tuple[float, float] = (0.15, 0.8)
    noise: float = 0.05


class Outcome(NamedTuple):
    """What a run came to; `kept`: the folder with its history, if something was wrong."""

    plan: Plan
    book: Ledger
    rules: Rules
    violations: list[Violation]
    exit_codes: list[int]
    logs: str
    kept: Path | None


class Scene(NamedTuple):
    """A store, a team, the proxies between them, the producer's app, and the history."""

    ground: Ground
    front: Front
    app: Windlass
    record: Recorder


@asynccontextmanager
async def scene_for(engine: str, folder: Path, lease: float) -> AsyncIterator[Scene]:
    """Set everything up, with no worker yet; nothing outlives the block."""
    async with AsyncExitStack() as stack:
        ground = stack.enter_context(ground_for(engine, folder))
        door: Proxy | None = None
        wire: Proxy | None = None
        if ground.server is not None:
            door = await stack.enter_async_context(proxy_to(ground.server.port))
            wire = await stack.enter_async_context(proxy_to(ground.server.port))
        record = Recorder(folder / "history.jsonl")
        stack.callback(record.close)
        app = Windlass(
            ground.url if door is None else ground.url_through(door.port), namespace="crash", maintenance=False
        )
        await stack.enter_async_context(app)
        workers = Windlass(
            ground.url if wire is None else ground.url_through(wire.port), namespace="crash", maintenance=False
        )
        team = Team(workers, folder, record, lease)
        stack.push_async_callback(_end, team)
        yield Scene(ground, Front(ground, team, door, wire, record, lease), app, record)


async def _end(team: Team) -> None:
    for process in team.processes:
        if process.returncode is None:
            await team.kill(process)


async def run(plan: Plan) -> Outcome:
    """A whole run. Its history is kept only if something is wrong."""
    folder = Path(tempfile.mkdtemp(prefix="windlass-crash-"))
    chance = random.Random(plan.seed)
    async with scene_for(plan.engine, folder, plan.lease) as scene:
        storm = Storm(scene.front, random.Random(chance.random()), plan.pause)
        await storm.muster(plan.team)
        until = now() + plan.seconds
        await asyncio.gather(produce(scene, random.Random(chance.random()), until), storm.rage(until))
        await storm.calm()
        await drain(scene)
        codes = await scene.front.team.dismiss()
        await read_all(scene)
        rules = Rules(plan.lease, plan.noise, scene.ground.may_lose)
        logs = scene.front.team.logs()
    return judge(plan, rules, folder, codes, logs)


def judge(plan: Plan, rules: Rules, folder: Path, codes: list[int], logs: str) -> Outcome:
    """Read the history and check it; without violations its folder goes."""
    with (folder / "history.jsonl").open("rb") as lines:
        book = Ledger(read_events(lines), rules.lease, rules.may_lose)
    violations = check(book, rules)
    fine = not violations and not any(codes)
    if fine:
        shutil.rmtree(folder, ignore_errors=True)
    return Outcome(plan, book, rules, violations, codes, logs, None if fine else folder)


async def produce(scene: Scene, chance: random.Random, until: float) -> None:
    """Enqueue until the time is over; most calls that fail are repeated until they are answered, some never."""
    mix = Mix(chance)
    while now() < until:
        made = mix.batch()
        scene.record(Asked(now(), tuple(wanted for _, wanted in made)))
        ids = tuple(job.id for job, _ in made)
        stubborn = chance.random() < 0.8
        while True:
            try:
                refs = await scene.app.enqueue_many([job for job, _ in made])
            except UnknownParent:  # what it waits for was lost with the store's last seconds
                break
            except StoreError as error:
                scene.record(Unsure(now(), ids, f"{type(error).__name__}: {error}"[:200]))
                if not stubborn:
                    break
                await asyncio.sleep(0.1)
                continue
            stored = tuple(ref.id for ref in refs)
            scene.record(Acked(now(), ids, stored))
            mix.known += [id for (id, is_), (_, wanted) in zip(zip(ids, stored, strict=True), made, strict=True)
                          if id == is_ and wanted.unique is None]  # fmt: skip
            break
        await asyncio.sleep(chance.uniform(0.01, 0.05))


async def drain(scene: Scene) -> None:
    """Until nothing is left to do, or the time is over; what is left then is for the checker to name."""
    store = open_store(scene.ground.url, scene.app.namespace)
    await store.open()
    try:
        limit = now() + DRAIN
        while now() < limit:
            if all(count.state in FINAL for count in await store.counts()):
                return
            await asyncio.sleep(0.05)
    finally:
        await store.close()


async def read_all(scene: Scene) -> None:
    """Every job as it is at the end, past the proxies, with the sums beside."""
    store = open_store(scene.ground.url, scene.app.namespace)
    await store.open()
    try:
        cursor: str | None = None
        while True:
            page = await store.jobs(Where(), cursor, 1_000)
            for job in page.items:
                scene.record(
                    Kept(now(), job.id, str(job.state), job.attempt, job.rescues, job.lease, job.reason, job.result)
                )
            cursor = page.next
            if cursor is None:
                break
        sums: Counter[str] = Counter()
        for count in await store.counts():
            sums[str(count.state)] += count.n
        audit = await store.audit_counts()  # type: ignore[attr-defined]
        scene.record(Summed(now(), dict(sums), tuple(audit)))
    finally:
        await store.close()
