"""Effects: what a job does outside, once for each business key, however often and by whomever the job is run."""

import hashlib
import inspect
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal, NoReturn, Protocol, Self, TypeAlias

import msgspec
from msgspec.structs import replace

from windlass.declare.refusal import refusal
from windlass.errors import EffectMismatch, InvalidOption, InvalidStep, LeaseLost, OutcomeUnknown
from windlass.running.steps import through
from windlass.values.clock import Duration, Micros, host_now, micros
from windlass.values.codec import encode
from windlass.values.failure import message_of, safe_text
from windlass.values.job import Claim
from windlass.values.outcome import Signal, Snooze
from windlass.values.query import Record, Swap
from windlass.values.queue import check_name

SPACE = "effects"
OPEN = "effects.open"
"""The places of those that were sent and are not done: what `app.effects.list` looks at. May name some that are done by now."""

InDoubt: TypeAlias = Literal["resend", "lookup", "rebroadcast", "hold"]
Lookup: TypeAlias = Callable[[Any], Any]

POLICIES = ("resend", "lookup", "rebroadcast", "hold")
LONGEST_KEY = 300
KEPT = "90d"
_BUSY = 2.0
"""Seconds until a job looks again whose effect another job is having now."""
_LONGEST_WHY = 500
_MOST_EPOCHS = 1_000_000


class Act(msgspec.Struct, frozen=True, omit_defaults=True):
    """What somebody decided about an effect."""

    at: Micros
    actor: str
    did: str
    note: str = ""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An effect on record. `state`: `prepared` (for certain not done), `sending` (perhaps done), `held` (perhaps done, and
    somebody has to decide), `done`. `job`, `lease`: who wrote it. `request`: a digest of what was asked. `prepared`, `result`:
    JSON text."""

    name: str
    key: str
    epoch: int = 1
    state: Literal["prepared", "sending", "held", "done"]
    request: str
    policy: str
    kind: str
    job: str
    lease: int
    at: Micros
    sends: int = 0
    prepared: str | None = None
    result: str | None = None
    why: str = ""
    acts: tuple[Act, ...] = ()


class Seen(msgspec.Struct, frozen=True):
    """What is on record at a place. `same`: for the same request. `running`: an attempt of another job, which still has its
    lease, is at it."""

    entry: Entry | None
    version: int
    same: bool = True
    running: bool = False


class Change(msgspec.Struct, frozen=True):
    """A compare-and-set of an effect: over that version only. `index`: the version of its line among the open ones."""

    place: str
    entry: Entry
    expect: int
    index: int = 0
    ttl: Micros | None = None


class Changed(msgspec.Struct, frozen=True):
    """What became of a change. Not `swapped`: `entry` is what is there instead."""

    swapped: bool
    version: int
    index: int = 0
    entry: Entry | None = None


class Ledger(Protocol):
    """Where the effects of one attempt are on record. A `blocking` one's coroutines never suspend."""

    blocking: bool
    limit: int
    """Bytes of one value."""

    async def look(self, place: str, request: str) -> Seen:
        """What is on record, and whether it is for this request (its digest)."""
        ...

    async def put(self, change: Change) -> Changed:
        """Put it on record; it is in the store when this returns."""
        ...


_READ = msgspec.json.Decoder(Entry)


def place_of(name: str, key: str, epoch: int = 1) -> str:
    """The name of an effect's record, by which operators know it."""
    return f"{name}/{key}" if epoch == 1 else f"{name}/{key}#{epoch}"


def read_entry(record: Record) -> Entry | None:
    """The effect of a record."""
    return None if record.text is None else _READ.decode(record.text)


def swaps_of(change: Change) -> list[Swap]:
    """A change as the store makes it: the effect's record, then its line among the open ones."""
    entry, place = change.entry, change.place
    text = msgspec.json.encode(entry).decode()
    is_open = entry.state in ("sending", "held")
    line = Swap(space=OPEN, key=place, text="1") if is_open else None
    if line is None and change.index:
        line = Swap(space=OPEN, key=place, text=None, expect=change.index)
    main = Swap(space=SPACE, key=place, text=text, expect=change.expect, ttl=change.ttl)
    return [main] if line is None else [main, line]


def read_changed(change: Change, records: list[Record]) -> Changed:
    """What became of a change. A repeated call after a lost answer finds its own record, and that is a success."""
    main = records[0]
    index = records[1].version if len(records) > 1 and records[1].text is not None else 0
    there = read_entry(main)
    if main.swapped or there == change.entry:
        return Changed(True, main.version, index)
    return Changed(False, main.version, index, there)


class Effect:
    """One effect of a job: `async with ctx.effect("charge", order_id, request) as effect`.

    `done`: it is on record, `result` is what it brought. `prepared`: what an earlier run prepared. `in_doubt`: an earlier run may
    have had it, and this one is to do it again in a way that does no harm. `sends`: how often it was sent before.
    """

    def __init__(
        self,
        claim: Claim,
        ledger: Ledger,
        tell: Callable[[str, str], None],
        asked: "Asked",
    ) -> None:
        self._claim = claim
        self._ledger = ledger
        self._tell = tell
        self._asked = asked
        self._place = place_of(asked.name, asked.key, asked.epoch)
        self._version = 0
        self._index = 0
        self._entry: Entry | None = None
        self._sending = False
        self.done = False
        self.in_doubt = False
        self.result: Any = None
        self.prepared: Any = None

    @property
    def place(self) -> str:
        """Its name for operators: `windlass effects show <place>`."""
        return self._place

    @property
    def sends(self) -> int:
        """How often it was sent before this run."""
        return 0 if self._entry is None else self._entry.sends - self._sending

    async def __aenter__(self) -> Self:
        seen = await self._ledger.look(self._place, self._asked.request)
        entry, self._version = seen.entry, seen.version
        if entry is None:
            return self
        if not seen.same and not (entry.state == "prepared" and entry.prepared is None):
            raise EffectMismatch(
                f"the effect {self._place} is on record with another request: the same key must mean the same thing",
                effect=self._place,
                job=entry.job,
                mend="give another key, or epoch= for a second execution that is meant",
            )
        self._entry = entry
        if entry.prepared is not None:
            self.prepared = msgspec.json.decode(entry.prepared)
        if entry.state == "done":
            self._replay(entry)
        elif seen.running:
            raise Snooze(_BUSY, f"the effect {self._place} is being had by job {entry.job}")
        elif entry.state == "held":
            raise self._unknown(entry.why)
        elif entry.state == "sending":
            await self._doubt(entry)
        return self

    async def prepare(self, data: Any) -> Any:
        """Put on record what must survive a crash: a signed transaction, an upload's id. What later runs find as `prepared`."""
        if self.in_doubt and self._asked.policy == "rebroadcast" and data != self.prepared:
            raise self._misused(
                "would prepare other data than those that may have been sent", "send effect.prepared again"
            )
        text = encode(data, "prepared", self._ledger.limit, "what an effect prepares")
        state = "sending" if self.in_doubt else "prepared"
        await self._put(self._made(state, prepared=text))
        self.prepared = msgspec.json.decode(text)
        return self.prepared

    async def sending(self) -> None:
        """From here on it may have happened: on record before this returns. The next thing is to send."""
        if self._sending:
            return
        self._check_not_done("sending")
        before = self._made("prepared" if not self.in_doubt else "sending")
        try:
            await self._put(self._made("sending", sends=before.sends + 1))
        except Exception:
            raise
        except BaseException:  # stopped on the way: nothing was sent, and the next run should know that
            if not self.in_doubt:
                await self._unsend(before)
            raise
        self._sending = True

    async def refused(self, why: str = "") -> None:
        """They did not do it, for certain: they said so, or nothing reached them. The next one sends anew, without doubt; but
        the doubt of an earlier run stays what it was."""
        self._check_not_done("refused")
        self._sending = False
        if not self.in_doubt:
            await self._put(self._made("prepared", why=safe_text(why, _LONGEST_WHY)))

    async def finish(self, result: Any = None) -> Any:
        """It is done: on record, before the job's own end. Gives the result as later runs will get it."""
        self._check_not_done("finished")
        text = encode(result, "result", self._ledger.limit, "the result of an effect")
        await self._put(self._made("done", result=text))
        self._sending = False
        self.done = True
        self.result = msgspec.json.decode(text)
        return self.result

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._sending:
            return
        if error is None:
            raise self._misused("was sent and neither finished nor refused", "call finish() or refused() in the block")
        if self._asked.policy == "hold" and isinstance(error, Exception) and not isinstance(error, (Signal, LeaseLost)):
            why = f"{type(error).__name__}: {message_of(error)}"
            raise await self._hold(why) from error

    # doubt

    async def _doubt(self, entry: Entry) -> None:
        """An earlier run sent it, and nobody knows what came of that."""
        policy = self._asked.policy
        self._tell("warning", f"the effect {self._place} was sent before, with an unknown outcome: {policy}")
        if policy == "hold":
            raise await self._hold(f"job {entry.job} was sending under lease {entry.lease} and left no outcome")
        self.in_doubt = True
        if policy == "lookup":
            found = await self._look_up()
            if found is not None:
                text = encode(found, "result", self._ledger.limit, "the result of an effect")
                await self._put(self._made("done", result=text))
                self._replay(replace(entry, result=text))
            self.in_doubt = False

    async def _look_up(self) -> Any:
        assert self._asked.lookup is not None
        found = self._asked.lookup(self.prepared)
        if not inspect.isawaitable(found):
            return found
        if self._ledger.blocking:
            if inspect.iscoroutine(found):
                found.close()
            raise self._misused("has a coroutine function for lookup, and this handler is a plain def", "make it a def")
        return await found

    async def _hold(self, why: str) -> OutcomeUnknown:
        why = safe_text(why, _LONGEST_WHY)
        await self._put(self._made("held", why=why))
        return self._unknown(why)

    def _unknown(self, why: str) -> OutcomeUnknown:
        return OutcomeUnknown(
            f"whether the effect {self._place} was had is unknown ({why}): somebody has to find out and decide",
            effect=self._place,
            mend=f"windlass effects resolve {self._place} done|resend, then retry the job",
        )

    def _replay(self, entry: Entry) -> None:
        self.done = True
        self.in_doubt = False
        self.result = None if entry.result is None else msgspec.json.decode(entry.result)

    # records

    def _made(self, state: Any, **changes: Any) -> Entry:
        """The effect as this attempt writes it."""
        claim, asked, old = self._claim, self._asked, self._entry
        facts: dict[str, Any] = {
            "prepared": None if old is None else old.prepared,
            "sends": 0 if old is None else old.sends,
            "acts": () if old is None else old.acts,
            **changes,
        }
        return Entry(
            name=asked.name,
            key=asked.key,
            epoch=asked.epoch,
            state=state,
            request=asked.request,
            policy=asked.policy,
            kind=claim.kind,
            job=claim.id,
            lease=claim.lease,
            at=host_now(),
            **facts,
        )

    async def _put(self, entry: Entry) -> None:
        # What was prepared or sent never vanishes by itself.
        is_passing = entry.state == "done" or (entry.state == "prepared" and entry.prepared is None)
        ttl = self._asked.keep if is_passing else None
        answer = await self._ledger.put(Change(self._place, entry, self._version, self._index, ttl))
        if not answer.swapped:
            self._overtaken(answer.entry)
        self._entry, self._version, self._index = entry, answer.version, answer.index

    def _overtaken(self, there: Entry | None) -> NoReturn:
        """Somebody else has written: this attempt must not."""
        self._sending = False
        if there is not None and there.job != self._claim.id:
            raise Snooze(_BUSY, f"the effect {self._place} was begun by job {there.job} at the same time")
        raise LeaseLost(f"the effect {self._place} was taken over: this attempt no longer owns its job")

    async def _unsend(self, before: Entry) -> None:
        """Stopped while it was put on record that it is sent: whether or not that happened, nothing was."""
        seen = await self._ledger.look(self._place, self._asked.request)
        there = seen.entry
        mine = there is not None and (there.job, there.lease) == (self._claim.id, self._claim.lease)
        if mine and there is not None and there.state == "sending":
            await self._ledger.put(Change(self._place, before, seen.version))

    def _check_not_done(self, doing: str) -> None:
        if self.done:
            raise self._misused(f"is done and cannot be {doing}", "look at effect.done first, and give effect.result")

    def _misused(self, wrong: str, mend: str) -> InvalidStep:
        return InvalidStep(f"the effect {self._place} {wrong}: {mend}", effect=self._place)


class BlockingEffect:
    """The same for `def` handlers: `with ctx.sync.effect(...) as effect`."""

    def __init__(self, effect: Effect) -> None:
        self._effect = effect

    @property
    def done(self) -> bool:
        return self._effect.done

    @property
    def result(self) -> Any:
        return self._effect.result

    @property
    def prepared(self) -> Any:
        return self._effect.prepared

    @property
    def in_doubt(self) -> bool:
        return self._effect.in_doubt

    @property
    def sends(self) -> int:
        return self._effect.sends

    @property
    def place(self) -> str:
        return self._effect.place

    def __enter__(self) -> Self:
        through(self._effect.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        through(self._effect.__aexit__(kind, error, trace))

    def prepare(self, data: Any) -> Any:
        """Put on record what must survive a crash."""
        return through(self._effect.prepare(data))

    def sending(self) -> None:
        """From here on it may have happened: on record before this returns."""
        through(self._effect.sending())

    def refused(self, why: str = "") -> None:
        """They did not do it, for certain."""
        through(self._effect.refused(why))

    def finish(self, result: Any = None) -> Any:
        """It is done: on record, before the job's own end."""
        return through(self._effect.finish(result))


class Asked(msgspec.Struct, frozen=True):
    """What a handler says of an effect, checked."""

    name: str
    key: str
    request: str
    policy: str
    epoch: int
    keep: Micros
    lookup: Any = None


def read_effect(
    name: str, key: object, request: Any, policy: object, lookup: Lookup | None, epoch: object, keep: Duration
) -> Asked:
    """What a handler says of an effect; raises `InvalidOption`."""
    if policy not in POLICIES:
        raise refusal("in_doubt", policy, "|".join(POLICIES), "use 'hold' where nobody can be asked")
    if (lookup is not None) is not (policy == "lookup"):
        raise refusal("lookup", lookup, "a function where in_doubt='lookup', and only there", "give lookup=find_it")
    if not isinstance(epoch, int) or isinstance(epoch, bool) or not 1 <= epoch <= _MOST_EPOCHS:
        raise refusal("epoch", epoch, f"1..{_MOST_EPOCHS}", "use 2 for a second execution that is meant")
    return Asked(
        check_name(name, "effect"),
        _read_key(key),
        digest(request),
        str(policy),
        epoch,
        micros(keep, "keep", minimum=60.0),
        lookup,
    )


def digest(request: Any) -> str:
    """A request in 32 hex digits; the order of keys makes no difference."""
    plain = msgspec.json.decode(encode(request, "request", 64 << 20, "the request of an effect"))
    return hashlib.sha256(msgspec.json.encode(plain, order="sorted")).hexdigest()[:32]


def _read_key(key: object) -> str:
    text = str(key) if isinstance(key, (str, int)) and not isinstance(key, bool) else ""
    if 0 < len(text) <= LONGEST_KEY and text.isprintable() and safe_text(text, LONGEST_KEY) == text:
        return text
    shown = repr(key)[:100]
    raise InvalidOption(
        f"the effect's key is {shown}; it must be 1 to {LONGEST_KEY} printable characters that name the business operation",
        field="key",
        value=shown,
        limit=f"1..{LONGEST_KEY} characters",
        mend="use the order's or the invoice's id; make a hash of what is longer",
    )


class MemoryLedger:
    """A ledger without a store, for contexts that have none."""

    blocking = False
    limit = 1 << 20

    def __init__(self) -> None:
        self.entries: dict[str, tuple[Entry, int]] = {}

    async def look(self, place: str, request: str) -> Seen:
        found = self.entries.get(place)
        return Seen(None, 0) if found is None else Seen(*found, same=found[0].request == request)

    async def put(self, change: Change) -> Changed:
        old, version = self.entries.get(change.place, (None, 0))
        if version != change.expect:
            return Changed(False, version, 0, old)
        self.entries[change.place] = (change.entry, version + 1)
        return Changed(True, version + 1)


__all__ = [
    "KEPT",
    "OPEN",
    "POLICIES",
    "SPACE",
    "Act",
    "Asked",
    "BlockingEffect",
    "Change",
    "Changed",
    "Effect",
    "Entry",
    "InDoubt",
    "Ledger",
    "Lookup",
    "MemoryLedger",
    "Seen",
    "digest",
    "place_of",
    "read_changed",
    "read_effect",
    "read_entry",
    "swaps_of",
]
