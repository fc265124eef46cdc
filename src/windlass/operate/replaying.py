"""A replay of dead letters: a durable job that requeues those of a filter in bounded steps, and goes on where it was."""

import asyncio
from collections.abc import AsyncIterator, Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

import msgspec
from msgspec.structs import replace

from windlass.store.protocol import Store
from windlass.values.clock import instant
from windlass.values.query import Action, AuditQuery, Command, Where
from windlass.values.queue import HOUSE

if TYPE_CHECKING:
    from windlass.declare.handler import Handler
    from windlass.running.context import Context

REPLAY = "windlass.replay-dead"
STEP = 500
_BEATS = 4
"""Portions a second of a replay that is held to a rate."""
_COUNTED = 10_000
_PAGE = 1_000


class Replay(msgspec.Struct, frozen=True):
    """Which letters, how many a second, and who asked."""

    where: Where
    per_second: float | None = None
    actor: str = "app"


class Cursor(TypedDict):
    """How far it came, and out of how many; None if that is not known."""

    done: int
    total: int | None


class App(Protocol):
    """What this asks of the app."""

    handlers: "dict[str, Handler[..., Any]]"

    async def store(self) -> Store: ...

    def job(self, /, **options: Any) -> Any: ...


def replay_handler(app: App) -> "Handler[..., Any]":
    """The built-in handler, given to the app if it does not have it yet."""
    if REPLAY in app.handlers:
        return app.handlers[REPLAY]

    async def replay(ctx: "Context", asked: Replay) -> AsyncIterator[Cursor]:
        """Requeue the dead letters that had failed before this job was made."""
        store = await app.store()
        where = replace(asked.where, finished_to=_before(asked.where, instant(ctx.job.created_at)))
        actor = f"{asked.actor} replay:{ctx.id}"
        cursor: Cursor | None = ctx.cursor
        done = await _done(store, actor)  # the last step's cursor may have got lost with the worker
        total = cursor["total"] if cursor is not None else await _count(store, where)
        pace = _Pace(asked.per_second)
        more = True
        while more:
            await pace.wait()
            answer = await store.command(Command(action=Action.REQUEUE), where, pace.step, actor)
            done += len(answer.done)
            pace.did(len(answer.done))
            more = answer.more
            told = f"{done:,} requeued" if total is None else f"{done:,} of {total:,} requeued"
            ctx.progress(min(99.0, 100 * done / total) if total else 0.0, told)
            yield Cursor(done=done, total=total)
        ctx.progress(100, f"{done:,} requeued")

    # Typed by its annotations, which a string cannot be looked up from inside a function.
    replay.__annotations__ = {**replay.__annotations__, "ctx": _context()}
    return app.job(kind=REPLAY, queue=HOUSE, max_attempts=100, max_rescues=1_000)(replay)


def _context() -> type:
    from windlass.running.context import Context

    return Context


class _Pace:
    """So many a second, in portions."""

    def __init__(self, per_second: float | None, now: Callable[[], float] = monotonic) -> None:
        self._per_second = per_second
        self._now = now
        self._began = now()
        self._made = 0
        self.step = STEP if per_second is None else max(1, min(STEP, int(per_second / _BEATS)))

    def did(self, n: int) -> None:
        self._made += n

    async def wait(self) -> None:
        if self._per_second is not None:
            await asyncio.sleep(max(0.0, self._began + self._made / self._per_second - self._now()))


def _before(where: Where, at: int) -> int:
    return at if where.finished_to is None else min(at, where.finished_to)


async def _done(store: Store, actor: str) -> int:
    """How many letters earlier runs of a replay have requeued: each of their calls is on record with its number."""
    done, before = 0, None
    while True:
        acts = await store.audit(AuditQuery(actor=actor, before=before, limit=_PAGE))
        done += sum(int(msgspec.json.decode(act.detail, type=dict[str, Any]).get("count", 0)) for act in acts)
        if len(acts) < _PAGE:
            return done
        before = acts[-1].id


async def _count(store: Store, where: Where) -> int | None:
    """How many letters there are; None if there are many and no count says how many."""
    (found,) = await store.count([where], _COUNTED)
    if found < _COUNTED:
        return found
    plain = replace(where, queues=(), fingerprints=(), finished_from=None, finished_to=None)
    if plain != Where(states=where.states):
        return None
    if where.fingerprints and not where.queues:
        return sum(group.n for group in await store.error_groups() if group.fingerprint in where.fingerprints)
    if where.fingerprints:
        return None
    counts = await store.counts()
    return sum(
        each.n for each in counts if each.state in where.states and (each.queue in where.queues or not where.queues)
    )
