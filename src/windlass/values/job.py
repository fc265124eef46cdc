"""A job's values: what a producer hands to the store, what a worker gets, what a reader sees."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Generic, Literal, TypeAlias, TypeVar, cast

import msgspec

from windlass.values.clock import Micros, moment
from windlass.values.limit import Bound
from windlass.values.states import FINAL, State

R_co = TypeVar("R_co", covariant=True)
Runtime: TypeAlias = Literal["async", "thread", "process"]
RUNTIMES: tuple[Runtime, ...] = ("async", "thread", "process")
OnFailure: TypeAlias = Literal["cancel", "run", "hold", "fail", "trigger"]
POLICIES: tuple[OnFailure, ...] = ("cancel", "run", "hold", "fail", "trigger")

GATE = "windlass.gate"
"""The kind of the job that keeps the callbacks of an open batch waiting. Any worker completes it without a handler."""

NOT_TRIGGERED = "no parent failed"
"""Why a job whose edges are `trigger` ended cancelled: every parent completed."""


class Edge(msgspec.Struct, frozen=True, gc=False):
    """This job waits for `parent`; `on_failure` says what a parent's failure or cancellation does to it.

    `cancel` and `fail` end it, `run` counts as completion, `hold` keeps it waiting until the parent completes after all.
    `trigger` turns the edge round: the first parent that ends failed or cancelled releases the job at once, and when every
    parent has completed it ends cancelled. A job's edges are all `trigger` or none is.
    """

    parent: str
    on_failure: OnFailure = "cancel"


class Ahead(msgspec.Struct, frozen=True, gc=False):
    """The other way round: `child`, a stored job that is still blocked, is to wait for this job too."""

    child: str
    on_failure: OnFailure = "run"


class UniqueKey(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """At most one job holds `key` in a namespace. Held until the job ends (`finished`), is first claimed (`started`),
    or for `ttl` microseconds whatever becomes of it (`period`). `on_conflict`: hand back the holder (`existing`, `skip`:
    the reference says `created=False`), or change a not yet started holder to the new job's arguments (`replace`), at
    most `latest` microseconds after the holder was created (a debounce's longest wait). `rerun`: `replace` while the holder
    has not started; once it has, the new job waits for the holder's end as its only follower, and later ones of the key
    replace the follower. The follower takes over the key when the holder leaves it."""

    key: str
    until: Literal["finished", "started", "period"] = "finished"
    ttl: Micros | None = None
    on_conflict: Literal["existing", "skip", "replace", "rerun"] = "existing"
    latest: Micros | None = None


class NewJob(msgspec.Struct, Generic[R_co], frozen=True, gc=False, kw_only=True):
    """A job not yet stored. The id is made here (UUIDv7), so a whole workflow is one call.

    `args` is the text of one JSON object by parameter name; stores never look into it, nor into `options` (JSON text of
    `RunOptions`, empty for the kind's defaults). Times are microseconds: `delay` and `expires_in` count from the store's
    now, `run_at` and `expires_at` are instants; give one of each pair. `before`: stored jobs that shall wait for this one too.
    `on_failure` is what builders give the edges they add; stores read `after` only.
    `limits`: what the job is under while it runs, each key once. `weight`: its group's share in a fair queue, 1 to 100, the
    newest counts. `answer`: a result (JSON text) that is known already: the job is born completed, and never runs.
    """

    id: str
    kind: str
    queue: str = "default"
    args: str = "{}"
    runtime: Runtime = "async"
    priority: int = 0
    max_attempts: int = 3
    delay: Micros | None = None
    run_at: Micros | None = None
    expires_in: Micros | None = None
    expires_at: Micros | None = None
    options: str = ""
    user: str | None = None
    project: str | None = None
    group: str | None = None
    workflow: str | None = None
    name: str | None = None
    tags: tuple[str, ...] = ()
    unique: UniqueKey | None = None
    after: tuple[Edge, ...] = ()
    before: tuple[Ahead, ...] = ()
    on_failure: OnFailure = "cancel"
    limits: tuple[Bound, ...] = ()
    weight: int = 1
    answer: str | None = None


class Enqueued(msgspec.Struct, frozen=True, gc=False):
    """What became of one new job: its id, or (`created` False) the id of the holder of its unique key."""

    id: str
    created: bool = True


class Claim(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A leased job in a worker's hands. `attempt` is this attempt's number, from 1. Instants are the store's.

    `ready_at`: since when it could run; `claimed_at`: when this lease was granted; `lease`: the fencing token, which
    only grows over the life of one job. `reason` is set on jobs that `rescue` took over from a lapsed lease. `limited`: it
    holds slots of limits while it is leased. `rated`: it spent a rate, so it is started within `GUARD` or given back.
    """

    id: str
    lease: int
    kind: str
    queue: str
    args: str
    attempt: int
    max_attempts: int
    priority: int
    runtime: Runtime
    options: str
    rescues: int
    created_at: Micros
    ready_at: Micros
    claimed_at: Micros
    expires_at: Micros | None = None
    user: str | None = None
    project: str | None = None
    group: str | None = None
    workflow: str | None = None
    name: str | None = None
    tags: tuple[str, ...] = ()
    cancelling: bool = False
    limited: bool = False
    rated: bool = False


class ErrorInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why an attempt failed. `category` is one of `temporary permanent rate-limit provider held` (see `outcome.py`).
    `retry_after`: of a rate limit, the seconds it asked to wait."""

    type: str
    message: str
    category: str = "temporary"
    traceback: str = ""
    fingerprint: str = ""
    reason: str = ""
    retry_after: float | None = None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One execution. `outcome`: complete, retry, fail, abort; or snooze, release, rescue, which spend no attempt."""

    number: int
    outcome: str
    started_at: datetime | None
    finished_at: datetime | None
    worker: str | None = None
    error: ErrorInfo | None = None
    reason: str | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A stored job as readers see it. `args` is one object by parameter name; `attempt` counts attempts made (a running
    one included), `attempts` lists them. `cost`: US dollars over all attempts. `revivals`: automatic retries that a dead letter
    had; `next_retry_at`: when its next one is due, None if none will come. Times are aware UTC."""

    id: str
    kind: str
    queue: str
    state: State
    runtime: Runtime
    priority: int
    args: dict[str, Any]
    result: Any
    error: ErrorInfo | None
    reason: str | None
    attempt: int
    max_attempts: int
    rescues: int
    attempts: tuple[Attempt, ...]
    created_at: datetime
    run_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None
    progress: float
    progress_note: str | None
    worker: str | None
    lease: int | None
    tags: tuple[str, ...]
    user: str | None
    project: str | None
    group: str | None
    workflow: str | None
    name: str | None
    unique: str | None
    parents: tuple[str, ...]
    options: dict[str, Any]
    cancelling: bool
    cost: Decimal = Decimal(0)
    revivals: int = 0
    next_retry_at: datetime | None = None

    @property
    def is_final(self) -> bool:
        return self.state in FINAL

    @property
    def cached(self) -> str | None:
        """The id of the job whose result answered this one from the cache, so that it never ran."""
        return self.options.get("cached")

    @property
    def rule(self) -> str | None:
        """The priority rules that decided its priority."""
        return self.options.get("rule")


class Trail(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a job's trail: an attempt that ended otherwise than in completion (the core's half of the facts)."""

    outcome: str
    error: ErrorInfo | None = None
    reason: str | None = None
    worker: str | None = None
    took: Micros = 0


MOST_TRAIL = 50
"""A trail keeps its newest 50 lines; `stores` drop the oldest."""


def trail_line(number: int, at: Micros, entry: str) -> str:
    """A stored trail line: attempt number, store time and the core's JSON, which never holds a raw newline."""
    return f"{number} {at} {entry}"


def append_trail(trail: str | None, line: str) -> str:
    """`trail` with `line` behind it, cut to the newest `MOST_TRAIL`."""
    lines = [*(trail.split("\n") if trail else ()), line]
    return "\n".join(lines[-MOST_TRAIL:])


def read_trail(trail: str | None) -> list[Attempt]:
    """The attempts that a trail tells, oldest first."""
    return [_read_line(line) for line in trail.split("\n")] if trail else []


def _read_line(line: str) -> Attempt:
    number, at, text = line.split(" ", 2)
    entry = _TRAIL.decode(text)
    ended = int(at)
    return Attempt(
        number=int(number),
        outcome=entry.outcome,
        worker=entry.worker,
        error=entry.error,
        reason=entry.reason,
        started_at=moment(ended - entry.took) if entry.took else None,
        finished_at=moment(ended),
    )


_TRAIL = msgspec.json.Decoder(Trail)
_ERROR = msgspec.json.Decoder(ErrorInfo)


def read_job(row: Mapping[str, Any]) -> Job:
    """The `Job` of an engine's raw record: texts, integers and None under the names that `RECORD` lists."""
    state = State(row["state"])
    attempts = read_trail(row["trail"])
    made = row["attempt"] + (state is State.ACTIVE)
    if state in (State.COMPLETED, State.ACTIVE) and made:
        attempts.append(_last_attempt(row, state, made))
    return Job(
        id=row["id"],
        kind=row["kind"],
        queue=row["queue"],
        state=state,
        runtime=row["runtime"],
        priority=row["priority"],
        args=_object(row["args"]),
        result=_value(row["result"]),
        error=_ERROR.decode(row["error"]) if row["error"] else None,
        reason=row["reason"],
        attempt=made,
        max_attempts=row["max_attempts"],
        rescues=row["rescues"] or 0,
        attempts=tuple(attempts),
        created_at=moment(row["created_at"]),
        run_at=_moment(row["run_at"]),
        started_at=_moment(row["started_at"]),
        finished_at=_moment(row["finished_at"]),
        expires_at=_moment(row["expires_at"]),
        progress=row["progress"] or 0.0,
        progress_note=row["note"],
        worker=row["worker"],
        lease=row["lease"],
        tags=tuple(_value(row["tags"]) or ()),
        user=row["user"],
        project=row["project"],
        group=row["group"],
        workflow=row["workflow"],
        name=row["name"],
        unique=row["unique"],
        parents=tuple(_value(row["parents"]) or ()),
        options=_object(row["options"]),
        cancelling=bool(row["cancelling"]),
        cost=Decimal(row.get("cost") or 0) / MILLION,
        revivals=row.get("revivals") or 0,
        next_retry_at=_moment(row.get("next_retry_at")),
    )


RECORD = (
    "id",
    "kind",
    "queue",
    "state",
    "runtime",
    "priority",
    "args",
    "result",
    "error",
    "reason",
    "attempt",
    "max_attempts",
    "rescues",
    "trail",
    "created_at",
    "run_at",
    "started_at",
    "finished_at",
    "expires_at",
    "progress",
    "note",
    "worker",
    "lease",
    "tags",
    "user",
    "project",
    "group",
    "workflow",
    "name",
    "unique",
    "parents",
    "options",
    "cancelling",
)
"""The names of a raw record: `tags` and `parents` are JSON lists as text, `trail` is lines, times are microseconds."""

LEDGER = ("cost", "revivals", "next_retry_at")
"""The same for what operations add to it: an integer of millionths of a dollar, a count, an instant or None."""

_GONE = ("args", "result", "note", "parents", "options")
REMAINS = (*(name for name in RECORD if name not in _GONE), "cost", "revivals")
"""What is kept of a job that retention deletes, by the names of its raw record."""

MILLION = Decimal(1_000_000)


def fingerprint_of(error: str | None) -> str | None:
    """The fingerprint in an error's stored text: what groups dead letters, also of jobs that were moved here."""
    return (_ERROR.decode(error).fingerprint or None) if error else None


def _last_attempt(row: Mapping[str, Any], state: State, number: int) -> Attempt:
    return Attempt(
        number=number,
        outcome="complete" if state is State.COMPLETED else "active",
        worker=row["worker"],
        started_at=_moment(row["started_at"]),
        finished_at=_moment(row["finished_at"]) if state is State.COMPLETED else None,
    )


def _moment(at: Micros | None) -> datetime | None:
    return None if at is None else moment(at)


def _value(text: str | None) -> Any:
    """The value of JSON text; text that is damaged is shown as it is rather than hiding the whole job."""
    if not text:
        return None
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _object(text: str | None) -> dict[str, Any]:
    value = _value(text)
    if isinstance(value, dict):
        return cast(dict[str, Any], value)
    return {} if value is None else {"*": value}
