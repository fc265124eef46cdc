"""`windlass effects`: what jobs may have done outside: ls, show, resolve."""

from typing import Annotated

import typer

from windlass.cli import options
from windlass.cli.options import Form, noun

app = noun("Effects of jobs whose outcome is not known: look at them and decide.")
Name = Annotated[str, typer.Argument(metavar="EFFECT", help="Its name, <name>/<key>.")]


@app.command("ls")
def ls(
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Only effects of this name.")] = None,
    running: Annotated[bool, typer.Option("--running", help="Also those that are being had now.")] = False,
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """List effects that are held or doubtful, the oldest first."""
    from windlass.cli.doubts import emit_effects
    from windlass.cli.target import Target, on_app

    target = Target(url, app_ref, namespace)
    emit_effects(on_app(target, lambda app: app.effects.list(name=name, running=running)), output)


@app.command("show")
def show(
    name: Name,
    output: options.PlainOutput = options.Plain.TEXT,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """One effect: what was prepared, what came of it, who decided."""
    from windlass.cli.doubts import emit_effect
    from windlass.cli.target import Target, on_app

    emit_effect(on_app(Target(url, app_ref, namespace), lambda app: app.effects.get(name)), output)


@app.command("resolve")
def resolve(
    name: Name,
    outcome: Annotated[str, typer.Argument(metavar="done|resend", help="It was done, or it is to be sent again.")],
    result: Annotated[
        str | None, typer.Option("--result", metavar="JSON", help="What later runs get, with done.")
    ] = None,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="Why: kept with the effect.")] = "",
    retry: Annotated[bool, typer.Option("--retry", help="Run its dead letter again at once.")] = False,
    output: options.PlainOutput = options.Plain.TEXT,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Decide what became of a held or doubtful effect."""
    from windlass.cli.act import actor
    from windlass.cli.doubts import decide, emit_effect
    from windlass.cli.target import Target, on_app

    decision = decide(name, outcome, result, note, actor(), retry=retry)
    emit_effect(on_app(Target(url, app_ref, namespace), decision), output)
