"""Jobs on the move between engines: whole records out and in."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from windlass.store.redis.codec import (
    CANCELLING,
    MODES,
    POLICIES,
    Standing,
    binary,
    edge_bytes,
    id_text,
    need_id,
    pack,
    progress_text,
    read_head,
    read_state,
    record_of,
    unique_of,
    unpack,
    whole_record,
    write_state,
)
from windlass.store.redis.connection import Link
from windlass.store.redis.ledger import read_ledger
from windlass.store.redis.noting import read_step, write_step
from windlass.store.redis.reading import next_segment, read_cursor, segment_of
from windlass.values.clock import Micros
from windlass.values.job import LEDGER, Edge, NewJob, UniqueKey, fingerprint_of
from windlass.values.lease import StoredStep
from windlass.values.query import Page
from windlass.values.snapshot import Snapshot
from windlass.values.states import State

_STEP = 200


async def dump(link: Link, cursor: str | None, limit: int) -> Page[Snapshot]:
    """Oldest id first. The cursor is the last id looked at."""
    items: list[Snapshot] = []
    after = read_cursor(cursor) if cursor else b""
    segment, inclusive = (segment_of(after), "1") if after else ("", "0")
    while found := await next_segment(link, False, segment, inclusive):
        segment, inclusive = found[0], "0"
        ids = sorted(id for id in found[1] if id > after)
        for start in range(0, len(ids), _STEP):
            part = ids[start : start + min(_STEP, limit - len(items))]
            items += _snapshots(await link.run("dump", b"".join(part)))
            if len(items) >= limit or len(part) < min(_STEP, len(ids) - start):
                return Page(items, id_text(part[-1]))
    return Page(items)


def _snapshots(flat: Sequence[Any]) -> list[Snapshot]:
    found: list[Snapshot] = []
    for at in range(0, len(flat), 13):
        id, c, m, *texts, ledger, order, edges, key, steps, signals = flat[at : at + 13]
        standing = read_state(m) if m else None
        head = read_head(c)
        found.append(
            Snapshot(
                record=record_of(id, c, m, texts, read_ledger(ledger)),
                order=order,
                edges=_edges(edges),
                unique=unique_of(head, key),
                mode=MODES[head.mode] if head.key is not None else None,
                parked=standing.park if standing and standing.park and standing.state is State.WAITING else None,
                limits=head.bounds,
                weight=head.weight,
                signal=standing.park[1:] if standing and standing.park and standing.state is State.BLOCKED else None,
                steps=_steps(steps),
                signals=tuple((name, data) for name, data in map(unpack, signals)),
            )
        )
    return found


def _steps(flat: Sequence[bytes]) -> tuple[StoredStep, ...]:
    found = [read_step(int(position), packed) for position, packed in zip(flat[::2], flat[1::2], strict=True)]
    return tuple(sorted(found, key=lambda step: step.position))


def _edges(data: bytes) -> tuple[Edge, ...]:
    places = range(0, len(data), 17)
    return tuple(Edge(id_text(data[n : n + 16]), POLICIES[data[n + 16] - 1]) for n in places)


async def load(link: Link, snapshots: Sequence[Snapshot]) -> int:
    new = 0
    for start in range(0, len(snapshots), _STEP):
        new += await link.run("load", pack([_row(snapshot) for snapshot in snapshots[start : start + _STEP]]))
    return new


def _row(snapshot: Snapshot) -> tuple[Any, ...]:
    record = snapshot.record
    state = State(record["state"])
    active = state is State.ACTIVE
    c = _record(snapshot)
    standing = Standing(
        state=State.WAITING if active else state,
        flags=c[8],
        marks=CANCELLING if record["cancelling"] and not active else 0,
        lease=0 if active else record["lease"] or 0,
        settled=0,
        order=snapshot.order,
        run_at=record["run_at"] or record["created_at"],
        started=0 if active else record["started_at"] or 0,
        finished=record["finished_at"] or 0,
        attempt=record["attempt"],
        rescues=record["rescues"] or 0,
        waits=len(snapshot.edges) if state is State.BLOCKED else 0,
        worker="" if active else record["worker"] or "",
        reason=record["reason"] or "",
        park=_park(snapshot, state),
    )
    texts: list[Any] = []
    for suffix, name in (("r", "result"), ("e", "error"), ("t", "trail")):
        if record[name] is not None:
            texts += (suffix, record[name])
    if record["progress"] is not None or record["note"] is not None:
        texts += ("p", binary(progress_text(record["progress"] or 0.0, record["note"])))
    edges = b"".join(map(edge_bytes, snapshot.edges))
    key = snapshot.unique
    return (
        binary(need_id(record["id"])),
        binary(c),
        binary(write_state(standing)),
        texts,
        binary(edges),
        key is not None,
        (key and key.ttl) or 0,
        [part for step in snapshot.steps for part in (str(step.position), binary(write_step(step)))],
        [binary(pack(signal)) for signal in snapshot.signals],
        _ledger(record),
    )


def _ledger(record: Mapping[str, Any]) -> tuple[int, int, Micros, str] | bool:
    """(cost, revivals, next retry, fingerprint), which the error tells; False when there is nothing to say."""
    cost, revivals, retry = (record.get(name) or 0 for name in LEDGER)
    ledger = (cost, revivals, retry, fingerprint_of(record["error"]) or "")
    return any(ledger) and ledger


def _park(snapshot: Snapshot, state: State) -> str:
    if state is State.BLOCKED and snapshot.signal is not None:
        return ":" + snapshot.signal
    return (snapshot.parked or "") if state is State.WAITING else ""


def _record(snapshot: Snapshot) -> bytes:
    """The immutable record of a job that comes from elsewhere."""
    record = snapshot.record
    names = (
        "id",
        "kind",
        "queue",
        "runtime",
        "priority",
        "max_attempts",
        "user",
        "project",
        "group",
        "workflow",
        "name",
    )
    job: NewJob[Any] = NewJob(
        **{name: record[name] for name in names},
        args=record["args"],
        expires_at=record["expires_at"],
        unique=UniqueKey(key=record["unique"]) if record["unique"] is not None else None,
        options=record["options"] or "",
        tags=tuple(msgspec.json.decode(record["tags"])) if record["tags"] else (),
        limits=snapshot.limits,
        weight=snapshot.weight,
    )
    mode = MODES.index(snapshot.mode or "finished")
    parents = msgspec.json.decode(record["parents"]) if record["parents"] else ()
    return whole_record(job, record["created_at"], parents, mode)
