"""Durable steps: kept by position under the lease that wrote them, through every end of an attempt, until the job goes."""

import pytest

from tests.store.kit import DAY, LEASE, T0, Clock, Hand, act, end, fresh_id, get, new, promote_all, put
from tests.store.test_text import JSON_TEXTS, TEXTS
from windlass.store import Store
from windlass.values.clock import SECOND
from windlass.values.job import Claim
from windlass.values.lease import LogLine, Noted, Progress, Step, StoredStep
from windlass.values.query import Action, Retention
from windlass.values.states import Event


def step(claim: Claim, position: int, value: str | None = None, **fields: object) -> Step:
    return Step(claim.id, claim.lease, position, **{"name": f"step-{position}", "value": value, **fields})  # type: ignore[arg-type]


async def running(store: Store, hand: Hand | None = None, **fields: object) -> Claim:
    await put(store, new(**fields))
    return await (hand or Hand(store)).one()


async def test_a_job_has_no_steps_until_it_notes_one(store: Store) -> None:
    claim = await running(store)
    assert await store.steps(claim.id) == []
    assert await store.steps(fresh_id()) == []
    assert await store.report([]) == []


async def test_a_step_is_kept_as_noted(store: Store, clock: Clock) -> None:
    claim = await running(store)
    await clock.forward(3 * SECOND)
    assert await store.report([step(claim, 0, '{"a": [1, 2]}', name="fetch all")]) == [Noted()]
    assert await store.steps(claim.id) == [
        StoredStep(position=0, name="fetch all", value='{"a": [1, 2]}', done=True, at=T0 + 3 * SECOND, attempt=1)
    ]


async def test_steps_come_by_position(store: Store) -> None:
    claim = await running(store)
    for position in (10, 2, 0, 9, 1, 100):
        await store.report([step(claim, position, str(position))])
    assert [(kept.position, kept.value) for kept in await store.steps(claim.id)] == [
        (position, str(position)) for position in (0, 1, 2, 9, 10, 100)
    ]


async def test_the_same_position_again_overwrites(store: Store, clock: Clock) -> None:
    claim = await running(store)
    await store.report([step(claim, 0, '"until noon"', name="sleep", done=False)])
    (begun,) = await store.steps(claim.id)
    assert (begun.name, begun.value, begun.done, begun.at) == ("sleep", '"until noon"', False, T0)
    await clock.forward(SECOND)
    await store.report([step(claim, 0, None, name="sleep")])
    (done,) = await store.steps(claim.id)
    assert (done.name, done.value, done.done, done.at) == ("sleep", None, True, T0 + SECOND)


async def test_notes_of_one_call_go_in_order(store: Store) -> None:
    claim = await running(store)
    other = await running(store)
    notes = [
        step(claim, 0, "1"),
        LogLine(claim.id, claim.lease, 1, "info", "between"),
        step(other, 0, '"other"'),
        step(claim, 0, "2"),
        Progress(claim.id, claim.lease, 50.0, "half"),
        step(claim, 1, "3"),
    ]
    assert await store.report(notes) == [Noted()] * 6
    assert [(kept.position, kept.value) for kept in await store.steps(claim.id)] == [(0, "2"), (1, "3")]
    assert [kept.value for kept in await store.steps(other.id)] == ['"other"']
    assert [line.text for line in await store.log(claim.id)] == ["between"]
    assert (await get(store, claim.id)).progress == 50.0


async def test_notes_under_a_stale_lease_are_refused_one_by_one(store: Store) -> None:
    hand = Hand(store)
    old = await running(store, hand)
    await hand.finish(end(old, Event.RELEASE))
    claim = await hand.one()
    assert claim.id == old.id
    gone = Step(fresh_id(), 1, 0, "of nobody")
    answers = await store.report(
        [step(old, 0, '"late"'), step(claim, 1, '"good"'), LogLine(old.id, old.lease, 1, "info", "late"), gone]
    )
    assert [noted.accepted for noted in answers] == [False, True, False, False]
    assert [(kept.position, kept.value) for kept in await store.steps(claim.id)] == [(1, '"good"')]
    await hand.complete(claim)
    assert await store.report([step(claim, 2, '"after the end"')]) == [Noted(accepted=False)]
    assert len(await store.steps(claim.id)) == 1


async def test_a_rescued_lease_may_not_note_any_more(store: Store, clock: Clock) -> None:
    await store.rescue("watch", LEASE, 10)
    claim = await running(store)
    await store.report([step(claim, 0, "1")])
    taken: list[Claim] = []
    while not taken:
        await clock.forward(LEASE // 3)
        taken = await store.rescue("watch", LEASE, 10)
    assert [noted.accepted for noted in await store.report([step(claim, 1), step(taken[0], 1, "2")])] == [False, True]
    assert [kept.value for kept in await store.steps(claim.id)] == ["1", "2"]


@pytest.mark.parametrize("event", [Event.RETRY, Event.SNOOZE, Event.RELEASE, Event.SUSPEND], ids=str)
async def test_steps_outlive_the_attempt(store: Store, clock: Clock, event: Event) -> None:
    hand = Hand(store)
    claim = await running(store, hand)
    await store.report([step(claim, 0, "1"), step(claim, 1, "2", done=False)])
    before = await store.steps(claim.id)
    await hand.finish(end(claim, event, delay=SECOND, signal="go" if event is Event.SUSPEND else None))
    assert await store.steps(claim.id) == before
    await clock.forward(2 * SECOND)
    await promote_all(store)
    again = await hand.one()
    assert again.id == claim.id
    await store.report([step(again, 1, "3")])
    first, second = await store.steps(claim.id)
    assert first == before[0]
    assert (second.value, second.done, second.at, second.attempt) == ("3", True, clock.at, again.attempt)


@pytest.mark.parametrize("event", [Event.COMPLETE, Event.FAIL, Event.ABORT], ids=str)
async def test_steps_can_be_read_after_the_end(store: Store, event: Event) -> None:
    hand = Hand(store)
    claim = await running(store, hand)
    await store.report([step(claim, 0, "1")])
    await hand.finish(end(claim, event))
    assert [kept.value for kept in await store.steps(claim.id)] == ["1"]


async def test_a_requeue_starts_from_nothing(store: Store) -> None:
    hand = Hand(store)
    claim = await running(store, hand)
    await store.report([step(claim, 0, "1")])
    await hand.finish(end(claim, Event.FAIL))
    await act(store, Action.REQUEUE, claim.id)
    assert await store.steps(claim.id) == []
    again = await hand.one()
    await store.report([step(again, 0, "2")])
    assert [kept.value for kept in await store.steps(claim.id)] == ["2"]


async def test_a_requeue_that_keeps_attempts_keeps_steps(store: Store) -> None:
    hand = Hand(store)
    claim = await running(store, hand)
    await store.report([step(claim, 0, "1")])
    await hand.finish(end(claim, Event.FAIL))
    await act(store, Action.REQUEUE, claim.id, keep_attempts=True)
    assert [kept.value for kept in await store.steps(claim.id)] == ["1"]


async def test_steps_go_with_their_job(store: Store, clock: Clock) -> None:
    hand = Hand(store)
    deleted, pruned = await running(store, hand), await running(store, hand)
    await store.report([step(deleted, 0, "1"), step(pruned, 0, "1")])
    await hand.complete(deleted, pruned)
    await act(store, Action.DELETE, deleted.id)
    assert await store.steps(deleted.id) == []
    await clock.forward(2 * DAY)
    assert await store.prune(Retention(), 10) == 1
    assert await store.steps(pruned.id) == []


async def test_steps_are_of_one_job(store: Store) -> None:
    hand = Hand(store)
    first, second = await running(store, hand), await running(store, hand)
    await store.report([step(first, 0, "1"), step(second, 0, "2"), step(second, 1, "3")])
    assert [kept.value for kept in await store.steps(first.id)] == ["1"]
    assert [kept.value for kept in await store.steps(second.id)] == ["2", "3"]


@pytest.mark.parametrize("name", JSON_TEXTS)
async def test_values_byte_for_byte(store: Store, name: str) -> None:
    claim = await running(store)
    await store.report([step(claim, 0, JSON_TEXTS[name])])
    assert [kept.value for kept in await store.steps(claim.id)] == [JSON_TEXTS[name]]


@pytest.mark.parametrize("name", TEXTS)
async def test_names_of_steps_hold_any_text(store: Store, name: str) -> None:
    claim = await running(store)
    await store.report([step(claim, 0, name=TEXTS[name])])
    assert [kept.name for kept in await store.steps(claim.id)] == [TEXTS[name]]


async def test_many_steps(store: Store) -> None:
    claim = await running(store)
    await store.report([step(claim, position, str(position)) for position in range(500)])
    await store.report([step(claim, position, str(position)) for position in range(500, 1_000)])
    assert [kept.value for kept in await store.steps(claim.id)] == [str(position) for position in range(1_000)]


async def test_a_megabyte_in_a_step(store: Store) -> None:
    claim = await running(store)
    value = '"' + "é日👍" * 100_000 + '"'
    await store.report([step(claim, 0, value), step(claim, 1, "1")])
    assert [kept.value for kept in await store.steps(claim.id)] == [value, "1"]


async def test_what_is_done_stays_so(store: Store) -> None:
    """A report whose answer was lost is repeated, and an old one may arrive late."""
    claim = await running(store)
    begun = step(claim, 0, None, done=False)
    await store.report([begun, step(claim, 0, '"effect"')])
    assert await store.report([begun]) == [Noted()]
    [kept] = await store.steps(claim.id)
    assert (kept.value, kept.done) == ('"effect"', True)
    for data in ("1", "2"):
        await store.signal(claim.id, "go", data, "ann")
    asks = step(claim, 1, "null", done=False, signal="go")
    assert await store.report([asks]) == [Noted(value="1")]
    assert await store.report([asks]) == [Noted(value="1")]
    late = step(claim, 2, None, signal="never")
    assert await store.report([late]) == [Noted()]
    await store.signal(claim.id, "never", "3", "ann")
    assert await store.report([late]) == [Noted()]  # it timed out, and that is on record
    assert [(kept.value, kept.done) for kept in (await store.steps(claim.id))[1:]] == [("1", True), (None, True)]
    assert await store.report([step(claim, 3, "null", done=False, signal="go")]) == [Noted(value="2")]
    assert await store.report([step(claim, 0, '"again"')]) == [Noted()]
    assert (await store.steps(claim.id))[0].value == '"again"'
    assert await store.report([step(claim, 0, "null", name="other", done=False)]) == [Noted()]
    assert (await store.steps(claim.id))[0].name == "other"
