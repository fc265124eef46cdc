"""`app.alerts`: rules and channels made and removed at run time, what fires now, and what fired before."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Unpack

import msgspec
from msgspec.structs import asdict

from windlass.alerts.channels import LOG, Channel, Lacking, Notice, Way, lack_of, read_channel
from windlass.alerts.channels import SPACE as CHANNELS
from windlass.alerts.episode import SPACE as EPISODES
from windlass.alerts.episode import Episode
from windlass.alerts.rule import SPACE as RULES
from windlass.alerts.rule import AlertRule, RuleOptions, Watch, read_rule
from windlass.alerts.watching import HISTORY, Install
from windlass.errors import AlertRuleNotFound, ChannelNotFound, InvalidOption
from windlass.operate.audit import note_act
from windlass.operate.shelf import Shelf
from windlass.outbound import Outbound
from windlass.produce.ids import new_id
from windlass.values.clock import moment

if TYPE_CHECKING:
    from windlass.app import Windlass

STANDARD: tuple[tuple[str, Watch, RuleOptions], ...] = (
    ("dead-letters", "dead-letters", {"window": "5m"}),
    ("error-rate", "error-rate", {"threshold": 0.1}),
    ("queue-size", "queue-size", {"threshold": 1_000}),
    ("workers", "worker-lost", {}),
    ("health", "health", {"threshold": 2}),
    ("breakers", "breaker-open", {}),
    ("schedules", "schedule-missed", {}),
)
"""What the founding documents ask to be told of: dead letters, high error rates, large queues, failing workers, bad health."""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """What fires, or did last. `since`: when it began; `ended_at`: when it ended, None while it fires; `silent`: nobody was told,
    because it began again within the cool-down."""

    rule: str
    group: str
    firing: bool
    text: str
    value: float
    command: str
    since: datetime
    ended_at: datetime | None
    silent: bool


class Alerts:
    """The alerts of an installation, looked at every minute by its workers."""

    def __init__(self, app: "Windlass") -> None:
        self._app = app
        self._rules = Shelf(app.store, RULES, AlertRule)
        self._channels = Shelf(app.store, CHANNELS, Channel)
        self._episodes = Shelf(app.store, EPISODES, Episode)
        self._install: Install | None = None

    @property
    def handlers(self) -> Install:
        """The kinds that look and tell, registered in the app."""
        if self._install is None:
            self._install = Install(self._app)
        return self._install

    # rules

    async def rules(self) -> list[AlertRule]:
        """Every rule by name."""
        return sorted((await self._rules.all()).values(), key=lambda rule: rule.name)

    async def put_rule(
        self, name: str, watch: Watch, *, actor: str = "app", **options: Unpack[RuleOptions]
    ) -> AlertRule:
        """Make or replace a rule; raises `InvalidOption`, also for a channel that does not exist."""
        rule = read_rule(name, watch, options)
        known = {LOG, *await self._channels.all()}
        for channel in rule.channels:
            if channel not in known:
                raise InvalidOption(
                    f"channels names {channel!r}, which does not exist",
                    field="channels",
                    value=channel,
                    limit=", ".join(sorted(known)),
                    mend="make the channel first",
                )
        await self._rules.put(rule.name, rule)
        await note_act(await self._app.store(), actor, "put-alert-rule", f"alert-rule:{name}", asdict(rule))
        return rule

    async def put_standard(self, *channels: str, actor: str = "app") -> list[AlertRule]:
        """The usual rules, told by these channels (`log` if none is given); rules of the same names are replaced."""
        told = channels or (LOG,)
        return [
            await self.put_rule(name, watch, actor=actor, **{**options, "channels": told})
            for name, watch, options in STANDARD
        ]

    async def remove_rule(self, name: str, *, actor: str = "app") -> None:
        """Forget a rule and what it has firing; raises `AlertRuleNotFound`."""
        if not await self._rules.drop(name):
            raise AlertRuleNotFound(f"there is no alert rule {name[:60]!r}", name=name[:60])
        await note_act(await self._app.store(), actor, "remove-alert-rule", f"alert-rule:{name}")

    # channels

    async def channels(self) -> list[Channel]:
        """Every channel by name; `log` is always there and not among them."""
        return sorted((await self._channels.all()).values(), key=lambda channel: channel.name)

    async def put_channel(
        self,
        name: str,
        way: Way,
        *,
        to: Sequence[str] | str = (),
        url: str = "",
        secret: str | None = None,
        actor: str = "app",
    ) -> Channel:
        """Make or replace a channel: `email` (`to`; needs the setting `smtp_url`), `webhook` or `slack` (`url`)."""
        outbound = Outbound(self._app.settings.webhook_networks)
        channel = read_channel(name, way, to=to, url=url, secret=secret, outbound=outbound)
        await self._channels.put(name, channel)
        await note_act(
            await self._app.store(), actor, "put-alert-channel", f"alert-channel:{name}", {"way": way, "to": channel.to}
        )
        return channel

    async def lack_of(self, name: str) -> Lacking | None:
        """What this app's settings lack for a channel, such as `smtp_url` for mail; None if nothing."""
        channel = await self._channels.get(name)
        return None if channel is None else lack_of(channel, self._app.settings.smtp_url)

    async def remove_channel(self, name: str, *, actor: str = "app") -> None:
        """Forget a channel; raises `ChannelNotFound`, and `InvalidOption` while a rule names it."""
        using = [rule.name for rule in await self.rules() if name in rule.channels]
        if using:
            raise InvalidOption(
                f"the channel is named by {', '.join(using)}",
                field="name",
                value=name,
                limit="a channel that no rule names",
                mend="give these rules other channels first",
            )
        if not await self._channels.drop(name):
            raise ChannelNotFound(f"there is no alert channel {name[:60]!r}", name=name[:60])
        await note_act(await self._app.store(), actor, "remove-alert-channel", f"alert-channel:{name}")

    async def try_channel(self, name: str, *, actor: str = "app") -> str:
        """Tell a sample by a channel; the id of the job that does."""
        if name != LOG and await self._channels.get(name) is None:
            raise ChannelNotFound(f"there is no alert channel {name[:60]!r}", name=name[:60])
        at = moment(await (await self._app.store()).now()).isoformat()
        text = f"{actor} tries the channel {name}"
        notice = Notice(id=new_id(), event="firing", rule="sample", group=name, text=text, value=0, since=at, at=at)
        (ref,) = await self._app.enqueue_many([self.handlers.tell.job(name, asdict(notice))])
        return ref.id

    # what fires

    async def history(self, limit: int = 100) -> list[Notice]:
        """The notices of the last 30 days, the newest first."""
        records = await (await self._app.store()).records(HISTORY)
        newest = sorted(records, key=lambda record: record.key, reverse=True)[:limit]
        return [msgspec.json.decode(record.text, type=Notice) for record in newest if record.text]

    async def list(self, *, firing: bool | None = None) -> list[Alert]:
        """What fires and what ended within a day, the newest first; `firing` True or False: only these."""
        found = [_alert(episode) for episode in (await self._episodes.all()).values()]
        return sorted(
            (alert for alert in found if firing is None or alert.firing == firing),
            key=lambda alert: (alert.firing, alert.since),
            reverse=True,
        )

    async def look(self) -> str:
        """Look at every rule now, by a job; its id."""
        (ref,) = await self._app.enqueue_many([self.handlers.watch.job()])
        return ref.id


def _alert(episode: Episode) -> Alert:
    return Alert(
        rule=episode.rule,
        group=episode.group,
        firing=episode.firing,
        text=episode.text,
        value=episode.value,
        command=episode.command,
        since=moment(episode.since),
        ended_at=None if episode.ended_at is None or episode.firing else moment(episode.ended_at),
        silent=episode.silent,
    )


__all__ = ["Alert", "AlertRule", "Alerts", "Channel"]
