"""What an app tells of itself: metrics, costs by user, the audit, health, and the text that Prometheus reads."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, overload

from windlass.operate.audit import Act, read_audit
from windlass.store.protocol import Store
from windlass.values.clock import Duration
from windlass.values.query import Page

if TYPE_CHECKING:
    from windlass.observe.crew import WorkerFigures
    from windlass.observe.figures import Metrics
    from windlass.observe.frames import Step
    from windlass.observe.health import Health, QueueHealth
    from windlass.observe.users import UserFigures, UserMetrics
    from windlass.settings import Settings


class Watching(Protocol):
    """A part of the app, apart from its size: the rest of it has the store and the settings."""

    settings: "Settings"

    async def store(self) -> Store:
        """The running loop's store."""
        ...

    @overload
    async def metrics(
        self,
        *,
        queue: str | None = None,
        kind: str | None = None,
        last: Duration = "24h",
        since: datetime | None = None,
        until: datetime | None = None,
        step: "Step | None" = None,
    ) -> "Metrics": ...
    @overload
    async def metrics(
        self,
        *,
        user: str,
        queue: str | None = None,
        kind: str | None = None,
        last: Duration = "24h",
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> "UserMetrics": ...
    async def metrics(
        self,
        *,
        user: str | None = None,
        queue: str | None = None,
        kind: str | None = None,
        last: Duration = "24h",
        since: datetime | None = None,
        until: datetime | None = None,
        step: "Step | None" = None,
    ) -> "Metrics | UserMetrics":
        """What became of attempts in the `last` "1h", "24h", "7d", "30d", or from `since` to `until`: exact counts, rates,
        waiting and run times, costs, and a series by "minute", "hour" or "day" (None: what suits the span). Of a `user`: counts,
        average run time, memory and costs, by queue, kind and day."""
        from windlass.observe.figures import read_metrics
        from windlass.observe.users import read_user_metrics

        store, currency = await self.store(), self.settings.currency
        if user is not None:
            return await read_user_metrics(
                store, user, queue=queue, kind=kind, last=last, since=since, until=until, currency=currency
            )
        return await read_metrics(
            store, queue=queue, kind=kind, last=last, since=since, until=until, step=step, currency=currency
        )

    async def users(
        self,
        *,
        last: Duration = "24h",
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
    ) -> "Sequence[UserFigures]":
        """The ledger: what each user's jobs came to and cost, the dearest first, then those with most jobs."""
        from windlass.observe.users import read_users

        return await read_users(await self.store(), last=last, since=since, until=until, limit=limit)

    async def worker_metrics(
        self,
        *,
        worker: str | None = None,
        last: Duration = "24h",
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
    ) -> "Sequence[WorkerFigures]":
        """What each worker did, those that ran most first, also those that have gone: counts, rates, run and waiting times,
        CPU, memory and costs. `worker`: only this one."""
        from windlass.observe.crew import read_worker_metrics

        return await read_worker_metrics(
            await self.store(), worker=worker, last=last, since=since, until=until, limit=limit
        )

    async def audit(
        self,
        *,
        target: str | None = None,
        actor: str | None = None,
        action: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Act]:
        """What operators did, newest first: `target` is a job's id, `jobs`, `queue:<name>`, `schedule:<key>` and the like;
        `target` and `action` may end in `*`. Raises `InvalidOption`."""
        return await read_audit(
            await self.store(),
            target=target,
            actor=actor,
            action=action,
            since=since,
            until=until,
            limit=limit,
            cursor=cursor,
        )

    @overload
    async def health(self) -> "Health": ...
    @overload
    async def health(self, queue: str) -> "QueueHealth": ...
    async def health(self, queue: str | None = None) -> "Health | QueueHealth":
        """Whether everything, or a queue, is well: "healthy", "degraded", "unhealthy" or (the store does not answer) "error",
        with the issues in numbers and the commands that mend them."""
        from windlass.observe.health import read_health, read_queue_health

        return await (read_health(self.store) if queue is None else read_queue_health(self.store, queue))

    async def prometheus(self) -> str:
        """Metrics in the text format of Prometheus. Needs the extra `windlass[metrics]`."""
        from windlass.observe.prometheus import exposition

        return await exposition(await self.store())
