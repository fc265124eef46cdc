"""`windlass migrate-engine`: moving an installation to another store."""

from typing import Annotated

import typer

from windlass.cli import options
from windlass.cli.options import Plain, single

app = single()


@app.command("migrate-engine")
def migrate_engine(
    source: Annotated[str, typer.Option("--from", metavar="URL", help="The store that is left; it is only read.")],
    target: Annotated[str, typer.Option("--to", metavar="URL", help="The store that is moved to, best an empty one.")],
    source_namespace: Annotated[
        str, typer.Option("--namespace-from", metavar="NAME", help="Part of the store that is left.")
    ] = "windlass",
    target_namespace: Annotated[
        str | None, typer.Option("--namespace-to", metavar="NAME", help="Part of the new store; else the same name.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be moved; writes nothing.")] = False,
    output: options.PlainOutput = Plain.TEXT,
) -> None:
    """Copy waiting, delayed, retrying and blocked jobs, dead letters, schedules and paused queues to another store, and
    compare both. Refused while workers run. May be repeated: what has arrived is not copied twice."""
    from windlass.cli.moving import End, move_engine, show_plan

    left = End(source, source_namespace)
    gone_to = End(target, target_namespace or source_namespace)
    if dry_run:
        show_plan(left, gone_to, output)
    else:
        move_engine(left, gone_to, output)
