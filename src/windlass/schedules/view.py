"""`app.schedules`: put, look at, pause, trigger and remove schedules at run time."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, TypeAlias, Unpack

import msgspec
from msgspec.structs import replace

from windlass.declare.suggest import did_you_mean
from windlass.errors import InvalidOption, ScheduleError, ScheduleNotFound
from windlass.produce.ids import new_id
from windlass.produce.ref import JobRef
from windlass.schedules.timetable import new_row
from windlass.schedules.timing import ScheduleOptions, make_rule, read_key
from windlass.secrecy.marks import shown_args
from windlass.store.protocol import Store
from windlass.values.clock import SECOND, instant, moment
from windlass.values.failure import is_text
from windlass.values.job import Job, NewJob
from windlass.values.query import Page, Where
from windlass.values.schedule import TAG, Occurrence, Rule, ScheduleRow, preview, read_rule, tagged

OpenStore: TypeAlias = Callable[[], Awaitable[Store]]
Submit: TypeAlias = Callable[[NewJob[Any]], Awaitable[JobRef[Any]]]
Occurrences: TypeAlias = list[Occurrence]  # beside a method called list, checkers lose the built-in one

_MOST_PREVIEWED = 10_000
_UNITS = ((604_800, "w"), (86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule as readers see it. `when`: its rule as text. `owner`: the app whose code declares it, None if it was put at
    run time. `next_at`: None while paused and when it never fires again. `fired`: how many jobs it made; `last_at` is the
    due time it dealt with last. Times are aware UTC, `jitter` is seconds."""

    key: str
    when: str
    timezone: str
    kind: str
    queue: str
    args: dict[str, Any]
    overlap: str
    missed: str
    jitter: float
    owner: str | None
    paused: bool
    next_at: datetime | None
    last_at: datetime | None
    last_job: str | None
    fired: int


class Schedules:
    """Look at schedules and act on them. Every change names its `actor` for the audit."""

    def __init__(self, store: OpenStore, submit: Submit) -> None:
        self._store = store
        self._submit = submit

    async def put(
        self,
        key: str,
        job: NewJob[Any],
        /,
        *,
        paused: bool | None = None,
        actor: str = "app",
        **options: Unpack[ScheduleOptions],
    ) -> Schedule:
        """Create a schedule, or replace the one of this key: `put("daily", report.job(), cron="0 6 * * *")`.

        Replacing keeps its statistics, whether it is paused (`paused` None), and the next due time if the timing is the
        same. It then belongs to nobody's code. Raises `ScheduleError`, also if it would never fire.
        """
        rule = make_rule(job, options)
        store = await self._store()
        old = await self._find(store, read_key(key))
        row = new_row(old, key, rule, await store.now(), owner=None, paused=paused)
        if row.due is None and not row.paused and (old is None or old.last_due is None):
            raise ScheduleError(f"schedule {key!r} never fires: its time has passed", field="at", key=key)
        await store.put_schedules([row], actor)
        return await self.get(key)

    async def get(self, key: str) -> Schedule:
        """One schedule; raises `ScheduleNotFound`."""
        return read_schedule(await self._row(key))

    async def list(self) -> list[Schedule]:
        """Every schedule, by key, those of other apps of the store and the built-in ones included."""
        return [read_schedule(row) for row in await (await self._store()).schedules()]

    async def pause(self, key: str, *, actor: str = "app") -> Schedule:
        """Let no time of it fire until it is resumed. Its jobs that exist already go on."""
        row = await self._row(key)
        if not row.paused:
            await (await self._store()).put_schedules([replace(row, paused=True, due=None)], actor)
        return await self.get(key)

    async def resume(self, key: str, *, actor: str = "app") -> Schedule:
        """Go on with the next due time from now; what passed during the pause is not made up for."""
        row = await self._row(key)
        if row.paused:
            store = await self._store()
            rule = read_rule(row.spec)
            resumed = new_row(row, key, rule, await store.now(), owner=row.owner, paused=False)
            await store.put_schedules([resumed], actor)
        return await self.get(key)

    async def trigger(self, key: str) -> JobRef[Any]:
        """Make its job now, beside its due times and also while it is paused."""
        job = read_rule((await self._row(key)).spec).job
        return await self._submit(replace(job, id=new_id(), tags=tagged(job.tags, key)))

    async def remove(self, key: str, *, actor: str = "app") -> bool:
        """Remove it; False if there was none. One that code declares comes back when a worker of that code starts."""
        return await (await self._store()).drop_schedules([key], actor) > 0

    async def preview(self, key: str, count: int = 10, *, after: datetime | None = None) -> Occurrences:
        """The next due times in its zone, from now or `after`, with the changes of the clock marked; also while paused."""
        if not 1 <= count <= _MOST_PREVIEWED:
            raise InvalidOption(
                f"count is {count}; it must be 1..{_MOST_PREVIEWED}", field="count", mend="ask for fewer"
            )
        rule = read_rule((await self._row(key)).spec)
        begin = await (await self._store()).now() if after is None else instant(after, "after")
        return preview(rule, begin, count)

    async def history(self, key: str, *, limit: int = 50, cursor: str | None = None) -> Page[Job]:
        """The jobs it made, newest first, as far as retention keeps them; also those of a schedule that is gone. Raises
        `ScheduleNotFound` for what can be no key."""
        if not is_text(key):
            raise ScheduleNotFound(f"there is no schedule {key!r}", key=repr(key)[:100])
        return await (await self._store()).jobs(Where(tags=(TAG + key,)), cursor, limit)

    async def _row(self, key: str) -> ScheduleRow:
        store = await self._store()
        row = await self._find(store, key)
        if row is None:
            known = [each.key for each in await store.schedules()]
            raise ScheduleNotFound(f"there is no schedule {key!r}{did_you_mean(key, known)}", key=key)
        return row

    async def _find(self, store: Store, key: str) -> ScheduleRow | None:
        return next((row for row in await store.schedules() if row.key == key), None)


def read_schedule(row: ScheduleRow) -> Schedule:
    """A row as readers see it; one that a newer version wrote shows what can be known."""
    try:
        rule = read_rule(row.spec)
    except ScheduleError:
        rule = Rule(job=NewJob(id="", kind="?"))
    return Schedule(
        key=row.key,
        when=describe(rule),
        timezone=rule.timezone,
        kind=rule.job.kind,
        queue=rule.job.queue,
        args=shown_args(msgspec.json.decode(rule.job.args)),
        overlap=rule.overlap,
        missed=rule.missed,
        jitter=rule.jitter / SECOND,
        owner=row.owner,
        paused=row.paused,
        next_at=None if row.due is None else moment(row.due),
        last_at=None if row.last_due is None else moment(row.last_due),
        last_job=row.last_job,
        fired=row.fired,
    )


def describe(rule: Rule) -> str:
    """A rule's timing in words: `0 6 * * *`, `every 5m`, `at 2030-01-01 00:00:00Z`."""
    if rule.cron is not None:
        return rule.cron
    if rule.at is not None:
        return f"at {moment(rule.at):%Y-%m-%d %H:%M:%S}Z"
    if rule.every is None:
        return "unreadable"
    seconds = rule.every / SECOND
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds % size == 0), (1, "s"))
    return f"every {seconds / size:g}{unit}"
