"""Alerts: what fires, the rules, the channels, and what fired before."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from windlass.alerts.channels import Channel
from windlass.alerts.rule import AlertRule, RuleOptions, Watch
from windlass.alerts.view import Alert
from windlass.api.operation import Call, Reply, Routes
from windlass.api.paging import Listing, whole
from windlass.api.specs import Duration

routes = Routes("alerts", "Alerts: rules, channels, what fires and what fired.")

Names = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=200)], ...], Meta(max_length=20)]
Address = Annotated[str, Meta(min_length=3, max_length=320)]


class AlertsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`firing`: only what fires, or only what ended; both if left out."""

    firing: Annotated[str, Meta(pattern=r"^(true|false)$")] | None = None


class NoticesQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many notices."""

    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100


class NewRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule. `threshold` left out: what is usual for the watch. `window`: of `dead-letters`; `least`: jobs that must have ended
    before `error-rate` means anything; `queues`: patterns, empty for all; `repeat`: tell again while it lasts."""

    watch: Watch
    threshold: Annotated[float, Meta(gt=0, le=1e12)] | None = None
    window: Duration = "5m"
    least: Annotated[int, Meta(ge=1, le=1_000_000)] = 20
    queues: Names = ()
    channels: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=200)], ...], Meta(min_length=1, max_length=20)
    ] = ("log",)
    cool_down: Duration = "15m"
    repeat: Duration | None = None
    active: bool = True


class NewChannel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A channel. `email`: `to` (the installation's `smtp_url` must be set); `webhook`, `slack`: `url`. `secret`: what a webhook's
    messages are signed with, made if left out."""

    way: Literal["email", "webhook", "slack", "log"]
    to: Annotated[tuple[Address, ...], Meta(max_length=50)] = ()
    url: Annotated[str, Meta(max_length=8_192)] = ""
    secret: Annotated[str, Meta(max_length=200, pattern=r"^whsec_[A-Za-z0-9+/=]+$")] | None = None


class ChannelView(msgspec.Struct, frozen=True, kw_only=True):
    """A channel, without its secret; of an address only the host, since the rest of it often is one."""

    name: str
    way: str
    to: tuple[str, ...]
    host: str


class ChannelSecret(ChannelView, frozen=True, kw_only=True):
    """A channel with its secret, which is told this once; empty if it signs nothing."""

    secret: str


class NoticeView(msgspec.Struct, frozen=True, kw_only=True):
    """What was told: `event` is `firing`, `still-firing` or `resolved`."""

    id: str
    event: str
    rule: str
    group: str
    text: str
    value: float
    since: datetime
    at: datetime
    command: str


class RemovedName(msgspec.Struct, frozen=True, kw_only=True):
    """A rule or channel that is gone."""

    name: str
    outcome: Literal["removed"] = "removed"


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """The job that tells."""

    job: str


@routes.get("/alerts")
async def list_alerts(call: Call, query: AlertsQuery) -> Reply[Listing[Alert]]:
    """List what fires, and what ended within a day."""
    return whole(call, await call.app.alerts.list(firing=None if query.firing is None else query.firing == "true"))


@routes.get("/alerts/history")
async def list_alert_notices(call: Call, query: NoticesQuery) -> Reply[Listing[NoticeView]]:
    """List what was told in the last 30 days, the newest first."""
    found = await call.app.alerts.history(query.limit)
    return whole(call, [msgspec.convert(msgspec.to_builtins(notice), NoticeView) for notice in found])


@routes.post("/alerts/look", status=202)
async def look_for_alerts(call: Call) -> Tried:
    """Look at every rule now, rather than within a minute."""
    return Tried(job=await call.app.alerts.look())


@routes.get("/alerts/rules")
async def list_alert_rules(call: Call) -> Reply[Listing[AlertRule]]:
    """List rules by name."""
    return whole(call, await call.app.alerts.rules())


@routes.put(
    "/alerts/rules/{name}", example={"watch": "queue-size", "threshold": 500, "queues": ["mail"], "channels": ["log"]}
)
async def put_alert_rule(call: Call, name: str, body: NewRule) -> AlertRule:
    """Make or replace a rule."""
    given = {field: getattr(body, field) for field in NewRule.__struct_fields__ if field != "watch"}
    options: RuleOptions = given  # pyright: ignore[reportAssignmentType]
    return await call.app.alerts.put_rule(name, body.watch, actor=call.caller.actor, **options)


@routes.delete("/alerts/rules/{name}")
async def delete_alert_rule(call: Call, name: str) -> RemovedName:
    """Forget a rule, and what it has firing."""
    await call.app.alerts.remove_rule(name, actor=call.caller.actor)
    return RemovedName(name=name)


@routes.get("/alerts/channels")
async def list_alert_channels(call: Call) -> Reply[Listing[ChannelView]]:
    """List channels by name; `log` is always there, and not among them."""
    return whole(call, [_view(channel) for channel in await call.app.alerts.channels()])


@routes.put("/alerts/channels/{name}", secret=True, example={"way": "email", "to": ["ops@example.com"]})
async def put_alert_channel(call: Call, name: str, body: NewChannel) -> ChannelSecret:
    """Make or replace a channel. The answer is the only one that shows its secret."""
    made = await call.app.alerts.put_channel(
        name, body.way, to=body.to, url=body.url, secret=body.secret, actor=call.caller.actor
    )
    return ChannelSecret(**msgspec.structs.asdict(_view(made)), secret=made.secret)


@routes.delete("/alerts/channels/{name}")
async def delete_alert_channel(call: Call, name: str) -> RemovedName:
    """Forget a channel that no rule names."""
    await call.app.alerts.remove_channel(name, actor=call.caller.actor)
    return RemovedName(name=name)


@routes.post("/alerts/channels/{name}/try", status=202)
async def try_alert_channel(call: Call, name: str) -> Tried:
    """Tell a sample by a channel."""
    return Tried(job=await call.app.alerts.try_channel(name, actor=call.caller.actor))


def _view(channel: Channel) -> ChannelView:
    host = channel.url.split("/")[2].rpartition("@")[2] if channel.url else ""
    return ChannelView(name=channel.name, way=channel.way, to=channel.to, host=host)
