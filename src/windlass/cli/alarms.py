"""Alerts, rules and channels as people look at them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

from windlass.alerts.channels import Channel, Notice, Way
from windlass.alerts.rule import AlertRule, RuleOptions, Watch
from windlass.alerts.view import Alert
from windlass.cli.act import actor
from windlass.cli.endpoints import said
from windlass.cli.options import Chosen, Form, Plain
from windlass.cli.show import ago, clean, emit_json, emit_lines, emit_table, note
from windlass.cli.target import Target, on_app

if TYPE_CHECKING:
    from windlass.app import Windlass


class Wanted(NamedTuple):
    """A rule as the command line gives it."""

    name: str
    watch: str
    threshold: float | None
    window: str
    cool_down: str
    queues: tuple[str, ...]
    channels: tuple[str, ...]


def set_rule(target: Target, wanted: Wanted, form: Form) -> None:
    """Make or replace a rule, and print it."""
    name, watch, threshold, window, cool_down, queues, channels = wanted
    options = RuleOptions(threshold=threshold, window=window, cool_down=cool_down, queues=queues, channels=channels)
    made = on_app(
        target, lambda app: app.alerts.put_rule(name, cast(Watch, watch), actor=actor(), **options), create=True
    )
    emit_rules([made], form)


def emit_alerts(alerts: Sequence[Alert], form: Form) -> None:
    """Print what fires."""
    rows = [
        ["FIRING" if each.firing else "ended", each.rule, each.group, ago(each.since), clean(each.text)]
        for each in alerts
    ]
    _emit(
        alerts,
        [f"{each.rule}:{each.group}" for each in alerts],
        rows,
        form,
        ["", "rule", "about", "since", "what"],
        "nothing fires",
    )


def emit_notices(notices: Sequence[Notice], form: Form) -> None:
    """Print what was told."""
    rows = [[each.at[:16].replace("T", " "), each.event, each.rule, each.group, clean(each.text)] for each in notices]
    _emit(notices, [each.id for each in notices], rows, form, ["at", "", "rule", "about", "what"], "nothing was told")


def emit_rules(rules: Sequence[AlertRule], form: Form) -> None:
    """Print rules."""
    rows = [
        [each.name, each.watch, f"{each.threshold:g}", ",".join(each.queues) or "all", ",".join(each.channels)]
        for each in rules
    ]
    empty = "no rules; `windlass alerts standard` makes the usual ones"
    _emit(rules, [each.name for each in rules], rows, form, ["rule", "watch", "from", "queues", "tells"], empty)


def emit_channels(channels: Sequence[Channel], form: Form) -> None:
    """Print channels, never a secret, and of addresses only the host: the rest of them often is one."""
    shown = [_shown(each) for each in channels]
    rows = [[each["name"], each["way"], clean(", ".join(each["to"]) or each["host"])] for each in shown]
    _emit(shown, [each.name for each in channels], rows, form, ["channel", "way", "to"], "no channels but log")


def put_channel(target: Target, name: str, way: Way, to: Sequence[str], url: str, form: Plain) -> None:
    """Make or replace a channel, and print it."""

    async def run(app: "Windlass") -> Channel:
        made = await app.alerts.put_channel(name, way, to=to, url=url, actor=actor())
        await _warn(app, name)
        return made

    told_channel(on_app(target, run, create=True), form)


def try_channel(target: Target, name: str, form: Plain) -> None:
    """Tell a sample, and print the job that does."""

    async def run(app: "Windlass") -> str:
        job = await app.alerts.try_channel(name, actor=actor())
        await _warn(app, name)
        return job

    job = on_app(target, run)
    said(form, {"job": job}, job)
    note(f"a worker tells it: windlass jobs show{target.flags} {job}")


async def _warn(app: "Windlass", name: str) -> None:
    lack = await app.alerts.lack_of(name)
    if lack is not None:
        note(f"warning: {name} cannot work by the settings here: {lack.text}; {lack.mend}")


def told_channel(channel: Channel, form: Plain) -> None:
    """Print a new channel, and its secret."""
    if form is Plain.JSON:
        emit_json({**_shown(channel), "secret": channel.secret})
        return
    emit_lines([channel.secret or f"{channel.name}: {channel.way}"])
    if channel.secret:
        note("receivers check signatures with this secret, shown this once")


def _emit(
    values: Sequence[Any], ids: list[str], rows: list[list[str]], form: Form, heads: list[str], empty: str
) -> None:
    if form is Form.JSON:
        emit_json({"items": [msgspec.to_builtins(each) for each in values], "next": None})
    elif form is Form.IDS:
        emit_lines(ids)
    elif not rows:
        note(f"{empty} in {Chosen.store}")
    else:
        emit_table(heads, rows, keep=("rule", "about", "tells", "to"), below=heads[-1] == "what")


def _shown(channel: Channel) -> dict[str, Any]:
    host = channel.url.split("/")[2].rpartition("@")[2] if channel.url else ""
    return {"name": channel.name, "way": channel.way, "to": channel.to, "host": host}
