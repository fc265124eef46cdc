"""What operators ask and do: values that agree with the state table."""

import msgspec

from windlass.values.query import ACTION_EVENT, Action, Command, Commanded, Page, Retention, Where
from windlass.values.states import TRANSITIONS, State


def test_every_action_is_an_event_of_the_table_but_reprioritise() -> None:
    assert {*Action} - set(ACTION_EVENT) == {Action.REPRIORITISE, Action.EDIT}
    assert set(ACTION_EVENT.values()) <= set(TRANSITIONS)


def test_an_empty_filter_is_every_job() -> None:
    where = Where()
    assert all(not getattr(where, name) for name in where.__struct_fields__)


def test_values_are_frozen_and_travel() -> None:
    where = Where(states=(State.FAILED,), kinds=("a*",), created_from=5)
    assert msgspec.json.decode(msgspec.json.encode(where), type=Where) == where
    command = Command(action=Action.REQUEUE, keep_attempts=True)
    assert msgspec.json.decode(msgspec.json.encode(command), type=Command) == command
    assert hash(where) == hash(Where(states=(State.FAILED,), kinds=("a*",), created_from=5))


def test_defaults_do_nothing_by_surprise() -> None:
    assert Commanded() == Commanded((), (), {}, False)
    assert Page([1]).next is None
    keep = Retention()
    assert keep.completed is not None
    assert keep.failed is not None
    assert keep.completed < keep.failed
    assert (keep.keep_completed, keep.keep_failed) == (None, None)
