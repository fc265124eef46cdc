"""Money, resources, users and errors: summed with the ends that spent them, and told by name."""

import random
from collections import Counter
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tests.store.kit import HOUR, T0, Clock, Hand, act, end, failing, get, new, promote_all, put, settle_down
from tests.store.test_dependencies import after, finish_next
from windlass.store import Store
from windlass.values.clock import SECOND
from windlass.values.job import Claim
from windlass.values.metrics import MINUTE, USER, MetricQuery, Point, tally
from windlass.values.outcome import Finish, Verdict, completed
from windlass.values.query import Action, Command, Where
from windlass.values.states import Event

EVENTS = (Event.COMPLETE, Event.RETRY, Event.SNOOZE, Event.RELEASE, Event.SUSPEND, Event.FAIL, Event.ABORT)
Sums = Counter[tuple[str, str, str, int]]


async def told(store: Store, *names: str, **fields: Any) -> Sums:
    """The tallies of these names, over all minutes."""
    query = MetricQuery(since=0, until=T0 + 100 * HOUR, names=names, **fields)
    return summed(await store.metrics(query))


def summed(points: list[Point]) -> Sums:
    sums: Sums = Counter()
    for point in points:
        sums[point.queue, point.kind, point.name, point.bucket] += point.value
    return sums


async def cost_of(store: Store, id: str) -> Decimal:
    return (await get(store, id)).cost


async def test_a_job_costs_what_its_attempts_spent(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    spent = 0
    assert await cost_of(store, id) == 0
    for event, more in (
        (Event.RETRY, 1),
        (Event.SNOOZE, 20),
        (Event.RELEASE, 300),
        (Event.RETRY, 0),
        (Event.FAIL, 4_000_000),
        (Event.COMPLETE, 50_000),
    ):
        await hand.finish(end(await hand.one(), event, spent=more))
        spent += more
        assert await cost_of(store, id) == Decimal(spent) / 1_000_000
        await promote_all(store)
        if event is Event.FAIL:
            await act(store, Action.REQUEUE, id)
            assert await cost_of(store, id) == Decimal(spent) / 1_000_000, "the money is gone"
    assert (await store.outcomes([id]))[id].cost == Decimal("4.050321")
    (job,) = (await store.jobs(Where(ids=(id,)))).items
    assert job.cost == Decimal("4.050321")


async def test_only_accepted_ends_cost(store: Store) -> None:
    (id,) = await put(store, new(user="u"))
    hand = Hand(store)
    claim = await hand.one()
    stale = end(msgspec.structs.replace(claim, lease=1 << 40), Event.COMPLETE, spent=7, user="u", memory=5, cpu=5)
    taken = end(claim, Event.RETRY, spent=10, user="u", memory=3, cpu=2)
    assert await hand.finish(stale, taken) == [Verdict.STALE, Verdict.ACCEPTED]
    assert await hand.finish(taken, stale) == [Verdict.REPEAT, Verdict.STALE]
    assert await cost_of(store, id) == Decimal(10) / 1_000_000
    assert await told(store, "cost", "cpu_sum", "memory") == {
        ("default", "work", "cost", 0): 10,
        ("default", "work", "cpu_sum", 0): 2,
        ("default", "work", "memory", 0): 3,
        ("default", "work", "memory", 1): 1,
    }


async def test_an_end_that_becomes_cancelled_has_cost_too(store: Store) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    claim = await hand.one()
    await act(store, Action.CANCEL, id)
    await hand.finish(end(claim, Event.RETRY, spent=10))
    assert await cost_of(store, id) == Decimal(10) / 1_000_000
    assert sum((await told(store, "cost")).values()) == 10


@pytest.mark.parametrize("n", [1, 2, 200])
async def test_a_call_of_plain_ends_that_cost(store: Store, n: int) -> None:
    """The way that most jobs take, with money and resources on some of them."""
    ids = await put(store, *(new(user="u" if k % 3 else None) for k in range(n)))
    claims = await Hand(store).up_to(n)
    ends = [
        msgspec.structs.replace(completed(claim, "1", 5), spent=k, memory=k % 2 * 10, cpu=3)
        for k, claim in enumerate(claims, 1)
    ]
    assert set(await store.finish(ends)) == {Verdict.ACCEPTED}
    assert set(await store.finish(ends)) == {Verdict.REPEAT}
    assert [await cost_of(store, ended.id) for ended in ends] == [Decimal(k) / 1_000_000 for k in range(1, n + 1)]
    assert sorted(ended.id for ended in ends) == sorted(ids)
    truth: Sums = Counter()
    for ended in ends:
        count(truth, ended)
    assert await told(store, *NAMES) == truth
    job = await get(store, ids[0])
    assert (job.result, job.attempt) == (1, 1)


async def test_large_sums(store: Store) -> None:
    """Beyond what 32 bits hold, of one job and of a minute; and beyond what a double holds exactly."""
    ids = await put(store, *(new() for _ in range(3)))
    hand = Hand(store)
    ends = [
        end(claim, Event.COMPLETE, spent=5 << 40, memory=7 << 50, cpu=(1 << 53) // 3) for claim in await hand.take()
    ]
    await hand.finish(*ends)
    assert [await cost_of(store, id) for id in ids] == [Decimal(5 << 40) / 1_000_000] * 3
    assert await told(store, "cost", "memory", "cpu_sum") == {
        ("default", "work", "cost", 0): 15 << 40,
        ("default", "work", "cpu_sum", 0): (1 << 53) // 3 * 3,
        ("default", "work", "memory", 0): 21 << 50,
        ("default", "work", "memory", 1): 3,
    }


# against a truth kept here


def draw(dice: random.Random, claim: Claim) -> Finish:
    event = dice.choice(EVENTS)
    fields: dict[str, Any] = {
        "spent": dice.choice([0, 0, 1, 17, 40_000]),
        "cpu": dice.choice([0, 0, 5, 1_000_000]),
        "memory": dice.choice([0, 0, 1 << 20, 3 << 30]),
        "took": dice.randrange(5_000_000),
        "user": claim.user,
        "delay": dice.choice([1, HOUR]) if event in (Event.RETRY, Event.SNOOZE, Event.SUSPEND) else 0,
        "signal": "go" if event is Event.SUSPEND else None,
    }
    if event in (Event.RETRY, Event.FAIL):
        ended = failing(claim, dice.choice(["aaaa", "bbbb", "bbbc", ""]), event=event, **fields)
    else:
        ended = end(claim, event, **fields)
    return msgspec.structs.replace(ended, waited=claim.claimed_at - claim.ready_at)


def count(truth: Sums, ended: Finish) -> None:
    """What one accepted end adds, by the words of `values/metrics.py`."""

    def add(name: str, number: int, value: int) -> None:
        if value:
            truth[ended.queue, ended.kind, name, number] += value

    add("cost", 0, ended.spent)
    add("cpu_sum", 0, ended.cpu)
    add("memory", 0, ended.memory)
    add("memory", 1, int(ended.memory > 0))
    add(f"error:{ended.fingerprint}", int(ended.event is Event.FAIL), int(ended.fingerprint != ""))
    if ended.user is not None:
        if ended.event.value in USER:
            add(f"user:{ended.user}", USER.index(ended.event.value), 1)
        add(f"user:{ended.user}", 4, 0 if ended.event is Event.RELEASE else ended.took)
        add(f"user:{ended.user}", 5, ended.spent)
        add(f"user:{ended.user}", 6, ended.memory)
        add(f"user:{ended.user}", 7, int(ended.memory > 0))


async def play(store: Store, clock: Clock, dice: random.Random) -> tuple[Sums, Sums, Counter[str], list[Finish]]:
    """A few hundred random ends, some repeated, some stale: the truth of the minute before and after the hour, the costs."""
    users = [None, "anna", "ann", "bob", "b_b", "u:1"]
    for n in range(150):
        await put(store, new(dice.choice("xy"), queue=dice.choice("ab"), user=dice.choice(users), name=str(n)))
    early: Sums = Counter()
    late: Sums = Counter()
    costs: Counter[str] = Counter()
    taken: list[Finish] = []
    hand = Hand(store)
    for step in range(30):
        claims = await hand.take(15)
        ends = [draw(dice, claim) for claim in claims]
        stale = [msgspec.structs.replace(ended, lease=ended.lease + (1 << 40)) for ended in ends[:2]]
        verdicts = await hand.finish(*ends, *stale)
        assert verdicts == [Verdict.ACCEPTED] * len(ends) + [Verdict.STALE] * len(stale)
        again = dice.sample(taken, min(3, len(taken)))
        assert not {Verdict.ACCEPTED} & set(await hand.finish(*again))
        for ended in ends:
            count(early if clock.at < T0 + HOUR else late, ended)
            costs[ended.id] += ended.spent
        taken += ends
        await act(store, Action.REQUEUE, *(ended.id for ended in ends if ended.event in (Event.FAIL, Event.COMPLETE)))
        await clock.forward(HOUR if step == 20 else SECOND)
        await promote_all(store)
    return early, late, costs, taken


NAMES = ("cost", "cpu_sum", "memory", "user:*", "error:*")


@pytest.mark.parametrize("seed", [1, 2])
async def test_the_tallies_are_the_truth(store: Store, clock: Clock, seed: int) -> None:
    early, late, costs, taken = await play(store, clock, random.Random(seed))
    assert len(taken) > 300
    assert await told(store, *NAMES) == early + late
    before = MetricQuery(since=T0 - HOUR, until=T0 + HOUR, names=NAMES)
    assert summed(await store.metrics(before)) == early
    for id, spent in costs.items():
        assert await cost_of(store, id) == Decimal(spent) / 1_000_000
    whole = early + late
    for name in ("cost", "memory", "user:anna", "error:aaaa", "error:none"):
        assert await told(store, name) == picked(whole, lambda key, name=name: key[2] == name)
    assert await told(store, *NAMES, queues=("a",)) == picked(whole, lambda key: key[0] == "a")
    assert await told(store, *NAMES, queues=("b",), kinds=("x",)) == picked(whole, lambda key: key[:2] == ("b", "x"))
    assert {key[2] for key in await told(store)} == {key.name for key in tally(taken) if ":" not in key.name}
    assert sum(v for k, v in whole.items() if k[2] == "cost") == sum(costs.values())


def picked(sums: Sums, wanted: Any) -> Sums:
    return Counter({key: value for key, value in sums.items() if wanted(key)})


# names


async def spend(store: Store, *users: str, fingerprint: str = "") -> None:
    await put(store, *(new(user=user) for user in users))
    hand = Hand(store)
    await hand.finish(*(failing(claim, fingerprint, user=claim.user, spent=1) for claim in await hand.take(50)))


async def names(store: Store, *wanted: str) -> set[str]:
    return {key[2] for key in await told(store, *wanted)}


async def test_no_names_are_all_but_those_with_a_colon(store: Store) -> None:
    await spend(store, "anna", "ben", fingerprint="f")
    every = await names(store)
    assert {"fail", "cost", "took", "took_sum", "waited"} <= every
    assert not any(":" in name for name in every)


async def test_names_with_a_star(store: Store) -> None:
    await spend(store, "anna", "ann", "Anna", "a_na", "an", "ben", "u:1", "u:2", "100%", fingerprint="f")
    assert await names(store, "user:*") == {
        f"user:{user}" for user in ("anna", "ann", "Anna", "a_na", "an", "ben", "u:1", "u:2", "100%")
    }
    assert await names(store, "user:ann*") == {"user:ann", "user:anna"}, "capitals are other letters"
    assert await names(store, "user:anna*") == {"user:anna"}
    assert await names(store, "user:a_*") == {"user:a_na"}, "an underscore is one"
    assert await names(store, "user:1%*") == set()
    assert await names(store, "user:100%*") == {"user:100%"}
    assert await names(store, "user:u:*") == {"user:u:1", "user:u:2"}
    assert await names(store, "user:u:2") == {"user:u:2"}
    assert await names(store, "user:an") == {"user:an"}, "without a star it is the whole name"
    assert await names(store, "error:*", "user:b*", "cost") == {"error:f", "user:ben", "cost"}
    assert await names(store, "took*") == {"took", "took_sum"}
    assert await names(store, "none*") == set()
    assert await names(store, "user:") == set()
    assert await names(store, "*") == await names(store) | await names(store, "user:*", "error:*")


@pytest.mark.parametrize("user", ["ü 👍", "a,b", "{x}", "[ab]*?", "with'quote", 'with"quotes', "back\\slash", "a:b:0"])
async def test_any_user(store: Store, user: str) -> None:
    await spend(store, user, "other")
    assert await told(store, f"user:{user}") == {
        ("default", "work", f"user:{user}", USER.index("fail")): 1,
        ("default", "work", f"user:{user}", USER.index("cost")): 1,
    }
    assert await names(store, f"user:{user}*") == {f"user:{user}"}


async def test_a_plain_end_of_a_user_is_tallied(store: Store) -> None:
    """The hot path's own finish."""
    await put(store, new(user="u"), new())
    hand = Hand(store)
    assert set(await hand.finish(*(completed(claim, None, 5) for claim in await hand.take()))) == {Verdict.ACCEPTED}
    assert await told(store, "user:*") == {
        ("default", "work", "user:u", USER.index("complete")): 1,
        ("default", "work", "user:u", USER.index("took_sum")): 5,
    }


# ends that the engine made

MADE = ("cancel", "expire", "doom", "fail-by-command")


async def test_what_commands_end_is_tallied(store: Store, clock: Clock) -> None:
    ids = await put(store, *(new("xy"[n % 2], queue="ab"[n // 4], delay=HOUR) for n in range(8)))
    await act(store, Action.CANCEL, *ids[:3])
    await act(store, Action.CANCEL, *ids[:3])
    await clock.forward(MINUTE)
    await act(store, Action.FAIL, *ids[3:6])
    await store.command(Command(action=Action.CANCEL), Where(queues=("b",)), 100, "ops")
    assert await told(store, *MADE) == {
        ("a", "x", "cancel", 0): 2,
        ("a", "y", "cancel", 0): 1,
        ("a", "y", "fail-by-command", 0): 1,
        ("b", "x", "fail-by-command", 0): 1,
        ("b", "y", "fail-by-command", 0): 1,
        ("b", "x", "cancel", 0): 1,
        ("b", "y", "cancel", 0): 1,
    }
    points = await store.metrics(MetricQuery(since=T0 - HOUR, until=T0 + HOUR, names=("cancel",)))
    start = T0 // MINUTE * MINUTE
    assert Counter({start: 3, start + MINUTE: 2}) == sum(
        (Counter({point.minute: point.value}) for point in points), Counter()
    )
    assert await names(store) == {"cancel", "fail-by-command"}


async def test_a_flag_is_no_end(store: Store) -> None:
    (id,) = await put(store, new())
    hand = Hand(store)
    claim = await hand.one()
    await act(store, Action.CANCEL, id)
    assert await told(store, *MADE) == {}
    await hand.finish(end(claim, Event.ABORT))
    assert await told(store, *MADE, "abort") == {("default", "work", "abort", 0): 1}


@pytest.mark.parametrize("event", [Event.RETRY, Event.SNOOZE, Event.RELEASE, Event.SUSPEND], ids=str)
async def test_a_job_asked_to_stop_that_is_given_back_was_ended_by_the_engine(store: Store, event: Event) -> None:
    await put(store, new())
    hand = Hand(store)
    claim = await hand.one()
    await act(store, Action.CANCEL, claim.id)
    await hand.finish(end(claim, event, delay=HOUR, signal="go" if event is Event.SUSPEND else None))
    assert await told(store, *MADE, event.value) == {
        ("default", "work", "cancel", 0): 1,
        ("default", "work", event.value, 0): 1,
    }


async def test_what_expires_is_tallied(store: Store, clock: Clock) -> None:
    child = new("child", queue="c")
    late = [new("late", queue="l", expires_in=SECOND) for _ in range(3)]
    child = msgspec.structs.replace(child, after=after(late[0].id))
    await put(store, *late, child, new(expires_in=HOUR))
    await clock.forward(SECOND)
    await promote_all(store)
    assert await told(store, *MADE) == {("l", "late", "expire", 0): 3, ("c", "child", "doom", 0): 1}
    await promote_all(store)
    assert (await told(store, "expire"))["l", "late", "expire", 0] == 3


@pytest.mark.parametrize("on_failure", ["cancel", "fail"])
async def test_what_an_edge_ends_is_tallied(store: Store, on_failure: Any) -> None:
    parent = new()
    one = new("one", queue="a", after=after(parent.id, on_failure=on_failure))
    two = new("two", queue="b", after=after(one.id, on_failure=on_failure))
    run = new("run", queue="b", after=after(parent.id, on_failure="run"))
    held = new("held", queue="b", after=after(parent.id, on_failure="hold"))
    await put(store, parent, one, two, run, held)
    await finish_next(store, Event.FAIL)
    await settle_down(store)
    assert await told(store, *MADE) == {("a", "one", "doom", 0): 1, ("b", "two", "doom", 0): 1}
    born = new("born", queue="c", after=after(parent.id, on_failure=on_failure))
    await put(store, born)
    assert (await told(store, "doom"))["c", "born", "doom", 0] == 1, "it ended in the call that made it"


async def test_an_alarm_that_nobody_needs_is_tallied(store: Store) -> None:
    parent = new(priority=1)
    await put(store, parent, new("alarm", after=after(parent.id, on_failure="trigger")))
    await finish_next(store)
    await settle_down(store)
    assert await told(store, *MADE) == {("default", "alarm", "doom", 0): 1}


async def test_a_large_fan_out_is_tallied_whole(store: Store) -> None:
    parent = new()
    children = [new("child", queue="fan", after=after(parent.id)) for _ in range(600)]
    await put(store, parent, *children)
    await act(store, Action.CANCEL, parent.id)
    await settle_down(store)
    assert await told(store, *MADE) == {("default", "work", "cancel", 0): 1, ("fan", "child", "doom", 0): 600}


async def test_the_deleted_are_not_tallied(store: Store) -> None:
    (id,) = await put(store, new())
    await act(store, Action.DELETE, id)
    assert await told(store) == {}
