"""Claiming jobs and keeping them: claim, heartbeat, report, rescue, unpark."""

import heapq
from itertools import islice
from typing import TypeAlias

import msgspec
from msgspec.structs import force_setattr

from windlass.store.protocol import MOST_CLAIMED
from windlass.store.sqlite.lines import enter
from windlass.store.sqlite.transaction import Row, Tx, View, packed
from windlass.store.sqlite.turns import Turns
from windlass.store.sqlite.uniqueness import free_started
from windlass.values.clock import Micros
from windlass.values.job import Claim
from windlass.values.lease import ORDERS, Beat, Claimed, ClaimRequest, Pulse, WorkerInfo
from windlass.values.states import State

MOST_UNPARKED = 500
REMEMBERED_LEASES = 10
"""A worker's record counts for so many leases after its last beat."""
_Text: TypeAlias = str | None
_SELDOM = msgspec.json.Decoder(tuple[Micros | None, _Text, _Text, _Text, _Text, _Text, _Text, int | None])
_TAGS = msgspec.json.Decoder(tuple[str, ...])


def claim(tx: Tx, request: ClaimRequest) -> Claimed:
    until = tx.now + request.lease
    last = tx.one("claimer", (request.worker,))
    if last is not None:
        tx.flow, tx.awake = bool(last[3]), last[4]
    if last is not None and last[0] == request.session and last[1] == request.number:
        rows = tx.rows("renew", (request.worker, last[2], until))
        return Claimed(_claims(tx, sorted(rows)), None if rows else next_due(tx, request))
    queues = _open_queues(tx, request)
    if queues and tx.flows() and _lines_matter(tx, queues):
        return _claim_by_turns(tx, request, queues)
    rows: list[Row] = []
    if queues:
        taker = _Taker(tx, request, queues)
        for runtime, slots in request.slots.items():
            slots = min(slots, MOST_CLAIMED - len(rows))
            if slots > 0:
                rows += taker.take(runtime, slots)
    if not rows:
        return Claimed([], next_start(tx, request, queues))
    _after_claim(tx, request, rows)
    return Claimed(_claims(tx, sorted(rows)))


def _lines_matter(tx: Tx, queues: list[str]) -> bool:
    """Whether some line may have a job to give; without one, the plain lines are all there is."""
    tx.run("fire_timers", (tx.now,))
    return bool(tx.value("any_awake") or tx.value("open_lines", (packed(queues),)))


def _claim_by_turns(tx: Tx, request: ClaimRequest, queues: list[str]) -> Claimed:
    turns = Turns(tx, request, queues)
    chosen: list[int] = []
    for runtime, slots in request.slots.items():
        slots = min(slots, MOST_CLAIMED - len(chosen))
        if slots > 0:
            chosen += turns.take(runtime, slots)
    rows: list[Row] = []
    if chosen:
        token, until = tx.count_on("lease"), tx.now + request.lease
        rows = tx.rows("take_these", (packed(chosen), tx.now, token, until, request.worker))
    more = turns.flush()
    if not rows:
        return Claimed([], None if more else next_start(tx, request, queues), more)
    _after_claim(tx, request, rows)
    if turns.is_strict:
        rows.sort()
    else:
        numbers = dict(tx.rows("places_of", (packed([row[1] for row in rows]),)))
        places = {n: place for place, n in enumerate(chosen)}
        rows.sort(key=lambda row: places[numbers[row[1]]])
    return Claimed(_claims(tx, rows), more=more)


def _open_queues(tx: Tx, request: ClaimRequest) -> list[str]:
    """The queues that may have something for this request. Only those with waiting jobs are looked at."""
    if request.queues is not None and len(request.queues) <= 8:
        found = list(dict.fromkeys(request.queues))
    else:
        wanted = None if request.queues is None else set(request.queues)
        names = [name for (name,) in tx.rows("ready_queues")]
        if tx.flows():
            names += [name for (name,) in tx.rows("lined_queues")]
        found = [name for name in dict.fromkeys(names) if wanted is None or name in wanted]
    paused = {name for (name,) in tx.rows("paused")} if found else set[str]()
    return [name for name in found if name not in paused]


class _Taker:
    """Takes jobs of one claim under one lease token, which is drawn only when there is a job for it."""

    def __init__(self, tx: Tx, request: ClaimRequest, queues: list[str]) -> None:
        self._tx = tx
        self._request = request
        self._queues = queues
        self._lease = 0

    def take(self, runtime: str, slots: int) -> list[Row]:
        tx, request = self._tx, self._request
        until = tx.now + request.lease
        if len(self._queues) == 1:
            queue = self._queues[0]
            if tx.one("line", (queue, runtime, tx.now)) is None:
                return []
            return tx.rows("take_line", (queue, runtime, tx.now, slots, self._token(), until, request.worker))
        lines = [tx.run("line", (queue, runtime, tx.now)) for queue in self._queues]
        chosen = [n for _, n in islice(heapq.merge(*lines), slots)]
        if not chosen:
            return []
        del lines  # open cursors would still look at the index that the next statement changes
        return tx.rows("take_these", (packed(chosen), tx.now, self._token(), until, request.worker))

    def _token(self) -> int:
        self._lease = self._lease or self._tx.count_on("lease")
        return self._lease


def _after_claim(tx: Tx, request: ClaimRequest, rows: list[Row]) -> None:
    tx.run("remember_claim", (request.worker, request.session, request.number, rows[0][2], tx.now))
    moves: dict[str, int] = {}
    seldom: list[tuple[str, str]] = []
    for row in rows:
        queue = row[4]
        moves[queue] = moves.get(queue, 0) + 1
        if row[16] is not None:
            seldom.append((row[1], row[16]))
    for queue, n in moves.items():
        tx.moved(queue, State.WAITING, State.ACTIVE, n)
    if tx.is_heard():
        tx.tell(State.ACTIVE, [row[1] for row in rows])
    if seldom and tx.value("any_started"):
        free_started(tx, [id for id, text in seldom if _SELDOM.decode(text)[6] is not None])


def next_due(view: View, request: ClaimRequest | None = None) -> Micros | None:
    """Microseconds until a delayed, retrying or suspended job of the request's queues is due."""
    asked = None if request is None else request.queues
    queues = [name for (name,) in view.rows("due_queues")] if asked is None else list(asked)
    if request is not None and queues:
        paused = {name for (name,) in view.rows("paused")}
        queues = [name for name in queues if name not in paused]
    times = [at for queue in queues for (at,) in view.rows("next_due", (queue,)) if at is not None]
    return max(min(times) - view.now, 0) if times else None


def next_start(tx: Tx, request: ClaimRequest, queues: list[str]) -> Micros | None:
    """Microseconds until a job of the request may start by time alone: because it is due, or because a key opens."""
    due = next_due(tx, request)
    if not tx.flows():
        return due
    opens: Micros | None = tx.value("next_timer", (None if request.queues is None else packed(queues),))
    times = [due] if opens is None else [due, max(opens - tx.now, 0)]
    return min((at for at in times if at is not None), default=None)


def _claims(tx: Tx, rows: list[Row]) -> list[Claim]:
    """What workers get. The flags of limited jobs are looked up by their lines."""
    lines: set[int] = set()
    if tx.flows():
        lines = {line for row in rows if row[16] is not None and (line := _SELDOM.decode(row[16])[7]) is not None}
    flags: dict[int, tuple[bool, bool]] = {}
    if lines:
        flags = {line: (bool(keys), bool(rates)) for line, keys, rates in tx.rows("flags", (packed(list(lines)),))}
    return [_claim_of(row, tx.now) if row[16] is None else _full_claim_of(row, tx.now, flags) for row in rows]


_PLAIN = (False, False)


def _claim_of(row: Row, now: Micros) -> Claim:
    """Of a job without any of what few jobs have, but for a user."""
    (
        _,
        id,
        lease,
        kind,
        queue,
        args,
        attempt,
        most,
        priority,
        runtime,
        options,
        rescues,
        created,
        run_at,
        workflow,
        user,
        _,
    ) = row
    claim = Claim(  # a sixteenth keyword would cost 0.5 us
        id=id,
        lease=lease,
        kind=kind,
        queue=queue,
        args=args,
        attempt=attempt + 1,
        max_attempts=most,
        priority=priority,
        runtime=runtime,
        options=options,
        rescues=rescues,
        created_at=created,
        ready_at=run_at,
        claimed_at=now,
        workflow=workflow,
    )
    if user is not None:
        force_setattr(claim, "user", user)
    return claim


def _full_claim_of(row: Row, now: Micros, flags: dict[int, tuple[bool, bool]]) -> Claim:
    expires_at, project, group, name, tags, cancelling, _, line = _SELDOM.decode(row[16])
    limited, rated = _PLAIN if line is None else flags.get(line, _PLAIN)
    return msgspec.structs.replace(
        _claim_of(row, now),
        expires_at=expires_at,
        project=project,
        group=group,
        name=name,
        tags=_TAGS.decode(tags) if tags else (),
        cancelling=cancelling is not None,
        limited=limited,
        rated=rated,
    )


def heartbeat(tx: Tx, beat: Beat, known_schema: int) -> Pulse:
    info = beat.info
    if beat.leaving:
        tx.run("drop_worker", (info.id,))
    else:
        gone_at = tx.now + REMEMBERED_LEASES * info.lease
        tx.run("put_worker", (info.id, info.session, _text_of(info), tx.now, gone_at))
    lost: tuple[str, ...] = ()
    if beat.held:
        held = packed([(each.id, each.lease) for each in beat.held])
        kept = {id for (id,) in tx.rows("extend", (held, tx.now + info.lease))}
        lost = tuple(each.id for each in beat.held if each.id not in kept)
    cancelled = tuple(id for (id,) in tx.rows("flagged", (info.id,)))
    newer = tx.value("breaking_since", (known_schema,))
    order = tx.value("record", (ORDERS, info.id, tx.now))
    return Pulse(
        lost=lost,
        cancelled=cancelled,
        quiet=order == "quiet",
        stop=newer is not None or order == "stop",
        newer=newer or 0,
    )


def _text_of(info: WorkerInfo) -> str:
    return msgspec.json.encode(info).decode()


def rescue(tx: Tx, worker: str, lease: Micros, limit: int) -> list[Claim]:
    if _stood_still(tx, lease):
        return []
    if not tx.value("any_lapsed", (tx.now,)):
        return []
    token = tx.count_on("lease")
    rows = tx.rows("take_lapsed", (tx.now, min(limit, MOST_CLAIMED), token, tx.now + lease, worker))
    tx.tell(State.ACTIVE, [row[1] for row in rows])
    return _claims(tx, sorted(rows))


def _stood_still(tx: Tx, lease: Micros) -> bool:
    """Whether the store may have been out of reach lately, so that lapsed leases say nothing about their workers."""
    mark: Micros | None = tx.value("counter", ("mark",))
    quiet: Micros = tx.value("counter", ("quiet_until",)) or 0
    gap = tx.value("any_active") if mark is None else tx.now - mark > lease // 2
    if gap:
        quiet = tx.now + lease
        tx.run("set_counter", ("quiet_until", quiet))
    tx.run("set_counter", ("mark", tx.now))
    # A clock that was stepped back must not make leases, or this silence, last for hours.
    tx.run("restamp", (tx.now + lease, tx.now + 2 * lease))
    if quiet > tx.now + lease:
        quiet = tx.now + lease
        tx.run("set_counter", ("quiet_until", quiet))
    return tx.now < quiet


def unpark(tx: Tx, key: str) -> int:
    jobs = [n for (n,) in tx.rows("unpark", (key, MOST_UNPARKED))]
    if jobs:
        enter(tx, jobs)
        tx.topics.add("ready")
    return len(jobs)
