"""`windlass doctor`: is anything wrong, and what mends it."""

from typing import Annotated

import typer

from windlass.cli import options
from windlass.cli.options import Plain, single

app = single()


@app.command("doctor")
def doctor(
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as wrong.")] = False,
    output: options.PlainOutput = Plain.TEXT,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Check store, queues, kinds and workers; each finding says what mends it. Exit code 1 if something is wrong."""
    from windlass.cli.checkup import emit_checkup, examine
    from windlass.cli.target import Target

    raise typer.Exit(emit_checkup(examine(Target(url, app_ref, namespace)), output, strict))
