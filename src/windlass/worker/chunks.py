"""Chunk handlers in a worker: claimed jobs of a kind are gathered, run in one call, and end each by itself."""

import asyncio
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any, cast

from msgspec.structs import replace

from windlass.declare.handler import Effective, Handler
from windlass.produce.ids import new_id
from windlass.running.chunk import Chunk, Item, missing, take_results
from windlass.running.context import Ack, Context
from windlass.values.job import Claim, Runtime
from windlass.values.outcome import Finish, judge, released
from windlass.worker.run import Ended, Lane, Notes, Run, Why

Open = Callable[[Run], Context]


class Member(Run):
    """A job that runs in a chunk."""

    __slots__ = ("call_of", "item", "value")

    def __init__(self, claim: Claim, handler: Handler[Any, Any], rules: Effective, notes: Notes, renewed: float):
        super().__init__(claim, handler, rules, notes, renewed)
        self.value: Any = None
        self.item: Item[Any, Any] | None = None
        self.call_of: ChunkRun | None = None

    @property
    def shares(self) -> int:
        return 1 if self.call_of is None else len(self.call_of.members)


class Gatherer:
    """Collects the members of each kind, and hands full or ripe chunks to their lanes."""

    def __init__(self, lanes: Mapping[Runtime, Lane], open_context: Open, ended: Ended, worker: str) -> None:
        self._lanes = lanes
        self._open = open_context
        self._ended = ended
        self._worker = worker
        self._loop = asyncio.get_running_loop()
        self._gathered: dict[str, list[Member]] = {}
        self.gathering = False
        """Whether jobs wait for company."""
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def put(self, run: Run) -> None:
        """Take a claimed job of a chunk kind."""
        handler, rule = run.handler, run.handler.declared.chunk
        assert isinstance(run, Member) and rule is not None
        member = run
        try:
            (member.value,), _ = handler.decode(run.claim.args, run.rules.version)
        except Exception as error:  # this job's arguments do not fit; the others of its call are not meant
            member.ended = True
            self._ended(member, judge(run.claim, error, run.rules.run, self._worker, 0))
            return
        gathered = self._gathered.setdefault(handler.kind, [])
        gathered.append(member)
        self.gathering = True
        if len(gathered) >= rule.size:
            self._start(handler.kind)
        elif len(gathered) == 1 or run.late < math.inf:
            # Who spent a rate must be under way soon.
            wait = min(rule.wait, (run.late - monotonic()) / 2)
            self._wait(handler.kind, self._loop.time() + wait)

    def widened(self, slots: dict[Runtime, int]) -> dict[Runtime, int]:
        """`slots`, with room for the company that gathered jobs wait for: they take one slot together."""
        for members in self._gathered.values():
            handler = members[0].handler
            rule = handler.declared.chunk
            if rule is not None and handler.runtime in slots:
                slots[handler.runtime] = max(slots[handler.runtime], rule.size - len(members))
        return slots

    def _wait(self, kind: str, until: float) -> None:
        timer = self._timers.get(kind)
        if timer is not None:
            if timer.when() <= until:
                return
            timer.cancel()
        self._timers[kind] = self._loop.call_at(until, self._start, kind)

    def unstarted(self) -> list[Run]:
        """Take back what still waits for company."""
        found: list[Run] = [member for members in self._gathered.values() for member in members]
        self._gathered.clear()
        self.gathering = False
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        return found

    def stop(self, member: Member, why: Why) -> None:
        """One that was cancelled or lost leaves the call, which goes on for the others; else the call is stopped."""
        call = member.call_of
        if call is None:
            return
        lane = self._lanes[member.handler.runtime]
        if call.started and why not in (Why.CANCELLED, Why.LOST):
            lane.stop(call, why)
            return
        member.why = why
        call.leave(member, member.stopped_end(None, self._worker))
        if all(other.ended for other in call.members):
            if call.started:
                lane.stop(call, why)
            else:
                call.ended = True  # lanes pass over it

    def _start(self, kind: str) -> None:
        timer = self._timers.pop(kind, None)
        if timer is not None:
            timer.cancel()
        members = [member for member in self._gathered.pop(kind, ()) if not member.ended]
        self.gathering = bool(self._gathered)
        if members:
            call = ChunkRun(members, self._open, self._ended, self._worker)
            self._lanes[members[0].handler.runtime].put(call)


class ChunkRun(Run):
    """One call of a chunk handler, which lanes run like any job. It has no lease and no end; its members have."""

    __slots__ = ("_end", "_loop", "_thread", "_worker", "chunk", "members")

    def __init__(self, members: Sequence[Member], open_context: Open, ended: Ended, worker: str) -> None:
        first = members[0]
        claim = replace(first.claim, id=f"chunk-{new_id()}")
        call = cast("Handler[Any, Any]", _Call(first.handler, self))
        super().__init__(claim, call, first.handler.rules(""), first.notes, first.renewed)
        self.late = min(member.late for member in members)
        self.members = members
        self._end = ended
        self._worker = worker
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        for member in members:
            member.call_of = self
            member.item = self._item(member, open_context)
        self.chunk: Chunk[Any, Any] = Chunk([cast("Item[Any, Any]", m.item) for m in members], self.is_stopping)

    def _item(self, member: Member, open_context: Open) -> Item[Any, Any]:
        claim = member.claim

        def end(item: Item[Any, Any], result: Any, error: BaseException | None) -> None:
            self._settle(member, result, error)

        return Item(claim.id, claim.attempt, member.value, lambda: open_context(member), end)

    def begin(self) -> None:
        """The call starts now, and so do its members."""
        for member in self.members:
            member.started = self.started

    def leave(self, member: Member, finish: Finish | None) -> None:
        """On the loop: this member is over."""
        if member.ended:
            return
        member.ended = True
        if member.item is not None:
            member.item.settled = True
        self._end(member, finish)

    def _settle(self, member: Member, result: Any, error: BaseException | None) -> None:
        """A handler marked it, perhaps in a thread."""
        if error is None:
            try:
                finish = member.completed(None if result is None else member.handler.encode_result(result))
            except Exception as unfit:
                finish = member.raised_end(unfit, self._worker)
        else:
            finish = member.raised_end(error, self._worker)
        self._pass_on(member, finish)

    def _pass_on(self, member: Member, finish: Finish | None) -> None:
        if threading.get_ident() == self._thread:
            self.leave(member, finish)
        else:
            self._loop.call_soon_threadsafe(self.leave, member, finish)

    def _each_open(self, end: Callable[[Member], Finish | None]) -> None:
        for member in self.members:
            item = member.item
            if item is not None and not item.settled:
                item.settled = True
                self._pass_on(member, end(member))
            if item is not None:
                item.close()

    # what lanes ask of a run

    def completed(self, result: str | None) -> Finish | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        if self.why is not None:  # it saw that it was asked to stop, and left the rest
            return self.stopped_end(None, self._worker)
        nothing = missing(self.chunk)
        self._each_open(lambda member: member.raised_end(nothing, self._worker))
        return None

    def raised_end(self, error: BaseException, worker: str) -> Finish | None:
        """The call crashed: those that are not marked fail of it."""
        if self.why is not None:
            return self.stopped_end(error, worker)
        self._each_open(lambda member: member.raised_end(error, worker))
        return None

    def stopped_end(self, error: BaseException | None, worker: str) -> Finish | None:
        def stopped(member: Member) -> Finish | None:
            member.why = member.why or self.why
            return member.stopped_end(error, worker)

        self._each_open(stopped)
        return None

    def given_back(self, worker: str, reason: str) -> Finish | None:
        self._each_open(lambda member: released(member.claim, worker, reason))
        return None

    # lines printed by the call, and what it spends, go to its first job that is still open

    def progress(self, percent: float, note: str | None) -> Ack:
        return Ack()

    def log(self, level: str, text: str) -> Ack:
        return self._first_open().log(level, text)

    def spend(self, millionths: int) -> None:
        self._first_open().spend(millionths)

    def _first_open(self) -> Member:
        return next((member for member in self.members if not member.ended), self.members[0])


class _Call:
    """The handler of a `ChunkRun`, as far as lanes use one."""

    takes_context = False

    def __init__(self, handler: Handler[Any, Any], run: ChunkRun) -> None:
        self.kind = handler.kind
        self.runtime = handler.runtime
        self.entry = handler.entry
        self.iterates = False
        self._run = run

    def decode(self, args: str, version: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        self._run.begin()
        return (self._run.chunk,), {}

    def encode_result(self, value: Any) -> None:
        take_results(self._run.chunk, value)


__all__ = ["ChunkRun", "Gatherer", "Member"]
