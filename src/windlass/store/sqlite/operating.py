"""What operators do: commands on jobs, queue settings, schedules, small keyed records."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from windlass.store.protocol import INLINE_EDGES
from windlass.store.sqlite.lines import enter, sort_afresh
from windlass.store.sqlite.noting import forget
from windlass.store.sqlite.produce import enqueue, not_text
from windlass.store.sqlite.revival import again
from windlass.store.sqlite.selecting import Round, candidates, still
from windlass.store.sqlite.settle import end_pending, remove
from windlass.store.sqlite.transaction import Row, Tx, View, packed
from windlass.store.sqlite.uniqueness import take_again
from windlass.values.clock import Micros
from windlass.values.job import Enqueued, NewJob
from windlass.values.priority import check_priority, order, reorder
from windlass.values.query import Action, Command, Commanded, Record, Swap, Where, actionable
from windlass.values.queue import AGEING, QueueChange, QueueInfo
from windlass.values.schedule import ScheduleRow
from windlass.values.states import Event, State

EDITABLE = ("args", "max_attempts", "run_at")
"""What an edit may give, by the names of `Command` and of the columns."""


class Chosen(NamedTuple):
    """The numbers of the jobs to act on, whether more match, and the ids given by name that do not exist or match. `go_on`:
    where the next call by filter does."""

    numbers: list[int]
    more: bool
    refused: dict[str, str]
    go_on: Round | None = None


def choose(view: View, command: Command, where: Where, limit: int, tables: dict[str, str], go_on: Round) -> Chosen:
    """Up to `limit` jobs for a command. By name: whatever their state, so that a refusal can say why."""
    if where.ids:
        found = {id: n for id, n, _ in view.rows("places", (packed(list(where.ids)),))}
        rows, _ = candidates(view, where, tuple(State), ("", ()), len(where.ids), tables, Round())
        match = [n for _, n in rows]
        matching = set(match)
        refused = {
            id: "does not match" if id in found else "not found" for id in where.ids if found.get(id) not in matching
        }
        return Chosen(match[:limit], len(match) > limit, refused)
    states = _states(command)
    if command.action is Action.RUN_NOW:
        states = (*states, State.BLOCKED)
    rows, following = candidates(view, where, states, _unaffected(command, tables), limit, tables, go_on)
    return Chosen([n for _, n in rows], following is not None, {}, following)


def _states(command: Command) -> tuple[State, ...]:
    """In which the command can be carried out; only what waits for a time can be told another."""
    if command.action is Action.EDIT and command.run_at is not None:
        return (State.DELAYED, State.RETRYING)
    return actionable(command.action)


def _unaffected(command: Command, tables: dict[str, str]) -> tuple[str, tuple[Any, ...]]:
    """A condition that leaves out what the command would not change; else `more` would hold for ever."""
    match command.action:
        case Action.CANCEL:
            return "cancelling is null", ()
        case Action.REPRIORITISE:
            return "priority <> ?", (command.priority,)
        case Action.RUN_NOW:
            return f"(state <> '{State.BLOCKED}' or signal is not null)", ()
        case Action.DELETE:
            return f"n not in (select parent from {tables['edge']})", ()
        case Action.EDIT:
            edits = {name: value for name in EDITABLE if (value := getattr(command, name)) is not None}
            return f"({' or '.join([f'{name} <> ?' for name in edits] or ['false'])})", tuple(edits.values())
        case _:
            return "", ()


class Act:
    """One command on jobs chosen before; whatever changed since then is looked at again here."""

    def __init__(self, command: Command, where: Where, actor: str, tables: dict[str, str]) -> None:
        self._command = command
        self._where = where
        self._actor = actor
        self._tables = tables
        self._done: list[str] = []
        self._flagged: list[str] = []
        self._refused: dict[str, str] = {}

    def run(self, tx: Tx, chosen: Chosen) -> Commanded:
        allowed = _states(self._command)
        sleepers = self._command.action is Action.RUN_NOW
        rows: list[Row] = []
        matching = still(tx, self._where, chosen.numbers, self._tables)
        for row in tx.rows("targets", (packed(chosen.numbers),)):
            if row[0] not in matching:
                self._refuse(row[1], "does not match")
            elif row[3] in allowed or (sleepers and row[9] is not None):
                rows.append(row)
            else:
                self._refuse(row[1], f"is {row[3]}")
        rows.sort(key=lambda row: row[1])
        self._refused |= chosen.refused
        self._apply(tx, rows)
        count = len(self._done) + len(self._flagged)
        if count:
            self._audit(tx, count)
        return Commanded(
            done=tuple(self._done),
            flagged=tuple(self._flagged),
            refused=self._refused if self._where.ids else {},
            more=chosen.more,
        )

    def _refuse(self, id: str, why: str) -> None:
        self._refused[id] = why

    def _audit(self, tx: Tx, count: int) -> None:
        ids = self._where.ids
        where = {name: value for name in self._where.__struct_fields__ if (value := getattr(self._where, name))}
        detail: dict[str, Any] = {"where": where, "count": count}
        if self._command.reason is not None:
            detail["reason"] = self._command.reason
        for name in ("priority", "max_attempts", "run_at"):
            if (value := getattr(self._command, name)) is not None:
                detail[name] = value
        if self._command.args is not None:
            detail["args"] = True  # not the text: secrets may be in it
        if self._command.scheduled:
            detail["scheduled"] = True
        tx.audit(self._actor, self._command.action.value, ids[0] if len(ids) == 1 else "jobs", detail)

    def _apply(self, tx: Tx, rows: list[Row]) -> None:
        command = self._command
        match command.action:
            case Action.CANCEL:
                self._flag(tx, [row for row in rows if row[3] == State.ACTIVE])
                self._end(tx, [row for row in rows if row[3] != State.ACTIVE], State.CANCELLED)
            case Action.FAIL:
                self._end(tx, rows, State.FAILED)
            case Action.DELETE:
                self._delete(tx, rows)
            case Action.REQUEUE:
                self._requeue(tx, rows)
            case Action.EDIT:
                self._edit(tx, rows)
            case Action.RUN_NOW:
                tx.many("run_now", [(n, place, tx.now) for n, place in self._places(tx, rows)])
                woken = self._moved(tx, rows)
                tx.tell(State.WAITING, woken)
                enter(tx, woken)
            case Action.REPRIORITISE:
                priority = check_priority(command.priority if command.priority is not None else "?")
                tx.many("reprioritise", [(row[0], priority, reorder(row[5], priority)) for row in rows])
                self._done += [row[1] for row in rows]
                tx.tell("edited", self._done)
                enter(tx, [row[0] for row in rows])
                tx.topics.add("ready")

    def _edit(self, tx: Tx, rows: list[Row]) -> None:
        command = self._command
        run_at = None if command.run_at is None else max(command.run_at, tx.now)
        try:
            tx.many("edit", [(row[0], command.args, command.max_attempts, run_at) for row in rows])
        except UnicodeEncodeError as error:
            raise not_text(error) from error
        self._done += [row[1] for row in rows]
        tx.tell("edited", self._done)
        if rows and run_at is not None:
            tx.topics.add("ready")

    def _flag(self, tx: Tx, rows: list[Row]) -> None:
        for row in rows:
            tx.run("flag", (row[0], self._command.reason or "cancelled"))
            self._flagged.append(row[1])
            tx.topics.add("cancel")

    def _end(self, tx: Tx, rows: list[Row], state: State) -> None:
        if rows:
            reason = self._command.reason or ("cancelled" if state is State.CANCELLED else "failed by command")
            event = "fail-by-command" if state is State.FAILED else Event.CANCEL.value
            end_pending(tx, [row[:4] for row in rows], state, reason, event, INLINE_EDGES)
            self._done += [row[1] for row in rows]

    def _delete(self, tx: Tx, rows: list[Row]) -> None:
        waited_for = {n for (n,) in tx.rows("with_dependents", (packed([row[0] for row in rows]),))}
        free: list[Row] = []
        for row in rows:
            if row[0] in waited_for:
                self._refuse(row[1], "other jobs wait for it")
            else:
                free.append(row[:4])
                self._done.append(row[1])
        tx.tell("deleted", self._done)
        if free:
            remove(tx, free)
            tx.topics.add("done")

    def _requeue(self, tx: Tx, rows: list[Row]) -> None:
        free: list[Row] = []
        for row in rows:
            holder = take_again(tx, row[1], *row[6:8])
            if holder is None:
                free.append(row)
            else:
                self._refuse(row[1], f"unique key held by {holder}")
        command, keeps = self._command, self._command.keep_attempts
        given = (keeps, command.args, command.max_attempts)
        try:
            tx.many("requeue", [(n, place, tx.now, *given) for n, place in self._places(tx, free)])
        except UnicodeEncodeError as error:
            raise not_text(error) from error
        numbers = self._moved(tx, free)
        tx.run("exhume", (packed(numbers), not command.scheduled))
        if command.scheduled:
            tx.run("count_revival", (packed(numbers),))
        if not keeps:
            forget(tx, packed(numbers))
        again(tx, numbers, revive=self._command.revive)

    def _places(self, tx: Tx, rows: list[Row]) -> list[tuple[int, int]]:
        """Each job's number and its new place, in their order."""
        first = tx.count_on("seq", len(rows))
        return [(row[0], order(row[4], seq)) for seq, row in enumerate(rows, first)]

    def _moved(self, tx: Tx, rows: list[Row]) -> list[int]:
        """These jobs wait now; their numbers."""
        for _, id, queue, state, *_ in rows:
            tx.moved(queue, state, State.WAITING)
            self._done.append(id)
        return [row[0] for row in rows]


def put_queue(tx: Tx, name: str, change: QueueChange, actor: str) -> QueueInfo:
    row = tx.one("queue_row", (name,))
    paused, paused_at, order, ageing = (
        (bool(row[1]), *row[2:4], row[4] or AGEING) if row else (False, None, "strict", AGEING)
    )
    if change.paused is not None and change.paused != paused:
        paused = change.paused
        paused_at = tx.now if paused else None
    new_order = order if change.order is None else change.order
    new_ageing = ageing if change.ageing is None else change.ageing
    tx.run("put_queue", (name, paused, paused_at, new_order, new_ageing))
    if (new_order, new_ageing) != (order, ageing):
        tx.let_flow()
        sort_afresh(tx, name, new_order)
    detail = {field: value for field in change.__struct_fields__ if (value := getattr(change, field)) is not None}
    tx.audit(actor, "put-queue", f"queue:{name}", {"paused": change.paused, **detail})
    tx.tell("queue", (name,))
    tx.topics.add("ready")
    return QueueInfo(name=name, paused=paused, paused_at=paused_at, order=new_order, ageing=new_ageing)


def put_schedules(tx: Tx, rows: Sequence[ScheduleRow], actor: str) -> None:
    for row in rows:
        tx.run(
            "put_schedule",
            (row.key, row.spec, row.owner, row.due, row.paused, row.last_due, row.last_job, row.fired),
        )
        tx.audit(actor, "put-schedule", f"schedule:{row.key}", {"due": row.due, "paused": row.paused})
    tx.tell("schedule", [row.key for row in rows])
    tx.topics.add("ready")


def drop_schedules(tx: Tx, keys: Sequence[str], actor: str) -> int:
    dropped: list[str] = []
    for key in dict.fromkeys(keys):
        if tx.changed("drop_schedule", (key,)):
            dropped.append(key)
            tx.audit(actor, "drop-schedule", f"schedule:{key}", {})
    tx.tell("schedule", dropped)
    return len(dropped)


def schedules(view: View, due_before: Micros | None) -> list[ScheduleRow]:
    rows = view.rows("schedules") if due_before is None else view.rows("due_schedules", (due_before,))
    return [
        ScheduleRow(
            key=key,
            spec=spec,
            owner=owner,
            due=due,
            paused=bool(paused),
            last_due=last_due,
            last_job=last_job,
            fired=fired,
        )
        for key, spec, owner, due, paused, last_due, last_job, fired in rows
    ]


def fire(tx: Tx, key: str, due: Micros, next_due: Micros | None, job: NewJob[Any] | None) -> Enqueued | None:
    """A skipped fire answers with an empty id that was not created."""
    if not tx.changed("fire", (key, due, next_due)):
        return None
    tx.tell("schedule", (key,))
    if job is None:
        return Enqueued("", created=False)
    answer = enqueue(tx, (job,), careful=True)[0]
    tx.run("fired", (key, answer.id))
    return answer


def exchange(tx: Tx, swaps: Sequence[Swap]) -> list[Record]:
    return [_swap(tx, swap) for swap in swaps]


def _swap(tx: Tx, swap: Swap) -> Record:
    row = tx.one("record", (swap.space, swap.key, tx.now))
    text, version = row or (None, 0)
    if swap.expect is not None and swap.expect != version:
        return Record(swap.space, swap.key, text, version, swapped=False)
    if swap.text is None:
        tx.run("drop_record", (swap.space, swap.key))
        return Record(swap.space, swap.key, None, 0)
    until = None if swap.ttl is None else tx.now + swap.ttl
    version = tx.count_on("version")
    tx.run("put_record", (swap.space, swap.key, swap.text, version, until))
    return Record(swap.space, swap.key, swap.text, version)


def records(view: View, space: str, keys: Sequence[str] | None) -> list[Record]:
    if keys is None:
        rows = view.rows("records", (space, view.now))
    else:
        rows = view.rows("records_of", (space, view.now, packed(list(keys))))
    return [Record(space, key, text, version) for key, text, version in rows]
