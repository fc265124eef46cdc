"""Fires schedules that are due: any worker may, the store lets one of them win each time. No leader."""

import logging
import random
from collections.abc import Callable, Sequence
from typing import Any

from windlass.errors import StoreError, WindlassError
from windlass.produce.ids import new_id
from windlass.produce.producer import Observer
from windlass.store.protocol import Store
from windlass.values.clock import SECOND, Micros
from windlass.values.job import NewJob
from windlass.values.query import Action, Command, Where
from windlass.values.schedule import Rule, ScheduleRow, job_for, plan, read_rule
from windlass.worker.every import Every

log = logging.getLogger("windlass.worker")

LOOK = 1.0
"""Seconds between looks at the schedules; a due time inside that is slept for exactly."""

_SHORTEST = 0.005
_AT_ONCE = 50
"""Schedules between two looks when many are due, each worker in an order of its own: racing workers share the work."""


class Firing:
    """Decides by the rule, commits by compare-and-set on the due time. A worker that stood still between the two finds the
    time moved, and has done nothing."""

    def __init__(
        self,
        store: Store,
        observers: Sequence[Observer],
        news: Callable[[], None],
        bind: Callable[[NewJob[Any]], NewJob[Any]] = lambda job: job,
    ) -> None:
        """`bind`: makes the copy of a job one of its own, where arguments are encrypted for an id."""
        self._store = store
        self._observers = observers
        self._news = news
        self._bind = bind
        self._unfit: dict[str, str] = {}
        self._random = random.Random()

    async def run(self) -> None:
        """Fire what becomes due, until cancelled."""
        await Every(LOOK, self.step, "firing schedules").run()

    async def step(self) -> float | None:
        """Fire what is due; seconds until the next time, 0 if there may be more now."""
        now = await self._store.now()
        rows = await self._store.schedules(now + int(LOOK * SECOND) + 1)
        rows = [row for row in rows if self._unfit.get(row.key) != row.spec]
        due = [row for row in rows if row.due is not None and row.due <= now]
        self._random.shuffle(due)
        for row in due[:_AT_ONCE]:
            await self._try(row, now)
        if due:
            return 0.0
        ahead = min((row.due - now for row in rows if row.due is not None), default=None)
        return None if ahead is None else max(ahead / SECOND, _SHORTEST)

    async def _try(self, row: ScheduleRow, now: Micros) -> None:
        try:
            await self._fire(row, now)
        except StoreError:
            raise
        except WindlassError as error:  # written by a newer version, or a zone that this machine does not know
            log.error("schedule %s cannot be fired by this worker: %s", row.key, error)
            self._unfit[row.key] = row.spec

    async def _fire(self, row: ScheduleRow, now: Micros) -> None:
        assert row.due is not None
        rule = read_rule(row.spec)
        previous = row.last_job
        for step in plan(rule, row.due, row.last_due, now):
            job: NewJob[Any] | None = None
            if step.fires and await self._has_room(rule, row.key, previous):
                job = self._bind(job_for(rule, row.key, step.due, new_id()))
            answer = await self._store.fire(row.key, step.due, step.next_due, job)
            if answer is None:
                return
            if job is not None:
                previous = answer.id
                for observer in self._observers:
                    observer([job], [answer])
                self._news()

    async def _has_room(self, rule: Rule, key: str, previous: str | None) -> bool:
        """Whether a job may be made beside the one before it.

        That one is stopped before the new one is made: whoever dies in between leaves the time due, and another worker
        goes on from there."""
        if rule.overlap == "queue" or previous is None:
            return True
        job = await self._store.job(previous)
        if job is None or job.is_final:
            return True
        if rule.overlap == "skip":
            return False
        if not job.cancelling:
            command = Command(action=Action.CANCEL, reason=f"the next time of schedule {key} has come")
            await self._store.command(command, Where(ids=(previous,)), 1, f"schedule:{key}")
        return True
