"""The state machine, once: eight states, the events that move a job, and their names as SQL and Lua literals.

Engines never type a state word: `render` puts literals into their statements, in declaration order, because
PostgreSQL's generic plan and SQLite both use a partial index only when the predicate is a matching literal.
"""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    BLOCKED = "blocked"  # waits for parents or a signal
    DELAYED = "delayed"  # waits for a time
    WAITING = "waiting"  # may be claimed
    ACTIVE = "active"  # leased to a worker
    RETRYING = "retrying"  # waits between attempts
    COMPLETED = "completed"
    FAILED = "failed"  # gave up: the dead letters
    CANCELLED = "cancelled"


class Event(StrEnum):
    CLAIM = "claim"
    COMPLETE = "complete"
    RETRY = "retry"
    SNOOZE = "snooze"
    RELEASE = "release"
    RESCUE = "rescue"
    FAIL = "fail"
    ABORT = "abort"
    PROMOTE = "promote"
    UNBLOCK = "unblock"
    DOOM = "doom"
    CANCEL = "cancel"
    EXPIRE = "expire"
    SUSPEND = "suspend"
    SIGNAL = "signal"
    REVIVE = "revive"
    ANSWER = "answer"
    REQUEUE = "requeue"
    DELETE = "delete"


class Move(NamedTuple):
    """`sources`: the states an event may leave. `target`: where it leads; None is "gone", "answer" has no source."""

    sources: tuple[State, ...]
    target: State | None


_S = State
PENDING = (_S.BLOCKED, _S.DELAYED, _S.WAITING, _S.RETRYING)
FINAL = (_S.COMPLETED, _S.FAILED, _S.CANCELLED)
LIVE = (_S.BLOCKED, _S.DELAYED, _S.WAITING, _S.ACTIVE, _S.RETRYING)

TRANSITIONS: dict[Event, Move] = {
    Event.CLAIM: Move((_S.WAITING,), _S.ACTIVE),
    Event.COMPLETE: Move((_S.ACTIVE,), _S.COMPLETED),
    Event.RETRY: Move((_S.ACTIVE,), _S.RETRYING),
    Event.SNOOZE: Move((_S.ACTIVE,), _S.DELAYED),
    Event.RELEASE: Move((_S.ACTIVE,), _S.WAITING),
    Event.RESCUE: Move((_S.ACTIVE,), _S.ACTIVE),
    Event.FAIL: Move((_S.BLOCKED, _S.DELAYED, _S.WAITING, _S.ACTIVE, _S.RETRYING), _S.FAILED),
    Event.ABORT: Move((_S.ACTIVE,), _S.CANCELLED),
    Event.PROMOTE: Move((_S.DELAYED, _S.RETRYING), _S.WAITING),
    Event.UNBLOCK: Move((_S.BLOCKED,), _S.WAITING),  # or delayed, when run_at is ahead
    Event.DOOM: Move((_S.BLOCKED,), _S.CANCELLED),
    Event.CANCEL: Move(PENDING, _S.CANCELLED),  # active: a flag that the handler sees
    Event.EXPIRE: Move(PENDING, _S.CANCELLED),
    Event.SUSPEND: Move((_S.ACTIVE,), _S.BLOCKED),
    Event.SIGNAL: Move((_S.BLOCKED,), _S.WAITING),
    Event.REVIVE: Move((_S.CANCELLED, _S.FAILED), _S.BLOCKED),  # what a parent's end had ended
    Event.ANSWER: Move((), _S.COMPLETED),
    Event.REQUEUE: Move(FINAL, _S.WAITING),
    Event.DELETE: Move((*PENDING, *FINAL), None),
}

_GROUPS = {"pending": PENDING, "final": FINAL, "live": LIVE, "all": tuple(State)}
_PLACE = re.compile(r"\{(state|from|to|any):([a-z]+)\}")


def allowed(event: Event, state: State) -> bool:
    """Whether `event` may move a job that is in `state`."""
    return state in TRANSITIONS[event].sources


def render(text: str) -> str:
    """Literals for placeholders: `{state:waiting}` and `{to:retry}` give one, `{from:promote}` and `{any:final}` a list."""
    return _PLACE.sub(lambda found: _literal(found[1], found[2]), text)


def _literal(what: str, name: str) -> str:
    if what == "state":
        return f"'{State(name)}'"
    if what == "any":
        return _quoted(_GROUPS[name])
    move = TRANSITIONS[Event(name)]
    if what == "from":
        return _quoted(move.sources)
    if move.target is None:
        raise ValueError(f"event {name!r} has no target state")
    return f"'{move.target}'"


def _quoted(states: Iterable[State]) -> str:
    return ", ".join(f"'{state}'" for state in states)
