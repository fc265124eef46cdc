"""What store tests are written with: new jobs, a worker's hand, ends of attempts, a clock that stands still."""

import inspect
from collections.abc import Mapping
from typing import Any

import msgspec
from uuid_utils import uuid7

from windlass.store import Store, open_store
from windlass.values.clock import SECOND, Micros
from windlass.values.job import Claim, ErrorInfo, Job, NewJob, Runtime, Trail
from windlass.values.lease import Beat, Claimed, ClaimRequest, Held, Pulse, WorkerInfo
from windlass.values.outcome import Finish, Verdict, completed
from windlass.values.query import Action, Command, Commanded, ErrorGroup, Happening, Retention, Where
from windlass.values.states import Event, State

T0: Micros = 1_800_000_000 * SECOND
LEASE: Micros = 30 * SECOND
HOUR: Micros = 3_600 * SECOND
DAY: Micros = 24 * HOUR
MOST_IN_VAIN = 500
"""Claims in a row that bring nothing and say that there is more."""


def fresh_id() -> str:
    return str(uuid7())


def new(kind: str = "work", **fields: Any) -> NewJob[Any]:
    return NewJob(**{"id": fresh_id(), "kind": kind, **fields})


class Clock:
    """The store's clock in the test's hand."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.at: Micros = T0

    async def set(self, at: Micros) -> None:
        self.at = at
        await self._store.hold_time(at)

    async def forward(self, by: Micros) -> None:
        await self.set(self.at + by)


class Hand:
    """A worker as the store sees one: it claims, beats and finishes."""

    def __init__(
        self, store: Store, name: str = "w1", *, lease: Micros = LEASE, queues: tuple[str, ...] | None = None
    ) -> None:
        self.store, self.name, self.lease, self.queues = store, name, lease, queues
        self.session = f"{name}-{fresh_id()}"
        self.number = 0

    async def ask(
        self, slots: int | Mapping[Runtime, int] = 10, *, again: bool = False, idle: int | None = None
    ) -> Claimed:
        """One claim; `again` repeats the last number, as after a lost reply."""
        self.number += not again
        wanted: Mapping[Runtime, int] = {"async": slots} if isinstance(slots, int) else slots
        return await self.store.claim(
            ClaimRequest(
                worker=self.name,
                session=self.session,
                number=self.number,
                slots=wanted,
                lease=self.lease,
                queues=self.queues,
                idle=None if idle is None else dict.fromkeys(wanted, idle),
            )
        )

    async def up_to(self, slots: int, runtime: Runtime = "async") -> list[Claim]:
        """Asks until it has so many or the store says there is no more: what one claim of a few may bring in several parts."""
        taken: list[Claim] = []
        in_vain = 0
        while len(taken) < slots:
            claimed = await self.ask({runtime: slots - len(taken)})
            taken += claimed.jobs
            if not claimed.more:
                break
            in_vain = 0 if claimed.jobs else in_vain + 1
            assert in_vain < MOST_IN_VAIN, "a worker is told for ever to ask again at once"
        return taken

    async def take(self, slots: int | Mapping[Runtime, int] = 10) -> list[Claim]:
        return (await self.ask(slots)).jobs

    async def one(self) -> Claim:
        """The single job that a claim of one brings."""
        jobs = await self.take(1)
        assert len(jobs) == 1, "nothing to claim"
        return jobs[0]

    async def drain(self, slots: int = 200) -> list[Claim]:
        """Everything that can be claimed, in the order it came."""
        taken: list[Claim] = []
        while True:
            claimed = await self.ask(slots)
            taken += claimed.jobs
            if not claimed.jobs and not claimed.more:
                return taken

    async def finish(self, *ends: Finish) -> list[Verdict]:
        return await self.store.finish(ends)

    async def complete(self, *claims: Claim, result: str | None = None) -> None:
        verdicts = await self.store.finish([completed(claim, result, 1_000) for claim in claims])
        assert verdicts == [Verdict.ACCEPTED] * len(claims)

    async def beat(self, *claims: Claim | Held, leaving: bool = False, **facts: Any) -> Pulse:
        info = WorkerInfo(
            **{
                "id": self.name,
                "session": self.session,
                "host": "here",
                "pid": 1,
                "version": "0.1.0",
                "started_at": T0,
                "queues": self.queues,
                "kinds": ("work",),
                "slots": {"async": 10},
                "lease": self.lease,
                **facts,
            }
        )
        held = tuple(Held(claim.id, claim.lease) for claim in claims)
        return await self.store.heartbeat(Beat(info=info, held=held, leaving=leaving))


def end(claim: Claim, event: Event, *, worker: str = "w1", outcome: str | None = None, **fields: Any) -> Finish:
    """How an attempt of `claim` ends; every end but complete carries a trail line, as the core writes it."""
    trail = Trail(
        outcome=outcome or event.value, reason=fields.get("reason"), worker=worker, took=fields.get("took", 0)
    )
    text = None if event is Event.COMPLETE else msgspec.json.encode(trail).decode()
    spends = event not in (Event.SNOOZE, Event.RELEASE, Event.SUSPEND)
    return Finish(claim.id, claim.lease, event, claim.queue, claim.kind, **{"trail": text, "spends": spends, **fields})


def failing(
    claim: Claim, fingerprint: str = "", *, event: Event = Event.FAIL, ladder: tuple[Micros, ...] = (), **fields: Any
) -> Finish:
    """An attempt that ends by an error of this fingerprint: on the job, in the trail and for the groups, as the core tells it."""
    error = msgspec.json.encode(ErrorInfo(type="Boom", message="it broke", fingerprint=fingerprint)).decode()
    return end(claim, event, **{"error": error, "fingerprint": fingerprint, "ladder": ladder, **fields})


async def put(store: Store, *jobs: NewJob[Any]) -> list[str]:
    """Enqueue jobs that all must be new; their ids."""
    answers = await store.enqueue(jobs)
    assert [(a.id, a.created) for a in answers] == [(job.id, True) for job in jobs]
    return [job.id for job in jobs]


async def get(store: Store, id: str) -> Job:
    job = await store.job(id)
    assert job is not None, f"job {id} is gone"
    return job


async def state_of(store: Store, id: str) -> State | None:
    job = await store.job(id)
    return None if job is None else job.state


async def states_of(store: Store, *ids: str) -> list[State | None]:
    return [await state_of(store, id) for id in ids]


async def counted(store: Store, queue: str | None = None) -> dict[State, int]:
    """The counts of one queue, or of all queues together."""
    sums: dict[State, int] = {}
    for count in await store.counts():
        if queue in (None, count.queue):
            sums[count.state] = sums.get(count.state, 0) + count.n
    return sums


async def act(
    store: Store, action: Action, *ids: str, limit: int = 1_000, actor: str = "ops", **fields: Any
) -> Commanded:
    """A command on jobs given by name; without names there is nothing to do (an empty `Where` would mean every job)."""
    if not ids:
        return Commanded()
    return await store.command(Command(action=action, **fields), Where(ids=ids), limit, actor)


async def act_on_all(store: Store, command: Command, where: Where, limit: int, actor: str = "ops") -> list[str]:
    """Every id that a command by filter changes, asked again while there are more; it must come to an end."""
    done: list[str] = []
    for _ in range(MOST_IN_VAIN):
        answer = await store.command(command, where, limit, actor)
        assert len(answer.done) <= limit
        done += answer.done
        if not answer.more:
            return done
    raise AssertionError("there are always more")


async def bury(store: Store, *jobs: NewJob[Any], fingerprint: str = "", ladder: tuple[Micros, ...] = ()) -> list[str]:
    """Make dead letters of new jobs; nothing else may be waiting in their queues. Their ids."""
    ids = await put(store, *jobs)
    hand = Hand(store, "sexton", queues=tuple({job.queue for job in jobs}))
    claims = await hand.drain()
    assert sorted(claim.id for claim in claims) == sorted(ids)
    for start in range(0, len(claims), 200):
        ends = [failing(claim, fingerprint, ladder=ladder) for claim in claims[start : start + 200]]
        assert set(await hand.finish(*ends)) == {Verdict.ACCEPTED}
    return ids


async def groups_of(store: Store) -> dict[str, ErrorGroup]:
    """The error groups by fingerprint; they come largest first, each once."""
    groups = await store.error_groups()
    sizes = [group.n for group in groups]
    assert sizes == sorted(sizes, reverse=True)
    assert min(sizes, default=1) > 0, "an empty group is none"
    found = {group.fingerprint: group for group in groups}
    assert len(found) == len(groups)
    return found


async def prune_all(store: Store, retention: Retention, limit: int = 500) -> int:
    """Prune until nothing is left to do, which must come; how many jobs were touched."""
    touched = 0
    for _ in range(MOST_IN_VAIN):
        n = await store.prune(retention, limit)
        touched += n
        if not n:
            return touched
    raise AssertionError("there is always more to prune")


async def promote_all(store: Store) -> int:
    """Promote until there is nothing more to do right now; how many moved."""
    moved = 0
    while True:
        promoted = await store.promote(500)
        moved += promoted.moved
        if not promoted.more:
            return moved


async def settle_down(store: Store) -> None:
    """Work off what large fan-outs left over."""
    await promote_all(store)


async def all_ids(store: Store, where: Where, page: int = 50) -> list[str]:
    """Every matching job's id, page by page."""
    ids: list[str] = []
    cursor: str | None = None
    while True:
        found = await store.jobs(where, cursor, page)
        ids += [job.id for job in found.items]
        if found.next is None:
            return ids
        cursor = found.next


class Listener:
    """Who follows the journal from a cursor on, as live views do."""

    def __init__(self, store: Store, cursor: str | None = None) -> None:
        self.store, self.cursor = store, cursor

    async def page(self, limit: int = 500) -> list[Happening]:
        """One answer, which must go on from the one before."""
        feed = await self.store.feed(self.cursor, limit)
        assert not feed.reset, "the thread is lost"
        assert len(feed.entries) <= limit
        self.cursor = feed.cursor
        return feed.entries

    async def news(self, limit: int = 500) -> list[Happening]:
        """All there is to tell."""
        entries: list[Happening] = []
        while page := await self.page(limit):
            entries += page
        return entries

    async def told(self) -> dict[str, list[str]]:
        """The ids by event, sorted, however many entries tell them; for calls of which no event has more than a hundred."""
        found: dict[str, list[str]] = {}
        for entry in await self.news():
            assert entry.n == len(entry.ids)
            found.setdefault(entry.event, []).extend(entry.ids)
        return {event: sorted(ids) for event, ids in found.items()}


async def listen(store: Store, clock: Clock) -> Listener:
    """A listener to a journal that has been awake for a while: who just woke it is told to begin anew."""
    listener = Listener(store)
    feed = await store.feed(None)
    assert (feed.entries, feed.reset) == ([], True)
    for _ in range(2):
        await clock.forward(3 * SECOND)
        feed = await store.feed(feed.cursor)
        assert feed.entries == []
    listener.cursor = feed.cursor
    assert await listener.news() == []
    return listener


class Place:
    """One test's store: how to reach it, its handles, its clock."""

    def __init__(self, url: str, namespace: str, *, crosses_processes: bool) -> None:
        self.url, self.namespace, self.crosses_processes = url, namespace, crosses_processes
        self.first = open_store(url, namespace)
        self.clock: Clock | None = None
        self.lowered: set[str] = set()
        """Keys whose limit the test brought down below what ran under them, or that it forgot."""
        self._opened: list[Store] = []

    def handle(self) -> Store:
        """An unopened handle; opened and closed by whoever asked."""
        return self.first.sibling()

    async def open(self) -> None:
        await self._open(self.first)
        if self.clock is not None:
            await self.clock.set(T0)

    async def another(self) -> Store:
        return await self._open(self.handle())

    async def _open(self, store: Store) -> Store:
        await store.open()
        self._opened.append(store)
        return store

    async def audit(self) -> list[str]:
        """Differences between kept sums and counting, and orphans: an extra that each engine has for these tests. And what
        limits hold against what runs."""
        from tests.store.limiting import audit_limits

        found = self.first.audit_counts()  # type: ignore[attr-defined]
        texts = list(await found if inspect.isawaitable(found) else found)
        return texts + await audit_limits(self.first, self.lowered)

    async def close(self) -> None:
        for store in reversed(self._opened):
            await store.close()
