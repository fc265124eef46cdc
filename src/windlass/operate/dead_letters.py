"""`app.dead_letters`: the jobs that gave up, with all that is needed to judge them, and what can be done about them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, Unpack

import msgspec
from msgspec.structs import replace

from windlass.declare.handler import Handler
from windlass.declare.refusal import refusal
from windlass.errors import InvalidArgs, JobNotFound, UnknownKind
from windlass.flowcontrol.capacity import Capacity
from windlass.operate.audit import note_act
from windlass.operate.letters import is_archived, may_help
from windlass.operate.replaying import Replay, replay_handler
from windlass.operate.retention import NOTHING
from windlass.operate.views import Acted, JobId, job_id, read_filter
from windlass.produce.ref import JobRef
from windlass.secrecy.door import Secrecy
from windlass.secrecy.veil import shown_job
from windlass.store.protocol import Store
from windlass.values.clock import SECOND, Duration, Micros, micros, moment
from windlass.values.codec import encode
from windlass.values.failure import is_text, safe_text
from windlass.values.job import Job, NewJob
from windlass.values.query import Action, Command, Page, Swap, Where
from windlass.values.retry import Backoff, check_attempts
from windlass.values.states import State

if TYPE_CHECKING:
    from windlass.operate.letter_stats import LetterStats
    from windlass.settings import Settings

ARCHIVED = "dead-letters"
"""The space of the record that says up to which instant letters have been archived by hand; its key is `archived`."""

_STEP = 500
_MOST_LISTED = 1_000
_LONGEST_ACTOR = 200


class LetterFilter(TypedDict, total=False):
    """Which dead letters. Every given field must match; of a list, any. `kind` may end in `*`; `fingerprint`: of these error
    groups. `failed_from`, `failed_to`: when they failed. `archived`: None for all, else only those that are or are not."""

    queue: str | Sequence[str] | None
    kind: str | Sequence[str] | None
    user: str | None
    project: str | None
    tags: Sequence[str] | None
    fingerprint: str | Sequence[str] | None
    failed_from: datetime | None
    failed_to: datetime | None
    archived: bool | None


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How a job is retried. `backoff`: None if its kind is not known here, or computes it. `dead_retries`: seconds after its
    failure at which a dead letter of its kind and queue is tried again by itself."""

    max_attempts: int
    backoff: Backoff | None
    dead_retries: tuple[float, ...]


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A job that gave up: `job.args`, `job.error` and `job.attempts` tell what it was to do and what it died of. `can_retry`:
    trying again may help. `next_retry_at`: when it is tried again by itself, None if it is not. `archived`: too old for that."""

    job: Job
    can_retry: bool
    next_retry_at: datetime | None
    archived: bool
    policy: Policy


class App(Protocol):
    """What this asks of the app."""

    settings: "Settings"
    handlers: dict[str, Handler[..., Any]]
    capacity: Capacity
    secrecy: Secrecy

    async def store(self) -> Store: ...

    async def find_kind(self, name: str) -> Handler[..., Any]: ...

    async def submit(self, job: NewJob[Any]) -> JobRef[Any]: ...

    def job(self, /, **options: Any) -> Any: ...


class DeadLetters:
    """Look at dead letters and act on them. Every act names its `actor` for the audit."""

    def __init__(self, app: App) -> None:
        self._app = app

    # looking

    async def get(self, id: JobId) -> DeadLetter:
        """One dead letter; raises `JobNotFound`, also for a job in another state."""
        store = await self._app.store()
        job = await store.job(job_id(id))
        if job is None or job.state is not State.FAILED:
            raise JobNotFound(f"there is no dead letter {id!r}", id=str(id), mend="`windlass dead ls` lists them")
        return self.letter(job, await self.archived_before())

    async def list(
        self, *, limit: int = 50, cursor: str | None = None, **filters: Unpack[LetterFilter]
    ) -> Page[DeadLetter]:
        """Matching dead letters, the newest jobs first. A page may be short: only `next is None` means the end."""
        if not 1 <= limit <= _MOST_LISTED:
            raise refusal("limit", limit, f"1..{_MOST_LISTED}", "ask for fewer and follow page.next")
        store, before = await self._app.store(), await self.archived_before()
        page = await store.jobs(_where(filters, before), cursor, limit)
        return Page([self.letter(job, before) for job in page.items], page.next)

    async def stats(self, queue: str | None = None) -> "LetterStats":
        """How many there are, how many of them trying again may help, by queue and by error group."""
        from windlass.operate.letter_stats import read_stats

        return await read_stats(await self._app.store(), queue, await self.archived_before())

    def letter(self, job: Job, archived_before: Micros | None) -> DeadLetter:
        """A failed job as a dead letter."""
        archived = is_archived(job, archived_before)
        due = None if archived else job.next_retry_at
        can_retry = may_help(job.error)
        return DeadLetter(
            job=shown_job(job), can_retry=can_retry, next_retry_at=due, archived=archived, policy=self._policy(job)
        )

    async def archived_before(self) -> Micros | None:
        """Letters that failed before this instant are archived."""
        store = await self._app.store()
        age = self._app.settings.retention.archive
        by_age = None if age is None else await store.now() - age
        record = next(iter(await store.records(ARCHIVED, ["archived"])), None)
        by_hand = int(record.text) if record is not None and record.text else None
        return max((each for each in (by_age, by_hand) if each is not None), default=None)

    # acting

    async def requeue(
        self,
        *ids: JobId,
        args: Mapping[str, Any] | None = None,
        max_attempts: int | None = None,
        keep_attempts: bool = False,
        revive: bool = False,
        limit: int = 10_000,
        actor: str = "app",
        **filters: Unpack[LetterFilter],
    ) -> Acted:
        """Run dead letters again: by id, or up to `limit` that the filters select; for more there is `replay`. `args`: other
        arguments, of one letter given by its id, checked like those of a new job, without what is a parent's result. Raises
        `InvalidArgs`, `InvalidOption`."""
        command = Command(action=Action.REQUEUE, keep_attempts=keep_attempts, revive=revive)
        store = await self._app.store()
        if args is not None or max_attempts is not None:
            if len(ids) != 1:
                raise refusal("args", len(ids), "given with exactly one id", "requeue that letter by its id")
            command = await self._edited(command, await self.get(ids[0]), args, max_attempts)
        where = await self._selected(ids, filters)
        # What fails again meanwhile is no longer what was meant.
        where = where if ids else replace(where, finished_to=min(where.finished_to or 1 << 62, await store.now() + 1))
        return await _act(store, command, where, ids, limit, actor)

    async def replay(
        self, *, per_second: float | None = None, actor: str = "app", **filters: Unpack[LetterFilter]
    ) -> JobRef[None]:
        """Run any number of dead letters again by a job of the queue `windlass`, which workers carry out: at most `per_second`,
        with progress, going on where it was when its worker dies, none twice. Cancel it like any job. Without filters it
        means every dead letter that is not archived; what fails after this call is left alone."""
        if per_second is not None and not 0.01 <= per_second <= 1e6:
            raise refusal("per_second", per_second, "0.01..1000000", "say how many a second")
        if "archived" not in filters:
            filters["archived"] = False
        where = _where(filters, await self.archived_before())
        asked = Replay(where=where, per_second=per_second, actor=_actor(actor))
        return await self._app.submit(replay_handler(self._app).job(asked=asked))

    async def retry_due(self, *, actor: str = "app", **filters: Unpack[LetterFilter]) -> Acted:
        """Try again, now, the letters whose automatic retry is due; the built-in schedule `windlass.retry-dead` does it each
        minute."""
        store = await self._app.store()
        where = replace(_where(filters, None), states=(), retry_before=await store.now() + 1)
        return await _act(store, Command(action=Action.REQUEUE, scheduled=True), where, (), 1 << 31, actor)

    async def archive(self, *, older_than: Duration = "30d", actor: str = "app") -> datetime:
        """Take the letters that failed so long ago out of automatic retry and out of the list of active ones; they stay
        readable, and can be run again by hand. The instant before which they failed."""
        store = await self._app.store()
        now = await store.now()
        age = micros(older_than, "older_than")
        kept = await store.records(ARCHIVED, ["archived"])
        before = max(now - age, int(kept[0].text or 0) if kept else 0)
        await store.exchange([Swap(space=ARCHIVED, key="archived", text=str(before))])
        only = replace(NOTHING, archive=now - before)
        while await store.prune(only, _STEP):
            pass
        await note_act(store, actor, "archive", "dead-letters", {"before": moment(before)})
        return moment(before)

    async def purge(
        self,
        *ids: JobId,
        older_than: Duration | None = None,
        limit: int = 1_000_000,
        actor: str = "app",
        **filters: Unpack[LetterFilter],
    ) -> Acted:
        """Delete dead letters for good: by id, by filter, or those that failed so long ago."""
        store = await self._app.store()
        if older_than is not None:
            filters["failed_to"] = moment(max(await store.now() - micros(older_than, "older_than"), 0))
        where = await self._selected(ids, filters)
        return await _act(store, Command(action=Action.DELETE), where, ids, limit, actor)

    async def _selected(self, ids: Sequence[JobId], filters: LetterFilter) -> Where:
        if ids and any(value is not None for value in filters.values()):
            raise refusal("ids", str(ids[0])[:100], "ids or filters, not both", "leave one of them out")
        if not ids and not filters:
            raise refusal("ids", "every dead letter", "given ids or a filter", "name ids, a queue, archived=False ...")
        return _where(filters, await self.archived_before())

    async def _edited(
        self, command: Command, letter: DeadLetter, args: Mapping[str, Any] | None, max_attempts: int | None
    ) -> Command:
        """The command with checked arguments, sealed like those of the job were."""
        if max_attempts is not None:
            command = replace(command, max_attempts=check_attempts(max_attempts, "max_attempts"))
        if args is None:
            return command
        job = letter.job
        text = encode(dict(args), "args", self._app.settings.args_limit)
        promised: Mapping[str, str] = job.options.get("inputs") or {}
        _refuse_promised(job.kind, args, promised)
        handler = await self._handler_of(job.kind)
        if handler is not None:
            if promised:
                handler.binder.check_part(text, promised)
            else:
                handler.decode(text, handler.version)
            if handler.veil is not None:
                text = handler.veil.seal_args(text, NewJob(id=job.id, kind=job.kind))
        return replace(command, args=text)

    async def _handler_of(self, kind: str) -> Handler[..., Any] | None:
        """What is known of a kind: by this app's code, else by what workers published of it, which has no types."""
        try:
            return self._app.handlers.get(kind) or await self._app.find_kind(kind)
        except UnknownKind:
            return None

    def _policy(self, job: Job) -> Policy:
        handler = self._app.handlers.get(job.kind)
        own = job.options.get("backoff")
        declared = handler.declared.backoff if handler is not None else None
        backoff: Any = Backoff(**own) if own else declared
        rule = self._app.capacity.queues.get(job.queue)
        ladder = handler.declared.ladder if handler is not None else None
        if ladder is None:
            ladder = (rule.ladder if rule is not None else None) or ()
        return Policy(
            max_attempts=job.max_attempts,
            backoff=backoff if isinstance(backoff, Backoff) else None,
            dead_retries=tuple(wait / SECOND for wait in ladder),
        )


async def _act(store: Store, command: Command, where: Where, ids: Sequence[JobId], limit: int, actor: str) -> Acted:
    """Act on the named letters, else on those that match, 500 a call, each call one transaction."""
    done: dict[str, None] = {}
    refused: dict[str, str] = {}
    actor = _actor(actor)
    names = list(dict.fromkeys(map(job_id, ids)))
    for start in range(0, len(names), _STEP):
        some = tuple(names[start : start + _STEP])
        answer = await store.command(command, Where(ids=some, states=(State.FAILED,)), len(some), actor)
        done.update(dict.fromkeys(answer.done))
        refused.update(answer.refused)
    more = not names
    while more and len(done) < limit:
        answer = await store.command(command, where, min(_STEP, limit - len(done)), actor)
        more = answer.more and any(id not in done for id in answer.done)
        done.update(dict.fromkeys(answer.done))
    return Acted(done, (), refused)


def _refuse_promised(kind: str, args: Mapping[str, Any], promised: Mapping[str, str]) -> None:
    """A parent's result is filled in before every run, so a value given in its place would be lost."""
    name = next((name for name in args if name in promised), None)
    if name is not None:
        raise InvalidArgs(
            f"{kind}: {name} cannot be given: it is the result of job {promised[name]}",
            field=name,
            kind=kind,
            mend=f"leave {name} out; it is the result of job {promised[name]}",
        )


def _where(given: LetterFilter, archived_before: Micros | None) -> Where:
    unknown = sorted(set(given) - set(LetterFilter.__annotations__))
    if unknown:
        raise refusal("filter", unknown[0], "|".join(LetterFilter.__annotations__), "correct its name")
    own = {"fingerprint", "failed_from", "failed_to", "archived"}
    plain: Any = {name: value for name, value in given.items() if name not in own}
    plain |= {"finished_from": given.get("failed_from"), "finished_to": given.get("failed_to")}
    where = read_filter(plain)
    archived = given.get("archived")
    if archived is not None and archived_before is not None:
        where = _cut(where, archived_before, archived)
    return replace(where, states=(State.FAILED,), fingerprints=_fingerprints(given.get("fingerprint")))


def _cut(where: Where, before: Micros, archived: bool) -> Where:
    if archived:
        return replace(where, finished_to=min(where.finished_to or before, before))
    return replace(where, finished_from=max(where.finished_from or 0, before, 0))


def _fingerprints(given: str | Iterable[str] | None) -> tuple[str, ...]:
    names = () if given is None else (given,) if isinstance(given, str) else tuple(given)
    if given is not None and not names:
        raise refusal("fingerprint", given, "one or more error groups", "leave it out to mean any")
    for name in names:
        if not is_text(name) or len(name) > 64:
            raise refusal("fingerprint", name, "an error group's fingerprint", "`windlass errors ls` lists them")
    return names


def _actor(actor: str) -> str:
    return safe_text(actor, _LONGEST_ACTOR)


__all__ = ["DeadLetter", "DeadLetters", "LetterFilter", "Policy"]
