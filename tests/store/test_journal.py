"""What each verb tells the journal, once for each event; and that it tells nothing to nobody."""

import msgspec
import pytest

from tests.store.kit import (
    HOUR,
    T0,
    Clock,
    Hand,
    Listener,
    act,
    bury,
    counted,
    end,
    fresh_id,
    get,
    listen,
    new,
    promote_all,
    put,
    settle_down,
)
from tests.store.test_dependencies import after
from windlass.errors import UnknownParent
from windlass.store import Store
from windlass.values.clock import SECOND
from windlass.values.job import Ahead, Edge, UniqueKey
from windlass.values.lease import LogLine, Progress, Step
from windlass.values.limit import LimitChange, Rate, Take
from windlass.values.outcome import Verdict
from windlass.values.query import Action, AuditEntry, Command, Happening, Retention, Swap, Where
from windlass.values.queue import QueueChange
from windlass.values.schedule import ScheduleRow
from windlass.values.states import Event, State

Told = dict[str, list[str]]


async def test_who_wakes_it_begins_anew(store: Store, clock: Clock) -> None:
    await put(store, new())
    feed = await store.feed(None)
    assert (feed.entries, feed.reset) == ([], True)
    assert feed.cursor
    listener = await listen_again(store, clock, feed.cursor)
    (id,) = await put(store, new())
    assert await listener.news() == [Happening(clock.at, "waiting", (id,), 1)]
    assert await listener.news() == [], "once"


async def listen_again(store: Store, clock: Clock, cursor: str) -> Listener:
    for _ in range(2):
        await clock.forward(3 * SECOND)
        feed = await store.feed(cursor)
        assert feed.entries == [], "nothing of what was before"
        cursor = feed.cursor
    return Listener(store, cursor)


async def test_a_newcomer_is_told_what_comes(store: Store, clock: Clock) -> None:
    first = await listen(store, clock)
    one, two = await put(store, new(), new())
    feed = await store.feed(None)
    assert (feed.entries, feed.reset) == ([], False)
    second = Listener(store, feed.cursor)
    await act(store, Action.CANCEL, one)
    assert await second.told() == {"cancelled": [one]}
    assert await first.told() == {"waiting": sorted([one, two]), "cancelled": [one]}


# enqueue


async def test_enqueue_tells_the_states(store: Store, clock: Clock) -> None:
    listener = await listen(store, clock)
    parent, later, answered = new(), new(delay=HOUR), new(answer="1")
    child, other = new(after=after(parent.id)), new()
    await put(store, parent, later, answered, child, other)
    entries = await listener.news()
    assert {(entry.event, tuple(sorted(entry.ids)), entry.n, entry.at) for entry in entries} == {
        ("waiting", tuple(sorted([parent.id, other.id])), 2, clock.at),
        ("delayed", (later.id,), 1, clock.at),
        ("completed", (answered.id,), 1, clock.at),
        ("blocked", (child.id,), 1, clock.at),
    }
    assert len(entries) == 4, "one entry for each event"


async def test_what_is_not_created_is_not_told(store: Store, clock: Clock) -> None:
    job = new(unique=UniqueKey(key="k"))
    await put(store, job)
    listener = await listen(store, clock)
    await store.enqueue([job])
    await store.enqueue([new(unique=UniqueKey(key="k")), new(unique=UniqueKey(key="k", on_conflict="skip"))])
    with pytest.raises(UnknownParent):
        await store.enqueue([new(), new(after=after(fresh_id()))])
    await store.enqueue([])
    assert await listener.news() == []
    fresh = new()
    await store.enqueue([job, fresh, new(unique=UniqueKey(key="k"))])
    assert await listener.news() == [Happening(clock.at, "waiting", (fresh.id,), 1)]


async def test_a_replaced_job_that_comes_into_another_state_is_told(store: Store, clock: Clock) -> None:
    key = UniqueKey(key="k", on_conflict="replace")
    (id,) = await put(store, new(unique=key, delay=HOUR))
    listener = await listen(store, clock)
    await store.enqueue([new(unique=key)])
    assert await listener.told() == {"waiting": [id]}
    await store.enqueue([new(unique=key, delay=HOUR)])
    assert await listener.told() == {"delayed": [id]}


async def test_a_job_that_is_born_over_is_told(store: Store, clock: Clock) -> None:
    (parent,) = await put(store, new())
    await act(store, Action.FAIL, parent)
    listener = await listen(store, clock)
    doomed, failed, runs = new(after=after(parent)), new(after=after(parent, on_failure="fail")), new()
    await put(store, doomed, failed, runs)
    told = await listener.told()
    assert (told["cancelled"], told["failed"], told["waiting"]) == ([doomed.id], [failed.id], [runs.id])


async def test_ids_are_capped_and_the_number_is_not(store: Store, clock: Clock) -> None:
    listener = await listen(store, clock)
    ids = await put(store, *(new() for _ in range(250)))
    (entry,) = await listener.news()
    assert (entry.event, entry.n, len(entry.ids), len({*entry.ids})) == ("waiting", 250, 100, 100)
    assert {*entry.ids} <= {*ids}
    ids = await put(store, *(new() for _ in range(100)))
    (entry,) = await listener.news()
    assert (entry.n, sorted(entry.ids)) == (100, sorted(ids))


async def test_a_large_call_is_told_whole(store: Store, clock: Clock) -> None:
    listener = await listen(store, clock)
    await put(store, *(new(delay=HOUR if n % 3 == 0 else None) for n in range(2_400)))
    entries = await listener.news()
    assert sum(entry.n for entry in entries if entry.event == "waiting") == 1_600
    assert sum(entry.n for entry in entries if entry.event == "delayed") == 800
    assert {entry.event for entry in entries} == {"waiting", "delayed"}
    assert all(len(entry.ids) <= 100 for entry in entries)


# run


async def test_claims_and_rescues_make_active(store: Store, clock: Clock) -> None:
    await put(store, *(new() for _ in range(3)))
    listener = await listen(store, clock)
    hand = Hand(store)
    assert await Hand(store, "idle", queues=("none",)).take() == []
    claims = await hand.take(2)
    assert await listener.news() == [Happening(clock.at, "active", tuple(claim.id for claim in claims), 2)]
    await hand.beat(*claims)
    taken = await store.rescue("other", hand.lease, 0)
    for _ in range(4):
        await clock.forward(hand.lease // 3)
        taken += await store.rescue("other", hand.lease, 10)
    assert len(taken) == 2
    assert await listener.told() == {"active": sorted(claim.id for claim in taken)}


async def test_a_repeated_claim_is_told_once(store: Store, clock: Clock) -> None:
    await put(store, *(new() for _ in range(120)))
    listener = await listen(store, clock)
    hand = Hand(store)
    claims = await hand.take(120)
    again = (await hand.ask(120, again=True)).jobs
    assert {claim.id for claim in again} == {claim.id for claim in claims}
    (entry,) = await listener.news()
    assert (entry.event, entry.n, len(entry.ids)) == ("active", len(claims), min(100, len(claims)))


ENDS = {
    Event.COMPLETE: "completed",
    Event.FAIL: "failed",
    Event.ABORT: "cancelled",
    Event.RETRY: "retrying",
    Event.SNOOZE: "delayed",
    Event.RELEASE: "waiting",
    Event.SUSPEND: "blocked",
}


async def test_each_end_tells_its_state(store: Store, clock: Clock) -> None:
    await put(store, *(new() for _ in range(len(ENDS))))
    listener = await listen(store, clock)
    hand = Hand(store)
    for event, state in ENDS.items():
        claim = await hand.one()
        await listener.news()
        await hand.finish(end(claim, event, delay=0 if event is Event.RELEASE else HOUR, signal="go"))
        assert await listener.news() == [Happening(clock.at, state, (claim.id,), 1)], event
        if event is Event.RELEASE:
            await hand.complete(await hand.one())
            await listener.news()


async def test_ends_of_one_call_are_told_together(store: Store, clock: Clock) -> None:
    await put(store, *(new() for _ in range(30)))
    listener = await listen(store, clock)
    hand = Hand(store)
    claims = await hand.up_to(30)
    await listener.news()
    events = list(ENDS)
    ends = [end(claim, events[n % 7], delay=0 if n % 7 == 5 else HOUR, signal="go") for n, claim in enumerate(claims)]
    await hand.finish(*ends)
    entries = await listener.news()
    assert len(entries) == 7, "one entry for each event"
    expected: Told = {}
    for ended in ends:
        expected.setdefault(ENDS[ended.event], []).append(ended.id)
    assert {entry.event: sorted(entry.ids) for entry in entries} == {k: sorted(v) for k, v in expected.items()}
    assert [entry.n for entry in entries] == [len(entry.ids) for entry in entries]


async def test_stale_and_repeated_ends_are_not_told(store: Store, clock: Clock) -> None:
    await put(store, new(), new())
    listener = await listen(store, clock)
    hand = Hand(store)
    one, two = await hand.take(2)
    ended = end(one, Event.COMPLETE)
    await hand.finish(ended)
    await listener.news()
    stale = msgspec.structs.replace(end(two, Event.COMPLETE), lease=two.lease + (1 << 40))
    assert await hand.finish(ended, stale) == [Verdict.REPEAT, Verdict.STALE]
    assert await listener.news() == []
    await hand.finish(ended, end(two, Event.COMPLETE))
    assert await listener.told() == {"completed": [two.id]}


async def test_an_end_that_turns_out_otherwise(store: Store, clock: Clock) -> None:
    """A job that was asked to stop and wants to be retried; one that is released for later; one whose signal was there first."""
    await put(store, *(new() for _ in range(3)))
    hand = Hand(store)
    stopped, released, signalled = await hand.take(3)
    await act(store, Action.CANCEL, stopped.id)
    await store.signal(signalled.id, "go", "1", "ops")
    listener = await listen(store, clock)
    await hand.finish(
        end(stopped, Event.RETRY, delay=HOUR),
        end(released, Event.RELEASE, delay=HOUR),
        end(signalled, Event.SUSPEND, signal="go"),
    )
    told = await listener.told()
    expected: Told = {}
    for claim in (stopped, released, signalled):
        expected.setdefault((await get(store, claim.id)).state.value, []).append(claim.id)
    assert told == expected
    assert told["cancelled"] == [stopped.id]


async def test_what_an_end_settles_is_told(store: Store, clock: Clock) -> None:
    good, bad = new(priority=2), new(priority=1)
    ready, later = new(after=after(good.id)), new(after=after(good.id), delay=HOUR)
    doomed, failed = new(after=after(bad.id)), new(after=after(bad.id, on_failure="fail"))
    deeper = new(after=after(doomed.id))
    held, runs = new(after=after(bad.id, on_failure="hold")), new(after=after(bad.id, on_failure="run"))
    await put(store, good, bad, ready, later, doomed, failed, deeper, held, runs)
    listener = await listen(store, clock)
    hand = Hand(store)
    one, two = await hand.take(2)
    await listener.news()
    follow = new()
    await hand.finish(end(one, Event.COMPLETE, follow=(follow,)))
    assert await listener.told() == {
        "completed": [good.id],
        "waiting": sorted([ready.id, follow.id]),
        "delayed": [later.id],
    }
    await hand.finish(end(two, Event.FAIL))
    await settle_down(store)
    assert await listener.told() == {
        "failed": sorted([bad.id, failed.id]),
        "cancelled": sorted([doomed.id, deeper.id]),
        "waiting": [runs.id],
    }


async def test_alarms_are_told(store: Store, clock: Clock) -> None:
    """What a failure releases, and what nobody needs when all went well."""
    bad, good = new(priority=2), new(priority=1)
    rings = new(after=after(bad.id, good.id, on_failure="trigger"))
    silent = new(after=after(good.id, on_failure="trigger"))
    await put(store, bad, good, rings, silent)
    hand = Hand(store)
    one, two = await hand.take(2)
    listener = await listen(store, clock)
    await hand.finish(end(one, Event.FAIL))
    assert await listener.told() == {"failed": [bad.id], "waiting": [rings.id]}
    await hand.finish(end(two, Event.COMPLETE))
    assert await listener.told() == {"completed": [good.id], "cancelled": [silent.id]}


async def test_a_job_is_told_once_a_call(store: Store, clock: Clock) -> None:
    """A child of several parents that end together, by several ways."""
    parents = [new() for _ in range(6)]
    ready = new(after=after(*(parent.id for parent in parents[:3])))
    doomed = new(after=after(*(parent.id for parent in parents[3:])))
    deeper = new(after=after(doomed.id, *(parent.id for parent in parents)))
    await put(store, *parents, ready, doomed, deeper)
    listener = await listen(store, clock)
    hand = Hand(store)
    claims = {claim.id: claim for claim in await hand.take(6)}
    await listener.news()
    good, bad = parents[:3], parents[3:]
    await hand.finish(
        *(end(claims[parent.id], Event.COMPLETE) for parent in good),
        *(end(claims[parent.id], Event.FAIL) for parent in bad),
    )
    await settle_down(store)
    assert await listener.told() == {
        "completed": sorted(parent.id for parent in good),
        "failed": sorted(parent.id for parent in bad),
        "waiting": [ready.id],
        "cancelled": sorted([doomed.id, deeper.id]),
    }


@pytest.mark.parametrize(("event", "state"), [(Event.COMPLETE, "waiting"), (Event.FAIL, "cancelled")])
async def test_a_large_fan_out_is_told_whole(store: Store, clock: Clock, event: Event, state: str) -> None:
    parent = new()
    await put(store, parent, *(new(after=after(parent.id), queue="fan") for _ in range(600)))
    listener = await listen(store, clock)
    hand = Hand(store)
    await hand.finish(end(await hand.one(), event))
    await settle_down(store)
    entries = await listener.news()
    assert sum(entry.n for entry in entries if entry.event == state) == 600
    assert all(len(entry.ids) <= 100 for entry in entries)


async def test_reports_tell_of_progress_only(store: Store, clock: Clock) -> None:
    await put(store, *(new() for _ in range(3)))
    hand = Hand(store)
    one, two, three = await hand.take(3)
    await hand.complete(three)
    listener = await listen(store, clock)
    await store.report([LogLine(one.id, one.lease, 1, "info", "line"), Step(one.id, one.lease, 0, "s", "1")])
    await store.report([Progress(three.id, three.lease, 5)])
    await store.report([])
    assert await listener.news() == []
    await store.report(
        [
            Progress(one.id, one.lease, 5),
            LogLine(one.id, one.lease, 1, "info", "line"),
            Progress(three.id, three.lease, 5),
            Progress(two.id, two.lease, 7, "note"),
        ]
    )
    (entry,) = await listener.news()
    assert (entry.event, sorted(entry.ids), entry.n) == ("progress", sorted([one.id, two.id]), 2)


async def test_a_signal_that_wakes_is_told(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    await hand.finish(end(await hand.one(), Event.SUSPEND, signal="go"))
    listener = await listen(store, clock)
    await store.signal(id, "other", "1", "ops")
    await store.signal(fresh_id(), "go", "1", "ops")
    assert await listener.news() == []
    await store.signal(id, "go", "1", "ops")
    assert await listener.news() == [Happening(clock.at, "waiting", (id,), 1)]


async def test_promotion_tells_what_is_due_and_what_expired(store: Store, clock: Clock) -> None:
    delayed, expires = new(delay=10 * SECOND), new(expires_in=10 * SECOND)
    child = new(after=after(expires.id))
    await put(store, new(priority=3), new(priority=2), delayed, expires, child)
    hand = Hand(store)
    retrying, suspended = await hand.take(2)
    await hand.finish(
        end(retrying, Event.RETRY, delay=10 * SECOND), end(suspended, Event.SUSPEND, delay=10 * SECOND, signal="go")
    )
    listener = await listen(store, clock)
    await promote_all(store)
    assert await listener.news() == []
    await clock.forward(10 * SECOND)
    await promote_all(store)
    assert await listener.told() == {
        "waiting": sorted([delayed.id, retrying.id, suspended.id]),
        "cancelled": sorted([expires.id, child.id]),
    }


# operators


@pytest.mark.parametrize(
    ("action", "event"),
    [
        (Action.CANCEL, "cancelled"),
        (Action.FAIL, "failed"),
        (Action.RUN_NOW, "waiting"),
        (Action.DELETE, "deleted"),
        (Action.EDIT, "edited"),
        (Action.REPRIORITISE, "edited"),
    ],
    ids=str,
)
async def test_commands_tell_where_they_lead(store: Store, clock: Clock, action: Action, event: str) -> None:
    ids = await put(store, *(new(delay=HOUR) for _ in range(5)))
    (other,) = await put(store, new())
    listener = await listen(store, clock)
    if action is Action.EDIT:
        await act(store, action, ids[0], args='{"n":1}')
        assert await listener.news() == [Happening(clock.at, event, (ids[0],), 1)]
        await act(store, action, *ids, run_at=T0 + 2 * HOUR)
    else:
        await act(store, action, *ids, priority=3)
    (entry,) = await listener.news()
    assert (entry.event, sorted(entry.ids), entry.n, entry.at) == (event, sorted(ids), 5, clock.at)
    await act(store, action, fresh_id(), priority=3, max_attempts=3)
    await store.command(Command(action=action, priority=3), Where(queues=("none",)), 10, "ops")
    assert await listener.news() == [], "what changes nothing is no news"
    assert await counted(store) != {}
    assert (await get(store, other)).state is State.WAITING


async def test_requeue_tells_waiting(store: Store, clock: Clock) -> None:
    ids = await put(store, *(new() for _ in range(3)))
    await act(store, Action.CANCEL, *ids)
    listener = await listen(store, clock)
    await store.command(Command(action=Action.REQUEUE), Where(states=(State.CANCELLED,)), 10, "ops")
    assert await listener.told() == {"waiting": sorted(ids)}


async def test_many_are_told_by_number(store: Store, clock: Clock) -> None:
    await put(store, *(new() for _ in range(150)))
    listener = await listen(store, clock)
    await store.command(Command(action=Action.CANCEL), Where(), 500, "ops")
    (entry,) = await listener.news()
    assert (entry.event, entry.n, len(entry.ids)) == ("cancelled", 150, 100)


async def test_what_a_command_settles_is_told(store: Store, clock: Clock) -> None:
    parent = new()
    child, failed = new(after=after(parent.id)), new(after=after(parent.id, on_failure="fail"))
    await put(store, parent, child, failed)
    listener = await listen(store, clock)
    await act(store, Action.CANCEL, parent.id)
    await settle_down(store)
    assert await listener.told() == {"cancelled": sorted([parent.id, child.id]), "failed": [failed.id]}
    await act(store, Action.REQUEUE, parent.id, revive=True)
    await promote_all(store)
    assert await listener.told() == {"waiting": [parent.id], "blocked": sorted([child.id, failed.id])}


async def test_what_is_set_up_is_told_by_name(store: Store, clock: Clock) -> None:
    listener = await listen(store, clock)
    await store.put_queue("mail", QueueChange(paused=True), "ops")
    assert await listener.news() == [Happening(clock.at, "queue", ("mail",), 1)]
    rows = [ScheduleRow(key="s1", spec="x", due=T0), ScheduleRow(key="s2", spec="x")]
    await store.put_schedules(rows, "ops")
    assert await listener.told() == {"schedule": ["s1", "s2"]}
    job = new()
    assert await store.fire("s1", T0, T0 + HOUR, job) is not None
    assert await listener.told() == {"schedule": ["s1"], "waiting": [job.id]}
    assert await store.fire("s1", T0, T0 + HOUR, new()) is None
    assert await listener.news() == [], "somebody was first"
    await store.fire("s1", T0 + HOUR, T0 + 2 * HOUR, None)
    assert await listener.told() == {"schedule": ["s1"]}
    (holder,) = await put(store, new(unique=UniqueKey(key="k")))
    await listener.news()
    answer = await store.fire("s1", T0 + 2 * HOUR, T0 + 3 * HOUR, new(unique=UniqueKey(key="k")))
    assert answer is not None
    assert (answer.id, await listener.told()) == (holder, {"schedule": ["s1"]})
    await store.drop_schedules(["s1", "s2", "s3"], "ops")
    assert "schedule" in await listener.told()
    await store.put_limits([LimitChange(key="k", concurrency=1), LimitChange(key="ü, k", concurrency=2)], None)
    assert await listener.told() == {"limit": ["k", "ü, k"]}


async def test_all_else_is_silent(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    await hand.complete(await hand.one())
    await put(store, new())
    claim = await hand.one()
    listener = await listen(store, clock)
    await hand.beat(claim)
    await store.exchange([Swap(space="s", key="k", text="1")])
    await store.note_acts([AuditEntry(0, "anna", "login", "session")])
    await store.take([Take("t", Rate(1, HOUR))])
    await store.jobs(Where())
    await store.counts()
    await store.count([Where()], 10)
    await store.promote(10)
    await store.rescue("other", hand.lease, 10)
    assert await store.prune(Retention(completed=0), 10) == 1
    assert await store.job(id) is None
    assert await listener.news() == []


# nobody listens


async def test_a_sweep_of_dead_letters_is_told(store: Store, clock: Clock) -> None:
    ids = await bury(store, *(new() for _ in range(5)), fingerprint="f", ladder=(1,))
    listener = await listen(store, clock)
    sweep = Command(action=Action.REQUEUE, scheduled=True)
    await store.command(sweep, Where(retry_before=clock.at), 3, "scheduler")
    await store.command(sweep, Where(retry_before=clock.at), 3, "scheduler")
    entries = await listener.news()
    assert sorted(id for entry in entries for id in entry.ids) == sorted(ids)
    assert [(entry.event, entry.n) for entry in entries] == [("waiting", 3), ("waiting", 2)]


async def everything(store: Store) -> None:
    """A bit of every verb that has news."""
    parent = new()
    await put(store, parent, new(after=(Edge(parent.id),)), new(delay=HOUR), new(answer="1"))
    hand = Hand(store)
    claim = await hand.one()
    await store.report([Progress(claim.id, claim.lease, 5)])
    await hand.finish(end(claim, Event.COMPLETE, follow=(new(before=(Ahead(fresh_id()),)),)))
    await store.command(Command(action=Action.CANCEL), Where(), 10, "ops")
    await store.command(Command(action=Action.REQUEUE), Where(), 2, "ops")
    await store.command(Command(action=Action.DELETE), Where(states=(State.CANCELLED,)), 2, "ops")
    await store.put_queue("q", QueueChange(paused=True), "ops")
    await store.put_schedules([ScheduleRow(key="s", spec="x")], "ops")
    await store.put_limits([LimitChange(key="k", concurrency=1)], "ops")


async def test_asleep_it_tells_nothing_later(store: Store, clock: Clock) -> None:
    await everything(store)
    await clock.forward(HOUR)
    listener = await listen(store, clock)
    await everything(store)
    assert {*await listener.told()} >= {"waiting", "active", "completed", "cancelled", "deleted", "queue", "progress"}


@pytest.mark.parametrize("again", [1, 3])
async def test_it_falls_asleep_when_nobody_asks(store: Store, clock: Clock, again: int) -> None:
    listener = await listen(store, clock)
    for _ in range(again):
        await clock.forward(4 * 60 * SECOND)
        (id,) = await put(store, new())
        assert await listener.told() == {"waiting": [id]}, "whoever asks keeps it awake"
    await clock.forward(6 * 60 * SECOND)
    await everything(store)
    cursor = listener.cursor
    feed = await store.feed(cursor)
    assert (feed.entries, feed.reset) == ([], True), "it slept, and says so whatever the cursor"
    listener = await listen_again(store, clock, feed.cursor)
    (id,) = await put(store, new())
    assert await listener.told() == {"waiting": [id]}


async def test_a_failing_verb_leaves_no_entry(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new())
    listener = await listen(store, clock)
    with pytest.raises(UnknownParent):
        await store.enqueue([*(new() for _ in range(600)), new(after=after(fresh_id()))])
    await act(store, Action.RUN_NOW, id)
    await act(store, Action.REQUEUE, id)
    assert await listener.news() == []


async def test_an_erased_journal_is_empty(store: Store, clock: Clock) -> None:
    old = await listen(store, clock)
    await put(store, new())
    await store.erase(force=True)
    await store.open()
    await clock.set(clock.at + SECOND)
    feed = await store.feed(None)
    assert (feed.entries, feed.reset) == ([], True)
    listener = await listen_again(store, clock, feed.cursor)
    (id,) = await put(store, new())
    assert await listener.told() == {"waiting": [id]}
    assert (await store.feed(old.cursor)).reset, "a cursor of its former life"


async def test_names_are_capped_too(store: Store, clock: Clock) -> None:
    listener = await listen(store, clock)
    await store.put_limits([LimitChange(key=f"k{n:03}", concurrency=1) for n in range(130)], None)
    (entry,) = await listener.news()
    assert (entry.event, entry.n, len({*entry.ids})) == ("limit", 130, 100)
    rows = [ScheduleRow(key=f"s{n:03}", spec="x") for n in range(130)]
    await store.put_schedules(rows, "ops")
    (entry,) = await listener.news()
    assert (entry.event, entry.n, len({*entry.ids})) == ("schedule", 130, 100)
