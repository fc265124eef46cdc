"""The state table: complete, consistent, and rendered as literals that cannot be misspelt."""

import re

import pytest

from windlass.values.states import FINAL, LIVE, PENDING, TRANSITIONS, Event, State, allowed, render


def test_every_event_has_its_row_and_only_known_states() -> None:
    assert set(TRANSITIONS) == set(Event)
    for move in TRANSITIONS.values():
        assert set(move.sources) <= set(State)
        assert len(set(move.sources)) == len(move.sources)


def test_groups_share_the_states_out() -> None:
    assert {*LIVE, *FINAL} == set(State)
    assert not {*LIVE} & {*FINAL}
    assert {*LIVE} - {*PENDING} == {State.ACTIVE}


def test_only_answers_come_from_nowhere_and_only_delete_leads_there() -> None:
    assert [event for event, move in TRANSITIONS.items() if not move.sources] == [Event.ANSWER]
    assert [event for event, move in TRANSITIONS.items() if move.target is None] == [Event.DELETE]


def test_final_jobs_leave_only_by_an_operators_or_a_parents_hand() -> None:
    leaving = {event for event, move in TRANSITIONS.items() if set(move.sources) & {*FINAL}}
    assert leaving == {Event.REQUEUE, Event.DELETE, Event.REVIVE}


def test_every_state_is_reached_and_can_be_left() -> None:
    reached = {move.target for move in TRANSITIONS.values()} | {State.DELAYED}
    assert {*State} <= reached
    for state in State:
        assert any(allowed(event, state) for event in Event)


@pytest.mark.parametrize("event", list(Event), ids=str)
@pytest.mark.parametrize("state", list(State), ids=str)
def test_allowed_is_the_table(event: Event, state: State) -> None:
    assert allowed(event, state) == (state in TRANSITIONS[event].sources)


def test_literals() -> None:
    assert render("where state = {state:waiting}") == "where state = 'waiting'"
    assert render("{from:promote} -> {to:promote}") == "'delayed', 'retrying' -> 'waiting'"
    assert render("({any:final})") == "('completed', 'failed', 'cancelled')"
    assert len(re.findall(r"'\w+'", render("{any:all}"))) == 8


def test_other_braces_stay() -> None:
    text = "{schema}.job '{\"a\": 1}' {Other:thing} {}"
    assert render(text) == text


@pytest.mark.parametrize("text", ["{state:waitin}", "{any:nothing}", "{from:bogus}", "{to:delete}"])
def test_a_misspelt_state_is_an_error_not_a_silent_literal(text: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        render(text)
