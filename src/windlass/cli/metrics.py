"""`windlass metrics`: what became of attempts over a while, how long they ran and waited; also for Prometheus."""

from enum import StrEnum
from typing import Annotated

import typer

from windlass.cli import options
from windlass.cli.options import Plain, single

app = single()


class By(StrEnum):
    """What a row is about."""

    KIND = "kind"
    QUEUE = "queue"
    PAIR = "pair"
    WORKER = "worker"


class Every(StrEnum):
    """How wide the steps of the series are."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"


@app.command("metrics")
def metrics(
    queue: Annotated[str | None, typer.Option("--queue", metavar="NAME", help="Only this queue.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", metavar="KIND", help="Only this kind.")] = None,
    last: Annotated[
        str, typer.Option("--last", metavar="DURATION", help="How far to look back: 1h, 24h, 7d ...")
    ] = "24h",
    since: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="From this instant, e.g. 2026-03-01T12:00Z.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Up to this instant; else now.")] = None,
    step: Annotated[Every | None, typer.Option("--step", help="Steps of the series; else what suits.")] = None,
    by: Annotated[By, typer.Option("--by", help="A row for each of these.")] = By.KIND,
    prometheus: Annotated[
        bool, typer.Option("--prometheus", help="Print everything in the text format of Prometheus instead.")
    ] = False,
    output: options.PlainOutput = Plain.TEXT,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Counts by outcome, rates, run and waiting times per kind, queue, both or worker, exact for every attempt that ended."""
    from windlass.cli.meters import emit_metrics, emit_workers, read_time
    from windlass.cli.target import Target, on_app

    target = Target(url, app_ref, namespace)
    if prometheus:
        print(on_app(target, lambda app: app.prometheus()), end="")
        return
    start, end = read_time(since, "--from"), read_time(until, "--to")
    if by is By.WORKER:
        emit_workers(on_app(target, lambda app: app.worker_metrics(last=last, since=start, until=end)), output)
        return
    width = None if step is None else step.value
    found = on_app(
        target, lambda app: app.metrics(queue=queue, kind=kind, last=last, since=start, until=end, step=width)
    )
    emit_metrics(found, by.value, output)
