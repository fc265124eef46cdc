"""`windlass limits`: list, show, set, clear."""

from typing import Annotated

import typer

from windlass.cli import options
from windlass.cli.options import Form, noun

app = noun("How many jobs of a key may run at once or start in a while: list, show, set, clear.")
Key = Annotated[str, typer.Argument(metavar="KEY", help="queue:<name>, kind:<kind>, or a key that jobs name.")]


@app.command("ls")
def ls(
    limit: options.Limit = 1_000,
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """List keys with their limits, and what of them is in use."""
    from windlass.cli.allowances import emit_limits
    from windlass.cli.target import Target, on_app

    most = min(limit, 10_000)
    emit_limits(on_app(Target(url, app_ref, namespace), lambda app: app.limits.list(limit=most)), output)


@app.command("show")
def show(
    key: Key,
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Everything about a key: its limits, what is in use, when it opens, what operators did."""
    from windlass.cli.allowances import emit_detail, gather
    from windlass.cli.target import Target, on_app

    emit_detail(on_app(Target(url, app_ref, namespace), lambda app: gather(app, key)), output)


@app.command("set")
def put(
    key: Key,
    rate: Annotated[str | None, typer.Option("--rate", metavar="RATE", help="Starts in a while: 5/m, 10/30s.")] = None,
    burst: Annotated[int | None, typer.Option("--burst", metavar="N", help="A token bucket of this size.")] = None,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", "-c", metavar="N", help="How many run at once.")
    ] = None,
    shut_for: Annotated[
        str | None, typer.Option("--shut-for", metavar="DURATION", help="Nothing starts for so long.")
    ] = None,
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Set a key's limits, over what code declares; of rate and concurrency the one left out is lifted."""
    from windlass.cli.allowances import emit_limits, put
    from windlass.cli.target import Target, on_app

    found = on_app(
        Target(url, app_ref, namespace),
        lambda app: put(app, key, rate=rate, burst=burst, concurrency=concurrency, shut_for=shut_for),
        create=True,
    )
    emit_limits([found], output)


@app.command("clear")
def clear(
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="Keys.")],
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Forget what was set: a key is then as code declares it, or free. With -A, what that app declares holds at once."""
    from windlass.cli.allowances import clear, emit_cleared
    from windlass.cli.target import Target, on_app

    emit_cleared(on_app(Target(url, app_ref, namespace), lambda app: clear(app, keys)), output)
