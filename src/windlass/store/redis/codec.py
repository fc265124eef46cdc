"""Records as the scripts keep them: packed by Python, read by both sides. `prelude.lua` tells the layouts."""

import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from windlass.errors import InvalidOption
from windlass.store.redis.ledger import Ledger
from windlass.store.redis.payload import RICH, payload
from windlass.values.clock import Micros
from windlass.values.job import LEDGER, RECORD, RUNTIMES, Ahead, Edge, NewJob, OnFailure, Runtime, UniqueKey
from windlass.values.limit import Bound, Rate
from windlass.values.states import State

STATES = tuple(State)
NUMBER = {state: number for number, state in enumerate(STATES, 1)}
"""The number of a state in scripts."""
POLICIES: tuple[OnFailure, ...] = ("cancel", "run", "fail", "trigger", "hold")
MODES = ("finished", "started", "period")

UNIQUE, EXPIRES, CHILD, WHO, BOUNDS = 4, 8, 16, 32, 128
CANCELLING, LINED = 1, 4
_CONFLICT = {"existing": 0, "skip": 0, "replace": 1, "rerun": 2}
RUNTIME_OF: tuple[Runtime, ...] = (*RUNTIMES, "async")
"""By the two bits of the flags; the fourth does not occur."""

_HEAD = struct.Struct(">BBH")
_STATE = struct.Struct(">BBB7s7s7s7s7s7sHH3s")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_JSON = msgspec.json.Encoder().encode


def pack(value: Any) -> bytes:
    """msgpack, which scripts unpack in C. None inside a list would end it there: callers put False."""
    return _encode(value)


def unpack(data: bytes) -> Any:
    return _decode(data)


def binary(data: bytes) -> msgspec.Raw:
    """Bytes as a msgpack string: the cmsgpack of Redis 6.2 knows no binary type, and Lua strings are bytes anyway."""
    n = len(data)
    if n < 32:
        return msgspec.Raw(bytes((0xA0 | n,)) + data)
    if n < 256:
        return msgspec.Raw(b"\xd9" + bytes((n,)) + data)
    if n < 65_536:
        return msgspec.Raw(b"\xda" + n.to_bytes(2, "big") + data)
    return msgspec.Raw(b"\xdb" + n.to_bytes(4, "big") + data)


def id_bytes(id: str) -> bytes | None:
    """The 16 bytes of a UUID in its canonical text; None for any other text, which names no job."""
    try:
        data = bytes.fromhex(id.replace("-", ""))
    except ValueError:
        return None
    return data if len(data) == 16 and id[8:24:5] == "----" and len(id) == 36 and id == id.lower() else None


def id_text(data: bytes) -> str:
    h = data.hex()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def known_ids(ids: Sequence[str]) -> list[bytes]:
    return [data for data in map(id_bytes, ids) if data is not None]


def need_id(id: str) -> bytes:
    """As `id_bytes`; `InvalidOption` for text that is no UUID."""
    data = id_bytes(id)
    if data is None:
        raise InvalidOption(
            f"id is {id!r}; it must be a UUIDv7 in lower case",
            field="id",
            value=id,
            limit="UUID",
            mend="leave the id to Windlass",
        )
    return data


@lru_cache(4096)
def _names(queue: str, kind: str) -> bytes:
    texts = queue.encode(), kind.encode()
    for field, text in zip(("queue", "kind"), texts, strict=True):
        if len(text) > 255:
            raise InvalidOption(
                f"{field} is {len(text)} bytes long; 255 are allowed",
                field=field,
                value=text[:100].decode("utf-8", "replace"),
                limit="255 bytes",
                mend="shorten it",
            )
    return b"".join(bytes([len(text)]) + text for text in texts)


@lru_cache(4096)
def read_names(data: bytes) -> tuple[str, str]:
    n = data[0]
    return data[1 : 1 + n].decode(), data[2 + n :].decode()


Who = tuple[str | None, str | None, str | None, str | None, str | None]
"""User, project, group, workflow, name."""


@lru_cache(4096)
def read_who(data: bytes) -> Who:
    user, project, group, workflow, name = _decode(data)
    return user, project, group, workflow, name


def _who(job: NewJob[Any]) -> tuple[int, bytes]:
    who = (job.user, job.project, job.group, job.workflow, job.name)
    if who == (None, None, None, None, None):
        return 0, b""
    data = _encode(who)
    return WHO, struct.pack(">I", len(data)) + data


def _plain(job: NewJob[Any]) -> bool:
    return (
        job.delay is None
        and job.run_at is None
        and job.expires_in is None
        and job.expires_at is None
        and job.unique is None
        and not job.after
        and not job.before
        and not job.limits
        and job.weight == 1
        and job.answer is None
    )


_RUNTIME: dict[Runtime, int] = {runtime: number for number, runtime in enumerate(RUNTIMES)}


def _head(job: NewJob[Any], flags: int) -> bytes:
    return _HEAD.pack(job.priority + 100, _RUNTIME[job.runtime] | flags, min(job.max_attempts, 65_535)) + _names(
        job.queue, job.kind
    )


def batch(jobs: Sequence[NewJob[Any]]) -> bytes:
    """New jobs as insert.lua takes them."""
    return plain_batch(jobs)[0]


def plain_batch(jobs: Sequence[NewJob[Any]]) -> tuple[bytes, bool]:
    """New jobs as insert.lua takes them, and whether none has more to it than its arguments."""
    lanes: dict[tuple[int, str, str], int] = {}
    items: list[Any] = []
    specials: dict[int, Any] = {}
    for number, job in enumerate(jobs, 1):
        lane = lanes.setdefault((_RUNTIME[job.runtime], job.queue, job.kind), len(lanes) + 1)
        id = need_id(job.id)
        rich, body = payload(job, id)
        has_who, who = _who(job)
        if _plain(job):
            record = _head(job, rich | has_who) + who + body
        else:
            record = _head(job, rich | has_who | _special_flags(job))
            specials[number] = (
                *_special(job),
                binary(who),
                binary(body),
                _before(job),
                binary(bounds) if (bounds := _bounds(job)) else False,
                _or_false(job.answer),
            )
        items += (binary(id), binary(record), lane, job.priority)
    return _encode((list(lanes), items, specials)), not specials


def whole_record(job: NewJob[Any], created: Micros, parents: Sequence[str], mode: int) -> bytes:
    """The immutable record of a job that another engine stored; scripts make those of new jobs."""
    rich, body = payload(job, need_id(job.id))
    has_who, who = _who(job)
    flags = rich | has_who | (CHILD if parents else 0) | (EXPIRES if job.expires_at is not None else 0)
    data = created.to_bytes(7, "big")
    middle = b""
    if job.expires_at is not None:
        middle += job.expires_at.to_bytes(7, "big")
    if parents:
        ids = b"".join(map(need_id, parents))
        middle += struct.pack(">I", len(ids)) + ids
    if job.unique is not None:
        flags |= UNIQUE
        key = job.unique.key.encode()
        middle += struct.pack(">BH", mode, len(key)) + key
    bounds = _bounds(job)
    if bounds:
        flags |= BOUNDS
        middle += struct.pack(">I", len(bounds)) + bounds
    return data + _head(job, flags) + middle + who + body


def _special_flags(job: NewJob[Any]) -> int:
    flags = 0
    if job.expires_at is not None or job.expires_in is not None:
        flags |= EXPIRES
    if job.after:
        flags |= CHILD
    if job.unique is not None:
        flags |= UNIQUE
    if job.limits or job.weight != 1:
        flags |= BOUNDS
    return flags


def _bounds(job: NewJob[Any]) -> bytes:
    """A job's weight and limits, as its record carries them; nothing when there is nothing to say."""
    if not job.limits and job.weight == 1:
        return b""
    flat: list[Any] = [job.weight]
    for bound in job.limits:
        flat += (bound.key, bound.cost, *definition(bound.concurrency, bound.rate))
    return _encode(flat)


def definition(concurrency: int | None, rate: Rate | None) -> tuple[int, int, Micros, int]:
    """What a limit is, in four numbers; -1 for what it is not."""
    most = -1 if concurrency is None else concurrency
    if rate is None:
        return most, -1, 0, -1
    return most, rate.n, rate.window, -1 if rate.burst is None else rate.burst


def _read_bounds(data: bytes) -> tuple[int, tuple[Bound, ...]]:
    weight, *flat = _decode(data)
    bounds: list[Bound] = []
    for at in range(0, len(flat), 6):
        key, cost, most, n, window, burst = flat[at : at + 6]
        bounds.append(Bound(key, None if most < 0 else most, rate_of(n, window, burst), cost))
    return weight, tuple(bounds)


def rate_of(n: int, window: Micros, burst: int) -> Rate | None:
    return None if n < 0 else Rate(n, window, None if burst < 0 else burst)


def _special(job: NewJob[Any]) -> tuple[Any, ...]:
    key = job.unique
    return (
        _or_false(job.delay),
        _or_false(job.run_at),
        _or_false(job.expires_in),
        _or_false(job.expires_at),
        binary(b"".join(map(edge_bytes, _each_once(job.after)))) if job.after else False,
        key is not None
        and (key.key, MODES.index(key.until), _or_false(key.ttl), _CONFLICT[key.on_conflict], _or_false(key.latest)),
    )


def _each_once(edges: Sequence[Edge]) -> Iterable[Edge]:
    """A parent that is named twice counts once, by its first mention."""
    if len(edges) < 2:
        return edges
    found: dict[str, Edge] = {}
    for edge in edges:
        found.setdefault(edge.parent, edge)
    return found.values()


def edge_bytes(edge: Edge) -> bytes:
    """An edge as 17 bytes; a parent that is no UUID becomes one that nobody has."""
    return (id_bytes(edge.parent) or bytes(16)) + _policy(edge)


def _before(job: NewJob[Any]) -> Any:
    """The stored jobs that shall wait for this one; those that are no UUID are not stored."""
    entries = [(id_bytes(ahead.child), ahead) for ahead in job.before]
    data = b"".join(child + _policy(ahead) for child, ahead in entries if child is not None)
    return binary(data) if data else False


def _policy(edge: Edge | Ahead) -> bytes:
    return bytes((POLICIES.index(edge.on_failure) + 1,))


def _or_false(value: Any) -> Any:
    return False if value is None else value


class Head(NamedTuple):
    """The immutable record, taken apart."""

    created: Micros
    priority: int
    flags: int
    most: int
    queue: str
    kind: str
    expires: Micros | None
    parents: tuple[str, ...]
    key: str | None
    mode: int
    who: tuple[str | None, ...]
    args: str
    options: str
    tags: tuple[str, ...]
    weight: int = 1
    bounds: tuple[Bound, ...] = ()


NOBODY: Who = (None, None, None, None, None)


def number_of(data: bytes) -> int:
    return int.from_bytes(data, "big")


def read_head(c: bytes) -> Head:
    """Takes an immutable record apart."""
    flags = c[8]
    kind_at = 12 + c[11]
    at = kind_at + 1 + c[kind_at]
    queue, kind = read_names(c[11:at])
    expires, parents, key, mode, who = None, (), None, 0, NOBODY
    limits: tuple[int, tuple[Bound, ...]] = (1, ())
    if flags & (UNIQUE | EXPIRES | CHILD | WHO | BOUNDS):
        if flags & EXPIRES:
            expires = number_of(c[at : at + 7])
            at += 7
        if flags & CHILD:
            n = number_of(c[at : at + 4])
            parents = tuple(id_text(c[i : i + 16]) for i in range(at + 4, at + 4 + n, 16))
            at += 4 + n
        if flags & UNIQUE:
            mode, n = c[at], number_of(c[at + 1 : at + 3])
            key = c[at + 3 : at + 3 + n].decode()
            at += 3 + n
        if flags & BOUNDS:
            n = number_of(c[at : at + 4])
            limits = _read_bounds(c[at + 4 : at + 4 + n])
            at += 4 + n
        if flags & WHO:
            n = number_of(c[at : at + 4])
            who = tuple(_decode(c[at + 4 : at + 4 + n]))
            at += 4 + n
    args, options, tags = _decode(c[at:]) if flags & RICH else (c[at:].decode(), "", ())
    return Head(
        number_of(c[:7]),
        c[7] - 100,
        flags,
        c[9] << 8 | c[10],
        queue,
        kind,
        expires,
        parents,
        key,
        mode,
        who,
        args,
        options,
        tuple(tags),
        *limits,
    )


class Standing(NamedTuple):
    """The mutable record, taken apart. `park`: the key it waits under; the reason of a cancel while it is active; ':' and the
    name of the signal while it is suspended."""

    state: State
    flags: int
    marks: int
    lease: int
    settled: int
    order: int
    run_at: Micros
    started: Micros
    finished: Micros
    attempt: int
    rescues: int
    waits: int
    worker: str
    reason: str
    park: str
    line: bytes = b""


def read_state(m: bytes) -> Standing:
    """Takes a mutable record apart."""
    state, flags, marks, *numbers, attempt, rescues, waits = _STATE.unpack_from(m)
    texts: list[str] = []
    at = _STATE.size
    for _ in range(3):
        n = m[at] << 8 | m[at + 1]
        texts.append(m[at + 2 : at + 2 + n].decode("utf-8", "replace"))
        at += 2 + n
    line = m[at + 2 : at + 2 + (m[at] << 8 | m[at + 1])] if marks & LINED else b""
    lease, settled, order, run_at, started, finished = map(number_of, numbers)
    return Standing(
        STATES[state - 1],
        flags,
        marks & ~LINED,
        lease,
        settled,
        order,
        run_at,
        started,
        finished,
        attempt,
        rescues,
        number_of(waits),
        texts[0],
        texts[1],
        texts[2],
        line,
    )


def write_state(standing: Standing) -> bytes:
    """A mutable record, for jobs that come from another engine."""
    numbers = (n.to_bytes(7, "big") for n in standing[3:9])
    head = _STATE.pack(
        NUMBER[standing.state],
        standing.flags,
        standing.marks,
        *numbers,
        min(standing.attempt, 65_535),
        min(standing.rescues, 65_535),
        standing.waits.to_bytes(3, "big"),
    )
    texts = (text.encode()[:60_000] for text in standing[12:15])
    return head + b"".join(len(text).to_bytes(2, "big") + text for text in texts)


def record_of(id: bytes, c: bytes, m: bytes, texts: Sequence[bytes], ledger: Ledger) -> dict[str, Any]:
    """The raw record, under the names of `job.RECORD` and `job.LEDGER`, of a job's fields; `texts`: result, error, trail,
    progress."""
    head = read_head(c)
    standing = read_state(m) if m else fresh_state(head)
    user, project, group, workflow, name = head.who
    result, error, trail, (percent, note) = _texts(texts)
    values = (
        id_text(id),
        head.kind,
        head.queue,
        str(standing.state),
        RUNTIME_OF[head.flags & 3],
        head.priority,
        head.args,
        result,
        error,
        standing.reason or None,
        standing.attempt,
        head.most,
        standing.rescues,
        trail,
        head.created,
        standing.run_at,
        standing.started or None,
        standing.finished or None,
        head.expires if standing.flags & EXPIRES else None,
        percent,
        note,
        standing.worker or None,
        standing.lease or None,
        _JSON(head.tags).decode() if head.tags else None,
        user,
        project,
        group,
        workflow,
        name,
        head.key,
        _JSON(head.parents).decode() if head.parents else None,
        head.options,
        bool(standing.marks & CANCELLING),
        ledger.cost,
        ledger.revivals,
        ledger.retry or None,
    )
    return dict(zip(_NAMES, values, strict=True))


_NAMES = (*RECORD, *LEDGER)


def fresh_state(head: Head) -> Standing:
    """How a job stands that has no mutable record yet."""
    return Standing(State.WAITING, head.flags, 0, 0, 0, 0, head.created, 0, 0, 0, 0, 0, "", "", "")


def _texts(texts: Sequence[bytes]) -> tuple[str | None, str | None, str | None, tuple[float | None, str | None]]:
    result, error, trail = (text.decode() if text else None for text in texts[:3])
    percent, note = _decode(texts[3]) if texts[3] else (None, None)
    return result, error, trail, (percent, note)


def progress_text(percent: float, note: str | None) -> bytes:
    return _encode((percent, note))


def unique_of(head: Head, packed: bytes) -> UniqueKey | None:
    """The key that a job still holds, from its packed entry (mode, until, holder); its period counts from the job's creation."""
    if not packed or head.key is None:
        return None
    until = number_of(packed[1:8])
    return UniqueKey(key=head.key, until=MODES[packed[0]], ttl=until - head.created if until else None)
