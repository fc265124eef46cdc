"""`windlass queues`: list, pause, resume."""

from typing import Annotated

import typer

from windlass.cli import options
from windlass.cli.options import Form, noun

app = noun("List, pause and resume queues.")
Names = Annotated[list[str], typer.Argument(metavar="QUEUE...", help="Queue names.")]


@app.command("ls")
def ls(
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """List queues with their jobs per state."""
    from windlass.cli.backlog import emit_queues, gather
    from windlass.cli.target import Target, with_store

    emit_queues(with_store(Target(url, app_ref, namespace), gather), output)


@app.command("pause")
def pause(
    names: Names,
    create: Annotated[bool, typer.Option("--create", help="Also queues that were never used.")] = False,
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Stop workers from taking jobs of these queues; enqueueing goes on."""
    from windlass.cli.backlog import emit_set, set_paused
    from windlass.cli.target import Target, with_store

    target = Target(url, app_ref, namespace)
    emit_set(with_store(target, lambda store: set_paused(store, names, paused=True, create=create)), output)


@app.command("resume")
def resume(
    names: Names,
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Let workers take jobs of these queues again."""
    from windlass.cli.backlog import emit_set, set_paused
    from windlass.cli.target import Target, with_store

    target = Target(url, app_ref, namespace)
    emit_set(with_store(target, lambda store: set_paused(store, names, paused=False, create=False)), output)
