"""Running workers from the command line: one in this process, or several under a supervisor."""

import asyncio
import logging
import sys
from typing import NamedTuple

from windlass.app import Windlass
from windlass.cli.target import Target
from windlass.worker.process import is_supervised, run_worker
from windlass.worker.supervisor import Supervisor, read_processes
from windlass.worker.worker import Worker

log = logging.getLogger("windlass")


class Manning(NamedTuple):
    """What the command line asked for; None leaves it to the app's settings."""

    queues: str | None
    concurrency: int | None
    threads: int | None
    slots: int | None
    processes: str
    lease: str | None
    grace: str | None
    max_rss: int | None
    until_idle: bool
    log_level: str

    @property
    def names(self) -> list[str] | None:
        """The queues as a list."""
        return None if self.queues is None else [name.strip() for name in self.queues.split(",") if name.strip()]


def work(target: Target, manning: Manning) -> int:
    """Work until told to stop; the exit code."""
    logging.basicConfig(
        level=manning.log_level.upper(), format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    low, high = read_processes(manning.processes)
    app = target.load()
    if not app.handlers:
        log.warning("%s has no handlers; import the modules that declare them where the app is made", target.app)
    alone = (low, high) == (1, 1) and manning.max_rss is None
    if alone or is_supervised():
        return _one(app, target, manning)
    return _several(app, target, manning, (low, high))


def _one(app: Windlass, target: Target, manning: Manning) -> int:
    made: list[Worker] = []

    def make() -> Worker:
        worker = Worker(
            app,
            queues=manning.names,
            concurrency=manning.concurrency,
            threads=manning.threads,
            processes=manning.slots,
            lease=manning.lease,
            grace=manning.grace,
            max_rss=None if manning.max_rss is None else manning.max_rss * 1_000_000,
            supervised=is_supervised(),
        )
        made.append(worker)
        log.info(
            "worker %s: %s, %s, %s; stop with Ctrl-C or SIGTERM", worker.id, target.app, _address(app), _queues(manning)
        )
        return worker

    code = run_worker(make, app.close, until_idle=manning.until_idle)
    for worker in made:
        log.info("worker %s: ended after %d attempts", worker.id, worker.done)
    return code


def _several(app: Windlass, target: Target, manning: Manning, bounds: tuple[int, int]) -> int:
    count = f"{bounds[0]}" if bounds[0] == bounds[1] else f"{bounds[0]} to {bounds[1]}"
    log.info("supervisor of %s workers: %s, %s, %s", count, target.app, _address(app), _queues(manning))
    command = [sys.executable, "-m", "windlass", "worker", *_arguments(target, manning)]
    return asyncio.run(Supervisor(command, bounds, store=app.open_sibling, queues=manning.names).run())


def _arguments(target: Target, manning: Manning) -> list[str]:
    """The command line of one of several workers."""
    given = {
        "--app": target.app,
        "--url": target.url,
        "--namespace": target.namespace,
        "--queues": manning.queues,
        "--concurrency": manning.concurrency,
        "--threads": manning.threads,
        "--process-slots": manning.slots,
        "--lease": manning.lease,
        "--grace": manning.grace,
        "--max-rss": manning.max_rss,
        "--log-level": manning.log_level,
        "--processes": "1",
    }
    words = [word for name, value in given.items() if value is not None for word in (name, str(value))]
    return words + ["--until-idle"] * manning.until_idle


def _address(app: Windlass) -> str:
    return app.open_sibling().url  # without its password


def _queues(manning: Manning) -> str:
    names = manning.names
    return "all queues" if names is None else f"queue{'s' * (len(names) > 1)} {', '.join(names)}"
