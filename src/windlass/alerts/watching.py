"""The jobs of alerts: the look at every rule, made every minute by whichever worker, and telling a notice by a channel."""

import logging
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from windlass.alerts.channels import LOG, Channel, Notice, read_post, tell
from windlass.alerts.channels import SPACE as CHANNELS
from windlass.alerts.episode import SPACE as EPISODES
from windlass.alerts.episode import Episode, look
from windlass.alerts.findings import Finding, Picture, findings
from windlass.alerts.rule import SPACE as RULES
from windlass.alerts.rule import AlertRule
from windlass.declare.handler import Handler
from windlass.observe.health import read_health
from windlass.operate.shelf import Shelf
from windlass.outbound import Clients
from windlass.running.context import Context
from windlass.store.protocol import Store
from windlass.values.clock import SECOND, Micros, moment
from windlass.values.job import NewJob
from windlass.values.outcome import Cancel
from windlass.values.query import Swap, Where
from windlass.values.states import State
from windlass.webhooks.messages import settled_id
from windlass.webhooks.relay import QUEUE, RESCUES

if TYPE_CHECKING:
    from windlass.app import Windlass

log = logging.getLogger("windlass.alerts")

WATCH, TELL = "windlass.watch", "windlass.tell"
WAITS = (5, 15, 60, 300, 900, 1_800, 3_600)
"""Seconds between tries of telling: eight tries in two hours."""
HISTORY = "alert-history"
KEPT: Micros = 30 * 86_400 * SECOND
"""How long it is known which alerts fired."""
_CAP = 10_000
_TIMEOUT = 20.0
_GONE: Micros = 86_400 * SECOND
"""An episode that ended so long ago is forgotten: no cool-down lasts longer."""


class Install:
    """The handlers of alerts in one app, made once."""

    def __init__(self, app: "Windlass") -> None:
        self._app = app
        self._rules = Shelf(app.store, RULES, AlertRule)
        self._channels = Shelf(app.store, CHANNELS, Channel)
        self._episodes = Shelf(app.store, EPISODES, Episode)
        self._clients = Clients(lambda: app.settings.webhook_networks, _TIMEOUT)
        self.watch: Handler[..., Any] = app.job(kind=WATCH, queue=QUEUE, max_attempts=1, timeout="2m")(self._watch)
        self.tell: Handler[..., Any] = app.job(
            kind=TELL, queue=QUEUE, max_attempts=len(WAITS) + 1, backoff=_wait, timeout="1m", max_rescues=RESCUES
        )(self._tell)

    async def _watch(self) -> int:
        """Look at every rule; how many notices that made."""
        rules = [rule for rule in (await self._rules.all()).values() if rule.active]
        known = await self._episodes.all()
        if not rules and not known:
            return 0
        store = await self._app.store()
        now = await store.now()
        picture = await self._picture(store, rules, now)
        names = {rule.name for rule in rules}
        told = 0
        for rule in rules:
            told += await self._look(rule, findings(rule, picture), known, now)
        for key, episode in known.items():  # rules that were removed, and what is long over
            over = episode.ended_at is not None and episode.untold is None and now - episode.ended_at > _GONE
            if episode.rule not in names or over:
                await self._episodes.drop(key)
        return told

    async def _picture(self, store: Store, rules: list[AlertRule], now: Micros) -> Picture:
        health = await read_health(self._app.store)
        dead: dict[str, dict[str, int]] = {}
        queues = [info.name for info in await store.queues()]
        for rule in rules:
            if rule.watch == "dead-letters":
                covered = [name for name in queues if rule.covers(name)]
                since = now - round(rule.window * SECOND)
                wheres = [Where(states=(State.FAILED,), queues=(name,), finished_from=since) for name in covered]
                counts = await store.count(wheres, _CAP) if wheres else []
                dead[rule.name] = {name: n for name, n in zip(covered, counts, strict=True) if n}
        rows = await store.schedules(due_before=now) if any(rule.watch == "schedule-missed" for rule in rules) else []
        late = {row.key: (now - row.due) / SECOND for row in rows if row.due is not None and not row.paused}
        return Picture(health, dead, late)

    async def _look(self, rule: AlertRule, found: dict[str, Finding], known: dict[str, Episode], now: Micros) -> int:
        """What one rule says now against what it said before; how many notices that made."""
        told = 0
        groups = {episode.group for episode in known.values() if episode.rule == rule.name} | found.keys()
        for group in sorted(groups):
            key = f"{rule.name}\n{group}"
            before = known.get(key)
            if before is not None and before.untold is not None:  # who noted it was lost before it was told
                before = await self._told(rule, key, before)
            after = look(rule, group, before, found.get(group), now)
            if after is None or not await self._noted(key, before, after):
                continue
            if after.untold is not None:
                await self._told(rule, key, after)
                told += 1
        return told

    async def _noted(self, key: str, before: Episode | None, after: Episode) -> bool:
        """Whether it was this look that changed the episode: of two at a time one wins."""
        if before is None:
            return await self._episodes.add(key, after)
        return await self._episodes.change(key, lambda known: after if known == before else None) == after

    async def _told(self, rule: AlertRule, key: str, episode: Episode) -> Episode:
        """Store the jobs that tell a notice. Done again after a crash it stores the same jobs, which is nothing."""
        known = await self._channels.all()
        about = f"{rule.name}:{episode.group}:{episode.number}"
        jobs: list[NewJob[Any]] = []
        for name in rule.channels:
            if name not in known and name != LOG:
                log.warning("alert rule %s names the channel %r, which does not exist", rule.name, name)
                continue
            id = settled_id(about, name, at=episode.at)
            jobs.append(replace(self.tell.job(name, _notice(id, episode)), id=id))
        if jobs:
            await self._app.enqueue_many(jobs)
        event = "alert.resolved" if episode.untold == "resolved" else "alert.firing"
        await self._app.webhooks.tell(event, {**_notice(about, episode)}, about=about, at=episode.at)
        await self._remember(about, episode)
        done = replace(episode, untold=None)
        await self._episodes.change(key, lambda stored: done if stored == episode else None)
        return done

    async def _remember(self, about: str, episode: Episode) -> None:
        text = msgspec.json.encode(_notice(about, episode)).decode()
        swap = Swap(space=HISTORY, key=f"{episode.at:016x} {about}", text=text, expect=0, ttl=KEPT)
        await (await self._app.store()).exchange([swap])

    async def _tell(self, ctx: Context, channel: str, notice: dict[str, Any]) -> None:
        """Tell one notice by one channel."""
        found = Channel(name=LOG, way="log") if channel == LOG else await self._channels.get(channel)
        if found is None:
            raise Cancel("the channel is gone")
        settings = self._app.settings
        post = read_post(settings.smtp_url, settings.smtp_from) if settings.smtp_url else None
        await tell(found, msgspec.convert(notice, Notice), post, self._clients.here() if found.url else None)


def _notice(id: str, episode: Episode) -> dict[str, Any]:
    return {
        "id": id,
        "event": episode.untold,
        "rule": episode.rule,
        "group": episode.group,
        "text": episode.text,
        "value": episode.value,
        "since": moment(episode.since).isoformat(),
        "at": moment(episode.at).isoformat(),
        "command": episode.command,
    }


def _wait(attempt: int) -> float:
    return float(WAITS[min(attempt, len(WAITS)) - 1])
