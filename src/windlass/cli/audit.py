"""`windlass audit`: who did what."""

from typing import Annotated

import typer

from windlass.cli import options
from windlass.cli.options import Plain, single

app = single()


@app.command("audit")
def audit(
    target: Annotated[
        str | None,
        typer.Option("--target", metavar="TARGET", help="A job's id, queue:NAME, schedule:KEY, error:*, jobs."),
    ] = None,
    actor: Annotated[str | None, typer.Option("--actor", metavar="ACTOR", help="Only this actor's acts.")] = None,
    action: Annotated[str | None, typer.Option("--action", metavar="ACTION", help="Such as requeue, or put-*.")] = None,
    since: Annotated[str | None, typer.Option("--from", metavar="TIME", help="From this instant.")] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Before this instant.")] = None,
    limit: options.Limit = 50,
    cursor: options.Cursor = None,
    output: options.PlainOutput = Plain.TEXT,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """List what operators did, newest first."""
    from windlass.cli.meters import read_time
    from windlass.cli.records import emit_acts
    from windlass.cli.target import Target, on_app

    start, end = read_time(since, "--from"), read_time(until, "--to")
    page = on_app(
        Target(url, app_ref, namespace),
        lambda app: app.audit(
            target=target, actor=actor, action=action, since=start, until=end, limit=min(limit, 1_000), cursor=cursor
        ),
    )
    emit_acts(page, output)
