"""`windlass schedules`: list, show, pause, resume, trigger, preview, remove."""

from typing import Annotated

import typer

from windlass.cli import options
from windlass.cli.options import Form, noun

app = noun("Recurring jobs: list, show, pause, trigger, preview, remove.")
Key = Annotated[str, typer.Argument(metavar="KEY", help="The schedule's key.")]
Keys = Annotated[list[str], typer.Argument(metavar="KEY...", help="Keys of schedules.")]


@app.command("ls")
def ls(
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """List schedules and when each fires next."""
    from windlass.cli.recurring import emit_schedules, with_schedules
    from windlass.cli.target import Target

    emit_schedules(with_schedules(Target(url, app_ref, namespace), lambda schedules: schedules.list()), output)


@app.command("show")
def show(
    key: Key,
    limit: options.Limit = 10,
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Everything about a schedule: its rule, the newest jobs it made, the next times, what operators did."""
    from windlass.cli.recurring import emit_detail, gather, with_schedules
    from windlass.cli.target import Target

    emit_detail(with_schedules(Target(url, app_ref, namespace), lambda found: gather(found, key, limit)), output)


@app.command("pause")
def pause(
    keys: Keys,
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Let no time of these fire until they are resumed."""
    from windlass.cli.recurring import emit_paused, set_paused, with_schedules
    from windlass.cli.target import Target

    target = Target(url, app_ref, namespace)
    emit_paused(with_schedules(target, lambda found: set_paused(found, keys, paused=True)), output)


@app.command("resume")
def resume(
    keys: Keys,
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Go on with the next time from now; what passed meanwhile is not made up for."""
    from windlass.cli.recurring import emit_paused, set_paused, with_schedules
    from windlass.cli.target import Target

    target = Target(url, app_ref, namespace)
    emit_paused(with_schedules(target, lambda found: set_paused(found, keys, paused=False)), output)


@app.command("trigger")
def trigger(
    key: Key,
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Make its job now, beside its own times; prints the job's id."""
    from windlass.cli.recurring import with_schedules
    from windlass.cli.show import emit_json
    from windlass.cli.target import Target

    ref = with_schedules(Target(url, app_ref, namespace), lambda schedules: schedules.trigger(key))
    if output is Form.JSON:
        emit_json(ref)
    else:
        print(ref.id)


@app.command("preview")
def preview(
    key: Annotated[str | None, typer.Argument(metavar="[KEY]", help="The schedule's key; or --cron.")] = None,
    count: Annotated[int, typer.Option("--count", "-n", metavar="N", min=1, max=10_000, help="How many.")] = 10,
    cron: Annotated[str | None, typer.Option("--cron", metavar="EXPRESSION", help="Try this one instead.")] = None,
    timezone: Annotated[str, typer.Option("--timezone", metavar="ZONE", help="The zone of --cron.")] = "UTC",
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """The next times, of a schedule or of an expression, with the changes of the clock marked."""
    from windlass.cli.recurring import emit_preview, try_out, with_schedules
    from windlass.cli.target import Target

    if (key is None) == (cron is None):
        raise typer.BadParameter("name a schedule, or give --cron", param_hint="KEY")
    if cron is not None:
        emit_preview(try_out(cron, timezone, count), output)
    elif key is not None:
        name = key
        target = Target(url, app_ref, namespace)
        emit_preview(with_schedules(target, lambda schedules: schedules.preview(name, count)), output)


@app.command("rm")
def rm(
    keys: Keys,
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Remove schedules; their jobs stay. One that code declares comes back when a worker of that code starts."""
    from windlass.cli.recurring import emit_removed, remove, with_schedules
    from windlass.cli.target import Target

    emit_removed(with_schedules(Target(url, app_ref, namespace), lambda found: remove(found, keys)), output)
