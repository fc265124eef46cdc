"""`windlass queues`: list, pause, resume, set."""

from typing import Annotated

import typer

from windlass.cli import options
from windlass.cli.options import Form, noun

app = noun("List, pause and resume queues, and say which of their jobs is next.")
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
    done = with_store(target, lambda store: set_paused(store, names, paused=True, create=create), create=create)
    emit_set(done, output)


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


@app.command("set")
def set_(
    names: Names,
    order: Annotated[
        str | None, typer.Option("--order", metavar="ORDER", help="strict, fair, weighted or ageing.")
    ] = None,
    ageing: Annotated[
        str | None, typer.Option("--ageing", metavar="DURATION", help="What a point of priority is worth.")
    ] = None,
    by_code: Annotated[bool, typer.Option("--by-code", help="Leave the order to what code declares.")] = False,
    create: Annotated[bool, typer.Option("--create", help="Also queues that were never used.")] = False,
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Say which waiting job of these queues is next, over what code declares."""
    from windlass.cli.backlog import emit_orders, set_order
    from windlass.cli.target import Target, with_store

    target = Target(url, app_ref, namespace)
    if by_code and (order or ageing):
        raise typer.BadParameter("either an order, or --by-code", param_hint="--by-code")
    done = with_store(
        target,
        lambda store: set_order(store, names, order, ageing, pinned=not by_code, create=create),
        create=create,
    )
    emit_orders(done, output)
