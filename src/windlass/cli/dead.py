"""`windlass dead`: the dead letters, which are the jobs in state `failed`."""

from typing import Annotated

import typer

from windlass.cli import options
from windlass.cli.options import Form, noun

app = noun("The dead letters: jobs that gave up.")
Everything = Annotated[bool, typer.Option("--all", help="Every dead letter (or every one that the filters leave).")]


@app.command("ls")
def ls(
    queue: options.Queues = None,
    kind: options.Kinds = None,
    user: options.User = None,
    tag: options.Tags = None,
    limit: options.Limit = 50,
    cursor: options.Cursor = None,
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """List dead letters and what they died of, newest first."""
    from windlass.cli.change import dead
    from windlass.cli.filters import where
    from windlass.cli.listing import collect, dead_row, emit_jobs
    from windlass.cli.target import Target, with_store

    wanted = dead(where(queue=queue, kind=kind, user=user, tag=tag))
    page = with_store(Target(url, app_ref, namespace), lambda store: collect(store, wanted, limit, cursor))
    emit_jobs(page, output, dead_row, "no dead letters")


@app.command("retry")
def retry(
    ids: options.Ids = None,
    everything: Everything = False,
    queue: options.Queues = None,
    kind: options.Kinds = None,
    user: options.User = None,
    tag: options.Tags = None,
    limit: options.Limit = 10_000,
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Run dead letters again: by id, by filter, or --all."""
    from windlass.cli.change import change, dead_selection
    from windlass.cli.filters import where
    from windlass.cli.target import Target
    from windlass.values.query import Action, Command

    wanted = where(queue=queue, kind=kind, user=user, tag=tag)
    chosen = dead_selection(ids, wanted, limit, everything)
    change(Target(url, app_ref, namespace), Command(action=Action.REQUEUE), chosen, yes=True, form=output)


@app.command("purge")
def purge(
    ids: options.Ids = None,
    everything: Everything = False,
    queue: options.Queues = None,
    kind: options.Kinds = None,
    user: options.User = None,
    tag: options.Tags = None,
    limit: options.Limit = 10_000,
    yes: options.Yes = False,
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Remove dead letters for good: by id, by filter, or --all."""
    from windlass.cli.change import change, dead_selection
    from windlass.cli.filters import where
    from windlass.cli.target import Target
    from windlass.values.query import Action, Command

    wanted = where(queue=queue, kind=kind, user=user, tag=tag)
    chosen = dead_selection(ids, wanted, limit, everything)
    change(Target(url, app_ref, namespace), Command(action=Action.DELETE), chosen, yes=yes, form=output)
