"""Every job a worker holds, from claim to commit: hands each to its runtime's lane, stops it, and passes its end on."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import Any

from windlass.declare.handler import Handler
from windlass.errors import StoreError
from windlass.secrecy.notes import VeiledNotes
from windlass.values.job import GATE, Claim, Runtime
from windlass.values.outcome import DEFAULT_RULES, Finish, Verdict, completed, judge, overdue, released
from windlass.values.states import Event
from windlass.worker.accounts import Accounts
from windlass.worker.aftermath import Aftermath
from windlass.worker.announcing import Announcer
from windlass.worker.chunks import Gatherer, Member
from windlass.worker.family import fill_inputs, read_parents, wants_parents
from windlass.worker.finisher import Finisher
from windlass.worker.run import RATED_START, Lane, Notes, Run, Why, cut_at_deadline, stopped_end
from windlass.worker.telling import Failures
from windlass.worker.witness import Witness

log = logging.getLogger("windlass.worker")

_ACCEPTED, _COMPLETE = Verdict.ACCEPTED, Event.COMPLETE  # looked up once: that takes 0.05 us, and is asked of every job
_MOST_UNSETTLED = 2_000
"""Ends that may wait for a store in trouble before the worker stops asking it for more work."""


class Runner:
    """`held` is read by the heartbeat thread; only the worker's loop changes it."""

    def __init__(self, handlers: Mapping[str, Handler[Any, Any]], worker: str, notes: Notes) -> None:
        self.held: dict[str, Run] = {}
        self.done = 0
        self.failed = 0
        self.draining = False
        self.lanes: dict[Runtime, Lane] = {}
        self.gatherer: Gatherer | None = None
        """Where jobs of chunk handlers wait for company."""
        self._handlers = handlers
        self._worker = worker
        self._notes = notes
        self._finisher: Finisher | None = None
        self._aftermath: Aftermath | None = None
        self._accounts: Accounts | None = None
        self._by_queue = False
        self._witness: Witness | None = None
        self.failures = Failures()
        self._announcer: Announcer | None = None
        self.tell_flow: Callable[[Finish, str], Finish] | None = None
        """Adds the look whether a workflow is over, while somebody wants to know."""
        self._breathe: Callable[[], None] = lambda: None
        self._freed: Callable[[], None] = lambda: None
        self._empty = asyncio.Event()
        self._empty.set()
        self._reading: list[Run] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def connect(
        self, finisher: Finisher, lanes: dict[Runtime, Lane], breathe: Callable[[], None], freed: Callable[[], None]
    ) -> None:
        """`breathe`: the async lane should let the loop run. `freed`: a slot may have become free."""
        self._finisher = finisher
        self.lanes = lanes
        self._breathe = breathe
        self._freed = freed

    def watch(self, aftermath: Aftermath, accounts: Accounts, witness: Witness, announcer: Announcer | None) -> None:
        """Who hears of ends: `aftermath` of the accepted ones of kinds with a cache or a provider, `accounts` of those that cost
        something before they are committed, `witness` of errors, `announcer` (None without hooks) of all that is accepted."""
        self._aftermath = aftermath
        self._accounts = accounts
        self._by_queue = accounts.queues
        self._witness = witness
        self._announcer = announcer

    def demand(self) -> dict[Runtime, int]:
        """How many jobs of each runtime could start now (and, for async, soon)."""
        if self.draining or (self._finisher is not None and self._finisher.unsettled > _MOST_UNSETTLED):
            return {}
        if self.gatherer is not None and self.gatherer.gathering:
            return self.gatherer.widened({name: free for name, lane in self.lanes.items() if (free := lane.free()) > 0})
        if not self._reading:
            return {runtime: free for runtime, lane in self.lanes.items() if (free := lane.free()) > 0}
        soon = Counter(run.handler.runtime for run in self._reading if not run.ended)
        return {name: free for name, lane in self.lanes.items() if (free := lane.free() - soon[name]) > 0}

    def idle(self, slots: Mapping[Runtime, int]) -> dict[Runtime, int]:
        """How many of the slots could start a limited job this moment."""
        soon: Counter[Runtime] = Counter(run.handler.runtime for run in self._reading if not run.ended)
        return {name: max(0, min(most, self.lanes[name].idle() - soon[name])) for name, most in slots.items()}

    def freed(self) -> None:
        """A lane says: a slot may have become free."""
        self._freed()

    def take(self, claims: Iterable[Claim], sent: float, granted: float) -> None:
        """Start these jobs, leased by a claim that was sent at monotonic `sent` and granted at `granted` at the earliest."""
        unread: list[Run] = []
        for claim in claims:
            handler = self._handlers.get(claim.kind)
            if handler is None and claim.kind == GATE:
                self._finish(completed(claim, None, 0))
                continue
            if handler is None:
                self._finish(released(claim, self._worker, "kind unknown to the worker", park=f"kind:{claim.kind}"))
                continue
            if self.draining:
                self._finish(released(claim, self._worker, "worker shut down"))
                continue
            try:
                rules = handler.rules(claim.options)
                if rules.veil is not None:
                    claim = rules.veil.open_claim(claim)
            except Exception as error:
                self._finish(judge(claim, error, DEFAULT_RULES, self._worker, 0))
                continue
            if rules.ends_early:
                rules = cut_at_deadline(rules, claim, sent)
                if rules is None:
                    self._finish(overdue(claim, self._worker))
                    continue
            run = (Member if handler.chunked else Run)(claim, handler, rules, self._notes, sent)
            if rules.veil is not None:
                run.notes = VeiledNotes(self._notes, rules.veil, claim)
            if claim.rated:
                run.late = granted + RATED_START
            self.held[claim.id] = run
            if self._announcer is not None:
                self._announcer.started(claim)
            if (rules.child or rules.inputs is not None) and wants_parents(run):
                unread.append(run)
            elif handler.chunked:
                self._gather(run)
            else:
                self.lanes[handler.runtime].put(run)
            if claim.cancelling:
                self.stop([claim.id], Why.CANCELLED)
        if unread:
            self._reading += unread
            task = asyncio.create_task(self._read_parents(unread), name="windlass-parents")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self.held:
            self._empty.clear()

    def ended(self, run: Run, finish: Finish | None) -> None:
        """A lane says: this attempt is over."""
        if finish is not None and self.tell_flow is not None and run.claim.workflow is not None:
            finish = self.tell_flow(finish, run.claim.workflow)
        if finish is None:
            self._drop(run.claim.id, run.claim.lease)
        else:
            rules = run.rules
            if (rules.priced or run.bill is not None or self._by_queue) and self._accounts is not None:
                finish = self._accounts.settle(run, finish)
            if rules.watched:
                self._watched(run, finish)
            else:
                self._finish(finish)
        self._freed()

    def _watched(self, run: Run, finish: Finish) -> None:
        """The end of a kind that has secrets, a cache or a provider."""
        if run.rules.veil is not None:
            finish = run.rules.veil.close(run.claim, finish)
        if not (self._aftermath and self._aftermath.foresee(run, finish, self._finish)):
            self._finish(finish)

    def settled(self, finish: Finish, verdict: Verdict | None) -> None:
        """The finisher says what the store made of an end."""
        run = self._drop(finish.id, finish.lease)
        if run is not None and run.rules.watched and verdict is _ACCEPTED and self._aftermath is not None:
            self._aftermath.saw(run, finish)
        if verdict is _ACCEPTED or verdict is Verdict.REPEAT:  # accepted, and the answer came now or got lost
            if finish.error is not None:
                self._failed(finish, run)
            if self._announcer is not None:
                self._announcer.ended(finish, None if run is None else run.claim)
        self._freed()  # too many unsettled ends hold back claims, and no handler may be left to end and say so
        event = finish.event
        if verdict is _ACCEPTED and event is _COMPLETE and not finish.rescued:
            self.done += 1
        elif verdict is Verdict.STALE:
            log.info("job %s: its lease was lost, its end (%s) does not count", finish.id, event.value)
        elif event is not Event.RELEASE and not finish.rescued:
            self.done += 1
            if event is Event.RETRY or event is Event.FAIL:
                self.failed += 1

    def _failed(self, finish: Finish, run: Run | None) -> None:
        if finish.fingerprint and self._witness is not None:
            self._witness.saw(finish)
        secret = run is not None and run.rules.veil is not None
        self.failures.saw(finish, None if run is None else run.claim, secret=secret)

    def stop(self, ids: Iterable[str], why: Why) -> None:
        """Make these jobs end. One that waits for a slot ends unrun."""
        for id in ids:
            run = self.held.get(id)
            if run is None or run.ended:
                continue
            if isinstance(run, Member) and run.call_of is not None:
                self._gathered().stop(run, why)
            elif run.started:
                self.lanes[run.handler.runtime].stop(run, why)
            else:
                run.why = why
                self._unrun(run, stopped_end(run, None, self._worker))

    def give_back(self, reason: str, waited: float = 0.0) -> None:
        """Release what has waited for a slot for `waited` seconds."""
        limit = monotonic() - waited
        if self.gatherer is not None and not waited:
            for run in self.gatherer.unstarted():
                self._unrun(run, run.given_back(self._worker, reason))
        for lane in self.lanes.values():
            runs = lane.unstarted()
            for run in runs:
                if run.taken > limit:
                    lane.put(run)
                else:
                    self._unrun(run, run.given_back(self._worker, reason))

    def stop_all(self, why: Why) -> None:
        self.stop(list(self.held), why)

    def abandon_all(self) -> None:
        """Give back what could not be stopped: this process is about to end it."""
        for run in list(self.held.values()):
            if not run.ended:
                log.error("%s %s does not stop and is left behind", run.claim.kind, run.claim.id)
                run.why = run.why or Why.SHUTDOWN
                self._unrun(run, stopped_end(run, None, self._worker))

    @property
    def running(self) -> int:
        return sum(1 for run in list(self.held.values()) if run.started and not run.ended)

    async def quiet(self) -> None:
        """Until nothing is held: every end is settled."""
        await self._empty.wait()

    async def _read_parents(self, runs: list[Run]) -> None:
        """Start these once it is known what their parents returned."""
        error: Exception | None = None
        try:
            assert self._notes.store is not None
            await read_parents(self._notes.store, runs)
        except Exception as trouble:
            error = trouble
        for run in runs:
            self._reading.remove(run)
            if run.ended:
                continue
            try:
                if isinstance(error, StoreError) or self.draining:
                    why = "worker shut down" if self.draining else "what its parents returned could not be read"
                    self._unrun(run, released(run.claim, self._worker, why))
                    continue
                if error is not None:
                    raise error
                fill_inputs(run)
            except Exception as own:
                self._unrun(run, judge(run.claim, own, run.rules.run, self._worker, 0))
            else:
                (self._gather if run.handler.chunked else self.lanes[run.handler.runtime].put)(run)

    def _gather(self, run: Run) -> None:
        self._gathered().put(run)

    def _gathered(self) -> Gatherer:
        assert self.gatherer is not None
        return self.gatherer

    def _unrun(self, run: Run, finish: Finish | None) -> None:
        """It never starts: lanes pass over what has ended."""
        run.ended = True
        self.ended(run, finish)

    def _finish(self, finish: Finish) -> None:
        assert self._finisher is not None
        if self._finisher.add(finish, monotonic()):
            self._breathe()

    def _drop(self, id: str, lease: int) -> Run | None:
        run = self.held.get(id)
        if run is None or run.claim.lease != lease:
            return None
        del self.held[id]
        if not self.held:
            self._empty.set()
        return run
