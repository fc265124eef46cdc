"""Error groups: dead letters that share a fingerprint, counted, found and acted on together."""

import pytest

from tests.store.kit import (
    DAY,
    HOUR,
    T0,
    Clock,
    Hand,
    Place,
    act,
    act_on_all,
    all_ids,
    bury,
    counted,
    end,
    failing,
    get,
    groups_of,
    new,
    promote_all,
    prune_all,
    put,
    settle_down,
    state_of,
)
from tests.store.test_races import together
from windlass.store import Store
from windlass.values.clock import SECOND
from windlass.values.job import Edge
from windlass.values.outcome import Verdict
from windlass.values.query import Action, Command, ErrorGroup, Retention, Where
from windlass.values.states import Event, State


async def sizes(store: Store) -> dict[str, int]:
    return {fingerprint: group.n for fingerprint, group in (await groups_of(store)).items()}


async def fail_next(store: Store, fingerprint: str) -> str:
    hand = Hand(store)
    claim = await hand.one()
    assert await hand.finish(failing(claim, fingerprint)) == [Verdict.ACCEPTED]
    return claim.id


async def test_no_dead_letters_no_groups(store: Store) -> None:
    assert await store.error_groups() == []
    hand = Hand(store)
    await put(store, *(new(priority=-n) for n in range(4)))
    claims = await hand.take()
    ends = (Event.COMPLETE, Event.RETRY, Event.ABORT)
    await hand.finish(
        *(failing(claim, "f", event=event, delay=HOUR) for claim, event in zip(claims, ends, strict=False))
    )
    assert await store.error_groups() == [], "only a job that failed for good is a dead letter"


async def test_a_group_tells_how_many_and_when(store: Store, clock: Clock) -> None:
    made: dict[str, list[str]] = {"a": [], "b": []}
    for fingerprint in "aababa":
        made[fingerprint] += await bury(store, new(), fingerprint=fingerprint)
        await clock.forward(SECOND)
    assert await store.error_groups() == [
        ErrorGroup(fingerprint="a", n=4, first=T0, last=T0 + 5 * SECOND, sample=made["a"][-1]),
        ErrorGroup(fingerprint="b", n=2, first=T0 + 2 * SECOND, last=T0 + 4 * SECOND, sample=made["b"][-1]),
    ]


async def test_first_and_last_follow_what_goes(store: Store, clock: Clock) -> None:
    ids: list[str] = []
    for _ in range(4):
        ids += await bury(store, new(), fingerprint="f")
        await clock.forward(SECOND)
    first, second, third, last = ids
    await act(store, Action.DELETE, last)
    group = (await groups_of(store))["f"]
    assert (group.n, group.first, group.last, group.sample) == (3, T0, T0 + 2 * SECOND, third)
    await act(store, Action.REQUEUE, first)
    group = (await groups_of(store))["f"]
    assert (group.n, group.first, group.last, group.sample) == (2, T0 + SECOND, T0 + 2 * SECOND, third)
    await act(store, Action.DELETE, third)
    group = (await groups_of(store))["f"]
    assert (group.n, group.first, group.last, group.sample) == (1, T0 + SECOND, T0 + SECOND, second)


async def test_letters_of_one_instant(store: Store, clock: Clock) -> None:
    ids = await bury(store, *(new() for _ in range(7)), fingerprint="f")
    (group,) = await store.error_groups()
    assert (group.n, group.first, group.last) == (7, T0, T0)
    assert group.sample in ids


async def test_the_largest_come_first_up_to_a_limit(store: Store) -> None:
    for n in (2, 5, 1, 4, 3):
        await bury(store, *(new() for _ in range(n)), fingerprint=f"f{n}")
    assert [(group.fingerprint, group.n) for group in await store.error_groups()] == [
        (f"f{n}", n) for n in (5, 4, 3, 2, 1)
    ]
    assert [group.n for group in await store.error_groups(2)] == [5, 4]
    assert len(await store.error_groups(5)) == 5


async def test_groups_span_queues_and_kinds(store: Store) -> None:
    await bury(store, *(new(kind, queue=queue) for kind in "xy" for queue in "ab"), fingerprint="f")
    assert await sizes(store) == {"f": 4}


# who is in none, or in the empty one


async def test_ends_that_no_error_made_share_the_empty_group(store: Store, clock: Clock) -> None:
    parent = new(priority=9)
    child = new(after=(Edge(parent.id, "fail"),))
    await put(store, parent, child)
    await fail_next(store, "f")
    (by_command, by_rescue) = await put(store, new(), new())
    await act(store, Action.FAIL, by_command, reason="by hand")
    hand = Hand(store)
    claim = await hand.one()
    assert claim.id == by_rescue
    await hand.finish(failing(claim, "", rescued=True, reason="stalled"))
    late = new(after=(Edge(parent.id, "fail"),))
    await put(store, late)
    assert await sizes(store) == {"": 4, "f": 1}
    found = await all_ids(store, Where(fingerprints=("",)))
    assert sorted(found) == sorted([child.id, by_command, by_rescue, late.id])
    assert (await groups_of(store))[""].sample in found
    assert await store.count([Where(fingerprints=("",)), Where(fingerprints=("", "f"))], 100) == [4, 5]


async def test_a_bare_failure_is_in_the_empty_group(store: Store) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    await hand.finish(end(await hand.one(), Event.FAIL))
    assert await sizes(store) == {"": 1}
    assert await all_ids(store, Where(fingerprints=("",))) == [id]


async def test_a_retrying_job_that_is_failed_by_command_keeps_its_error(store: Store) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    await hand.finish(failing(await hand.one(), "f", event=Event.RETRY, delay=HOUR))
    assert await sizes(store) == {}
    await act(store, Action.FAIL, id, reason="enough")
    job = await get(store, id)
    assert await sizes(store) == {job.error.fingerprint if job.error else "": 1}
    assert await sizes(store) == {"f": 1}, "the group is that of the error it shows"


async def test_a_doomed_fan_out_is_one_group(store: Store) -> None:
    parent = new(priority=9)
    children = [new(after=(Edge(parent.id, "fail"),)) for _ in range(600)]
    await put(store, parent, *children)
    await fail_next(store, "f")
    await settle_down(store)
    assert await sizes(store) == {"": 600, "f": 1}
    done = await act_on_all(store, Command(action=Action.DELETE), Where(fingerprints=("",)), 250)
    assert sorted(done) == sorted(child.id for child in children)
    assert await sizes(store) == {"f": 1}


# ways out


async def test_every_way_out_leaves_the_group(store: Store, clock: Clock) -> None:
    requeued, scheduled, deleted, pruned, revived, other = await bury(
        store, *(new() for _ in range(6)), fingerprint="f"
    )
    left = 6
    for id, action, fields in (
        (requeued, Action.REQUEUE, {}),
        (scheduled, Action.REQUEUE, {"scheduled": True}),
        (deleted, Action.DELETE, {}),
        (revived, Action.REQUEUE, {"revive": True, "keep_attempts": True}),
    ):
        assert (await act(store, action, id, **fields)).done == (id,)
        left -= 1
        assert await sizes(store) == {"f": left}
        assert id not in await all_ids(store, Where(fingerprints=("f",)))
    await act(store, Action.CANCEL, requeued, scheduled, revived)
    await clock.forward(HOUR)
    await prune_all(store, Retention(failed=HOUR // 2, cancelled=None))
    assert await state_of(store, pruned) is None
    assert await state_of(store, other) is None
    assert await sizes(store) == {}


async def test_a_group_goes_with_its_last_letter(store: Store) -> None:
    (one,) = await bury(store, new(), fingerprint="one")
    await bury(store, new(), fingerprint="other")
    await act(store, Action.REQUEUE, one)
    assert await sizes(store) == {"other": 1}
    assert await store.count([Where(fingerprints=("one",))], 5) == [0]


async def test_failing_again_into_another_group(store: Store, clock: Clock) -> None:
    (id,) = await bury(store, new(), fingerprint="a")
    for fingerprint in ("b", "a", "", "c", "c"):
        await clock.forward(SECOND)
        await act(store, Action.REQUEUE, id)
        assert await sizes(store) == {}
        await fail_next(store, fingerprint)
        (group,) = await store.error_groups()
        assert group == ErrorGroup(fingerprint=fingerprint, n=1, first=clock.at, last=clock.at, sample=id)
        for other in ("a", "b", "c", ""):
            assert await all_ids(store, Where(fingerprints=(other,))) == ([id] if other == fingerprint else [])


async def test_an_error_on_the_way_does_not_stay(store: Store, clock: Clock) -> None:
    """A retry's error is replaced by the one that ended it; a completed job is in no group whatever it met before."""
    one, two = await put(store, new(), new(priority=-1))
    hand = Hand(store)
    await hand.finish(*(failing(claim, "a", event=Event.RETRY) for claim in await hand.take()))
    await promote_all(store)
    first, second = sorted(await hand.take(), key=lambda claim: claim.id != one)
    await hand.finish(failing(first, "b"), end(second, Event.COMPLETE))
    assert await sizes(store) == {"b": 1}
    assert await all_ids(store, Where(fingerprints=("a", "b"))) == [one]
    assert await state_of(store, two) is State.COMPLETED


async def test_a_revived_subtree_leaves_the_empty_group(store: Store) -> None:
    top = new(priority=9)
    left = new(after=(Edge(top.id, "fail"),))
    right = new(after=(Edge(top.id, "fail"),))
    bottom = new(after=(Edge(left.id, "fail"),))
    await put(store, top, left, right, bottom)
    await fail_next(store, "f")
    await settle_down(store)
    assert await sizes(store) == {"": 3, "f": 1}
    await act(store, Action.REQUEUE, top.id, revive=True)
    await promote_all(store)
    assert await counted(store) == {State.WAITING: 1, State.BLOCKED: 3}
    assert await sizes(store) == {}
    await fail_next(store, "f")
    await settle_down(store)
    assert await sizes(store) == {"": 3, "f": 1}


async def test_an_edit_leaves_the_group(store: Store) -> None:
    (id,) = await bury(store, new(), fingerprint="f")
    before = await store.error_groups()
    await act(store, Action.EDIT, id, args='{"n":1}', max_attempts=5)
    assert await store.error_groups() == before


# found by it


async def test_jobs_of_a_group(store: Store, clock: Clock) -> None:
    made: dict[str, list[str]] = {}
    for n in range(40):
        fingerprint = "abcd"[n % 4]
        job = new("xy"[n % 2], queue=f"q{n % 3}", user=f"u{n % 5}", tags=(f"t{n % 2}",))
        made.setdefault(fingerprint, []).extend(await bury(store, job, fingerprint=fingerprint))
        await clock.forward(SECOND)
    await put(store, *(new(delay=HOUR) for _ in range(5)))

    async def found(*fingerprints: str, **fields: object) -> list[str]:
        return await all_ids(store, Where(fingerprints=fingerprints, **fields), 3)  # type: ignore[arg-type]

    assert await found("a") == made["a"][::-1], "newest first, page by page"
    assert await found("b", "d") == sorted(made["b"] + made["d"], reverse=True)
    assert await found("none") == []
    assert await found("none", "c") == made["c"][::-1]
    assert await found("a", states=(State.FAILED, State.COMPLETED)) == made["a"][::-1]
    assert await found("a", states=(State.WAITING,)) == []
    all_of = {id: (fingerprint, await get(store, id)) for fingerprint, ids in made.items() for id in ids}
    for fields in ({"queues": ("q1",)}, {"kinds": ("x",)}, {"user": "u2"}, {"tags": ("t1",)}, {"kinds": ("x*",)}):
        expected = {
            id
            for id, (fingerprint, job) in all_of.items()
            if fingerprint in "ab"
            and job.queue in fields.get("queues", (job.queue,))
            and job.kind in ("x", job.kind if "kinds" not in fields else "x")
            and job.user == fields.get("user", job.user)
            and ("tags" not in fields or "t1" in job.tags)
        }
        assert set(await found("a", "b", **fields)) == expected, fields
    window = {"finished_from": T0 + 10 * SECOND, "finished_to": T0 + 20 * SECOND}
    assert set(await found("a", **window)) == {made["a"][n] for n in (3, 4)}


async def test_only_dead_letters_are_found(store: Store) -> None:
    """Jobs that had the error once and are somewhere else now."""
    hand = Hand(store)
    ids = await put(store, *(new(priority=-n) for n in range(4)))
    claims = await hand.take()
    await hand.finish(*(failing(claim, "f", event=Event.RETRY, delay=HOUR) for claim in claims[:2]))
    await hand.finish(*(failing(claim, "f") for claim in claims[2:]))
    await act(store, Action.REQUEUE, ids[2])
    assert await all_ids(store, Where(fingerprints=("f",))) == [ids[3]]
    await hand.complete(await hand.one())
    await act(store, Action.CANCEL, ids[0])
    assert await all_ids(store, Where(fingerprints=("f",))) == [ids[3]]
    assert await sizes(store) == {"f": 1}


@pytest.mark.parametrize("fingerprint", ["0" * 16, "ü 👍", "a,b", "{x}:y", "with'quote", "*", "%", "A" * 200])
async def test_any_fingerprint(store: Store, fingerprint: str) -> None:
    (id,) = await bury(store, new(), fingerprint=fingerprint)
    await bury(store, new(), fingerprint="plain")
    assert (await groups_of(store))[fingerprint].sample == id
    assert await all_ids(store, Where(fingerprints=(fingerprint,))) == [id]
    await act_on_all(store, Command(action=Action.REQUEUE), Where(fingerprints=(fingerprint,)), 5)
    assert await sizes(store) == {"plain": 1}


# many


async def three_groups(store: Store, clock: Clock, n: int = 300) -> dict[str, list[str]]:
    """Mixed as they come, a while apart."""
    made: dict[str, list[str]] = {"a": [], "b": [], "c": []}
    ids = await put(store, *(new(user=f"u{k % 7}") for k in range(3 * n)))
    hand = Hand(store)
    while claims := await hand.up_to(90):
        ends = [failing(claim, "abc"[k % 3], ladder=(HOUR,) if k % 2 else ()) for k, claim in enumerate(claims)]
        for claim, ended in zip(claims, ends, strict=True):
            made[ended.fingerprint].append(claim.id)
        assert set(await hand.finish(*ends)) == {Verdict.ACCEPTED}
        await clock.forward(SECOND)
    assert sorted(id for some in made.values() for id in some) == sorted(ids)
    return made


async def test_three_groups_of_three_hundred(store: Store, clock: Clock) -> None:
    made = await three_groups(store, clock)
    groups = await groups_of(store)
    told = {fingerprint: (group.n, group.first, group.last) for fingerprint, group in groups.items()}
    assert told == dict.fromkeys("abc", (300, T0, T0 + 9 * SECOND))
    for fingerprint, ids in made.items():
        assert groups[fingerprint].sample in ids[-30:]
        assert await all_ids(store, Where(fingerprints=(fingerprint,)), 70) == sorted(ids, reverse=True)
    wheres = [Where(fingerprints=("a",)), Where(fingerprints=("a", "c")), Where(fingerprints=("a",), user="u1")]
    found = [len(await all_ids(store, where, 500)) for where in wheres]
    assert await store.count(wheres, 10_000) == found
    assert found[:2] == [300, 600]
    assert await store.count(wheres, 100) == [100, 100, min(100, found[2])]


async def test_many_groups(store: Store) -> None:
    ids = await put(store, *(new() for _ in range(400)))
    hand = Hand(store)
    names: list[str] = []
    for claim in await hand.drain():
        names.append(f"f{len(names) // 3}" if len(names) < 390 else "large")
        await hand.finish(failing(claim, names[-1]))
    assert await sizes(store) == {f"f{n}": 3 for n in range(130)} | {"large": 10}
    assert [group.fingerprint for group in await store.error_groups(1)] == ["large"]
    assert len(await store.error_groups(50)) == 50
    wanted = tuple(f"f{n}" for n in range(0, 130, 2))
    assert await store.count([Where(fingerprints=wanted)], 1_000) == [195]
    assert len(await act_on_all(store, Command(action=Action.REQUEUE), Where(fingerprints=wanted), 100)) == 195
    assert await sizes(store) == {f"f{n}": 3 for n in range(1, 130, 2)} | {"large": 10}
    assert len(ids) == 400


@pytest.mark.parametrize("action", [Action.REQUEUE, Action.DELETE])
async def test_a_whole_group_in_bounded_steps(store: Store, clock: Clock, action: Action) -> None:
    made = await three_groups(store, clock)
    done: list[str] = []
    calls = 0
    while True:
        answer = await store.command(Command(action=action), Where(fingerprints=("b",)), 70, "ops")
        done += answer.done
        calls += 1
        assert len(answer.done) <= 70
        assert await sizes(store) == {"a": 300, "c": 300} | ({"b": 300 - len(done)} if len(done) < 300 else {})
        if not answer.more:
            break
    assert sorted(done) == sorted(made["b"]), "each once, and of no other group"
    assert 5 <= calls <= 6
    expected = {State.FAILED: 600} | ({State.WAITING: 300} if action is Action.REQUEUE else {})
    assert await counted(store) == expected


async def test_groups_under_many_hands(store: Store, place: Place) -> None:
    """Letters fail, come back and go in all threads; the audit after the test compares groups with jobs."""
    await put(store, *(new() for _ in range(200)))

    async def body(store: Store, number: int) -> None:
        hand = Hand(store, f"w{number}")
        for step in range(15):
            claims = await hand.take(15)
            await hand.finish(*(failing(claim, "abc"[(claim.lease + n) % 3]) for n, claim in enumerate(claims)))
            where = Where(fingerprints=("abc"[(step + number) % 3],))
            await store.command(Command(action=Action.REQUEUE, scheduled=bool(step % 2)), where, 7, "ops")
            await store.command(Command(action=Action.DELETE), where, 1, "ops")
            await act(store, Action.REQUEUE, *(claim.id for claim in claims[:2]))

    await together(place, body)
    groups = await sizes(store)
    assert sum(groups.values()) == (await counted(store)).get(State.FAILED, 0)
    for fingerprint, n in groups.items():
        assert len(await all_ids(store, Where(fingerprints=(fingerprint,)))) == n


# moves


async def test_groups_and_costs_go_along_in_a_move(store: Store, clock: Clock) -> None:
    for fingerprint, n in (("a", 3), ("b", 2), ("", 1)):
        await bury(store, *(new() for _ in range(n)), fingerprint=fingerprint)
        await clock.forward(SECOND)
    (id,) = await put(store, new())
    hand = Hand(store)
    await hand.finish(failing(await hand.one(), "a", event=Event.RETRY, spent=123_456))
    (by_command,) = await put(store, new(delay=DAY))
    await act(store, Action.FAIL, by_command)
    before = {fingerprint: (g.n, g.first, g.last) for fingerprint, g in (await groups_of(store)).items()}
    assert {fingerprint: n for fingerprint, (n, _, _) in before.items()} == {"a": 3, "b": 2, "": 2}
    job = await get(store, id)
    snapshots = []
    cursor: str | None = None
    while True:
        page = await store.dump(cursor, 2)
        snapshots += page.items
        if page.next is None:
            break
        cursor = page.next
    assert len(snapshots) == 8
    at = clock.at
    await store.erase(force=True)
    await store.open()
    await clock.set(at)
    assert await store.error_groups() == []
    assert await store.load(snapshots) == 8
    assert await store.load(snapshots) == 0
    assert {fingerprint: (g.n, g.first, g.last) for fingerprint, g in (await groups_of(store)).items()} == before
    assert (await get(store, id)).cost == job.cost > 0
    done = await act_on_all(store, Command(action=Action.REQUEUE), Where(fingerprints=("a",)), 2)
    assert len(done) == 3
    assert await sizes(store) == {"b": 2, "": 2}
