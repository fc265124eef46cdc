"""What operators do: commands on jobs, queue settings, schedules, small keyed records, retention."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from windlass.store.protocol import PAST_STEP
from windlass.store.redis.codec import NUMBER, id_bytes, id_text, pack
from windlass.store.redis.connection import Link
from windlass.store.redis.finding import find
from windlass.store.redis.reading import queue_info, read, scan
from windlass.values.clock import Micros
from windlass.values.priority import check_priority
from windlass.values.query import Action, Command, Commanded, Keep, Record, Retention, Swap, Where, actionable
from windlass.values.queue import QueueChange, QueueInfo
from windlass.values.schedule import ScheduleRow
from windlass.values.states import State

MOST_COMMANDED = 1_000
"""Jobs that one command changes: one script, so one transaction, of some 15 ms. `Commanded.more` says there are others."""
MOST_PRUNED = 500


async def command(link: Link, command: Command, where: Where, limit: int, actor: str) -> Commanded:
    most = max(min(limit, MOST_COMMANDED), 0)
    if where.ids:
        ids, refused, more = await _named(link, where, most)
        return await _act(link, command, where, actor, ids, refused, more)
    passed: set[str] = set()
    while True:
        ids, more = await find(link, command, where, most, passed)
        answer = await _act(link, command, where, actor, ids, {}, more)
        if answer.done or answer.flagged or not ids or not more:
            return answer
        passed.update(map(id_text, ids))  # all of these refuse, and would be the first again


async def _act(
    link: Link,
    command: Command,
    where: Where,
    actor: str,
    ids: Sequence[bytes],
    refused: Mapping[str, str],
    more: bool,
) -> Commanded:
    if not ids:
        return Commanded(refused=refused, more=more)
    done, flagged, refusing = await link.run("command", b"".join(ids), _order(command, where, actor))
    why = {id_text(id): text.decode() for id, text in zip(refusing[::2], refusing[1::2], strict=True)}
    return Commanded(
        done=tuple(sorted(map(id_text, done))),
        flagged=tuple(map(id_text, flagged)),
        refused={**refused, **why} if where.ids else {},
        more=more,
    )


def _order(command: Command, where: Where, actor: str) -> bytes:
    allowed = actionable(command.action)
    priority: int | bool = False
    if command.action is Action.REPRIORITISE:
        priority = check_priority(command.priority if command.priority is not None else "?")
    filters = {name: value for name in where.__struct_fields__ if (value := getattr(where, name)) not in (None, ())}
    detail: dict[str, Any] = {"where": filters}
    if command.reason is not None:
        detail["reason"] = command.reason
    for name in ("priority", "max_attempts", "run_at"):
        if getattr(command, name) is not None:
            detail[name] = getattr(command, name)
    if command.args is not None:
        detail["args"] = True  # they may be secret
    if command.scheduled:
        detail["scheduled"] = True
    states = where.states
    if where.fingerprints or where.retry_before is not None:
        states = (State.FAILED,)
    return pack(
        (
            str(command.action),
            {NUMBER[state]: True for state in allowed},
            {NUMBER[state]: True for state in states} if states else False,
            command.reason or False,
            priority,
            command.keep_attempts,
            actor,
            where.ids[0] if len(where.ids) == 1 else "jobs",
            msgspec.json.encode(detail).decode()[:-1] + ",",
            command.revive,
            _or_false(command.args),
            _or_false(command.max_attempts),
            _or_false(command.run_at),
            command.scheduled,
            _or_false(where.retry_before),
        )
    )


def _or_false(value: Any) -> Any:
    return False if value is None else value


async def _named(link: Link, where: Where, most: int) -> tuple[list[bytes], dict[str, str], bool]:
    """Jobs given by name: (those to act on, why not the others, whether there are more). Other filters narrow them."""
    names = list(dict.fromkeys(where.ids))
    ids = {name: data for name in names if (data := id_bytes(name)) is not None}
    refused = {name: "not found" for name in names if name not in ids}
    if where != Where(ids=where.ids):
        there = {record["id"] for record in await read(link, list(ids.values()), "")}
        fitting = {record["id"] async for _, record in scan(link, where, most=len(names) + 1) if record is not None}
        refused |= {name: "does not match" if name in there else "not found" for name in ids if name not in fitting}
        ids = {name: data for name, data in ids.items() if name in fitting}
    return list(ids.values())[:most], refused, len(ids) > most


async def put_queue(link: Link, name: str, change: QueueChange, actor: str) -> QueueInfo:
    wanted = "" if change.paused is None else str(int(change.paused))
    order = change.order[0] if change.order is not None else ""
    ageing = "" if change.ageing is None else change.ageing
    detail: dict[str, Any] = {"paused": change.paused}
    detail |= {k: v for k, v in (("order", change.order), ("ageing", change.ageing)) if v is not None}
    text = msgspec.json.encode(detail)
    return queue_info(name, await link.run("put_queue", name, wanted, order, ageing, actor, text))


async def put_schedules(link: Link, rows: Sequence[ScheduleRow], actor: str) -> None:
    packed = [tuple(map(_or_false, msgspec.structs.astuple(row))) for row in rows]
    if packed:
        await link.run("put_schedules", pack(packed), actor)


async def drop_schedules(link: Link, keys: Sequence[str], actor: str) -> int:
    return await link.run("drop_schedules", pack(list(dict.fromkeys(keys))), actor) if keys else 0


async def schedules(link: Link, due_before: Micros | None) -> list[ScheduleRow]:
    flat = await link.run("schedules", "" if due_before is None else due_before)
    rows = [_schedule(name, fields) for name, fields in zip(flat[::2], flat[1::2], strict=True)]
    return sorted(rows, key=lambda row: row.key)


def _schedule(name: bytes, flat: Sequence[bytes]) -> ScheduleRow:
    fields = {key.decode(): value.decode() for key, value in zip(flat[::2], flat[1::2], strict=True)}
    return ScheduleRow(
        key=name.decode(),
        spec=fields["spec"],
        owner=fields.get("owner"),
        due=_number(fields.get("due")),
        paused=fields["paused"] == "1",
        last_due=_number(fields.get("last_due")),
        last_job=fields.get("last_job"),
        fired=int(fields.get("fired", 0)),
    )


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


async def exchange(link: Link, swaps: Sequence[Swap]) -> list[Record]:
    if not swaps:
        return []
    rows = [tuple(map(_or_false, (swap.space, swap.key, swap.text, swap.expect, swap.ttl))) for swap in swaps]
    flat = await link.run("exchange", pack(rows))
    return [
        Record(swap.space, swap.key, None if text is None else text.decode(), version, swapped=bool(swapped))
        for swap, swapped, text, version in zip(swaps, flat[::3], flat[1::3], flat[2::3], strict=True)
    ]


async def records(link: Link, space: str, keys: Sequence[str] | None) -> list[Record]:
    if keys is not None and not keys:
        return []
    flat = await link.run("records", space, b"" if keys is None else pack(list(keys)))
    found = [
        Record(space, key.decode(), text.decode(), version)
        for key, version, text in zip(flat[::3], flat[1::3], flat[2::3], strict=True)
    ]
    return sorted(found, key=lambda record: record.key)


async def prune(link: Link, retention: Retention, limit: int) -> int:
    """Jobs that go, then what goes of those that stay: two scripts, each of some milliseconds."""
    limit = max(0, min(limit, MOST_PRUNED))
    rules = _rules(retention), {queue: _rules(keep) for queue, keep in retention.queues.items()}
    ages = ("" if age is None else age for age in (retention.metrics, retention.audit))
    past = pack((_or_false(retention.history), _or_false(retention.keep_history), limit * PAST_STEP))
    deleted, more = await link.run("prune", pack(rules), limit, *ages, past)
    ages_within = tuple(map(_or_false, (retention.logs, retention.results, retention.archive)))
    if deleted < limit:
        deleted += await link.run("strip", limit - deleted, pack(ages_within))
    return max(deleted, more)


def _rules(keep: Keep) -> list[tuple[Any, ...]]:
    return [
        (NUMBER[state], _or_false(age), _or_false(most))
        for state, age, most in (
            (State.COMPLETED, keep.completed, keep.keep_completed),
            (State.FAILED, keep.failed, keep.keep_failed),
            (State.CANCELLED, keep.cancelled, None),
        )
    ]
