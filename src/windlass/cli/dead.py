"""`windlass dead`: the dead letters, which are the jobs in state `failed`."""

from typing import Annotated

import typer

from windlass.cli import options
from windlass.cli.options import Form, Plain, noun

app = noun("The dead letters: jobs that gave up.")
Everything = Annotated[bool, typer.Option("--all", help="Every dead letter (or every one that the filters leave).")]
Group = Annotated[list[str] | None, typer.Option("--group", metavar="GROUP", help="Only of these error groups.")]
Archived = Annotated[bool | None, typer.Option("--archived/--active", help="Only those that are archived, or are not.")]
OneQueue = Annotated[str | None, typer.Option("--queue", metavar="NAME", help="Only this queue.")]
Letters = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of dead letters.")]


@app.command("ls")
def ls(
    queue: options.Queues = None,
    kind: options.Kinds = None,
    user: options.User = None,
    tag: options.Tags = None,
    group: Group = None,
    archived: Archived = None,
    limit: options.Limit = 50,
    cursor: options.Cursor = None,
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """List dead letters, what they died of and when they are tried again, newest first."""
    from windlass.cli.filters import where, words
    from windlass.cli.letters import collect, emit_letters, letter_filter
    from windlass.cli.target import Target, on_app

    asked = where(queue=queue, kind=kind, user=user, tag=tag)
    filters = letter_filter(
        queue=asked.queues,
        kind=asked.kinds,
        user=asked.user,
        tags=asked.tags,
        fingerprint=words(group),
        archived=archived,
    )
    target = Target(url, app_ref, namespace)
    emit_letters(on_app(target, lambda app: collect(app, filters, limit, cursor)), output)


@app.command("show")
def show(
    ids: Letters,
    output: options.PlainOutput = Plain.TEXT,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Everything about dead letters: arguments, every error, and whether they are tried again."""
    from windlass.cli import letters
    from windlass.cli.target import Target

    letters.show(Target(url, app_ref, namespace), ids, output)


@app.command("stats")
def stats(
    queue: OneQueue = None,
    output: options.PlainOutput = Plain.TEXT,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """How many there are, of how many trying again may help, by queue and error group."""
    from windlass.cli.letters import emit_stats
    from windlass.cli.target import Target, on_app

    emit_stats(on_app(Target(url, app_ref, namespace), lambda app: app.dead_letters.stats(queue)), output)


@app.command("retry")
def retry(
    ids: options.Ids = None,
    everything: Everything = False,
    queue: options.Queues = None,
    kind: options.Kinds = None,
    user: options.User = None,
    tag: options.Tags = None,
    args: Annotated[
        str | None, typer.Option("--args", metavar="JSON", help="Other arguments, for the one ID given.")
    ] = None,
    max_attempts: Annotated[int | None, typer.Option(min=1, max=1_000, help="For the one ID given.")] = None,
    limit: options.Limit = 10_000,
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Run dead letters again: by id (with other arguments if you like), by filter, or --all."""
    from windlass.cli.change import change, dead_selection
    from windlass.cli.filters import read_ids, where
    from windlass.cli.target import Target
    from windlass.values.query import Action, Command

    target = Target(url, app_ref, namespace)
    if args is not None or max_attempts is not None:
        from windlass.cli.letters import requeue_edited

        names = read_ids(ids)
        if len(names) != 1:
            raise typer.BadParameter("give exactly one ID with --args or --max-attempts", param_hint="ID")
        requeue_edited(target, names[0], args, max_attempts, output)
        return
    chosen = dead_selection(ids, where(queue=queue, kind=kind, user=user, tag=tag), limit, everything)
    change(target, Command(action=Action.REQUEUE), chosen, yes=True, form=output)


@app.command("replay")
def replay(
    queue: options.Queues = None,
    kind: options.Kinds = None,
    user: options.User = None,
    tag: options.Tags = None,
    group: Group = None,
    archived: Archived = None,
    per_second: Annotated[
        float | None,
        typer.Option("--per-second", min=0.01, max=1_000_000, metavar="N", help="At most so many a second."),
    ] = None,
    output: options.PlainOutput = Plain.TEXT,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Run any number of dead letters again, by a job that workers carry out and that survives them."""
    from windlass.cli import letters
    from windlass.cli.filters import where, words
    from windlass.cli.target import Target

    asked = where(queue=queue, kind=kind, user=user, tag=tag)
    filters = letters.letter_filter(
        queue=asked.queues,
        kind=asked.kinds,
        user=asked.user,
        tags=asked.tags,
        fingerprint=words(group),
        archived=archived,
    )
    letters.replay(Target(url, app_ref, namespace), filters, per_second, output)


@app.command("archive")
def archive(
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="DURATION", help="What failed so long ago.")
    ] = "30d",
    output: options.PlainOutput = Plain.TEXT,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Take old dead letters out of automatic retry; they stay readable."""
    from windlass.cli import letters
    from windlass.cli.target import Target

    letters.archive(Target(url, app_ref, namespace), older_than, output)


@app.command("purge")
def purge(
    ids: options.Ids = None,
    everything: Everything = False,
    queue: options.Queues = None,
    kind: options.Kinds = None,
    user: options.User = None,
    tag: options.Tags = None,
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="DURATION", help="Only what failed so long ago.")
    ] = None,
    limit: options.Limit = 10_000,
    yes: options.Yes = False,
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Remove dead letters for good: by id, by filter, by age, or --all."""
    from windlass.cli.change import change, dead_selection
    from windlass.cli.filters import where
    from windlass.cli.target import Target
    from windlass.values.query import Action, Command

    wanted = where(queue=queue, kind=kind, user=user, tag=tag)
    target = Target(url, app_ref, namespace)
    if older_than is not None:
        from windlass.cli.letters import letter_filter, purge_old

        if ids:
            raise typer.BadParameter("give ids or --older-than, not both", param_hint="ID")
        filters = letter_filter(queue=wanted.queues, kind=wanted.kinds, user=wanted.user, tags=wanted.tags)
        purge_old(target, filters, older_than, yes, output)
        return
    chosen = dead_selection(ids, wanted, limit, everything)
    change(target, Command(action=Action.DELETE), chosen, yes=yes, form=output)
