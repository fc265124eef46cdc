"""Finish: how attempts ended, committed for those whose lease still holds."""

from collections.abc import Mapping, Sequence
from typing import Any

from windlass.errors import StoreError
from windlass.store.postgres.connection import Connection
from windlass.store.postgres.database import Database
from windlass.store.postgres.faults import PARTLY
from windlass.store.postgres.leasing import Claimer
from windlass.store.postgres.produce import Producer
from windlass.store.protocol import MOST_FINISHED
from windlass.values.job import NewJob
from windlass.values.metrics import MINUTE, TallyKey, tally
from windlass.values.outcome import Finish, Verdict
from windlass.values.states import Event

STEP, MOST_STEPS = 500, 4
"""How many dependents beyond those settled at once a finish goes on with, and how often: a promote costs more than that."""
_BACK = (Event.RETRY, Event.SNOOZE, Event.RELEASE, Event.SUSPEND)


class Finisher:
    """Finishes for one handle."""

    def __init__(self, database: Database, producer: Producer, claimer: Claimer) -> None:
        self._db = database
        self._producer = producer
        self._claimer = claimer

    async def finish(self, finishes: Sequence[Finish]) -> list[Verdict]:
        verdicts: list[Verdict] = []
        for begin in range(0, len(finishes), MOST_FINISHED):
            verdicts += await self._finish(finishes[begin : begin + MOST_FINISHED])
        return verdicts

    async def _finish(self, finishes: Sequence[Finish]) -> list[Verdict]:
        if all(end.event is Event.COMPLETE and not end.follow and not end.rescued for end in finishes):
            try:
                readied, more = await self._db.row("finish.complete", *_completions(finishes))
            except StoreError as refused:
                if refused.facts.get("sqlstate") != PARTLY:
                    raise
            else:
                self._db.bell.ring("done", *(("ready",) if readied else ()))
                if more:
                    await self._settle_on()
                return [Verdict.ACCEPTED] * len(finishes)
        return await self._carefully(finishes)

    async def _settle_on(self) -> None:
        """More dependents of jobs that have ended, in statements of their own: the first ones are claimed meanwhile."""
        for _ in range(MOST_STEPS):
            try:
                readied, ended, more = await self._db.row("finish.settle_on", STEP)
            except StoreError:
                return  # the ends are committed, and `promote` does what is left
            self._db.bell.ring(*(topic for topic, rung in (("ready", readied), ("done", ended)) if rung))
            if not more:
                return

    async def _carefully(self, finishes: Sequence[Finish]) -> list[Verdict]:
        """Any mixture: the same id twice, leases that are gone, follow-up jobs."""
        follow = [job for end in finishes for job in end.follow]
        if follow:
            await self._producer.register(follow)
        verdicts, readied = await self._db.write(lambda connection: self._commit(connection, finishes))
        if readied:
            self._claimer.floors.forget()
        # A job that comes back later brings a due time that may be nearer than those that idle workers sleep for.
        back = any(end.event in _BACK for end in finishes)
        self._db.bell.ring("done", *(("ready",) if readied or follow or back else ()))
        return verdicts

    async def _commit(self, connection: Connection, finishes: Sequence[Finish]) -> tuple[list[Verdict], bool]:
        sql = self._db.sql
        # The same end twice in one call is taken once; an id may also come under several leases, of which one can hold.
        first: dict[tuple[str, int], Finish] = {}
        for end in finishes:
            first.setdefault((end.id, end.lease), end)
        follows = any(end.follow for end in finishes)
        ends = [first[key] for key in sorted(first)]
        row = await connection.fetchrow(sql["finish.finish"], *_ends(ends), follows, *_ledger(ends))
        taken: set[tuple[str, int]] = set(zip(row["accepted"] or (), row["under"] or (), strict=True))
        accepted = [end for key, end in first.items() if key in taken]
        if accepted:
            minute = row["at"] - row["at"] % MINUTE
            await connection.execute(sql["finish.tally"], minute, *_sums(tally(accepted)))
        follow: list[NewJob[Any]] = [job for end in accepted for job in end.follow]
        if follow:
            await self._producer.put(connection, follow)
        if follows and row["parents"]:
            # Only now, so that what the follow-up jobs are to be `before` of was still blocked.
            await connection.execute(sql["command.settle"], row["parents"])
        if len(accepted) == len(finishes):
            return [Verdict.ACCEPTED] * len(finishes), row["readied"]
        settled = dict(await connection.fetch(sql["finish.settled"], [job for job, _ in first]))
        return [_verdict(end, taken, settled) for end in finishes], row["readied"]


def _verdict(end: Finish, taken: set[tuple[str, int]], settled: Mapping[str, int | None]) -> Verdict:
    """The first finish of an accepted pair is the one that was taken."""
    if (end.id, end.lease) in taken:
        taken.discard((end.id, end.lease))
        return Verdict.ACCEPTED
    return Verdict.REPEAT if settled.get(end.id) == end.lease else Verdict.STALE


def _completions(finishes: Sequence[Finish]) -> list[Any]:
    ends = sorted(finishes, key=lambda end: end.id)
    spends = None if all(end.spends for end in ends) else [end.spends for end in ends]
    return [
        [end.id for end in ends],
        [end.lease for end in ends],
        [end.result for end in ends],
        [end.took for end in ends],
        spends,
        *_sums(tally(ends)),
        _spents(ends),
    ]


def _ends(ends: Sequence[Finish]) -> list[Any]:
    return [
        [end.id for end in ends],
        [end.lease for end in ends],
        [end.event.value for end in ends],
        [end.result for end in ends],
        [end.error for end in ends],
        [end.trail for end in ends],
        [end.reason for end in ends],
        [end.delay for end in ends],
        [end.spends for end in ends],
        [end.rescued for end in ends],
        [end.park for end in ends],
        [end.took for end in ends],
        [end.signal for end in ends],
    ]


def _spents(ends: Sequence[Finish]) -> list[int | None] | None:
    spents = [end.spent or None for end in ends]
    return spents if any(spents) else None


def _ledger(ends: Sequence[Finish]) -> list[Any]:
    """What operations keep of an end: its cost, the group of its error, and its waits before automatic retries as one text."""
    return [
        _spents(ends),
        [end.fingerprint for end in ends],
        [" ".join(map(str, end.ladder)) or None for end in ends],
    ]


def _sums(sums: Mapping[TallyKey, int]) -> list[Any]:
    """Tallies as one array per column; of the queue and the kind one value when all are the same."""
    queues, kinds, names, buckets = zip(*sums, strict=True)
    return [_same(queues), _same(kinds), names, buckets, list(sums.values())]


def _same(texts: Sequence[str]) -> Sequence[str]:
    return texts[:1] if texts.count(texts[0]) == len(texts) else texts
