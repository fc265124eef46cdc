"""`windlass jobs`: list, show, history, explain, signal, retry, run now, reprioritise, cancel, remove."""

from typing import Annotated

import typer

from windlass.cli import options
from windlass.cli.options import Form, Plain, noun

app = noun("List, show, explain, signal, retry, cancel and remove jobs.")


@app.command("ls")
def ls(
    state: options.States = None,
    queue: options.Queues = None,
    kind: options.Kinds = None,
    user: options.User = None,
    tag: options.Tags = None,
    query: options.Query = None,
    limit: options.Limit = 50,
    cursor: options.Cursor = None,
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """List jobs, newest first."""
    from windlass.cli.filters import where
    from windlass.cli.listing import emit_jobs, find, job_row
    from windlass.cli.target import Target, with_store

    wanted = where(state=state, queue=queue, kind=kind, user=user, tag=tag)
    target = Target(url, app_ref, namespace)
    page = with_store(target, lambda store: find(store, query, wanted, limit, cursor))
    emit_jobs(page, output, job_row, "no such jobs")


@app.command("show")
def show(
    ids: options.Ids = None,
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Show all about a job: arguments, result, attempts, log."""
    from windlass.cli.detail import emit_details, gather
    from windlass.cli.filters import read_ids
    from windlass.cli.target import Target, with_store

    named = read_ids(ids)
    if not named:
        raise typer.BadParameter("name a job, or - to read ids from stdin", param_hint="ID")
    found = with_store(Target(url, app_ref, namespace), lambda store: gather(store, named))
    emit_details(found, named, output)


@app.command("history")
def history(
    id: Annotated[str, typer.Argument(metavar="ID", help="A job's id.")],
    output: options.PlainOutput = Plain.TEXT,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """A job's timeline: creation, attempts, acts, steps, the end, and what is ahead."""
    from windlass.cli.records import emit_history
    from windlass.cli.target import Target, on_app

    emit_history(on_app(Target(url, app_ref, namespace), lambda app: app.jobs.history(id)), output)


@app.command("explain")
def explain(
    ids: options.Ids = None,
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Say why a job is not running, its place in line, and what mends it."""
    from windlass.cli.explain import emit_explanations, gather
    from windlass.cli.filters import read_ids
    from windlass.cli.target import Target, with_store

    named = read_ids(ids)
    if not named:
        raise typer.BadParameter("name a job, or - to read ids from stdin", param_hint="ID")
    target = Target(url, app_ref, namespace)
    found, missing = with_store(target, lambda store: gather(store, named))
    emit_explanations(found, missing, output, target.flags)


@app.command("run-now")
def run_now(
    ids: options.Ids = None,
    state: options.States = None,
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
    """Run delayed and retrying jobs without waiting for their time."""
    from windlass.cli.change import Selection, change
    from windlass.cli.filters import where
    from windlass.cli.target import Target
    from windlass.values.query import Action, Command

    wanted = where(state=state, queue=queue, kind=kind, user=user, tag=tag)
    command = Command(action=Action.RUN_NOW)
    change(Target(url, app_ref, namespace), command, Selection(ids, wanted, limit), yes=True, form=output)


@app.command("reprioritise")
def reprioritise(
    priority: Annotated[str, typer.Argument(metavar="PRIORITY", help="-100..100, or low, normal, high, critical.")],
    ids: options.Ids = None,
    state: options.States = None,
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
    """Give pending jobs another priority; they keep their age."""
    from windlass.cli.change import Selection, change, read_priority
    from windlass.cli.filters import where
    from windlass.cli.target import Target
    from windlass.values.query import Action, Command

    wanted = where(state=state, queue=queue, kind=kind, user=user, tag=tag)
    command = Command(action=Action.REPRIORITISE, priority=read_priority(priority))
    change(Target(url, app_ref, namespace), command, Selection(ids, wanted, limit), yes=True, form=output)


@app.command("signal")
def signal(
    id: Annotated[str, typer.Argument(metavar="ID", help="The job that waits.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="What its handler waits for.")],
    data: Annotated[str, typer.Argument(metavar="JSON", help="What it is told; - reads stdin.")] = "null",
    output: options.PlainOutput = Plain.TEXT,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Hand a signal to a job whose handler waits for it (exit code 1 if the job has ended)."""
    from windlass.cli.signal import hand, read_data
    from windlass.cli.target import Target

    hand(Target(url, app_ref, namespace), id, name, read_data(data), output)


@app.command("retry")
def retry(
    ids: options.Ids = None,
    state: options.States = None,
    queue: options.Queues = None,
    kind: options.Kinds = None,
    user: options.User = None,
    tag: options.Tags = None,
    limit: options.Limit = 10_000,
    keep_attempts: bool = typer.Option(False, "--keep-attempts", help="Go on counting attempts, not from zero."),
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Run finished jobs again, by id or by filter."""
    from windlass.cli.change import Selection, change
    from windlass.cli.filters import where
    from windlass.cli.target import Target
    from windlass.values.query import Action, Command

    wanted = where(state=state, queue=queue, kind=kind, user=user, tag=tag)
    command = Command(action=Action.REQUEUE, keep_attempts=keep_attempts)
    change(Target(url, app_ref, namespace), command, Selection(ids, wanted, limit), yes=True, form=output)


@app.command("cancel")
def cancel(
    ids: options.Ids = None,
    state: options.States = None,
    queue: options.Queues = None,
    kind: options.Kinds = None,
    user: options.User = None,
    tag: options.Tags = None,
    limit: options.Limit = 10_000,
    reason: str = typer.Option(None, "--reason", metavar="TEXT", help="Kept on the jobs."),
    yes: options.Yes = False,
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Cancel jobs, by id or by filter; running ones are asked to stop."""
    from windlass.cli.change import Selection, change
    from windlass.cli.filters import where
    from windlass.cli.target import Target
    from windlass.values.query import Action, Command

    wanted = where(state=state, queue=queue, kind=kind, user=user, tag=tag)
    command = Command(action=Action.CANCEL, reason=reason)
    change(Target(url, app_ref, namespace), command, Selection(ids, wanted, limit), yes=yes, form=output)


@app.command("rm")
def rm(
    ids: options.Ids = None,
    state: options.States = None,
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
    """Remove jobs for good, by id or by filter; running ones are left."""
    from windlass.cli.change import Selection, change
    from windlass.cli.filters import where
    from windlass.cli.target import Target
    from windlass.values.query import Action, Command

    wanted = where(state=state, queue=queue, kind=kind, user=user, tag=tag)
    change(
        Target(url, app_ref, namespace),
        Command(action=Action.DELETE),
        Selection(ids, wanted, limit),
        yes=yes,
        form=output,
    )
