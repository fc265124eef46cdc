"""Dump and load: whole jobs on their way from one engine to another."""

from collections.abc import Sequence
from typing import Any

import msgspec

from windlass.store.sqlite.lines import BOUNDS, enter, lines_of
from windlass.store.sqlite.statements import FIELDS
from windlass.store.sqlite.transaction import Row, Tx, View, packed
from windlass.store.sqlite.uniqueness import holding
from windlass.values.job import RECORD, Edge, UniqueKey, fingerprint_of
from windlass.values.lease import StoredStep
from windlass.values.query import Page
from windlass.values.snapshot import Snapshot
from windlass.values.states import FINAL, State

MOST_DUMPED = 1_000
_PLACE = (1 << 45) - 1
"""The sequence part of an order, see `priority.order`."""


def dump(view: View, cursor: str | None, limit: int) -> Page[Snapshot]:
    """Final jobs other than dead letters come along only when somebody still waits for them."""
    limit = max(1, min(limit, MOST_DUMPED))
    rows = view.rows("dump", (cursor or "", limit))
    numbers = packed([row[0] for row in rows])
    edges: dict[int, list[Edge]] = {}
    for child, parent, on_failure in view.rows("dump_edges", (numbers,)):
        edges.setdefault(child, []).append(Edge(parent, on_failure))
    keys = {
        holder: UniqueKey(key=key, until=mode, ttl=None if until is None else until - created_at)
        for holder, key, mode, until, created_at in view.rows("dump_keys", (numbers,))
    }
    steps: dict[int, list[StoredStep]] = {}
    for n, position, name, value, done, at, attempt in view.rows("dump_steps", (numbers,)):
        steps.setdefault(n, []).append(StoredStep(position, name, value, bool(done), at, attempt))
    mail: dict[int, list[tuple[str, str]]] = {}
    for n, name, data in view.rows("dump_mail", (numbers,)):
        mail.setdefault(n, []).append((name, data))
    items = [
        msgspec.structs.replace(
            _snapshot(row, edges, keys), steps=tuple(steps.get(row[0], ())), signals=tuple(mail.get(row[0], ()))
        )
        for row in rows
    ]
    return Page(items, str(items[-1].record["id"]) if len(items) == limit else None)


def _snapshot(row: Row, edges: dict[int, list[Edge]], keys: dict[str, UniqueKey]) -> Snapshot:
    n, order, parked, mode, bounds, weight, signal, *values = row
    record: dict[str, Any] = dict(zip(FIELDS, values, strict=True))
    record["cancelling"] = bool(record["cancelling"])
    return Snapshot(
        record=record,
        order=order,
        edges=tuple(edges.get(n, ())),
        unique=keys.get(record["id"]),
        mode=mode if record["unique"] is not None else None,
        parked=parked,
        limits=BOUNDS.decode(bounds) if bounds else (),
        weight=weight or 1,
        signal=signal,
    )


def load(tx: Tx, snapshots: Sequence[Snapshot]) -> int:
    """Edges to parents that come in a later call wait in a table of their own, by the parent's id."""
    ids = packed([snapshot.record["id"] for snapshot in snapshots])
    known = {id for (id,) in tx.rows("known_ids", (ids,))}
    fresh = {str(snapshot.record["id"]): snapshot for snapshot in snapshots if snapshot.record["id"] not in known}
    if not fresh:
        return 0
    first = tx.count_on("seq", len(fresh))
    for n, snapshot in enumerate(fresh.values(), first):
        _insert(tx, n, snapshot)
    tx.many("insert_queue", ((queue,) for queue in {str(each.record["queue"]) for each in fresh.values()}))
    tx.run("count_to", ("seq", max(snapshot.order & _PLACE for snapshot in fresh.values())))
    tx.run("count_to", ("lease", max(int(snapshot.record["lease"] or 0) for snapshot in fresh.values())))
    arrived = packed(list(fresh))
    tx.run("arrived_edges", (arrived,))
    tx.run("arrived_drop", (arrived,))
    tx.run("settle_arrived", (arrived,))
    if any(snapshot.limits for snapshot in fresh.values()):
        lines_of(tx).bind((bound for snapshot in fresh.values() for bound in snapshot.limits), sets=True)
    enter(tx, range(first, first + len(fresh)))
    return len(fresh)


def _insert(tx: Tx, n: int, snapshot: Snapshot) -> None:
    record = dict(snapshot.record)
    state = State(record["state"])
    if state is State.ACTIVE:  # its worker stays behind
        state = State.WAITING
        record.update(worker=None, started_at=None)
    key = snapshot.unique
    tx.run(
        "load_job",
        (
            n,
            *(record[name] for name in _LOADED),
            state.value,
            snapshot.order,
            len(snapshot.edges),
            snapshot.parked,
            snapshot.mode,
            packed(snapshot.limits) if snapshot.limits else None,
            None if snapshot.weight == 1 else snapshot.weight,
            snapshot.signal,
        ),
    )
    _keep_ledger(tx, n, record)
    if state in FINAL:
        tx.run("walk_again", (record["finished_at"],))
    tx.moved(record["queue"], None, state)
    tx.many("insert_tag", ((tag, n) for tag in _tags(record)))
    tx.many("insert_adrift", ((edge.parent, n, edge.on_failure) for edge in snapshot.edges))
    if key is not None and (state not in FINAL or key.until == "period"):
        _take_key(tx, key, record)
    for step in snapshot.steps:
        tx.run("put_step", (n, step.position, step.name, step.value, step.done, step.at, step.attempt))
    tx.many("put_mail", ((n, name, data) for name, data in snapshot.signals))


def _keep_ledger(tx: Tx, n: int, record: dict[str, Any]) -> None:
    dead: tuple[Any, ...] = (None, None, None, None)
    if record["state"] == State.FAILED:
        dead = (record.get("next_retry_at"), record["finished_at"], fingerprint_of(record["error"]), record["id"])
    cost, revivals = record.get("cost") or 0, record.get("revivals") or 0
    if cost or revivals or dead[1] is not None:
        tx.run("load_ledger", (n, cost, revivals, *dead))


def _take_key(tx: Tx, key: UniqueKey, record: dict[str, Any]) -> None:
    """Hold it, or follow the holder, which comes first because it is older."""
    until = None if key.ttl is None else int(record["created_at"]) + key.ttl
    held = holding(tx, key.key)
    if held is None:
        tx.run("take_key", (key.key, record["id"], key.until, until))
    elif held.follower is None:
        tx.run("follow_key", (key.key, record["id"], key.until, until))


def _tags(record: dict[str, Any]) -> list[str]:
    return msgspec.json.decode(record["tags"], type=list[str]) if record["tags"] else []


_ELSEWHERE = frozenset({"state", "cancelling"})
_LOADED = tuple(name for name in RECORD if name not in _ELSEWHERE)
