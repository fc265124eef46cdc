"""`windlass alerts`: what fires, the rules, the channels."""

from enum import StrEnum
from typing import Annotated

import typer

from windlass.alerts.rule import WATCHES
from windlass.cli import options
from windlass.cli.options import Form, Plain, noun

app = noun("Alerts: what fires, rules, channels.")


class Way(StrEnum):
    """How a channel tells."""

    EMAIL = "email"
    WEBHOOK = "webhook"
    SLACK = "slack"
    LOG = "log"


Name = Annotated[str, typer.Argument(metavar="NAME", help="The rule's or channel's name.")]
Watched = Annotated[str, typer.Argument(metavar="WATCH", help=", ".join(WATCHES))]
Threshold = Annotated[
    float | None, typer.Option("--threshold", metavar="N", help="From which on it fires; else what is usual.")
]
Window = Annotated[str, typer.Option("--window", metavar="DURATION", help="Of dead-letters: how far back they count.")]
CoolDown = Annotated[str, typer.Option("--cool-down", metavar="DURATION", help="Silence after an end.")]
Queues = Annotated[
    list[str] | None, typer.Option("--queue", "-q", metavar="QUEUE", help="Only these queues; patterns.")
]
Channels = Annotated[list[str] | None, typer.Option("--channel", metavar="NAME", help="Whom to tell; again for more.")]
To = Annotated[list[str] | None, typer.Option("--to", metavar="ADDRESS", help="Recipients of mail; again for more.")]
Address = Annotated[str, typer.Option("--to-url", metavar="URL", help="A webhook's or Slack's address.")]
WayOption = Annotated[Way, typer.Argument(metavar="WAY", help="email, webhook, slack or log")]


@app.command("ls")
def ls(
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """List what fires, and what ended within a day."""
    from windlass.cli.alarms import emit_alerts
    from windlass.cli.target import Target, on_app

    emit_alerts(on_app(Target(url, app_ref, namespace), lambda app: app.alerts.list()), output)


@app.command("history")
def history(
    limit: options.Limit = 50,
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """List what was told in the last 30 days, newest first."""
    from windlass.cli.alarms import emit_notices
    from windlass.cli.target import Target, on_app

    emit_notices(on_app(Target(url, app_ref, namespace), lambda app: app.alerts.history(limit)), output)


@app.command("rules")
def rules(
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """List rules."""
    from windlass.cli.alarms import emit_rules
    from windlass.cli.target import Target, on_app

    emit_rules(on_app(Target(url, app_ref, namespace), lambda app: app.alerts.rules()), output)


@app.command("set")
def set_(
    name: Name,
    watch: Watched,
    threshold: Threshold = None,
    window: Window = "5m",
    cool_down: CoolDown = "15m",
    queues: Queues = None,
    channels: Channels = None,
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Make or replace a rule."""
    from windlass.cli.alarms import Wanted, set_rule
    from windlass.cli.target import Target

    wanted = Wanted(name, watch, threshold, window, cool_down, tuple(queues or ()), tuple(channels or ("log",)))
    set_rule(Target(url, app_ref, namespace), wanted, output)


@app.command("standard")
def standard(
    channels: Channels = None,
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Make the usual rules: dead letters, error rate, queue size, workers, health, breakers, schedules."""
    from windlass.cli.act import actor
    from windlass.cli.alarms import emit_rules
    from windlass.cli.target import Target, on_app

    made = on_app(
        Target(url, app_ref, namespace),
        lambda app: app.alerts.put_standard(*(channels or ()), actor=actor()),
        create=True,
    )
    emit_rules(made, output)


@app.command("unset")
def unset(
    name: Name,
    output: options.PlainOutput = Plain.TEXT,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Forget a rule, and what it has firing."""
    from windlass.cli.act import actor
    from windlass.cli.endpoints import said
    from windlass.cli.target import Target, on_app

    on_app(Target(url, app_ref, namespace), lambda app: app.alerts.remove_rule(name, actor=actor()))
    said(output, {"name": name, "outcome": "removed"}, f"removed {name}")


@app.command("channels")
def channels_(
    output: options.Output = Form.TABLE,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """List channels; `log` is always there."""
    from windlass.cli.alarms import emit_channels
    from windlass.cli.target import Target, on_app

    emit_channels(on_app(Target(url, app_ref, namespace), lambda app: app.alerts.channels()), output)


@app.command("channel")
def channel(
    name: Name,
    way: WayOption,
    to: To = None,
    address: Address = "",
    output: options.PlainOutput = Plain.TEXT,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Make or replace a channel; a webhook's secret is printed, this once."""
    from windlass.cli.alarms import put_channel
    from windlass.cli.target import Target

    put_channel(Target(url, app_ref, namespace), name, way.value, to or (), address, output)


@app.command("try")
def try_(
    name: Name,
    output: options.PlainOutput = Plain.TEXT,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Tell a sample by a channel; prints the job that does."""
    from windlass.cli.alarms import try_channel
    from windlass.cli.target import Target

    try_channel(Target(url, app_ref, namespace), name, output)
