"""`app.jobs` and `app.queues`: what operators ask and do. Every act names its `actor` for the audit."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias, TypedDict, Unpack, cast

from msgspec.structs import replace

from windlass.errors import InvalidOption, JobNotFound
from windlass.flowcontrol.capacity import PINNED, read_ageing, read_order
from windlass.operate.explain import Explanation, explain_job
from windlass.operate.history import Happened, read_history
from windlass.operate.search import read_search, scan
from windlass.produce.ref import JobRef
from windlass.produce.results import not_found
from windlass.running.steps import StepRecord, read_record
from windlass.secrecy.door import Reveal, Secrecy
from windlass.store.protocol import Store
from windlass.values.clock import Duration, instant
from windlass.values.codec import MEBIBYTE, encode
from windlass.values.failure import is_text, safe_text
from windlass.values.job import Job
from windlass.values.lease import Delivery, StoredLine
from windlass.values.outcome import LONGEST_REASON
from windlass.values.priority import check_priority
from windlass.values.query import Action, Command, Page, Swap, Where, check_cursor
from windlass.values.queue import ORDERS, Order, QueueChange, QueueInfo, check_name
from windlass.values.states import PENDING, State

OpenStore: TypeAlias = Callable[[], Awaitable[Store]]
JobId: TypeAlias = str | JobRef[Any]
StepRecords: TypeAlias = list[StepRecord]
Timeline: TypeAlias = list[Happened]

_STEP = 500
_LONGEST_ACTOR = 200
_MOST_LISTED = 1_000


class JobFilter(TypedDict, total=False):
    """Which jobs. Every given field must match; of a list, any. `kind` may end in `*`; `tags` any of them."""

    state: State | str | Sequence[State | str] | None
    queue: str | Sequence[str] | None
    kind: str | Sequence[str] | None
    user: str | None
    project: str | None
    group: str | None
    workflow: str | None
    unique: str | None
    tags: Sequence[str] | None
    created_from: datetime | None
    created_to: datetime | None
    finished_from: datetime | None
    finished_to: datetime | None


class Acted(int):
    """How many jobs an act reached. `ids`: changed; `flagged`: running ones asked to stop; `refused`: id -> why not."""

    ids: tuple[str, ...]
    flagged: tuple[str, ...]
    refused: Mapping[str, str]

    def __new__(cls, ids: Iterable[str], flagged: Iterable[str], refused: Mapping[str, str]) -> "Acted":
        ids, flagged = tuple(ids), tuple(flagged)
        acted = super().__new__(cls, len(ids) + len(flagged))
        acted.ids, acted.flagged, acted.refused = ids, flagged, refused
        return acted


class Jobs:
    """Look at jobs and act on them. Ids may be text or references."""

    def __init__(self, store: OpenStore, secrecy: Callable[[], Secrecy] | None = None) -> None:
        self._store = store
        self._secrecy = secrecy

    async def get(self, id: JobId) -> Job:
        """One job; raises `JobNotFound`."""
        name = job_id(id)
        job = await (await self._store()).job(name)
        if job is None:
            raise not_found(name)
        return job

    async def list(self, *, limit: int = 50, cursor: str | None = None, **filters: Unpack[JobFilter]) -> Page[Job]:
        """Matching jobs, newest first. A page may be short: only `next is None` means the end."""
        if not 1 <= limit <= _MOST_LISTED:
            raise _bad("limit", limit, f"1..{_MOST_LISTED}", "ask for fewer and follow page.next")
        return await (await self._store()).jobs(read_filter(filters), check_cursor(cursor), limit)

    async def search(
        self, q: str = "", *, within: Where | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page[Job]:
        """Jobs that the filter language describes (`state:failed kind:send_* age:>1h`, see `operate.search`), newest first, of
        those that `within` selects. A page may be short or empty: only `next is None` means the end."""
        if not 1 <= limit <= _MOST_LISTED:
            raise _bad("limit", limit, f"1..{_MOST_LISTED}", "ask for fewer and follow page.next")
        store = await self._store()
        return await scan(store, read_search(q, await store.now(), within), cursor, limit)

    async def cancel(
        self, *ids: JobId, reason: str | None = None, actor: str = "app", **filters: Unpack[JobFilter]
    ) -> Acted:
        """Cancel jobs that have not ended; a running handler is asked to stop."""
        return await self._act(Command(action=Action.CANCEL, reason=reason), ids, filters, actor)

    async def requeue(
        self,
        *,
        ids: Iterable[JobId] | None = None,
        keep_attempts: bool = False,
        revive: bool = False,
        actor: str = "app",
        **filters: Unpack[JobFilter],
    ) -> Acted:
        """Run ended jobs again, from attempt one unless `keep_attempts`. A filter that names no state means failed jobs.
        `revive` also brings back what their failure ended, down the workflow, to wait for them again."""
        command = Command(action=Action.REQUEUE, keep_attempts=keep_attempts, revive=revive)
        every = None if ids is None else tuple(ids)
        if every is None and filters.get("state") is None:
            filters["state"] = State.FAILED
        if every == () and not filters:  # a list that turned out to be empty is no wish to requeue everything
            return Acted((), (), {})
        if every == ():
            raise _bad("ids", [], "ids or filters, not both", "leave one of them out")
        return await self._act(command, every or (), filters, actor)

    async def run_now(self, *ids: JobId, actor: str = "app", **filters: Unpack[JobFilter]) -> Acted:
        """Run delayed and retrying jobs without waiting for their time."""
        return await self._act(Command(action=Action.RUN_NOW), ids, filters, actor)

    async def fail(self, *ids: JobId, reason: str, actor: str = "app", **filters: Unpack[JobFilter]) -> Acted:
        """Send jobs that do not run now to the dead letters."""
        return await self._act(Command(action=Action.FAIL, reason=reason), ids, filters, actor)

    async def delete(self, *ids: JobId, actor: str = "app", **filters: Unpack[JobFilter]) -> Acted:
        """Remove jobs that do not run now, with their logs."""
        return await self._act(Command(action=Action.DELETE), ids, filters, actor)

    async def reprioritise(self, priority: int, *ids: JobId, actor: str = "app", **filters: Unpack[JobFilter]) -> Acted:
        """Give pending jobs another priority; they keep their age."""
        command = Command(action=Action.REPRIORITISE, priority=check_priority(priority))
        return await self._act(command, ids, filters, actor)

    async def explain(self, id: JobId) -> Explanation:
        """Why a job is not running: every reason, its place in line, when it may start; raises `JobNotFound`."""
        return await explain_job(await self._store(), job_id(id))

    async def history(self, id: JobId) -> Timeline:
        """The job's timeline, oldest first: creation, attempts, acts, steps, the end, and what is ahead. Raises `JobNotFound`."""
        return await read_history(await self._store(), job_id(id))

    async def log(self, id: JobId, limit: int = 1_000) -> "list[StoredLine]":
        """What the job's handlers logged, oldest first; raises `JobNotFound`."""
        store = await self._store()
        lines = await store.log(job_id(id), limit)
        if not lines:
            await self.get(id)
        return lines

    async def steps(self, id: JobId) -> StepRecords:
        """The steps of a durable job that are on record, by position; raises `JobNotFound`."""
        store = await self._store()
        found = [read_record(step) for step in await store.steps(job_id(id))]
        if not found:
            await self.get(id)
        return found

    async def signal(self, id: JobId, name: str, data: Any = None, *, actor: str = "app") -> Delivery:
        """Hand a signal with `data` (anything that is JSON) to the job whose handler awaits `ctx.wait_for(name)`: it goes on
        (`woken`), or finds it when it asks (`kept`). `over`: the job has ended. Raises `JobNotFound`, `LimitReached`."""
        text = encode(data, "data", MEBIBYTE, "the data of a signal")
        given = check_name(name, "signal")
        secrecy = None if self._secrecy is None else self._secrecy()
        if secrecy is not None and secrecy.keys is not None:
            text = secrecy.seal_signal(await self.get(id), given, text)
        delivery = await (await self._store()).signal(job_id(id), given, text, safe_text(actor, _LONGEST_ACTOR))
        if delivery is Delivery.UNKNOWN:
            raise not_found(job_id(id))
        return delivery

    async def reveal(self, id: JobId, *, actor: str = "app") -> Reveal:
        """A job in plain, for viewing: arguments, result, errors, log and steps of what is encrypted. That `actor` asked is on
        record first (`app.secrecy.reveals`). Raises `JobNotFound`, `EncryptionKeyMissing`, `SealBroken`."""
        if self._secrecy is None:
            raise _bad("reveal", "these jobs", "those of an app with encryption keys", "use app.jobs.reveal")
        return await self._secrecy().reveal(await self.get(id), safe_text(actor, _LONGEST_ACTOR))

    async def _act(self, command: Command, ids: Sequence[JobId], filters: JobFilter, actor: str) -> Acted:
        names = list(dict.fromkeys(map(job_id, ids)))
        if names and any(value is not None for value in filters.values()):
            raise _bad("ids", names[0], "ids or filters, not both", "leave one of them out")
        where = read_filter(filters)
        if not names and where == Where():
            raise _bad(str(command.action), "every job", "given ids or a filter", "name ids, a queue, a state ...")
        steps = [replace(where, ids=tuple(names[i : i + _STEP])) for i in range(0, len(names), _STEP)] or [where]
        return await act_on(await self._store(), command, steps, actor)


async def act_on(store: Store, command: Command, steps: Sequence[Where], actor: str) -> Acted:
    """Act on everything that one of the filters matches, 500 jobs a call."""
    actor = safe_text(actor, _LONGEST_ACTOR)
    if command.reason is not None:
        command = replace(command, reason=safe_text(command.reason, LONGEST_REASON))
    done: dict[str, None] = {}
    flagged: dict[str, None] = {}
    refused: dict[str, str] = {}
    for step in steps:
        more = True
        while more:
            answer = await store.command(command, step, _STEP, actor)
            # A filter that goes on matching what was just changed must not run for ever.
            more = answer.more and any(id not in done and id not in flagged for id in (*answer.done, *answer.flagged))
            done.update(dict.fromkeys(answer.done))
            flagged.update(dict.fromkeys(answer.flagged))
            refused.update(answer.refused)
    return Acted(done, [id for id in flagged if id not in done], refused)


class Queues:
    """Look at queues and act on them."""

    def __init__(self, store: OpenStore) -> None:
        self._store = store

    async def list(self) -> "list[QueueInfo]":
        """Every queue ever used or set up, by name."""
        return await (await self._store()).queues()

    async def stats(self) -> dict[str, dict[str, int]]:
        """Jobs per queue and state: `{"email": {"waiting": 5, "active": 2, ...}}`, always with all eight states."""
        store = await self._store()
        stats = {queue.name: _zeroes() for queue in await store.queues()}
        for count in await store.counts():
            stats.setdefault(count.queue, _zeroes())[str(count.state)] += count.n
        return dict(sorted(stats.items()))

    async def pause(self, name: str, *, actor: str = "app") -> QueueInfo:
        """Stop handing out the queue's jobs; running ones go on, new ones may be enqueued."""
        return await self._change(name, QueueChange(paused=True), actor)

    async def resume(self, name: str, *, actor: str = "app") -> QueueInfo:
        """Hand out the queue's jobs again."""
        return await self._change(name, QueueChange(paused=False), actor)

    async def set(
        self,
        name: str,
        *,
        order: Order | None = None,
        ageing: Duration | None = None,
        pinned: bool = True,
        actor: str = "app",
    ) -> QueueInfo:
        """Set which waiting job is next: "strict", "fair", "weighted" or "ageing". `pinned`: whatever code declares, until
        `pinned=False` leaves it to the code again. Jobs that wait already stay one line of their own."""
        change = QueueChange(order=read_order(order, ageing), ageing=None if ageing is None else read_ageing(ageing))
        if pinned and change.order is None:
            raise _bad("order", order, "|".join(ORDERS), "say which order")
        name = check_name(name, "queue")
        await (await self._store()).exchange([Swap(space=PINNED, key=name, text="1" if pinned else None)])
        return await self._change(name, change, actor)

    async def clear(self, name: str, *, actor: str = "app") -> Acted:
        """Delete the queue's jobs that wait for something; running and ended ones stay."""
        return await Jobs(self._store).delete(queue=name, state=PENDING, actor=actor)

    async def _change(self, name: str, change: QueueChange, actor: str) -> QueueInfo:
        return await (await self._store()).put_queue(check_name(name, "queue"), change, actor)


def read_filter(given: JobFilter) -> Where:
    """The checked `Where` of a filter."""
    unknown = sorted(set(given) - set(JobFilter.__annotations__))
    if unknown:
        raise _bad("filter", unknown[0], "|".join(JobFilter.__annotations__), "correct its name")
    texts = ("user", "project", "group", "workflow", "unique")
    plain: dict[str, Any] = {name: given.get(name) for name in texts if given.get(name) is not None}
    for name in ("state", "queue", "kind", "tags", *texts):
        value = given.get(name)
        # A list that turned out to be empty must not widen the filter to every job.
        if value is not None and not value:
            raise _bad(name, value, "one or more values", "leave it out to mean any")
        for text in _several(value):
            if isinstance(text, str) and not is_text(text):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise _bad(name, text, "Unicode text", "leave the lone surrogate out")
    for name in ("created_from", "created_to", "finished_from", "finished_to"):
        at = given.get(name)
        if at is not None:
            plain[name] = instant(cast(datetime, at), name)
    return Where(
        states=tuple(_state(value) for value in _several(given.get("state"))),
        queues=tuple(_several(given.get("queue"))),
        kinds=tuple(_several(given.get("kind"))),
        tags=tuple(_several(given.get("tags"))),
        **plain,
    )


def _several(value: Any) -> Sequence[str]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def _state(value: str) -> State:
    try:
        return State(value)
    except ValueError:
        raise _bad("state", value, "|".join(State), "name one of the eight states") from None


def _zeroes() -> dict[str, int]:
    return {str(state): 0 for state in State}


def job_id(id: JobId) -> str:
    """The id of a job that is named by it or by a reference; raises `JobNotFound` for what can be no id."""
    name = id.id if isinstance(id, JobRef) else id
    if not isinstance(name, str) or not name or not is_text(name):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise JobNotFound(f"no job {name!r}", id=name, mend="give a job's id or its reference")
    return name


def _bad(field: str, value: object, limit: str, mend: str) -> InvalidOption:
    shown = repr(value)[:100]
    return InvalidOption(
        f"{field} is {shown}; it must be {limit}: {mend}", field=field, value=shown, limit=limit, mend=mend
    )
