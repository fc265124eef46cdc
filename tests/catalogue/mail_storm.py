"""Many mails while workers and the mail server are killed at random: who got how many, and what is held.

Worker processes are this module: `python -m tests.catalogue.mail_storm`, their settings the environment's.
"""

import asyncio
import contextlib
import logging
import os
import random
import socket
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.worker.crew import ROOT
from windlass.app import Windlass
from windlass.catalogue import install
from windlass.values.retry import fixed
from windlass.worker.process import run_worker
from windlass.worker.worker import Worker

Process = asyncio.subprocess.Process


def app_of(url: str, namespace: str) -> Windlass:
    """An app that sends mail as fast as it can: the preset's 100 a minute would take ten minutes for a thousand."""
    app = Windlass(url, namespace=namespace)
    app.queue("email-sending", concurrency=30)
    install(app, families=["mail"])
    return app


@dataclass
class Storm:
    """What is to happen. Times in seconds."""

    mails: int
    worker_kills: int
    server_kills: int
    workers: int = 3
    concurrency: int = 4
    lease: float = 2.0
    cut: float = 0.01
    """The share of mails after which the server accepts and hangs up without an answer."""
    seed: int = 1


@dataclass
class Tally:
    """What came of it. `delivered`: recipients by how many mails they got. `held`: recipients whose mail is held and listed.
    `lost`: those who got none and are not held; `failed`: those of them whose job is in the dead letters for another reason."""

    delivered: Counter[int]
    held: int
    held_delivered: int
    lost: int
    failed: int
    worker_kills: int
    server_kills: int
    seconds: float

    @property
    def doubles(self) -> int:
        return sum(count for times, count in self.delivered.items() if times > 1)


class _Scene:
    def __init__(self, app: Windlass, folder: Path, storm: Storm) -> None:
        self.app = app
        self.storm = storm
        self.box = folder / "box"
        self.random = random.Random(storm.seed)
        self.processes: set[Process] = set()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.environment = {
            **os.environ,
            **environment(self.port),
            "WINDLASS_URL": app.url,
            "WINDLASS_NAMESPACE": app.namespace,
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
            "LEASE": str(storm.lease),
            "CONCURRENCY": str(storm.concurrency),
            "BOX": str(self.box),
            "PORT": str(self.port),
            "CUT": str(storm.cut),
        }

    async def start(self, module: str) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, env=self.environment, cwd=ROOT, stderr=asyncio.subprocess.DEVNULL
        )
        self.processes.add(process)
        return process

    async def kill(self, process: Process) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        self.processes.discard(process)

    def reached(self) -> Counter[str]:
        rows = self.box.read_text().split("\n")[:-1] if self.box.exists() else []
        return Counter(row.split()[0] for row in rows)


def environment(port: int) -> dict[str, str]:
    """Settings of the mail family for a server on this machine."""
    return {
        "WINDLASS_EMAIL_FROM": "shop@example.com",
        "WINDLASS_SMTP_HOST": "127.0.0.1",
        "WINDLASS_SMTP_PORT": str(port),
        "WINDLASS_SMTP_SECURITY": "none",
        "WINDLASS_EMAIL_RATE_PAUSE": "0.2",
        "WINDLASS_EMAIL_BREAKER_PAUSE": "0.2",
        "WINDLASS_EMAIL_TIMEOUT": "10",
    }


async def play(url: str, namespace: str, folder: Path, storm: Storm, patience: float = 300.0) -> Tally:
    """Send the mails, kill as the storm says, wait for the end of every job, and count."""
    app = Windlass(url, namespace=namespace)
    scene = _Scene(app, folder, storm)
    with _environment(environment(scene.port)):
        app = app_of(url, namespace)
    began = time.monotonic()
    async with app:
        send = app.handlers["send-email"].options(backoff=fixed("200ms"), max_attempts=100, max_rescues=100)
        people = [f"p{n}@example.org" for n in range(storm.mails)]
        refs = await app.enqueue_many(
            [send.job(to=to, subject="Hello", text="Hello.", idempotencyKey="storm") for to in people]
        )
        try:
            await _rage(scene, [ref.id for ref in refs], patience)
        finally:
            for process in list(scene.processes):
                await scene.kill(process)
        return await _count(scene, people, time.monotonic() - began)


async def _rage(scene: _Scene, ids: list[str], patience: float) -> None:
    storm = scene.storm
    server = await scene.start("tests.catalogue.post_office")
    crew = [await scene.start("tests.catalogue.mail_storm") for _ in range(storm.workers)]
    kills = ["worker"] * storm.worker_kills + ["server"] * storm.server_kills
    scene.random.shuffle(kills)
    end = time.monotonic() + patience
    at = 0
    while True:
        done = len(scene.reached())
        # Spread over the mails rather than over time: a kill whenever the next share of them has arrived.
        if at < len(kills) and done >= (at + 1) * storm.mails // (len(kills) + 2):
            if kills[at] == "worker":
                victim = scene.random.randrange(len(crew))
                await scene.kill(crew[victim])
                crew[victim] = await scene.start("tests.catalogue.mail_storm")
            else:
                await scene.kill(server)
                await asyncio.sleep(0.2)  # workers meet a closed port
                server = await scene.start("tests.catalogue.post_office")
            at += 1
        store = await scene.app.store()
        open_jobs = sum(c.n for c in await store.counts() if c.state in ("waiting", "active", "retrying", "delayed"))
        if not open_jobs:
            return
        if time.monotonic() > end:
            raise AssertionError(f"{open_jobs} of {len(ids)} mails are still open after {patience:g} s")
        await asyncio.sleep(0.02)


async def _count(scene: _Scene, people: list[str], seconds: float) -> Tally:
    app, storm = scene.app, scene.storm
    reached = scene.reached()
    held = {info.key.split(":")[1] for info in await app.effects.list(name="email") if info.state == "held"}
    failed: set[str] = set()
    cursor: str | None = None
    while True:
        page = await app.jobs.list(state="failed", kind="send-email", limit=1_000, cursor=cursor)
        for job in page.items:
            if job.error is None or job.error.category != "held":
                failed.add(job.args["to"][0])
        cursor = page.next
        if cursor is None:
            break
    nobody = {to for to in people if not reached[to] and to not in held}
    return Tally(
        delivered=Counter(reached[to] for to in people),
        held=len(held),
        held_delivered=sum(1 for to in held if reached[to]),
        lost=len(nobody),
        failed=len(nobody & failed),
        worker_kills=storm.worker_kills,
        server_kills=storm.server_kills,
        seconds=seconds,
    )


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Any:
    from windlass.catalogue.settings import current

    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    current.cache_clear()
    try:
        yield
    finally:
        current.cache_clear()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def main() -> int:
    logging.basicConfig(level="ERROR", stream=sys.stderr)
    app = app_of(os.environ["WINDLASS_URL"], os.environ["WINDLASS_NAMESPACE"])
    size, lease = int(os.environ["CONCURRENCY"]), float(os.environ["LEASE"])
    return run_worker(lambda: Worker(app, concurrency=size, threads=1, processes=0, lease=lease, grace=0.0), app.close)


if __name__ == "__main__":
    sys.exit(main())
