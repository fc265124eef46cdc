"""The built-in jobs that keep a store tidy, and their schedules: ordinary ones, visible and pausable like any other."""

from typing import TYPE_CHECKING, Literal

from msgspec.structs import replace

from windlass.observe.crew import fold_workers
from windlass.observe.frames import DAY, fold
from windlass.observe.trend import keep_moment
from windlass.observe.users import fold_users
from windlass.operate.replaying import replay_handler
from windlass.operate.retention import NOTHING, prune_all, retention_of
from windlass.schedules.timetable import Deployed, reconcile
from windlass.schedules.timing import make_rule
from windlass.store.protocol import Store
from windlass.values.query import Retention
from windlass.values.queue import HOUSE
from windlass.values.schedule import Rule

if TYPE_CHECKING:
    from windlass.app import Windlass

OWNER = "windlass"
QUEUE = HOUSE
PRUNE = "windlass.prune"
HEALTH = "windlass.health"
RETRY = "windlass.retry-dead"
_LONGEST_FOLD = 7 * DAY
"""How far back hours are added up where minutes are kept for ever."""

What = Literal["jobs", "metrics"]


def install(app: "Windlass") -> None:
    """Give the app the built-in handlers, so that any of its workers can run what is scheduled."""
    if PRUNE in app.handlers:
        return

    async def prune(what: What) -> int:
        """Delete what retention no longer keeps; how many jobs that were."""
        if what == "metrics":  # added up by hour and day before the minutes go
            back = app.settings.retention.metrics or _LONGEST_FOLD
            await fold(await app.store(), back)
            await fold_users(await app.store(), back)
            await fold_workers(await app.store(), back)
        store = await app.store()
        return await prune_all(store, _share(await retention_of(store, app.settings.retention), what))

    async def retry_dead() -> int:
        """Run the dead letters again whose automatic retry is due; how many."""
        return int(await app.dead_letters.retry_due(actor="schedule:windlass.retry-dead"))

    async def health() -> str:
        """Keep how the queues stand; the status."""
        found = await app.health()
        await keep_moment(await app.store(), found)
        return found.status

    app.job(kind=PRUNE, queue=QUEUE, max_attempts=1, timeout="1h")(prune)
    app.job(kind=HEALTH, queue=QUEUE, max_attempts=1, timeout="2m")(health)
    app.job(kind=RETRY, queue=QUEUE, max_attempts=1, timeout="10m")(retry_dead)
    replay_handler(app)


async def deploy(app: "Windlass", store: Store) -> Deployed:
    """Write the maintenance schedules, or remove them if the app's settings say `maintenance=False`."""
    return await reconcile(store, OWNER, _rules(app) if app.settings.maintenance else {})


def _rules(app: "Windlass") -> dict[str, Rule]:
    """Old jobs and audit entries go at two in the morning, old metrics every hour (UTC both); every minute dead letters that
    are due are run again, webhooks are told of jobs that ended without a worker, and alerts look at their rules; every five
    minutes the health is kept."""
    prune, health, retry = app.handlers[PRUNE], app.handlers[HEALTH], app.handlers[RETRY]
    sweep, watch = app.webhooks.handlers.sweep, app.alerts.handlers.watch
    return {
        "windlass.prune-jobs": make_rule(prune.job("jobs"), {"cron": "0 2 * * *"}),
        "windlass.prune-metrics": make_rule(prune.job("metrics"), {"cron": "@hourly"}),
        "windlass.retry-dead": make_rule(retry.job(), {"every": "1m"}),
        "windlass.sweep-ends": make_rule(sweep.job(), {"every": "1m"}),
        "windlass.watch": make_rule(watch.job(), {"every": "1m"}),
        "windlass.health": make_rule(health.job(), {"every": "5m"}),
    }


def _share(retention: Retention, what: What) -> Retention:
    return replace(retention, metrics=None) if what == "jobs" else replace(NOTHING, metrics=retention.metrics)
