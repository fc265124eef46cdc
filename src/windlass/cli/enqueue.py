"""`windlass enqueue`: one job into a queue."""

from typing import Annotated

import typer

from windlass.cli import options
from windlass.cli.options import Form, single

app = single()


@app.command("enqueue")
def enqueue(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="The kind of job.")],
    args: Annotated[
        str, typer.Argument(metavar="JSON", help="Its arguments as one JSON object; - reads stdin.")
    ] = "{}",
    queue: Annotated[str | None, typer.Option("--queue", metavar="NAME", help="Instead of the kind's queue.")] = None,
    priority: Annotated[
        str | None, typer.Option("--priority", metavar="P", help="low, normal, high, critical or -100..100.")
    ] = None,
    delay: Annotated[str | None, typer.Option("--delay", metavar="DURATION", help="Not before this, e.g. 5m.")] = None,
    expires: Annotated[str | None, typer.Option("--expires", metavar="DURATION", help="Not after this.")] = None,
    unique: Annotated[
        str | None, typer.Option("--unique", metavar="KEY", help="At most one such job at a time.")
    ] = None,
    user: Annotated[str | None, typer.Option("--user", metavar="USER", help="Whose job it is.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="Labels (a,b or twice).")] = None,
    max_attempts: Annotated[
        int | None, typer.Option("--max-attempts", metavar="N", min=1, help="Counts the first run.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end and print the result.")] = False,
    timeout: Annotated[str | None, typer.Option("--timeout", metavar="DURATION", help="How long --wait waits.")] = None,
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Enqueue one job and print its id, or with --wait its result (exit code 1 if it fails)."""
    from windlass.cli.filters import words
    from windlass.cli.submit import Submission, read_args, submit
    from windlass.cli.target import Target

    chosen = {
        "queue": queue,
        "priority": priority,
        "delay": delay,
        "expires": expires,
        "unique": unique,
        "user": user,
        "tags": words(tag) or None,
        "max_attempts": max_attempts,
    }
    submission = Submission(
        kind=kind,
        args=read_args(args),
        options={name: value for name, value in chosen.items() if value is not None},
        wait=wait,
        timeout=timeout,
    )
    submit(Target(url, app_ref, namespace), submission, output)
