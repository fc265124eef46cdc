"""A replay of many dead letters whose worker is killed without a warning, again and again: every letter once, none twice.

    python -m benchmarks.replay_dead --url sqlite:///replay.db --letters 200000 --kills 5

The letters' queue is paused, so that what was requeued waits and can be counted. Prints how long it took and how many letters
each act on record has requeued; exit code 1 unless every letter was requeued exactly once. The namespace is erased at the end.
"""

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress

from windlass import Windlass
from windlass.values.states import State

CHUNK = 10_000
QUEUE = "letters"


def build(url: str, namespace: str) -> Windlass:
    """A kind whose jobs are dead from the beginning: failed by command."""
    app = Windlass(url, namespace=namespace, maintenance=False)

    @app.job(kind="letter", queue=QUEUE)
    async def letter(n: int) -> None: ...

    return app


async def bury(app: Windlass, letters: int) -> None:
    """So many dead letters."""
    kind = app.kind("letter")
    for start in range(0, letters, CHUNK):
        await app.enqueue_many([kind.job(n) for n in range(start, min(start + CHUNK, letters))])
    await app.jobs.fail(queue=QUEUE, reason="buried")
    await app.queues.pause(QUEUE)


async def count(app: Windlass, state: State) -> int:
    """The letters in a state."""
    found = await (await app.store()).counts()
    return sum(each.n for each in found if each.queue == QUEUE and each.state is state)


def start(url: str, namespace: str) -> "subprocess.Popen[bytes]":
    """A worker process."""
    command = [sys.executable, "-m", "benchmarks.replay_dead", "--work", "--url", url, "--namespace", namespace]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


async def run(url: str, namespace: str, letters: int, *, kills: int) -> list[str]:
    """Replay them; what is wrong."""
    app = build(url, namespace)
    async with app:
        await bury(app, letters)
        ref = await app.dead_letters.replay(queue=QUEUE, actor="bench")
        worker = start(url, namespace)
        began, killed = time.monotonic(), 0
        try:
            while not (await ref.job()).is_final:
                done = await count(app, State.WAITING)
                if killed < kills and done > letters * (killed + 1) / (kills + 1):
                    worker.send_signal(signal.SIGKILL)
                    worker.wait()
                    killed += 1
                    print(f"killed at {done:,} of {letters:,}", flush=True)
                    worker = start(url, namespace)
                await asyncio.sleep(0.02)
        finally:
            worker.terminate()
            with suppress(subprocess.TimeoutExpired):
                worker.wait(20)
            worker.kill()
        job = await ref.job()
        print(f"{time.monotonic() - began:.1f} s, {killed} kills, {job.rescues} rescues: {job.progress_note}")
        return await check(app, letters, ref.id)


async def check(app: Windlass, letters: int, id: str) -> list[str]:
    """Every letter waits, and the acts on record have requeued as many as there are letters."""
    wrong: list[str] = []
    waiting, dead = await count(app, State.WAITING), await count(app, State.FAILED)
    if (waiting, dead) != (letters, 0):
        wrong.append(f"{waiting:,} wait and {dead:,} are dead, of {letters:,}")
    note = (await app.jobs.get(id)).progress_note
    if note != f"{letters:,} requeued":
        wrong.append(f"it says {note!r}")
    acts: list[int] = []
    before: str | None = None
    while True:
        page = await app.audit(actor=f"bench replay:{id}", limit=1_000, cursor=before)
        acts += [act.detail["count"] for act in page.items]
        before = page.next
        if before is None:
            break
    if sum(acts) != letters:
        wrong.append(f"{sum(acts):,} were requeued by {len(acts)} acts, so some of them twice")
    print(f"{len(acts)} acts, by size: {dict(Counter(acts).most_common(3))}")
    return wrong


async def _main(given: argparse.Namespace) -> int:
    if given.work:
        await build(given.url, given.namespace).worker(lease="2s").run(handle_signals=True)
        return 0
    wrong = await run(given.url, given.namespace, given.letters, kills=given.kills)
    for each in wrong:
        print(f"WRONG {each}")
    app = build(given.url, given.namespace)
    async with app:
        await (await app.store()).erase(force=True)
    print("each once" if not wrong else "wrong")
    return int(bool(wrong))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default=f"sqlite:///{tempfile.gettempdir()}/windlass-replay-{os.getpid()}.db")
    parser.add_argument("--namespace", default="replay")
    parser.add_argument("--letters", type=int, default=200_000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    sys.exit(asyncio.run(_main(parser.parse_args())))
