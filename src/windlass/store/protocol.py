"""The store: every verb that Windlass asks of an engine, with its contract.

All verbs are atomic; those that write are batched. Values are frozen. Time is the store's. A stale lease is reported per
item, never raised inside a batch. Engines hold no policy: the core decides, the engine commits.

Bounds that every engine keeps: 200 jobs a claim or finish, 500 jobs a step of enqueue inside the engine (a call may bring
100,000), at least 256 dependents settled inline (the rest by `promote`). Errors: `StoreUnavailable`, `StoreFull`,
`StoreReadOnly`, `SchemaMismatch`; after any error nothing of the call has happened, except that a lost connection may hide
a success, which is why `enqueue`, `claim` and `finish` may be repeated as they are.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from windlass.values.clock import Micros
from windlass.values.job import Claim, Enqueued, Job, NewJob
from windlass.values.lease import (
    Beat,
    Claimed,
    ClaimRequest,
    Delivery,
    Note,
    Noted,
    Promoted,
    Pulse,
    StoredLine,
    StoredStep,
    WorkerInfo,
)
from windlass.values.limit import LimitChange, LimitInfo, Take, Taken
from windlass.values.metrics import MetricQuery, Point
from windlass.values.outcome import Finish, Verdict
from windlass.values.query import (
    AuditEntry,
    AuditQuery,
    Command,
    Commanded,
    Count,
    ErrorGroup,
    Feed,
    Page,
    Past,
    Record,
    Retention,
    Standing,
    Swap,
    Where,
)
from windlass.values.queue import QueueChange, QueueInfo
from windlass.values.schedule import ScheduleRow
from windlass.values.snapshot import Snapshot

MOST_CLAIMED = 200
MOST_FINISHED = 200
MOST_ENQUEUED = 100_000
INLINE_EDGES = 256
PAST_STEP = 4
"""What remained of so many jobs a call of `prune` drops for each that it may delete, so that dropping keeps up with deleting."""


class Transaction(Protocol):
    """An open transaction of the store's own, on the user's tables beside ours. Ends with its block."""

    def execute(self, sql: str, params: Sequence[Any] | Mapping[str, Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement now; its rows. Raises what the database's driver raises."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether it can still be worked in."""
        ...


class Store(Protocol):
    # lifecycle

    url: str
    """The address without its password."""

    async def open(self) -> None:
        """Connect; an empty database (and any SQLite file) migrates itself; an older one raises `SchemaMismatch`."""
        ...

    async def close(self) -> None:
        """Let go of every connection. Idempotent."""
        ...

    async def migrate(self) -> list[str]:
        """Bring the schema to this version; the names of the steps taken. Also of a handle that is not open. Safe when two run at
        once."""
        ...

    async def schema(self) -> tuple[int, int]:
        """(version found, 0 for none; version this code writes). Also of a handle that is not open, and then nothing is made."""
        ...

    def sibling(self) -> "Store":
        """An unopened handle on the same store for another thread's event loop. For `:memory:` it shares the data."""
        ...

    async def now(self) -> Micros:
        """The store's clock."""
        ...

    async def hold_time(self, at: Micros | None) -> None:
        """Tests only: the store's clock stands at `at` for every handle until told otherwise; None lets it run."""
        ...

    # produce

    async def enqueue(self, jobs: Sequence[NewJob[Any]]) -> list[Enqueued]:
        """Store jobs, all or nothing, answers in the same order. `NewJob.after` may name jobs of the same call or stored
        ones (`UnknownParent` else; a finished parent is settled at once). A known id again is not created twice (a repeat).
        A job with open parents starts `blocked`, one with a time ahead `delayed`, else `waiting`. A held unique key goes by
        the new job's `on_conflict`; jobs of one call see each other's keys in order. A parent of the same call that turns
        out to be a duplicate stands for its key's holder: the edge, and `parents`, name the holder. `NewJob.before` adds an
        edge from the new job to a stored one if that is still blocked, and nothing otherwise; `parents` do not list it."""
        ...

    async def enqueue_on(self, connection: Any, jobs: Sequence[NewJob[Any]]) -> list[Enqueued]:
        """`enqueue` inside the open transaction of `connection`: the jobs exist if and only if the caller commits. The
        connection is the caller's own to the database that holds this store, or a `transaction()` of this store. Refusals
        leave the caller's transaction as it was: `InvalidOption` for what this engine cannot enqueue on, `SettingsError`
        when the connection leads to another database or namespace (looked up once a connection), `StoreUnavailable` when
        another open transaction holds a unique key (after two seconds at most). A blocking connection blocks."""
        ...

    def enqueue_on_sync(self, connection: Any, jobs: Sequence[NewJob[Any]]) -> list[Enqueued]:
        """The same on a blocking connection, in the thread of the caller; the store was opened, perhaps elsewhere."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """A transaction on the store's own connection, where the users' tables are in the same database file; committed at
        the end of the block, rolled back by an error. Raises `InvalidOption` on engines to which users bring a connection."""
        ...

    # run

    async def claim(self, request: ClaimRequest) -> Claimed:
        """Lease waiting jobs: paused queues and parked or expired jobs are passed over; each queue in its own order, several
        queues by (priority, age) of their next jobs. No key is ever held by more jobs than its limit, nor its rate
        exceeded; a job whose keys are full is passed over with all that share its line, and nobody waits behind it."""
        ...

    async def heartbeat(self, beat: Beat) -> Pulse:
        """Keep the worker's record fresh, extend the named leases, tell what was lost or cancelled, and what the record of
        this worker in the space `ORDERS` says. May be called from another thread's loop through a `sibling`."""
        ...

    async def report(self, notes: Sequence[Note]) -> list[Noted]:
        """Progress, log lines and steps of running attempts, in order, with what became of each; notes under a stale lease
        are dropped. The newest 1,000 lines a job are kept. Steps live until the job is deleted or requeued (with
        `keep_attempts` they stay). A step that asks for a signal takes it in the same transaction."""
        ...

    async def finish(self, finishes: Sequence[Finish]) -> list[Verdict]:
        """Commit how attempts ended, verdicts in the same order. In one transaction, for accepted items only: the new
        state, result or error, trail; the unique key freed; dependents unblocked or doomed; tallies; follow-up jobs.
        Release keeps the job's place in line; retry and snooze get a new one when promoted. A job that was asked to
        stop (`cancelling`) and ends in retry, snooze or release ends cancelled instead. A parent's failure or
        cancellation goes by each edge's `on_failure`: cancel the child, run it, hold it, fail it, or (`trigger`) release it
        at once, its other edges dropped; a `trigger` job whose parents all completed ends cancelled (`NOT_TRIGGERED`).
        Ends spread level by level: all children of one job before theirs. Follow-up jobs are stored before dependents are
        settled, so what they are `before` of is still blocked. Every end, snooze, retry, release and suspend frees the slots
        of the job's limits. Suspend: the job is `blocked` (reason `waits for <signal>`) until its signal or time comes, or
        waiting at once if the signal was there first; it spends no attempt."""
        ...

    async def rescue(self, worker: str, lease: Micros, limit: int) -> list[Claim]:
        """Take over lapsed leases under fresh ones; the caller judges (`outcome.lapsed`) and finishes. Decides nothing,
        raises no count. After the store stood still longer than half a lease, nothing is rescued for one lease."""
        ...

    async def unpark(self, key: str) -> int:
        """Re-admit up to 500 jobs parked under `key`, in their old place; how many."""
        ...

    # time

    async def promote(self, limit: int) -> Promoted:
        """Due delayed and retrying jobs become waiting; so do suspended ones whose time has come; expired ones end cancelled
        (reason `expired`); dependents left over from large fan-outs are settled. `limit` bounds each of these."""
        ...

    async def put_schedules(self, rows: Sequence[ScheduleRow], actor: str) -> None:
        """Create or replace schedules; `last_due`, `last_job`, `fired` of existing ones are kept."""
        ...

    async def drop_schedules(self, keys: Sequence[str], actor: str) -> int:
        """Remove schedules; how many there were."""
        ...

    async def schedules(self, due_before: Micros | None = None) -> list[ScheduleRow]:
        """All schedules by key, or those unpaused and due before an instant."""
        ...

    async def fire(self, key: str, due: Micros, next_due: Micros | None, job: NewJob[Any] | None) -> Enqueued | None:
        """If the schedule's due time still is `due`: move it to `next_due` and enqueue `job` (None: skip this time), in
        one transaction. None when somebody else was first; `Enqueued("", created=False)` for a skip."""
        ...

    # operate

    async def command(self, command: Command, where: Where, limit: int, actor: str) -> Commanded:
        """Act on up to `limit` matching jobs whose state allows it, and write the audit entry, in one transaction. Cancel
        on a running job sets a flag that its heartbeat brings back. Ends by command free keys and settle dependents.
        Requeue drops an expiry that has passed, or the job would expire again at once, and forgets `next_retry_at`. Edit changes
        what the command gives and keeps state and place in line, but for `run_at`. With `revive`, a requeued job whose
        edges were cut (it ended while blocked) is blocked again on those parents that have not completed, and every job
        that its failure or cancellation had ended by an edge is revived the same way, down the subtree: up to 256 jobs in
        the call, the rest by `promote`. A parent that is failed or cancelled and not requeued holds its child."""
        ...

    async def put_queue(self, name: str, change: QueueChange, actor: str) -> QueueInfo:
        """Create or change a queue, audited."""
        ...

    async def signal(self, id: str, name: str, data: str, actor: str) -> Delivery:
        """Hand a signal (`data` is JSON text) to a job, audited: wakes it if it is suspended for that name (it becomes
        waiting, in a new place), else it is kept for the step that asks, oldest first, 1,000 a job at most (`LimitReached`
        beyond)."""
        ...

    async def put_limits(self, changes: Sequence[LimitChange], actor: str | None) -> None:
        """Create or change limits, audited unless `actor` is None (target `limit:<key>`). Holds for every claim that begins
        after it returned: of a `queue:` or `kind:` key that is new, all waiting jobs concerned have been put into lines
        that know it by then. Jobs that run already are not stopped; nothing more starts until they are below the limit."""
        ...

    async def note_acts(self, acts: Sequence[AuditEntry]) -> None:
        """Write audit entries of acts that no other verb writes; their `at` is the store's now."""
        ...

    async def take(self, takes: Sequence[Take]) -> list[Taken]:
        """Use rates, all or none of the call, without the guard of starts. For limits on submission."""
        ...

    # inspect

    async def limits(self, keys: Sequence[str] | None = None, limit: int = 1000) -> list[LimitInfo]:
        """Keys and how they stand, by key: all (up to `limit`), or those of the given ones that exist."""
        ...

    async def standing(self, id: str) -> Standing | None:
        """Where a job stands and what holds it back, or None if there is no such job."""
        ...

    async def steps(self, id: str) -> list[StoredStep]:
        """A job's steps, by position."""
        ...

    async def job(self, id: str) -> Job | None:
        """One job, or None."""
        ...

    async def past(self, id: str) -> Past | None:
        """What remains of a job that retention deleted; None if nothing does (any more), or if a job of this id lives. An id
        that came twice shows its last."""
        ...

    async def jobs(self, where: Where, cursor: str | None = None, limit: int = 50) -> Page[Job]:
        """Matching jobs, newest first, up to `limit` (1,000 at most)."""
        ...

    async def outcomes(self, ids: Sequence[str]) -> dict[str, Job]:
        """Those of the named jobs that are final (what waits for results asks)."""
        ...

    async def counts(self) -> list[Count]:
        """Jobs per queue and state, zero counts left out. Cheap at any size."""
        ...

    async def queues(self) -> list[QueueInfo]:
        """Every queue ever used or set up, by name."""
        ...

    async def workers(self) -> list[WorkerInfo]:
        """Workers that have not said goodbye and whose last beat is younger than ten leases."""
        ...

    async def log(self, id: str, limit: int = 1000) -> list[StoredLine]:
        """A job's log lines, oldest first."""
        ...

    async def audit(self, query: AuditQuery) -> list[AuditEntry]:
        """Operators' acts, newest first; a target is a job id, `jobs`, or `queue:<name>`, `schedule:<key>` and the like."""
        ...

    async def count(self, wheres: Sequence[Where], cap: int) -> list[int]:
        """How many jobs match each filter, counted up to `cap` (10,000 at most) each."""
        ...

    async def error_groups(self, limit: int = 1000) -> list[ErrorGroup]:
        """The dead letters by fingerprint, the largest groups first."""
        ...

    async def feed(self, cursor: str | None, limit: int = 500) -> Feed:
        """News since `cursor` (None: since now), see `docs/design/operations.md`. Asking keeps the journal awake for five
        minutes; while it sleeps nothing is written."""
        ...

    async def metrics(self, query: MetricQuery) -> list[Point]:
        """Tallies by minute."""
        ...

    # keep

    async def exchange(self, swaps: Sequence[Swap]) -> list[Record]:
        """Compare-and-set on small keyed records, each by itself, in order."""
        ...

    async def records(self, space: str, keys: Sequence[str] | None = None) -> list[Record]:
        """The records of a space (or those of the given keys that exist), by key."""
        ...

    async def prune(self, retention: Retention, limit: int) -> int:
        """Delete what retention no longer keeps, at most `limit` jobs, and drop log lines, steps and results of as many; how many
        jobs were touched. Never deletes a job that others wait for. What remains of a deleted job (`past`) is written in the
        transaction that deletes it, but for those of the queue `HOUSE`. Each call drops, the oldest first, up to
        `limit * PAST_STEP` of what remained of earlier ones and is too old or too many; while there is more of that the answer is
        1 at least."""
        ...

    async def dump(self, cursor: str | None = None, limit: int = 500) -> Page[Snapshot]:
        """Every live job and every dead letter, oldest id first, for a move to another engine. Not a consistent view
        while workers run: the mover makes sure that none do."""
        ...

    async def load(self, snapshots: Sequence[Snapshot]) -> int:
        """Store jobs as dumped elsewhere; how many were new. A known id is left alone, so a broken move can be repeated.
        An active job becomes waiting. The engine's sequence moves past every `order` it is given."""
        ...

    async def compact(self, *, force: bool = False) -> bool:
        """Give the space that deleted jobs left in the store's own file back to the disk; False where there is no such file.
        Nothing is written meanwhile. Raises `WorkersAlive` while workers live, unless forced, and `StoreFull` when the disk
        cannot hold the copy."""
        ...

    async def erase(self, *, force: bool = False) -> None:
        """Drop everything of this namespace, the schema too, and close this handle; opening again begins with nothing.
        Raises `WorkersAlive` while workers live, unless forced. Other handles must be closed before."""
        ...

    def listen(self, topics: Collection[str], wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` on this loop when something of a topic may have happened; returns the way to stop. Lossy: a caller
        polls as well. Topics: `ready` (jobs may be claimable), `done` (jobs ended), `cancel` (a running job was flagged)."""
        ...

    async def health(self) -> dict[str, Any]:
        """Facts for `doctor`: engine, version, durability, size in bytes, and `warnings` (text with what would be lost)."""
        ...
