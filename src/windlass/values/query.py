"""Asking the store about jobs and changing them by filter: `Where`, pages, counts, commands."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Generic, TypeVar

import msgspec

from windlass.errors import InvalidOption
from windlass.values.clock import Micros
from windlass.values.job import RECORD, Job, read_job
from windlass.values.limit import LimitInfo
from windlass.values.queue import QueueInfo
from windlass.values.states import LIVE, TRANSITIONS, Event, State

T = TypeVar("T")


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs: every given field must match; inside a field any value matches. Empty means all.

    `created_from`/`created_to`, `finished_from`/`finished_to`: instants, from inclusive, to exclusive. `kinds` may end in `*`.
    `fingerprints`: dead letters (state failed) of these error groups. `retry_before`: dead letters whose automatic retry is due
    before this instant. Both imply the state, and both are answered by an index.
    """

    ids: tuple[str, ...] = ()
    states: tuple[State, ...] = ()
    queues: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    user: str | None = None
    project: str | None = None
    group: str | None = None
    workflow: str | None = None
    unique: str | None = None
    tags: tuple[str, ...] = ()
    created_from: Micros | None = None
    created_to: Micros | None = None
    finished_from: Micros | None = None
    finished_to: Micros | None = None
    fingerprints: tuple[str, ...] = ()
    retry_before: Micros | None = None


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some items and, if there may be more, an opaque cursor. A page may be short; only `next is None` means the end."""

    items: list[T]
    next: str | None = None


_CURSOR = re.compile(r"\+?[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}")


def check_cursor(cursor: object) -> str | None:
    """A cursor of a page of jobs, or None; else `InvalidOption`. Opaque to users: every engine's leads to a job's id."""
    if cursor is None or (isinstance(cursor, str) and _CURSOR.fullmatch(cursor)):
        return cursor
    shown = repr(cursor)[:100]
    raise InvalidOption(
        f"cursor is {shown}; it must be the `next` of an earlier page",
        field="cursor",
        value=shown,
        limit="the `next` of a page",
        mend="start again without one",
    )


class Count(msgspec.Struct, frozen=True):
    """How many live and final jobs a queue has in one state."""

    queue: str
    state: State
    n: int


class Action(StrEnum):
    """What an operator may do to jobs. Each is an event of the state table; `reprioritise` keeps the state."""

    CANCEL = "cancel"
    REQUEUE = "requeue"
    RUN_NOW = "run-now"
    FAIL = "fail"
    DELETE = "delete"
    REPRIORITISE = "reprioritise"
    EDIT = "edit"


ACTION_EVENT: Mapping[Action, Event] = {
    Action.CANCEL: Event.CANCEL,
    Action.REQUEUE: Event.REQUEUE,
    Action.RUN_NOW: Event.PROMOTE,
    Action.FAIL: Event.FAIL,
    Action.DELETE: Event.DELETE,
}


def actionable(action: Action) -> tuple[State, ...]:
    """The states in which a job can be acted on; cancel reaches running jobs too, by a flag."""
    if action is Action.REPRIORITISE:
        return LIVE
    if action is Action.EDIT:
        return (State.BLOCKED, State.DELAYED, State.WAITING, State.RETRYING, State.FAILED)
    states = TRANSITIONS[ACTION_EVENT[action]].sources
    if action is Action.CANCEL:
        return (*states, State.ACTIVE)
    if action is Action.FAIL:
        return tuple(state for state in states if state is not State.ACTIVE)
    return states


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """An act on jobs. `reason` is kept on cancelled and failed jobs; `priority` is for reprioritise; `keep_attempts`
    makes requeue go on counting instead of starting at zero; `revive` makes it wait for parents again and bring back what
    the jobs' failure ended. `args`: new arguments (JSON text of an object), for edit and requeue of exactly one job, given by
    id; a job with a unique key keeps the key. `max_attempts`: likewise. `run_at`: edit moves a delayed or retrying job to this
    instant. `scheduled`: a requeue that is a dead letter's automatic retry: `revivals` grows by one, else it goes back to 0."""

    action: Action
    reason: str | None = None
    priority: int | None = None
    keep_attempts: bool = False
    revive: bool = False
    args: str | None = None
    max_attempts: int | None = None
    run_at: Micros | None = None
    scheduled: bool = False


class Commanded(msgspec.Struct, frozen=True):
    """`done`: ids changed. `flagged`: running jobs asked to stop. `refused`: id -> why not (only for ids given by name).
    `more`: other jobs still match; call again."""

    done: tuple[str, ...] = ()
    flagged: tuple[str, ...] = ()
    refused: Mapping[str, str] = {}
    more: bool = False


class AuditEntry(msgspec.Struct, frozen=True):
    """An operator's act, written in its own transaction: who, what, to what, with what detail (JSON text). `id` orders entries
    and pages through them; it is opaque, and empty in an entry that is yet to be written."""

    at: Micros
    actor: str
    action: str
    target: str
    detail: str = "{}"
    id: str = ""


class AuditQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which acts, newest first, all that is given must match. `target` and `action` may end in `*`. `since` inclusive, `until`
    exclusive; `before`: the `id` of the last entry of the page before."""

    target: str | None = None
    actor: str | None = None
    action: str | None = None
    since: Micros | None = None
    until: Micros | None = None
    before: str | None = None
    limit: int = 100


class ErrorGroup(msgspec.Struct, frozen=True, kw_only=True):
    """The dead letters that share a fingerprint: how many, when the first and the last of them failed, and the id of one of the
    newest. Dead letters without an error have the fingerprint `""`."""

    fingerprint: str
    n: int
    first: Micros
    last: Micros
    sample: str


class Happening(msgspec.Struct, frozen=True, gc=False):
    """One verb call's news: `event` is the state that jobs came into (`waiting active completed failed cancelled delayed
    retrying blocked`), `progress`, `edited`, `deleted`, or what else changed: `queue`, `schedule`, `limit` (`ids` are names
    then). `ids`: up to 100 of them; `n`: how many there were."""

    at: Micros
    event: str
    ids: tuple[str, ...]
    n: int


class Feed(msgspec.Struct, frozen=True):
    """News in the order in which they were committed. `cursor` goes on behind them. `reset`: what followed the cursor given is
    no longer known (or the journal was asleep): read anew what is shown, then go on from here."""

    entries: list[Happening]
    cursor: str
    reset: bool = False


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a job stands, told by what a claim looks at. `now` is the store's.

    `queue`: its settings. `parked`: the key it is parked under. `line`: jobs ahead of it in its own line (those that share
    its queue, runtime, group and keys), counted up to 10,000; None unless it is waiting. `limits`: the keys it is under,
    with the ids of up to 20 holders each in `holders`. `parents`: those it still waits for, with their states. `signal`:
    what it is suspended for. `unique_holder`: who holds its unique key, if not itself.
    """

    job: Job
    now: Micros
    queue: QueueInfo
    parked: str | None = None
    line: int | None = None
    limits: tuple[LimitInfo, ...] = ()
    holders: Mapping[str, tuple[str, ...]] = {}
    parents: tuple[tuple[str, State], ...] = ()
    signal: str | None = None
    unique_holder: str | None = None


class Keep(msgspec.Struct, frozen=True, kw_only=True):
    """How long a queue's final jobs stay, in microseconds per state; None keeps them. `keep_...`: how many of a state at most,
    apart from members of workflows that ended less than `SPARED` ago."""

    completed: Micros | None = 24 * 3_600 * 1_000_000
    failed: Micros | None = 90 * 86_400 * 1_000_000
    cancelled: Micros | None = 7 * 86_400 * 1_000_000
    keep_completed: int | None = None
    keep_failed: int | None = None


SPARED: Micros = 86_400 * 1_000_000
"""So long after its end a member of a workflow is spared by the counts of `Keep`: other members may still read its result, and
among many jobs the newest ten end within seconds."""


class Retention(Keep, frozen=True, kw_only=True):
    """What is kept how long. The fields of `Keep` hold for every queue that `queues` does not name. `logs`: log lines and
    steps of final jobs, counted from their end; `results`: likewise their results (None: as long as the job). `archive`: when a
    dead letter leaves automatic retry. `metrics`: minutes; `audit`: operators' acts. `history`: what remains of jobs that
    retention deleted, counted from then (None: for ever, 0: nothing remains), and of those the newest `keep_history` at most
    (None: however many)."""

    queues: Mapping[str, Keep] = {}
    logs: Micros | None = 7 * 86_400 * 1_000_000
    results: Micros | None = None
    archive: Micros | None = 30 * 86_400 * 1_000_000
    metrics: Micros | None = 7 * 86_400 * 1_000_000
    audit: Micros | None = 90 * 86_400 * 1_000_000
    history: Micros | None = 30 * 86_400 * 1_000_000
    keep_history: int | None = 100_000

    @property
    def remembers(self) -> bool:
        """Whether anything remains of a job that is deleted now."""
        return self.history != 0 and self.keep_history != 0


class Past(msgspec.Struct, frozen=True):
    """What remains of a job that retention deleted at `gone_at`: what `REMAINS` names; it shows no arguments, result, note of
    progress, parents or options, and nothing that is due."""

    job: Job
    gone_at: Micros


def read_past(row: Mapping[str, Any], gone_at: Micros) -> Past:
    """The `Past` of an engine's raw record under the names of `REMAINS`."""
    return Past(read_job({**dict.fromkeys(RECORD), **row}), gone_at)


class Swap(msgspec.Struct, frozen=True, kw_only=True):
    """One compare-and-set on a small keyed record. `expect`: None writes whatever is there, 0 only if nothing is, else
    only over that version. `text` None deletes. `ttl`: microseconds until it vanishes."""

    space: str
    key: str
    text: str | None
    expect: int | None = None
    ttl: Micros | None = None


class Record(msgspec.Struct, frozen=True):
    """A keyed record. `swapped` is False when the expectation failed; the rest is then what the store holds."""

    space: str
    key: str
    text: str | None
    version: int
    swapped: bool = True
