"""What running attempts note down (progress, log lines, steps), and the signals that their steps ask for."""

from collections.abc import Sequence
from typing import Any

import msgspec

from windlass.errors import LimitReached
from windlass.store.redis.codec import binary, id_bytes, pack, progress_text, unpack
from windlass.store.redis.connection import Link
from windlass.values.failure import safe_text
from windlass.values.lease import Delivery, LogLine, Note, Noted, Progress, StoredLine, StoredStep

MOST_SIGNALS = 1_000
_LONGEST_TEXT = 64_000
_AT_ONCE = 500
_ACCEPTED, _REFUSED = Noted(), Noted(accepted=False)


async def report(link: Link, notes: Sequence[Note]) -> list[Noted]:
    answers = [_REFUSED] * len(notes)
    known = [(place, id, note) for place, note in enumerate(notes) if (id := id_bytes(note.id)) is not None]
    for at in range(0, len(known), _AT_ONCE):
        part = known[at : at + _AT_ONCE]
        rows: list[Any] = []
        for _, id, note in part:
            rows += (binary(id), note.lease, *_body(note))
        for (place, _, _), said in zip(part, await link.run("report", pack(rows)), strict=True):
            if said is not None:
                answers[place] = Noted(value=said[1:].decode()) if said else _ACCEPTED
    return answers


def _body(note: Note) -> tuple[Any, Any, Any]:
    """(line, progress, step), one of them given."""
    if isinstance(note, LogLine):
        return (note.age, note.attempt, note.level, safe_text(note.text, _LONGEST_TEXT)), False, False
    if isinstance(note, Progress):
        text = None if note.note is None else safe_text(note.note, _LONGEST_TEXT)
        return False, binary(progress_text(note.percent, text)), False
    value = False if note.value is None else note.value
    signal = False if note.signal is None else note.signal
    return False, False, (note.position, note.name, value, note.done, signal)


async def log(link: Link, id: str, limit: int) -> list[StoredLine]:
    data = id_bytes(id)
    if data is None or limit <= 0:
        return []
    return [StoredLine(*unpack(line)) for line in await link.run("log", data, limit)]


async def steps(link: Link, id: str) -> list[StoredStep]:
    data = id_bytes(id)
    if data is None:
        return []
    flat = await link.run("steps", data)
    found = [read_step(int(position), packed) for position, packed in zip(flat[::2], flat[1::2], strict=True)]
    return sorted(found, key=lambda step: step.position)


def read_step(position: int, packed: bytes) -> StoredStep:
    name, value, done, at, attempt = unpack(packed)
    return StoredStep(position, name, None if value is False else value, done, at, attempt)


def write_step(step: StoredStep) -> bytes:
    return pack((step.name, False if step.value is None else step.value, step.done, step.at, step.attempt))


async def signal(link: Link, id: str, name: str, data: str, actor: str) -> Delivery:
    known = id_bytes(id)
    if known is None:
        return Delivery.UNKNOWN
    detail = msgspec.json.encode({"name": name})
    said = (await link.run("signal", known, name, data, actor, detail, MOST_SIGNALS)).decode()
    if said == "full":
        raise LimitReached(
            f"{id} keeps {MOST_SIGNALS} signals that no step has asked for",
            field="signal",
            value=name,
            limit=MOST_SIGNALS,
            mend="let the job ask for them, or cancel it",
        )
    return Delivery(said)
