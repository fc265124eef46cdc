"""`windlass worker`: run jobs."""

from enum import StrEnum
from typing import Annotated

import typer

from windlass.cli import options
from windlass.cli.options import single

app = single()


class Level(StrEnum):
    """How much the worker tells of itself."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


Module = Annotated[
    str, typer.Option("-A", "--app", metavar="MODULE:APP", envvar="WINDLASS_APP", help="Where the handlers are.")
]
Queues = Annotated[
    str | None,
    typer.Option("-q", "--queues", metavar="A,B", envvar="WINDLASS_QUEUES", help="Only these queues; else all."),
]
Concurrency = Annotated[
    int | None,
    typer.Option(
        "-c", "--concurrency", metavar="N", min=1, envvar="WINDLASS_CONCURRENCY", help="Async jobs at once; else 100."
    ),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", metavar="N", min=1, envvar="WINDLASS_THREADS", help="Thread jobs at once; else 32."),
]
Slots = Annotated[
    int | None,
    typer.Option(
        "--process-slots", metavar="N", min=0, envvar="WINDLASS_PROCESSES", help="Process jobs at once; else cores."
    ),
]
Processes = Annotated[
    str,
    typer.Option(
        "-p",
        "--processes",
        metavar="N|MIN:MAX",
        envvar="WINDLASS_WORKER_PROCESSES",
        help="Worker processes, each with the slots above; MIN:MAX follows the backlog.",
    ),
]
Lease = Annotated[
    str | None,
    typer.Option(
        "--lease", metavar="DURATION", envvar="WINDLASS_LEASE", help="A dead worker's jobs wait so long; else 30s."
    ),
]
Grace = Annotated[
    str | None,
    typer.Option(
        "--grace", metavar="DURATION", envvar="WINDLASS_GRACE", help="For running jobs at shutdown; else 30s."
    ),
]
MaxRss = Annotated[
    int | None,
    typer.Option("--max-rss", metavar="MB", min=1, envvar="WINDLASS_MAX_RSS", help="Renew a process above this."),
]
UntilIdle = Annotated[bool, typer.Option("--until-idle", help="End when nothing is left to run now.")]
LogLevel = Annotated[
    Level, typer.Option("--log-level", metavar="LEVEL", envvar="WINDLASS_LOG_LEVEL", help="What goes to stderr.")
]


@app.command("worker")
def worker(
    app_ref: Module,
    queues: Queues = None,
    concurrency: Concurrency = None,
    threads: Threads = None,
    slots: Slots = None,
    processes: Processes = "1",
    lease: Lease = None,
    grace: Grace = None,
    max_rss: MaxRss = None,
    until_idle: UntilIdle = False,
    log_level: LogLevel = Level.INFO,
    url: options.Url = None,
    namespace: options.Namespace = None,
) -> None:
    """Run jobs until stopped. The first SIGTERM or Ctrl-C lets running jobs end, the second does not."""
    from windlass.cli.target import Target
    from windlass.cli.work import Manning, work

    manning = Manning(
        queues=queues,
        concurrency=concurrency,
        threads=threads,
        slots=slots,
        processes=processes,
        lease=lease,
        grace=grace,
        max_rss=max_rss,
        until_idle=until_idle,
        log_level=log_level,
    )
    raise typer.Exit(work(Target(url, app_ref, namespace), manning))
