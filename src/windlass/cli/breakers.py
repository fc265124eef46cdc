"""`windlass breakers`: the providers' circuit breakers: list, reset, open."""

from typing import Annotated

import typer

from windlass.cli import options
from windlass.cli.options import Form, noun

app = noun("Look at the providers' circuit breakers, close and open them.")
Names = Annotated[list[str], typer.Argument(metavar="PROVIDER...", help="Names of providers.")]


@app.command("ls")
def ls(
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """List providers that were called lately, and how their breakers stand."""
    from windlass.cli.gates import emit_breakers
    from windlass.cli.target import Target, on_app

    emit_breakers(on_app(Target(url, app_ref, namespace), lambda app: app.breakers.list()), output)


@app.command("reset")
def reset(
    names: Names,
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Close the breakers of these providers: their jobs run again at once."""
    from windlass.cli.act import actor
    from windlass.cli.gates import emit_breakers, reset_known
    from windlass.cli.target import Target, on_app

    done = on_app(Target(url, app_ref, namespace), lambda app: reset_known(app, names, actor()))
    emit_breakers(done, output)


@app.command("open")
def open_(
    names: Names,
    duration: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="How long, e.g. 10m; else the provider's own pause.")
    ] = None,
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Open the breakers of these providers: their jobs wait, then one probes."""
    from windlass.cli.act import actor
    from windlass.cli.gates import emit_breakers, on_each
    from windlass.cli.target import Target, on_app

    target = Target(url, app_ref, namespace)
    done = on_app(
        target, lambda app: on_each(names, lambda name: app.breakers.open(name, duration, actor=actor())), create=True
    )
    emit_breakers(done, output)
