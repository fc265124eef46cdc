"""`windlass workflows`: list, show, cancel, retry."""

from typing import Annotated

import typer

from windlass.cli import options
from windlass.cli.options import Form, noun

app = noun("List, show, cancel and retry workflows.")
Id = Annotated[str, typer.Argument(metavar="WORKFLOW", help="A workflow's id.")]


@app.command("ls")
def ls(
    limit: options.Limit = 50,
    cursor: options.Cursor = None,
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """List workflows, newest first."""
    from windlass.cli.flows import collect, emit_flows, with_flows
    from windlass.cli.target import Target

    target = Target(url, app_ref, namespace)
    emit_flows(with_flows(target, lambda flows: collect(flows, limit, cursor)), output)


@app.command("show")
def show(
    id: Id,
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Show a workflow's graph: what ran, what runs, what waits for what. Jobs alike share a line."""
    from windlass.cli.flows import emit_graph, with_flows
    from windlass.cli.target import Target

    emit_graph(with_flows(Target(url, app_ref, namespace), lambda flows: flows.get(id)), output)


@app.command("cancel")
def cancel(
    id: Id,
    yes: options.Yes = False,
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Cancel every job of a workflow that has not ended; running ones are asked to stop."""
    from windlass.cli.act import actor, confirm
    from windlass.cli.flows import emit_acted, with_flows
    from windlass.cli.target import Target

    confirm(f"cancel what is left of workflow {id}", yes)
    target = Target(url, app_ref, namespace)
    emit_acted(with_flows(target, lambda flows: flows.cancel(id, actor=actor())), "cancelled", output)


@app.command("retry")
def retry(
    id: Id,
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Run again what failed or was cancelled, and what waited for it."""
    from windlass.cli.act import actor
    from windlass.cli.flows import emit_acted, with_flows
    from windlass.cli.target import Target

    target = Target(url, app_ref, namespace)
    emit_acted(with_flows(target, lambda flows: flows.retry(id, actor=actor())), "will run again", output)
