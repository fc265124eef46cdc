"""The run path: claim, heartbeat, finish, rescue, unpark, promote."""

import contextlib
from collections.abc import Container, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from windlass.errors import StoreError
from windlass.store.protocol import MOST_CLAIMED, MOST_FINISHED
from windlass.store.redis.claims import claim_of
from windlass.store.redis.codec import (
    NUMBER,
    batch,
    binary,
    id_bytes,
    id_text,
    pack,
)
from windlass.store.redis.connection import Link
from windlass.store.redis.produce import parents_of, unknown_parent
from windlass.values.clock import Micros
from windlass.values.job import RUNTIMES, Claim, NewJob
from windlass.values.lease import Beat, Claimed, ClaimRequest, Promoted, Pulse
from windlass.values.metrics import tallies
from windlass.values.outcome import Finish, Verdict
from windlass.values.states import TRANSITIONS, Event

MOST_UNPARKED = 500
MOST_SETTLED = 500
_SETTLED_ON = 4
_TARGET: dict[Event, int] = {
    event: NUMBER[move.target] for event, move in TRANSITIONS.items() if move.target is not None
}
_VERDICT = {ord("a"): Verdict.ACCEPTED, ord("r"): Verdict.REPEAT, ord("s"): Verdict.STALE}


async def claim(link: Link, request: ClaimRequest) -> Claimed:
    asked = False if request.queues is None else tuple(dict.fromkeys(request.queues))
    slots = [max(request.slots.get(runtime, 0), 0) for runtime in RUNTIMES]
    idle = False if request.idle is None else [max(request.idle.get(runtime, 0), 0) for runtime in RUNTIMES]
    blob = pack((request.worker, request.session, request.number, request.lease, slots, asked, MOST_CLAIMED, idle))
    wait, more, lease, granted, rows, spent, turned = await link.run("claim_plain", blob)
    rated = {spent[at : at + 16] for at in range(0, len(spent), 16)}
    return Claimed(_claims(rows, lease, granted, rated, bool(turned)), None if wait < 0 else wait, bool(more))


def _claims(
    rows: Sequence[Any], lease: int, granted: Micros, rated: Container[bytes] = (), turned: bool = False
) -> list[Claim]:
    """Rows of (id, record, state before, order), in the order of their places, or of their turns as they come: the worker begins
    them in this order, and what is begun last may be given back."""
    found = [rows[at : at + 4] for at in range(0, len(rows), 4)]
    if not turned and any(one[3] > other[3] for one, other in pairwise(found)):
        found.sort(key=lambda row: row[3])
    return [claim_of(row, lease, granted, rated) for row in found]


async def heartbeat(link: Link, beat: Beat, known_schema: int) -> Pulse:
    info = beat.info
    held: list[Any] = []
    named: list[str] = []
    lost: list[str] = []
    for each in beat.held:
        id = id_bytes(each.id)
        if id is None:
            lost.append(each.id)
        else:
            named.append(each.id)
            held += (binary(id), each.lease)
    blob = pack((info.id, msgspec.json.encode(info).decode(), info.lease, beat.leaving, info.session, held))
    gone, flagged, told, schema = await link.run("heartbeat", blob)
    lost += [named[position - 1] for position in gone]
    breaking = int((schema or b"0").split()[-1])
    newer = breaking if breaking > known_schema else 0
    return Pulse(
        lost=tuple(lost),
        cancelled=tuple(map(id_text, flagged)),
        quiet=told == b"quiet",
        stop=told == b"stop" or newer > 0,
        newer=newer,
    )


async def finish(link: Link, finishes: Sequence[Finish]) -> list[Verdict]:
    verdicts: list[Verdict] = []
    for at in range(0, len(finishes), MOST_FINISHED):
        verdicts += await _finish(link, finishes[at : at + MOST_FINISHED])
    return verdicts


async def _finish(link: Link, finishes: Sequence[Finish]) -> list[Verdict]:
    """The script writes only when it accepts every item, so that tallies made here count accepted ones alone. Else the
    accepted ones are sent again without the others; they may have become fewer, so this repeats."""
    verdicts = [Verdict.STALE] * len(finishes)
    open_ = [(place, end, id) for place, end in enumerate(finishes) if (id := id_bytes(end.id)) is not None]
    while open_:
        open_.sort(key=lambda item: not _simple(item[1]))
        verb, *arguments = _arguments([(id, end) for _, end, id in open_])
        if link.ends_free and verb == "finish_plain":
            verb = "finish"  # or the short script would find that it is none of its business
        said, parent, freeing = await link.run(verb, *arguments)
        link.ends_free = freeing > 0
        if freeing > 1:
            await _settle_on(link)
        if parent:
            raise unknown_parent(parent, parents_of(job for _, end, _ in open_ for job in end.follow))
        for (place, _, _), letter in zip(open_, said, strict=True):
            verdicts[place] = _VERDICT[letter]
        accepted = [item for item in open_ if verdicts[item[0]] is Verdict.ACCEPTED]
        if len(accepted) == len(open_):
            break
        open_ = accepted
    return verdicts


async def _settle_on(link: Link) -> None:
    """A large fan-out is released by whoever ended its parent, in steps that others' calls come between: until somebody's
    `promote` looks, workers might stand idle. What is left then, or after trouble, is for `promote`."""
    with contextlib.suppress(StoreError):
        for _ in range(_SETTLED_ON):
            if not await link.run("settle", MOST_SETTLED):
                break


def _simple(end: Finish) -> bool:
    """A completion with nothing to it but a result and a cost: the hot path, which has a short form."""
    return end.event is Event.COMPLETE and end.spends and not end.rescued and end.error is None


def _arguments(ends: Sequence[tuple[bytes, Finish]]) -> tuple[str, bytes, bytes, bytes, bytes, bytes]:
    """The script and what it takes."""
    completions: list[Any] = []
    costs: list[int] = []
    others: list[Any] = []
    follow: list[NewJob[Any]] = []
    for id, end in ends:
        if _simple(end):
            completions += (binary(id), end.lease, end.took, end.queue, False if end.result is None else end.result)
            costs.append(end.spent)
        else:
            others += _other(id, end)
        if end.follow:
            follow += end.follow
    verb = "finish" if others or follow else "finish_plain"
    spent = pack(costs) if any(costs) else b""
    return (
        verb,
        pack(completions),
        pack(others),
        pack(tallies([end for _, end in ends])),
        batch(follow) if follow else b"",
        spent,
    )


def _other(id: bytes, end: Finish) -> tuple[Any, ...]:
    target = _TARGET[Event.SNOOZE if end.event is Event.RELEASE and end.delay > 0 else end.event]
    return (
        binary(id),
        end.lease,
        target,
        end.spends,
        end.rescued,
        end.took,
        end.delay,
        end.queue,
        end.reason or False,
        end.park or False,
        False if end.result is None else end.result,
        False if end.error is None else end.error,
        False if end.trail is None else end.trail,
        False if end.signal is None else end.signal,
        end.spent,
        end.fingerprint if end.error is not None or end.fingerprint else False,
        end.ladder or False,
    )


async def rescue(link: Link, worker: str, lease: Micros, limit: int) -> list[Claim]:
    token, granted, rows = await link.run("rescue", worker, lease, min(limit, MOST_CLAIMED))
    return _claims(rows, token, granted)


async def unpark(link: Link, key: str) -> int:
    return await link.run("unpark", key, MOST_UNPARKED)


async def promote(link: Link, limit: int) -> Promoted:
    moved, wait, more = await link.run("promote_plain", min(limit, 500))
    return Promoted(moved=moved, wait=None if wait < 0 else wait, more=bool(more))
