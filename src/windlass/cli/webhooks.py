"""`windlass webhooks`: endpoints that are told of events."""

from typing import Annotated

import typer

from windlass.cli import options
from windlass.cli.options import Form, Plain, noun

app = noun("Webhooks: endpoints that are told what happens, signed.")
Url = Annotated[str, typer.Argument(metavar="URL", help="Where events go, http or https.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="The endpoint's id.")]
Deliveries = Annotated[
    list[str] | None, typer.Argument(metavar="[DELIVERY...]", help="Deliveries; all given up if none.")
]
Events = Annotated[
    list[str] | None,
    typer.Option("--event", "-e", metavar="EVENT", help="Such as job.failed or job.*; again for more."),
]
Queues = Annotated[
    list[str] | None, typer.Option("--queue", "-q", metavar="QUEUE", help="Only these queues; patterns.")
]
Kinds = Annotated[list[str] | None, typer.Option("--kind", "-k", metavar="KIND", help="Only these kinds; patterns.")]
State = Annotated[str | None, typer.Option("--state", metavar="STATE", help="completed, retrying, failed, ...")]


@app.command("ls")
def ls(
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """List endpoints."""
    from windlass.cli.endpoints import emit_endpoints
    from windlass.cli.target import Target, on_app

    emit_endpoints(on_app(Target(url, app_ref, namespace), lambda app: app.webhooks.list()), output)


@app.command("add")
def add(
    address: Url,
    events: Events = None,
    queues: Queues = None,
    kinds: Kinds = None,
    output: options.PlainOutput = Plain.TEXT,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Add an endpoint and print its secret, which is shown this once."""
    from windlass.cli.endpoints import add_endpoint
    from windlass.cli.target import Target

    add_endpoint(Target(url, app_ref, namespace), address, events, queues, kinds, output)


@app.command("rm")
def rm(
    id: Id,
    output: options.PlainOutput = Plain.TEXT,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Forget an endpoint; what was not delivered yet is cancelled."""
    from windlass.cli.act import actor
    from windlass.cli.endpoints import said
    from windlass.cli.target import Target, on_app

    on_app(Target(url, app_ref, namespace), lambda app: app.webhooks.remove(id, actor=actor()))
    said(output, {"id": id, "outcome": "removed"}, f"removed {id}")


@app.command("test")
def test(
    id: Id,
    output: options.PlainOutput = Plain.TEXT,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Send a ping. A worker delivers it: `windlass webhooks deliveries` tells how that went."""
    from windlass.cli.act import actor
    from windlass.cli.endpoints import said
    from windlass.cli.target import Target, on_app

    delivery = on_app(Target(url, app_ref, namespace), lambda app: app.webhooks.ping(id, actor=actor()))
    said(output, {"delivery": delivery}, delivery)


@app.command("deliveries")
def deliveries(
    id: Id,
    state: State = None,
    limit: options.Limit = 50,
    cursor: options.Cursor = None,
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """List what was sent to an endpoint, newest first, and how it went."""
    from windlass.cli.endpoints import emit_deliveries
    from windlass.cli.target import Target, on_app

    target = Target(url, app_ref, namespace)
    found = on_app(target, lambda app: app.webhooks.deliveries(id, state=state, limit=limit, cursor=cursor))
    emit_deliveries(found, output)


@app.command("replay")
def replay(
    id: Id,
    deliveries: Deliveries = None,
    output: options.PlainOutput = Plain.TEXT,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Send deliveries again, under their old ids: the named ones, or all that were given up."""
    from windlass.cli.act import actor
    from windlass.cli.endpoints import said
    from windlass.cli.target import Target, on_app

    target = Target(url, app_ref, namespace)
    done = on_app(target, lambda app: app.webhooks.replay(id, *(deliveries or ()), actor=actor()))
    said(output, {"count": int(done), "refused": done.refused}, f"{int(done)} sent again")
