"""`windlass health`: whether the queues and workers are well, in numbers, and what mends what is not."""

from typing import Annotated

import typer

from windlass.cli import options
from windlass.cli.options import Plain, single

app = single()


@app.command("health")
def health(
    queue: Annotated[str | None, typer.Argument(metavar="[QUEUE]", help="Only this queue.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Degraded counts as wrong.")] = False,
    output: options.PlainOutput = Plain.TEXT,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Judge queues and workers; each issue names numbers and the command that mends it. Exit code 1 if unhealthy."""
    from windlass.cli.target import Target
    from windlass.cli.verdicts import emit_health, emit_queue_health, examine

    target = Target(url, app_ref, namespace)
    if queue is None:
        raise typer.Exit(emit_health(examine(target, lambda app: app.health()), output, strict, target.flags))
    raise typer.Exit(emit_queue_health(examine(target, lambda app: app.health(queue)), output, strict, target.flags))
