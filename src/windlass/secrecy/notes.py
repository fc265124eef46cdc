"""What a running attempt of a veiled kind tells its store: lines and steps are sealed there and opened back."""

from typing import TYPE_CHECKING, Any, cast

import msgspec
from msgspec.structs import replace

from windlass.running.capture import LONGEST_LINE
from windlass.running.effects import Change, Changed, Entry, Ledger, Seen
from windlass.running.steps import SIGNAL, SLEEP, Book
from windlass.secrecy.marks import SHOWN
from windlass.secrecy.veil import LOG, Veil, blot, open_value
from windlass.store.protocol import Store
from windlass.values.job import Claim
from windlass.values.lease import Noted, Step, StoredStep

if TYPE_CHECKING:
    from windlass.running.context import Ack
    from windlass.worker.run import Notes

_ROOM = LONGEST_LINE * 3 // 4 - 300
"""Bytes of a line that still fit when they are sealed."""


class VeiledNotes:
    """`Notes` of one attempt's claim, between it and the worker's own."""

    def __init__(self, inner: "Notes", veil: Veil, claim: Claim) -> None:
        self._inner = inner
        self._veil = veil
        self._words = () if veil.whole else veil.words(claim)

    @property
    def leaving(self) -> bool:
        return self._inner.leaving

    @property
    def store(self) -> Store | None:
        return self._inner.store

    def progress(self, claim: Claim, percent: float, note: str | None) -> "Ack":
        if note is not None:
            note = SHOWN if self._veil.whole else blot(note, self._words)
        return self._inner.progress(claim, percent, note)

    def line(self, claim: Claim, level: str, text: str) -> "Ack":
        if self._veil.whole:
            kept = text.encode()[:_ROOM].decode("utf-8", "ignore")
            text = self._veil.seal_text(kept, claim.id, LOG)
        else:
            text = blot(text, self._words)
        return self._inner.line(claim, level, text)

    def book(self, claim: Claim, limit: int, *, blocking: bool) -> Book:
        return VeiledBook(self._inner.book(claim, limit, blocking=blocking), self._veil, claim)

    def ledger(self, claim: Claim, limit: int, *, blocking: bool) -> Ledger:
        return VeiledLedger(self._inner.ledger(claim, limit, blocking=blocking), self._veil)


class VeiledBook:
    """A book whose values are sealed. The limits of sleeps and waits, which are times, stay as they are."""

    def __init__(self, inner: Book, veil: Veil, claim: Claim) -> None:
        self._inner = inner
        self._veil = veil
        self._claim = claim
        self.blocking = inner.blocking
        self.limit = inner.limit

    async def read(self) -> list[StoredStep]:
        return [
            replace(step, value=self._open(step.position, step.name, step.value)) for step in await self._inner.read()
        ]

    async def write(self, step: Step) -> Noted:
        noted = await self._inner.write(self._sealed(step))
        return replace(noted, value=self._open(step.position, step.name, noted.value))

    def begin(self, step: Step) -> None:
        self._inner.begin(self._sealed(step))

    async def now(self) -> int:
        return await self._inner.now()

    def _sealed(self, step: Step) -> Step:
        if step.value is None or step.name == SLEEP or step.name.startswith(SIGNAL):
            return step
        purpose = step_purpose(step.position, step.name)
        return replace(step, value=self._veil.seal_value(step.value, self._claim.id, purpose))

    def _open(self, position: int, name: str, value: str | None) -> str | None:
        if value is None or not value.startswith("{"):
            return value
        found: Any = msgspec.json.decode(value)
        purpose = step_purpose(position, name)
        opened = open_value(self._veil.keys, self._veil.kind, self._claim.id, purpose, found)
        return value if opened is found else msgspec.json.encode(cast("object", opened)).decode()


class VeiledLedger:
    """A ledger whose prepared data and results are sealed, for the job that wrote them. The keys of effects stay as they are, and
    the digest of a request becomes one that needs the encryption key."""

    def __init__(self, inner: Ledger, veil: Veil) -> None:
        self._inner = inner
        self._veil = veil
        self.blocking = inner.blocking
        self.limit = inner.limit

    async def look(self, place: str, request: str) -> Seen:
        seen = await self._inner.look(place, self._veil.digest(request))
        return seen if seen.entry is None else replace(seen, entry=self._opened(seen.entry))

    async def put(self, change: Change) -> Changed:
        sealed = self._sealed(change.entry)
        changed = await self._inner.put(replace(change, entry=sealed))
        return changed if changed.entry is None else replace(changed, entry=self._opened(changed.entry))

    def _sealed(self, entry: Entry) -> Entry:
        seal = self._veil.seal_value
        return replace(
            entry,
            request=self._veil.digest(entry.request),
            prepared=None if entry.prepared is None else seal(entry.prepared, entry.job, EFFECT),
            result=None if entry.result is None else seal(entry.result, entry.job, EFFECT),
        )

    def _opened(self, entry: Entry) -> Entry:
        return replace(
            entry,
            prepared=self._plain(entry, entry.prepared),
            result=self._plain(entry, entry.result),
        )

    def _plain(self, entry: Entry, text: str | None) -> str | None:
        if text is None or not text.startswith("{"):
            return text
        found: Any = msgspec.json.decode(text)
        opened = open_value(self._veil.keys, self._veil.kind, entry.job, EFFECT, found)
        return text if opened is found else msgspec.json.encode(cast("object", opened)).decode()


EFFECT = "effect"


def step_purpose(position: int, name: str) -> str:
    """What a step's value is sealed for; a signal's does not know at which step it will be taken."""
    return name if name.startswith(SIGNAL) else f"step {position} {name}"
