"""What running attempts tell of themselves (progress, log lines, steps), and the signals that reach jobs from outside."""

from collections.abc import Sequence
from typing import Any

from windlass.errors import LimitReached
from windlass.store.sqlite.lines import enter
from windlass.store.sqlite.transaction import Tx, View
from windlass.values.failure import safe_text
from windlass.values.lease import Delivery, LogLine, Note, Noted, Progress, Step, StoredStep
from windlass.values.priority import order
from windlass.values.states import FINAL, State

MOST_LINES = 1_000
MOST_SIGNALS = 1_000
"""That one job keeps."""
_LONGEST_TEXT = 64_000
_LONGEST_VALUE = 64_000_000
_GONE = Noted(accepted=False)
_WRITTEN = Noted()


def report(tx: Tx, notes: Sequence[Note]) -> list[Noted]:
    touched: set[int] = set()
    answers = [_note(tx, note, touched) for note in notes]
    for n in touched:
        tx.run("trim_log", (n, MOST_LINES))
    if tx.is_heard():
        heard = zip(notes, answers, strict=True)
        moved = [note.id for note, noted in heard if isinstance(note, Progress) and noted.accepted]
        tx.tell("progress", list(dict.fromkeys(moved)))
    return answers


def _note(tx: Tx, note: Note, touched: set[int]) -> Noted:
    if isinstance(note, Progress):
        text = None if note.note is None else safe_text(note.note, _LONGEST_TEXT)
        return _WRITTEN if tx.changed("put_progress", (note.id, note.lease, note.percent, text)) else _GONE
    row = tx.one("noting", (note.id, note.lease))
    if row is None:
        return _GONE
    n, attempt = row
    if isinstance(note, Step):
        return _step(tx, n, attempt + 1, note)
    tx.run("put_line", (n, *_line(tx, note)))
    touched.add(n)
    return _WRITTEN


def _line(tx: Tx, line: LogLine) -> tuple[Any, ...]:
    return (tx.now - line.age, line.attempt, line.level, safe_text(line.text, _LONGEST_TEXT))


def _step(tx: Tx, n: int, attempt: int, step: Step) -> Noted:
    """A signal is taken out of the box in the same transaction that keeps what it brought."""
    if step.signal is not None or not step.done:
        known = tx.one("step_on_record", (n, step.position, _text(step.name)))
        if known is not None:  # a repeated report: what is done stays so
            return Noted(value=None if step.signal is None else known[0])
    value, done, taken = step.value, step.done, None
    if step.signal is not None:
        row = tx.one("oldest_mail", (n, _text(step.signal)))
        if row is not None:
            mail, taken = row
            value, done = taken, True
            tx.run("drop_mail", (mail,))
    kept = None if value is None else safe_text(value, _LONGEST_VALUE)
    tx.run("put_step", (n, step.position, _text(step.name), kept, done, tx.now, attempt))
    return _WRITTEN if taken is None else Noted(value=taken)


def steps(view: View, id: str) -> list[StoredStep]:
    return [
        StoredStep(position, name, value, bool(done), at, attempt)
        for position, name, value, done, at, attempt in view.rows("steps", (id,))
    ]


def signal(tx: Tx, id: str, name: str, data: str, actor: str) -> Delivery:
    row = tx.one("addressee", (id,))
    if row is None:
        return Delivery.UNKNOWN
    n, state, queue, priority, awaited = row
    if state in FINAL:
        return Delivery.OVER
    name = _text(name)
    if awaited != name and tx.value("mail_kept", (n,)) >= MOST_SIGNALS:
        raise LimitReached(
            f"job {id} keeps {MOST_SIGNALS} signals that it has not asked for",
            field="signal",
            value=name,
            limit=MOST_SIGNALS,
            mend="wait until the job has taken some",
        )
    tx.run("put_mail", (n, name, safe_text(data, _LONGEST_VALUE)))
    tx.audit(actor, "signal", id, {"name": name})
    if awaited != name:
        return Delivery.KEPT
    wake(tx, n, queue, priority, tx.now)
    tx.tell(State.WAITING, (n,))
    return Delivery.WOKEN


def wake(tx: Tx, n: int, queue: str, priority: int, run_at: int | None) -> None:
    """A suspended job goes on, in a new place; `run_at` None keeps the time it had."""
    tx.run("wake", (n, order(priority, tx.count_on("seq")), run_at))
    tx.moved(queue, State.BLOCKED, State.WAITING)
    enter(tx, (n,))


def box_holds(tx: Tx, n: int, name: str) -> bool:
    """Whether a signal of that name came before the job asked."""
    return bool(tx.value("any_mail", (n, _text(name))))


def forget(tx: Tx, numbers: str) -> None:
    """The steps and signals of these jobs (a JSON list) are gone."""
    tx.run("delete_steps", (numbers,))
    tx.run("delete_mail", (numbers,))


def _text(name: str) -> str:
    return safe_text(name, _LONGEST_TEXT)
