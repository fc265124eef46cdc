"""Signals: what becomes of one in each state of its job, and who takes it."""

import pytest

from tests.store.kit import DAY, HOUR, T0, Clock, Hand, act, end, fresh_id, get, new, put, state_of
from tests.store.standing import stand
from tests.store.test_text import JSON_TEXTS, TEXTS
from windlass.errors import LimitReached
from windlass.store import Store
from windlass.values.clock import SECOND
from windlass.values.job import Claim
from windlass.values.lease import Delivery, Noted, Step
from windlass.values.query import Action, AuditQuery, Retention
from windlass.values.states import FINAL, Event, State

MOST_KEPT = 1_000


def asks(claim: Claim, name: str = "go", position: int = 0, value: str | None = '"until"') -> Step:
    """The step of a handler that waits for a signal."""
    return Step(claim.id, claim.lease, position, "wait", value, done=False, signal=name)


async def suspended(store: Store, hand: Hand, name: str = "go", delay: int = 0, **fields: object) -> Claim:
    await put(store, new(**fields))
    claim = await hand.one()
    await hand.finish(end(claim, Event.SUSPEND, signal=name, delay=delay))
    return claim


@pytest.mark.parametrize("state", list(State), ids=str)
async def test_a_signal_in_each_state(store: Store, clock: Clock, state: State) -> None:
    stood = await stand(store, state)
    before = await get(store, stood.id)
    delivery = await store.signal(stood.id, "go", "1", "ops")
    assert delivery is (Delivery.OVER if state in FINAL else Delivery.KEPT)
    assert await get(store, stood.id) == before


async def test_a_job_that_is_not_known(store: Store) -> None:
    assert await store.signal(fresh_id(), "go", "1", "ops") is Delivery.UNKNOWN


async def test_a_suspended_job_is_woken(store: Store) -> None:
    hand = Hand(store)
    claim = await suspended(store, hand)
    assert await store.signal(claim.id, "go", '{"by": "me"}', "ops") is Delivery.WOKEN
    assert await state_of(store, claim.id) is State.WAITING
    again = await hand.one()
    assert again.id == claim.id
    assert await store.report([asks(again)]) == [Noted(value='{"by": "me"}')]
    (kept,) = await store.steps(claim.id)
    assert (kept.name, kept.value, kept.done) == ("wait", '{"by": "me"}', True)


async def test_only_the_awaited_name_wakes(store: Store) -> None:
    hand = Hand(store)
    claim = await suspended(store, hand, "go")
    assert await store.signal(claim.id, "gone", "1", "ops") is Delivery.KEPT
    assert await store.signal(claim.id, "Go", "2", "ops") is Delivery.KEPT
    assert await state_of(store, claim.id) is State.BLOCKED
    assert await store.signal(claim.id, "go", "3", "ops") is Delivery.WOKEN
    again = await hand.one()
    answers = await store.report([asks(again, "go", 0), asks(again, "gone", 1), asks(again, "Go", 2)])
    assert [noted.value for noted in answers] == ["3", "1", "2"]


async def test_one_that_was_woken_already_keeps_the_next(store: Store) -> None:
    hand = Hand(store)
    claim = await suspended(store, hand)
    assert await store.signal(claim.id, "go", "1", "ops") is Delivery.WOKEN
    assert await store.signal(claim.id, "go", "2", "ops") is Delivery.KEPT
    again = await hand.one()
    assert [noted.value for noted in await store.report([asks(again, position=0), asks(again, position=1)])] == [
        "1",
        "2",
    ]


async def test_kept_signals_are_taken_oldest_first(store: Store, clock: Clock) -> None:
    await put(store, new())
    hand = Hand(store)
    claim = await hand.one()
    for n in range(12):
        assert await store.signal(claim.id, "go", str(n), "ops") is Delivery.KEPT
        await clock.forward(n % 2)
    for n in range(12):
        assert await store.report([asks(claim, position=n)]) == [Noted(value=str(n))]
    assert await store.report([asks(claim, position=12)]) == [Noted(value=None)]
    assert [kept.value for kept in await store.steps(claim.id)] == [str(n) for n in range(12)] + ['"until"']
    assert [kept.done for kept in await store.steps(claim.id)] == [True] * 12 + [False]


async def test_a_step_that_finds_none_is_begun(store: Store) -> None:
    await put(store, new())
    claim = await Hand(store).one()
    assert await store.report([asks(claim)]) == [Noted()]
    (kept,) = await store.steps(claim.id)
    assert (kept.value, kept.done) == ('"until"', False)
    await store.signal(claim.id, "go", "7", "ops")
    assert await store.report([asks(claim)]) == [Noted(value="7")]
    (kept,) = await store.steps(claim.id)
    assert (kept.value, kept.done) == ("7", True)


async def test_a_signal_is_taken_once(store: Store) -> None:
    await put(store, new())
    claim = await Hand(store).one()
    await store.signal(claim.id, "go", "1", "ops")
    answers = await store.report([asks(claim, position=0), asks(claim, position=1)])
    assert [noted.value for noted in answers] == ["1", None]


async def test_a_stale_step_takes_nothing(store: Store) -> None:
    await put(store, new())
    hand = Hand(store)
    old = await hand.one()
    await hand.finish(end(old, Event.RELEASE))
    claim = await hand.one()
    await store.signal(claim.id, "go", "1", "ops")
    assert await store.report([asks(old), asks(claim)]) == [Noted(accepted=False), Noted(value="1")]


async def test_signals_are_of_one_job(store: Store) -> None:
    first, second = await put(store, new(), new())
    await store.signal(first, "go", '"first"', "ops")
    claims = {claim.id: claim for claim in await Hand(store).take(2)}
    answers = await store.report([asks(claims[second]), asks(claims[first])])
    assert [noted.value for noted in answers] == [None, '"first"']


async def test_what_comes_before_the_first_attempt_is_kept(store: Store) -> None:
    (id,) = await put(store, new(delay=HOUR))
    assert await store.signal(id, "go", "1", "ops") is Delivery.KEPT
    await act(store, Action.RUN_NOW, id)
    claim = await Hand(store).one()
    assert await store.report([asks(claim)]) == [Noted(value="1")]


async def test_a_kept_signal_outlives_attempts(store: Store) -> None:
    await put(store, new())
    hand = Hand(store)
    claim = await hand.one()
    await store.signal(claim.id, "go", "1", "ops")
    await hand.finish(end(claim, Event.RELEASE))
    assert await store.report([asks(await hand.one())]) == [Noted(value="1")]


async def test_a_job_keeps_a_thousand(store: Store) -> None:
    await put(store, new())
    claim = await Hand(store).one()
    for n in range(MOST_KEPT):
        await store.signal(claim.id, "ab"[n % 2], str(n), "ops")
    with pytest.raises(LimitReached):
        await store.signal(claim.id, "a", "too many", "ops")
    answers = await store.report([asks(claim, "a", 0), asks(claim, "b", 1)])
    assert [noted.value for noted in answers] == ["0", "1"]
    assert await store.signal(claim.id, "a", '"room again"', "ops") is Delivery.KEPT


async def test_a_full_box_does_not_keep_the_awaited_one_out(store: Store) -> None:
    """Else nobody could wake the job any more."""
    await put(store, new())
    hand = Hand(store)
    claim = await hand.one()
    for n in range(MOST_KEPT):
        await store.signal(claim.id, "other", str(n), "ops")
    await hand.finish(end(claim, Event.SUSPEND, signal="go"))
    assert await store.signal(claim.id, "go", "1", "ops") is Delivery.WOKEN
    assert await store.report([asks(await hand.one())]) == [Noted(value="1")]


async def test_a_signal_is_audited(store: Store, clock: Clock) -> None:
    (id,) = await put(store, new())
    await clock.forward(SECOND)
    await store.signal(id, "approve", "1", "anna")
    (entry,) = await store.audit(AuditQuery(target=id))
    assert (entry.at, entry.actor, entry.action, entry.target) == (T0 + SECOND, "anna", "signal", id)
    assert "approve" in entry.detail


@pytest.mark.parametrize("name", [name for name in TEXTS if TEXTS[name]])
async def test_names_of_signals_hold_any_text(store: Store, name: str) -> None:
    hand = Hand(store)
    claim = await suspended(store, hand, TEXTS[name])
    assert await store.signal(claim.id, TEXTS[name], "1", "ops") is Delivery.WOKEN
    assert await store.report([asks(await hand.one(), TEXTS[name])]) == [Noted(value="1")]


@pytest.mark.parametrize("name", JSON_TEXTS)
async def test_data_byte_for_byte(store: Store, name: str) -> None:
    await put(store, new())
    claim = await Hand(store).one()
    await store.signal(claim.id, "go", JSON_TEXTS[name], "ops")
    assert await store.report([asks(claim)]) == [Noted(value=JSON_TEXTS[name])]


async def test_signals_go_with_their_job(store: Store, clock: Clock) -> None:
    """The id again is a new job, which nobody has signalled."""
    for way in ("delete", "prune"):
        job = new()
        await put(store, job)
        await store.signal(job.id, "go", "1", "ops")
        await act(store, Action.CANCEL, job.id)
        if way == "delete":
            await act(store, Action.DELETE, job.id)
        else:
            await clock.forward(30 * DAY)
            assert await store.prune(Retention(), 10) == 2, "with the one that completed in the first round"
        await put(store, job)
        claim = await Hand(store).one()
        assert await store.report([asks(claim)]) == [Noted(value=None)]
        await Hand(store).complete(claim)
