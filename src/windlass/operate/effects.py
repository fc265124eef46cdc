"""`app.effects`: what jobs did or may have done outside, and deciding where nobody knows."""

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from windlass.declare.refusal import refusal
from windlass.errors import EffectNotFound, InvalidOption
from windlass.running.effects import KEPT, OPEN, SPACE, Act, Change, Entry, read_changed, read_entry, swaps_of
from windlass.secrecy.marks import shown
from windlass.store.protocol import Store
from windlass.values.clock import Duration, Micros, micros, moment
from windlass.values.codec import MEBIBYTE, encode
from windlass.values.failure import safe_text
from windlass.values.query import AuditEntry, Record, Swap
from windlass.values.states import State

OpenStore: TypeAlias = Callable[[], Awaitable[Store]]
Standing: TypeAlias = Literal["prepared", "sending", "doubtful", "held", "done"]
Decision: TypeAlias = Literal["done", "resend"]

log = logging.getLogger("windlass.effects")

_LONGEST_ACTOR = 200
_LONGEST_NOTE = 500
_AT_ONCE = 200
_TRIES = 5


class EffectInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An effect as readers see it. `state`: `prepared` (for certain not done), `sending` (an attempt is at it), `doubtful` (sent
    by an attempt that is no more: the job's next run goes by `in_doubt`), `held` (somebody has to decide), `done`. `job`: who
    wrote the record, at `at`. `sends`: how often it was sent. `why`: what is known of a held one. `acts`: who decided what."""

    effect: str
    name: str
    key: str
    state: Standing
    in_doubt: str
    kind: str
    job: str
    at: datetime
    epoch: int = 1
    sends: int = 0
    prepared: Any = None
    result: Any = None
    why: str = ""
    acts: tuple[Act, ...] = ()


class Effects:
    """Look at effects and resolve those whose outcome is unknown."""

    def __init__(self, store: OpenStore) -> None:
        self._store = store

    async def list(self, *, name: str | None = None, running: bool = False) -> "list[EffectInfo]":
        """Those that are held or doubtful, the oldest first, and (`running`) those that are being had now."""
        store = await self._store()
        places = [
            record.key for record in await store.records(OPEN) if name is None or record.key.startswith(f"{name}/")
        ]
        found: list[EffectInfo] = []
        for at in range(0, len(places), _AT_ONCE):
            part = places[at : at + _AT_ONCE]
            records = {record.key: record for record in await store.records(SPACE, part)}
            for place in part:
                info = await self._open_one(store, place, records.get(place))
                if info is not None and (running or info.state != "sending"):
                    found.append(info)
        return sorted(found, key=lambda info: info.at)

    async def get(self, effect: str) -> EffectInfo:
        """One effect by its name, `<name>/<key>`; raises `EffectNotFound`."""
        store = await self._store()
        entry, _ = await self._read(store, effect)
        return await _info(store, effect, entry)

    async def resolve(
        self,
        effect: str,
        outcome: Decision,
        *,
        actor: str = "app",
        result: Any = None,
        note: str = "",
        keep: Duration = KEPT,
    ) -> EffectInfo:
        """Decide what is not known: it was `done` (`result` is what later runs get), or it is to be sent again. The job goes on
        when it is retried. Kept with the effect: who decided, when and why. Raises `EffectNotFound`, and `InvalidOption` for
        one that is done or being had now."""
        if outcome not in ("done", "resend"):
            raise refusal("outcome", outcome, "done|resend", "say what became of it")
        if outcome == "resend" and result is not None:
            raise refusal("result", result, "given with 'done' only", "leave it out")
        text = encode(result, "result", MEBIBYTE, "the result of an effect") if outcome == "done" else None
        ttl = micros(keep, "keep", minimum=60.0)
        store = await self._store()
        for _ in range(_TRIES):
            entry, version = await self._read(store, effect)
            info = await _info(store, effect, entry)
            if info.state not in ("held", "doubtful"):
                raise refusal(
                    "effect", effect, f"held or doubtful, and this one is {info.state}", "leave it to its job"
                )
            now = await store.now()
            act = Act(now, safe_text(actor, _LONGEST_ACTOR), outcome, safe_text(note, _LONGEST_NOTE))
            changed = await self._put(
                store, effect, _decided(entry, act, text), version, ttl if outcome == "done" else None
            )
            if changed is not None:
                told = msgspec.json.encode({"outcome": outcome, "note": act.note}).decode()
                await store.note_acts([AuditEntry(now, act.actor, "resolve", f"effect:{effect}", told)])
                log.info("effect %s was resolved by %s: %s", effect, ascii(actor), outcome)
                return await _info(store, effect, changed)
        raise InvalidOption(f"the effect {effect} changes all the time", field="effect", value=effect, mend="try again")

    async def _put(self, store: Store, place: str, entry: Entry, version: int, ttl: Micros | None) -> Entry | None:
        lines = await store.records(OPEN, [place])
        change = Change(place, entry, version, lines[0].version if lines else 0, ttl)
        answer = read_changed(change, await store.exchange(swaps_of(change)))
        return entry if answer.swapped else None

    async def _read(self, store: Store, effect: str) -> tuple[Entry, int]:
        records = await store.records(SPACE, [effect])
        entry = read_entry(records[0]) if records else None
        if entry is None:
            raise EffectNotFound(f"no effect {effect!r} is on record", effect=effect)
        return entry, records[0].version

    async def _open_one(self, store: Store, place: str, record: Record | None) -> EffectInfo | None:
        """An open effect; a line that outlived its effect's end is taken out."""
        entry = None if record is None else read_entry(record)
        if entry is not None and entry.state in ("sending", "held"):
            return await _info(store, place, entry)
        lines = await store.records(OPEN, [place])
        if lines:
            await store.exchange([Swap(space=OPEN, key=place, text=None, expect=lines[0].version)])
        return None


def _decided(entry: Entry, act: Act, result: str | None) -> Entry:
    acts = (*entry.acts, act)
    if act.did == "done":
        return replace(entry, state="done", result=result, at=act.at, acts=acts)
    return replace(entry, state="prepared", at=act.at, acts=acts)


async def _info(store: Store, place: str, entry: Entry) -> EffectInfo:
    state: Standing = entry.state
    if state == "sending":
        job = await store.job(entry.job)
        alive = job is not None and job.state is State.ACTIVE and job.lease == entry.lease
        state = "sending" if alive else "doubtful"
    return EffectInfo(
        effect=place,
        name=entry.name,
        key=entry.key,
        state=state,
        in_doubt=entry.policy,
        kind=entry.kind,
        job=entry.job,
        at=moment(entry.at),
        epoch=entry.epoch,
        sends=entry.sends,
        prepared=_shown(entry.prepared),
        result=_shown(entry.result),
        why=entry.why,
        acts=entry.acts,
    )


def _shown(text: str | None) -> Any:
    return None if text is None else shown(msgspec.json.decode(text))


__all__ = ["Decision", "EffectInfo", "Effects"]
